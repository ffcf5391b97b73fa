//! One partition while the journal's entries are applied to it.

use super::changes::{self, CutFacts};
use super::checkpointing::RestoredPartition;
use super::cleaner::swap::Replacement;
use super::rebuild::{Cuts, Promise, Rebuilt};
use super::remembered::News;
use crate::partition::{
    Cut, NO_TIMESTAMP, PartitionState, Segment, Standing, Tail, TailBatch, tail_batch,
};
use crate::producer_state::ProducerEntry;
use crate::wal::{EntryHeader, EntryKind, ReplayedEntry};
use bytes::Bytes;
use ottla_records::batches;
use ottla_types::{LeaderEpoch, Lsn, Now, Offset, Timestamp};
use std::collections::BTreeSet;

/// A partition while its entries are applied.
pub(super) struct Recovering {
    pub(super) state: PartitionState,
    /// Entries below it are in the segments: nothing of them is needed.
    pub(super) tail_lsn: Lsn,
    /// Batches between `tail_lsn` and the checkpoint's `state_lsn`, whose effects the checkpoint has: only their
    /// bytes are missing. They are checked for gaps when they are complete.
    collected: Vec<Stretch>,
    /// The tail that the checkpoint says exists.
    pub(super) expected_end: Offset,
    pub(super) is_settled: bool,
    /// Entries are unreadable, or missing, and nothing has proven yet that they are not needed.
    pub(super) hole: Option<Hole>,
    /// Entries were lost of which not even the names are known: whether one of this partition was among them shows
    /// when it goes on without a gap, or does not.
    pub(super) is_suspect: bool,
    /// It was read from its files, of which the journal's entries speak as they were before.
    is_rebuilt: bool,
    /// What the journal has to bring, or it is lost.
    promise: Option<Promise>,
    /// Where truncations lie in the files as they are now.
    cuts: Cuts,
}

/// A part of the tail as one entry has it.
struct Stretch {
    /// Where the log ended before.
    from: Offset,
    /// Where it ended then.
    to: Offset,
    /// What lies in it, at its end; nothing where offsets were left out, or cut off.
    batch: Option<TailBatch>,
}

/// Offsets that the journal does not have. A later `Synced` entry may say that they are in a segment.
pub(super) struct Hole {
    pub(super) reason: String,
    /// The offset after the last one that is missing, as far as is known.
    pub(super) end: Offset,
    /// Batches below it have left their traces in the state already: producers, epochs.
    pub(super) known_end: Offset,
    /// The entries behind it.
    pub(super) waiting: Vec<ReplayedEntry>,
}

impl Recovering {
    pub(super) fn new(state: PartitionState) -> Recovering {
        Recovering {
            state,
            tail_lsn: Lsn::ZERO,
            collected: Vec::new(),
            expected_end: Offset::ZERO,
            is_settled: true,
            hole: None,
            is_suspect: false,
            is_rebuilt: false,
            promise: None,
            cuts: Cuts::default(),
        }
    }

    pub(super) fn of(record: RestoredPartition) -> Recovering {
        Recovering {
            tail_lsn: record.tail_lsn,
            expected_end: record.appended_end,
            is_settled: false,
            ..Recovering::new(record.state)
        }
    }

    pub(super) fn rebuilt(rebuilt: Rebuilt) -> Recovering {
        Recovering {
            is_rebuilt: true,
            promise: rebuilt.promise,
            cuts: rebuilt.cuts,
            ..Recovering::of(rebuilt.record)
        }
    }

    /// Takes the bytes of an entry whose effects the checkpoint has.
    pub(super) fn collect(&mut self, entry: &ReplayedEntry, now: Now) {
        match entry.header.kind {
            EntryKind::Append | EntryKind::Tail | EntryKind::Large => {
                let mut from = entry.header.base_offset;
                self.cut_collected(from);
                let at = appended_at(entry, now);
                for view in batches(&entry.body).flatten() {
                    let to = view.last_offset().next();
                    if self.state.synced_end <= view.base_offset() {
                        let batch = tail_batch(&view, &entry.body, entry.lsn, at);
                        self.collect_stretch(from, to, Some(batch));
                    }
                    from = to;
                }
                // A rewritten tail may end with offsets that were left out.
                self.collect_stretch(from, entry.header.end_offset, None);
            }
            EntryKind::Segments if entry.header.argument == changes::SEGMENT_BEYOND => {
                let (from, to) = (entry.header.end_offset, entry.header.base_offset);
                self.collect_stretch(from, to, None);
            }
            EntryKind::Truncate => self.cut_collected(entry.header.base_offset),
            EntryKind::Synced
            | EntryKind::LogStart
            | EntryKind::Segments
            | EntryKind::Drop
            | EntryKind::Begin
            | EntryKind::Remember
            | EntryKind::Promote => {}
        }
    }

    fn collect_stretch(&mut self, from: Offset, to: Offset, batch: Option<TailBatch>) {
        let from = from.max(self.state.synced_end);
        if from < to {
            self.collected.push(Stretch { from, to, batch });
        }
    }

    /// What was collected ends at `end` now; of a batch nothing is left that does not end there.
    fn cut_collected(&mut self, end: Offset) {
        self.collected.retain(|stretch| stretch.from < end);
        if let Some(last) = self.collected.last_mut().filter(|last| end < last.to) {
            let batch = last.batch.take();
            last.to = batch.map_or(end, |batch| batch.base_offset.min(end));
        }
    }

    /// The checkpoint's state is complete now: what was collected becomes the tail, up to the first hole.
    pub(super) fn settle(&mut self) {
        if std::mem::replace(&mut self.is_settled, true) {
            return;
        }
        // A cut that the checkpoint knew may lie in what was left out before a batch: then that is gone.
        self.cut_collected(self.expected_end);
        let mut end = self.state.synced_end;
        let mut tail = Tail::empty_at(end);
        for stretch in std::mem::take(&mut self.collected) {
            if stretch.from != end || self.expected_end <= end {
                break;
            }
            end = stretch.to;
            match stretch.batch {
                Some(batch) => tail.push(batch),
                None => tail.skip_to(end),
            }
        }
        if tail.first().is_none() {
            self.state.synced_end = end; // there is nothing between
        }
        self.state.tail = tail;
        if end < self.expected_end {
            let reason = format!("the journal lost offsets {end}..{}", self.expected_end);
            self.tear(self.expected_end, reason);
        }
        self.recount_segments();
    }

    /// Something is missing up to `end`.
    pub(super) fn tear(&mut self, end: Offset, reason: String) {
        if self.state.standing != Standing::Good {
            // Nothing heals it, so it ends here, again earlier than it said.
            return self.cut_after_damage(self.state.appended_end());
        }
        let known_end = self.state.appended_end().max(self.expected_end);
        let hole = self.hole.get_or_insert_with(|| Hole {
            reason,
            end,
            known_end,
            waiting: Vec::new(),
        });
        hole.end = hole.end.max(end);
    }

    /// An append that leaves a gap: what belongs there was lost.
    pub(super) fn opens_hole(&mut self, entry: &ReplayedEntry) -> bool {
        let (base, end) = (entry.header.base_offset, self.state.appended_end());
        let is_batches = matches!(entry.header.kind, EntryKind::Append | EntryKind::Tail);
        let is_needed = self.state.synced_end < entry.header.end_offset;
        if !is_batches || base <= end || !is_needed || self.state.standing != Standing::Good {
            return false;
        }
        let reason = format!("the journal goes on at offset {base}, the log ends at {end}");
        self.tear(base, reason);
        true
    }

    /// The journal is over: what is still missing is lost.
    pub(super) fn give_up(&mut self) {
        if let Some(hole) = self.hole.take() {
            damage(&mut self.state, &hole.reason);
            // What was compacted below the loss has its files already.
            for entry in &hole.waiting {
                let is_below = entry.header.end_offset <= self.state.synced_end;
                if is_below
                    && !self.is_rebuilt
                    && entry.header.argument == changes::SEGMENTS_REPLACED
                {
                    self.segments(entry);
                }
            }
            let end = self.state.appended_end();
            self.cut_after_damage(end);
        }
        if let Some(promise) = self.promise.take() {
            let (end, reason) = (self.state.appended_end(), promise.reason);
            if end < promise.end {
                let lost = format!("{reason}, and offsets {end}..{} are lost", promise.end);
                self.state.damage(lost);
            }
        }
        if std::mem::take(&mut self.is_suspect) {
            damage(&mut self.state, "a part of the journal is unreadable");
        }
    }

    /// Batches that the checkpoint knew are gone: so is what they changed.
    pub(super) fn cut_after_damage(&mut self, end: Offset) {
        let state = &mut self.state;
        state.epochs.truncate_to(end);
        let left = state.producers.cut_at(end);
        state.producers.truncate_to(end, left);
        state.segments.retain(|segment| segment.base_offset <= end);
        state.log_start = state.log_start.min(end);
    }

    /// What is beyond the synced size of a segment is what the tail has.
    pub(super) fn recount_segments(&mut self) {
        let state = &mut self.state;
        for segment in &mut state.segments {
            segment.written_size = segment.synced_size;
            segment.size = segment.synced_size;
        }
        for batch in state.tail.batches() {
            let above = state
                .segments
                .partition_point(|segment| segment.base_offset <= batch.base_offset);
            if above == 0 {
                state.segments.insert(0, Segment::empty(batch.base_offset));
            }
            let (size, timestamp) = (batch.bytes.len(), batch.max_timestamp);
            state.segments[above.max(1) - 1].push(size, timestamp, batch.appended_at);
        }
    }

    pub(super) fn apply(&mut self, entry: &ReplayedEntry, now: Now, is_tail_planted: bool) {
        let header = &entry.header;
        match header.kind {
            // A large one has its batch by now.
            EntryKind::Append | EntryKind::Large => self.append(entry, now),
            EntryKind::Tail => self.replace_tail(entry, now, is_tail_planted),
            // What is in the files was found by reading them.
            EntryKind::Synced if self.is_rebuilt => {}
            EntryKind::Segments
                if self.is_rebuilt && header.argument == changes::SEGMENTS_REPLACED => {}
            EntryKind::Synced => self.synced(header),
            EntryKind::Truncate => {
                let facts = CutFacts::decode(&entry.body);
                let told = (header.argument as u32, facts.largest_timestamp);
                let known = self.cuts.get(&header.base_offset).copied();
                let (position, largest_timestamp) = known.unwrap_or(told);
                if let Some(promise) = &mut self.promise {
                    promise.end = promise.end.min(header.base_offset);
                }
                if header.base_offset <= self.state.appended_end() {
                    let cut = Cut {
                        end: header.base_offset,
                        position,
                        largest_timestamp,
                    };
                    let producers = self.left_of_producers(cut.end, facts.producers);
                    self.state.truncate_to(cut, producers);
                }
            }
            EntryKind::LogStart => {
                let start = header.base_offset.min(self.state.appended_end());
                self.state.start_from(start);
            }
            EntryKind::Segments => self.segments(entry),
            EntryKind::Promote => self.state.is_future = false,
            // The partition begins and ends with them.
            EntryKind::Begin | EntryKind::Drop => {}
            EntryKind::Remember => match News::decode(&entry.body) {
                Some(news) if self.is_rebuilt => news.learn_older(&mut self.state),
                Some(news) => news.learn(&mut self.state),
                None => damage(&mut self.state, "what a copy was told is unreadable"),
            },
        }
    }

    /// What a cut at `end` leaves of the producers that lose batches: what its entry `told`, and else what is known here.
    /// That is of one that was forgotten when the log was cut, or an older release cut it.
    fn left_of_producers(&self, end: Offset, told: Vec<ProducerEntry>) -> Vec<ProducerEntry> {
        let ids: BTreeSet<_> = told.iter().map(ProducerEntry::id).collect();
        let mut left = told;
        let known = self.state.producers.cut_at(end).into_iter();
        left.extend(known.filter(|it| it.is_exact() && !ids.contains(&it.id())));
        left
    }

    pub(super) fn append(&mut self, entry: &ReplayedEntry, now: Now) {
        let end = self.state.appended_end();
        let from = entry.header.base_offset;
        if self.state.standing != Standing::Good {
            return; // behind a loss: not reachable without a gap
        }
        if entry.header.end_offset <= self.state.synced_end {
            return; // it was in a synced segment before the journal was durable, and the checkpoint knows it
        }
        // Below it where the checkpoint knew that offsets were left out.
        if end < from {
            let reason = format!("the journal goes on at offset {from}, the log ends at {end}");
            return self.state.damage(reason);
        }
        let view = batches(&entry.body).next().and_then(Result::ok);
        let Some(view) = view.filter(|view| end <= view.base_offset()) else {
            return damage(
                &mut self.state,
                &format!("journal entry {} is no batch", entry.lsn),
            );
        };
        // Nothing of it is missing before this one, unless another leader cut it off and went on.
        self.is_suspect &= view.leader_epoch() != self.state.epochs.latest();
        if self.state.segments.is_empty() {
            self.state.segments.push(Segment::empty(from));
        }
        let batch = tail_batch(&view, &entry.body, entry.lsn, appended_at(entry, now));
        let epoch = view.leader_epoch().unwrap_or(LeaderEpoch::new(0));
        self.state.push_batch(batch, epoch);
        let used = appended_at(entry, now);
        if let Some(producer) = view.producer() {
            let (base, last) = (view.base_offset(), view.last_offset());
            let timestamp = view.max_timestamp();
            let is_transactional = view.is_transactional();
            self.state
                .push_producer(&producer, base, last, timestamp, is_transactional, used);
        }
    }

    /// Puts the bytes of `entry` in place of every live entry from its base on. The effects of the batches are known
    /// already, unless a loss before it is healed by it.
    pub(super) fn replace_tail(&mut self, entry: &ReplayedEntry, now: Now, is_planted: bool) {
        let (base, end) = (entry.header.base_offset, self.state.appended_end());
        if entry.header.end_offset <= self.state.synced_end {
            return;
        }
        if end < base || self.state.standing != Standing::Good {
            return damage(&mut self.state, "a rewritten tail lies behind a loss");
        }
        if is_planted {
            return self.put_beside(entry);
        }
        if entry.header.end_offset < end {
            return damage(
                &mut self.state,
                "a rewritten tail is shorter than what it replaces",
            );
        }
        for view in batches(&entry.body).flatten() {
            if view.base_offset() < end {
                continue;
            }
            let single = ReplayedEntry {
                header: EntryHeader {
                    base_offset: self.state.appended_end(),
                    end_offset: view.last_offset().next(),
                    argument: now.wall.as_millis() as u64,
                    ..entry.header
                },
                body: entry.body.slice_ref(view.bytes()),
                ..entry.clone()
            };
            self.append(&single, now);
        }
        self.state.tail.moved_to(entry.lsn, entry.header.end_offset);
    }

    /// The planted bug: the batches are there twice afterwards.
    pub(super) fn put_beside(&mut self, entry: &ReplayedEntry) {
        for view in batches(&entry.body).flatten() {
            let mut bytes = view.bytes().to_vec();
            let epoch = view.leader_epoch().unwrap_or(LeaderEpoch::new(0));
            ottla_records::stamp(&mut bytes, self.state.appended_end(), epoch);
            let bytes = Bytes::from(bytes);
            let again = batches(&bytes)
                .flatten()
                .next()
                .expect("it was a batch before");
            let batch = tail_batch(&again, &bytes, entry.lsn, NO_TIMESTAMP);
            self.state.push_batch(batch, epoch);
        }
    }

    pub(super) fn synced(&mut self, header: &EntryHeader) {
        let state = &mut self.state;
        let Some(index) = state.segment_index(header.base_offset) else {
            return;
        };
        if state.segments[index].base_offset != header.base_offset {
            return; // of a segment that a truncation removed
        }
        let end = header.end_offset.min(state.appended_end());
        let position = header.argument as u32;
        if end < header.end_offset || end < state.synced_end {
            return;
        }
        if state.segments[index].size < position {
            return damage(state, "a segment was synced beyond its end");
        }
        state.tail.drop_below(end);
        state.synced_end = end;
        // Segments are synced in order: those before it were, also when what said so is unreadable.
        for segment in &mut state.segments[..index] {
            segment.written_size = segment.size;
            segment.synced_size = segment.size;
            segment.written_largest_timestamp = segment.largest_timestamp;
        }
        let segment = &mut state.segments[index];
        segment.written_size = segment.written_size.max(position);
        segment.synced_size = segment.written_size;
        segment.written_largest_timestamp = segment.largest_timestamp;
        state.has_dir = true;
    }

    pub(super) fn segments(&mut self, entry: &ReplayedEntry) {
        let (base, state) = (entry.header.base_offset, &mut self.state);
        let argument = entry.header.argument;
        if argument == changes::SEGMENT_ADDED || argument == changes::SEGMENT_BEYOND {
            let ended = match argument {
                changes::SEGMENT_BEYOND => entry.header.end_offset,
                _ => base,
            };
            state.dir = state.dir.take().or_else(|| changes::directory(entry));
            let is_next = ended == state.appended_end()
                && state
                    .segments
                    .last()
                    .is_none_or(|last| last.base_offset < base);
            if is_next {
                state.roll(base);
            }
        } else if entry.header.argument == changes::SEGMENT_SPLIT {
            state.split_segment(base);
        } else if entry.header.argument == changes::SEGMENTS_REMOVED {
            let end = entry.header.end_offset;
            // They were synced; a partition that lost the entry that said so still has them in its tail.
            let end_here = end.min(state.appended_end());
            if state.written_end() < end_here {
                state.tail.drop_below(end_here);
            }
            state
                .segments
                .retain(|segment| segment.base_offset < base || end <= segment.base_offset);
            // Said before, unless that entry is unreadable.
            state.start_from(end_here);
        } else if entry.header.argument == changes::SEGMENTS_REPLACED {
            let is_there = entry.header.end_offset <= state.appended_end();
            match Replacement::decode(&entry.body).filter(|_| is_there) {
                Some(replacement) => replacement.redo(state, &entry.header),
                None => damage(state, "compacted segments lie behind a loss"),
            }
        }
    }
}

/// When the batches of an entry were appended. A rewritten tail does not say: no later than now.
fn appended_at(entry: &ReplayedEntry, now: Now) -> Timestamp {
    match entry.header.kind {
        EntryKind::Append | EntryKind::Large => {
            Timestamp::from_millis(entry.header.argument as i64).min(now.wall)
        }
        EntryKind::Tail
        | EntryKind::Synced
        | EntryKind::Truncate
        | EntryKind::LogStart
        | EntryKind::Segments
        | EntryKind::Drop
        | EntryKind::Begin
        | EntryKind::Remember
        | EntryKind::Promote => now.wall,
    }
}

fn damage(state: &mut PartitionState, reason: &str) {
    state.damage(reason.to_owned());
}
