use clap::Parser;
use ottla_client::{
    Admin, ApiError, ConfigResource, ConfigSource, NewTopic, PartitionDescription, TopicDescription,
};
use ottla_types::{BrokerId, ErrorCode};

use super::Connection;
use crate::commands::topic::whole;
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
    /// The topic; except to create, a regular expression for the whole name.
    #[arg(long)]
    topic: Option<String>,
    /// With --describe: the topic with this id.
    #[arg(long = "topic-id")]
    topic_id: Option<String>,
    /// Which brokers have copies: 1:2,2:3 for two partitions.
    #[arg(long = "replica-assignment")]
    replica_assignment: Option<String>,
    /// How many partitions.
    #[arg(long)]
    partitions: Option<i32>,
    /// How many copies.
    #[arg(long = "replication-factor")]
    replication_factor: Option<i16>,
    /// A topic configuration.
    #[arg(long, value_name = "KEY=VALUE")]
    config: Vec<String>,
    /// Accepted, without effect since Kafka 4: kafka-configs does it.
    #[arg(long = "delete-config", value_name = "KEY")]
    delete_config: Vec<String>,
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
    /// Only partitions with fewer replicas in sync than min.insync.replicas.
    #[arg(long = "under-min-isr-partitions")]
    under_min_isr: bool,
    /// Only partitions with just as many replicas in sync as min.insync.replicas.
    #[arg(long = "at-min-isr-partitions")]
    at_min_isr: bool,
    /// Only topics with configurations of their own, without their partitions.
    #[arg(long = "topics-with-overrides")]
    with_overrides: bool,
    /// Accepted, without effect.
    #[arg(long = "partition-size-limit-per-response")]
    partition_limit: Option<u32>,
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
    if topics.topic.is_none() && (topics.create || topics.alter || topics.delete) {
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
    let name = topics.topic.as_deref().unwrap_or_default();
    let mut topic = NewTopic::new(name);
    topic.partitions = topics.partitions;
    topic.replication_factor = topics.replication_factor;
    if let Some(text) = &topics.replica_assignment {
        topic.assignments = parse_assignment(text)?;
    }
    for text in &topics.config {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--config {text}: expected KEY=VALUE")))?;
        topic = topic.config(key, value);
    }
    if name.contains(['.', '_']) {
        outln!(
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') \
             could collide. To avoid issues it is best to use either, but not both."
        );
    }
    for (name, result) in admin.create_topics(&[topic]).await? {
        match result {
            Ok(_) => outln!("Created topic {name}."),
            Err(error) if topics.if_not_exists && error.code == ErrorCode::TopicAlreadyExists => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(())
}

fn parse_assignment(text: &str) -> Result<Vec<Vec<i32>>, Failure> {
    let brokers = |part: &str| part.split(':').map(str::parse).collect();
    let parsed: Result<_, std::num::ParseIntError> = text.split(',').map(brokers).collect();
    parsed.map_err(|_| Failure::usage(format!("--replica-assignment {text}: expected 1:2,2:3")))
}

/// The topics that --topic names, all without it.
async fn chosen(topics: &Topics, admin: &Admin) -> Result<Vec<TopicDescription>, Failure> {
    let all = admin.describe_all_topics().await?;
    let regex = topics.topic.as_deref().map(whole).transpose()?;
    let mut found = Vec::new();
    for (name, topic) in all {
        let is_named = regex.as_ref().is_none_or(|regex| regex.is_match(&name));
        if !is_named {
            continue;
        }
        let topic = topic.map_err(|error| failed(&error))?;
        let is_it = |id: &String| topic.id.is_some_and(|it| it.to_string() == *id);
        if (!topic.is_internal || !topics.exclude_internal)
            && topics.topic_id.as_ref().is_none_or(is_it)
        {
            found.push(topic);
        }
    }
    let wanted = topics.topic.as_ref().or(topics.topic_id.as_ref());
    match wanted.filter(|_| found.is_empty() && !topics.if_exists && !topics.list) {
        None => Ok(found),
        Some(name) => Err(Failure::failed(format!(
            "Error while executing topic command : Topic '{name}' does not exist as expected"
        ))),
    }
}

async fn alter(topics: &Topics, admin: &Admin) -> Result<(), Failure> {
    let count = topics
        .partitions
        .ok_or_else(|| Failure::usage("--alter needs --partitions"))?;
    let assignments = topics.replica_assignment.as_deref();
    let assignments = assignments.map(parse_assignment).transpose()?;
    for topic in chosen(topics, admin).await? {
        // Kafka's tool wants all replicas, the broker those of the new partitions.
        let have = topic.partitions.len();
        let new = assignments
            .clone()
            .map(|all| all.into_iter().skip(have).collect());
        admin.create_partitions_at(&topic.name, count, new).await?;
    }
    Ok(())
}

async fn delete(topics: &Topics, admin: &Admin) -> Result<(), Failure> {
    let chosen = chosen(topics, admin).await?;
    let names: Vec<&str> = chosen.iter().map(|topic| topic.name.as_str()).collect();
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
    let chosen = chosen(topics, admin).await?;
    if topics.list {
        let names: Vec<&str> = chosen.iter().map(|topic| topic.name.as_str()).collect();
        outln!("{}", names.join("\n")); // An empty line if there is none.
        return Ok(());
    }
    for topic in chosen {
        print(&topic, topics, admin).await?;
    }
    Ok(())
}

async fn print(topic: &TopicDescription, topics: &Topics, admin: &Admin) -> Result<(), Failure> {
    let resource = ConfigResource::Topic(topic.name.clone());
    let configs = admin.describe_configs(&resource).await?;
    let min_in_sync = configs.iter().find(|it| it.name == "min.insync.replicas");
    let min_in_sync = min_in_sync.and_then(|it| it.value.as_deref()?.parse::<usize>().ok());
    let min_in_sync = min_in_sync.unwrap_or(1);
    let is_filtered =
        topics.under_replicated || topics.unavailable || topics.under_min_isr || topics.at_min_isr;
    let is_wanted = |partition: &&PartitionDescription| {
        let in_sync = partition.in_sync_replicas.len();
        (!topics.under_replicated || in_sync < partition.replicas.len())
            && (!topics.unavailable || partition.leader.is_none())
            && (!topics.under_min_isr || in_sync < min_in_sync)
            && (!topics.at_min_isr || in_sync == min_in_sync)
    };
    let overrides: Vec<String> = configs
        .into_iter()
        .filter(|config| config.source != ConfigSource::Default)
        .map(|config| format!("{}={}", config.name, config.value.unwrap_or_default()))
        .collect();
    if topics.with_overrides && overrides.is_empty() {
        return Ok(());
    }
    if !is_filtered {
        let id = topic.id.map_or(String::new(), |id| id.to_string());
        let first = topic.partitions.first();
        outln!(
            "Topic: {}\tTopicId: {id}\tPartitionCount: {}\tReplicationFactor: {}\tConfigs: {}",
            topic.name,
            topic.partitions.len(),
            first.map_or(0, |partition| partition.replicas.len()),
            overrides.join(","),
        );
    }
    if topics.with_overrides {
        return Ok(());
    }
    for partition in topic.partitions.iter().filter(is_wanted) {
        let leader = partition
            .leader
            .map_or("none".to_owned(), |leader| leader.to_string());
        outln!(
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
