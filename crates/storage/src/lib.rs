//! The journal and the logs of one directory: what was acknowledged is found again after any crash.
//!
//! This crate never calls the operating system itself: all I/O goes through [`disk::Disk`], in pumps that
//! somebody else calls and that do at most one I/O per step. It never reads a clock, starts no thread
//! and never retries an fsync.

pub mod checkpoint;
pub mod checksum;
pub mod disk;
#[cfg(any(test, feature = "testing"))]
pub mod disk_conformance;
pub mod marker;
pub mod memory_disk;
pub mod planted;
pub mod raft_log;
pub mod read_only_file;
pub mod wal;
#[cfg(any(test, feature = "testing"))]
pub mod watched_disk;

mod sync;
mod tail_memory;

mod findings;
mod leader_epochs;
pub mod producer_state;
pub mod segment;

mod batch_sums;

pub mod partition;

mod cleaner;

pub mod log_dir;

pub use cleaner::CleanerOptions;
pub use findings::{Finding, Findings};
pub use leader_epochs::{EpochStart, LeaderEpochs};

#[cfg(test)]
mod testing;
