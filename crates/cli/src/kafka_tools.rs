//! The binary under the names of Kafka's own tools: with their flags and their columns, so that
//! scripts, health checks and init containers need not change.
//!
//! A link `kafka-topics.sh -> ottla` is enough; the name decides.

mod cluster;
mod console;
mod consumer_groups;
mod get_offsets;
mod storage;
mod topics;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Parser};

use crate::arguments::{ClientArguments, Format};
use crate::failure::Failure;

/// How Kafka's tools reach a cluster.
#[derive(Clone, Debug, Args)]
struct Connection {
    /// Brokers to ask first.
    #[arg(
        long = "bootstrap-server",
        alias = "broker-list",
        value_name = "HOST:PORT"
    )]
    bootstrap_server: Option<String>,
    /// A file of client properties.
    #[arg(long = "command-config", aliases = ["consumer.config", "producer.config"], value_name = "FILE")]
    command_config: Option<String>,
    /// A client property.
    #[arg(
        long = "command-property",
        aliases = ["consumer-property", "producer-property"],
        value_name = "KEY=VALUE"
    )]
    command_properties: Vec<String>,
}

impl Connection {
    fn arguments(&self) -> Result<ClientArguments, Failure> {
        let mut properties = Vec::new();
        if let Some(path) = &self.command_config {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::failed(format!("{path}: {error}")))?;
            let lines = text.lines().map(str::trim);
            let set = lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
            properties.extend(set.map(str::to_owned));
        }
        properties.extend(self.command_properties.iter().cloned());
        Ok(ClientArguments {
            bootstrap_servers: self.bootstrap_server.clone(),
            properties,
            format: Format::Text,
        })
    }
}

/// Does what the tool of this name does; `None` if there is none of this name.
pub fn run(arguments: &[OsString]) -> Option<ExitCode> {
    let name = Path::new(arguments.first()?).file_name()?.to_str()?;
    let name = name.strip_suffix(".sh").unwrap_or(name);
    let rest = arguments.iter().cloned();
    let done = match name {
        "kafka-topics" => topics::run(topics::Topics::parse_from(rest)),
        "kafka-consumer-groups" => {
            consumer_groups::run(consumer_groups::ConsumerGroups::parse_from(rest))
        }
        "kafka-get-offsets" => get_offsets::run(get_offsets::GetOffsets::parse_from(rest)),
        "kafka-cluster" => cluster::run(cluster::Cluster::parse_from(rest)),
        "kafka-storage" => storage::run(storage::Storage::parse_from(rest)),
        "kafka-console-producer" => console::produce(&console::ConsoleProducer::parse_from(rest)),
        "kafka-console-consumer" => console::consume(&console::ConsoleConsumer::parse_from(rest)),
        _ => return None,
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            failure.exit_code()
        }
    })
}
