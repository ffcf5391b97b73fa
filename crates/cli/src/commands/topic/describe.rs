use std::collections::BTreeMap;

use clap::Args;
use ottla_client::{
    Admin, ApiError, ConfigDescription, ConfigResource, ConfigSource, PartitionDescription,
    TopicDescription,
};
use ottla_types::BrokerId;
use serde_json::{Value, json};

use super::report_failures;
use crate::client_arguments::Format;
use crate::failure::Failure;
use crate::output::{Table, counted, print_json};

#[derive(Debug, Args)]
pub struct Describe {
    /// Names of the topics.
    #[arg(required_unless_present = "ids")]
    topics: Vec<String>,
    /// The topic with this id; may be given several times.
    #[arg(long = "topic-id", value_name = "ID")]
    ids: Vec<String>,
    /// The partitions; both by default.
    #[arg(short = 'p', long)]
    partitions: bool,
    /// The configurations; both by default.
    #[arg(short = 'c', long)]
    configs: bool,
    /// All configurations, those with default values too.
    #[arg(short = 'a', long)]
    all: bool,
    /// Only partitions without a leader or with replicas that are not in sync.
    #[arg(long)]
    unhealthy: bool,
}

pub async fn run(describe: Describe, admin: &Admin, format: Format) -> Result<(), Failure> {
    let found = look_up(&describe, admin).await?;
    let (mut topics, outcome) = report_failures(found, admin).await;
    let shows_both = describe.partitions == describe.configs;
    let mut answers = Vec::new();
    for topic in topics.values_mut() {
        if describe.unhealthy {
            topic.partitions.retain(|partition| !is_healthy(partition));
        }
        let mut configs = Vec::new();
        if shows_both || describe.configs {
            let resource = ConfigResource::Topic(topic.name.clone());
            configs = admin.describe_configs(&resource).await?;
            configs.retain(|config| describe.all || config.source == ConfigSource::Topic);
        }
        match format {
            Format::Text | Format::Wide => {
                print_head(topic, &configs);
                if shows_both || describe.partitions {
                    print_partitions(topic);
                }
            }
            Format::Json => answers.push(to_json(topic, &configs)),
        }
    }
    if format == Format::Json {
        print_json("topic.describe", json!({ "topics": answers }));
    }
    outcome
}

/// The topics that are named, or whose ids are given.
async fn look_up(
    describe: &Describe,
    admin: &Admin,
) -> Result<BTreeMap<String, Result<TopicDescription, ApiError>>, Failure> {
    let names: Vec<&str> = describe.topics.iter().map(String::as_str).collect();
    let mut found = admin.describe_topics(&names).await?;
    if describe.ids.is_empty() {
        return Ok(found);
    }
    let all = admin.describe_all_topics().await?;
    for id in &describe.ids {
        let has_it = |it: &&TopicDescription| it.id.is_some_and(|it| it.to_string() == *id);
        let Some(topic) = all.values().flatten().find(has_it) else {
            return Err(Failure::failed(format!(
                "there is no topic with the id {id}"
            )));
        };
        found.insert(topic.name.clone(), Ok(topic.clone()));
    }
    Ok(found)
}

fn is_healthy(partition: &PartitionDescription) -> bool {
    partition.leader.is_some() && partition.in_sync_replicas.len() == partition.replicas.len()
}

fn numbers(brokers: &[BrokerId]) -> Vec<i32> {
    brokers.iter().map(|broker| broker.get()).collect()
}

fn print_head(topic: &TopicDescription, configs: &[ConfigDescription]) {
    let id = topic.id.map_or("none".to_owned(), |id| id.to_string());
    outln!(
        "{}  id {id}, {}",
        topic.name,
        counted(topic.partitions.len() as i64, "partition"),
    );
    for config in configs {
        let value = config.value.as_deref().unwrap_or("(hidden)");
        outln!("  {} = {value}", config.name);
    }
}

fn print_partitions(topic: &TopicDescription) {
    let mut table = Table::new(&["PARTITION", "LEADER", "EPOCH", "REPLICAS", "IN SYNC"]);
    for partition in &topic.partitions {
        let list = |brokers: &[BrokerId]| {
            let numbers = numbers(brokers);
            numbers
                .iter()
                .map(i32::to_string)
                .collect::<Vec<_>>()
                .join(",")
        };
        table.row(vec![
            partition.partition.to_string(),
            partition
                .leader
                .map_or("none".to_owned(), |leader| leader.to_string()),
            partition
                .leader_epoch
                .map_or("-".to_owned(), |epoch| epoch.get().to_string()),
            list(&partition.replicas),
            list(&partition.in_sync_replicas),
        ]);
    }
    table.print();
}

fn to_json(topic: &TopicDescription, configs: &[ConfigDescription]) -> Value {
    let partition = |partition: &PartitionDescription| {
        json!({
            "partition": partition.partition,
            "leader": partition.leader.map(BrokerId::get),
            "leader_epoch": partition.leader_epoch.map(|epoch| epoch.get()),
            "replicas": numbers(&partition.replicas),
            "in_sync_replicas": numbers(&partition.in_sync_replicas),
            "offline_replicas": numbers(&partition.offline_replicas),
        })
    };
    let config = |config: &ConfigDescription| {
        let source = format!("{:?}", config.source);
        json!({ "name": config.name, "value": config.value, "source": source })
    };
    json!({
        "name": topic.name,
        "id": topic.id.map(|id| id.to_string()),
        "internal": topic.is_internal,
        "partitions": topic.partitions.iter().map(partition).collect::<Vec<_>>(),
        "configs": configs.iter().map(config).collect::<Vec<_>>(),
    })
}
