//! Which records and batches compaction leaves, by Kafka's rules (`Cleaner.cleanInto`).

use super::key_map::KeyMap;
use ottla_records::{
    BatchFilter, BatchView, Filtered, RecordView, RecordsError, write_empty_batch,
};
use ottla_types::{Offset, ProducerId, Timestamp};
use std::collections::BTreeMap;

/// Offset of the last record (inclusive) of each known producer's newest batch: that batch stays, if need be without
/// records, because a reader of the log learns sequences from it.
pub(crate) type LastBatches = BTreeMap<ProducerId, Offset>;

/// What a round of compaction goes by.
pub(crate) struct Rules {
    /// The newest offset of every key with a record in `..mapped_end`.
    pub(crate) map: KeyMap,
    /// Records from here on (inclusive) were not looked at and stay.
    pub(crate) mapped_end: Offset,
    /// The offset after the last batch of the round: that batch stays, so that who reads on reaches its end.
    pub(crate) round_end: Offset,
    /// See [`LastBatches`].
    pub(crate) last_batches: LastBatches,
    /// `delete.retention.ms`.
    pub(crate) delete_retention_ms: i64,
    /// When the round began.
    pub(crate) now: Timestamp,
    /// The planted bug: markers of deletion go at once.
    pub(crate) forgets_tombstones: bool,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cleaned {
    /// It is as it was.
    Whole,
    /// It lost records, or got a delete horizon.
    Part,
    /// Only its header is left.
    Header,
    /// It is gone.
    Gone,
}

impl Rules {
    /// When records without value that are cleaned for the first time may go.
    fn horizon(&self) -> Timestamp {
        let now = self.now.as_millis();
        Timestamp::from_millis(now.saturating_add(self.delete_retention_ms))
    }

    fn keeps(&self, batch: &BatchView<'_>, record: &RecordView<'_>) -> bool {
        if self.mapped_end <= record.offset {
            return true;
        }
        let Some(key) = record.key else {
            return false; // of the time before the topic was compacted
        };
        if self
            .map
            .get(key)
            .is_some_and(|newest| record.offset < newest)
        {
            return false;
        }
        if record.value.is_some() {
            return true;
        }
        // A transaction that was aborted deleted nothing, and one that was committed is not told apart here yet.
        let is_due = batch.delete_horizon().is_some_and(|at| at <= self.now);
        batch.is_transactional() || !is_due && !self.forgets_tombstones
    }

    fn keeps_header(&self, batch: &BatchView<'_>) -> bool {
        let is_last_of_producer = batch
            .producer_id_and_epoch()
            .is_some_and(|(id, _)| self.last_batches.get(&id) == Some(&batch.last_offset()));
        is_last_of_producer || batch.last_offset().next() == self.round_end
    }
}

/// Whether a batch takes part in compaction as it does in every topic without transactions. Control batches stay as
/// they are, and what a transaction wrote supersedes nothing: it may have been aborted.
pub(crate) fn supersedes(batch: &BatchView<'_>) -> bool {
    !batch.is_control() && !batch.is_transactional()
}

/// Applies [`Rules`] to one batch after the other.
#[derive(Default)]
pub(crate) struct RoundFilter {
    filter: BatchFilter,
}

impl RoundFilter {
    /// Notes the keys of `batch` in `map`, from the offset `from` on. Returns the first offset that had no room.
    pub(crate) fn note_keys(
        &mut self,
        map: &mut KeyMap,
        batch: &BatchView<'_>,
        from: Offset,
    ) -> Result<Option<Offset>, RecordsError> {
        let mut full_at = None;
        if !supersedes(batch) || batch.last_offset() < from {
            return Ok(None);
        }
        self.filter.each(batch, |record| {
            if let Some(key) = record.key
                && from <= record.offset
                && full_at.is_none()
                && map.put(key, record.offset).is_err()
            {
                full_at = Some(record.offset);
            }
        })?;
        Ok(full_at)
    }

    /// Appends to `out` what the rules leave of `batch`.
    pub(crate) fn clean(
        &mut self,
        rules: &Rules,
        batch: &BatchView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Cleaned, RecordsError> {
        if batch.is_control() {
            out.extend_from_slice(batch.bytes());
            return Ok(Cleaned::Whole);
        }
        let horizon = (!batch.is_transactional()).then(|| rules.horizon());
        let keep = |record: &RecordView<'_>| rules.keeps(batch, record);
        match self.filter.retain(batch, horizon, keep, out)? {
            Filtered::Whole => Ok(Cleaned::Whole),
            Filtered::Part => Ok(Cleaned::Part),
            Filtered::Nothing if !rules.keeps_header(batch) => Ok(Cleaned::Gone),
            Filtered::Nothing if batch.records_count() == 0 => {
                out.extend_from_slice(batch.bytes());
                Ok(Cleaned::Whole)
            }
            Filtered::Nothing => {
                write_empty_batch(batch, out);
                Ok(Cleaned::Header)
            }
        }
    }
}

#[cfg(test)]
mod tests;
