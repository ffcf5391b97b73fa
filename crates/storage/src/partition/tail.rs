use super::NO_TIMESTAMP;
use crate::batch_sums::BatchSums;
use bytes::Bytes;
use ottla_records::BatchView;
use ottla_types::{Lsn, Offset, Timestamp};
use std::collections::VecDeque;

/// Memory that a batch of a tail takes beside its bytes: its place in the tail (with the room that the list keeps for
/// more), the head of its bytes' allocation, the counter of those who share them, its place among what waits for
/// durability. The example `tail_cost` measured 136 to 206 bytes with lists that were 78 to 95 % full; they may be half empty.
pub(crate) const BATCH_OVERHEAD: usize = 256;

/// A batch that is not in a segment file yet. It owns its bytes: nothing else lives in their allocation, unless it is
/// large and was replayed.
#[derive(Clone, Debug)]
pub(crate) struct TailBatch {
    /// Offset of its first record.
    pub(crate) base_offset: Offset,
    /// Offset of its last record (inclusive).
    pub(crate) last_offset: Offset,
    /// The journal entry that holds it.
    pub(crate) lsn: Lsn,
    /// Its largest timestamp.
    pub(crate) max_timestamp: Timestamp,
    /// Wall time of its append.
    pub(crate) appended_at: Timestamp,
    /// The whole batch, shared with the journal's queue.
    pub(crate) bytes: Bytes,
    /// Its checksums, unless it was replayed.
    pub(crate) sums: Option<BatchSums>,
}

/// The end of a log that is only in memory (and in the journal).
///
/// Invariants: the batches lie in `base..end`, ascending; `bytes` is the sum of their sizes. Between them, before the first
/// and behind the last one offsets may be left out, as compaction leaves them where a log was copied from.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    base: Offset,
    end: Offset,
    bytes: usize,
    batches: VecDeque<TailBatch>,
}

impl Tail {
    /// An empty tail of a log that ends at `end`.
    pub(crate) fn empty_at(end: Offset) -> Tail {
        Tail {
            base: end,
            end,
            ..Tail::default()
        }
    }

    /// Where it begins: the end of what is in segment files.
    pub(crate) fn base(&self) -> Offset {
        self.base
    }

    /// Where the log ends.
    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    /// Size of its batches in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Memory that it takes, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.bytes + self.batches.len() * BATCH_OVERHEAD
    }

    /// Its batches, oldest first.
    pub(crate) fn batches(&self) -> impl Iterator<Item = &TailBatch> {
        self.batches.iter()
    }

    /// Its oldest batch.
    pub(crate) fn first(&self) -> Option<&TailBatch> {
        self.batches.front()
    }

    /// The batches from the one that holds `offset` on.
    pub(crate) fn from(&self, offset: Offset) -> impl Iterator<Item = &TailBatch> {
        let first = self
            .batches
            .partition_point(|batch| batch.last_offset < offset);
        self.batches.range(first..)
    }

    /// Puts a batch at the end.
    pub(crate) fn push(&mut self, batch: TailBatch) {
        assert!(self.end <= batch.base_offset, "offsets only grow");
        assert!(
            batch.base_offset <= batch.last_offset,
            "a batch has an offset"
        );
        self.end = batch.last_offset.next();
        self.bytes += batch.bytes.len();
        self.batches.push_back(batch);
    }

    /// Drops the batches below `end`, which are in segment files now. Returns the memory freed.
    pub(crate) fn drop_below(&mut self, end: Offset) -> usize {
        let before = self.memory();
        while self
            .batches
            .front()
            .is_some_and(|batch| batch.last_offset < end)
        {
            let batch = self.batches.pop_front().expect("there is a first one");
            self.bytes -= batch.bytes.len();
        }
        self.end = self.end.max(end);
        // What is left out before the next batch is as good as written: no entry of the journal is kept for it.
        let next = self.batches.front().map(|batch| batch.base_offset);
        self.base = next.unwrap_or(self.end);
        if self.batches.is_empty() && self.batches.capacity() > 16 {
            self.batches = VecDeque::new();
        }
        before - self.memory()
    }

    /// Nothing lies between its end and `to`, where it goes on.
    pub(crate) fn skip_to(&mut self, to: Offset) {
        assert!(self.end <= to, "offsets only grow");
        self.end = to;
        if self.batches.is_empty() {
            self.base = to;
        }
    }

    /// Drops the batches at or above `end`, where the log ends now. Returns the memory freed.
    pub(crate) fn truncate_to(&mut self, end: Offset) -> usize {
        let before = self.memory();
        while self
            .batches
            .back()
            .is_some_and(|batch| end <= batch.last_offset)
        {
            let batch = self.batches.pop_back().expect("there is a last one");
            self.bytes -= batch.bytes.len();
        }
        self.base = self.base.min(end);
        self.end = end;
        if self.batches.is_empty() {
            self.base = end;
        }
        before - self.memory()
    }

    /// All batches below `end` are in the journal entry `lsn` now.
    pub(crate) fn moved_to(&mut self, lsn: Lsn, end: Offset) {
        for batch in &mut self.batches {
            if batch.base_offset < end {
                batch.lsn = lsn;
            }
        }
    }

    /// Whether the invariants hold; the first one that does not.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let mut end = self.base;
        let mut bytes = 0;
        for batch in &self.batches {
            if batch.base_offset < end {
                return Err("batches of the tail overlap");
            }
            end = batch.last_offset.next();
            bytes += batch.bytes.len();
        }
        if self.end < end {
            return Err("the tail ends before its last batch");
        }
        if bytes != self.bytes {
            return Err("the tail's size is not that of its batches");
        }
        Ok(())
    }
}

/// The largest timestamp of a batch's records. What compaction emptied has no record with the one that it states.
pub(crate) fn largest_timestamp(view: &BatchView<'_>) -> Timestamp {
    match view.records_count() {
        0 => NO_TIMESTAMP,
        _ => view.max_timestamp(),
    }
}

/// A replayed batch of this size stays where it was read; a smaller one would keep too much around it in memory.
const SHARED_BATCH_SIZE: usize = 64 * 1024;

/// The parts of a batch that the state needs, taken from its header (replay, replication). `view` lies in `body`.
pub(crate) fn tail_batch(
    view: &BatchView<'_>,
    body: &Bytes,
    lsn: Lsn,
    appended_at: Timestamp,
) -> TailBatch {
    let bytes = match view.bytes() {
        large if SHARED_BATCH_SIZE <= large.len() => body.slice_ref(large),
        small => Bytes::copy_from_slice(small),
    };
    TailBatch {
        base_offset: view.base_offset(),
        last_offset: view.last_offset(),
        lsn,
        max_timestamp: largest_timestamp(view),
        appended_at,
        bytes,
        sums: None,
    }
}
