use super::definition::split_list;
use super::registry::{broker_definition, listener_override, topic_definitions};
use super::topic_config::BrokerLayers;
use std::collections::BTreeMap;
use std::time::Duration;

const CONNECTIONS: &str = "max.connections";
const PER_ADDRESS: &str = "max.connections.per.ip";
const OVERRIDES: &str = "max.connections.per.ip.overrides";
const CREATION_RATE: &str = "max.connection.creation.rate";
const CORDONED: &str = "cordoned.log.dirs";
const MOVE_RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";
const PRODUCER_EXPIRATION: &str = "producer.id.expiration.ms";

/// What a broker does differently from the moment it is told. What topics inherit is not here: it
/// becomes part of their own configurations, as fast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSettings {
    /// How many connections there may be.
    pub connections: ConnectionSettings,
    /// Idle time after which a producer's state is forgotten.
    pub producer_expiration: Duration,
    /// Log directories that get no new partitions, as they are configured.
    pub cordoned_log_dirs: CordonedLogDirs,
    /// Bytes per second that moves between log directories copy, together.
    pub move_bytes_per_second: u64,
}

/// Which log directories get no new partitions (KIP-1066).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CordonedLogDirs {
    /// All: `*`.
    All,
    /// These paths.
    Some(Vec<String>),
}

impl CordonedLogDirs {
    pub(crate) fn read(text: &str) -> CordonedLogDirs {
        match split_list(text)[..] {
            ["*"] => CordonedLogDirs::All,
            ref paths => CordonedLogDirs::Some(paths.iter().map(ToString::to_string).collect()),
        }
    }

    /// Whether the directory at `path` is one.
    pub fn contains(&self, path: &str) -> bool {
        match self {
            CordonedLogDirs::All => true,
            CordonedLogDirs::Some(paths) => paths.iter().any(|cordoned| cordoned == path),
        }
    }

    /// What is named and is none of `log_dirs`, in Kafka's words.
    pub(crate) fn unknown(&self, log_dirs: &[String]) -> Option<String> {
        let CordonedLogDirs::Some(paths) = self else {
            return None;
        };
        let missing = paths.iter().filter(|path| !log_dirs.contains(path));
        let missing: Vec<&str> = missing.map(String::as_str).collect();
        (!missing.is_empty()).then(|| {
            format!(
                "All entries in {CORDONED} must be present in log.dirs or log.dir. Missing entries : {}",
                missing.join(", ")
            )
        })
    }
}

/// How many connections there may be. Lower limits close nothing: they keep others from coming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// Most connections.
    pub connections_max: usize,
    /// Most connections from one address.
    pub per_address_max: usize,
    /// Limits of single addresses, by name or number.
    pub per_address_overrides: Vec<(String, usize)>,
    /// Most new connections a second.
    pub creation_rate_max: u32,
    /// What counts for single listeners besides, by name in lower case.
    pub listeners: BTreeMap<String, ListenerSettings>,
}

/// How many connections one listener may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Most connections.
    pub connections_max: usize,
    /// Most new connections a second.
    pub creation_rate_max: u32,
}

impl Default for ListenerSettings {
    /// No limits.
    fn default() -> ListenerSettings {
        ListenerSettings {
            connections_max: usize::MAX,
            creation_rate_max: u32::MAX,
        }
    }
}

impl LiveSettings {
    /// The configs that are read here.
    pub const NAMES: &[&str] = &[
        CONNECTIONS,
        PER_ADDRESS,
        OVERRIDES,
        CREATION_RATE,
        PRODUCER_EXPIRATION,
        CORDONED,
        MOVE_RATE,
    ];

    /// The settings in force. Values were checked when they were set.
    pub fn resolve(layers: BrokerLayers<'_>) -> LiveSettings {
        let text = |name: &str| {
            let definition = broker_definition(name).expect("the code asks for known configs only");
            layers.value(definition).or(definition.default)
        };
        let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
        let count = |name: &str| to_count(number(name).unwrap_or(u64::MAX));
        LiveSettings {
            connections: ConnectionSettings {
                connections_max: count(CONNECTIONS),
                per_address_max: count(PER_ADDRESS),
                per_address_overrides: address_overrides(text(OVERRIDES).unwrap_or(""))
                    .unwrap_or_default(),
                creation_rate_max: to_rate(number(CREATION_RATE).unwrap_or(u64::MAX)),
                listeners: of_listeners(layers),
            },
            producer_expiration: Duration::from_millis(number(PRODUCER_EXPIRATION).unwrap_or(1)),
            cordoned_log_dirs: CordonedLogDirs::read(text(CORDONED).unwrap_or("")),
            move_bytes_per_second: number(MOVE_RATE).unwrap_or(u64::MAX),
        }
    }
}

/// What else is put in force while the broker runs: see [`BrokerLayers::cleaner_options`].
const OF_THE_CLEANER: &[&str] = &[
    "log.cleaner.backoff.ms",
    "log.cleaner.dedupe.buffer.size",
    "log.cleaner.io.buffer.load.factor",
    "log.cleaner.io.max.bytes.per.second",
];

/// Whether a change of the broker config `name` has its effect while the broker runs.
pub fn is_live(name: &str) -> bool {
    let inherits = |synonym: &str| {
        let broker = broker_definition(synonym);
        synonym == name || broker.is_some_and(|broker| broker.synonyms.contains(&name))
    };
    let is_of_topics = || {
        topic_definitions().any(|definition| definition.synonyms.iter().any(|name| inherits(name)))
    };
    LiveSettings::NAMES.contains(&name) || OF_THE_CLEANER.contains(&name) || is_of_topics()
}

/// Reads `host:count, ...`; the error is the item that is none.
pub(crate) fn address_overrides(text: &str) -> Result<Vec<(String, usize)>, String> {
    let read = |item: &str| {
        let (host, count) = item.rsplit_once(':')?;
        Some((host.trim().to_owned(), count.trim().parse().ok()?))
    };
    let items = split_list(text).into_iter();
    items
        .map(|item| read(item).ok_or_else(|| item.to_owned()))
        .collect()
}

fn of_listeners(layers: BrokerLayers<'_>) -> BTreeMap<String, ListenerSettings> {
    let mut listeners = BTreeMap::<String, ListenerSettings>::new();
    // The outer layers come last and win.
    for layer in layers.layers().into_iter().rev() {
        for (name, value) in layer {
            let Some((listener, definition)) = listener_override(name) else {
                continue;
            };
            let Ok(value) = value.trim().parse::<u64>() else {
                continue;
            };
            let settings = listeners.entry(listener.to_ascii_lowercase());
            match definition.name {
                CONNECTIONS => settings.or_default().connections_max = to_count(value),
                CREATION_RATE => settings.or_default().creation_rate_max = to_rate(value),
                _ => {}
            }
        }
    }
    listeners
}

fn to_count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// At least one: with none nobody could ever set it back.
fn to_rate(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX).max(1)
}
