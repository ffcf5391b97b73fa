use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{bench, consume, debug, dev, explain, group, produce, run, start, topic};

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
    /// Run a command with a throwaway broker of its own.
    Run(run::Run),
    /// Measure: producing, consuming, end to end.
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Say what an error means and what to do about it.
    Explain(explain::Explain),
    /// Look into the files of a broker that is not running.
    #[command(subcommand)]
    Debug(debug::DebugCommand),
}

/// How commands reach a cluster, and how they answer.
#[derive(Clone, Debug, Args)]
pub struct ClientArguments {
    /// Brokers to ask first, as host:port[,host:port].
    #[arg(
        short = 'b',
        long = "bootstrap-server",
        alias = "brokers",
        value_name = "HOST:PORT",
        env = "OTTLA_BOOTSTRAP_SERVERS",
        global = true
    )]
    pub bootstrap_servers: Option<String>,
    /// A client property, by its Java or librdkafka name; may be given several times.
    #[arg(short = 'X', value_name = "KEY=VALUE", global = true)]
    pub properties: Vec<String>,
    /// How answers are printed.
    #[arg(long, value_enum, default_value_t = Format::Text, global = true)]
    pub format: Format,
}

/// How answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}
