use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use ottla_client::{Client, GroupDescription, OffsetQuery, PartitionKey};
use serde_json::json;

use super::lag::{Lag, measure};
use super::look_up;
use crate::client_arguments::Format;
use crate::failure::Failure;
use crate::output::{Table, counted, print_json, printable};
use crate::time_text::format_span;

#[derive(Debug, Args)]
pub struct Describe {
    /// Names of the groups.
    #[arg(required = true)]
    groups: Vec<String>,
    /// Show the members and what they were assigned, too.
    #[arg(short = 'm', long)]
    members: bool,
    /// Look twice, so long apart (2s by default), and show how the lag changes.
    #[arg(
        long,
        value_name = "TIME",
        num_args = 0..=1,
        default_missing_value = "2s",
        value_parser = crate::time_text::parse_span
    )]
    trend: Option<Duration>,
}

/// A group and how far it is behind.
struct Report {
    group: GroupDescription,
    lags: BTreeMap<PartitionKey, Lag>,
    /// Records per second by which each partition's lag grew between two looks.
    growth: Option<BTreeMap<PartitionKey, f64>>,
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
                let growth = match describe.trend {
                    Some(span) => Some(growth(client, &group.group_id, &keys, &lags, span).await?),
                    None => None,
                };
                reports.push(Report {
                    group,
                    lags,
                    growth,
                });
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
        Format::Text | Format::Wide => {
            for (index, report) in reports.iter().enumerate() {
                if index > 0 {
                    outln!();
                }
                report.print(describe.members);
            }
        }
    }
    outcome
}

/// Waits and looks again.
async fn growth(
    client: &Client,
    group: &str,
    keys: &[PartitionKey],
    before: &BTreeMap<PartitionKey, Lag>,
    span: Duration,
) -> Result<BTreeMap<PartitionKey, f64>, Failure> {
    let start = Instant::now();
    tokio::time::sleep(span).await;
    let admin = client.admin();
    let committed = admin.group_offsets(group).await?;
    let ends = look_up(&admin, keys, OffsetQuery::Latest).await?;
    let seconds = start.elapsed().as_secs_f64().max(1e-3);
    let grew = |key: &PartitionKey| {
        let (at, end) = (committed.get(key)?.offset.get(), ends.get(key)?);
        let change = (end - at).max(0) - before.get(key)?.records?;
        Some((key.clone(), change as f64 / seconds))
    };
    Ok(keys.iter().filter_map(grew).collect())
}

/// `flat`, or by how many records per second.
fn trend_text(growth: Option<f64>) -> String {
    match growth {
        None => "-".to_owned(),
        Some(growth) if growth.abs() < 0.5 => "flat".to_owned(),
        Some(growth) => format!("{growth:+.0}/s"),
    }
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
        outln!(
            "{}   {}   {}   {}   {}{behind}   status: {}",
            printable(&group.group_id),
            group.state,
            match group.protocol.as_str() {
                "" => "-".to_owned(),
                protocol => printable(protocol),
            },
            counted(group.members.len() as i64, "member"),
            counted(self.records(), "record"),
            self.status(),
        );
        let mut headings = vec![
            "TOPIC",
            "PARTITION",
            "COMMITTED",
            "START",
            "END",
            "LAG",
            "BEHIND",
        ];
        headings.extend(self.growth.as_ref().map(|_| "TREND"));
        headings.push("MEMBER");
        let mut table = Table::new(&headings);
        let number = |value: Option<i64>| value.map_or("-".to_owned(), |v| v.to_string());
        for (key, lag) in &self.lags {
            let mut row = vec![
                key.topic.to_string(),
                key.partition.to_string(),
                number(lag.committed),
                number(lag.start),
                number(lag.end),
                number(lag.records),
                lag.behind_ms.map_or("-".to_owned(), format_span),
            ];
            let growth = self.growth.as_ref();
            row.extend(growth.map(|growth| trend_text(growth.get(key).copied())));
            row.push(self.member_of(key).unwrap_or("-").to_owned());
            table.row(row);
        }
        table.print();
        if members && !group.members.is_empty() {
            outln!();
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
            errln!(
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
                    "growth_per_second": self.growth.as_ref().and_then(|growth| growth.get(key)),
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
