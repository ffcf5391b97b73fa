use std::collections::BTreeMap;

use clap::Args;
use ottla_client::{Admin, TopicDescription};
use regex_lite::Regex;
use serde_json::{Value, json};

use super::report_failures;
use super::usage::{Usage, measure};
use crate::client_arguments::Format;
use crate::failure::Failure;
use crate::output::{Table, format_bytes, print_json};

#[derive(Debug, Args)]
pub struct List {
    /// Only topics in whose names this regular expression is found.
    #[arg(value_name = "REGEX")]
    pattern: Option<String>,
    /// Kafka's own topics too.
    #[arg(short = 'i', long)]
    internal: bool,
}

pub async fn run(list: List, admin: &Admin, format: Format) -> Result<(), Failure> {
    let regex = list.pattern.as_deref().map(Regex::new).transpose();
    let regex = regex.map_err(|error| Failure::usage(format!("no regular expression: {error}")))?;
    let (mut topics, outcome) = report_failures(admin.describe_all_topics().await?, admin).await;
    topics.retain(|name, topic| {
        let is_named = regex.as_ref().is_none_or(|regex| regex.is_match(name));
        is_named && (list.internal || !topic.is_internal)
    });
    let (usages, outcome) = match format {
        Format::Text => (BTreeMap::new(), outcome),
        Format::Wide | Format::Json => {
            let (usages, measured) = measure(&topics, admin).await?;
            (usages, outcome.and(measured))
        }
    };
    match format {
        Format::Json => {
            let topics: Vec<_> = topics
                .values()
                .map(|topic| json_of(topic, &usages[&topic.name]))
                .collect();
            print_json("topic.list", json!({ "topics": topics }));
        }
        Format::Text => {
            let mut table = Table::new(&["NAME", "PARTITIONS", "REPLICAS"]);
            topics.values().for_each(|topic| table.row(cells(topic)));
            table.print();
        }
        Format::Wide => {
            let mut table = Table::new(&[
                "NAME",
                "PARTITIONS",
                "REPLICAS",
                "SIZE",
                "RECORDS",
                "GROUPS (LAG)",
            ]);
            for topic in topics.values() {
                let mut row = cells(topic);
                row.extend(wide_cells(&usages[&topic.name]));
                table.row(row);
            }
            table.print();
        }
    }
    outcome
}

fn json_of(topic: &TopicDescription, usage: &Usage) -> Value {
    let groups = usage.lags.iter();
    let groups: Vec<_> = groups
        .map(|(group, lag)| json!({ "group": group, "lag": lag }))
        .collect();
    json!({
        "name": topic.name,
        "id": topic.id.map(|id| id.to_string()),
        "partitions": topic.partitions.len(),
        "replicas": replicas(topic),
        "internal": topic.is_internal,
        "bytes": usage.bytes,
        "records": usage.records,
        "groups": groups,
    })
}

fn cells(topic: &TopicDescription) -> Vec<String> {
    vec![
        topic.name.clone(),
        topic.partitions.len().to_string(),
        replicas(topic).to_string(),
    ]
}

fn wide_cells(usage: &Usage) -> [String; 3] {
    let number = |value: Option<i64>| value.map_or("-".to_owned(), |value| value.to_string());
    let groups = usage.lags.iter();
    let groups: Vec<String> = groups
        .map(|(group, lag)| format!("{group} ({})", number(*lag)))
        .collect();
    [
        format_bytes(usage.bytes),
        number(usage.records),
        groups.join(", "),
    ]
}

fn replicas(topic: &TopicDescription) -> usize {
    topic
        .partitions
        .first()
        .map_or(0, |partition| partition.replicas.len())
}
