use clap::Parser;
use ottla_client::{IsolationLevel, OffsetQuery, PartitionKey};
use ottla_types::Timestamp;

use super::Connection;
use crate::failure::Failure;
use crate::session::with_client;

/// Print topic:partition:offset for each partition.
#[derive(Debug, Parser)]
#[command(name = "kafka-get-offsets")]
pub struct GetOffsets {
    #[command(flatten)]
    connection: Connection,
    /// Only this topic.
    #[arg(long)]
    topic: Option<String>,
    /// Only these partitions.
    #[arg(long, value_delimiter = ',')]
    partitions: Vec<i32>,
    /// -1 or latest, -2 or earliest, -3 or max-timestamp, or milliseconds since 1970.
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
        text => match text.parse() {
            Ok(millis @ 0..) => OffsetQuery::Time(Timestamp::from_millis(millis)),
            _ => return Err(Failure::usage(format!("--time {text}: expected a time"))),
        },
    };
    with_client(&get.connection.arguments()?, async |session| {
        let admin = session.client.admin();
        let topics = match &get.topic {
            Some(topic) => admin.describe_topics(&[topic.as_str()]).await?,
            None => admin.describe_all_topics().await?,
        };
        let mut queries = Vec::new();
        for (name, topic) in topics {
            let topic = topic.map_err(|error| Failure::item(&name, &error))?;
            if get.exclude_internal && topic.is_internal {
                continue;
            }
            let wanted =
                |number: &i32| get.partitions.is_empty() || get.partitions.contains(number);
            let numbers = topic.partitions.iter().map(|part| part.partition);
            let keys = numbers.filter(wanted);
            queries.extend(keys.map(|number| (PartitionKey::new(name.as_str(), number), query)));
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
