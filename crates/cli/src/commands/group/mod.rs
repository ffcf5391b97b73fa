//! Consumer groups: list, describe with lag, move, forget.

mod delete;
mod describe;
pub mod lag;
mod list;
mod offset_delete;
mod seek;

use std::collections::BTreeMap;

use clap::Subcommand;
use ottla_client::{Admin, IsolationLevel, OffsetQuery, PartitionKey};

use crate::client_arguments::ClientArguments;
use crate::failure::Failure;
use crate::session::with_client;

#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Name the groups there are.
    List(list::List),
    /// Show how far groups have come, how far they are behind, and who their members are.
    Describe(describe::Describe),
    /// Move what a group has committed. Shows the plan.
    Seek(seek::Seek),
    /// Delete groups without members, with everything they have committed.
    Delete(delete::Delete),
    /// Forget what a group has committed for a topic.
    OffsetDelete(offset_delete::OffsetDelete),
}

pub fn run(command: GroupCommand, client: &ClientArguments) -> Result<(), Failure> {
    let format = client.format;
    with_client(client, async |session| {
        session.properties.report_rest();
        if let Some(deed) = command.deed() {
            session.protection.allow(&deed)?;
        }
        match command {
            GroupCommand::List(list) => list::run(list, &session.client.admin(), format).await,
            GroupCommand::Describe(describe) => {
                describe::run(describe, &session.client, format).await
            }
            GroupCommand::Seek(seek) => seek::run(seek, &session.client.admin(), format).await,
            GroupCommand::Delete(delete) => {
                delete::run(delete, &session.client.admin(), format).await
            }
            GroupCommand::OffsetDelete(delete) => {
                offset_delete::run(delete, &session.client.admin(), format).await
            }
        }
    })
}

impl GroupCommand {
    /// What it does that cannot be undone.
    fn deed(&self) -> Option<String> {
        match self {
            GroupCommand::Seek(seek) => seek.deed(),
            GroupCommand::Delete(delete) => Some(delete.deed()),
            GroupCommand::OffsetDelete(delete) => Some(delete.deed()),
            GroupCommand::List(_) | GroupCommand::Describe(_) => None,
        }
    }
}

/// Offsets of partitions; those that cannot be looked up are left out.
pub async fn look_up(
    admin: &Admin,
    keys: impl IntoIterator<Item = &PartitionKey>,
    query: OffsetQuery,
) -> Result<BTreeMap<PartitionKey, i64>, Failure> {
    let queries: Vec<_> = keys.into_iter().map(|key| (key.clone(), query)).collect();
    let found = admin
        .list_offsets(&queries, IsolationLevel::ReadUncommitted)
        .await?;
    let known = found
        .into_iter()
        .filter_map(|(key, listed)| Some((key, listed.ok()?.offset?.get())));
    Ok(known.collect())
}

/// All partitions of these topics.
pub async fn partitions_of(admin: &Admin, topics: &[String]) -> Result<Vec<PartitionKey>, Failure> {
    let names: Vec<&str> = topics.iter().map(String::as_str).collect();
    let mut keys = Vec::new();
    for (name, described) in admin.describe_topics(&names).await? {
        let topic = described.map_err(|error| Failure::item(&name, &error))?;
        let partitions = topic.partitions.iter();
        keys.extend(partitions.map(|p| PartitionKey::new(name.as_str(), p.partition)));
    }
    Ok(keys)
}
