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
mod leader_election;
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
    #[arg(
        long = "command-config",
        aliases = ["consumer.config", "producer.config", "admin.config"],
        value_name = "FILE"
    )]
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
    let words: Vec<OsString> = arguments
        .iter()
        .map(|word| current_word(name, word))
        .collect();
    if name.starts_with("kafka-") && words.iter().any(|word| word == "--version") {
        outln!("{KAFKA_VERSION}");
        return Some(ExitCode::SUCCESS);
    }
    let done = match name {
        "kafka-topics" => topics::run(Parser::parse_from(words)),
        "kafka-consumer-groups" => consumer_groups::run(Parser::parse_from(words)),
        "kafka-configs" => configs::run(Parser::parse_from(words)),
        "kafka-delete-records" => delete_records::run(Parser::parse_from(words)),
        "kafka-log-dirs" => log_dirs::run(Parser::parse_from(words)),
        "kafka-leader-election" => leader_election::run(Parser::parse_from(words)),
        "kafka-broker-api-versions" => broker_api_versions::run(Parser::parse_from(words)),
        "kafka-groups" => groups::run(Parser::parse_from(words)),
        "kafka-producer-perf-test" => performance::produce(Parser::parse_from(words)),
        "kafka-consumer-perf-test" => performance::consume(Parser::parse_from(words)),
        "kafka-e2e-latency" => performance::end_to_end(Parser::parse_from(words)),
        "kafka-get-offsets" => get_offsets::run(Parser::parse_from(words)),
        "kafka-cluster" => cluster::run(Parser::parse_from(words)),
        "kafka-storage" => storage::run(Parser::parse_from(words)),
        "kafka-console-producer" => console::produce(&Parser::parse_from(words)),
        "kafka-console-consumer" => console::consume(&Parser::parse_from(words)),
        other if other.starts_with("kafka-") => Err(not_here(other)),
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

/// Whose tools these are like.
const KAFKA_VERSION: &str = "4.4.0";

/// A tool that this binary does not have, and what there is instead.
fn not_here(tool: &str) -> Failure {
    if tool == "kafka-acls" {
        let what = "Error while executing ACL command: ACLs are not built yet";
        return Failure::failed(what).with_hint(Some(
            "whoever reaches a listener may do everything: have it listen where only friends are",
        ));
    }
    let instead = match tool {
        "kafka-metadata-quorum" => "ottla cluster quorum",
        "kafka-features" => "ottla cluster features",
        "kafka-dump-log" => "ottla debug log",
        "kafka-client-metrics" => "ottla config client-metrics",
        "kafka-server-start" => "ottla start -c server.properties",
        "kafka-server-stop" => "kill -TERM of its process id",
        "kafka-transactions" => "nothing: transactions are not built yet",
        "kafka-share-groups"
        | "kafka-console-share-consumer"
        | "kafka-share-consumer-perf-test" => "nothing: share groups are not built yet",
        "kafka-streams-groups" => "nothing: streams groups are not built yet",
        "kafka-delegation-tokens" => "nothing: delegation tokens are not built yet",
        "kafka-reassign-partitions" => "Apache Kafka's own kafka-reassign-partitions",
        _ => "docs/command-line.md names the tools it can",
    };
    let failure = Failure::usage(format!("this binary cannot stand in for {tool}"));
    failure.with_hint(Some(&format!("instead: {instead}")))
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
            leader_election::LeaderElection::command(),
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
