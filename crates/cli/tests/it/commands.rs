use std::process::Command;

use crate::broker::{Broker, OTTLA, TestDir};

fn lines(count: u32) -> String {
    (0..count).map(|number| format!("{number}\n")).collect()
}

#[test]
fn lines_go_in_and_come_out_in_order_with_every_codec() {
    let broker = Broker::dev();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("lines-{codec}");
        broker.command(&["topic", "create", &topic, "-p", "1"]);
        let input = lines(20_000);
        let output = broker.command_with(&["produce", &topic, "-z", codec], &input);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let read = broker.command(&["consume", &topic, "-o", "start:end", "-f", "%v\\n"]);
        assert!(read == input, "{codec}");
    }
}

#[test]
fn topics_are_made_shown_and_deleted() {
    let broker = Broker::dev();
    broker.command(&[
        "topic",
        "create",
        "a",
        "b",
        "-p",
        "3",
        "-c",
        "retention.ms=1000",
    ]);
    let list = broker.command(&["topic", "list", "--format", "json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["topics"].as_array().unwrap().len(), 2);
    assert_eq!(list["topics"][1]["name"], "b");
    assert_eq!(list["topics"][1]["partitions"], 3);
    let described = broker.command(&["topic", "describe", "a"]);
    assert!(described.contains("retention.ms = 1000"), "{described}");
    assert!(described.contains("PARTITION"), "{described}");
    let id = list["topics"][0]["id"].as_str().unwrap();
    let configs = broker.command(&["topic", "describe", "--topic-id", id, "-c"]);
    assert!(
        configs.starts_with("a  id ") && configs.contains("retention.ms"),
        "{configs}"
    );
    assert!(!configs.contains("PARTITION"), "{configs}");
    let partitions = broker.command(&["topic", "describe", "a", "-p"]);
    assert!(
        partitions.contains("PARTITION") && !partitions.contains("retention"),
        "{partitions}"
    );
    let unknown = broker.command_with(&["topic", "describe", "--topic-id", "x"], "");
    assert_eq!(unknown.status.code(), Some(1));
    let again = broker.command_with(&["topic", "create", "a", "c"], "");
    assert_eq!(again.status.code(), Some(1), "one of two failed");
    let errors = String::from_utf8(again.stderr).unwrap();
    assert!(errors.contains("a: TOPIC_ALREADY_EXISTS"), "{errors}");
    broker.command(&["topic", "create", "a", "--if-not-exists"]);
    broker.command(&["topic", "delete", "a", "b", "c"]);
    assert_eq!(
        broker.command(&["topic", "list"]).lines().count(),
        1,
        "only the headings"
    );
}

#[test]
fn offsets_and_ranges_select_records() {
    let broker = Broker::dev();
    broker.command(&["topic", "create", "t", "-p", "1"]);
    broker.command_with(&["produce", "t", "-f", "%k:%v\\n"], "a:1\nb:2\nc:3\nd:4\n");
    let read = |range: &str| broker.command(&["consume", "t", "-o", range, "-f", "%k%v "]);
    for (range, expected) in [
        ("start:end", "a1 b2 c3 d4 "),
        ("1:3", "b2 c3 "),
        ("-1:end", "d4 "),
        ("+3:end", "d4 "),
        ("@-1h:end", "a1 b2 c3 d4 "),
        ("end:end", ""),
    ] {
        assert_eq!(read(range), expected, "{range}");
    }
    assert_eq!(
        broker.command(&["consume", "t", "-n", "2", "-f", "%v"]),
        "12"
    );
    let offsets = broker.command(&["topic", "offsets", "t", "--format", "json"]);
    let offsets: serde_json::Value = serde_json::from_str(&offsets).unwrap();
    assert_eq!(offsets["partitions"][0]["first"], 0);
    assert_eq!(offsets["partitions"][0]["next"], 4);
}

#[test]
fn records_are_json_unless_a_format_is_given() {
    let broker = Broker::dev();
    let said = broker.command(&["produce", "orders", r#"{"id":1,"eur":42.50}"#, "-k", "1"]);
    assert_eq!(said, "orders[0] @ 0\n");
    let line = broker.command(&["consume", "orders", "-n", "1"]);
    assert!(
        line.contains(r#""key":"1","value":{"id":1,"eur":42.50}"#),
        "{line}"
    );
    let record: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(record["offset"], 0);
}

#[test]
fn failures_say_what_and_end_with_1_and_wrong_usage_with_2() {
    let broker = Broker::dev();
    for (arguments, code, expected) in [
        (
            &["topic", "describe", "absent"][..],
            1,
            "absent: UNKNOWN_TOPIC_OR_PARTITION",
        ),
        (
            &["consume", "absent", "-n", "1"],
            1,
            "absent: UNKNOWN_TOPIC_OR_PARTITION",
        ),
        (
            &["produce", "absent", "x", "--no-create"],
            1,
            "UNKNOWN_TOPIC_OR_PARTITION",
        ),
        (&["consume", "absent", "-o", "nonsense"], 2, "-o nonsense"),
        (&["topic", "frobnicate"], 2, "frobnicate"),
        (&["topic", "create", "x", "-c", "novalue"], 2, "novalue"),
    ] {
        let output = broker.command_with(arguments, "");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
        assert!(output.stdout.is_empty(), "{arguments:?}: data on stdout");
    }
    broker.command(&["topic", "create", "orders"]);
    for command in [
        &["produce", "ordres", "x", "--no-create"][..],
        &["consume", "ordres"],
    ] {
        let output = broker.command_with(command, "");
        let errors = String::from_utf8(output.stderr).unwrap();
        assert!(errors.contains("did you mean orders?"), "{errors}");
    }
    let nobody = Command::new(OTTLA)
        .args(["topic", "list", "-b", "127.0.0.1:1"])
        .output();
    let nobody = nobody.unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        String::from_utf8(nobody.stderr)
            .unwrap()
            .contains("127.0.0.1:1")
    );
}

/// Standard output of a command that must end with `code`.
fn ends_with(broker: &Broker, code: i32, arguments: &[&str]) -> String {
    let output = broker.command_with(arguments, "");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn topics_are_configured_grown_trimmed_and_measured() {
    let broker = Broker::dev();
    broker.command(&["topic", "create", "orders", "-p", "2"]);

    let set = ["topic", "config", "orders", "set", "retention.ms=3600000"];
    assert!(broker.command(&set).contains("retention.ms  is changed"));
    let shown = broker.command(&["topic", "config", "orders"]);
    assert!(shown.contains("retention.ms  3600000  topic"), "{shown}");
    assert!(
        !shown.contains("segment.bytes"),
        "only what is set: {shown}"
    );
    let all = broker.command(&["topic", "config", "orders", "--all"]);
    assert!(all.contains("segment.bytes"), "{all}");
    let dry = [
        "topic",
        "config",
        "orders",
        "unset",
        "retention.ms",
        "--dry-run",
    ];
    assert!(broker.command(&dry).contains("would be changed"));
    assert!(
        broker
            .command(&["topic", "config", "orders"])
            .contains("3600000")
    );
    broker.command(&["topic", "config", "orders", "unset", "retention.ms"]);
    assert!(
        !broker
            .command(&["topic", "config", "orders"])
            .contains("3600000")
    );
    ends_with(
        &broker,
        1,
        &["topic", "config", "orders", "set", "retention.ms=soon"],
    );
    ends_with(
        &broker,
        1,
        &["topic", "config", "missing", "set", "retention.ms=1"],
    );
    ends_with(&broker, 2, &["topic", "config", "orders", "retention.ms=1"]);

    let grown = broker.command(&["topic", "add-partitions", "orders", "--to", "3"]);
    assert_eq!(grown, "orders  has 3 partitions, before 2\n");
    ends_with(
        &broker,
        1,
        &["topic", "add-partitions", "orders", "--to", "3"],
    );
    ends_with(
        &broker,
        1,
        &["topic", "add-partitions", "missing", "--to", "3"],
    );

    let input: String = (0..10).map(|number| format!("{number}\n")).collect();
    let written = broker.command_with(&["produce", "orders", "-p", "1"], &input);
    assert!(written.status.success());
    let trim = ["topic", "trim", "orders", "-p", "1", "-o", "4"];
    let planned = broker.command(&[&trim[..], &["--dry-run"]].concat());
    assert!(planned.contains("orders  1          4      4"), "{planned}");
    let all = ["consume", "orders", "-o", "start:end", "-f", "%v,"];
    assert_eq!(broker.command(&all), "0,1,2,3,4,5,6,7,8,9,");
    broker.command(&trim);
    assert_eq!(broker.command(&all), "4,5,6,7,8,9,");
    ends_with(
        &broker,
        1,
        &["topic", "trim", "orders", "-p", "1", "-o", "100"],
    );
    ends_with(
        &broker,
        1,
        &["topic", "trim", "orders", "-p", "9", "-o", "1"],
    );
    ends_with(&broker, 2, &["topic", "trim", "orders", "-o", "soon"]);
    let json = ["topic", "trim", "orders", "-o", "end", "--format", "json"];
    let json: serde_json::Value = serde_json::from_str(&broker.command(&json)).unwrap();
    assert_eq!(json["_command"], "topic.trim");
    assert_eq!(json["partitions"][1]["deleted"], 6);
    assert_eq!(broker.command(&all), "");

    broker.command(&["topic", "create", "empty"]);
    let sizes = broker.command(&["topic", "size"]);
    let topics: Vec<&str> = sizes
        .lines()
        .filter_map(|line| line.split("  ").next())
        .collect();
    assert_eq!(
        topics,
        ["TOPIC", "orders", "empty"],
        "the largest first: {sizes}"
    );
    let json = [
        "topic",
        "size",
        "orders",
        "--by",
        "partition",
        "--format",
        "json",
    ];
    let json: serde_json::Value = serde_json::from_str(&broker.command(&json)).unwrap();
    assert_eq!(json["sizes"][0]["partition"], 1);
    assert_eq!(json["sizes"].as_array().unwrap().len(), 3);
    ends_with(&broker, 1, &["topic", "size", "missing"]);
}

#[test]
fn formats_and_conditions_select_and_show_records() {
    let broker = Broker::dev();
    broker.command(&[
        "topic",
        "create",
        "orders-eu",
        "orders-us",
        "other",
        "-p",
        "1",
    ]);
    let input = "6b31 2 a=1;b=x;{\"eur\": 5}\n6b32 0 {\"eur\": 50}\n";
    let format = "%k{hex} %H %h{%k=%v;}%v{json}\\n";
    let written = broker.command_with(&["produce", "orders-eu", "-f", format], input);
    assert!(written.status.success(), "{written:?}");
    broker.command(&["produce", "orders-us", r#"{"eur":70}"#, "-z", "gzip"]);
    let read =
        |arguments: &[&str]| broker.command(&[&["consume", "-o", "start:end"], arguments].concat());
    let shown = read(&["orders-eu", "-f", "%i %k{base64} %h{<%k:%v{hex}>} %V %]\\n"]);
    assert_eq!(shown, "1 azE= <a:31><b:78> 10 2\n2 azI=  11 2\n");
    let rich = [
        "--where",
        "value.eur > 10",
        "-f",
        "%i:%t:%v:%a{compression}\\n",
    ];
    let shown = read(&[&["-r", "orders-.*"][..], &rich].concat());
    let mut lines: Vec<&str> = shown.lines().map(|line| &line[2..]).collect();
    lines.sort_unstable();
    let expected = [
        "orders-eu:{\"eur\": 50}:none",
        "orders-us:{\"eur\":70}:gzip",
    ];
    assert_eq!(lines, expected, "{shown}");
    assert_eq!(
        read(&[
            "orders-eu",
            "--where",
            "headers.a == 1",
            "--kcat-format",
            "%o/%K/%s\\n"
        ]),
        "0/2/{\"eur\": 5}\n"
    );
    let grouped = ["-g", "g", "--where", "offset == 1", "-f", "%k"];
    let grouped = broker.command(&[&["consume", "orders-eu", "-e"], &grouped[..]].concat());
    assert_eq!(grouped, "k2");
    for wrong in [
        &["consume", "orders-eu", "--where", "value.eur >"][..],
        &["consume", "orders-eu", "-f", "%q"],
        &["consume", "orders-eu", "-r", "("],
        &["topic", "list", "("],
    ] {
        ends_with(&broker, 2, wrong);
    }
    ends_with(&broker, 1, &["consume", "-r", "nothing.*"]);
    let names = broker.command(&["topic", "list", "^orders", "--format", "json"]);
    let names: serde_json::Value = serde_json::from_str(&names).unwrap();
    assert_eq!(names["topics"].as_array().unwrap().len(), 2);
}

#[test]
fn figures_are_measured() {
    let broker = Broker::dev();
    let json = |arguments: &[&str]| -> serde_json::Value {
        let text = broker.command(&[arguments, &["--format", "json"]].concat());
        serde_json::from_str(&text).unwrap()
    };
    let written = json(&[
        "bench", "produce", "load", "-n", "3000", "-s", "100", "-p", "2",
    ]);
    assert_eq!(written["records"], 3000);
    assert_eq!(written["bytes"], 300_000);
    assert!(written["latency_ms"]["p99"].as_f64() <= written["latency_ms"]["max"].as_f64());
    let read = json(&["bench", "consume", "load"]);
    assert_eq!(read["records"], 3000);
    let trips = json(&["bench", "e2e", "load", "-n", "10"]);
    assert_eq!(trips["records"], 10);
    let paced = ["bench", "produce", "load", "-n", "50", "--rate", "500"];
    let paced = json(&paced);
    assert!(
        paced["seconds"].as_f64() >= Some(0.09),
        "50 at 500/s: {paced}"
    );
    let text = broker.command(&["bench", "e2e", "load", "-n", "5"]);
    assert!(text.starts_with("latency in ms: mean "), "{text}");
    ends_with(&broker, 2, &["bench", "produce", "load", "--rate", "0"]);
}

#[test]
fn configurations_of_everything_say_where_they_come_from() {
    let broker = Broker::dev();
    broker.command(&["topic", "create", "orders"]);
    let json = |arguments: &[&str]| -> serde_json::Value {
        let text = broker.command(&[arguments, &["--format", "json"]].concat());
        serde_json::from_str(&text).unwrap()
    };
    broker.command(&["config", "cluster", "set", "log.retention.ms=7200000"]);
    let shown = broker.command(&["config", "cluster"]);
    assert!(
        shown.contains("log.retention.ms  7200000  all brokers"),
        "{shown}"
    );
    let got = json(&["config", "topic", "orders", "get", "retention.ms"]);
    assert_eq!(got["configs"][0]["value"], "7200000");
    assert_eq!(got["configs"][0]["source"], "all brokers");
    broker.command(&["topic", "config", "orders", "set", "retention.ms=60000"]);
    let got = broker.command(&["topic", "config", "orders", "get", "retention.ms"]);
    assert!(got.starts_with("retention.ms = 60000   topic\n"), "{got}");
    assert!(
        got.contains("before that: log.retention.ms = 7200000   all brokers"),
        "{got}"
    );
    broker.command(&["config", "cluster", "unset", "log.retention.ms"]);
    assert_eq!(broker.command(&["config", "cluster"]).lines().count(), 1);
    let typo = broker.command_with(&["topic", "config", "orders", "get", "retentoin.ms"], "");
    assert_eq!(typo.status.code(), Some(1));
    let errors = String::from_utf8(typo.stderr).unwrap();
    assert!(errors.contains("did you mean retention.ms?"), "{errors}");
    assert!(
        broker
            .command(&["config", "broker", "1", "--all"])
            .contains("started with")
    );
    ends_with(&broker, 1, &["config", "broker", "77"]);
}

#[test]
fn a_cluster_says_how_it_is() {
    let broker = Broker::dev();
    broker.command(&["topic", "create", "orders", "-p", "3"]);
    let json = |arguments: &[&str]| -> serde_json::Value {
        let text = broker.command(&[arguments, &["--format", "json"]].concat());
        serde_json::from_str(&text).unwrap()
    };
    let status = json(&["status", "--until-healthy"]);
    assert_eq!(status["healthy"], true);
    assert_eq!(status["brokers"][0]["leads"], 3);
    assert_eq!(status["topics"], 1);
    let text = broker.command(&["status"]);
    assert!(
        text.contains("healthy") && text.contains("1 topic, 3 partitions"),
        "{text}"
    );
    let id = json(&["cluster", "id"])["cluster_id"].clone();
    assert_eq!(status["cluster_id"], id);
    let versions = json(&["cluster", "api-versions"]);
    let apis = versions["brokers"][0]["apis"].as_array().unwrap().clone();
    assert!(
        apis.iter()
            .any(|api| api["name"] == "Fetch" && api["min"] == 4),
        "{versions}"
    );
    let diff = json(&["cluster", "api-versions", "--diff", "kafka-4.4"]);
    let diff = diff["brokers"][0]["apis"].as_array().unwrap().clone();
    assert!(
        diff.iter().all(|api| api["name"] != "Fetch"),
        "the same as Kafka's: {diff:?}"
    );
    let quorum = json(&["cluster", "quorum"]);
    assert_eq!(quorum["replicas"][0]["leader"], true);
    assert_eq!(quorum["replicas"][0]["lag"], 0);
    let features = json(&["cluster", "features"]);
    assert!(
        features["features"]
            .to_string()
            .contains("metadata.version"),
        "{features}"
    );
    for command in [
        &["cluster", "quorum"][..],
        &["cluster", "features"],
        &["cluster", "api-versions"],
    ] {
        assert!(broker.command(command).lines().count() > 1, "{command:?}");
    }
    let doctor = json(&["doctor"]);
    assert_eq!(doctor["problems"], 0, "{doctor}");
    let doctor = broker.command(&["doctor"]);
    assert!(doctor.contains("✔ tcp "), "{doctor}");
    assert!(doctor.contains("✔ clock of broker 1 "), "{doctor}");
    let nobody = Command::new(OTTLA)
        .args(["doctor", "-b", "127.0.0.1:1"])
        .output()
        .unwrap();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(
        String::from_utf8(nobody.stdout)
            .unwrap()
            .contains("✘ tcp 127.0.0.1:1")
    );
    assert_eq!(broker.command(&["status", "-q"]), "");
    for senseless in [
        &["config", "cluster", "set", "x"][..],
        &["topic", "config", "t", "retention.ms=1"],
    ] {
        let nowhere = [senseless, &["-b", "127.0.0.1:1"]].concat();
        let refused = Command::new(OTTLA).args(nowhere).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "it need not be asked");
    }
    let absent = ["status", "-b", "127.0.0.1:1", "--timeout", "200ms"];
    let absent = Command::new(OTTLA).args(absent).output().unwrap();
    assert_eq!(absent.status.code(), Some(1));
}

#[test]
fn the_doctor_sees_addresses_that_clients_cannot_reach() {
    let nowhere = "advertised.listeners=PLAINTEXT://broker.invalid:9092";
    let broker = Broker::dev_with(&["--set", nowhere]);
    let output = broker.command_with(&["doctor"], "");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("✘ advertised address broker.invalid:9092 of broker 1"),
        "{text}"
    );
    assert!(
        text.contains("it tells clients to use broker.invalid:9092"),
        "{text}"
    );
}

#[test]
fn a_protected_profile_has_deeds_confirmed() {
    let broker = Broker::dev();
    broker.command(&["topic", "create", "orders"]);
    let home = TestDir::new();
    let run = |arguments: &[&str]| {
        let output = Command::new(OTTLA)
            .args(arguments)
            .env("OTTLA_CONFIG_DIR", home.path())
            .env_remove("OTTLA_BOOTSTRAP_SERVERS")
            .env_remove("KAFKA_BOOTSTRAP_SERVERS")
            .stdin(std::process::Stdio::null())
            .output();
        let output = output.unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), errors)
    };
    let create = ["profile", "create", "prod", "--protected", "-b"];
    assert_eq!(
        run(&[&create[..], &[&broker.bootstrap]].concat()).0,
        Some(0)
    );
    for deed in [
        &["topic", "delete", "orders"][..],
        &["topic", "trim", "orders", "-o", "end"],
        &["topic", "config", "orders", "set", "retention.ms=1"],
        &["topic", "add-partitions", "orders", "--to", "9"],
        &["config", "cluster", "set", "log.retention.ms=1000"],
        &["group", "delete", "g"],
        &["group", "seek", "g", "--to", "end", "--topics", "orders"],
        &["group", "offset-delete", "g", "-t", "orders"],
    ] {
        let (code, errors) = run(deed);
        assert_eq!(code, Some(1), "{deed:?}: {errors}");
        assert!(errors.contains("profile prod is protected"), "{errors}");
        assert!(errors.contains("--yes"), "{errors}");
    }
    for harmless in [
        &["topic", "list"][..],
        &["topic", "create", "more"],
        &["topic", "config", "orders", "get", "retention.ms"],
        &["topic", "config", "orders"],
        &["topic", "trim", "orders", "-o", "end", "--dry-run"],
    ] {
        assert_eq!(run(harmless).0, Some(0), "{harmless:?}");
    }
    let also = broker.command(&["topic", "list"]);
    assert!(also.contains("orders"), "{also}");
    assert_eq!(run(&["topic", "delete", "more", "--yes"]).0, Some(0));
    // A profile may name more brokers than whoever asks.
    let servers = format!("elsewhere.invalid:9092, {}", broker.bootstrap);
    let replaced = [&create[..], &[&servers, "--replace"]].concat();
    assert_eq!(run(&replaced).0, Some(0));
    let property = format!("bootstrap.servers={}", broker.bootstrap);
    for named in [["-b", &broker.bootstrap], ["-X", &property]] {
        let (code, errors) = run(&[&["topic", "delete", "orders"], &named[..]].concat());
        assert_eq!(code, Some(1), "{named:?}: {errors}");
        assert!(errors.contains("profile prod is protected"), "{errors}");
    }
    // Another cluster is not the profile's.
    let other = Broker::dev();
    other.command(&["topic", "create", "orders"]);
    let delete = ["topic", "delete", "orders", "-b"];
    assert_eq!(run(&[&delete[..], &[&other.bootstrap]].concat()).0, Some(0));
}

#[test]
fn profiles_and_the_environment_name_the_cluster() {
    let broker = Broker::dev();
    broker.command(&["topic", "create", "orders"]);
    let home = TestDir::new();
    let run = |arguments: &[&str], environment: &[(&str, &str)]| {
        let output = Command::new(OTTLA)
            .args(arguments)
            .env("OTTLA_CONFIG_DIR", home.path())
            .env_remove("OTTLA_BOOTSTRAP_SERVERS")
            .env_remove("KAFKA_BOOTSTRAP_SERVERS")
            .envs(environment.iter().copied())
            .output();
        let output = output.unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let is_there = |(code, text): (Option<i32>, String)| code == Some(0) && text.contains("orders");
    let nobody = ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1");
    let list = ["topic", "list", "--timeout", "300ms"];
    let server = ("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap.as_str());
    assert!(is_there(run(&list, &[server])));
    let create = [
        "profile",
        "create",
        "test",
        "-b",
        &broker.bootstrap,
        "-X",
        "sasl.password=x",
    ];
    assert_eq!(run(&create, &[]).0, Some(0));
    assert_eq!(run(&create, &[]).0, Some(1), "it is there");
    assert!(is_there(run(&list, &[])));
    assert!(
        !is_there(run(&list, &[nobody])),
        "the environment goes before the profile"
    );
    let file = home.path().join("client.properties");
    std::fs::write(
        &file,
        format!("# servers\nbootstrap.servers={}\n", broker.bootstrap),
    )
    .unwrap();
    let with_file = [&list[..], &["-F", file.to_str().unwrap()]].concat();
    assert!(
        is_there(run(&with_file, &[nobody])),
        "a file goes before the environment"
    );
    let shown = run(&["profile", "show"], &[]).1;
    assert!(shown.contains("sasl.password=(hidden)"), "{shown}");
    assert_eq!(run(&["profile", "prompt"], &[]).1, "test\n");
    assert!(run(&["profile", "list"], &[]).1.contains("*  test"));
    assert_eq!(run(&["profile", "use", "absent"], &[]).0, Some(1));
    assert_eq!(run(&["profile", "show", "../x"], &[]).0, Some(2));
    assert_eq!(run(&["topic", "list", "-P", "absent"], &[]).0, Some(1));
    assert_eq!(run(&["profile", "delete", "test"], &[]).0, Some(0));
    assert_eq!(run(&["profile", "prompt"], &[]).1, "\n");
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            run(&["completion", shell], &[]).1.contains("until-healthy"),
            "{shell}"
        );
    }
}

#[test]
fn clusters_of_other_tools_become_profiles() {
    let broker = Broker::dev();
    broker.command(&["topic", "create", "orders"]);
    let home = TestDir::new();
    let run = |arguments: &[&str]| {
        let output = Command::new(OTTLA)
            .args(arguments)
            .env("OTTLA_CONFIG_DIR", home.path().join("ottla"))
            .env("XDG_CONFIG_HOME", home.path())
            .env_remove("OTTLA_BOOTSTRAP_SERVERS")
            .env_remove("KAFKA_BOOTSTRAP_SERVERS")
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let bootstrap = &broker.bootstrap;
    std::fs::create_dir(home.path().join("rpk")).unwrap();
    let yaml = format!(
        "profiles:\n- name: here\n  kafka_api:\n    brokers: ['{bootstrap}']\n- name: far\n  \
         kafka_api:\n    brokers: [f:1]\n    sasl: {{user: u, password: hunter2}}\n  admin_api: {{addresses: [f:2]}}\n"
    );
    std::fs::write(home.path().join("rpk/rpk.yaml"), yaml).unwrap();
    let (code, made, notes) = run(&["profile", "import", "--from", "rpk"]);
    assert_eq!((code, made.as_str()), (Some(0), "here\nfar\n"), "{notes}");
    assert!(
        notes.contains("note: far: not taken over: profiles[1].admin_api"),
        "{notes}"
    );
    assert!(
        notes.contains("far: the client of this program has neither TLS nor SASL"),
        "{notes}"
    );
    assert!(!notes.contains("hunter2"), "{notes}");
    let (code, topics, errors) = run(&["topic", "list", "-P", "here"]);
    assert!(code == Some(0) && topics.contains("orders"), "{errors}");
    let shown = run(&["profile", "show", "far"]).1;
    assert!(shown.contains("sasl.password=(hidden)"), "{shown}");
    assert_eq!(run(&["profile", "prompt"]).1, "\n", "none is in use");
    let again = run(&["profile", "import", "--from", "rpk", "--only", "here"]);
    assert_eq!(again.0, Some(1), "it is there: {}", again.2);
    let renamed = ["profile", "import", "--from", "rpk", "--name", "new"];
    assert_eq!(run(&renamed).0, Some(2), "there are two");
    let renamed = [&renamed[..], &["--only", "here"]].concat();
    assert_eq!(run(&renamed).1, "new\n");
    let absent = ["profile", "import", "--from", "rpk", "--only", "absent"];
    assert_eq!(run(&absent).0, Some(1));
    let file = home.path().join("kcl.toml");
    let file = file.to_str().unwrap();
    std::fs::write(file, "seed_brokers = ['k:1']\n").unwrap();
    assert_eq!(
        run(&["profile", "import", "--from", "kcl", file]).1,
        "kcl\n"
    );
    assert_eq!(
        run(&["profile", "show", "kcl"]).1,
        "bootstrap.servers=k:1\n"
    );
    std::fs::write(file, "# nothing\n").unwrap();
    let empty = ["profile", "import", "--from", "properties", file];
    let (code, _, errors) = run(&empty);
    assert!(
        code == Some(1) && errors.contains("names no brokers"),
        "{errors}"
    );
}

#[test]
fn a_client_logs_what_it_does_when_it_is_asked_to() {
    let broker = Broker::dev();
    let quiet = broker.command_with(&["topic", "list"], "");
    assert!(quiet.stderr.is_empty(), "{quiet:?}");
    let verbose = broker.command_with(&["topic", "list", "-v", "--no-color"], "");
    assert!(verbose.status.success());
    assert_eq!(verbose.stdout, quiet.stdout, "data is data");
    let log = String::from_utf8(verbose.stderr).unwrap();
    let line = format!("connected address=\"{}\"", broker.bootstrap);
    assert!(log.contains(&line), "{log}");
    assert!(!log.contains('\x1b'), "{log}");
}
