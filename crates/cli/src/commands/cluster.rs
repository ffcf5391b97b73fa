//! What a cluster is made of and what it speaks.

use clap::{Subcommand, ValueEnum};
use ottla_client::{Admin, ApiRange, BrokerVersions, QuorumReplica};
use serde_json::{Value, json};

use crate::client_arguments::{ClientArguments, Format};
use crate::failure::Failure;
use crate::output::{Table, print_json};
use crate::session::with_client;
use crate::time_text::format_millis;

#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Print the cluster's id.
    Id,
    /// Show which versions of which API each broker speaks.
    ApiVersions {
        /// Only what differs from this.
        #[arg(long, value_name = "WHAT")]
        diff: Option<Reference>,
    },
    /// Show who keeps the metadata, and how far they are.
    Quorum,
    /// Show the levels of features, those that are supported and those that are agreed on.
    Features,
}

/// What versions are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Reference {
    /// The stable APIs of a broker of Apache Kafka 4.4.
    #[value(name = "kafka-4.4")]
    Kafka44,
}

pub fn run(command: ClusterCommand, client: &ClientArguments) -> Result<(), Failure> {
    let format = client.format;
    with_client(client, async |session| {
        session.properties.report_rest();
        let admin = session.client.admin();
        match command {
            ClusterCommand::Id => {
                let id = admin.describe_cluster().await?.cluster_id;
                match format {
                    Format::Json => print_json("cluster.id", json!({ "cluster_id": id })),
                    Format::Text | Format::Wide => outln!("{id}"),
                }
                Ok(())
            }
            ClusterCommand::ApiVersions { diff } => api_versions(diff, &admin, format).await,
            ClusterCommand::Quorum => quorum(&admin, format).await,
            ClusterCommand::Features => features(&admin, format).await,
        }
    })
}

/// What each broker speaks; those that do not say it are reported.
async fn versions(admin: &Admin) -> Result<(Vec<BrokerVersions>, Result<(), Failure>), Failure> {
    let mut found = Vec::new();
    let mut outcome = Ok(());
    for (id, versions) in admin.broker_versions().await? {
        match versions {
            Ok(versions) => found.push(versions),
            Err(error) => {
                Failure::failed(format!("broker {id}: {error}")).report();
                outcome = Err(Failure::reported());
            }
        }
    }
    Ok((found, outcome))
}

/// One API at a broker and at the reference.
struct Row {
    key: i16,
    name: String,
    here: Option<(i16, i16)>,
    there: Option<(i16, i16)>,
}

fn rows(apis: &[ApiRange], diff: Option<Reference>) -> Vec<Row> {
    let mut keys: Vec<i16> = apis.iter().map(|api| api.key).collect();
    if diff.is_some() {
        keys.extend(ottla_client::broker_apis().map(|(key, _)| key));
    }
    keys.sort_unstable();
    keys.dedup();
    let row = |key: i16| {
        let here = apis.iter().find(|api| api.key == key);
        let there = ApiRange::of_kafka(key).filter(|_| diff.is_some());
        let range = |api: &ApiRange| (api.min, api.max);
        let name = ApiRange {
            key,
            min: 0,
            max: 0,
        }
        .name();
        Row {
            key,
            name: name.map_or_else(|| format!("unknown {key}"), str::to_owned),
            here: here.map(range),
            there: there.as_ref().map(range),
        }
    };
    let rows = keys.into_iter().map(row);
    rows.filter(|row| diff.is_none() || row.here != row.there)
        .collect()
}

async fn api_versions(
    diff: Option<Reference>,
    admin: &Admin,
    format: Format,
) -> Result<(), Failure> {
    let (brokers, outcome) = versions(admin).await?;
    let text = |range: Option<(i16, i16)>| match range {
        Some((min, max)) if min == max => min.to_string(),
        Some((min, max)) => format!("{min}-{max}"),
        None => "-".to_owned(),
    };
    if format == Format::Json {
        let brokers = brokers.iter().map(|versions| {
            let apis = rows(&versions.apis, diff).into_iter().map(|row| {
                let mut api = json!({ "key": row.key, "name": row.name });
                api["min"] = json!(row.here.map(|(min, _)| min));
                api["max"] = json!(row.here.map(|(_, max)| max));
                if diff.is_some() {
                    api["kafka"] = json!(
                        row.there
                            .map(|(min, max)| json!({ "min": min, "max": max }))
                    );
                }
                api
            });
            let apis: Vec<Value> = apis.collect();
            json!({ "broker": versions.broker.id.get(), "apis": apis })
        });
        let brokers: Vec<Value> = brokers.collect();
        print_json("cluster.api-versions", json!({ "brokers": brokers }));
        return outcome;
    }
    for versions in &brokers {
        if 1 < brokers.len() {
            outln!("broker {}", versions.broker.id);
        }
        let rows = rows(&versions.apis, diff);
        if rows.is_empty() {
            outln!("every API has the versions of Kafka 4.4");
            continue;
        }
        let mut table = match diff {
            Some(_) => Table::new(&["KEY", "NAME", "HERE", "KAFKA 4.4"]),
            None => Table::new(&["KEY", "NAME", "VERSIONS"]),
        };
        for row in rows {
            let mut cells = vec![row.key.to_string(), row.name, text(row.here)];
            cells.extend(diff.map(|_| text(row.there)));
            table.row(cells);
        }
        table.print();
    }
    outcome
}

async fn quorum(admin: &Admin, format: Format) -> Result<(), Failure> {
    let quorum = admin.describe_quorum().await?;
    let leader = quorum.leader;
    let replicas = quorum.voters.iter().map(|it| (it, "voter"));
    let replicas = replicas.chain(quorum.observers.iter().map(|it| (it, "observer")));
    let lag = |it: &QuorumReplica| Some((quorum.high_watermark - it.log_end_offset?).max(0));
    match format {
        Format::Json => {
            let row = |(it, role): (&QuorumReplica, &str)| {
                json!({
                    "id": it.id.get(),
                    "role": role,
                    "leader": Some(it.id) == leader,
                    "log_end_offset": it.log_end_offset,
                    "lag": lag(it),
                })
            };
            let rows: Vec<Value> = replicas.map(row).collect();
            let content = json!({
                "leader": leader.map(|id| id.get()),
                "leader_epoch": quorum.leader_epoch,
                "high_watermark": quorum.high_watermark,
                "replicas": rows,
            });
            print_json("cluster.quorum", content);
        }
        Format::Text | Format::Wide => {
            let leader_text = leader.map_or("none".to_owned(), |id| id.to_string());
            outln!(
                "leader {leader_text}, epoch {}, committed up to {}",
                quorum.leader_epoch,
                quorum.high_watermark
            );
            let mut table = Table::new(&["NODE", "ROLE", "END", "LAG", "CAUGHT UP"]);
            for (it, role) in replicas {
                let role = if Some(it.id) == leader {
                    "leader"
                } else {
                    role
                };
                let number = |value: Option<i64>| value.map_or("-".to_owned(), |it| it.to_string());
                let time = it
                    .last_caught_up
                    .map(|time| format_millis(time.as_millis()));
                table.row(vec![
                    it.id.to_string(),
                    role.to_owned(),
                    number(it.log_end_offset),
                    number(lag(it)),
                    time.unwrap_or_else(|| "-".to_owned()),
                ]);
            }
            table.print();
        }
    }
    Ok(())
}

async fn features(admin: &Admin, format: Format) -> Result<(), Failure> {
    let (brokers, outcome) = versions(admin).await?;
    let Some(any) = brokers.first() else {
        return outcome;
    };
    let level = |name: &str| {
        let found = any
            .finalized_features
            .iter()
            .find(|(other, _)| other == name);
        found.map_or(0, |(_, level)| *level)
    };
    match format {
        Format::Json => {
            let row = |(name, min, max): &(String, i16, i16)| json!({ "name": name, "level": level(name), "min": min, "max": max });
            let rows: Vec<Value> = any.supported_features.iter().map(row).collect();
            let content = json!({ "features": rows, "epoch": any.features_epoch });
            print_json("cluster.features", content);
        }
        Format::Text | Format::Wide => {
            let mut table = Table::new(&["FEATURE", "LEVEL", "SUPPORTED"]);
            for (name, min, max) in &any.supported_features {
                table.row(vec![
                    name.clone(),
                    level(name).to_string(),
                    format!("{min}-{max}"),
                ]);
            }
            table.print();
        }
    }
    outcome
}
