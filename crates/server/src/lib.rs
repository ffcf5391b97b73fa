//! How a broker runs: listeners, runtimes, the operating system's disk, threads, HTTP, metrics.
//!
//! This crate never decides anything about records, metadata or requests: it moves bytes and time
//! between the operating system and the synchronous crates.

mod clock;
mod disk;
pub mod metrics;
pub mod network;
pub mod quorum;
#[cfg(test)]
mod test_dir;

pub use clock::Clock;
pub use disk::{OsDisk, PowerCutDisk};
