use clap::{Parser, Subcommand};

use super::Connection;
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
}

pub fn run(cluster: Cluster) -> Result<(), Failure> {
    let Command::ClusterId(connection) = cluster.command;
    with_client(&connection.arguments()?, async |session| {
        let described = session.client.admin().describe_cluster().await?;
        println!("Cluster ID: {}", described.cluster_id);
        Ok(())
    })
}
