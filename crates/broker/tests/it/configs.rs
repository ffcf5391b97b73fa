use crate::harness::{Harness, batch, read};
use ottla_broker::config::{
    BrokerLayers, Definition, Dynamic, Kind, LiveSettings, Support, TopicConfig, Valid,
    broker_definitions,
};
use ottla_metadata::ConfigResource;
use ottla_protocol::ApiKey;
use ottla_protocol::messages::describe_configs_request as dc;
use ottla_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
};
use ottla_protocol::messages::incremental_alter_configs_request as iac;
use ottla_protocol::messages::incremental_alter_configs_response::IncrementalAlterConfigsResponse;
use ottla_types::BrokerId;
use std::collections::BTreeMap;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

fn describe<T>(
    harness: &mut Harness,
    version: i16,
    kind: i8,
    name: &str,
    keys: Option<&[&'static str]>,
    with: impl FnOnce(&DescribeConfigsResult<'_>) -> T,
) -> T {
    let request = dc::DescribeConfigsRequest {
        resources: vec![dc::DescribeConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).into()).collect()),
        }],
        include_synonyms: true,
        include_documentation: 3 <= version,
    };
    harness.call(ApiKey::DescribeConfigs, version, &request, |body| {
        let response: DescribeConfigsResponse<'_> = read(body, version);
        assert_eq!(response.results.len(), 1);
        with(&response.results[0])
    })
}

/// `value (source; name=value@source, ...)` of one config.
fn shown(config: &DescribeConfigsResourceResult<'_>) -> String {
    let synonyms = config.synonyms.iter().map(|synonym| {
        format!(
            "{}={}@{}",
            synonym.name,
            synonym.value.as_deref().unwrap_or("null"),
            synonym.source
        )
    });
    let synonyms: Vec<String> = synonyms.collect();
    let value = config.value.as_deref().unwrap_or("null");
    format!(
        "{value} ({}; {})",
        config.config_source,
        synonyms.join(", ")
    )
}

fn one(harness: &mut Harness, kind: i8, name: &str, key: &'static str) -> String {
    describe(harness, 4, kind, name, Some(&[key]), |result| {
        assert_eq!((result.error_code, result.configs.len()), (0, 1));
        shown(&result.configs[0])
    })
}

pub(crate) fn alter(
    harness: &mut Harness,
    kind: i8,
    name: &str,
    key: &str,
    operation: i8,
    value: Option<&str>,
) -> (i16, String) {
    let request = iac::IncrementalAlterConfigsRequest {
        resources: vec![iac::AlterConfigsResource {
            resource_type: kind,
            resource_name: name.into(),
            configs: vec![iac::AlterableConfig {
                name: key.into(),
                config_operation: operation,
                value: value.map(Into::into),
            }],
        }],
        validate_only: false,
    };
    harness.call(ApiKey::IncrementalAlterConfigs, 1, &request, |body| {
        let response: IncrementalAlterConfigsResponse<'_> = read(body, 1);
        let result = &response.responses[0];
        (
            result.error_code,
            result.error_message.as_deref().unwrap_or("").to_owned(),
        )
    })
}

#[test]
fn every_config_of_a_topic_is_described() {
    let mut harness = Harness::with(&["log.segment.bytes=2000000", "log.retention.hours=2"]);
    harness.create_topic("t", 1, &[("max.message.bytes", "5000")]);
    for version in 1..=4 {
        describe(&mut harness, version, TOPIC, "t", None, |result| {
            assert_eq!(
                (result.error_code, result.error_message.as_deref()),
                (0, Some(""))
            );
            assert_eq!(result.configs.len(), 38, "Kafka's 37 listed ones and ours");
            let all: BTreeMap<&str, &DescribeConfigsResourceResult<'_>> = result
                .configs
                .iter()
                .map(|config| (&*config.name, config))
                .collect();
            for (name, expected) in [
                ("cleanup.policy", "delete (5; log.cleanup.policy=delete@5)"),
                (
                    "max.message.bytes",
                    "5000 (1; max.message.bytes=5000@1, message.max.bytes=1048588@5)",
                ),
                (
                    "segment.bytes",
                    "2000000 (4; log.segment.bytes=2000000@4, log.segment.bytes=1073741824@5)",
                ),
                ("retention.ms", "7200000 (5; )"),
                ("remote.storage.enable", "false (5; )"),
                ("ottla.durability", "fsync (5; ottla.durability=fsync@5)"),
            ] {
                assert_eq!(shown(all[name]), expected, "{name}");
            }
            if 3 <= version {
                assert_eq!(all["cleanup.policy"].config_type, 7);
                assert!(
                    result
                        .configs
                        .iter()
                        .all(|config| config.documentation.is_some())
                );
            }
            assert!(result.configs.iter().all(|config| !config.read_only));
        });
    }
}

#[test]
fn every_config_of_the_broker_is_described() {
    let mut harness = Harness::with(&["ssl.key.password=secret", "num.partitions=4"]);
    describe(&mut harness, 4, BROKER, "1", None, |result| {
        assert_eq!(result.error_code, 0);
        let all: BTreeMap<&str, &DescribeConfigsResourceResult<'_>> = result
            .configs
            .iter()
            .map(|config| (&*config.name, config))
            .collect();
        assert!(350 < all.len(), "{}", all.len());
        assert_eq!(
            shown(all["num.partitions"]),
            "4 (4; num.partitions=4@4, num.partitions=1@5)"
        );
        assert_eq!(
            shown(all["log.retention.hours"]),
            "168 (5; log.retention.hours=168@5)"
        );
        assert_eq!(shown(all["log.retention.ms"]), "null (5; )");
        let password = all["ssl.key.password"];
        assert!(password.is_sensitive);
        assert_eq!(shown(password), "null (4; ssl.key.password=null@4)");
        assert!(all["node.id"].read_only);
        assert!(!all["log.segment.bytes"].read_only);
        assert!(
            !all.contains_key("unstable.api.versions.enable"),
            "internal"
        );
    });
    let refused = |harness: &mut Harness, kind, name| {
        describe(harness, 4, kind, name, None, |result| result.error_code)
    };
    assert_eq!(refused(&mut harness, BROKER, "2"), 42);
    assert_eq!(refused(&mut harness, BROKER, "x"), 42);
    assert_eq!(refused(&mut harness, TOPIC, "missing"), 3);
    assert_eq!(refused(&mut harness, TOPIC, "bad name"), 17);
    assert_eq!(refused(&mut harness, 8, "1"), 0, "no loggers");
    assert_eq!(refused(&mut harness, 8, "2"), 42);
}

#[test]
fn configs_of_topics_change_at_once_and_survive() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let large = batch(&["x".repeat(500).as_str()]);
    assert_eq!(harness.produce("t", 0, &large), Ok(0));
    assert_eq!(
        alter(
            &mut harness,
            TOPIC,
            "t",
            "max.message.bytes",
            0,
            Some("300")
        ),
        (0, String::new())
    );
    assert_eq!(harness.produce("t", 0, &large), Err(10));
    let mut harness = harness.restart();
    assert_eq!(harness.produce("t", 0, &large), Err(10));
    assert_eq!(
        one(&mut harness, TOPIC, "t", "max.message.bytes"),
        "300 (1; max.message.bytes=300@1, message.max.bytes=1048588@5)"
    );
    assert_eq!(
        alter(&mut harness, TOPIC, "t", "max.message.bytes", 1, None).0,
        0
    );
    assert_eq!(
        alter(&mut harness, TOPIC, "t", "max.message.bytes", 1, None).0,
        0,
        "nothing to remove"
    );
    assert_eq!(harness.produce("t", 0, &large), Ok(1));
}

#[test]
fn changes_that_cannot_be_are_refused_with_a_reason() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    for (kind, name, key, operation, value, code, text) in [
        (
            TOPIC,
            "t",
            "retention",
            0,
            Some("1"),
            40,
            "Unknown topic config name: retention",
        ),
        (
            TOPIC,
            "t",
            "retention.ms",
            0,
            Some("-2"),
            40,
            "Value must be at least -1",
        ),
        (
            TOPIC,
            "t",
            "retention.ms",
            2,
            Some("1"),
            40,
            "Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        (
            TOPIC,
            "t",
            "retention.ms",
            0,
            None,
            42,
            "Null value not supported",
        ),
        (
            TOPIC,
            "t",
            "retention.ms",
            9,
            Some("1"),
            42,
            "Unknown AlterConfigOp type 9.",
        ),
        (TOPIC, "missing", "retention.ms", 0, Some("1"), 3, ""),
        (
            BROKER,
            "1",
            "num.io.threads2",
            0,
            Some("1"),
            40,
            "Unknown broker config name",
        ),
        (
            BROKER,
            "1",
            "node.id",
            0,
            Some("4"),
            42,
            "Cannot update these configs dynamically: [node.id]",
        ),
        (
            BROKER,
            "",
            "advertised.listeners",
            0,
            Some("PLAINTEXT://a:1"),
            42,
            "Cannot update these configs dynamically: [advertised.listeners]",
        ),
        (
            99,
            "t",
            "retention.ms",
            0,
            Some("1"),
            42,
            "Unknown resource type 99",
        ),
    ] {
        let (error, message) = alter(&mut harness, kind, name, key, operation, value);
        assert_eq!(error, code, "{key} {operation} {value:?}: {message}");
        assert!(message.contains(text), "{message}");
    }
    assert_eq!(
        one(&mut harness, TOPIC, "t", "retention.ms"),
        "604800000 (5; )"
    );
}

#[test]
fn defaults_of_topics_change_for_all_of_them() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    harness.create_topic("own", 1, &[("max.message.bytes", "1000000")]);
    assert_eq!(
        alter(
            &mut harness,
            BROKER,
            "",
            "message.max.bytes",
            0,
            Some("300")
        )
        .0,
        0
    );
    let large = batch(&["x".repeat(500).as_str()]);
    assert_eq!(harness.produce("t", 0, &large), Err(10));
    assert_eq!(harness.produce("own", 0, &large), Ok(0));
    assert_eq!(
        one(&mut harness, TOPIC, "t", "max.message.bytes"),
        "300 (3; message.max.bytes=300@3, message.max.bytes=1048588@5)"
    );
    assert_eq!(
        one(&mut harness, BROKER, "1", "message.max.bytes"),
        "300 (3; message.max.bytes=300@3, message.max.bytes=1048588@5)"
    );
    assert_eq!(
        one(&mut harness, BROKER, "", "message.max.bytes"),
        "300 (3; message.max.bytes=300@3)"
    );
    assert_eq!(
        alter(
            &mut harness,
            BROKER,
            "1",
            "message.max.bytes",
            0,
            Some("2000")
        )
        .0,
        0
    );
    assert_eq!(harness.produce("t", 0, &large), Ok(0), "this broker's wins");
    let mut harness = harness.restart();
    assert_eq!(
        one(&mut harness, BROKER, "1", "message.max.bytes"),
        "2000 (2; message.max.bytes=2000@2, message.max.bytes=300@3, message.max.bytes=1048588@5)"
    );
}

#[test]
fn validating_changes_nothing() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let request = iac::IncrementalAlterConfigsRequest {
        resources: vec![iac::AlterConfigsResource {
            resource_type: TOPIC,
            resource_name: "t".into(),
            configs: vec![iac::AlterableConfig {
                name: "retention.ms".into(),
                config_operation: 0,
                value: Some("5".into()),
            }],
        }],
        validate_only: true,
    };
    harness.call(ApiKey::IncrementalAlterConfigs, 0, &request, |body| {
        let response: IncrementalAlterConfigsResponse<'_> = read(body, 0);
        assert_eq!(response.responses[0].error_code, 0);
    });
    assert_eq!(
        one(&mut harness, TOPIC, "t", "retention.ms"),
        "604800000 (5; )"
    );
}

/// A value that `definition` accepts and that is not its default.
fn another_value(definition: &Definition) -> String {
    let number = |text: &str| text.parse::<i64>().ok();
    match (definition.name, definition.kind, definition.default) {
        ("log.flush.interval.messages", ..) => "1".to_owned(),
        ("log.cleanup.policy", ..) => String::new(),
        ("cordoned.log.dirs", ..) => "*".to_owned(),
        ("max.connections.per.ip.overrides", ..) => "127.0.0.9:5".to_owned(),
        ("ottla.durability", ..) => "fsync".to_owned(),
        ("log.cleaner.threads", ..) => "2".to_owned(),
        ("compression.gzip.level", ..) => "1".to_owned(),
        ("log.retention.bytes", ..) => "5000".to_owned(),
        (_, Kind::Boolean, default) => (default != Some("true")).to_string(),
        (_, Kind::Double, _) => "0.25".to_owned(),
        (_, Kind::Int | Kind::Long | Kind::Short, default) => {
            let default = default.and_then(number).unwrap_or(5_001);
            let lower = (default - 1).to_string();
            match definition.parse(&lower) {
                Ok(_) => lower,
                Err(_) => (default + 1).to_string(),
            }
        }
        _ => match definition.valid {
            Valid::OneOf(words) | Valid::OneOfAnyCase(words) => {
                let mut words = words.iter();
                let other = words.find(|word| Some(**word) != definition.default);
                (*other.expect("there are two")).to_owned()
            }
            _ => "x".to_owned(),
        },
    }
}

/// What of a broker's dynamic configs has an effect: on the broker itself, on how it compacts, and on topics
/// that are compressed in different ways.
fn effects(harness: &Harness) -> (LiveSettings, String, Vec<TopicConfig>) {
    let image = harness.broker.image();
    let nothing = BTreeMap::new();
    let this_broker = image.configs(&ConfigResource::broker(BrokerId::new(1)));
    let all_brokers = image.configs(&ConfigResource::every_broker());
    let layers = BrokerLayers {
        this_broker: this_broker.map_or(&nothing, |configs| &**configs),
        all_brokers: all_brokers.map_or(&nothing, |configs| &**configs),
        started_with: &harness.broker.config().started_with,
    };
    let live = harness.broker.live_settings();
    let cleaner = format!("{:?}", layers.cleaner_options());
    let compressed = |codec: &str| [("compression.type".to_owned(), codec.to_owned())].into();
    let topics = [BTreeMap::new(), compressed("gzip"), compressed("zstd")];
    let topics = topics
        .iter()
        .map(|topic| TopicConfig::resolve(topic, layers));
    ((*live).clone(), cleaner, topics.collect())
}

#[test]
fn every_config_of_a_broker_is_applied_or_refused_or_said_to_do_nothing() {
    let mut harness = Harness::with(&["ottla.durability=os"]);
    let mut counts = BTreeMap::<&str, usize>::new();
    for definition in broker_definitions() {
        let name = definition.name;
        let value = another_value(definition);
        let before = effects(&harness);
        let (code, message) = alter(&mut harness, BROKER, "1", name, 0, Some(&value));
        let after = effects(&harness);
        let is_refused_for = |text: &str| code == 42 && message.contains(text);
        let outcome = match (definition.dynamic, definition.support) {
            (Dynamic::ReadOnly, _) if is_refused_for("Cannot update these configs dynamically") => {
                "read-only"
            }
            (Dynamic::PerBroker, Support::Applied) if is_refused_for("with a restart") => {
                "read at the start"
            }
            (Dynamic::PerBroker, Support::Later) if is_refused_for("using the listener prefix") => {
                "of listeners"
            }
            (Dynamic::ReadOnly, _) => "wrong",
            _ if is_refused_for("comes with a later release") => "later",
            (_, Support::Applied) if code == 0 && before != after => "applied",
            (_, Support::NoEffect | Support::Later) if code == 0 && before == after => {
                assert!(definition.documentation().contains("Accepted; "), "{name}");
                "without effect"
            }
            _ => "wrong",
        };
        assert_ne!(outcome, "wrong", "{name}={value}: {code} {message}");
        *counts.entry(outcome).or_default() += 1;
        alter(&mut harness, BROKER, "1", name, 1, None);
        assert_eq!(effects(&harness), before, "{name} is back");
    }
    assert!(20 < counts["applied"], "{counts:?}");
    assert_eq!(counts.values().sum::<usize>(), broker_definitions().count());
}

#[test]
fn listeners_have_limits_of_their_own() {
    let mut harness = Harness::with(&["listener.name.plaintext.max.connections=7"]);
    let listener = |harness: &Harness| {
        let settings = harness.broker.live_settings();
        settings.connections.listeners["plaintext"]
    };
    assert_eq!(listener(&harness).connections_max, 7);
    for (name, value) in [
        ("max.connections", "5"),
        ("max.connection.creation.rate", "3"),
    ] {
        let name = format!("listener.name.plaintext.{name}");
        let (code, message) = alter(&mut harness, BROKER, "", &name, 0, Some(value));
        assert_eq!(code, 0, "{message}");
    }
    let limits = listener(&harness);
    assert_eq!((limits.connections_max, limits.creation_rate_max), (5, 3));
}

#[test]
fn groups_and_subscriptions_keep_their_configs() {
    const METRICS: i8 = 16;
    const GROUP: i8 = 32;
    let mut harness = Harness::with(&["group.consumer.heartbeat.interval.ms=6000"]);
    let session = "consumer.session.timeout.ms";
    for (kind, name, key, value, code, text) in [
        (GROUP, "g", session, "50000", 0, ""),
        (GROUP, "g", session, "70000", 40, "range 45000 to 60000"),
        (GROUP, "g", "session", "1", 40, "Unknown group config name"),
        (GROUP, "", session, "50000", 42, "Default group resources"),
        (METRICS, "m", "interval.ms", "60000", 0, ""),
        (METRICS, "m", "interval.ms", "99", 42, "between 100 and"),
        (METRICS, "m", "match", "client_id=a.*", 0, ""),
        (METRICS, "m", "match", "client_id", 40, "Illegal client"),
        (METRICS, "", "interval.ms", "60000", 42, "can't be empty"),
    ] {
        let (error, message) = alter(&mut harness, kind, name, key, 0, Some(value));
        assert_eq!(error, code, "{key}={value}: {message}");
        assert!(message.contains(text), "{message}");
    }
    assert_eq!(
        one(&mut harness, GROUP, "g", session),
        "50000 (8; consumer.session.timeout.ms=50000@8, group.consumer.session.timeout.ms=45000@5)"
    );
    assert_eq!(
        one(
            &mut harness,
            GROUP,
            "other",
            "consumer.heartbeat.interval.ms"
        ),
        "6000 (4; group.consumer.heartbeat.interval.ms=6000@4, group.consumer.heartbeat.interval.ms=5000@5)"
    );
    assert_eq!(
        one(&mut harness, METRICS, "m", "interval.ms"),
        "60000 (7; interval.ms=60000@7)"
    );
    assert_eq!(one(&mut harness, METRICS, "none", "metrics"), " (5; )");
    let kept = harness.broker.image();
    let resources = kept
        .configured_resources()
        .map(|(resource, _)| resource.to_string());
    let resources: Vec<String> = resources.collect();
    assert_eq!(resources.len(), 2, "{resources:?}");
}

#[test]
fn the_page_about_configs_is_current() {
    let page = ottla_broker::config::reference();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md");
        std::fs::write(path, &page).expect("docs/config.md can be written");
        return;
    }
    let written = include_str!("../../../../docs/config.md");
    assert!(
        page == written,
        "run this test with UPDATE_EXPECT=1 to write docs/config.md"
    );
}
