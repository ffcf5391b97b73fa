//! The binary under the names of Kafka's tools. What is expected is what Kafka 4.4's own print.

use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use crate::broker::{Broker, OTTLA, TestDir};

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
fn what_is_not_built_is_said() {
    let broker = Broker::dev();
    for (arguments, says) in [
        (
            &["--describe", "--entity-type", "users"][..],
            "users cannot be configured: quotas and SCRAM",
        ),
        (
            &[
                "--alter",
                "--user",
                "u",
                "--add-config",
                "SCRAM-SHA-256=[password=x]",
            ],
            "SCRAM credentials are not built",
        ),
        (
            &[
                "--alter",
                "--entity-type",
                "users",
                "--entity-name",
                "u",
                "--entity-type",
                "clients",
                "--entity-name",
                "c",
                "--add-config",
                "producer_byte_rate=1",
            ],
            "quotas",
        ),
        (
            &["--describe", "--client-defaults"],
            "clients cannot be configured: quotas are not built",
        ),
        (
            &["--describe", "--ip", "127.0.0.1"],
            "ips cannot be configured: quotas are not built",
        ),
    ] {
        let refused = tool(&broker, "kafka-configs.sh", arguments, "");
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}");
        let errors = String::from_utf8(refused.stderr).unwrap();
        assert!(errors.contains(says), "{errors}");
    }
    for (name, code, says) in [
        ("kafka-acls.sh", 1, "ACLs are not built yet"),
        (
            "kafka-transactions",
            2,
            "instead: nothing: transactions are not built yet",
        ),
        (
            "kafka-metadata-quorum.sh",
            2,
            "instead: ottla cluster quorum",
        ),
        ("kafka-nonsense", 2, "cannot stand in for kafka-nonsense"),
    ] {
        let refused = tool(&broker, name, &["--list"], "");
        assert_eq!(refused.status.code(), Some(code), "{name}");
        let errors = String::from_utf8(refused.stderr).unwrap();
        assert!(errors.contains(says), "{errors}");
    }
}

#[test]
fn tools_tell_the_version_of_kafka_they_are_like() {
    let broker = Broker::dev();
    let version = stdout(&broker, "kafka-topics.sh", &["--version"]);
    assert_eq!(version, "4.4.0\n");
}

/// What the console consumer prints of all of `topic` with these arguments.
fn consumed(broker: &Broker, topic: &str, arguments: &[&str]) -> String {
    let all = [
        "--topic",
        topic,
        "--from-beginning",
        "--timeout-ms",
        "3000",
        "--max-messages",
    ];
    stdout(
        broker,
        "kafka-console-consumer",
        &[&all[..], arguments].concat(),
    )
}

#[test]
fn the_console_reads_and_prints_headers_nulls_and_numbers_as_kafka_s() {
    let broker = Broker::dev();
    stdout(
        &broker,
        "kafka-topics",
        &["--create", "--topic", "t", "--partitions", "1"],
    );
    let arguments = [
        "--topic",
        "t",
        "--reader-property",
        "parse.key=true",
        "--reader-property",
        "parse.headers=true",
        "--reader-property",
        "null.marker=NIL",
    ];
    let input = "h1:v1,h2:NIL\tk\tv\nNIL\tk2\tNIL\n";
    let produced = tool(&broker, "kafka-console-producer.sh", &arguments, input);
    assert!(produced.status.success(), "{produced:?}");
    assert_eq!(produced.stdout, b"");
    let printed = consumed(
        &broker,
        "t",
        &[
            "2",
            "--formatter-property",
            "print.headers=true",
            "--formatter-property",
            "print.key=true",
            "--formatter-property",
            "print.offset=true",
            "--formatter-property",
            "print.partition=true",
        ],
    );
    assert_eq!(
        printed,
        "Partition:0\tOffset:0\th1:v1,h2:null\tk\tv\nPartition:0\tOffset:1\tNO_HEADERS\tk2\tnull\n"
    );
    let lonely = tool(
        &broker,
        "kafka-console-producer",
        &arguments[..4],
        "k\tv\nlonely\n",
    );
    assert_eq!(lonely.status.code(), Some(1));
    let errors = String::from_utf8(lonely.stderr).unwrap();
    assert!(
        errors.contains("No key separator found on line number 2: 'lonely'"),
        "{errors}"
    );
    // What stood before it was written.
    let values = consumed(&broker, "t", &["3", "--property", "print.key=true"]);
    assert_eq!(values.lines().last(), Some("k\tv"));

    let number = ["produce", "n", "-f", "%v{hex}\n"];
    let written = broker.command_with(&number, "00000005\n");
    assert!(written.status.success(), "{written:?}");
    let class = "org.apache.kafka.common.serialization.IntegerDeserializer";
    let printed = consumed(&broker, "n", &["1", "--value-deserializer", class]);
    assert_eq!(printed, "5\n");
    let unknown = tool(
        &broker,
        "kafka-console-consumer",
        &["--topic", "n", "--formatter", "com.example.Avro"],
        "",
    );
    assert_eq!(unknown.status.code(), Some(2));
}

/// Kafka's console consumer may be started before there is anything to read.
#[test]
fn the_console_waits_for_its_topic() {
    let broker = Broker::dev();
    let waits = Command::new(OTTLA)
        .arg0("kafka-console-consumer")
        .args(["--bootstrap-server", &broker.bootstrap, "--topic", "late"])
        .args(["--from-beginning", "--max-messages", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    broker.command(&["topic", "create", "late", "-p", "1"]);
    broker.command(&["produce", "late", "hello"]);
    let output = waits.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("Processed a total of 1 messages"), "{told}");
    let absent = ["--topic", "absent", "--timeout-ms", "1"];
    assert_eq!(stdout(&broker, "kafka-console-consumer", &absent), "");
}

#[test]
fn leaders_are_elected_as_kafka_s_tool_says_it() {
    let broker = Broker::dev();
    broker.command(&["topic", "create", "t", "-p", "2"]);
    let elect = |arguments: &[&str]| {
        let preferred = ["--election-type", "PREFERRED"];
        tool(
            &broker,
            "kafka-leader-election.sh",
            &[&preferred[..], arguments].concat(),
            "",
        )
    };
    let one = elect(&["--topic", "t", "--partition", "1"]);
    assert!(one.status.success(), "{one:?}");
    let text = String::from_utf8(one.stdout).unwrap();
    assert_eq!(text, "Valid replica already elected for partitions t-1\n");
    let all = elect(&["--all-topic-partitions"]);
    assert!(all.status.success() && all.stdout.is_empty(), "{all:?}");
    let dir = TestDir::new();
    let file = dir.path().join("partitions.json");
    let partitions = r#"{"partitions":[{"topic":"t","partition":0},{"topic":"t","partition":9}]}"#;
    std::fs::write(&file, partitions).unwrap();
    let some = elect(&["--path-to-json-file", file.to_str().unwrap()]);
    assert_eq!(some.status.code(), Some(1));
    let text = String::from_utf8(some.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "Valid replica already elected for partitions t-0");
    let failed = "Error completing leader election (PREFERRED) for partition: t-9: UNKNOWN_TOPIC";
    assert!(lines[1].starts_with(failed), "{text}");
    for wrong in [
        &[][..],
        &["--topic", "t"],
        &["--all-topic-partitions", "--topic", "t", "--partition", "0"],
    ] {
        assert_eq!(elect(wrong).status.code(), Some(2), "{wrong:?}");
    }
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
    let patterns = ["--topic-partitions", "b.*:1-,none:0", "--time", "earliest"];
    let offsets = stdout(&broker, "kafka-get-offsets", &patterns);
    assert_eq!(offsets, "busy:1:0\nbusy:2:0\n");
    let nothing = tool(&broker, "kafka-get-offsets", &["--topic", "none"], "");
    assert_eq!(nothing.status.code(), Some(1));
    let warned = topics(&["--create", "--topic", "very_busy"]);
    assert!(
        warned.starts_with("WARNING: Due to limitations in metric names"),
        "{warned}"
    );
    topics(&["--delete", "--topic", "very_busy"]);
    topics(&["--delete", "--topic", "busy"]);
    assert_eq!(topics(&["--list"]), "\n");
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
    assert_eq!(
        groups(&["--describe", "--group", "g", "--verbose"]),
        "\nGROUP           TOPIC           PARTITION  LEADER-EPOCH    CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID     HOST            CLIENT-ID\n\
         g               t               0          -               2               2               0               -               -               -\n"
    );
    assert_eq!(
        groups(&["--describe", "--group", "g", "--members", "--verbose"]),
        "\nGROUP           CONSUMER-ID     HOST            CLIENT-ID       #PARTITIONS     \
         CURRENT-EPOCH   CURRENT-ASSIGNMENT   TARGET-EPOCH    TARGET-ASSIGNMENT   \n"
    );
    assert_eq!(
        groups(&["--list", "--state", "--type"]),
        "GROUP                     TYPE                 STATE               \n\
         g                         Classic              Empty               \n"
    );
    assert_eq!(
        groups(&["--validate-regex", "a.*"]),
        "The regular expression `a.*` is valid.\n"
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
    let port = broker.bootstrap.rsplit(':').next().unwrap();
    assert_eq!(
        run(
            "kafka-cluster.sh",
            &["list-endpoints", "--bootstrap-server", &broker.bootstrap]
        ),
        format!(
            "ID         HOST      PORT       RACK       STATE      ENDPOINT_TYPE  \n\
             1          127.0.0.1 {port:<10} null       unfenced   broker         \n"
        )
    );
    let versions = ["api-versions", "--bootstrap-server", &broker.bootstrap];
    assert!(run("kafka-cluster.sh", &versions).contains("\tFetch(1): 4 to "));
    assert_eq!(run("kafka-storage.sh", &["random-uuid"]).trim().len(), 22);
    run(
        "kafka-storage.sh",
        &["format", "-t", "x", "-c", "server.properties"],
    );
}

#[test]
fn configurations_and_directories_have_kafka_s_lines() {
    let broker = Broker::dev();
    let configs = |arguments: &[&str]| stdout(&broker, "kafka-configs.sh", arguments);
    stdout(
        &broker,
        "kafka-topics",
        &["--create", "--topic", "t", "--partitions", "1"],
    );
    let topic = ["--entity-type", "topics", "--entity-name", "t"];
    assert_eq!(
        configs(&[
            "--alter",
            "--topic",
            "t",
            "--add-config",
            "retention.ms=1000,segment.ms=[5]"
        ]),
        "Completed updating config for topic t.\n"
    );
    let shown = configs(&[&["--describe"], &topic[..]].concat());
    let line =
        "  retention.ms=1000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=1000";
    assert!(
        shown.starts_with("Dynamic configs for topic t are:\n"),
        "{shown}"
    );
    assert!(
        shown.contains(line) && shown.contains("  segment.ms=5 "),
        "{shown}"
    );
    assert_eq!(shown.lines().count(), 3);
    let all = configs(&["--describe", "--topic", "t", "--all"]);
    assert!(all.starts_with("All configs for topic t are:\n"), "{all}");
    assert!(all.contains("  cleanup.policy=delete sensitive=false synonyms={DEFAULT_CONFIG:"));
    configs(&[
        "--alter",
        "--topic",
        "t",
        "--delete-config",
        "retention.ms,segment.ms",
    ]);
    assert_eq!(
        configs(&["--describe", "--entity-type", "topics"]),
        "Dynamic configs for topic t are:\n"
    );
    let defaults = ["--entity-type", "brokers", "--entity-default"];
    assert_eq!(
        configs(
            &[
                &["--alter", "--add-config", "log.cleaner.threads=2"],
                &defaults[..]
            ]
            .concat()
        ),
        "Completed updating default config for brokers in the cluster.\n"
    );
    let shown = configs(&["--describe", "--broker-defaults"]);
    assert!(
        shown.contains(
            "  log.cleaner.threads=2 sensitive=false synonyms={DYNAMIC_DEFAULT_BROKER_CONFIG:"
        ),
        "{shown}"
    );
    assert_eq!(
        configs(&["--describe", "--topic", "absent"]),
        "The topic 'absent' doesn't exist and doesn't have dynamic config.\n"
    );
    for wrong in [
        &["--describe"][..],
        &["--alter", "--topic", "t"],
        &["--topic", "t"],
    ] {
        assert_eq!(
            tool(&broker, "kafka-configs", wrong, "").status.code(),
            Some(2)
        );
    }
    let dirs = stdout(
        &broker,
        "kafka-log-dirs.sh",
        &["--describe", "--topic-list", "t"],
    );
    let lines: Vec<&str> = dirs.lines().collect();
    assert_eq!(lines[0], "Querying brokers for log directories information");
    assert_eq!(
        lines[1],
        "Received log directory information from brokers 1"
    );
    let start = "{\"brokers\":[{\"broker\":1,\"logDirs\":[{\"partitions\":[{\"partition\":\"t-0\",\"size\":0,";
    assert!(lines[2].starts_with(start), "{dirs}");
    let json: serde_json::Value = serde_json::from_str(lines[2]).unwrap();
    assert_eq!(json["version"], 1);
    let versions = stdout(&broker, "kafka-broker-api-versions.sh", &[]);
    let head = format!(
        "{} (id: 1 rack: null isFenced: false) -> (\n",
        broker.bootstrap
    );
    assert!(versions.starts_with(&head), "{versions}");
    assert!(
        versions.contains("\n\tProduce(0): 0 to 13 [usable: 13],\n"),
        "{versions}"
    );
    assert!(versions.ends_with("\n)\n"));
}

#[test]
fn records_are_deleted_and_measured_as_kafka_s_tools_say_it() {
    let broker = Broker::dev();
    let perf = |name: &str, arguments: &[&str]| {
        stdout(&broker, name, &[arguments, &["--topic", "t"]].concat())
    };
    let topics = ["--create", "--topic", "t", "--partitions", "1"];
    stdout(&broker, "kafka-topics", &topics);
    let sent = [
        "--num-records",
        "5000",
        "--record-size",
        "100",
        "--throughput",
        "-1",
        "--producer-props",
        "acks=all",
        "linger.ms=1",
    ];
    let sent = perf("kafka-producer-perf-test.sh", &sent);
    let words: Vec<&str> = sent.split_whitespace().collect();
    assert_eq!(words[..3], ["5000", "records", "sent,"], "{sent}");
    assert_eq!(words[4], "records/sec");
    assert_eq!(
        words[words.len() - 3..],
        [words[words.len() - 3], "ms", "99.9th."]
    );
    let read = perf("kafka-consumer-perf-test.sh", &["--num-records", "5000"]);
    let lines: Vec<&str> = read.lines().collect();
    assert!(
        lines[0].starts_with("start.time, end.time, data.consumed.in.MB, MB.sec,"),
        "{read}"
    );
    let cells: Vec<&str> = lines[1].split(", ").collect();
    assert_eq!(cells.len(), 10, "{read}");
    assert_eq!(cells[4], "5000");
    let trips = [
        "--num-records",
        "20",
        "--producer-acks",
        "all",
        "--record-size",
        "10",
    ];
    let trips = perf("kafka-e2e-latency.sh", &trips);
    let lines: Vec<&str> = trips.lines().collect();
    assert!(lines[0].starts_with("0\t"), "{trips}");
    assert!(
        lines[1].starts_with("Avg latency: ") && lines[1].ends_with(" ms"),
        "{trips}"
    );
    assert!(lines[2].starts_with("Percentiles: 50th = "), "{trips}");
    let dir = TestDir::new();
    let file = dir.path().join("offsets.json");
    let offsets = r#"{"partitions":[{"topic":"t","partition":0,"offset":7}],"version":1}"#;
    std::fs::write(&file, offsets).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(
        stdout(
            &broker,
            "kafka-delete-records.sh",
            &["--offset-json-file", file]
        ),
        "Executing records delete operation\nRecords delete operation completed:\n\
         partition: t-0\tlow_watermark: 7\n"
    );
    let groups = stdout(&broker, "kafka-groups.sh", &["--list"]);
    let lines: Vec<&str> = groups.lines().collect();
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        ["GROUP", "TYPE", "PROTOCOL"]
    );
    let cells: Vec<&str> = lines[1].split_whitespace().collect();
    assert!(cells[0].starts_with("perf-consumer-") && cells[1..] == ["Classic", "consumer"]);
    let reset = |more: &[&str]| {
        let arguments = ["--reset-offsets", "--group", cells[0]];
        stdout(
            &broker,
            "kafka-consumer-groups.sh",
            &[&arguments, more].concat(),
        )
    };
    let plan = reset(&["--topic", "t", "--to-offset", "100", "--export"]);
    assert_eq!(plan, "t,0,100\n\n");
    let file = dir.path().join("plan.csv");
    std::fs::write(&file, plan).unwrap();
    let moved = reset(&["--from-file", file.to_str().unwrap(), "--execute"]);
    assert!(moved.contains(" 0          100\n"), "{moved}");
}

#[test]
fn topics_are_named_by_pattern_and_filtered() {
    let broker = Broker::dev();
    let topics = |arguments: &[&str]| stdout(&broker, "kafka-topics.sh", arguments);
    topics(&["--create", "--topic", "a-1", "--config", "retention.ms=1"]);
    topics(&["--create", "--topic", "a-2", "--replica-assignment", "1,1"]);
    topics(&["--create", "--topic", "b"]);
    assert_eq!(topics(&["--list", "--topic", "a-.*"]), "a-1\na-2\n");
    let described = topics(&["--describe", "--topics-with-overrides"]);
    assert!(
        described.starts_with("Topic: a-1\t") && described.lines().count() == 1,
        "{described}"
    );
    assert_eq!(topics(&["--describe", "--under-min-isr-partitions"]), "");
    assert_eq!(
        topics(&["--describe", "--at-min-isr-partitions", "--topic", "a-2"])
            .lines()
            .count(),
        2
    );
    topics(&["--delete", "--topic", "a-.*"]);
    assert_eq!(topics(&["--list"]), "b\n");
    tool(
        &broker,
        "kafka-console-producer",
        &["--topic", "b", "--batch-size", "100"],
        "x\n",
    );
    let read = [
        "--include",
        "b.*",
        "--from-beginning",
        "--timeout-ms",
        "2000",
    ];
    assert_eq!(stdout(&broker, "kafka-console-consumer", &read), "x\n");
}
