//! What becomes of a command when who reads its output goes away, or who writes its input is slow.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::broker::{Broker, OTTLA};

/// A pipe that nobody reads.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn enough_is_enough() {
    let broker = Broker::dev();
    broker.command(&["topic", "create", "t", "-p", "1"]);
    broker.command(&["produce", "t", "x"]);
    let server = ["--bootstrap-server", &broker.bootstrap];
    let commands: [&[&str]; 10] = [
        &["ottla", "topic", "list"],
        &["ottla", "topic", "describe", "t", "--format", "json"],
        &["ottla", "consume", "t", "-o", "start:end"],
        &["ottla", "consume", "t", "-g", "g", "-n", "1"],
        &["ottla", "group", "list"],
        &["ottla", "cluster", "api-versions"],
        &["ottla", "status"],
        &["kafka-topics", "--describe"],
        &["kafka-configs", "--describe", "--all", "--broker", "1"],
        &[
            "kafka-console-consumer",
            "--topic",
            "t",
            "--from-beginning",
            "--max-messages",
            "1",
        ],
    ];
    for words in commands {
        let mut command = Command::new(OTTLA);
        command.arg0(words[0]).args(&words[1..]).args(server);
        let output = command.stdout(unread()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{words:?}: {errors}");
        assert!(!errors.contains("panicked"), "{words:?}: {errors}");
        let failing = [&words[1..], &["--nonsense"]].concat();
        let mut command = Command::new(OTTLA);
        command.arg0(words[0]).args(failing);
        let code = command.stderr(unread()).status().unwrap().code();
        assert_eq!(code, Some(2), "{words:?}");
    }
}

#[test]
fn a_full_disk_is_a_failure() {
    let broker = Broker::dev();
    broker.command(&["produce", "t", "x"]);
    for words in [
        &["topic", "list"][..],
        &["consume", "t", "-o", "start:end"],
        &["consume", "t", "-g", "full", "-n", "1"],
    ] {
        let full = std::fs::File::create("/dev/full").unwrap();
        let mut command = Command::new(OTTLA);
        command
            .args(words)
            .args(["-b", &broker.bootstrap])
            .stdout(full);
        assert_eq!(
            command.output().unwrap().status.code(),
            Some(1),
            "{words:?}"
        );
    }
    // Nobody has seen the record, so the group has not read it.
    assert_eq!(
        broker.command(&["consume", "t", "-g", "full", "-n", "1", "-f", "%v"]),
        "x"
    );
}

#[test]
fn a_broker_goes_on_when_nobody_reads_what_it_says() {
    let mut broker = Command::new(OTTLA);
    broker.args([
        "dev",
        "--port",
        "0",
        "--set",
        "ottla.http.port=0",
        "-t",
        "orders",
    ]);
    let mut broker = Killed(
        broker
            .stdout(Stdio::piped())
            .stderr(unread())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(broker.0.stdout.take().unwrap()).lines();
    let mut lines = lines.by_ref().map(Result::unwrap);
    let address = lines.find_map(|line| {
        let rest = line.trim().strip_prefix("kafka ")?.trim().to_owned();
        rest.split_whitespace().next().map(str::to_owned)
    });
    let address = address.unwrap();
    drop(lines);
    let list = || {
        Command::new(OTTLA)
            .args(["topic", "create", "t", "-b", &address])
            .status()
    };
    assert_eq!(list().unwrap().code(), Some(0));
    assert!(broker.0.try_wait().unwrap().is_none(), "it ended");
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `tail -f log | ottla produce logs`.
#[test]
fn a_line_is_written_before_the_next_one_comes() {
    let broker = Broker::dev();
    let mut producer = Command::new(OTTLA);
    producer
        .args(["produce", "logs", "-b", &broker.bootstrap])
        .stdin(Stdio::piped());
    let mut producer = Killed(producer.spawn().unwrap());
    let mut input = producer.0.stdin.take().unwrap();
    for line in ["first\n", "second\n"] {
        input.write_all(line.as_bytes()).unwrap();
        // Waits until it is there.
        let read = broker.command(&["consume", "logs", "-n", "1", "-f", "%v\n", "-g", "readers"]);
        assert_eq!(read, line);
    }
    drop(input);
    assert_eq!(producer.0.wait().unwrap().code(), Some(0));
}
