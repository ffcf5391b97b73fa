//! What journal entries of kinds `Segments` and `Begin` say in their argument (docs/formats/segment.md has the table), and
//! those of kind `Truncate` in their body.

use crate::producer_state::{ProducerEntry, record};
use crate::wal::{EntryHeader, EntryKind, ReplayedEntry};
use bytes::Bytes;
use ottla_types::{Offset, Timestamp};
use std::sync::Arc;

/// A segment with base offset `base_offset` was added; the body is the partition's directory name.
pub(super) const SEGMENT_ADDED: u64 = 1;
/// Segments with base offsets in `base_offset..end_offset` were removed.
pub(super) const SEGMENTS_REMOVED: u64 = 2;
/// Segments with base offsets in `base_offset..end_offset` were replaced by those that the body names; it also says up to
/// where the log is compacted.
pub(super) const SEGMENTS_REPLACED: u64 = 3;
/// From `base_offset` on, what lay in one segment lies in one of its own: what is before it is damaged.
pub(super) const SEGMENT_SPLIT: u64 = 4;
/// As `SEGMENT_ADDED`; the log had ended at `end_offset`, and nothing lies between.
pub(super) const SEGMENT_BEYOND: u64 = 5;

/// The argument of a `Begin` entry: the log is a future one.
pub(super) const BEGUN_AS_FUTURE: u64 = 1;

/// Where a log begins of which this is the first entry, if it can be one. Behind a partition's drop it is: of what was
/// dropped nothing comes there.
pub(super) fn beginning(header: &EntryHeader) -> Option<Offset> {
    match header.kind {
        EntryKind::Begin | EntryKind::Append | EntryKind::Tail | EntryKind::Large => {
            Some(header.base_offset)
        }
        EntryKind::Segments => match header.argument {
            SEGMENT_ADDED => Some(header.base_offset),
            SEGMENT_BEYOND => Some(header.end_offset),
            _other => None,
        },
        EntryKind::Synced
        | EntryKind::Truncate
        | EntryKind::LogStart
        | EntryKind::Drop
        | EntryKind::Remember
        | EntryKind::Promote => None,
    }
}

/// Whether it says that a future log begins.
pub(super) fn begins_future(header: &EntryHeader) -> bool {
    header.kind == EntryKind::Begin && header.argument == BEGUN_AS_FUTURE
}

/// The directory that an entry names, if it is one that does.
pub(super) fn directory(entry: &ReplayedEntry) -> Option<Arc<str>> {
    let names_it = match entry.header.kind {
        EntryKind::Begin | EntryKind::Drop => true,
        EntryKind::Segments => matches!(entry.header.argument, SEGMENT_ADDED | SEGMENT_BEYOND),
        EntryKind::Append
        | EntryKind::Tail
        | EntryKind::Large
        | EntryKind::Synced
        | EntryKind::Truncate
        | EntryKind::LogStart
        | EntryKind::Remember
        | EntryKind::Promote => false,
    };
    let name = (names_it && !entry.body.is_empty()).then_some(&entry.body);
    name.map(|name| Arc::from(String::from_utf8_lossy(name)))
}

/// In the place of a timestamp that is not known.
const UNKNOWN: i64 = i64::MIN;

/// What a `Truncate` entry says beside the place of the cut.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CutFacts {
    /// The largest timestamp before the cut in the segment file that it goes through, if that is known.
    pub(super) largest_timestamp: Option<Timestamp>,
    /// The producers that lost batches, as the log that is left knows them. Older releases did not say.
    pub(super) producers: Vec<ProducerEntry>,
}

impl CutFacts {
    /// The body of the entry: the timestamp, then, if there are any, the number of producers and the producers, little
    /// endian; nothing when nothing is known.
    pub(super) fn encode(&self) -> Bytes {
        let mut body = Vec::new();
        if self.largest_timestamp.is_some() || !self.producers.is_empty() {
            let millis = self.largest_timestamp.map_or(UNKNOWN, Timestamp::as_millis);
            body.extend_from_slice(&millis.to_le_bytes());
        }
        if !self.producers.is_empty() {
            body.extend_from_slice(&(self.producers.len() as u32).to_le_bytes());
        }
        for producer in &self.producers {
            record::encode(&mut body, producer);
        }
        Bytes::from(body)
    }

    /// Reads what [`CutFacts::encode`] wrote.
    pub(super) fn decode(body: &[u8]) -> CutFacts {
        let mut facts = CutFacts {
            largest_timestamp: None,
            producers: Vec::new(),
        };
        let Some((millis, rest)) = body.split_first_chunk() else {
            return facts;
        };
        let millis = i64::from_le_bytes(*millis);
        facts.largest_timestamp = (millis != UNKNOWN).then(|| Timestamp::from_millis(millis));
        if let Some((count, mut rest)) = rest.split_first_chunk() {
            let decoded = (0..u32::from_le_bytes(*count)).map_while(|_| record::decode(&mut rest));
            facts.producers.extend(decoded);
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_types::{ProducerEpoch, ProducerId};

    #[test]
    fn what_a_cut_says_comes_back() {
        let producer = |id| {
            let now = Timestamp::from_millis(7);
            ProducerEntry::new(ProducerId::new(id), ProducerEpoch::new(2), now)
        };
        for largest_timestamp in [None, Some(Timestamp::from_millis(-1))] {
            for producers in [vec![], vec![producer(4), producer(9)]] {
                let facts = CutFacts {
                    largest_timestamp,
                    producers,
                };
                assert_eq!(CutFacts::decode(&facts.encode()), facts);
            }
        }
    }

    #[test]
    fn what_older_releases_wrote_is_read() {
        let timestamp = Some(Timestamp::from_millis(500));
        let read = CutFacts::decode(&500i64.to_le_bytes());
        assert_eq!(read.largest_timestamp, timestamp);
        assert_eq!(read.producers, []);
        assert_eq!(CutFacts::decode(&[]).largest_timestamp, None);
    }
}
