use clap::Parser;

use super::Connection;
use crate::failure::Failure;
use crate::output::printable;
use crate::session::with_client;

/// List groups of every type.
#[derive(Debug, Parser)]
#[command(name = "kafka-groups")]
pub struct Groups {
    #[command(flatten)]
    connection: Connection,
    /// List them; there is nothing else to do.
    #[arg(long, required = true)]
    list: bool,
    /// Only of this type: classic, consumer, share, streams.
    #[arg(long = "group-type", value_name = "TYPE")]
    group_type: Option<String>,
    /// Only of this protocol: consumer, connect, …
    #[arg(long)]
    protocol: Option<String>,
    /// Only groups of consumers.
    #[arg(long)]
    consumer: bool,
    /// Only share groups.
    #[arg(long)]
    share: bool,
    /// Only streams groups.
    #[arg(long)]
    streams: bool,
}

pub fn run(tool: Groups) -> Result<(), Failure> {
    with_client(&tool.connection.arguments()?, async |session| {
        let mut groups = session.client.admin().list_groups(&[], &[]).await?;
        groups.retain(|group| {
            let is_type = |name: &str| {
                let text = group.group_type.as_deref().unwrap_or("classic");
                text.eq_ignore_ascii_case(name)
            };
            let of_consumers = is_type("consumer")
                || is_type("classic") && matches!(group.protocol_type.as_str(), "" | "consumer");
            tool.group_type.as_deref().is_none_or(is_type)
                && tool
                    .protocol
                    .as_ref()
                    .is_none_or(|it| *it == group.protocol_type)
                && (!tool.consumer || of_consumers)
                && (!tool.share || is_type("share"))
                && (!tool.streams || is_type("streams"))
        });
        if groups.is_empty() {
            outln!("There are no groups.");
            return Ok(());
        }
        let mut rows = vec![["GROUP", "TYPE", "PROTOCOL"].map(str::to_owned)];
        for group in groups {
            let kind = capitalised(group.group_type.as_deref().unwrap_or("classic"));
            let protocol = printable(&group.protocol_type);
            rows.push([printable(&group.group_id), kind, protocol]);
        }
        // All columns are as wide as the widest cell of any.
        let width = rows.iter().flatten().map(String::len).max();
        let width = width.unwrap_or(0).max(20);
        for (index, [group, kind, protocol]) in rows.into_iter().enumerate() {
            // In Kafka's table the rows, but not the headings, end with one more space.
            let end = if index == 0 { "" } else { " " };
            outln!("{group:<width$} {kind:<width$} {protocol:<width$}{end}");
        }
        Ok(())
    })
}

/// `Classic`.
pub fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters
        .next()
        .map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + &characters.as_str().to_lowercase()
}
