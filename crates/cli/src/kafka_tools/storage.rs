use std::hash::{BuildHasher, Hasher, RandomState};

use clap::{Parser, Subcommand};
use ottla_types::Uuid;

use crate::failure::Failure;

/// What Kafka needs before its first start, and Ottla does not.
#[derive(Debug, Parser)]
#[command(name = "kafka-storage")]
pub struct Storage {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a new cluster id.
    RandomUuid,
    /// Do nothing: a first start prepares its directories itself.
    Format {
        /// Accepted, without effect.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

pub fn run(storage: Storage) -> Result<(), Failure> {
    match storage.command {
        Command::RandomUuid => outln!("{}", random_uuid()),
        Command::Format { .. } => {
            errln!("nothing to format: the first start prepares its directories");
        }
    }
    Ok(())
}

/// Random, of version 4.
fn random_uuid() -> Uuid {
    let mut bytes = [0; 16];
    for half in bytes.chunks_exact_mut(8) {
        let random = RandomState::new().build_hasher().finish();
        half.copy_from_slice(&random.to_be_bytes());
    }
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn cluster_ids_look_like_kafka_s() {
        let id = super::random_uuid().to_string();
        assert_eq!(id.len(), 22, "{id}");
        assert_ne!(id, super::random_uuid().to_string());
    }
}
