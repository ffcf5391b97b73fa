//! What the journal says became of segment files, read ahead of a rebuild: names alone do not tell which files
//! compaction, retention or a truncation left behind.

use super::changes;
use super::cleaner::swap::{Redo, Replacement};
use crate::wal::{EntryKind, ReplayedEntry};
use ottla_types::{Lsn, Offset, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Of all partitions that the journal speaks of.
#[derive(Default)]
pub(super) struct FileHistories {
    /// Swaps that may not be carried out yet.
    pub(super) redo: Redo,
    partitions: BTreeMap<TopicPartition, FileHistory>,
    dropped: BTreeSet<TopicPartition>,
}

/// Of one partition.
#[derive(Default)]
pub(super) struct FileHistory {
    left_behind: Vec<LeftBehind>,
    /// The last entries that began segments, by base offset.
    begun: BTreeMap<Offset, Lsn>,
    /// Segments up to here were replaced or removed, or offsets left out: what is missing of them is no loss.
    pub(super) settled_end: Offset,
    /// Where the log was cut.
    pub(super) cuts: BTreeSet<Offset>,
    /// Segments were synced up to here.
    pub(super) synced_end: Offset,
    /// Base offsets of segments that were synced.
    synced: BTreeSet<Offset>,
    /// The entry that the log begins with, if the journal has it.
    pub(super) begun_lsn: Lsn,
    /// It was begun as a future log, and not promoted since.
    pub(super) is_future: bool,
}

/// Files that an entry made superfluous.
struct LeftBehind {
    lsn: Lsn,
    /// Their base offsets, but for those that were put in their place.
    bases: Range<Offset>,
    kept: Vec<Offset>,
}

impl FileHistories {
    /// Takes up the next entry of the journal.
    pub(super) fn note(&mut self, entry: &ReplayedEntry) {
        let id = entry.header.topic_partition;
        if entry.header.kind == EntryKind::Drop {
            self.partitions.remove(&id);
            self.dropped.insert(id);
        }
        self.begin(entry);
        if self.dropped.contains(&id) {
            return; // a flush that was under way
        }
        self.redo.note(entry);
        self.partitions.entry(id).or_default().note(entry);
    }

    /// If a log begins with the entry: the files are those of this one.
    fn begin(&mut self, entry: &ReplayedEntry) {
        let id = entry.header.topic_partition;
        let Some(start) = changes::beginning(&entry.header) else {
            return;
        };
        if entry.header.kind != EntryKind::Begin && !self.dropped.contains(&id) {
            return;
        }
        self.dropped.remove(&id);
        self.redo.forget(id);
        let history = FileHistory {
            settled_end: start,
            begun_lsn: entry.lsn,
            is_future: changes::begins_future(&entry.header),
            ..FileHistory::default()
        };
        self.partitions.insert(id, history);
    }

    /// What is known of a partition's files.
    pub(super) fn of(&self, id: TopicPartition) -> Option<&FileHistory> {
        self.partitions.get(&id)
    }

    /// Whether the partition was dropped.
    pub(super) fn is_dropped(&self, id: TopicPartition) -> bool {
        self.dropped.contains(&id)
    }
}

impl FileHistory {
    fn note(&mut self, entry: &ReplayedEntry) {
        let header = &entry.header;
        let (base, end) = (header.base_offset, header.end_offset);
        match header.kind {
            EntryKind::Synced => {
                self.synced_end = self.synced_end.max(end);
                self.synced.insert(base);
            }
            EntryKind::Truncate => {
                self.cuts.insert(base);
                // A segment that begins where the log was cut stays, empty.
                self.leave_behind(entry.lsn, base.next()..Offset::new(i64::MAX), Vec::new());
                self.settled_end = self.settled_end.min(base);
                self.synced_end = self.synced_end.min(base);
            }
            EntryKind::Segments => match header.argument {
                changes::SEGMENT_ADDED | changes::SEGMENT_SPLIT => {
                    self.begun.insert(base, entry.lsn);
                }
                changes::SEGMENT_BEYOND => {
                    self.begun.insert(base, entry.lsn);
                    self.settled_end = self.settled_end.max(base);
                }
                changes::SEGMENTS_REMOVED => {
                    self.leave_behind(entry.lsn, base..end, Vec::new());
                    self.settled_end = self.settled_end.max(end);
                }
                changes::SEGMENTS_REPLACED => {
                    let Some(replacement) = Replacement::decode(&entry.body) else {
                        return;
                    };
                    self.leave_behind(entry.lsn, base..end, replacement.bases());
                    self.settled_end = self.settled_end.max(end);
                }
                _newer => {}
            },
            EntryKind::Promote => self.is_future = false,
            EntryKind::Append
            | EntryKind::Tail
            | EntryKind::Large
            | EntryKind::LogStart
            | EntryKind::Drop
            | EntryKind::Begin
            | EntryKind::Remember => {}
        }
    }

    fn leave_behind(&mut self, lsn: Lsn, bases: Range<Offset>, kept: Vec<Offset>) {
        if bases.start < bases.end {
            self.left_behind.push(LeftBehind { lsn, bases, kept });
        }
    }

    /// Whether a segment that begins at one of these offsets was synced, and nothing made it superfluous.
    pub(super) fn has_synced_segment(&self, bases: &Range<Offset>) -> bool {
        let mut synced = self.synced.range(bases.clone());
        synced.any(|base| !self.is_left_behind(*base))
    }

    /// Whether the files with this base offset are what an entry left behind.
    pub(super) fn is_left_behind(&self, base: Offset) -> bool {
        let begun = self.begun.get(&base);
        self.left_behind.iter().any(|it| {
            let is_newer = begun.is_none_or(|begun| *begun < it.lsn);
            it.bases.contains(&base) && !it.kept.contains(&base) && is_newer
        })
    }
}
