use std::io::{BufRead, BufReader};
use std::process::Command;

use serde_json::Value;

use crate::broker::{Broker, OTTLA, TestDir};

fn json(broker: &Broker, arguments: &[&str]) -> Value {
    let text = broker.command(&[arguments, &["--format", "json"]].concat());
    serde_json::from_str(&text).expect("it is JSON")
}

/// A topic with two partitions of ten records each.
fn filled() -> Broker {
    let broker = Broker::dev();
    broker.command(&["topic", "create", "t", "-p", "2"]);
    for partition in ["0", "1"] {
        let lines: String = (0..10).map(|number| format!("{number}\n")).collect();
        let output = broker.command_with(&["produce", "t", "-p", partition], &lines);
        assert!(output.status.success(), "{output:?}");
    }
    broker
}

#[test]
fn a_group_reads_on_where_it_stopped_and_says_how_far_it_is_behind() {
    let broker = filled();
    let read = |count| {
        let text = broker.command(&["consume", "t", "-g", "g", "-n", count, "-f", "%p/%o\\n"]);
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut seen = read("5");
    seen.extend(read("8"));
    let described = json(&broker, &["group", "describe", "g"]);
    let group = &described["groups"][0];
    assert_eq!(group["state"], "Empty");
    assert_eq!(group["status"], "stopped");
    assert_eq!(group["lag"], 7);
    assert!(group["behind_ms"].as_i64().expect("there is lag") >= 0);
    seen.extend(
        broker
            .command(&["consume", "t", "-g", "g", "-e", "-f", "%p/%o\\n"])
            .lines()
            .map(str::to_owned),
    );
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 20, "everything once");
    assert_eq!(
        json(&broker, &["group", "describe", "g"])["groups"][0]["lag"],
        0
    );
    let text = broker.command(&["group", "describe", "g"]);
    assert!(text.starts_with("g   Empty"), "{text}");
    let list = json(&broker, &["group", "list"]);
    assert_eq!(list["groups"][0]["group"], "g");
    assert_eq!(list["groups"][0]["state"], "Empty");
}

#[test]
fn the_list_of_topics_says_what_they_hold_and_who_reads_them() {
    let broker = filled();
    broker.command(&["topic", "create", "empty", "-p", "1"]);
    broker.command(&["consume", "t", "-g", "audit", "-e"]);
    broker.command(&["consume", "t", "-g", "billing", "-e"]);
    broker.command(&["group", "seek", "billing", "--to", "7"]);
    broker.command(&["topic", "trim", "t", "-o", "8", "-p", "0"]);
    let list = json(&broker, &["topic", "list"]);
    let topic = &list["topics"][1];
    assert_eq!(topic["name"], "t");
    assert_eq!(
        topic["records"], 12,
        "two in partition 0, ten in 1: {topic}"
    );
    let bytes = topic["bytes"].as_u64().expect("a size");
    let groups = serde_json::json!([
        { "group": "audit", "lag": 0 },
        { "group": "billing", "lag": 5 },
    ]);
    assert_eq!(topic["groups"], groups, "what was trimmed is not behind");
    assert_eq!(list["topics"][0]["records"], 0);
    assert_eq!(list["topics"][0]["groups"], serde_json::json!([]));
    let sizes = json(&broker, &["topic", "size", "t"]);
    assert_eq!(sizes["sizes"][0]["bytes"], bytes);
    let wide = broker.command(&["topic", "list", "^t$", "--format", "wide"]);
    let lines: Vec<&str> = wide.lines().collect();
    let headings = "NAME  PARTITIONS  REPLICAS  SIZE";
    assert!(lines[0].starts_with(headings), "{wide}");
    assert!(lines[0].ends_with("RECORDS  GROUPS (LAG)"), "{wide}");
    assert!(
        lines[1].ends_with("  12       audit (0), billing (5)"),
        "{wide}"
    );
    assert_eq!(lines.len(), 2, "{wide}");
    let text = broker.command(&["topic", "list", "^t$"]);
    assert!(!text.contains("audit"), "{text}");
    // A command that has nothing more to say is none the worse.
    assert_eq!(
        broker.command(&["group", "list", "--format", "wide"]),
        broker.command(&["group", "list"])
    );
}

#[test]
fn a_group_is_moved_as_planned_and_forgotten() {
    let broker = filled();
    broker.command(&["consume", "t", "-g", "g", "-e"]);
    let committed = || {
        let described = json(&broker, &["group", "describe", "g"]);
        let partitions = described["groups"][0]["partitions"].as_array().cloned();
        let offset = |row: &Value| row["committed"].as_i64().expect("a number");
        partitions
            .unwrap_or_default()
            .iter()
            .map(offset)
            .collect::<Vec<_>>()
    };
    assert_eq!(committed(), [10, 10]);
    let plan = json(&broker, &["group", "seek", "g", "--to", "-3", "--dry-run"]);
    assert_eq!(plan["partitions"][0]["from"], 10);
    assert_eq!(plan["partitions"][0]["to"], 7);
    assert_eq!(committed(), [10, 10], "only a plan");
    for (to, expected) in [
        ("-3", 7),
        ("+1", 8),
        ("start", 0),
        ("4", 4),
        ("end", 10),
        ("@0", 0),
    ] {
        broker.command(&["group", "seek", "g", "--to", to]);
        assert_eq!(committed(), [expected, expected], "{to}");
    }
    broker.command(&["group", "seek", "g", "--to", "end"]);
    broker.command(&["group", "seek", "g", "--to", "-3"]);
    assert_eq!(committed(), [7, 7]);
    broker.command(&["group", "seek", "g", "--undo"]);
    assert_eq!(committed(), [10, 10]);
    broker.command(&["group", "seek", "new", "--to", "start", "--topics", "t"]);
    broker.command(&["group", "seek", "new", "--undo"]);
    let none = broker.command_with(&["group", "seek", "new", "--undo"], "");
    assert_eq!(none.status.code(), Some(1), "{none:?}");
    let trend = broker.command(&["group", "describe", "g", "--trend", "10ms"]);
    assert!(trend.contains("  flat   "), "{trend}");
    let dir = TestDir::new();
    let file = dir.path().join("offsets");
    std::fs::write(&file, "# topic partition offset\nt 0 2\nt,1,3\n").expect("written");
    let file = file.to_str().expect("test directories are text");
    broker.command(&["group", "seek", "g", "--to-file", file]);
    assert_eq!(committed(), [2, 3]);
    broker.command(&["group", "seek", "other", "--to-group", "g"]);
    broker.command(&["group", "offset-delete", "g", "-t", "t:0"]);
    assert_eq!(committed(), [3]);
    broker.command(&["group", "delete", "g", "other"]);
    broker.command_with(&["group", "delete", "new"], "");
    assert_eq!(
        json(&broker, &["group", "list"])["groups"]
            .as_array()
            .map(Vec::len),
        Some(0)
    );
    let gone = broker.command_with(&["group", "describe", "g"], "");
    assert_eq!(gone.status.code(), Some(1));
    let wrong = broker.command_with(&["group", "seek", "g", "--to", "nowhere"], "");
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn a_command_gets_a_broker_of_its_own_and_gives_its_exit_code() {
    let script =
        format!("{OTTLA} produce greetings hello >&2 && {OTTLA} consume greetings -e -f %v");
    let output = Command::new(OTTLA)
        .args(["run", "--", "sh", "-c", &script])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello");
    let code = |script: &str| {
        let run = Command::new(OTTLA)
            .args(["run", "--", "sh", "-c", script])
            .output();
        run.expect("it runs").status.code()
    };
    assert_eq!(code("exit 7"), Some(7));
    assert_eq!(code("kill -9 $$"), Some(137));
    let missing = Command::new(OTTLA)
        .args(["run", "--", "/nowhere/at-all"])
        .output();
    assert_eq!(missing.expect("it runs").status.code(), Some(127));
}

#[test]
fn errors_are_explained() {
    let explain = |arguments: &[&str]| {
        Command::new(OTTLA)
            .arg("explain")
            .args(arguments)
            .output()
            .expect("it runs")
    };
    let output = explain(&["NOT_ENOUGH_REPLICAS"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("(19)") && text.contains("min.insync.replicas"),
        "{text}"
    );
    assert_eq!(explain(&["19"]).stdout, output.stdout);
    let json = explain(&["19", "-1", "--format", "json"]);
    let json: Value = serde_json::from_slice(&json.stdout).expect("flags may stand behind it");
    assert_eq!(json["_command"], "explain");
    assert_eq!(explain(&["gibberish"]).status.code(), Some(1));
    assert_eq!(explain(&[]).status.code(), Some(2));
}

#[test]
fn a_pattern_takes_in_topics_that_are_made_later() {
    let broker = Broker::dev();
    broker.command(&["topic", "create", "x-1", "y-1"]);
    broker.command(&["produce", "y-1", "unwanted"]);
    broker.command(&["produce", "x-1", "first"]);
    let mut reader = Command::new(OTTLA)
        .args([
            "consume", "x-.*", "-r", "-g", "g", "-n", "2", "-f", "%t %v\\n",
        ])
        .args(["-X", "metadata.max.age.ms=100", "-b", &broker.bootstrap])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut lines = BufReader::new(reader.stdout.take().expect("it is piped")).lines();
    let mut next = || lines.next().expect("there is a line").expect("it is text");
    assert_eq!(next(), "x-1 first");
    broker.command(&["topic", "create", "x-2"]);
    broker.command(&["produce", "x-2", "second"]);
    assert_eq!(next(), "x-2 second");
    assert!(reader.wait().expect("it ends").success());
}
