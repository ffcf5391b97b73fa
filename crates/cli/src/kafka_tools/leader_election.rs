use std::path::{Path, PathBuf};

use clap::{ArgGroup, Parser, ValueEnum};
use ottla_client::{Elected, Election, PartitionKey};
use serde_json::Value;

use super::Connection;
use crate::failure::Failure;
use crate::session::with_client;

/// Give partitions the leader they should have, or any at all.
#[derive(Debug, Parser)]
#[command(name = "kafka-leader-election")]
#[command(group = ArgGroup::new("which").required(true).args(["topic", "all", "file"]))]
pub struct LeaderElection {
    #[command(flatten)]
    connection: Connection,
    /// preferred: the first replica, if it is in sync. unclean: any that lives, though it may lack records.
    #[arg(long = "election-type", value_name = "TYPE", ignore_case = true)]
    election: ElectionType,
    /// The topic of one partition.
    #[arg(long, requires = "partition")]
    topic: Option<String>,
    /// The number of one partition.
    #[arg(long, requires = "topic")]
    partition: Option<i32>,
    /// All partitions that want another leader.
    #[arg(long = "all-topic-partitions")]
    all: bool,
    /// The partitions that a file names: {"partitions": [{"topic": "t", "partition": 0}]}.
    #[arg(long = "path-to-json-file", value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ElectionType {
    Preferred,
    Unclean,
}

pub fn run(tool: LeaderElection) -> Result<(), Failure> {
    let (election, name) = match tool.election {
        ElectionType::Preferred => (Election::Preferred, "PREFERRED"),
        ElectionType::Unclean => (Election::Unclean, "UNCLEAN"),
    };
    let one = tool.topic.as_deref().zip(tool.partition);
    let partitions = match (&tool.file, one) {
        (Some(path), _) => Some(read_file(path)?),
        (None, Some((topic, partition))) => Some(vec![PartitionKey::new(topic, partition)]),
        (None, None) => None,
    };
    with_client(&tool.connection.arguments()?, async |session| {
        let admin = session.client.admin();
        let results = admin.elect_leaders(election, partitions.as_deref()).await?;
        let (mut elected, mut had, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for (key, result) in results {
            let key = format!("{}-{}", key.topic, key.partition);
            match result {
                Ok(Elected::Now) => elected.push(key),
                Ok(Elected::Before) => had.push(key),
                Err(error) => failed.push((key, error)),
            }
        }
        if !elected.is_empty() {
            let keys = elected.join(", ");
            outln!("Successfully completed leader election ({name}) for partitions {keys}");
        }
        if !had.is_empty() {
            let keys = had.join(", ");
            outln!("Valid replica already elected for partitions {keys}");
        }
        for (key, error) in &failed {
            outln!("Error completing leader election ({name}) for partition: {key}: {error}");
        }
        match failed.len() {
            0 => Ok(()),
            count => Err(Failure::failed(format!(
                "{count} replica(s) could not be elected"
            ))),
        }
    })
}

fn read_file(path: &Path) -> Result<Vec<PartitionKey>, Failure> {
    let text = std::fs::read_to_string(path);
    let read = text.map_err(|error| error.to_string());
    let parsed = read.and_then(|text| parse(&text));
    parsed.map_err(|reason| Failure::failed(format!("{}: {reason}", path.display())))
}

fn parse(text: &str) -> Result<Vec<PartitionKey>, String> {
    let json: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let partitions = json["partitions"].as_array();
    let mut keys = Vec::new();
    for part in partitions.ok_or("there are no \"partitions\"")? {
        let number = part["partition"]
            .as_i64()
            .and_then(|it| i32::try_from(it).ok());
        let Some((topic, number)) = part["topic"].as_str().zip(number) else {
            return Err(format!("{part}: expected topic and partition"));
        };
        let key = PartitionKey::new(topic, number);
        if keys.contains(&key) {
            return Err(format!("{topic}-{number} is there twice"));
        }
        keys.push(key);
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafka_s_file_is_read() {
        let part = r#"{"topic":"t","partition":1}"#;
        let text = format!(r#"{{"partitions":[{part}]}}"#);
        assert_eq!(parse(&text), Ok(vec![PartitionKey::new("t", 1)]));
        for wrong in [
            "{".to_owned(),
            "{}".to_owned(),
            format!(r#"{{"partitions":[{part},{part}]}}"#),
            r#"{"partitions":[{"topic":"t"}]}"#.to_owned(),
        ] {
            assert!(parse(&wrong).is_err(), "{wrong}");
        }
    }
}
