use crate::batch_maker::SentBatch;
use crate::disk::CrashKind;
use crate::oracle::{Floor, History};
use ottla_storage::log_dir::{Durability, LogConfig};
use ottla_types::{LeaderEpoch, Lsn, Offset, PartitionSlot, ProducerEpoch, ProducerId, Sequence};
use std::collections::VecDeque;

/// What the world knows of one partition.
pub(super) struct ModelPartition {
    pub(super) topic_name: String,
    pub(super) slot: PartitionSlot,
    pub(super) config: LogConfig,
    pub(super) history: History,
    /// The epoch of the next append.
    pub(super) epoch: LeaderEpoch,
    /// Readers see what is below it; nothing below it may ever change.
    pub(super) high_watermark: Offset,
    pub(super) producers: Vec<ModelProducer>,
    /// The last batches that idempotent producers sent, for retries.
    pub(super) sent: VecDeque<SentBatch>,
    /// Answers that wait: for which number, and which offset they promise.
    pub(super) acknowledgements: Vec<(Lsn, Offset)>,
    /// Damage or a crash has taken its history away: nothing is promised any more.
    pub(super) lossy: bool,
    /// The number of the entry that drops it, once that was asked for.
    pub(super) drop_lsn: Option<Lsn>,
}

/// An idempotent producer as its client sees it.
pub(super) struct ModelProducer {
    pub(super) id: ProducerId,
    pub(super) epoch: ProducerEpoch,
    /// Sequence of its next new batch.
    pub(super) next_sequence: Sequence,
}

/// The highest journal numbers that were ever promised to be safe in this life.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Floors {
    /// Fsynced.
    pub(super) durable: Lsn,
    /// In the page cache.
    pub(super) written: Lsn,
}

impl Floors {
    /// What a crash of this kind must leave of a partition of this durability.
    pub(super) fn after(self, kind: CrashKind, durability: Durability) -> Floor {
        match (kind, durability) {
            (CrashKind::ProcessKill, Durability::Os) => Floor(self.written.max(self.durable)),
            _ => Floor(self.durable),
        }
    }

    /// What counts as acknowledged while the process runs.
    pub(super) fn acknowledged(self, durability: Durability) -> Floor {
        self.after(CrashKind::ProcessKill, durability)
    }
}
