//! Topics: create, list, describe, delete, offsets, config, add-partitions, trim, size.

mod add_partitions;
mod config;
mod create;
mod delete;
mod describe;
mod list;
mod offsets;
mod size;
mod trim;
mod usage;

use std::collections::BTreeMap;

use clap::Subcommand;
use ottla_client::{Admin, ApiError};
use ottla_types::ErrorCode;
use regex_lite::Regex;

use crate::client_arguments::ClientArguments;
use crate::failure::Failure;
use crate::session::with_client;

#[derive(Debug, Subcommand)]
pub enum TopicCommand {
    /// Make topics.
    Create(create::Create),
    /// Name the topics there are.
    ///
    /// With --format wide or json also the bytes that all replicas take on disk, the records (at most: as
    /// many as there are offsets from the first to the next), and the groups that have committed offsets
    /// in a topic, each with the records it is behind. Rates are not shown: Kafka's protocol has none.
    List(list::List),
    /// Show partitions, replicas and configurations.
    Describe(describe::Describe),
    /// Delete topics with everything in them.
    Delete(delete::Delete),
    /// Show the first and the next offset of each partition, or look one up by time.
    Offsets(offsets::Offsets),
    /// Show or change what is configured for a topic.
    Config(config::TopicConfig),
    /// Give a topic more partitions.
    AddPartitions(add_partitions::AddPartitions),
    /// Delete the records before an offset or a time.
    Trim(trim::Trim),
    /// Show what topics take on the brokers' disks, the largest first.
    Size(size::Size),
}

pub fn run(command: TopicCommand, client: &ClientArguments) -> Result<(), Failure> {
    let format = client.format;
    if let TopicCommand::Config(config) = &command {
        config.check()?;
    }
    with_client(client, async |session| {
        session.properties.report_rest();
        if let Some(deed) = command.deed() {
            session.protection.allow(&deed)?;
        }
        let admin = session.client.admin();
        match command {
            TopicCommand::Create(create) => create::run(create, &admin, format).await,
            TopicCommand::List(list) => list::run(list, &admin, format).await,
            TopicCommand::Describe(describe) => describe::run(describe, &admin, format).await,
            TopicCommand::Delete(delete) => delete::run(delete, &admin, format).await,
            TopicCommand::Offsets(offsets) => offsets::run(offsets, &admin, format).await,
            TopicCommand::Config(config) => config::run(config, &admin, format).await,
            TopicCommand::AddPartitions(add) => add_partitions::run(add, &admin, format).await,
            TopicCommand::Trim(trim) => trim::run(trim, &admin, format).await,
            TopicCommand::Size(size) => size::run(size, &admin, format).await,
        }
    })
}

impl TopicCommand {
    /// What it does that cannot be undone.
    fn deed(&self) -> Option<String> {
        match self {
            TopicCommand::Delete(delete) => Some(delete.deed()),
            TopicCommand::Config(config) => config.deed(),
            TopicCommand::AddPartitions(add) => Some(add.deed()),
            TopicCommand::Trim(trim) => trim.deed(),
            TopicCommand::Create(_)
            | TopicCommand::List(_)
            | TopicCommand::Describe(_)
            | TopicCommand::Offsets(_)
            | TopicCommand::Size(_) => None,
        }
    }
}

/// The names of topics that match one of the expressions as a whole, internal ones only by their
/// own name.
pub async fn matching_topics(patterns: &[String], admin: &Admin) -> Result<Vec<String>, Failure> {
    let mut regexes = Vec::new();
    for pattern in patterns {
        regexes.push(whole(pattern)?);
    }
    let topics = admin.describe_all_topics().await?;
    let names = topics.into_iter().filter(|(name, topic)| {
        let is_internal = topic.as_ref().is_ok_and(|topic| topic.is_internal);
        let matches = regexes.iter().any(|regex| regex.is_match(name));
        match is_internal {
            true => patterns.contains(name),
            false => matches,
        }
    });
    Ok(names.map(|(name, _)| name).collect())
}

/// Whether there is such a topic.
pub async fn exists(name: &str, admin: &Admin) -> Result<bool, Failure> {
    let described = admin.describe_topics(&[name]).await?;
    match described.into_values().next() {
        None => Ok(false),
        Some(Ok(_)) => Ok(true),
        Some(Err(error)) if error.code == ErrorCode::UnknownTopicOrPartition => Ok(false),
        Some(Err(error)) => Err(Failure::item(name, &error)),
    }
}

/// There is no such topic, but perhaps one of a similar name.
pub async fn missing(name: &str, admin: &Admin) -> Failure {
    let topics = admin.list_topics().await.unwrap_or_default();
    let similar = super::config::nearest(name, topics.iter().map(String::as_str));
    let hint = match similar {
        Some(similar) => format!("did you mean {similar}? ottla topic create {name} creates it"),
        None => {
            format!("ottla topic create {name} creates it, ottla topic list shows those there are")
        }
    };
    let what = format!("{name}: UNKNOWN_TOPIC_OR_PARTITION: there is no such topic");
    Failure::failed(what).with_hint(Some(&hint))
}

/// An expression that must match the whole text.
pub fn whole(pattern: &str) -> Result<Regex, Failure> {
    Regex::new(&format!("^(?:{pattern})$"))
        .map_err(|error| Failure::usage(format!("'{pattern}' is no regular expression: {error}")))
}

/// Parts what worked from what did not, by topic. The latter is reported, and makes the command fail.
async fn report_failures<T>(
    results: BTreeMap<String, Result<T, ApiError>>,
    admin: &Admin,
) -> (BTreeMap<String, T>, Result<(), Failure>) {
    let mut done = BTreeMap::new();
    let mut outcome = Ok(());
    for (name, result) in results {
        match result {
            Ok(value) => {
                done.insert(name, value);
            }
            Err(error) => {
                let failure = match error.code {
                    ErrorCode::UnknownTopicOrPartition => missing(&name, admin).await,
                    _ => Failure::item(&name, &error),
                };
                failure.report();
                outcome = Err(Failure::reported());
            }
        }
    }
    (done, outcome)
}
