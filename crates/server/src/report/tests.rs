use std::collections::BTreeSet;
use std::path::Path;

use ottla_broker::config::{BrokerConfig, ConfigSources, Strictness};

use super::jmx_names::JMX_NAMES;
use crate::http::{MetricNames, Report};
use crate::{DataPlace, Server};

/// A broker in memory that leads its metadata and tells all there is to tell.
fn started() -> Server {
    let settings = [
        "node.id=7",
        "listeners=PLAINTEXT://127.0.0.1:0",
        "ottla.http.port=-1",
        "ottla.metrics.level=client",
    ];
    let sources = ConfigSources {
        files: Vec::new(),
        environment: Vec::new(),
        settings: settings.iter().map(ToString::to_string).collect(),
        strictness: Strictness::Strict,
    };
    let config = BrokerConfig::load(&sources).expect("it is right").config;
    let server = Server::start(config, DataPlace::Memory).expect("it starts");
    while !server.report.broker.is_ready() {
        std::thread::yield_now();
    }
    server
}

/// The values of all samples of `name`, whatever their labels.
fn values(text: &str, name: &str) -> Vec<f64> {
    let samples = text.lines().filter_map(|line| {
        let (head, value) = line.rsplit_once(' ')?;
        let is_it = head == name || head.starts_with(&format!("{name}{{"));
        is_it.then(|| value.parse().expect("a number"))
    });
    samples.collect()
}

fn families(text: &str) -> BTreeSet<&str> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter_map(|line| line.split(' ').next()).collect()
}

#[test]
fn the_usual_alerts_for_kafka_can_be_evaluated_and_are_quiet() {
    let server = started();
    let text = server.report.metrics(MetricNames::Jmx);
    for name in [
        "kafka_server_replicamanager_underreplicatedpartitions",
        "kafka_server_replicamanager_underminisrpartitioncount",
        "kafka_controller_kafkacontroller_offlinepartitionscount",
        "kafka_log_logmanager_offlinelogdirectorycount",
    ] {
        assert_eq!(values(&text, name), [0.0], "{name} in\n{text}");
    }
    for (name, value) in [
        (
            "kafka_controller_kafkacontroller_activecontrollercount",
            1.0,
        ),
        ("kafka_server_raftmetrics_current_leader", 7.0),
    ] {
        assert_eq!(values(&text, name), [value], "{name} in\n{text}");
    }
    assert!(!text.contains("ottla_"), "{text}");
}

#[test]
fn every_alias_stands_for_a_metric_of_ours() {
    let server = started();
    let text = server.report.metrics(MetricNames::Native);
    let families = families(&text);
    let mut names = BTreeSet::new();
    for alias in &JMX_NAMES {
        assert!(names.insert(alias.name), "{} is there twice", alias.name);
        let native = format!("ottla_{}", alias.native);
        assert!(families.contains(native.as_str()), "{native} in\n{text}");
    }
}

/// Our names in a text, without what is behind the name of a histogram.
fn mentioned(text: &str) -> BTreeSet<&str> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_of_name(c));
    words
        .filter(|word| word.starts_with("ottla_"))
        .map(|word| {
            let parts = ["_bucket", "_sum", "_count"];
            let mut parts = parts.iter().filter_map(|part| word.strip_suffix(part));
            parts.next_back().unwrap_or(word)
        })
        .collect()
}

#[test]
fn dashboards_and_alerts_ask_for_metrics_that_exist() {
    let server = started();
    let text = server.report.metrics(MetricNames::Native);
    let families = families(&text);
    let monitoring = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../monitoring");
    for file in [
        "alerts.yml",
        "dashboards/cluster.json",
        "dashboards/topic.json",
        "dashboards/group.json",
    ] {
        let content = std::fs::read_to_string(monitoring.join(file)).expect(file);
        if file.ends_with(".json") {
            serde_json::from_str::<serde_json::Value>(&content).expect(file);
        }
        let names = mentioned(&content);
        assert!(!names.is_empty(), "{file} asks for nothing");
        let unknown: Vec<_> = names.difference(&families).collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}");
    }
}
