use super::definition::{Definition, Support, split_list};
use super::environment::{Variable, variable};
use super::properties::parse_properties;
use super::registry::{broker_definition, broker_definitions, listener_override, near_miss};
use std::collections::BTreeMap;
use std::fmt;

/// Everything a broker's configuration is read from. Later sources win: files in their order,
/// then the environment, then the command line.
#[derive(Clone, Debug, Default)]
pub struct ConfigSources {
    /// Properties files: the name to show and the text.
    pub files: Vec<(String, String)>,
    /// Environment variables: all of them, foreign ones are passed over.
    pub environment: Vec<(String, String)>,
    /// `key=value` of the command line.
    pub settings: Vec<String>,
    /// Whether an unknown key is a fault.
    pub strictness: Strictness,
}

/// What an unknown key is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// A warning.
    #[default]
    Lenient,
    /// A fault.
    Strict,
}

/// The configuration a broker was started with: what was set, checked one by one.
#[derive(Clone, Debug, Default)]
pub struct StaticConfig {
    values: BTreeMap<String, String>,
}

/// Something a person should know about their configuration, though the broker starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigNote {
    /// A key nobody knows.
    Unknown {
        /// The key.
        key: String,
        /// Where it was set.
        place: String,
        /// The known key it looks like.
        near: Option<&'static str>,
    },
    /// Keys that mean something to Kafka but cannot change anything here.
    NoEffect {
        /// The keys.
        keys: Vec<String>,
    },
    /// Keys of features that are not there yet.
    Later {
        /// The keys.
        keys: Vec<String>,
    },
}

impl fmt::Display for ConfigNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigNote::Unknown {
                key,
                place,
                near: Some(near),
            } => {
                write!(
                    f,
                    "unknown config '{key}' ({place}): did you mean '{near}'?"
                )
            }
            ConfigNote::Unknown {
                key,
                place,
                near: None,
            } => {
                write!(f, "unknown config '{key}' ({place}) is ignored")
            }
            ConfigNote::NoEffect { keys } => {
                write!(f, "accepted, but without effect here: {}", keys.join(", "))
            }
            ConfigNote::Later { keys } => write!(
                f,
                "accepted, but the feature comes with a later release: {}",
                keys.join(", ")
            ),
        }
    }
}

/// Something a broker cannot start with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFault {
    /// What is wrong, where, and what would be right.
    pub message: String,
}

impl fmt::Display for ConfigFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Faults and notes found so far: all are reported together.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) faults: Vec<ConfigFault>,
    pub(super) notes: Vec<ConfigNote>,
}

impl Findings {
    pub(super) fn fault(&mut self, message: String) {
        self.faults.push(ConfigFault { message });
    }
}

/// Names read outside Kafka's own tables: by its authorizer, or by the settings of plug-ins.
const KNOWN_ELSEWHERE: &[&str] = &["super.users", "allow.everyone.if.no.acl.found"];
const PLUGIN_PREFIXES: &[&str] = &["rsm.config.", "rlmm.config.", "config.providers."];

impl StaticConfig {
    /// Reads `sources` in their order of precedence.
    pub(super) fn read(sources: &ConfigSources, findings: &mut Findings) -> StaticConfig {
        let mut entries: BTreeMap<String, (String, String)> = BTreeMap::new();
        for (file, text) in &sources.files {
            match parse_properties(text) {
                Ok(properties) => {
                    for property in properties {
                        let place = format!("{file}:{}", property.line);
                        entries.insert(property.key, (property.value, place));
                    }
                }
                Err(error) => findings.fault(format!("{file}: {error}")),
            }
        }
        let mut without_effect = Vec::new();
        let mut environment = sources.environment.clone();
        environment.sort();
        for (name, value) in environment {
            match variable(&name) {
                Variable::Config(key) => {
                    entries.insert(key, (value, format!("environment variable {name}")));
                }
                Variable::NoEffect => without_effect.push(name),
                Variable::Foreign => {}
            }
        }
        if let Some(listeners) = listeners_of_container(&entries) {
            entries.insert("listeners".to_owned(), listeners);
        }
        for setting in &sources.settings {
            match setting.split_once('=') {
                Some((key, value)) => {
                    let key = key.trim().to_owned();
                    entries.insert(key, (value.to_owned(), "--set".to_owned()));
                }
                None => findings.fault(format!("--set {setting}: expected key=value")),
            }
        }
        let mut config = StaticConfig::default();
        config.judge(entries, without_effect, sources.strictness, findings);
        config
    }

    fn judge(
        &mut self,
        entries: BTreeMap<String, (String, String)>,
        mut without_effect: Vec<String>,
        strictness: Strictness,
        findings: &mut Findings,
    ) {
        let mut later = Vec::new();
        for (key, (value, place)) in entries {
            let definition = broker_definition(&key)
                .or_else(|| listener_override(&key).map(|(_, definition)| definition));
            let Some(definition) = definition else {
                if KNOWN_ELSEWHERE.contains(&key.as_str())
                    || PLUGIN_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
                {
                    later.push(key);
                } else if key.starts_with("zookeeper.") {
                    without_effect.push(key);
                } else {
                    judge_unknown(key, place, strictness, findings);
                }
                continue;
            };
            match definition.parse(&value) {
                Ok(printed) => {
                    match definition.support {
                        Support::Applied | Support::Refused => {}
                        Support::NoEffect => without_effect.push(key.clone()),
                        Support::Later => {
                            if definition.default != Some(printed.as_str()) {
                                later.push(key.clone());
                            }
                        }
                    }
                    self.values.insert(key, printed);
                }
                Err(error) => findings.fault(format!("{error} ({place})")),
            }
        }
        if !without_effect.is_empty() {
            let keys = without_effect;
            findings.notes.push(ConfigNote::NoEffect { keys });
        }
        if !later.is_empty() {
            findings.notes.push(ConfigNote::Later { keys: later });
        }
    }

    /// A node's number is shown under its old name as well, whichever was set.
    pub(super) fn name_node_twice(&mut self) {
        let set = self
            .values
            .get("node.id")
            .or(self.values.get("broker.id"))
            .cloned();
        if let Some(id) = set {
            for name in ["node.id", "broker.id"] {
                self.values
                    .entry(name.to_owned())
                    .or_insert_with(|| id.clone());
            }
        }
    }

    /// What was set, by name; values as Kafka prints them.
    pub fn values(&self) -> &BTreeMap<String, String> {
        &self.values
    }

    /// What was left to the machine to choose became this.
    pub fn became(&mut self, name: &str, value: String) {
        self.values.insert(name.to_owned(), value);
    }

    /// The text in force for `name`: what was set, else the default.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.values.get(name) {
            Some(text) => Some(text),
            None => row(name).default,
        }
    }

    /// A number that has a default.
    pub(super) fn number(&self, name: &str) -> i64 {
        let text = self.text(name).expect("the config has a default");
        text.parse().expect("values are checked when they are read")
    }

    /// A truth value that has a default.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }
}

/// Apache's container image listens on every address for what the environment advertises, when it
/// does not say where to listen. (`auto` says nothing about ports.)
fn listeners_of_container(
    entries: &BTreeMap<String, (String, String)>,
) -> Option<(String, String)> {
    let (advertised, place) = entries.get("advertised.listeners")?;
    if entries.contains_key("listeners") || !place.starts_with("environment") {
        return None;
    }
    let mut listeners = Vec::new();
    for item in split_list(advertised) {
        let (name, address) = item.split_once("://")?;
        let (_, port) = address.rsplit_once(':')?;
        listeners.push(format!("{name}://0.0.0.0:{port}"));
    }
    Some((listeners.join(","), place.clone()))
}

fn row(name: &str) -> &'static Definition {
    broker_definition(name).expect("the code asks for known configs only")
}

fn judge_unknown(key: String, place: String, strictness: Strictness, findings: &mut Findings) {
    let near = near_miss(&key, broker_definitions());
    let note = ConfigNote::Unknown { key, place, near };
    match strictness {
        Strictness::Lenient => findings.notes.push(note),
        Strictness::Strict => findings.fault(note.to_string()),
    }
}
