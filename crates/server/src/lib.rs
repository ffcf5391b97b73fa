//! How a broker runs: listeners, runtimes, the operating system's disk, threads, HTTP, metrics.
//!
//! This crate never decides anything about records, metadata or requests: it moves bytes and time
//! between the operating system and the synchronous crates.

mod clock;
pub mod http;
pub mod metrics;
mod threads;

mod disk;
mod network;

mod toml_config;

mod config_sources;
mod directory_identity;
mod random;
mod start_error;

mod broker_service;
pub mod quorum;
mod quorum_slot;
mod report;

mod data_directory;
mod metadata_quorum;
mod opened_disks;
mod serve;
mod start;
#[cfg(test)]
mod test_dir;

pub use clock::Clock;
pub use config_sources::{ConfigFileError, read as read_config_sources};
pub use disk::{OsDisk, PlannedFault, PowerCutDisk};
pub use start::{DataPlace, Greeting, Server, TestDisk};
pub use start_error::StartError;
