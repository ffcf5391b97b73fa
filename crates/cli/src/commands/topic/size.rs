use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use ottla_client::{Admin, LogDirPartition};
use ottla_types::BrokerId;
use serde_json::json;

use crate::client_arguments::Format;
use crate::failure::Failure;
use crate::output::{Table, print_json};

#[derive(Debug, Args)]
pub struct Size {
    /// Names of the topics; all of them by default.
    topics: Vec<String>,
    /// What a line stands for.
    #[arg(long, value_enum, default_value_t = By::Topic)]
    by: By,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// A topic, with all its replicas.
    Topic,
    /// A partition, with all its replicas.
    Partition,
    /// A broker.
    Node,
}

pub async fn run(size: Size, admin: &Admin, format: Format) -> Result<(), Failure> {
    let (replicas, mut outcome) = replicas(admin).await?;
    let mut sizes: BTreeMap<(String, i64), u64> = BTreeMap::new();
    for (broker, part) in replicas {
        let topic = part.partition.topic.to_string();
        if !size.topics.is_empty() && !size.topics.contains(&topic) {
            continue;
        }
        let key = match size.by {
            By::Topic => (topic, 0),
            By::Partition => (topic, i64::from(part.partition.partition)),
            By::Node => (String::new(), i64::from(broker.get())),
        };
        *sizes.entry(key).or_default() += part.size_bytes;
    }
    for topic in &size.topics {
        if size.by != By::Node && !sizes.keys().any(|(found, _)| found == topic) {
            Failure::failed(format!("{topic}: no broker has anything of it")).report();
            outcome = Err(Failure::reported());
        }
    }
    print(&sizes, size.by, format);
    outcome
}

/// What lies in the log directories of all brokers. Brokers and directories that cannot be looked at are
/// reported, and make the command fail.
pub async fn replicas(
    admin: &Admin,
) -> Result<(Vec<(BrokerId, LogDirPartition)>, Result<(), Failure>), Failure> {
    let mut outcome = Ok(());
    let mut failed = |failure: Failure| {
        failure.report();
        outcome = Err(Failure::reported());
    };
    let mut replicas = Vec::new();
    for (broker, dirs) in admin.describe_log_dirs().await? {
        let dirs = match dirs {
            Ok(dirs) => dirs,
            Err(error) => {
                failed(Failure::failed(format!("node {broker}: {error}")));
                continue;
            }
        };
        for dir in dirs {
            if let Some(error) = &dir.error {
                failed(Failure::item(
                    &format!("node {broker}, {}", dir.path),
                    error,
                ));
            }
            replicas.extend(dir.partitions.into_iter().map(|part| (broker, part)));
        }
    }
    Ok((replicas, outcome))
}

fn print(sizes: &BTreeMap<(String, i64), u64>, by: By, format: Format) {
    let mut largest: Vec<_> = sizes.iter().collect();
    largest.sort_by_key(|(_, bytes)| std::cmp::Reverse(**bytes));
    match format {
        Format::Json => {
            let rows: Vec<_> = largest
                .iter()
                .map(|((topic, number), bytes)| match by {
                    By::Topic => json!({ "topic": topic, "bytes": bytes }),
                    By::Partition => {
                        json!({ "topic": topic, "partition": number, "bytes": bytes })
                    }
                    By::Node => json!({ "node": number, "bytes": bytes }),
                })
                .collect();
            print_json("topic.size", json!({ "sizes": rows }));
        }
        Format::Text | Format::Wide => {
            let headings: &[&str] = match by {
                By::Topic => &["TOPIC", "BYTES"],
                By::Partition => &["TOPIC", "PARTITION", "BYTES"],
                By::Node => &["NODE", "BYTES"],
            };
            let mut table = Table::new(headings);
            for ((topic, number), bytes) in largest {
                let bytes = bytes.to_string();
                table.row(match by {
                    By::Topic => vec![topic.clone(), bytes],
                    By::Partition => vec![topic.clone(), number.to_string(), bytes],
                    By::Node => vec![number.to_string(), bytes],
                });
            }
            table.print();
        }
    }
}
