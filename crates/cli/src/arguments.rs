use clap::{Parser, Subcommand};

use crate::client_arguments::ClientArguments;
use crate::commands::{
    bench, client, cluster, completion, config, consume, debug, dev, doctor, explain, group,
    produce, profile, run, start, status, topic,
};

/// A Kafka-compatible event-streaming broker, and the commands to use it.
#[derive(Debug, Parser)]
#[command(name = "ottla", version, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub client: ClientArguments,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a broker; its first start needs no preparation.
    Start(start::Start),
    /// Run a throwaway broker: in memory, on this machine only.
    Dev(dev::Dev),
    /// Topics: create, list, describe, config, offsets, size, add-partitions, trim, delete.
    #[command(subcommand)]
    Topic(topic::TopicCommand),
    /// Write records, one of the command line or one for each line of stdin.
    Produce(produce::Produce),
    /// Read records.
    Consume(consume::Consume),
    /// Consumer groups: list, describe with lag, move, forget.
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Clients: who is connected, with what software and how much traffic.
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// Run a command with a throwaway broker of its own.
    Run(run::Run),
    /// Configurations of the cluster, brokers, topics and groups: show, set, unset.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// The cluster: its id, API versions, metadata quorum and features.
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Show brokers, partitions, disks and groups. Fails if something is not as it should be.
    Status(status::Status),
    /// Find out why clients here cannot work with a cluster, or soon will not.
    Doctor(doctor::Doctor),
    /// Named clusters, so that -b need not be given: create, import, use, list, show, delete.
    #[command(subcommand)]
    Profile(profile::ProfileCommand),
    /// Print what a shell must know to complete commands and flags.
    Completion(completion::Completion),
    /// Measure: producing, consuming, end to end.
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Say what an error means and what to do about it.
    Explain(explain::Explain),
    /// Look into the files of a broker that is not running.
    #[command(subcommand)]
    Debug(debug::DebugCommand),
}
