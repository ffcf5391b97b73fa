use clap::Parser;
use ottla_client::{
    Admin, ApiError, ConfigResource, ConfigSource, NewTopic, PartitionDescription, TopicDescription,
};
use ottla_types::{BrokerId, ErrorCode};

use super::Connection;
use crate::failure::Failure;
use crate::session::with_client;

/// Create, list, describe, widen and delete topics.
#[derive(Debug, Parser)]
#[command(name = "kafka-topics")]
pub struct Topics {
    #[command(flatten)]
    connection: Connection,
    /// Make a topic.
    #[arg(long)]
    create: bool,
    /// Name the topics.
    #[arg(long)]
    list: bool,
    /// Show topics and their partitions.
    #[arg(long)]
    describe: bool,
    /// Give a topic more partitions.
    #[arg(long)]
    alter: bool,
    /// Delete topics.
    #[arg(long)]
    delete: bool,
    /// The topics, separated by commas.
    #[arg(long, value_delimiter = ',')]
    topic: Vec<String>,
    /// How many partitions.
    #[arg(long)]
    partitions: Option<i32>,
    /// How many copies.
    #[arg(long = "replication-factor")]
    replication_factor: Option<i16>,
    /// A topic configuration.
    #[arg(long, value_name = "KEY=VALUE")]
    config: Vec<String>,
    /// It is no error if the topic is not there.
    #[arg(long = "if-exists")]
    if_exists: bool,
    /// It is no error if the topic is there.
    #[arg(long = "if-not-exists")]
    if_not_exists: bool,
    /// Leave internal topics out.
    #[arg(long = "exclude-internal")]
    exclude_internal: bool,
    /// Only partitions with replicas that are not in sync.
    #[arg(long = "under-replicated-partitions")]
    under_replicated: bool,
    /// Only partitions without a leader.
    #[arg(long = "unavailable-partitions")]
    unavailable: bool,
}

pub fn run(topics: Topics) -> Result<(), Failure> {
    let actions = [
        topics.create,
        topics.list,
        topics.describe,
        topics.alter,
        topics.delete,
    ];
    if actions.iter().filter(|wanted| **wanted).count() != 1 {
        return Err(Failure::usage(
            "exactly one of --create, --list, --describe, --alter, --delete is needed",
        ));
    }
    if topics.topic.is_empty() && (topics.create || topics.alter || topics.delete) {
        return Err(Failure::usage("--topic is needed"));
    }
    with_client(&topics.connection.arguments()?, async |session| {
        let admin = session.client.admin();
        if topics.create {
            create(&topics, &admin).await
        } else if topics.alter {
            alter(&topics, &admin).await
        } else if topics.delete {
            delete(&topics, &admin).await
        } else {
            show(&topics, &admin).await
        }
    })
}

fn failed(error: &ApiError) -> Failure {
    let text = error.message.clone().unwrap_or_else(|| error.to_string());
    Failure::failed(format!("Error while executing topic command : {text}")).with_hint(error.hint())
}

async fn create(topics: &Topics, admin: &Admin) -> Result<(), Failure> {
    let mut new = Vec::new();
    for name in &topics.topic {
        let mut topic = NewTopic::new(name);
        topic.partitions = topics.partitions;
        topic.replication_factor = topics.replication_factor;
        for text in &topics.config {
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("--config {text}: expected KEY=VALUE")))?;
            topic = topic.config(key, value);
        }
        new.push(topic);
    }
    for (name, result) in admin.create_topics(&new).await? {
        match result {
            Ok(_) => println!("Created topic {name}."),
            Err(error) if topics.if_not_exists && error.code == ErrorCode::TopicAlreadyExists => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(())
}

async fn alter(topics: &Topics, admin: &Admin) -> Result<(), Failure> {
    let count = topics
        .partitions
        .ok_or_else(|| Failure::usage("--alter needs --partitions"))?;
    for name in &topics.topic {
        admin.create_partitions(name, count).await?;
    }
    Ok(())
}

async fn delete(topics: &Topics, admin: &Admin) -> Result<(), Failure> {
    let names: Vec<&str> = topics.topic.iter().map(String::as_str).collect();
    for (_, result) in admin.delete_topics(&names).await? {
        match result {
            Ok(()) => {}
            Err(error) if topics.if_exists && error.code == ErrorCode::UnknownTopicOrPartition => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(())
}

async fn show(topics: &Topics, admin: &Admin) -> Result<(), Failure> {
    let mut all = admin.describe_all_topics().await?;
    all.retain(|name, topic| {
        let internal = topic.as_ref().is_ok_and(|topic| topic.is_internal);
        let named = topics.topic.is_empty() || topics.topic.contains(name);
        named && !(internal && topics.exclude_internal)
    });
    if topics.list {
        all.keys().for_each(|name| println!("{name}"));
        return Ok(());
    }
    let missing = topics.topic.iter().find(|name| !all.contains_key(*name));
    if let Some(name) = missing.filter(|_| !topics.if_exists) {
        return Err(Failure::failed(format!(
            "Error while executing topic command : Topic '{name}' does not exist as expected"
        )));
    }
    for topic in all.into_values() {
        let topic = topic.map_err(|error| failed(&error))?;
        print(&topic, topics, admin).await?;
    }
    Ok(())
}

async fn print(topic: &TopicDescription, topics: &Topics, admin: &Admin) -> Result<(), Failure> {
    let is_wanted = |partition: &&PartitionDescription| {
        let lagging = partition.in_sync_replicas.len() < partition.replicas.len();
        (!topics.under_replicated || lagging) && (!topics.unavailable || partition.leader.is_none())
    };
    if !topics.under_replicated && !topics.unavailable {
        let resource = ConfigResource::Topic(topic.name.clone());
        let configs: Vec<String> = admin
            .describe_configs(&resource)
            .await?
            .into_iter()
            .filter(|config| config.source != ConfigSource::Default)
            .map(|config| format!("{}={}", config.name, config.value.unwrap_or_default()))
            .collect();
        let id = topic.id.map_or(String::new(), |id| id.to_string());
        let first = topic.partitions.first();
        println!(
            "Topic: {}\tTopicId: {id}\tPartitionCount: {}\tReplicationFactor: {}\tConfigs: {}",
            topic.name,
            topic.partitions.len(),
            first.map_or(0, |partition| partition.replicas.len()),
            configs.join(","),
        );
    }
    for partition in topic.partitions.iter().filter(is_wanted) {
        let leader = partition
            .leader
            .map_or("none".to_owned(), |leader| leader.to_string());
        println!(
            "\tTopic: {}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}\tElr: \tLastKnownElr: ",
            topic.name,
            partition.partition,
            joined(&partition.replicas),
            joined(&partition.in_sync_replicas),
        );
    }
    Ok(())
}

fn joined(brokers: &[BrokerId]) -> String {
    let texts: Vec<String> = brokers.iter().map(BrokerId::to_string).collect();
    texts.join(",")
}
