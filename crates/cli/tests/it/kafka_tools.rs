//! The binary under the names of Kafka's tools. What is expected is what Kafka 4.4's own print.

use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use crate::broker::{Broker, OTTLA};

fn tool(broker: &Broker, name: &str, arguments: &[&str], stdin: &str) -> Output {
    let mut process = Command::new(OTTLA)
        .arg0(name)
        .args(["--bootstrap-server", &broker.bootstrap])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut input = process.stdin.take().expect("it is piped");
    // A tool that needs no input may end before it was written.
    let _ = std::io::Write::write_all(&mut input, stdin.as_bytes());
    drop(input);
    process.wait_with_output().expect("it ended")
}

fn stdout(broker: &Broker, name: &str, arguments: &[&str]) -> String {
    let output = tool(broker, name, arguments, "");
    assert!(output.status.success(), "{name} {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("it is text")
}

#[test]
fn topics_and_offsets_have_kafka_s_columns() {
    let broker = Broker::dev();
    let topics = |arguments: &[&str]| stdout(&broker, "/opt/kafka/bin/kafka-topics.sh", arguments);
    let created = topics(&["--create", "--topic", "busy", "--partitions", "2"]);
    assert_eq!(created, "Created topic busy.\n");
    assert_eq!(topics(&["--list"]), "busy\n");
    let described = topics(&["--describe", "--topic", "busy"]);
    let mut lines = described.lines();
    let first: Vec<&str> = lines.next().unwrap().split('\t').collect();
    assert_eq!(first[0], "Topic: busy");
    assert!(
        first[1].starts_with("TopicId: ") && first[4].starts_with("Configs: "),
        "{first:?}"
    );
    assert_eq!(first[2..4], ["PartitionCount: 2", "ReplicationFactor: 1"]);
    let second = lines.next().unwrap();
    assert!(
        second.starts_with("\tTopic: busy\tPartition: 0\tLeader: "),
        "{second}"
    );
    assert!(second.ends_with("\tElr: \tLastKnownElr: "), "{second}");
    let again = tool(
        &broker,
        "kafka-topics",
        &["--create", "--topic", "busy"],
        "",
    );
    assert_eq!(again.status.code(), Some(1));
    topics(&["--create", "--if-not-exists", "--topic", "busy"]);
    let missing = tool(
        &broker,
        "kafka-topics",
        &["--describe", "--topic", "nosuch"],
        "",
    );
    assert_eq!(missing.status.code(), Some(1));
    topics(&["--alter", "--topic", "busy", "--partitions", "3"]);
    let offsets = stdout(
        &broker,
        "kafka-get-offsets.sh",
        &["--topic", "busy", "--time", "-1"],
    );
    assert_eq!(offsets, "busy:0:0\nbusy:1:0\nbusy:2:0\n");
    topics(&["--delete", "--topic", "busy"]);
    assert_eq!(topics(&["--list"]), "");
}

#[test]
fn groups_and_consoles_have_kafka_s_columns() {
    let broker = Broker::dev();
    stdout(
        &broker,
        "kafka-topics",
        &["--create", "--topic", "t", "--partitions", "1"],
    );
    let keyed = [
        "--topic",
        "t",
        "--property",
        "parse.key=true",
        "--property",
        "key.separator=:",
    ];
    let written = tool(&broker, "kafka-console-producer.sh", &keyed, "k:a\nk:b\n");
    assert!(
        written.status.success() && written.stdout.is_empty(),
        "{written:?}"
    );
    let read = stdout(
        &broker,
        "kafka-console-consumer.sh",
        &[
            "--topic",
            "t",
            "--from-beginning",
            "--max-messages",
            "2",
            "--group",
            "g",
            "--property",
            "print.key=true",
        ],
    );
    assert_eq!(read, "k\ta\nk\tb\n");
    let groups = |arguments: &[&str]| stdout(&broker, "kafka-consumer-groups.sh", arguments);
    assert_eq!(groups(&["--list"]), "g\n");
    assert_eq!(
        groups(&["--describe", "--group", "g"]),
        "\nGROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID     HOST            CLIENT-ID\n\
         g               t               0          2               2               0               -               -               -\n"
    );
    let state = groups(&["--describe", "--group", "g", "--state"]);
    assert!(
        state.starts_with(
            "\nGROUP           COORDINATOR (ID)          ASSIGNMENT-STRATEGY  STATE                #MEMBERS\n"
        ),
        "{state}"
    );
    let reset = [
        "--reset-offsets",
        "--group",
        "g",
        "--topic",
        "t",
        "--to-earliest",
    ];
    let plan = "\nGROUP           TOPIC           PARTITION  NEW-OFFSET\n\
                g               t               0          0\n";
    assert_eq!(groups(&[&reset[..], &["--dry-run"]].concat()), plan);
    assert!(groups(&["--describe", "--group", "g"]).contains(" 2               2 "));
    assert_eq!(groups(&[&reset[..], &["--execute"]].concat()), plan);
    assert!(groups(&["--describe", "--group", "g"]).contains(" 0               2 "));
    assert_eq!(
        groups(&["--delete", "--group", "g"]),
        "Deletion of requested consumer groups ('g') was successful.\n"
    );
    let none = tool(
        &broker,
        "kafka-consumer-groups",
        &["--list", "--describe"],
        "",
    );
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn clusters_are_named_and_need_no_formatting() {
    let broker = Broker::dev();
    let run = |name: &str, arguments: &[&str]| {
        let output = Command::new(OTTLA).arg0(name).args(arguments).output();
        let output = output.expect("the binary runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("it is text")
    };
    let named = run(
        "kafka-cluster.sh",
        &["cluster-id", "--bootstrap-server", &broker.bootstrap],
    );
    assert!(named.starts_with("Cluster ID: "), "{named}");
    assert_eq!(run("kafka-storage.sh", &["random-uuid"]).trim().len(), 22);
    run(
        "kafka-storage.sh",
        &["format", "-t", "x", "-c", "server.properties"],
    );
}
