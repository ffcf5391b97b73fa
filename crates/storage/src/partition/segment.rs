use crate::segment::SegmentFile;
use ottla_types::{Lsn, Offset, Timestamp};
use std::sync::Arc;

/// "No record has a timestamp", as Kafka writes it.
pub(crate) const NO_TIMESTAMP: Timestamp = Timestamp::from_millis(-1);

/// What a partition knows of one of its segments.
///
/// Invariant: `synced_size <= written_size <= size`.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    /// The first offset it may hold.
    pub(crate) base_offset: Offset,
    /// Bytes of its batches, those in the tail included.
    pub(crate) size: u32,
    /// Bytes in its file.
    pub(crate) written_size: u32,
    /// Bytes in its file that were synced.
    pub(crate) synced_size: u32,
    /// Largest timestamp of its first batch; `segment.ms` counts from it.
    pub(crate) first_timestamp: Timestamp,
    /// Wall time of its first append: what `segment.ms` counts from when records have no timestamps.
    pub(crate) created: Timestamp,
    /// Wall time of its last append: its age when its records have no timestamps.
    pub(crate) modified: Timestamp,
    /// Largest timestamp of its records; -1 for none.
    pub(crate) largest_timestamp: Timestamp,
    /// The same of the bytes in its file only: what a checkpoint says, because the journal brings the rest.
    pub(crate) written_largest_timestamp: Timestamp,
    /// This process knows that its files hold exactly what was written. Not so after a crash, a truncation, or
    /// a failed write: then they are checked and cut before the next write.
    pub(crate) is_verified: bool,
    /// Something may lie behind its end that is to go when it is full: what a truncation cut off, or room that a process
    /// before this one reserved, and died before it gave it back.
    pub(crate) may_be_reserved: bool,
    /// What lies in its files behind its end was left there by this process. Otherwise, in a partition that lost
    /// something, it may be all that there is of it.
    pub(crate) is_own: bool,
    /// Its file, once somebody needed it.
    pub(crate) file: Option<Arc<SegmentFile>>,
}

/// Where a log is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The new end. No batch holds it, except in what older releases journaled.
    pub(crate) end: Offset,
    /// Where it lies in the file of its segment: at the end of what is written when it lies in the tail. Older releases
    /// journaled 0 there.
    pub(crate) position: u32,
    /// Largest timestamp of the records before it in that file, if known.
    pub(crate) largest_timestamp: Option<Timestamp>,
}

/// Segments that compaction replaced, as long as their files are not gone.
#[derive(Clone, Debug)]
pub(crate) struct PendingSwap {
    /// The entry that says so.
    pub(crate) lsn: Lsn,
    /// Base offset of the first of them.
    pub(crate) base: Offset,
    /// Where the last of them ended.
    pub(crate) end: Offset,
    /// They are what a crash brings back as long as the entry is not durable; readers may still hold them.
    pub(crate) old: Vec<Segment>,
    /// Where the compacted part of the log ended before.
    pub(crate) cleaned_before: Offset,
}

impl Segment {
    /// A segment without batches.
    pub(crate) fn empty(base_offset: Offset) -> Segment {
        Segment {
            base_offset,
            size: 0,
            written_size: 0,
            synced_size: 0,
            first_timestamp: NO_TIMESTAMP,
            created: NO_TIMESTAMP,
            modified: NO_TIMESTAMP,
            largest_timestamp: NO_TIMESTAMP,
            written_largest_timestamp: NO_TIMESTAMP,
            is_verified: false,
            may_be_reserved: false,
            is_own: false,
            file: None,
        }
    }

    /// Notes a batch at its end that was appended at the wall time `at`.
    pub(crate) fn push(&mut self, size: usize, max_timestamp: Timestamp, at: Timestamp) {
        if self.size == 0 {
            self.first_timestamp = max_timestamp;
            self.created = at;
        }
        self.modified = self.modified.max(at);
        self.size += u32::try_from(size).expect("a batch is smaller than a segment");
        self.largest_timestamp = self.largest_timestamp.max(max_timestamp);
    }

    /// Its file has nothing from `position` on any more. Before it, records have at most `largest_timestamp`; `None`
    /// when nobody knows.
    pub(crate) fn cut(&mut self, position: u32, largest_timestamp: Option<Timestamp>) {
        self.size = position;
        self.written_size = position;
        self.synced_size = self.synced_size.min(position);
        let largest = match position {
            0 => Some(NO_TIMESTAMP),
            _ => largest_timestamp,
        };
        if let Some(largest) = largest {
            self.written_largest_timestamp = self.written_largest_timestamp.min(largest);
        }
        if let Some(file) = &self.file {
            file.truncated_to(position);
        }
        self.is_verified = false;
        self.may_be_reserved = true;
    }

    /// How old its newest record is counted (Kafka's `LogSegment.largestTimestamp`): without timestamps, by when it
    /// was last appended to.
    pub(crate) fn newest_at(&self) -> Timestamp {
        if self.largest_timestamp.as_millis() >= 0 {
            self.largest_timestamp
        } else {
            self.modified
        }
    }

    /// How long it has been taking records, when one with `max_timestamp` comes at the wall time `now` (Kafka's
    /// `LogSegment.timeWaitedForRoll`): by the records' own clock if they have one.
    pub(crate) fn waited_ms(&self, max_timestamp: Timestamp, now: Timestamp) -> i64 {
        let (until, since) = if self.first_timestamp.as_millis() >= 0 {
            (max_timestamp, self.first_timestamp)
        } else {
            (now, self.created)
        };
        until.as_millis().saturating_sub(since.as_millis())
    }

    /// What a restart does not know of its times is as of `now`.
    pub(crate) fn date(&mut self, now: Timestamp) {
        if self.size > 0 && self.modified == NO_TIMESTAMP {
            self.created = now;
            self.modified = now;
        }
    }
}
