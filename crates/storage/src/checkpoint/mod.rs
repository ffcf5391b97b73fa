//! Checkpoints: the state of all partitions of a directory at a place in the journal, so that a restart
//! replays only what came after. docs/formats/checkpoint.md has the bytes.
//!
//! What is stored per partition is opaque here. Two checkpoints are kept: when the newest is damaged, the one
//! before still works, because ring files are released one checkpoint late.

mod format;
mod store;
mod write;

pub use format::{CheckpointError, PartitionRecord};
pub use store::{Checkpoint, CheckpointPositions, CheckpointStore, SkippedCheckpoint};
pub use write::{CheckpointProgress, CheckpointWrite};

#[cfg(test)]
mod tests;
