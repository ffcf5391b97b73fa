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
            Contender::Kafka { durable: true, .. } => "Kafka 4.4, fsync".to_owned(),
            Contender::Kafka { .. } => "Kafka 4.4".to_owned(),
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
        let log = std::fs::File::create(data.join("server.log"))?;
        let started = Instant::now();
        let mut child = self
            .command(&properties)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let bootstrap = format!("127.0.0.1:{port}");
        while Connection::open(&bootstrap).is_err() {
            if child.try_wait()?.is_some() || READY_WITHIN < started.elapsed() {
                let log = std::fs::read_to_string(data.join("server.log")).unwrap_or_default();
                let _ = child.kill();
                return Err(BenchError::NotReady {
                    name: self.name(),
                    log,
                });
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        Ok(Running {
            bootstrap,
            started_in: started.elapsed(),
            child,
        })
    }

    fn properties(&self, data: &Path, port: u16, other_port: u16) -> String {
        let logs = data.join("logs").display().to_string();
        let common =
            format!("log.dirs={logs}\nlog.retention.ms=-1\nauto.create.topics.enable=false\n");
        match self {
            Contender::Ottla { durability, .. } => format!(
                "{common}listeners=PLAINTEXT://127.0.0.1:{port}\nottla.http.port={other_port}\n\
                 ottla.durability={durability}\n"
            ),
            Contender::Kafka { durable, .. } => {
                let flush = if *durable {
                    "log.flush.interval.messages=1\n"
                } else {
                    ""
                };
                format!(
                    "{common}{flush}process.roles=broker,controller\nnode.id=1\n\
                     controller.quorum.voters=1@127.0.0.1:{other_port}\n\
                     listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{other_port}\n\
                     controller.listener.names=CONTROLLER\n\
                     listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n"
                )
            }
        }
    }

    fn command(&self, properties: &Path) -> Command {
        match self {
            Contender::Ottla { binary, .. } => {
                let mut command = Command::new(binary);
                command.arg("start").arg("-c").arg(properties);
                command
            }
            Contender::Kafka { jars, .. } => {
                let mut command = java(jars);
                command
                    .args(["-Xmx1g", "-Xms1g", "-XX:+UseG1GC", "kafka.Kafka"])
                    .arg(properties);
                command
            }
        }
    }
}

impl Running {
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
