use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use crate::broker::{Broker, OTTLA, TestDir};

/// What a start that must fail says, and its exit code.
fn failing_start(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(OTTLA)
        .arg("start")
        .args(arguments)
        .output()
        .unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn what_was_acknowledged_survives_a_stop_and_a_kill() {
    let dir = TestDir::new();
    let mut expected = String::new();
    for round in 0..4 {
        let broker = Broker::start(dir.path());
        let input: String = (0..1000)
            .map(|number| format!("{round}.{number}\n"))
            .collect();
        let written = broker.command_with(&["produce", "kept"], &input);
        assert!(
            written.status.success(),
            "{}",
            String::from_utf8_lossy(&written.stderr)
        );
        expected.push_str(&input);
        let read = broker.command(&["consume", "kept", "-o", "start:end", "-f", "%v\\n"]);
        assert!(read == expected, "round {round}");
        if round % 2 == 0 {
            broker.kill();
        } else {
            let (status, log) = broker.stop();
            assert_eq!(status.code(), Some(0), "{log}");
        }
    }
}

/// With the disk that forgets what was not synced a kill is a power cut.
#[test]
fn what_was_acknowledged_survives_power_cuts() {
    let dir = TestDir::new();
    let mut expected = String::new();
    for round in 0..5 {
        let seed = round.to_string();
        let broker = Broker::start_with(dir.path(), &[("OTTLA_TEST_POWER_CUT_DISK", &seed)]);
        let input: String = (0..500)
            .map(|number| format!("{round}.{number}\n"))
            .collect();
        let written = broker.command_with(&["produce", "kept"], &input);
        assert!(
            written.status.success(),
            "{}",
            String::from_utf8_lossy(&written.stderr)
        );
        expected.push_str(&input);
        let read = broker.command(&["consume", "kept", "-o", "start:end", "-f", "%v\\n"]);
        assert!(read == expected, "round {round}");
        broker.kill();
    }
}

#[test]
fn a_hangup_is_told_and_ends_nothing() {
    let dir = TestDir::new();
    let broker = Broker::start(dir.path());
    broker.signal("HUP");
    let written = broker.command_with(&["produce", "kept"], "one\n");
    assert!(written.status.success());
    let (status, log) = broker.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(
        log.contains("SIGHUP: going on; nothing is read again"),
        "{log}"
    );
}

#[test]
fn a_second_process_on_the_same_directory_is_refused() {
    let dir = TestDir::new();
    let first = Broker::start(dir.path());
    let path = dir.path().to_str().unwrap();
    let (code, errors) = failing_start(&[
        "--data-dir",
        path,
        "--set",
        "listeners=PLAINTEXT://127.0.0.1:0",
    ]);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains(path) && errors.contains("another process"),
        "{errors}"
    );
    assert_eq!(
        first.command(&["topic", "list"]).lines().count(),
        1,
        "the first goes on"
    );
}

#[test]
fn a_directory_of_another_node_is_refused() {
    let dir = TestDir::new();
    Broker::start(dir.path()).kill();
    let path = dir.path().to_str().unwrap();
    let (code, errors) = failing_start(&["--data-dir", path, "--set", "node.id=7"]);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("belongs to node 1") && errors.contains("this is node 7"),
        "{errors}"
    );
    let (code, errors) = failing_start(&["--data-dir", path, "--set", "cluster.id=other"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("belongs to cluster"), "{errors}");
}

#[test]
fn a_port_in_use_is_named() {
    let dir = TestDir::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = format!(
        "PLAINTEXT://127.0.0.1:{}",
        taken.local_addr().unwrap().port()
    );
    let (code, errors) = failing_start(&[
        "--data-dir",
        dir.path().to_str().unwrap(),
        "--set",
        &format!("listeners={listener}"),
    ]);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains(&listener) && errors.contains("in use"),
        "{errors}"
    );
}

#[test]
fn all_faults_of_a_configuration_are_told_at_once() {
    let dir = TestDir::new();
    let file = dir.path().join("server.properties");
    std::fs::write(
        &file,
        "num.partitions=none\nlog.retention.hour=5\nnode.id=x\n",
    )
    .unwrap();
    let (code, errors) = failing_start(&["--strict", "-c", file.to_str().unwrap()]);
    assert_eq!(code, Some(2));
    for expected in ["num.partitions", "log.retention.hours", "node.id"] {
        assert!(
            errors.contains(expected),
            "{expected} is not named in: {errors}"
        );
    }
    let (code, errors) = failing_start(&["-c", "/nowhere/at/all.properties"]);
    assert_eq!(code, Some(2));
    assert!(errors.contains("/nowhere/at/all.properties"), "{errors}");
}

#[test]
fn the_lines_that_test_containers_wait_for_are_printed_when_asked_for() {
    let dir = TestDir::new();
    let broker = Broker::start_with(dir.path(), &[("OTTLA_COMPAT_LOG", "1")]);
    let plain = Broker::dev();
    assert!(!plain.greeting.contains("Kafka Server started"));
    assert!(
        broker.greeting.contains("Kafka Server started"),
        "{}",
        broker.greeting
    );
    assert!(
        broker.greeting.contains("[KafkaServer id=1] started"),
        "{}",
        broker.greeting
    );
}

#[test]
fn foreign_protocols_on_the_kafka_port_are_named() {
    let dir = TestDir::new();
    let broker = Broker::start(dir.path());
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01],
        b"SSH-2.0-x\r\n",
    ] {
        let mut stream = TcpStream::connect(&broker.bootstrap).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
    }
    let (status, log) = broker.stop();
    assert_eq!(status.code(), Some(0));
    for expected in ["an HTTP request", "a TLS ClientHello", "an SSH banner"] {
        assert!(log.contains(expected), "{expected} is not in: {log}");
    }
}

#[test]
fn dev_makes_the_topics_it_is_asked_for() {
    let broker = Broker::dev_with(&["-t", "orders:6", "-t", "plain"]);
    // They are made right after the greeting: whoever asks too early asks again.
    let listed = || broker.command(&["topic", "list", "--format", "json"]);
    let started = std::time::Instant::now();
    let mut topics = listed();
    while !(topics.contains("orders") && topics.contains("plain")) {
        assert!(
            started.elapsed() < std::time::Duration::from_secs(20),
            "{topics}"
        );
        topics = listed();
    }
    let topics: serde_json::Value = serde_json::from_str(&topics).unwrap();
    assert_eq!(topics["topics"][0]["partitions"], 6);
    assert_eq!(topics["topics"][1]["partitions"], 1);
}
