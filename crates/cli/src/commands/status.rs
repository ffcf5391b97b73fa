//! How a cluster is.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use ottla_client::{Admin, ClusterDescription, LogDirDescription, TopicDescription};
use ottla_types::BrokerId;
use serde_json::{Value, json};

use crate::client_arguments::{ClientArguments, Format};
use crate::failure::Failure;
use crate::output::{Table, counted, format_bytes, print_json};
use crate::session::with_lazy_client;

/// Show brokers, partitions, disks and groups. Fails if something is not as it should be.
#[derive(Debug, Args)]
pub struct Status {
    /// Show it again and again.
    #[arg(short = 'w', long, conflicts_with = "until_healthy")]
    watch: bool,
    /// Print only what is not as it should be; the exit code says whether anything is. For health checks.
    #[arg(short = 'q', long, conflicts_with = "watch")]
    quiet: bool,
    /// Wait until everything is as it should be.
    #[arg(long)]
    until_healthy: bool,
    /// How long to wait between two looks.
    #[arg(long, default_value = "2s", value_parser = crate::time_text::parse_span)]
    interval: Duration,
}

pub fn run(status: Status, client: &ClientArguments) -> Result<(), Failure> {
    let format = client.format;
    with_lazy_client(client, async |session| {
        session.properties.report_rest();
        let admin = session.client.admin();
        loop {
            let health = look(&admin).await;
            let is_healthy = health
                .as_ref()
                .is_ok_and(|health| health.complaints.is_empty());
            if !status.until_healthy || is_healthy {
                let health = health?;
                match status.quiet {
                    true => health.complain(),
                    false => health.print(format),
                }
                if !status.watch {
                    return match is_healthy {
                        true => Ok(()),
                        false => Err(Failure::reported()),
                    };
                }
            } else if let Err(failure) = health {
                tracing::debug!(%failure, "not yet");
            }
            tokio::time::sleep(status.interval).await;
            if status.watch && format != Format::Json {
                outln!();
            }
        }
    })
}

struct Health {
    cluster: ClusterDescription,
    brokers: BTreeMap<BrokerId, BrokerHealth>,
    topics: usize,
    partitions: usize,
    groups: BTreeMap<String, usize>,
    complaints: Vec<String>,
}

#[derive(Default)]
struct BrokerHealth {
    leads: usize,
    replicas: usize,
    bytes: u64,
    free_bytes: Option<u64>,
}

async fn look(admin: &Admin) -> Result<Health, Failure> {
    let cluster = admin.describe_cluster().await?;
    let mut complaints = Vec::new();
    let mut brokers: BTreeMap<BrokerId, BrokerHealth> = BTreeMap::new();
    for broker in &cluster.brokers {
        brokers.entry(broker.id).or_default();
    }
    if cluster.brokers.is_empty() {
        complaints.push("there is no broker".to_owned());
    }
    let mut partitions = 0;
    let topics = admin.describe_all_topics().await?;
    let topic_count = topics.len();
    for (name, topic) in topics {
        match topic {
            Ok(topic) => {
                partitions += topic.partitions.len();
                judge(&topic, &mut brokers, &mut complaints);
            }
            Err(error) => complaints.push(format!("topic {name}: {error}")),
        }
    }
    for (id, dirs) in admin.describe_log_dirs().await? {
        match dirs {
            Ok(dirs) => {
                let broker = brokers.entry(id).or_default();
                for dir in dirs {
                    broker.bytes += dir
                        .partitions
                        .iter()
                        .map(|part| part.size_bytes)
                        .sum::<u64>();
                    broker.free_bytes = broker.free_bytes.max(dir.usable_bytes);
                    complaints.extend(complaint_of(id, &dir));
                }
            }
            Err(error) => complaints.push(format!("broker {id}: {error}")),
        }
    }
    let mut groups = BTreeMap::new();
    for group in admin.list_groups(&[], &[]).await? {
        let state = group.state.unwrap_or_else(|| "unknown".to_owned());
        *groups.entry(state).or_default() += 1;
    }
    Ok(Health {
        cluster,
        brokers,
        topics: topic_count,
        partitions,
        groups,
        complaints,
    })
}

fn judge(
    topic: &TopicDescription,
    brokers: &mut BTreeMap<BrokerId, BrokerHealth>,
    complaints: &mut Vec<String>,
) {
    for part in &topic.partitions {
        let name = format!("{}[{}]", topic.name, part.partition);
        match part.leader {
            Some(leader) => brokers.entry(leader).or_default().leads += 1,
            None => complaints.push(format!("{name} has no leader")),
        }
        for replica in &part.replicas {
            brokers.entry(*replica).or_default().replicas += 1;
        }
        let (in_sync, all) = (part.in_sync_replicas.len(), part.replicas.len());
        if in_sync < all {
            complaints.push(format!("{name} has {in_sync} of {all} replicas in sync"));
        }
    }
}

/// What is wrong with a log directory.
pub fn complaint_of(broker: BrokerId, dir: &LogDirDescription) -> Option<String> {
    let place = format!("broker {broker}, {}", dir.path);
    if let Some(error) = &dir.error {
        return Some(format!("{place}: {error}"));
    }
    let (free, total) = (dir.usable_bytes?, dir.total_bytes?);
    (free < total / 20).then(|| format!("{place}: only {} are free", format_bytes(free)))
}

impl Health {
    fn complain(&self) {
        for complaint in &self.complaints {
            errln!("{complaint}");
        }
    }

    fn print(&self, format: Format) {
        match format {
            Format::Json => print_json("status", self.json()),
            Format::Text | Format::Wide => self.print_text(),
        }
    }

    fn print_text(&self) {
        let word = match self.complaints.is_empty() {
            true => "healthy",
            false => "NOT healthy",
        };
        let controller = self.cluster.controller;
        outln!(
            "cluster {}   {word}   controller {}",
            self.cluster.cluster_id,
            controller.map_or("none".to_owned(), |id| id.to_string())
        );
        let mut table = Table::new(&[
            "BROKER", "ADDRESS", "RACK", "LEADS", "REPLICAS", "DATA", "FREE",
        ]);
        for (id, health) in &self.brokers {
            let broker = self.cluster.brokers.iter().find(|broker| broker.id == *id);
            table.row(vec![
                id.to_string(),
                broker.map_or("gone".to_owned(), |it| format!("{}:{}", it.host, it.port)),
                broker
                    .and_then(|it| it.rack.clone())
                    .unwrap_or_else(|| "-".to_owned()),
                health.leads.to_string(),
                health.replicas.to_string(),
                format_bytes(health.bytes),
                health.free_bytes.map_or("-".to_owned(), format_bytes),
            ]);
        }
        table.print();
        outln!(
            "{}, {}, {}",
            counted(self.topics as i64, "topic"),
            counted(self.partitions as i64, "partition"),
            self.groups_text()
        );
        self.complaints
            .iter()
            .for_each(|complaint| outln!("! {complaint}"));
    }

    fn groups_text(&self) -> String {
        let count: usize = self.groups.values().sum();
        let states = self
            .groups
            .iter()
            .map(|(state, count)| format!("{count} {state}"));
        let states = states.collect::<Vec<_>>().join(", ");
        match count {
            0 => "no groups".to_owned(),
            _ => format!("{} ({states})", counted(count as i64, "group")),
        }
    }

    fn json(&self) -> Value {
        let broker = |(id, health): (&BrokerId, &BrokerHealth)| {
            let known = self.cluster.brokers.iter().find(|broker| broker.id == *id);
            json!({
                "id": id.get(),
                "host": known.map(|it| &it.host),
                "port": known.map(|it| it.port),
                "rack": known.and_then(|it| it.rack.as_ref()),
                "leads": health.leads,
                "replicas": health.replicas,
                "bytes": health.bytes,
                "free_bytes": health.free_bytes,
            })
        };
        json!({
            "cluster_id": self.cluster.cluster_id,
            "controller": self.cluster.controller.map(BrokerId::get),
            "healthy": self.complaints.is_empty(),
            "complaints": self.complaints,
            "brokers": self.brokers.iter().map(broker).collect::<Vec<_>>(),
            "topics": self.topics,
            "partitions": self.partitions,
            "groups": self.groups,
        })
    }
}
