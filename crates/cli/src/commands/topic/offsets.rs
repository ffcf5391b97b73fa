use std::collections::BTreeMap;

use clap::Args;
use ottla_client::{Admin, IsolationLevel, ListedOffset, OffsetQuery, PartitionKey};
use ottla_types::Timestamp;
use serde_json::json;

use super::report_failures;
use crate::client_arguments::Format;
use crate::failure::Failure;
use crate::output::{Table, print_json};
use crate::time_text::{format_millis, now_millis, parse_millis};

#[derive(Debug, Args)]
pub struct Offsets {
    /// Names of the topics.
    #[arg(required = true)]
    topics: Vec<String>,
    /// earliest, latest, max-timestamp, or @ and a time: @2026-11-22T10:00, @-1h, @1700000000000.
    /// The first and the next offset by default.
    #[arg(long, value_name = "WHAT", allow_hyphen_values = true)]
    at: Option<String>,
}

pub async fn run(offsets: Offsets, admin: &Admin, format: Format) -> Result<(), Failure> {
    let names: Vec<&str> = offsets.topics.iter().map(String::as_str).collect();
    let (topics, mut outcome) = report_failures(admin.describe_topics(&names).await?, admin).await;
    let mut keys = Vec::new();
    for topic in topics.values() {
        let partitions = topic.partitions.iter();
        keys.extend(partitions.map(|p| PartitionKey::new(topic.name.as_str(), p.partition)));
    }
    let columns = match &offsets.at {
        Some(at) => vec![("offset", parse_query(at)?)],
        None => vec![
            ("first", OffsetQuery::Earliest),
            ("next", OffsetQuery::Latest),
        ],
    };
    let mut found: BTreeMap<PartitionKey, Vec<ListedOffset>> = BTreeMap::new();
    for (_, query) in &columns {
        let queries: Vec<_> = keys.iter().map(|key| (key.clone(), *query)).collect();
        let listed = admin
            .list_offsets(&queries, IsolationLevel::ReadUncommitted)
            .await?;
        for (key, result) in listed {
            match result {
                Ok(offset) => found.entry(key).or_default().push(offset),
                Err(error) => {
                    let name = format!("{}[{}]", key.topic, key.partition);
                    Failure::item(&name, &error).report();
                    outcome = Err(Failure::reported());
                }
            }
        }
    }
    found.retain(|_, offsets| offsets.len() == columns.len());
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    match format {
        Format::Text | Format::Wide => print_text(&names, &found),
        Format::Json => print_as_json(&names, &found),
    }
    outcome
}

fn parse_query(text: &str) -> Result<OffsetQuery, Failure> {
    match text {
        "earliest" | "start" => Ok(OffsetQuery::Earliest),
        "latest" | "end" => Ok(OffsetQuery::Latest),
        "max-timestamp" => Ok(OffsetQuery::MaxTimestamp),
        _ => text
            .strip_prefix('@')
            .and_then(|time| parse_millis(time, now_millis()))
            .map(|millis| OffsetQuery::Time(Timestamp::from_millis(millis)))
            .ok_or_else(|| {
                Failure::usage(format!(
                    "--at {text}: expected earliest, latest, max-timestamp or @ and a time"
                ))
            }),
    }
}

fn print_text(names: &[&str], found: &BTreeMap<PartitionKey, Vec<ListedOffset>>) {
    let mut headings = vec!["TOPIC".to_owned(), "PARTITION".to_owned()];
    headings.extend(names.iter().map(|name| name.to_uppercase()));
    headings.push(if names.len() == 2 { "COUNT" } else { "TIME" }.to_owned());
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut table = Table::new(&headings);
    for (key, offsets) in found {
        let mut row = vec![key.topic.to_string(), key.partition.to_string()];
        let text = |o: &ListedOffset| o.offset.map_or("-".to_owned(), |o| o.get().to_string());
        row.extend(offsets.iter().map(text));
        row.push(match offsets.as_slice() {
            [first, next] => match (first.offset, next.offset) {
                (Some(first), Some(next)) => (next.get() - first.get()).to_string(),
                _ => "-".to_owned(),
            },
            offsets => offsets[0]
                .timestamp
                .map_or("-".to_owned(), |time| format_millis(time.as_millis())),
        });
        table.row(row);
    }
    table.print();
}

fn print_as_json(names: &[&str], found: &BTreeMap<PartitionKey, Vec<ListedOffset>>) {
    let rows: Vec<_> = found
        .iter()
        .map(|(key, offsets)| {
            let mut row = json!({ "topic": &*key.topic, "partition": key.partition });
            for (name, offset) in names.iter().zip(offsets) {
                row[*name] = json!(offset.offset.map(|offset| offset.get()));
                if let Some(timestamp) = offset.timestamp {
                    row["timestamp"] = json!(timestamp.as_millis());
                }
            }
            row
        })
        .collect();
    print_json("topic.offsets", json!({ "partitions": rows }));
}
