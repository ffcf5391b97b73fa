use clap::{Parser, Subcommand};
use ottla_client::ClusterDescription;

use super::Connection;
use super::broker_api_versions::{self, BrokerApiVersions};
use crate::failure::Failure;
use crate::session::with_client;

/// Facts about a cluster.
#[derive(Debug, Parser)]
#[command(name = "kafka-cluster")]
pub struct Cluster {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the cluster's id.
    ClusterId(#[command(flatten)] Connection),
    /// Show where the brokers are.
    ListEndpoints(#[command(flatten)] Connection),
    /// Show which versions of which API each broker speaks.
    ApiVersions(BrokerApiVersions),
}

pub fn run(cluster: Cluster) -> Result<(), Failure> {
    let (connection, print): (_, fn(&ClusterDescription)) = match cluster.command {
        Command::ApiVersions(tool) => return broker_api_versions::run(tool),
        Command::ClusterId(connection) => (connection, print_id),
        Command::ListEndpoints(connection) => (connection, print_endpoints),
    };
    with_client(&connection.arguments()?, async |session| {
        print(&session.client.admin().describe_cluster().await?);
        Ok(())
    })
}

fn print_id(cluster: &ClusterDescription) {
    outln!("Cluster ID: {}", cluster.cluster_id);
}

fn print_endpoints(cluster: &ClusterDescription) {
    let hosts = cluster.brokers.iter().map(|broker| broker.host.len());
    let hosts = hosts.max().unwrap_or(0).max("HOST".len());
    let line = |cells: [&str; 6]| {
        let [id, host, port, rack, state, kind] = cells;
        outln!("{id:<10} {host:<hosts$} {port:<10} {rack:<10} {state:<10} {kind:<15}");
    };
    line(["ID", "HOST", "PORT", "RACK", "STATE", "ENDPOINT_TYPE"]);
    for broker in &cluster.brokers {
        let (id, port) = (broker.id.to_string(), broker.port.to_string());
        let rack = broker.rack.as_deref().unwrap_or("null");
        // Brokers that are fenced are not listed unless they are asked for.
        line([&id, &broker.host, &port, rack, "unfenced", "broker"]);
    }
}
