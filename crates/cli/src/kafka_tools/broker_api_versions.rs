use clap::Parser;
use ottla_client::{ApiRange, BrokerVersions, ClientError};

use super::Connection;
use crate::failure::Failure;
use crate::session::with_client;

/// Show which versions of which API each broker speaks.
#[derive(Debug, Parser)]
#[command(name = "kafka-broker-api-versions")]
pub struct BrokerApiVersions {
    #[command(flatten)]
    connection: Connection,
}

pub fn run(tool: BrokerApiVersions) -> Result<(), Failure> {
    with_client(&tool.connection.arguments()?, async |session| {
        let admin = session.client.admin();
        let cluster = admin.describe_cluster().await?;
        let mut outcome = Ok(());
        for (id, versions) in admin.broker_versions().await? {
            let broker = cluster.brokers.iter().find(|broker| broker.id == id);
            let rack = broker.and_then(|broker| broker.rack.clone());
            let rack = rack.unwrap_or_else(|| "null".to_owned());
            if !print(&versions, id.get(), &rack) {
                outcome = Err(Failure::reported());
            }
        }
        outcome
    })
}

fn print(versions: &Result<BrokerVersions, ClientError>, id: i32, rack: &str) -> bool {
    match versions {
        Ok(versions) => {
            let (host, port) = (&versions.broker.host, versions.broker.port);
            let lines: Vec<String> = lines(&versions.apis);
            outln!("{host}:{port} (id: {id} rack: {rack} isFenced: false) -> (");
            outln!("{}\n)", lines.join(",\n"));
            true
        }
        Err(error) => {
            outln!("{id} -> ERROR: {error}");
            false
        }
    }
}

/// The APIs that clients have by their numbers, those that the broker does not have too.
fn lines(apis: &[ApiRange]) -> Vec<String> {
    let of_clients = ottla_client::broker_apis().map(|(key, name)| {
        match apis.iter().find(|api| api.key == key) {
            Some(api) => format!("\t{name}({key}): {}", range(api)),
            None => format!("\t{name}({key}): UNSUPPORTED"),
        }
    });
    let unknown = apis.iter().filter(|api| api.name().is_none());
    let unknown = unknown.map(|api| format!("\tUNKNOWN({}): {}", api.key, range(api)));
    of_clients.chain(unknown).collect()
}

fn range(api: &ApiRange) -> String {
    let range = match api.min == api.max {
        true => api.min.to_string(),
        false => format!("{} to {}", api.min, api.max),
    };
    match api.usable() {
        Some(usable) => format!("{range} [usable: {usable}]"),
        None => format!("{range} [unusable]"),
    }
}
