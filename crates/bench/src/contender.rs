//! The servers that are measured: each is started on fresh data, measured, and killed.

use crate::connection::Connection;
use crate::error::BenchError;
use crate::process;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_secs(60);

/// Who is measured, in which mode.
#[derive(Clone, Debug)]
pub enum Contender {
    /// Ottla; `durability` is the value of `ottla.durability`.
    Ottla {
        /// The binary.
        binary: PathBuf,
        /// `fsync` or `os`.
        durability: &'static str,
    },
    /// This program's own server that does the least a broker can do.
    Floor {
        /// Whether an fdatasync comes before each answer.
        durable: bool,
    },
    /// Apache Kafka in one JVM with G1 and a heap of 1 GiB.
    Kafka {
        /// Folder of jars.
        jars: PathBuf,
        /// Whether every record is fsynced (`log.flush.interval.messages=1`).
        durable: bool,
    },
}

/// A server that runs; it is killed when this goes.
pub struct Running {
    /// host:port.
    pub bootstrap: String,
    /// From its start until it took connections.
    pub started_in: Duration,
    contender: Contender,
    data: PathBuf,
    port: u16,
    child: Child,
}

impl Contender {
    /// The column's title.
    pub fn name(&self) -> String {
        match self {
            Contender::Ottla {
                durability: "os", ..
            } => "Ottla, `os`".to_owned(),
            Contender::Ottla { .. } => "Ottla, durable".to_owned(),
            Contender::Floor { durable: true } => "floor, durable".to_owned(),
            Contender::Floor { durable: false } => "floor, `os`".to_owned(),
            Contender::Kafka { durable: true, .. } => "Kafka 4.4, fsync".to_owned(),
            Contender::Kafka { .. } => "Kafka 4.4".to_owned(),
        }
    }

    /// Whether its answers wait for an fsync.
    pub fn is_durable(&self) -> bool {
        match self {
            Contender::Ottla { durability, .. } => *durability == "fsync",
            Contender::Floor { durable } | Contender::Kafka { durable, .. } => *durable,
        }
    }

    /// Starts the server on an empty folder `data`.
    pub fn start(&self, data: &Path) -> Result<Running, BenchError> {
        let _ = std::fs::remove_dir_all(data);
        std::fs::create_dir_all(data)?;
        let (port, other_port) = (free_port()?, free_port()?);
        let properties = data.join("server.properties");
        std::fs::write(&properties, self.properties(data, port, other_port))?;
        if let Contender::Kafka { jars, .. } = self {
            format_kafka(jars, &properties)?;
        }
        let bootstrap = format!("127.0.0.1:{port}");
        let started = Instant::now();
        let mut running = Running {
            bootstrap,
            started_in: Duration::ZERO,
            contender: self.clone(),
            data: data.to_owned(),
            port,
            child: self.spawn(data, port)?,
        };
        running.wait_until_listening()?;
        running.started_in = started.elapsed();
        Ok(running)
    }

    fn spawn(&self, data: &Path, port: u16) -> Result<Child, BenchError> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(data.join("server.log"))?;
        let mut command = self.command(data, port)?;
        Ok(command.stdout(log.try_clone()?).stderr(log).spawn()?)
    }

    fn properties(&self, data: &Path, port: u16, other_port: u16) -> String {
        let logs = data.join("logs").display().to_string();
        // A cleaner begins soon after it may, not up to 15 s later. Batches of 16 MiB are a row too.
        let common = format!(
            "log.dirs={logs}\nlog.retention.ms=-1\nauto.create.topics.enable=false\n\
             log.cleaner.backoff.ms=1000\nmessage.max.bytes=33554432\n"
        );
        match self {
            Contender::Ottla { durability, .. } => format!(
                "{common}listeners=PLAINTEXT://127.0.0.1:{port}\nottla.http.port={other_port}\n\
                 ottla.durability={durability}\n"
            ),
            Contender::Floor { .. } => String::new(),
            Contender::Kafka { durable, .. } => {
                let flush = if *durable {
                    "log.flush.interval.messages=1\n"
                } else {
                    ""
                };
                format!(
                    "{common}{flush}offsets.topic.replication.factor=1\n\
                     process.roles=broker,controller\nnode.id=1\n\
                     controller.quorum.voters=1@127.0.0.1:{other_port}\n\
                     listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{other_port}\n\
                     controller.listener.names=CONTROLLER\n\
                     listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n"
                )
            }
        }
    }

    fn command(&self, data: &Path, port: u16) -> io::Result<Command> {
        let properties = data.join("server.properties");
        let mut command;
        match self {
            Contender::Ottla { binary, .. } => {
                command = Command::new(binary);
                command.arg("start").arg("-c").arg(properties);
            }
            Contender::Floor { durable } => {
                command = Command::new(std::env::current_exe()?);
                command.args(["floor", "--port", &port.to_string(), "--data"]);
                command.arg(data.join("logs"));
                if *durable {
                    command.arg("--durable");
                }
            }
            Contender::Kafka { jars, .. } => {
                command = java(jars);
                command
                    .args(["-Xmx1g", "-Xms1g", "-XX:+UseG1GC", "kafka.Kafka"])
                    .arg(properties);
            }
        }
        Ok(command)
    }
}

impl Running {
    /// kill -9.
    pub fn kill(&mut self) -> Result<(), BenchError> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again on its data, at the same address; returns before it listens.
    pub fn start_again(&mut self) -> Result<(), BenchError> {
        self.child = self.contender.spawn(&self.data, self.port)?;
        Ok(())
    }

    /// Waits until it takes connections.
    pub fn wait_until_listening(&mut self) -> Result<(), BenchError> {
        let started = Instant::now();
        while Connection::open(&self.bootstrap).is_err() {
            if self.child.try_wait()?.is_some() || READY_WITHIN < started.elapsed() {
                let log = std::fs::read_to_string(self.data.join("server.log")).unwrap_or_default();
                let _ = self.child.kill();
                return Err(BenchError::NotReady {
                    name: self.contender.name(),
                    log,
                });
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok(())
    }

    /// The server's process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory.
    pub fn resident_bytes(&self) -> io::Result<u64> {
        process::resident_bytes(self.pid())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing more can be done about a child that is already gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn java(jars: &Path) -> Command {
    let mut command = Command::new("java");
    command
        .arg("-cp")
        .arg(format!("{}/*", jars.display()))
        .arg("-Dlog4j2.level=ERROR");
    command
}

fn format_kafka(jars: &Path, properties: &Path) -> Result<(), BenchError> {
    let status = java(jars)
        .args([
            "kafka.tools.StorageTool",
            "format",
            "-t",
            "AAAAAAAAAAAAAAAAAAAAAQ",
            "-c",
        ])
        .arg(properties)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(BenchError::NotReady {
            name: "Kafka's format".to_owned(),
            log: status.to_string(),
        })
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
