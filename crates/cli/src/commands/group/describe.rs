use std::collections::BTreeMap;

use clap::Args;
use ottla_client::{Client, GroupDescription, PartitionKey};
use serde_json::json;

use super::lag::{Lag, format_span, measure};
use crate::arguments::Format;
use crate::failure::Failure;
use crate::output::{Table, print_json};

#[derive(Debug, Args)]
pub struct Describe {
    /// Names of the groups.
    #[arg(required = true)]
    groups: Vec<String>,
    /// Show the members and what they were assigned, too.
    #[arg(short = 'm', long)]
    members: bool,
}

/// A group and how far it is behind.
struct Report {
    group: GroupDescription,
    lags: BTreeMap<PartitionKey, Lag>,
}

pub async fn run(describe: Describe, client: &Client, format: Format) -> Result<(), Failure> {
    let admin = client.admin();
    let names: Vec<&str> = describe.groups.iter().map(String::as_str).collect();
    let mut outcome = Ok(());
    let mut reports = Vec::new();
    for (name, described) in admin.describe_groups(&names).await? {
        let committed = match &described {
            Ok(group) if group.state != "Dead" => admin.group_offsets(&name).await?,
            _ => BTreeMap::new(),
        };
        match described {
            Ok(group) if group.state == "Dead" => {
                Failure::failed(format!("{name}: there is no such group"))
                    .with_hint(Some("ottla group list shows those there are"))
                    .report();
                outcome = Err(Failure::reported());
            }
            Ok(group) => {
                let assigned = group.members.iter().flat_map(|member| &member.assignment);
                let mut keys: Vec<PartitionKey> =
                    committed.keys().chain(assigned).cloned().collect();
                keys.sort();
                keys.dedup();
                let lags = measure(client, &keys, &committed).await?;
                reports.push(Report { group, lags });
            }
            Err(error) => {
                Failure::item(&name, &error).report();
                outcome = Err(Failure::reported());
            }
        }
    }
    match format {
        Format::Json => {
            let groups: Vec<_> = reports.iter().map(Report::json).collect();
            print_json("group.describe", json!({ "groups": groups }));
        }
        Format::Text => {
            for (index, report) in reports.iter().enumerate() {
                if index > 0 {
                    println!();
                }
                report.print(describe.members);
            }
        }
    }
    outcome
}

impl Report {
    fn records(&self) -> i64 {
        self.lags.values().filter_map(|lag| lag.records).sum()
    }

    /// The oldest record that was not read.
    fn behind_ms(&self) -> Option<i64> {
        self.lags.values().filter_map(|lag| lag.behind_ms).max()
    }

    fn status(&self) -> &'static str {
        match self.group.state.as_str() {
            "PreparingRebalance" | "CompletingRebalance" => "rebalancing",
            _ if self.group.members.is_empty() => "stopped",
            _ if self.records() == 0 => "up to date",
            _ => "reading",
        }
    }

    fn member_of(&self, key: &PartitionKey) -> Option<&str> {
        let owner = self
            .group
            .members
            .iter()
            .find(|m| m.assignment.contains(key))?;
        Some(&owner.member_id)
    }

    fn print(&self, members: bool) {
        let group = &self.group;
        let behind = self.behind_ms().filter(|millis| *millis > 0);
        let behind = behind.map_or(String::new(), |millis| {
            format!(", {} behind", format_span(millis))
        });
        println!(
            "{}   {}   {}   {} members   {} records{behind}   status: {}",
            group.group_id,
            group.state,
            if group.protocol.is_empty() {
                "-"
            } else {
                &group.protocol
            },
            group.members.len(),
            self.records(),
            self.status(),
        );
        let mut table = Table::new(&[
            "TOPIC",
            "PARTITION",
            "COMMITTED",
            "START",
            "END",
            "LAG",
            "BEHIND",
            "MEMBER",
        ]);
        let number = |value: Option<i64>| value.map_or("-".to_owned(), |v| v.to_string());
        for (key, lag) in &self.lags {
            table.row(vec![
                key.topic.to_string(),
                key.partition.to_string(),
                number(lag.committed),
                number(lag.start),
                number(lag.end),
                number(lag.records),
                lag.behind_ms.map_or("-".to_owned(), format_span),
                self.member_of(key).unwrap_or("-").to_owned(),
            ]);
        }
        table.print();
        if members && !group.members.is_empty() {
            println!();
            let mut table = Table::new(&[
                "MEMBER",
                "INSTANCE",
                "CLIENT",
                "HOST",
                "COUNT",
                "PARTITIONS",
            ]);
            for member in &group.members {
                let keys: Vec<String> = member
                    .assignment
                    .iter()
                    .map(PartitionKey::to_string)
                    .collect();
                table.row(vec![
                    member.member_id.clone(),
                    member.instance_id.clone().unwrap_or_else(|| "-".to_owned()),
                    member.client_id.clone(),
                    member.host.clone(),
                    keys.len().to_string(),
                    keys.join(","),
                ]);
            }
            table.print();
        }
        if self.status() == "stopped" {
            eprintln!(
                "hint: no active members; the group keeps its offsets for offsets.retention.minutes"
            );
        }
    }

    fn json(&self) -> serde_json::Value {
        let group = &self.group;
        let members: Vec<_> = group
            .members
            .iter()
            .map(|member| {
                let partitions: Vec<_> = member
                    .assignment
                    .iter()
                    .map(|key| json!({ "topic": &*key.topic, "partition": key.partition }))
                    .collect();
                json!({
                    "member": member.member_id,
                    "instance": member.instance_id,
                    "client": member.client_id,
                    "host": member.host,
                    "partitions": partitions,
                })
            })
            .collect();
        let partitions: Vec<_> = self
            .lags
            .iter()
            .map(|(key, lag)| {
                json!({
                    "topic": &*key.topic,
                    "partition": key.partition,
                    "committed": lag.committed,
                    "start": lag.start,
                    "end": lag.end,
                    "lag": lag.records,
                    "behind_ms": lag.behind_ms,
                    "metadata": lag.note,
                    "member": self.member_of(key),
                })
            })
            .collect();
        json!({
            "group": group.group_id,
            "state": group.state,
            "protocol_type": group.protocol_type,
            "protocol": group.protocol,
            "coordinator": group.coordinator.id.get(),
            "status": self.status(),
            "lag": self.records(),
            "behind_ms": self.behind_ms(),
            "members": members,
            "partitions": partitions,
        })
    }
}
