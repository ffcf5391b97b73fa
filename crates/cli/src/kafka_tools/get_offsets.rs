use std::ops::Range;

use clap::Parser;
use ottla_client::{IsolationLevel, OffsetQuery, PartitionKey};
use ottla_types::Timestamp;
use regex_lite::Regex;

use super::Connection;
use crate::commands::topic::whole;
use crate::failure::Failure;
use crate::session::with_client;

/// Print topic:partition:offset for each partition.
#[derive(Debug, Parser)]
#[command(name = "kafka-get-offsets")]
pub struct GetOffsets {
    #[command(flatten)]
    connection: Connection,
    /// Only topics whose whole names match this regular expression.
    #[arg(long, value_name = "REGEX")]
    topic: Option<String>,
    /// Only these partitions.
    #[arg(long, value_delimiter = ',')]
    partitions: Vec<i32>,
    /// Only what one of these names: a regular expression for the topic, and behind a colon a partition,
    /// or a range of them that ends before its end: t:1,u:0-3,v:5-,.*:-2.
    #[arg(
        long = "topic-partitions",
        value_delimiter = ',',
        value_name = "REGEX:RANGE",
        conflicts_with_all = ["topic", "partitions"]
    )]
    patterns: Vec<String>,
    /// -1 or latest, -2 or earliest, -3 or max-timestamp, -4 or earliest-local, -5 or latest-tiered, -6 or
    /// earliest-pending-upload, or milliseconds since 1970.
    #[arg(long, default_value = "latest", allow_hyphen_values = true)]
    time: String,
    /// Leave internal topics out.
    #[arg(long = "exclude-internal-topics")]
    exclude_internal: bool,
}

pub fn run(get: GetOffsets) -> Result<(), Failure> {
    let query = match get.time.as_str() {
        "-1" | "latest" => OffsetQuery::Latest,
        "-2" | "earliest" => OffsetQuery::Earliest,
        "-3" | "max-timestamp" => OffsetQuery::MaxTimestamp,
        "-4" | "earliest-local" => OffsetQuery::EarliestLocal,
        "-5" | "latest-tiered" => OffsetQuery::LatestTiered,
        "-6" | "earliest-pending-upload" => OffsetQuery::EarliestPendingUpload,
        text => match text.parse() {
            Ok(millis @ 0..) => OffsetQuery::Time(Timestamp::from_millis(millis)),
            _ => return Err(Failure::usage(format!("--time {text}: expected a time"))),
        },
    };
    let wanted = wanted(&get)?;
    with_client(&get.connection.arguments()?, async |session| {
        let admin = session.client.admin();
        let mut queries = Vec::new();
        for (name, topic) in admin.describe_all_topics().await? {
            if !wanted.iter().any(|it| it.topic.is_match(&name)) {
                continue;
            }
            let topic = topic.map_err(|error| Failure::item(&name, &error))?;
            if get.exclude_internal && topic.is_internal {
                continue;
            }
            let numbers = topic.partitions.iter().map(|part| part.partition);
            let keys = numbers.filter(|number| {
                let mut of_topic = wanted.iter().filter(|it| it.topic.is_match(&name));
                of_topic.any(|it| it.partitions.contains(*number))
            });
            queries.extend(keys.map(|number| (PartitionKey::new(name.as_str(), number), query)));
        }
        if queries.is_empty() {
            return Err(Failure::failed(
                "Error occurred: Could not match any topic-partitions with the specified filters",
            ));
        }
        let mut outcome = Ok(());
        let found = admin
            .list_offsets(&queries, IsolationLevel::ReadUncommitted)
            .await?;
        for (key, listed) in found {
            match listed {
                Ok(listed) => {
                    let offset = listed.offset.map_or(-1, |offset| offset.get());
                    outln!("{}:{}:{offset}", key.topic, key.partition);
                }
                Err(error) => {
                    Failure::item(&key.to_string(), &error).report();
                    outcome = Err(Failure::reported());
                }
            }
        }
        outcome
    })
}

/// Partitions that are asked for.
struct Wanted {
    topic: Regex,
    partitions: Partitions,
}

enum Partitions {
    These(Vec<i32>),
    Range(Range<i32>),
}

impl Partitions {
    const ALL: Partitions = Partitions::Range(0..i32::MAX);

    fn contains(&self, number: i32) -> bool {
        match self {
            Partitions::These(numbers) => numbers.contains(&number),
            Partitions::Range(range) => range.contains(&number),
        }
    }
}

fn wanted(get: &GetOffsets) -> Result<Vec<Wanted>, Failure> {
    if !get.patterns.is_empty() {
        return get.patterns.iter().map(|text| pattern(text)).collect();
    }
    let topic = get.topic.as_deref().unwrap_or(".*");
    let partitions = match get.partitions.is_empty() {
        true => Partitions::ALL,
        false => Partitions::These(get.partitions.clone()),
    };
    // As Kafka has it, a comma stands between two expressions.
    let topic = whole(&topic.replace(',', "|"))?;
    Ok(vec![Wanted { topic, partitions }])
}

/// `t`, `t:1`, `t:0-3`, `t:5-`, `:-3`.
fn pattern(text: &str) -> Result<Wanted, Failure> {
    let wrong = || Failure::usage(format!("--topic-partitions {text}: expected TOPIC:RANGE"));
    let (topic, range) = text.split_once(':').unwrap_or((text, ""));
    let number = |text: &str, default: i32| match text {
        "" => Ok(default),
        text => text.parse().map_err(|_| wrong()),
    };
    let partitions = match range.split_once('-') {
        _ if range.is_empty() => Partitions::ALL,
        Some((from, to)) => Partitions::Range(number(from, 0)?..number(to, i32::MAX)?),
        None => Partitions::These(vec![number(range, 0)?]),
    };
    let topic = if topic.is_empty() { ".*" } else { topic };
    Ok(Wanted {
        topic: whole(topic)?,
        partitions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_topics_and_ranges() {
        let found = |text: &str| {
            let wanted = pattern(text).unwrap();
            let topics = ["t", "tt"]
                .into_iter()
                .filter(|name| wanted.topic.is_match(name));
            let numbers = (0..7).filter(|number| wanted.partitions.contains(*number));
            (topics.count(), numbers.collect::<Vec<_>>())
        };
        for (text, expected) in [
            ("t:1", (1, vec![1])),
            ("t.*:0-3", (2, vec![0, 1, 2])),
            ("t", (1, (0..7).collect())),
            ("t:5-", (1, vec![5, 6])),
            (":-3", (2, vec![0, 1, 2])),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
        for wrong in ["t:x", "t:1-x", "(:1"] {
            assert!(pattern(wrong).is_err(), "{wrong}");
        }
    }
}
