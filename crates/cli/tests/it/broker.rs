use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The binary under test.
pub const OTTLA: &str = env!("CARGO_BIN_EXE_ottla");

/// A directory of its own for one test, removed with it.
pub struct TestDir(PathBuf);

impl TestDir {
    pub fn new() -> TestDir {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ottla-cli-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).expect("a new directory for the test");
        TestDir(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A broker process on free ports; killed with the test.
pub struct Broker {
    process: Child,
    /// Everything it printed until it was ready.
    pub greeting: String,
    /// `127.0.0.1:port` for Kafka clients.
    pub bootstrap: String,
    /// `127.0.0.1:port` for HTTP.
    pub http: String,
}

impl Broker {
    /// `ottla dev` on free ports.
    pub fn dev() -> Broker {
        Broker::dev_with(&[])
    }

    /// The same with more arguments.
    pub fn dev_with(arguments: &[&str]) -> Broker {
        let free_ports = ["dev", "--port", "0", "--set", "ottla.http.port=0"];
        Broker::run(&[&free_ports[..], arguments].concat(), &[])
    }

    /// `ottla start` on free ports with its data in `dir`.
    pub fn start(dir: &Path) -> Broker {
        Broker::start_with(dir, &[])
    }

    /// The same with environment variables.
    pub fn start_with(dir: &Path, environment: &[(&str, &str)]) -> Broker {
        let dir = dir.to_str().expect("test directories are text");
        let arguments = [
            "start",
            "--data-dir",
            dir,
            "--set",
            "listeners=PLAINTEXT://127.0.0.1:0",
            "--set",
            "ottla.http.port=0",
        ];
        Broker::run(&arguments, environment)
    }

    fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Broker {
        let mut process = Command::new(OTTLA)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let stdout = process.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        let mut greeting = String::new();
        while !greeting.contains("\ntry:") {
            let Some(line) = lines.next() else {
                let mut errors = String::new();
                let stderr = process.stderr.as_mut().expect("it is piped");
                stderr.read_to_string(&mut errors).expect("it is text");
                panic!("the broker ended: {greeting}{errors}");
            };
            greeting.push_str(&line.expect("it is text"));
            greeting.push('\n');
        }
        // Its output goes on being read: a full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        let after = |label: &str| {
            let line = greeting
                .lines()
                .find_map(|line| line.trim().strip_prefix(label));
            let line = line.unwrap_or_else(|| panic!("no {label} in {greeting}"));
            let address = line.trim().trim_start_matches("http://");
            address
                .split_whitespace()
                .next()
                .expect("there is an address")
                .to_owned()
        };
        Broker {
            bootstrap: after("kafka "),
            http: after("http "),
            process,
            greeting,
        }
    }

    /// kill -9.
    pub fn kill(mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ended");
    }

    /// Sends a signal by its name, such as `HUP`.
    pub fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let killed = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status()
            .expect("kill runs");
        assert!(killed.success());
    }

    /// SIGTERM; what it ended with, and everything it logged.
    pub fn stop(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let mut log = String::new();
        let stderr = self.process.stderr.as_mut().expect("it is piped");
        stderr.read_to_string(&mut log).expect("it is text");
        (self.process.wait().expect("it ended"), log)
    }

    /// Runs a command against this broker with `stdin`.
    pub fn command_with(&self, arguments: &[&str], stdin: &str) -> Output {
        let mut process = Command::new(OTTLA)
            .args(arguments)
            .args(["-b", &self.bootstrap])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut input = process.stdin.take().expect("it is piped");
        let stdin = stdin.to_owned();
        let writer = std::thread::spawn(move || {
            // A command that needs no input may end before it was written.
            let _ = std::io::Write::write_all(&mut input, stdin.as_bytes());
        });
        let output = process.wait_with_output().expect("it ended");
        writer.join().expect("the writer ends");
        output
    }

    /// Runs a command that must succeed; its stdout.
    pub fn command(&self, arguments: &[&str]) -> String {
        let output = self.command_with(arguments, "");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).expect("it is text")
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
