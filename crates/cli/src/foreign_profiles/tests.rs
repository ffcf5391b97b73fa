use super::{ForeignProfile, Tool, security_properties};

fn read(tool: Tool, text: &str) -> Vec<ForeignProfile> {
    tool.parse(text).unwrap()
}

fn profile(name: Option<&str>, lines: &[&str], ignored: &[&str]) -> ForeignProfile {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    ForeignProfile {
        name: name.map(str::to_owned),
        lines: owned(lines),
        ignored: owned(ignored),
    }
}

#[test]
fn profiles_of_rpk_have_what_is_said_for_all() {
    let text = r#"
# rpk writes all keys, also those without values.
version: 6
globals:
    prompt: ""
    no_default_cluster: false
    command_timeout: 0s
    dial_timeout: 1m30s
    request_timeout_overhead: 10s
    fetch_max_wait: 500ms
    kafka_protocol_request_client_id: mine
current_profile: prod
profiles:
    - name: prod
      description: The real one
      prompt: ""
      from_cloud: false
      kafka_api:
        brokers:
            - a.example:9092
            - b.example:9093
        tls:
            ca_file: /etc/ca.pem
            insecure_skip_verify: true
        sasl:
            user: me
            password: 0123
            mechanism: SCRAM-SHA-256
      admin_api:
        addresses: [a.example:9644]
      schema_registry: {}
    - name: here
      kafka_api: {brokers: ["127.0.0.1:9092"]}
    - name: tls
      kafka_api:
        brokers: [c:9092]
        tls: {}
cloud_auth: []
"#;
    let common = [
        "client.id=mine",
        "socket.connection.setup.timeout.ms=90000",
        "fetch.max.wait.ms=500",
    ];
    let globals = ["globals.request_timeout_overhead"];
    let with = |own: &[&'static str], more: &[&'static str]| [own, more].concat();
    let prod = [
        "bootstrap.servers=a.example:9092,b.example:9093",
        "security.protocol=SASL_SSL",
        "sasl.mechanism=SCRAM-SHA-256",
        "sasl.username=me",
        "sasl.password=0123",
        "ssl.ca.location=/etc/ca.pem",
        "enable.ssl.certificate.verification=false",
    ];
    let here = ["bootstrap.servers=127.0.0.1:9092"];
    let tls = ["bootstrap.servers=c:9092", "security.protocol=SSL"];
    assert_eq!(
        read(Tool::Rpk, text),
        [
            profile(
                Some("prod"),
                &with(&prod, &common),
                &with(&["profiles[0].admin_api"], &globals)
            ),
            profile(Some("here"), &with(&here, &common), &globals),
            profile(Some("tls"), &with(&tls, &common), &globals),
        ]
    );
}

#[test]
fn clusters_of_kaf_have_their_protocol() {
    let text = "
current-cluster: local
clusters:
- name: local
  version: \"\"
  brokers:
  - localhost:9092
  SASL: null
  TLS: null
  security-protocol: \"\"
  schema-registry-url: \"\"
- name: cloud
  brokers: [c:9092]
  SASL:
    mechanism: PLAIN
    username: u
    password: 'p # q'
    tokenURL: http://t
  TLS:
    cafile: ca.pem
    insecure: false
  security-protocol: SASL_SSL
  schema-registry-url: http://r
";
    let cloud = [
        "bootstrap.servers=c:9092",
        "security.protocol=SASL_SSL",
        "sasl.mechanism=PLAIN",
        "sasl.username=u",
        "sasl.password=p # q",
        "ssl.ca.location=ca.pem",
    ];
    let ignored = [
        "clusters[1].SASL.tokenURL",
        "clusters[1].schema-registry-url",
    ];
    assert_eq!(
        read(Tool::Kaf, text),
        [
            profile(Some("local"), &["bootstrap.servers=localhost:9092"], &[]),
            profile(Some("cloud"), &cloud, &ignored),
        ]
    );
}

#[test]
fn kcl_has_profiles_or_one_cluster() {
    let flat = r#"
seed_brokers = ["a:9092", "b"]
timeout_ms = 1000
dial_timeout = "5s"
[tls]
ca_cert_path = "ca"
server_name = "other"
[sasl]
method = "scram_sha_512"
user = "u"
pass = "p"
"#;
    let lines = [
        "bootstrap.servers=a:9092,b",
        "socket.connection.setup.timeout.ms=5000",
        "security.protocol=SASL_SSL",
        "sasl.mechanism=SCRAM-SHA-512",
        "sasl.username=u",
        "sasl.password=p",
        "ssl.ca.location=ca",
    ];
    let expected = profile(None, &lines, &["tls.server_name", "timeout_ms"]);
    assert_eq!(read(Tool::Kcl, flat), [expected]);
    let several = r#"
current_profile = "prod"
[profiles.prod]
seed_brokers = ["p:1"]
retry_timeout = "1m"
[profiles.test]
seed_brokers = ["t:1"]
"#;
    let prod = ["bootstrap.servers=p:1", "default.api.timeout.ms=60000"];
    assert_eq!(
        read(Tool::Kcl, several),
        [
            profile(Some("prod"), &prod, &[]),
            profile(Some("test"), &["bootstrap.servers=t:1"], &[]),
        ]
    );
}

#[test]
fn what_is_not_understood_is_refused_and_quotes_no_secret() {
    for (tool, text, expected) in [
        (Tool::Rpk, "- a", "expected keys"),
        (Tool::Rpk, "profiles: x", "profiles: expected a list"),
        (
            Tool::Rpk,
            "profiles: [{kafka_api: {brokers: a}}]",
            "profiles[0].kafka_api.brokers: expected a list of texts",
        ),
        (
            Tool::Rpk,
            "globals: {dial_timeout: soon}",
            "'soon' is no time",
        ),
        (Tool::Kaf, "a: &x 1\nb: *x", "line 1: anchors"),
        (Tool::Kaf, "a: 1\na: 2", "a is there twice"),
        (Tool::Kaf, "a: 1\n---\nb: 2", "second document"),
        (Tool::Kaf, "clusters: [", "line"),
        (
            Tool::Kaf,
            "clusters: [{SASL: {password: \"two\\nlines\"}}]",
            "sasl.password begins or ends",
        ),
        (
            Tool::Kaf,
            "clusters: [{TLS: {insecure: perhaps}}]",
            "expected true or false",
        ),
        (
            Tool::Kcl,
            "[sasl]\npass = '${PASS}'",
            "sasl.password names an environment variable",
        ),
        (Tool::Kcl, "[sasl]\npass = hunter2", ""),
    ] {
        let refused = tool.parse(text).unwrap_err();
        assert!(refused.contains(expected), "{text}: {refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
    let deep = "[".repeat(100) + &"]".repeat(100);
    let refused = Tool::Rpk.parse(&deep).unwrap_err();
    assert!(refused.contains("too deeply"), "{refused}");
    assert!(Tool::Rpk.parse(&"[".repeat(100_000)).is_err());
}

#[test]
fn security_is_known_by_its_properties() {
    let lines = [
        "bootstrap.servers=a",
        "security.protocol = sasl_ssl",
        "sasl.jaas.config=x=y",
        "ssl.ca.location=z",
    ];
    assert_eq!(
        security_properties(&lines.map(str::to_owned)),
        ["security.protocol", "sasl.jaas.config", "ssl.ca.location"]
    );
    let plain = ["security.protocol=PLAINTEXT".to_owned()];
    assert!(security_properties(&plain).is_empty());
}
