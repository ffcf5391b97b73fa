//! The binary under the names of Kafka's own tools: with their flags and their columns, so that
//! scripts, health checks and init containers need not change.
//!
//! A link `kafka-topics.sh -> ottla` is enough; the name decides.

mod broker_api_versions;
mod cluster;
mod configs;
mod console;
mod consumer_groups;
mod delete_records;
mod get_offsets;
mod groups;
mod log_dirs;
mod performance;
mod storage;
mod topics;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser};

use crate::client_arguments::ClientArguments;
use crate::failure::Failure;

/// How Kafka's tools reach a cluster.
#[derive(Clone, Debug, Args)]
struct Connection {
    /// Brokers to ask first.
    #[arg(long = "bootstrap-server", value_name = "HOST:PORT")]
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
        Ok(ClientArguments {
            bootstrap_servers: self.bootstrap_server.clone(),
            properties: self.command_properties.clone(),
            config_file: self.command_config.as_ref().map(PathBuf::from),
            ..ClientArguments::default()
        })
    }
}

/// Before Kafka 4 some tools called the bootstrap servers by another name; to kafka-log-dirs it means
/// something else.
fn current_word(tool: &str, word: &OsString) -> OsString {
    let is_old = word == "--broker-list";
    match tool {
        "kafka-console-producer" | "kafka-get-offsets" if is_old => "--bootstrap-server".into(),
        _ => word.clone(),
    }
}

/// Does what the tool of this name does; `None` if there is none of this name.
pub fn run(arguments: &[OsString]) -> Option<ExitCode> {
    let name = Path::new(arguments.first()?).file_name()?.to_str()?;
    let name = name.strip_suffix(".sh").unwrap_or(name);
    let rest = arguments.iter().map(|word| current_word(name, word));
    let done = match name {
        "kafka-topics" => topics::run(topics::Topics::parse_from(rest)),
        "kafka-consumer-groups" => {
            consumer_groups::run(consumer_groups::ConsumerGroups::parse_from(rest))
        }
        "kafka-configs" => configs::run(configs::Configs::parse_from(rest)),
        "kafka-delete-records" => {
            delete_records::run(delete_records::DeleteRecords::parse_from(rest))
        }
        "kafka-log-dirs" => log_dirs::run(log_dirs::LogDirs::parse_from(rest)),
        "kafka-broker-api-versions" => {
            broker_api_versions::run(broker_api_versions::BrokerApiVersions::parse_from(rest))
        }
        "kafka-groups" => groups::run(groups::Groups::parse_from(rest)),
        "kafka-producer-perf-test" => {
            performance::produce(performance::ProducerPerformance::parse_from(rest))
        }
        "kafka-consumer-perf-test" => {
            performance::consume(performance::ConsumerPerformance::parse_from(rest))
        }
        "kafka-e2e-latency" => {
            performance::end_to_end(performance::EndToEndLatency::parse_from(rest))
        }
        "kafka-get-offsets" => get_offsets::run(get_offsets::GetOffsets::parse_from(rest)),
        "kafka-cluster" => cluster::run(cluster::Cluster::parse_from(rest)),
        "kafka-storage" => storage::run(storage::Storage::parse_from(rest)),
        "kafka-console-producer" => console::produce(&console::ConsoleProducer::parse_from(rest)),
        "kafka-console-consumer" => console::consume(&console::ConsoleConsumer::parse_from(rest)),
        other if other.starts_with("kafka-") => Err(Failure::usage(format!(
            "this binary cannot stand in for {other}; docs/command-line.md names the tools it can"
        ))),
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn no_tool_has_a_flag_twice() {
        for command in [
            broker_api_versions::BrokerApiVersions::command(),
            cluster::Cluster::command(),
            configs::Configs::command(),
            console::ConsoleConsumer::command(),
            console::ConsoleProducer::command(),
            consumer_groups::ConsumerGroups::command(),
            delete_records::DeleteRecords::command(),
            get_offsets::GetOffsets::command(),
            groups::Groups::command(),
            log_dirs::LogDirs::command(),
            performance::ConsumerPerformance::command(),
            performance::EndToEndLatency::command(),
            performance::ProducerPerformance::command(),
            storage::Storage::command(),
            topics::Topics::command(),
        ] {
            command.debug_assert();
        }
    }
}
