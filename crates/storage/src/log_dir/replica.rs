use super::{AppendBatch, AppendError};
use crate::partition::largest_timestamp;
use ottla_records::{BatchView, ValidBatch};
use ottla_types::{LeaderEpoch, Offset, Timestamp};

/// What stands in a batch that another log has already.
pub(super) struct ReplicaBatch {
    pub(super) base_offset: Offset,
    pub(super) leader_epoch: LeaderEpoch,
    /// Of its records; -1 when it has none.
    pub(super) largest_timestamp: Timestamp,
}

impl ReplicaBatch {
    /// Checks that it is one batch, whole, as a leader appended it, and the one that the facts are about. It came over a
    /// network or from another disk: nothing of it is believed.
    pub(super) fn check(batch: &AppendBatch<'_>) -> Result<ReplicaBatch, AppendError> {
        let malformed = |reason| AppendError::Malformed { reason };
        let view = BatchView::parse(batch.bytes).map_err(|_| malformed("its header is none"))?;
        if view.size_in_bytes() != batch.bytes.len() {
            return Err(malformed("something follows it"));
        }
        if !view.is_crc_valid() {
            return Err(malformed("its checksum is wrong"));
        }
        if i32::MAX as u32 <= view.last_offset_delta() {
            return Err(malformed("no segment can hold its offsets"));
        }
        let facts =
            ValidBatch::from_header(&view).map_err(|_| malformed("its codec is unknown"))?;
        if facts.last_offset_delta != batch.facts.last_offset_delta
            || facts.producer != batch.facts.producer
        {
            return Err(malformed("what is said of it is of another one"));
        }
        let leader_epoch = view
            .leader_epoch()
            .ok_or(malformed("no leader appended it"))?;
        Ok(ReplicaBatch {
            base_offset: view.base_offset(),
            leader_epoch,
            largest_timestamp: largest_timestamp(&view),
        })
    }
}
