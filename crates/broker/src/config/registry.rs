use super::broker_table::BROKER;
use super::definition::Definition;
use super::group_table::{CLIENT_METRICS, GROUP};
use super::ottla_table::{OTTLA_BROKER, OTTLA_TOPIC};
use super::topic_table::TOPIC;

/// Every broker config, Kafka's first, each group in alphabetical order.
pub fn broker_definitions() -> impl Iterator<Item = &'static Definition> {
    BROKER.iter().chain(OTTLA_BROKER)
}

/// Every topic config, Kafka's first, each group in alphabetical order.
pub fn topic_definitions() -> impl Iterator<Item = &'static Definition> {
    TOPIC.iter().chain(OTTLA_TOPIC)
}

/// Every config of groups, in alphabetical order.
pub fn group_definitions() -> impl Iterator<Item = &'static Definition> {
    GROUP.iter()
}

/// Every config of subscriptions to client metrics, in alphabetical order.
pub fn client_metrics_definitions() -> impl Iterator<Item = &'static Definition> {
    CLIENT_METRICS.iter()
}

/// The broker config with this name.
pub fn broker_definition(name: &str) -> Option<&'static Definition> {
    find(BROKER, name).or_else(|| find(OTTLA_BROKER, name))
}

/// The topic config with this name.
pub fn topic_definition(name: &str) -> Option<&'static Definition> {
    find(TOPIC, name).or_else(|| find(OTTLA_TOPIC, name))
}

/// The config of groups with this name.
pub fn group_definition(name: &str) -> Option<&'static Definition> {
    find(GROUP, name)
}

/// The config of subscriptions to client metrics with this name.
pub fn client_metrics_definition(name: &str) -> Option<&'static Definition> {
    find(CLIENT_METRICS, name)
}

fn find(table: &'static [Definition], name: &str) -> Option<&'static Definition> {
    table
        .binary_search_by(|row| row.name.cmp(name))
        .ok()
        .map(|index| &table[index])
}

/// The config a per-listener name such as `listener.name.internal.ssl.keystore.location` or
/// `listener.name.sasl.plain.sasl.jaas.config` speaks about, and the listener in lower case.
pub fn listener_override(name: &str) -> Option<(&str, &'static Definition)> {
    let (listener, rest) = name.strip_prefix("listener.name.")?.split_once('.')?;
    let after_mechanism = || {
        rest.split_once('.')
            .and_then(|(_, key)| broker_definition(key))
    };
    let definition = broker_definition(rest).or_else(after_mechanism)?;
    Some((listener, definition))
}

/// The known name nearest to `name`, if one is near enough to be meant.
pub fn near_miss(
    name: &str,
    definitions: impl Iterator<Item = &'static Definition>,
) -> Option<&'static str> {
    let allowed = (name.len() / 5).clamp(1, 3);
    definitions
        .map(|row| (edit_distance(name, row.name, allowed), row.name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from `a` to `b`;
/// anything above `limit` may be reported as `limit + 1`.
fn edit_distance(a: &str, b: &str, limit: usize) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > limit {
        return limit + 1;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if 1 < i && 1 < j && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = last;
        last = row;
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::definition::{Kind, Support};

    #[test]
    fn tables_are_sorted_and_their_defaults_are_valid() {
        for table in [
            BROKER,
            TOPIC,
            GROUP,
            CLIENT_METRICS,
            OTTLA_BROKER,
            OTTLA_TOPIC,
        ] {
            for pair in table.windows(2) {
                assert!(pair[0].name < pair[1].name, "{}", pair[1].name);
            }
            for row in table {
                if let Some(default) = row.default {
                    assert_eq!(row.parse(default), Ok(default.to_owned()), "{}", row.name);
                }
                for synonym in row.synonyms {
                    assert!(broker_definition(synonym).is_some(), "{synonym}");
                }
                assert!(row.documentation().ends_with('.'), "{}", row.name);
            }
        }
        assert_eq!(BROKER.len(), 382);
        assert_eq!(TOPIC.len(), 38);
        assert_eq!((GROUP.len(), CLIENT_METRICS.len()), (27, 3));
    }

    #[test]
    fn names_are_found() {
        let row = broker_definition("num.partitions").expect("known");
        assert_eq!((row.kind, row.support), (Kind::Int, Support::Applied));
        assert!(topic_definition("num.partitions").is_none());
        assert!(topic_definition("ottla.durability").is_some());
        let (listener, row) =
            listener_override("listener.name.internal.ssl.keystore.location").expect("known");
        assert_eq!((listener, row.name), ("internal", "ssl.keystore.location"));
        let (_, row) = listener_override("listener.name.a.plain.sasl.jaas.config").expect("known");
        assert_eq!(row.name, "sasl.jaas.config");
        assert!(listener_override("listener.name.a.nonsense").is_none());
    }

    #[test]
    fn near_misses_name_what_was_meant() {
        let near = |name| near_miss(name, broker_definitions());
        assert_eq!(near("num.partition"), Some("num.partitions"));
        assert_eq!(near("log.retention.huors"), Some("log.retention.hours"));
        assert_eq!(
            near("auto.create.topic.enable"),
            Some("auto.create.topics.enable")
        );
        assert_eq!(near("my.own.plugin.setting"), None);
    }

    #[test]
    fn values_are_judged_with_kafkas_texts() {
        let judge = |name: &str, value: &str| {
            let row = topic_definition(name).expect("known");
            row.parse(value).map_err(|error| error.to_string())
        };
        assert_eq!(judge("retention.ms", " 60000 "), Ok("60000".to_owned()));
        assert_eq!(judge("preallocate", "TRUE"), Ok("true".to_owned()));
        assert_eq!(judge("cleanup.policy", ""), Ok(String::new()));
        for (name, value, text) in [
            (
                "retention.ms",
                "-2",
                "Invalid value -2 for configuration retention.ms: Value must be at least -1",
            ),
            (
                "retention.ms",
                "soon",
                "Invalid value soon for configuration retention.ms: Not a number of type LONG",
            ),
            (
                "segment.bytes",
                "1000",
                "Invalid value 1000 for configuration segment.bytes: Value must be at least 1048576",
            ),
            (
                "message.timestamp.type",
                "x",
                "Invalid value x for configuration message.timestamp.type: String must be one of: CreateTime, LogAppendTime",
            ),
            (
                "cleanup.policy",
                "delete, x",
                "Invalid value x for configuration cleanup.policy: String must be one of: compact, delete",
            ),
            (
                "compression.gzip.level",
                "0",
                "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1",
            ),
            (
                "min.cleanable.dirty.ratio",
                "1.5",
                "Invalid value 1.5 for configuration min.cleanable.dirty.ratio: Value must be no more than 1",
            ),
        ] {
            assert_eq!(judge(name, value), Err(text.to_owned()));
        }
        let text = judge("remote.storage.enable", "true").expect_err("not built yet");
        assert!(text.contains("later release"), "{text}");
    }
}
