use super::*;

const STOCK: &str = "\
# A combined node as Kafka ships it, with node id 0.
process.roles=broker,controller
node.id=0
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093,INTERNAL://127.0.0.1:9094
inter.broker.listener.name=INTERNAL
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/var/lib/kraft-combined-logs
num.partitions=3
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

fn load(
    file: &str,
    environment: &[(&str, &str)],
    settings: &[&str],
) -> Result<LoadedConfig, Vec<String>> {
    let sources = ConfigSources {
        files: vec![("server.properties".to_owned(), file.to_owned())],
        environment: environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        settings: settings.iter().map(|text| (*text).to_owned()).collect(),
        strictness: Strictness::Lenient,
    };
    BrokerConfig::load(&sources).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[test]
fn a_stock_file_starts_unchanged() {
    let loaded = load(STOCK, &[], &[]).expect("stock");
    let config = loaded.config;
    assert_eq!(config.node_id.get(), 0);
    let names: Vec<&str> = config
        .listeners
        .clients
        .iter()
        .map(|l| l.name.as_str())
        .collect();
    assert_eq!(names, ["PLAINTEXT", "INTERNAL"]);
    assert_eq!(config.listeners.controllers, ["CONTROLLER"]);
    assert_eq!(
        config.listeners.advertised,
        [
            AdvertisedListener {
                name: "PLAINTEXT".to_owned(),
                host: AdvertisedHost::Named("localhost".to_owned()),
                port: Some(9092),
            },
            AdvertisedListener {
                name: "INTERNAL".to_owned(),
                host: AdvertisedHost::Named("127.0.0.1".to_owned()),
                port: None,
            },
        ]
    );
    assert_eq!(config.log_dirs, ["/var/lib/kraft-combined-logs"]);
    assert_eq!(config.topics.partitions_count, 3);
    let [ConfigNote::NoEffect { keys }, ConfigNote::Later { .. }] = &loaded.notes[..] else {
        panic!("{:?}", loaded.notes);
    };
    assert!(keys.contains(&"num.io.threads".to_owned()), "{keys:?}");
}

#[test]
fn defaults_need_no_file() {
    let config = BrokerConfig::default();
    assert_eq!(config.node_id.get(), 1);
    assert_eq!(config.listeners.clients.len(), 1);
    assert_eq!(config.listeners.clients[0].to_string(), "PLAINTEXT://:9092");
    assert_eq!(config.listeners.advertised[0].host, AdvertisedHost::Auto);
    assert_eq!(config.http, Some(("127.0.0.1".to_owned(), 8080)));
    assert!(config.topics.auto_create);
}

#[test]
fn later_sources_win() {
    let file = "num.partitions=2\nlog.dirs=a\nfetch.max.bytes=2048";
    let environment = [
        ("KAFKA_NUM_PARTITIONS", "3"),
        ("KAFKA_LOG_DIRS", "b"),
        ("KAFKA_HEAP_OPTS", "-Xmx1g"),
    ];
    let loaded = load(file, &environment, &["num.partitions=4"]).expect("valid");
    assert_eq!(loaded.config.topics.partitions_count, 4);
    assert_eq!(loaded.config.log_dirs, ["b"]);
    assert_eq!(loaded.config.requests.fetch_bytes_max, 2048);
    let keys = vec!["KAFKA_HEAP_OPTS".to_owned()];
    assert_eq!(loaded.notes, [ConfigNote::NoEffect { keys }]);
}

#[test]
fn all_faults_are_reported_together() {
    let file = "num.partitions=none\nnode.id=-4\nlog.cleanup.policy=shrink\nlisteners=SSL://:9093,bad\n\
                authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\ncompression.type=brotli";
    let faults = load(file, &[], &["oops"]).expect_err("faulty");
    for part in [
        "num.partitions: Not a number of type INT (server.properties:1)",
        "node.id: Value must be at least 0 (server.properties:2)",
        "log.cleanup.policy",
        "listener SSL uses SSL, which comes with a later release",
        "unable to parse 'bad' as a listener",
        "authorizer.class.name: this comes with a later release",
        "compression.type",
        "--set oops: expected key=value",
    ] {
        assert!(
            faults.iter().any(|fault| fault.contains(part)),
            "{part} in {faults:#?}"
        );
    }
    assert_eq!(faults.len(), 8);
}

#[test]
fn unknown_keys_are_warnings_or_faults() {
    let file = "num.partition=3\nmy.plugin=1";
    let notes = load(file, &[], &[]).expect("lenient").notes;
    let texts: Vec<String> = notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "unknown config 'my.plugin' (server.properties:2) is ignored",
            "unknown config 'num.partition' (server.properties:1): did you mean 'num.partitions'?",
        ]
    );
    let sources = ConfigSources {
        files: vec![("f".to_owned(), file.to_owned())],
        strictness: Strictness::Strict,
        ..ConfigSources::default()
    };
    assert_eq!(BrokerConfig::load(&sources).expect_err("strict").len(), 2);
}

#[test]
fn listeners_are_checked() {
    for (file, part) in [
        (
            "listeners=A://:1",
            "no security protocol is defined for listener A",
        ),
        (
            "listeners=PLAINTEXT://:1,PLAINTEXT://:2",
            "must have a different name",
        ),
        (
            "advertised.listeners=PLAINTEXT://0.0.0.0:9092",
            "nonroutable meta-address",
        ),
        (
            "advertised.listeners=OTHER://a:9092",
            "OTHER is not one of the listeners",
        ),
        (
            "inter.broker.listener.name=X",
            "X is not one of the listeners",
        ),
        ("controller.quorum.voters=2@other:9093", "names other nodes"),
        ("process.roles=broker", "broker and controller at once"),
        ("node.id=1\nbroker.id=2", "same value"),
        ("log.retention.hours=0", "must be -1"),
    ] {
        let faults = load(file, &[], &[]).expect_err(file);
        assert!(
            faults.iter().any(|fault| fault.contains(part)),
            "{part} in {faults:?}"
        );
    }
    let config = load(
        "listeners=PLAINTEXT://[::1]:0\nadvertised.listeners=auto",
        &[],
        &[],
    );
    let listeners = config.expect("valid").config.listeners;
    assert_eq!(listeners.clients[0].to_string(), "PLAINTEXT://[::1]:0");
    let config = load("listeners=PLAINTEXT://0.0.0.0:9092", &[], &[])
        .expect("valid")
        .config;
    assert_eq!(config.listeners.advertised[0].host, AdvertisedHost::Auto);
}

#[test]
fn topics_inherit_from_every_layer() {
    let started_with = load("log.retention.hours=2\nmessage.max.bytes=1000", &[], &[]);
    let started_with = started_with.expect("valid").config.started_with;
    let map = |pairs: &[(&str, &str)]| -> ConfigMap {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    };
    let (this_broker, all_brokers) = (map(&[]), map(&[("message.max.bytes", "3000")]));
    let layers = BrokerLayers {
        this_broker: &this_broker,
        all_brokers: &all_brokers,
        started_with: &started_with,
    };
    let config = TopicConfig::resolve(&map(&[]), layers);
    assert_eq!(config.retention_ms, Some(7_200_000));
    assert_eq!(config.max_message_bytes, 3000);
    assert_eq!(config.retention_bytes, None);
    assert_eq!(config.durability, TopicDurability::Fsync);
    let own = map(&[
        ("retention.ms", "-1"),
        ("ottla.durability", "os"),
        ("cleanup.policy", ""),
    ]);
    let config = TopicConfig::resolve(&own, layers);
    assert_eq!((config.retention_ms, config.deletes), (None, false));
    assert_eq!(config.durability, TopicDurability::Os);
    let own = map(&[("ottla.durability", "os"), ("flush.messages", "1")]);
    assert_eq!(
        TopicConfig::resolve(&own, layers).durability,
        TopicDurability::Fsync
    );
}

#[test]
fn synonyms_are_kafkas() {
    let started_with = load("log.segment.bytes=2000000\nlog.retention.hours=2", &[], &[]);
    let started_with = started_with.expect("valid").config.started_with;
    let all_brokers: ConfigMap = [("log.segment.bytes".to_owned(), "3000000".to_owned())].into();
    let layers = BrokerLayers {
        this_broker: &ConfigMap::new(),
        all_brokers: &all_brokers,
        started_with: &started_with,
    };
    let list = |name: &str| -> Vec<(String, String, ConfigSource)> {
        let synonyms = layers.synonyms(broker_definition(name).expect("known"));
        let shown = |s: ConfigSynonym| (s.name, s.value.unwrap_or_default(), s.source);
        synonyms.into_iter().map(shown).collect()
    };
    let row = |name: &str, value: &str, source| (name.to_owned(), value.to_owned(), source);
    assert_eq!(
        list("log.segment.bytes"),
        [
            row(
                "log.segment.bytes",
                "3000000",
                ConfigSource::DynamicDefaultBroker
            ),
            row("log.segment.bytes", "2000000", ConfigSource::StaticBroker),
            row("log.segment.bytes", "1073741824", ConfigSource::Default),
        ]
    );
    // Kafka drops what stands before the first synonym with the config's own name.
    assert_eq!(list("log.retention.ms"), []);
    assert_eq!(
        list("log.retention.hours"),
        [
            row("log.retention.hours", "2", ConfigSource::StaticBroker),
            row("log.retention.hours", "168", ConfigSource::Default),
        ]
    );
}

#[test]
fn a_container_listens_for_what_it_advertises() {
    let environment = [
        (
            "KAFKA_ADVERTISED_LISTENERS",
            "INTERNAL://broker:9092,HOST://localhost:29092",
        ),
        (
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
            "INTERNAL:PLAINTEXT,HOST:PLAINTEXT",
        ),
    ];
    let listeners = load("", &environment, &[]).expect("valid").config.listeners;
    let shown: Vec<String> = listeners.clients.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["INTERNAL://0.0.0.0:9092", "HOST://0.0.0.0:29092"]);
    assert_eq!(
        listeners.advertised[0].host,
        AdvertisedHost::Named("broker".to_owned())
    );
    let auto = load("", &[("KAFKA_ADVERTISED_LISTENERS", "auto")], &[])
        .expect("valid")
        .config;
    assert_eq!(auto.listeners.clients[0].to_string(), "PLAINTEXT://:9092");
}
