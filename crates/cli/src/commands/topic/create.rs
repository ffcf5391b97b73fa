use clap::Args;
use ottla_client::{Admin, NewTopic};
use ottla_types::ErrorCode;
use serde_json::json;

use super::report_failures;
use crate::client_arguments::Format;
use crate::failure::Failure;
use crate::output::print_json;

#[derive(Debug, Args)]
pub struct Create {
    /// Names of the new topics.
    #[arg(required = true)]
    topics: Vec<String>,
    /// How many partitions; the cluster's num.partitions by default.
    #[arg(short = 'p', long)]
    partitions: Option<i32>,
    /// How many copies of each; the cluster's default.replication.factor by default.
    #[arg(short = 'r', long = "replicas", alias = "replication-factor")]
    replicas: Option<i16>,
    /// A topic configuration; may be given several times.
    #[arg(short = 'c', long = "config", value_name = "KEY=VALUE")]
    configs: Vec<String>,
    /// A topic that is there already is no failure.
    #[arg(long)]
    if_not_exists: bool,
    /// Only check whether it would work.
    #[arg(long)]
    dry_run: bool,
}

pub async fn run(create: Create, admin: &Admin, format: Format) -> Result<(), Failure> {
    let mut topics = Vec::new();
    for name in &create.topics {
        let mut topic = NewTopic::new(name);
        topic.partitions = create.partitions;
        topic.replication_factor = create.replicas;
        for config in &create.configs {
            let Some((key, value)) = config.split_once('=') else {
                return Err(Failure::usage(format!("-c {config}: expected key=value")));
            };
            topic = topic.config(key, value);
        }
        topics.push(topic);
    }
    let mut results = if create.dry_run {
        let checked = admin.validate_topics(&topics).await?;
        checked
            .into_iter()
            .map(|(name, result)| (name, result.map(|()| None)))
            .collect()
    } else {
        admin.create_topics(&topics).await?
    };
    if create.if_not_exists {
        for result in results.values_mut() {
            if result
                .as_ref()
                .is_err_and(|error| error.code == ErrorCode::TopicAlreadyExists)
            {
                *result = Ok(None);
            }
        }
    }
    let (done, outcome) = report_failures(results, admin).await;
    match format {
        Format::Json => {
            let topics: Vec<_> = done
                .iter()
                .map(|(name, id)| json!({ "name": name, "id": id.map(|id| id.to_string()) }))
                .collect();
            print_json(
                "topic.create",
                json!({ "topics": topics, "dry_run": create.dry_run }),
            );
        }
        Format::Text | Format::Wide => {
            for name in done.keys() {
                outln!(
                    "{name}  {}",
                    if create.dry_run {
                        "would be made"
                    } else {
                        "is there"
                    }
                );
            }
        }
    }
    outcome
}
