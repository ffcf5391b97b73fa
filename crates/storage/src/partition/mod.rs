//! One partition's log in memory: its ends, its tail, its segments, and what its batches changed.

mod config;
mod ends;
mod flush;
mod segment;
mod segments;
mod state;
mod tail;
mod truncation;

pub use config::{Durability, LogConfig};
pub use ends::Ends;

pub(crate) use ends::PendingAppends;
pub(crate) use flush::{SyncPlan, WritePlan};
pub(crate) use segment::{Cut, NO_TIMESTAMP, PendingSwap, Segment};
pub(crate) use state::{PartitionState, Rewrite, Standing};
pub(crate) use tail::{BATCH_OVERHEAD, Tail, TailBatch, largest_timestamp, tail_batch};

use crate::segment::names;
use ottla_types::{Offset, PartitionSlot, TopicPartition};
use parking_lot::{Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A partition of a log directory. Its lock is held for microseconds and never across a system call.
pub(crate) struct Partition {
    slot: PartitionSlot,
    id: TopicPartition,
    /// What the leader says is on enough replicas; -1 while nobody has said anything.
    high_watermark: AtomicI64,
    state: Mutex<PartitionState>,
}

impl Partition {
    /// A partition with this state.
    pub(crate) fn new(slot: PartitionSlot, id: TopicPartition, state: PartitionState) -> Partition {
        Partition {
            slot,
            id,
            high_watermark: AtomicI64::new(-1),
            state: Mutex::new(state),
        }
    }

    /// Its number in this process.
    pub(crate) fn slot(&self) -> PartitionSlot {
        self.slot
    }

    /// Its name for ever.
    pub(crate) fn id(&self) -> TopicPartition {
        self.id
    }

    /// The offset below which records are on enough replicas, if the leader has said it.
    pub(crate) fn high_watermark(&self) -> Option<Offset> {
        Offset::from_wire(self.high_watermark.load(Ordering::Relaxed))
    }

    /// Notes what the leader says.
    pub(crate) fn set_high_watermark(&self, offset: Offset) {
        self.high_watermark.store(offset.get(), Ordering::Relaxed);
    }

    /// Its state, locked.
    pub(crate) fn lock(&self) -> MutexGuard<'_, PartitionState> {
        self.state.lock()
    }
}

/// The directory of a partition.
pub(crate) fn dir_name(topic_name: &str, id: TopicPartition) -> Arc<str> {
    Arc::from(names::partition_dir(topic_name, id.partition))
}
