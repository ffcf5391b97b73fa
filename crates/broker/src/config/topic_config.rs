use super::definition::Definition;
use super::registry::{broker_definition, topic_definition};
use super::static_config::StaticConfig;
use ottla_records::{Codec, CompressionLevel, TimestampType};
use ottla_storage::partition::{Durability, LogConfig};
use ottla_types::{Prng, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};

/// Config values by name, as the metadata image keeps them.
pub type ConfigMap = BTreeMap<String, String>;

/// Where a value comes from, in Kafka's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set for the topic.
    Topic = 1,
    /// Set for this broker while it runs.
    DynamicBroker = 2,
    /// Set for all brokers while they run.
    DynamicDefaultBroker = 3,
    /// Set where the broker was started.
    StaticBroker = 4,
    /// Not set anywhere.
    Default = 5,
    /// The level of a logger.
    Logger = 6,
    /// Set for a subscription to client metrics.
    ClientMetrics = 7,
    /// Set for a group.
    Group = 8,
}

/// What is set for brokers, outermost first: for this one, for all, where it was started.
#[derive(Clone, Copy, Debug)]
pub struct BrokerLayers<'a> {
    /// Set for this broker while it runs.
    pub this_broker: &'a ConfigMap,
    /// Set for all brokers while they run.
    pub all_brokers: &'a ConfigMap,
    /// Set where the broker was started.
    pub started_with: &'a StaticConfig,
}

/// One place where a config has a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The name under which it is set there.
    pub name: String,
    /// The value as Kafka prints it; `None` when it must not be shown.
    pub value: Option<String>,
    /// The place.
    pub source: ConfigSource,
}

/// What the layers are shown as, outermost first.
const SOURCES: [ConfigSource; 3] = [
    ConfigSource::DynamicBroker,
    ConfigSource::DynamicDefaultBroker,
    ConfigSource::StaticBroker,
];

impl<'a> BrokerLayers<'a> {
    /// The value in force for a broker config that has no other names.
    pub fn value(&self, definition: &Definition) -> Option<&'a str> {
        let names = [definition.name];
        let names = if definition.synonyms.is_empty() {
            &names[..]
        } else {
            definition.synonyms
        };
        for layer in self.layers() {
            for name in names {
                if let Some(value) = layer.get(*name) {
                    return Some(value);
                }
            }
        }
        None
    }

    /// All three, outermost first.
    pub(super) fn layers(&self) -> [&'a ConfigMap; 3] {
        [
            self.this_broker,
            self.all_brokers,
            self.started_with.values(),
        ]
    }

    /// Where exactly `name` is set, outermost first.
    pub(crate) fn places_of(
        self,
        name: &str,
    ) -> impl Iterator<Item = (&'a str, ConfigSource)> + use<'a, '_> {
        let places = self.layers().into_iter().zip(SOURCES);
        places.filter_map(move |(layer, source)| Some((layer.get(name)?.as_str(), source)))
    }

    /// Every name that is set anywhere.
    pub(crate) fn names(self) -> BTreeSet<&'a str> {
        let layers = self.layers().into_iter();
        layers
            .flat_map(|layer| layer.keys().map(String::as_str))
            .collect()
    }

    /// Every place where one of `definition`'s names has a value, in order of precedence, defaults
    /// last; begins with the first that has the config's own name, as Kafka's does.
    pub fn synonyms(&self, definition: &Definition) -> Vec<ConfigSynonym> {
        let own = [definition.name];
        let names = if definition.synonyms.is_empty() {
            &own[..]
        } else {
            definition.synonyms
        };
        let shown = |value: &str| (!definition.is_sensitive()).then(|| value.to_owned());
        let mut found = Vec::new();
        for (layer, source) in self.layers().into_iter().zip(SOURCES) {
            for name in names {
                if let Some(value) = layer.get(*name) {
                    let (name, value) = ((*name).to_owned(), shown(value));
                    found.push(ConfigSynonym {
                        name,
                        value,
                        source,
                    });
                }
            }
        }
        for name in names {
            let default = broker_definition(name).and_then(|definition| definition.default);
            if let Some(value) = default {
                found.push(ConfigSynonym {
                    name: (*name).to_owned(),
                    value: shown(value),
                    source: ConfigSource::Default,
                });
            }
        }
        let first = found
            .iter()
            .position(|synonym| synonym.name == definition.name);
        first
            .map(|first| found.split_off(first))
            .unwrap_or_default()
    }

    /// The value a topic gets that does not set `definition` itself, as Kafka prints it: hours and
    /// minutes become milliseconds.
    pub fn topic_default(&self, definition: &Definition) -> Option<String> {
        let Some(synonym) = definition.synonyms.first() else {
            return definition.default.map(str::to_owned);
        };
        let broker = broker_definition(synonym).expect("a synonym is a broker config");
        let names: &[&str] = if broker.synonyms.is_empty() {
            definition.synonyms
        } else {
            broker.synonyms
        };
        for layer in self.layers() {
            for name in names {
                if let Some(value) = layer.get(*name) {
                    return Some(in_milliseconds(name, value));
                }
            }
        }
        definition.default.map(str::to_owned)
    }
}

/// A ratio from 0 to 1; a half when it is none.
/// What `compression.type` asks for; `level` gives the value of a codec's level.
fn compression(name: &str, level: impl Fn(&str) -> i32) -> Option<(Codec, CompressionLevel)> {
    let codec = match name {
        "uncompressed" => Codec::None,
        name => Codec::from_name(name).filter(|codec| *codec != Codec::None)?,
    };
    let level = match codec {
        // -1 is zlib's own default.
        Codec::Gzip => Some(level("compression.gzip.level")).filter(|level| *level != -1),
        Codec::Zstd => Some(level("compression.zstd.level")),
        Codec::None | Codec::Snappy | Codec::Lz4 => None,
    };
    Some((codec, level))
}

fn millionths(ratio: &str) -> u32 {
    let ratio: f64 = ratio.parse().unwrap_or(0.5);
    (ratio.clamp(0.0, 1.0) * 1e6).round() as u32
}

fn in_milliseconds(name: &str, value: &str) -> String {
    let factor = if name.ends_with(".hours") {
        3_600_000
    } else if name.ends_with(".minutes") {
        60_000
    } else {
        return value.to_owned();
    };
    match value.parse::<i64>() {
        Ok(units) if units < 0 => "-1".to_owned(),
        Ok(units) => units.saturating_mul(factor).to_string(),
        Err(_) => value.to_owned(),
    }
}

/// A number that differs from partition to partition and is the same after every restart.
fn jitter_of(id: TopicPartition) -> u64 {
    let bytes = id.topic_id.uuid();
    let bits = u128::from_be_bytes(*bytes.as_bytes());
    Prng::new((bits >> 64) as u64 ^ bits as u64 ^ id.partition.get() as u64).next_u64()
}

/// When a record on a topic counts as safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicDurability {
    /// When it is on disk.
    Fsync,
    /// When it is in the page cache.
    Os,
}

/// Whose time a record carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicTimestamps {
    /// The producer's.
    CreateTime,
    /// The broker's.
    LogAppendTime,
}

/// Everything a topic's configuration means to this broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// Whether old segments are deleted at all.
    pub deletes: bool,
    /// Whether only the last record of each key is kept.
    pub compacts: bool,
    /// Share of a log that must be uncompacted before it is compacted, in millionths.
    pub min_cleanable_ppm: u32,
    /// Shortest time a record stays uncompacted.
    pub min_compaction_lag_ms: i64,
    /// Longest time a record may stay uncompacted.
    pub max_compaction_lag_ms: i64,
    /// How long compaction keeps a record without a value.
    pub delete_retention_ms: i64,
    /// Age after which segments go; `None`: never.
    pub retention_ms: Option<u64>,
    /// Size above which segments go; `None`: never.
    pub retention_bytes: Option<u64>,
    /// Size at which a new segment begins.
    pub segment_bytes: u32,
    /// Age by record timestamps at which a new segment begins.
    pub segment_ms: u64,
    /// Random time taken off `segment_ms`, at most.
    pub segment_jitter_ms: u64,
    /// Largest size of an offset index.
    pub segment_index_bytes: u32,
    /// Bytes between two index entries.
    pub index_interval_bytes: u32,
    /// Largest batch in bytes, its 12-byte prefix included.
    pub max_message_bytes: u32,
    /// Largest record of a compressed batch in bytes, once decompressed.
    pub max_decompressed_record_bytes: u32,
    /// Whose time a record carries.
    pub timestamps: TopicTimestamps,
    /// How far a record's time may lie behind now.
    pub timestamp_before_max_ms: i64,
    /// How far a record's time may lie ahead of now.
    pub timestamp_after_max_ms: i64,
    /// How batches are stored: with this codec and level; `None`: as they come.
    pub compression: Option<(Codec, CompressionLevel)>,
    /// Replicas that must be in sync for acks=all.
    pub min_insync_replicas: u32,
    /// When a record counts as safe.
    pub durability: TopicDurability,
    /// How long a file outlives its segment.
    pub file_delete_delay_ms: u64,
}

impl TopicConfig {
    /// Whether DeleteRecords may be used: not where only compaction removes records.
    pub fn deletes_records(&self) -> bool {
        self.deletes || !self.compacts
    }

    /// What storage needs of it, for one partition: each takes another time off `segment.ms`.
    pub fn log_config(&self, id: TopicPartition) -> LogConfig {
        let jitter_max = self.segment_jitter_ms.min(self.segment_ms);
        let jitter = match jitter_max {
            0 => 0,
            max => jitter_of(id) % max,
        };
        LogConfig {
            segment_bytes: self.segment_bytes,
            segment_ms: i64::try_from(self.segment_ms - jitter).unwrap_or(i64::MAX),
            segment_index_bytes: self.segment_index_bytes,
            retention_ms: self
                .retention_ms
                .map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)),
            retention_bytes: self.retention_bytes,
            file_delete_delay_ms: self.file_delete_delay_ms,
            timestamp_type: match self.timestamps {
                TopicTimestamps::CreateTime => TimestampType::CreateTime,
                TopicTimestamps::LogAppendTime => TimestampType::LogAppendTime,
            },
            durability: match self.durability {
                TopicDurability::Fsync => Durability::Fsync,
                TopicDurability::Os => Durability::Os,
            },
            deletes: self.deletes,
            compacts: self.compacts,
            min_cleanable_ppm: self.min_cleanable_ppm,
            min_compaction_lag_ms: self.min_compaction_lag_ms,
            max_compaction_lag_ms: self.max_compaction_lag_ms,
            delete_retention_ms: self.delete_retention_ms,
        }
    }

    /// The configuration in force for a topic that sets `topic` itself.
    pub fn resolve(topic: &ConfigMap, layers: BrokerLayers<'_>) -> TopicConfig {
        let text = |name: &str| -> String {
            let definition = topic_definition(name).expect("the code asks for known configs only");
            match topic.get(name) {
                Some(value) => definition.parse(value).unwrap_or_else(|_| value.clone()),
                None => layers.topic_default(definition).unwrap_or_default(),
            }
        };
        // Values were checked when they were set; one that an older or newer release accepted and
        // that does not parse falls back to the default.
        let number = |name: &str| -> i64 {
            let default = || {
                let definition = topic_definition(name).expect("known");
                definition.default.and_then(|text| text.parse().ok())
            };
            text(name).parse().ok().or_else(default).unwrap_or(0)
        };
        let unsigned = |name: &str| u64::try_from(number(name)).unwrap_or(0);
        let small = |name: &str| u32::try_from(number(name)).unwrap_or(0);
        let limit = |name: &str| u64::try_from(number(name)).ok();
        let flushes_each = text("flush.messages") == "1";
        let is_os = text("ottla.durability") == "os" && !flushes_each;
        let segment_bytes = match topic.get("internal.segment.bytes") {
            Some(_) => small("internal.segment.bytes"),
            None => small("segment.bytes"),
        };
        TopicConfig {
            deletes: text("cleanup.policy").contains("delete"),
            compacts: text("cleanup.policy").contains("compact"),
            min_cleanable_ppm: millionths(&text("min.cleanable.dirty.ratio")),
            min_compaction_lag_ms: number("min.compaction.lag.ms"),
            max_compaction_lag_ms: number("max.compaction.lag.ms"),
            delete_retention_ms: number("delete.retention.ms"),
            retention_ms: limit("retention.ms"),
            retention_bytes: limit("retention.bytes"),
            segment_bytes,
            segment_ms: unsigned("segment.ms"),
            segment_jitter_ms: unsigned("segment.jitter.ms"),
            segment_index_bytes: small("segment.index.bytes"),
            index_interval_bytes: small("index.interval.bytes"),
            max_message_bytes: small("max.message.bytes"),
            max_decompressed_record_bytes: small("max.decompressed.message.bytes"),
            timestamps: if text("message.timestamp.type") == "LogAppendTime" {
                TopicTimestamps::LogAppendTime
            } else {
                TopicTimestamps::CreateTime
            },
            timestamp_before_max_ms: number("message.timestamp.before.max.ms"),
            timestamp_after_max_ms: number("message.timestamp.after.max.ms"),
            compression: compression(&text("compression.type"), |name| number(name) as i32),
            min_insync_replicas: small("min.insync.replicas"),
            durability: if is_os {
                TopicDurability::Os
            } else {
                TopicDurability::Fsync
            },
            file_delete_delay_ms: unsigned("file.delete.delay.ms"),
        }
    }
}
