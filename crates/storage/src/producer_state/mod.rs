//! What a partition remembers of idempotent producers (KIP-98; Kafka's `ProducerStateManager`).

mod entry;
pub(crate) mod record;
pub(crate) mod snapshot;

use entry::Below;
pub use entry::{ProducedBatch, ProducerEntry, WINDOW_BATCHES_COUNT};

use ottla_records::ProducerBatch;
use ottla_types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// What a batch of a producer is to its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceCheck {
    /// The next one, or the first of a producer that is not known: append it.
    New,
    /// Exactly one of the last five: it is in the log already.
    Duplicate(ProducedBatch),
    /// Not the next one. `last_sequence` is what the refusal reveals.
    OutOfOrder {
        /// Sequence of the last record of the producer's newest batch.
        last_sequence: Option<Sequence>,
    },
    /// Of an epoch that has been fenced.
    FencedEpoch {
        /// The newest epoch known.
        current: ProducerEpoch,
    },
    /// Part of no transaction although one of this producer is open.
    OpenTransaction,
    /// Nothing is known in memory, but the snapshot on disk may know it: load it first.
    SnapshotNeeded,
}

/// The base that changed entries lie upon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Base {
    /// All that is known is in memory.
    #[default]
    Loaded,
    /// Entries that did not change since are only in the snapshot of this offset.
    Unloaded(Offset),
}

/// The producers of one partition.
///
/// A restart brings back the entries that changed since the last snapshot (from checkpoint and journal);
/// the others stay in the snapshot until somebody asks for a producer that is not in memory.
#[derive(Debug, Default)]
pub struct ProducerState {
    // Boxed: a leaf of a B-tree has room for eleven, and most partitions have one or two producers.
    entries: BTreeMap<ProducerId, Box<ProducerEntry>>,
    /// Producers that changed since the snapshot `snapshot_offset`.
    changed: BTreeSet<ProducerId>,
    snapshot_offset: Option<Offset>,
    base: Base,
    /// Truncations that the unloaded base has not seen: it must not bring such batches back.
    base_end: Option<Offset>,
    /// Producers that a truncation took batches from, or that were replaced: what the unloaded base says of them does not count
    /// any more.
    masked: BTreeSet<ProducerId>,
}

impl ProducerState {
    /// Nothing known, or, with `snapshot`, nothing but what the snapshot of that offset knows.
    pub fn restored(snapshot: Option<Offset>) -> ProducerState {
        ProducerState {
            base: snapshot.map_or(Base::Loaded, Base::Unloaded),
            snapshot_offset: snapshot,
            ..ProducerState::default()
        }
    }

    /// How many producers are in memory.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// How many changed since the last snapshot.
    pub fn changed_count(&self) -> usize {
        self.changed.len()
    }

    /// The snapshot that must be loaded before producers that are not in memory can be judged.
    pub fn unloaded_snapshot(&self) -> Option<Offset> {
        match self.base {
            Base::Loaded => None,
            Base::Unloaded(offset) => Some(offset),
        }
    }

    /// The snapshot that the changed entries build upon.
    pub fn snapshot_offset(&self) -> Option<Offset> {
        self.snapshot_offset
    }

    /// Every producer in memory, by id.
    pub fn entries(&self) -> impl Iterator<Item = &ProducerEntry> {
        self.entries.values().map(|entry| &**entry)
    }

    /// Producers that changed since the last snapshot, by id.
    pub fn changed_entries(&self) -> impl Iterator<Item = &ProducerEntry> {
        self.changed
            .iter()
            .filter_map(|id| self.entries.get(id))
            .map(|entry| &**entry)
    }

    /// Where the oldest open transaction begins; producers that only the snapshot knows are not asked.
    pub fn first_open_transaction(&self) -> Option<Offset> {
        let entries = self.entries.values();
        entries.filter_map(|entry| entry.transaction_start()).min()
    }

    /// The producer's entry, if it is in memory.
    pub fn get(&self, id: ProducerId) -> Option<&ProducerEntry> {
        self.entries.get(&id).map(|entry| &**entry)
    }

    /// What `batch` is. A producer unused since before `expired_before` counts as unknown.
    pub fn check(
        &self,
        batch: &ProducerBatch,
        is_transactional: bool,
        expired_before: Timestamp,
    ) -> SequenceCheck {
        let is_unloaded = self.base != Base::Loaded;
        let entry = match self.entries.get(&batch.id) {
            // What came after the snapshot is not the whole window: the rest is in the snapshot.
            Some(entry) if is_unloaded && entry.needs_snapshot() => {
                return SequenceCheck::SnapshotNeeded;
            }
            Some(entry) if expired_before <= entry.last_used() => entry,
            Some(_) => return SequenceCheck::New,
            None if is_unloaded => return SequenceCheck::SnapshotNeeded,

            // Expired, cut off, or never seen: any sequence may be its first.
            None => return SequenceCheck::New,
        };
        if let Some(known) = entry.duplicate_of(batch) {
            return SequenceCheck::Duplicate(known);
        }
        if batch.epoch < entry.epoch() {
            return SequenceCheck::FencedEpoch {
                current: entry.epoch(),
            };
        }
        if entry.transaction_start().is_some() && !is_transactional {
            return SequenceCheck::OpenTransaction;
        }
        let last_sequence = entry.last().map(|last| last.last_sequence);
        let expected = if batch.epoch == entry.epoch() {
            // A marker may have brought the epoch without any batch: then any sequence may be first.
            last_sequence.map(|last| last.plus(1))
        } else {
            Some(Sequence::new(0))
        };
        match expected {
            Some(expected) if expected != batch.base_sequence => {
                SequenceCheck::OutOfOrder { last_sequence }
            }
            Some(_) | None => SequenceCheck::New,
        }
    }

    /// Notes a batch appended to a log that is durable up to `durable_end`. Returns whether the producer is new in memory.
    pub fn push(
        &mut self,
        id: ProducerId,
        epoch: ProducerEpoch,
        batch: ProducedBatch,
        transactional: Option<Offset>,
        used: Timestamp,
        durable_end: Offset,
    ) -> bool {
        let mut is_new = false;
        let below = match self.base {
            Base::Unloaded(_) if !self.masked.contains(&id) => Below::Snapshot,
            Base::Unloaded(_) | Base::Loaded => Below::Nothing,
        };
        let entry = self.entries.entry(id).or_insert_with(|| {
            is_new = true;
            let mut entry = ProducerEntry::new(id, epoch, used);
            entry.set_below(below);
            Box::new(entry)
        });
        entry.push_beyond(epoch, batch, used, durable_end);
        if entry.transaction_start().is_none() {
            entry.set_transaction_start(transactional);
        }
        self.changed.insert(id);
        is_new
    }

    /// Takes over an entry of a checkpoint.
    pub fn restore(&mut self, mut entry: ProducerEntry) {
        // A whole window may have left others behind. One that is not whole may be that of a new epoch, or what came since
        // the snapshot, if that was not loaded either when the checkpoint was written.
        if self.base != Base::Loaded && entry.batches().len() < WINDOW_BATCHES_COUNT {
            entry.set_below(Below::SnapshotOfEpoch);
        }
        self.insert(entry);
    }

    fn insert(&mut self, entry: ProducerEntry) {
        self.changed.insert(entry.id());
        self.entries.insert(entry.id(), Box::new(entry));
    }

    /// What is known of some producers is replaced: by what `known` says of them, or by nothing, for those in `unknown`.
    pub fn replace(&mut self, known: Vec<ProducerEntry>, unknown: &[ProducerId]) {
        let mut replaced: BTreeSet<ProducerId> = known.iter().map(ProducerEntry::id).collect();
        replaced.extend(unknown);
        for id in unknown {
            self.entries.remove(id);
            self.changed.remove(id);
        }
        for entry in known {
            self.insert(entry);
        }
        if self.base != Base::Loaded {
            self.masked.append(&mut replaced);
        } else if !replaced.is_empty() {
            self.forget_snapshot();
        }
    }

    /// Lays the entries of the unloaded snapshot under those in memory. Does nothing when somebody else
    /// was faster.
    pub fn load(&mut self, snapshot: Offset, entries: Vec<ProducerEntry>) {
        if self.base != Base::Unloaded(snapshot) {
            return;
        }
        self.base = Base::Loaded;
        let masked = std::mem::take(&mut self.masked);
        let is_cut = self.base_end.is_some_and(|end| end < snapshot) || !masked.is_empty();
        for mut older in entries {
            let is_gone = self.base_end.is_some_and(|end| !older.rewind_to(end));
            if is_gone || masked.contains(&older.id()) {
                continue;
            }
            match self.entries.get_mut(&older.id()) {
                Some(entry) => entry.join_snapshot(&older),
                None => {
                    self.entries.insert(older.id(), Box::new(older));
                }
            }
        }
        for entry in self.entries.values_mut() {
            entry.snapshot_is_loaded();
        }
        if is_cut {
            self.forget_snapshot();
        }
    }

    /// True while a truncation waits for the snapshot that it reached into: a checkpoint cannot describe
    /// this state before the snapshot is loaded.
    pub fn must_load_before_checkpoint(&self) -> bool {
        let reaches = |snapshot| self.base_end.is_some_and(|end| end < snapshot);
        let unloaded = self.unloaded_snapshot();
        unloaded.is_some_and(|snapshot| reaches(snapshot) || !self.masked.is_empty())
    }

    /// The snapshot holds batches that are gone: from here on everything counts as changed.
    fn forget_snapshot(&mut self) {
        self.snapshot_offset = None;
        self.changed = self.entries.keys().copied().collect();
    }

    /// All that is known up to `offset` is in a durable snapshot now; `kept` are those that changed again
    /// while it was written.
    pub fn snapshot_written(&mut self, offset: Offset) {
        self.snapshot_offset = Some(offset);
        let entries = &self.entries;
        self.changed.retain(|id| {
            entries
                .get(id)
                .and_then(|entry| entry.last())
                .is_some_and(|last| offset <= last.last_offset)
        });
    }

    /// Producers in memory that lose batches when the log ends at `end` (exclusive), as far back as memory knows them
    /// then: see [`ProducerEntry::is_exact`].
    pub fn cut_at(&self, end: Offset) -> Vec<ProducerEntry> {
        let reaches = |entry: &&ProducerEntry| reaches(entry, end);
        let mut cut: Vec<ProducerEntry> = self.entries().filter(reaches).cloned().collect();
        for entry in &mut cut {
            entry.rewind_to(end);
        }
        cut
    }

    /// The log now ends at `end` (exclusive), and `left` is what it still says of the producers that lost batches: of one
    /// that it does not name any more, nothing. Returns how many producers went.
    pub fn truncate_to(&mut self, end: Offset, left: Vec<ProducerEntry>) -> usize {
        let before = self.entries.len();
        let mut cut: BTreeSet<ProducerId> = left.iter().map(ProducerEntry::id).collect();
        self.entries.retain(|id, entry| {
            let is_cut = reaches(entry, end);
            if is_cut {
                cut.insert(*id);
            }
            !is_cut
        });
        for entry in left {
            if entry.last().is_some() {
                self.insert(entry);
            }
        }
        let entries = &self.entries;
        self.changed.retain(|id| entries.contains_key(id));
        let forgotten = before.saturating_sub(self.entries.len());
        if self.base != Base::Loaded {
            self.base_end = Some(self.base_end.map_or(end, |known| known.min(end)));
            self.masked.append(&mut cut);
            return forgotten;
        }
        let is_cut = self.snapshot_offset.is_some_and(|snapshot| end < snapshot);
        // Whoever is unknown now must not come back with a restart as the snapshot knew it, long before.
        if is_cut || 0 < forgotten {
            self.forget_snapshot();
        }
        forgotten
    }

    /// Forgets producers unused since before `cutoff` that have no open transaction. Returns how many.
    pub fn expire(&mut self, cutoff: Timestamp) -> usize {
        let before = self.entries.len();
        self.entries
            .retain(|_, entry| cutoff <= entry.last_used() || entry.transaction_start().is_some());
        if self.entries.len() < before {
            let entries = &self.entries;
            self.changed.retain(|id| entries.contains_key(id));
        }
        before - self.entries.len()
    }
}

/// Whether a log that ends at `end` lacks batches of the producer.
fn reaches(entry: &ProducerEntry, end: Offset) -> bool {
    entry.last().is_some_and(|last| end <= last.last_offset)
}

#[cfg(test)]
mod tests;
