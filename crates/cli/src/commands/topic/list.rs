use clap::Args;
use ottla_client::Admin;
use regex_lite::Regex;
use serde_json::json;

use super::report_failures;
use crate::client_arguments::Format;
use crate::failure::Failure;
use crate::output::{Table, print_json};

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
    match format {
        Format::Json => {
            let topics: Vec<_> = topics
                .values()
                .map(|topic| {
                    json!({
                        "name": topic.name,
                        "id": topic.id.map(|id| id.to_string()),
                        "partitions": topic.partitions.len(),
                        "replicas": replicas(topic),
                        "internal": topic.is_internal,
                    })
                })
                .collect();
            print_json("topic.list", json!({ "topics": topics }));
        }
        Format::Text => {
            let mut table = Table::new(&["NAME", "PARTITIONS", "REPLICAS"]);
            for topic in topics.values() {
                table.row(vec![
                    topic.name.clone(),
                    topic.partitions.len().to_string(),
                    replicas(topic).to_string(),
                ]);
            }
            table.print();
        }
    }
    outcome
}

fn replicas(topic: &ottla_client::TopicDescription) -> usize {
    topic
        .partitions
        .first()
        .map_or(0, |partition| partition.replicas.len())
}
