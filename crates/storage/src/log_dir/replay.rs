//! The journal's entries on their way to the partitions: which one each is for, and what a lost one means.

use super::changes;
use super::checkpointing::Restored;
use super::cleaner::swap::Redo;
use super::file_history::FileHistories;
use super::recovering::Recovering;
use super::{LogDirOptions, OpenError, healing, large, rebuild};
use crate::disk::Disk;
use crate::marker::{Marker, Markers};
use crate::partition::{LogConfig, PartitionState};
use crate::planted::PlantedBug;
use crate::wal::{Damage, EntryHeader, EntryKind, Replayed, ReplayedEntry};
use bytes::Bytes;
use ottla_types::{Lsn, Now, TopicPartition};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) struct Replay {
    pub(super) restored: Restored,
    pub(super) partitions: BTreeMap<TopicPartition, Recovering>,
    pub(super) drops: Vec<(TopicPartition, String, Lsn)>,
    pub(super) now: Now,
    pub(super) is_tail_planted: bool,
    pub(super) was_rebuilt: bool,
    /// No checkpoint can be used: the journal is read for what it says of files, before these are.
    ahead: Option<FileHistories>,
    pub(super) has_entries: bool,
    pub(super) dropped: BTreeSet<TopicPartition>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) markers: Arc<Markers>,
    /// Entries of which not even the names are known were lost.
    pub(super) is_unnamed: bool,
    pub(super) failure: Option<OpenError>,
    /// Compacted segments whose files may not have their names yet.
    pub(super) redo: Redo,
    /// Files of large batches that entries name, with the last entry that does.
    pub(super) large: BTreeMap<u64, Lsn>,
}

impl Replay {
    pub(super) fn new(
        mut restored: Restored,
        options: &LogDirOptions,
        disk: Arc<dyn Disk>,
        markers: Arc<Markers>,
        now: Now,
    ) -> Replay {
        let mut partitions = BTreeMap::new();
        // Of a partition that was dropped and begun again while the checkpoint was written, the last record counts.
        for record in std::mem::take(&mut restored.partitions) {
            partitions.insert(record.id, Recovering::of(record));
        }
        Replay {
            ahead: restored.is_lost.then(FileHistories::default),
            restored,
            partitions,
            drops: Vec::new(),
            now,
            is_tail_planted: options.planted.is(PlantedBug::TailBesideEntries),
            was_rebuilt: false,
            has_entries: false,
            dropped: BTreeSet::new(),
            disk,
            markers,
            is_unnamed: false,
            failure: None,
            redo: Redo::default(),
            large: BTreeMap::new(),
        }
    }

    /// If no checkpoint can be used: reads every segment. Called when the journal was gone through, and is to be gone
    /// through again if it returns true.
    pub(super) fn rebuild(&mut self) -> Result<bool, OpenError> {
        let Some(histories) = self.ahead.take() else {
            return Ok(false);
        };
        self.was_rebuilt = true;
        let directories = rebuild::directories(&*self.disk)?;
        let mut dirs = BTreeMap::new();
        for (id, dir) in &directories {
            if let Some(first) = dirs.insert(*id, Arc::clone(dir)) {
                let second = Arc::clone(dir);
                return Err(OpenError::Twice {
                    id: *id,
                    first,
                    second,
                });
            }
        }
        // The files that are to be read, not those that were to go.
        let redone = histories
            .redo
            .carry_out(&*self.disk, |id| dirs.get(&id).cloned())?;
        if 0 < redone {
            self.markers.reach(Marker::SwapRedone);
        }
        let (partitions, bytes_read) =
            rebuild::rebuild(&*self.disk, &directories, &histories, self.now)?;
        self.restored.bytes_read += bytes_read;
        for rebuilt in partitions {
            let id = rebuilt.record.id;
            self.partitions.insert(id, Recovering::rebuilt(rebuilt));
        }
        Ok(true)
    }

    pub(super) fn apply(&mut self, replayed: Replayed) {
        if let Replayed::Entry(entry) = &replayed {
            self.find_lost_beginning(entry.lsn);
        }
        if let Some(histories) = &mut self.ahead {
            if let Replayed::Entry(entry) = &replayed {
                histories.note(entry);
            }
            return;
        }
        match replayed {
            Replayed::Entry(entry) if entry.header.kind == EntryKind::Large => {
                self.apply_large(entry);
            }
            Replayed::Entry(entry) => self.apply_entry(&entry),
            Replayed::Damage(Damage::Entry { lsn, header }) => self.lose(lsn, &header),
            Replayed::Damage(Damage::Unnamed { end, .. }) => self.suspect_all(end),
        }
    }

    /// A journal whose beginning was released had a checkpoint, and without one the files are read first.
    fn find_lost_beginning(&mut self, lsn: Lsn) {
        let is_first = !std::mem::replace(&mut self.has_entries, true);
        let has_no_start = self.restored.start.is_none() && !self.was_rebuilt;
        if is_first && has_no_start && Lsn::new(1) < lsn {
            self.ahead = Some(FileHistories::default());
        }
    }

    pub(super) fn apply_entry(&mut self, entry: &ReplayedEntry) {
        let id = entry.header.topic_partition;
        if self.is_of_earlier_log(id, entry.lsn) {
            return;
        }
        if entry.header.kind == EntryKind::Drop {
            let dir = String::from_utf8_lossy(&entry.body).into_owned();
            return self.drop_partition(id, entry.lsn, dir);
        }
        self.begin(entry.lsn, &entry.header, changes::directory(entry));
        if self.dropped.contains(&id) {
            return; // a flush that was under way
        }
        self.redo.note(entry);
        let recovering = self
            .partitions
            .entry(id)
            .or_insert_with(|| Recovering::new(PartitionState::new(LogConfig::default())));
        if entry.lsn < recovering.tail_lsn {
            return;
        }
        if entry.lsn <= recovering.state.state_lsn && !recovering.is_settled {
            recovering.collect(entry, self.now);
            return;
        }
        if entry.lsn <= recovering.state.state_lsn {
            return; // applied before
        }
        recovering.settle();
        if recovering.opens_hole(entry) || recovering.hole.is_some() {
            return self.hold_back(id, entry);
        }
        recovering.apply(entry, self.now, self.is_tail_planted);
        recovering.state.state_lsn = entry.lsn;
    }

    /// Whether the entry is of a log that was dropped before the one began that a checkpoint, or files, told of.
    fn is_of_earlier_log(&self, id: TopicPartition, lsn: Lsn) -> bool {
        let known = self.partitions.get(&id);
        known.is_some_and(|recovering| lsn < recovering.state.begun_lsn)
    }

    /// If the entry is one with which a log begins: whatever was known of its partition is of an earlier one, and so is
    /// its drop, which has nothing to remove any more.
    fn begin(&mut self, lsn: Lsn, header: &EntryHeader, dir: Option<Arc<str>>) {
        let id = header.topic_partition;
        let Some(start) = changes::beginning(header) else {
            return;
        };
        let known = self.partitions.get(&id);
        let is_known = known.is_some_and(|recovering| lsn <= recovering.state.begun_lsn);
        if is_known || header.kind != EntryKind::Begin && !self.dropped.contains(&id) {
            return;
        }
        self.dropped.remove(&id);
        self.drops.retain(|(dropped, ..)| *dropped != id);
        self.redo.forget(id);
        let mut state = PartitionState::begun_at(LogConfig::default(), start, lsn);
        // The entry itself is still to be applied.
        state.state_lsn = Lsn::ZERO;
        state.dir = dir;
        state.is_future = changes::begins_future(header);
        self.partitions.insert(id, Recovering::new(state));
    }

    /// An entry that names the file of its batch is one that has the batch, or is as unreadable as the file.
    pub(super) fn apply_large(&mut self, mut entry: ReplayedEntry) {
        if let Some(number) = large::named_by(&entry) {
            self.large.insert(number, entry.lsn);
        }
        let is_needed = self.is_batch_needed(&entry);
        entry.header.kind = EntryKind::Append;
        if !is_needed {
            // Only what it says of the log counts; the file may be gone.
            entry.body = Bytes::new();
            return self.apply_entry(&entry);
        }
        match large::read(&*self.disk, &entry) {
            Ok(Some(bytes)) => {
                self.markers.reach(Marker::LargeBatchReplayed);
                self.restored.bytes_read += bytes.len() as u64;
                entry.body = bytes;
                self.apply_entry(&entry);
            }
            Ok(None) => self.lose(entry.lsn, &entry.header),
            Err(error) => self.failure = Some(error.into()),
        }
    }

    /// Whether the bytes of a replayed batch are anything but those of a segment, or of a partition that is gone.
    pub(super) fn is_batch_needed(&self, entry: &ReplayedEntry) -> bool {
        let id = entry.header.topic_partition;
        let known = self.partitions.get(&id);
        let is_in_segment = known.is_some_and(|recovering| {
            entry.lsn < recovering.tail_lsn
                || entry.header.end_offset <= recovering.state.synced_end
        });
        !is_in_segment && !self.dropped.contains(&id) && !self.is_of_earlier_log(id, entry.lsn)
    }

    /// An entry behind a hole waits, until one of them proves that what is missing is in a segment, or cut off.
    pub(super) fn hold_back(&mut self, id: TopicPartition, entry: &ReplayedEntry) {
        let recovering = self.partitions.get_mut(&id).expect("its hole was found");
        let hole = recovering.hole.as_mut().expect("there is one");
        let header = &entry.header;
        let is_cut_off = header.kind == EntryKind::Truncate
            && header.base_offset <= recovering.state.appended_end();
        hole.waiting.push(entry.clone());
        if is_cut_off {
            // What was appended in between is gone as well.
            let hole = recovering.hole.take().expect("there is one");
            let stays = |it: &&ReplayedEntry| {
                !matches!(it.header.kind, EntryKind::Append | EntryKind::Tail)
            };
            for entry in hole.waiting.iter().filter(stays) {
                recovering.apply(entry, self.now, self.is_tail_planted);
                recovering.state.state_lsn = entry.lsn;
            }
            return;
        }
        if header.kind != EntryKind::Synced || header.end_offset < hole.end {
            return;
        }
        let known_end = hole.known_end;
        let healed = healing::read_from_segments(
            &*self.disk,
            id,
            &mut recovering.state,
            header,
            known_end,
            self.now,
        );
        match healed {
            Ok(Some(bytes_read)) => {
                self.restored.bytes_read += bytes_read;
                self.markers.reach(Marker::LossHealed);
                recovering.is_suspect = false;
                let hole = recovering.hole.take().expect("there is one");
                for entry in &hole.waiting {
                    self.apply_entry(entry);
                }
            }
            // Not in these files, or not any more: a later entry may prove it.
            Ok(None) => {}
            Err(error) => self.failure = Some(error.into()),
        }
    }

    pub(super) fn drop_partition(&mut self, id: TopicPartition, lsn: Lsn, dir: String) {
        self.dropped.insert(id);
        let known = self.partitions.remove(&id);
        let dir = match known.and_then(|known| known.state.dir) {
            Some(known) if dir.is_empty() => known.to_string(),
            Some(_) | None => dir,
        };
        if !dir.is_empty() {
            self.drops.push((id, dir, lsn));
        }
    }

    /// An entry that had been acknowledged is unreadable.
    pub(super) fn lose(&mut self, lsn: Lsn, header: &EntryHeader) {
        if self.is_of_earlier_log(header.topic_partition, lsn) {
            return;
        }
        // The name of its directory comes with the first segment.
        self.begin(lsn, header, None);
        if header.kind == EntryKind::Begin {
            return;
        }
        if header.kind == EntryKind::Drop {
            // Its body only names the directory; that it was dropped is known.
            return self.drop_partition(header.topic_partition, lsn, String::new());
        }
        if self.dropped.contains(&header.topic_partition) {
            return;
        }
        let recovering = self
            .partitions
            .entry(header.topic_partition)
            // Not known from anywhere else: it comes back empty, and says why unless a segment has its records.
            .or_insert_with(|| Recovering::new(PartitionState::new(LogConfig::default())));
        let is_in_segment = header.end_offset <= recovering.state.synced_end;
        let is_batches = matches!(
            header.kind,
            EntryKind::Append | EntryKind::Tail | EntryKind::Large
        );
        let is_known = lsn <= recovering.state.state_lsn;
        if lsn < recovering.tail_lsn || is_known && !is_batches {
            return; // the checkpoint knows what it said
        }
        if is_batches && is_in_segment || header.kind == EntryKind::Synced {
            return; // nothing that is not in the files as well
        }
        if is_known {
            return; // a hole in the collected tail, found when it is settled
        }
        recovering.settle();
        let reason = format!("journal entry {lsn} ({:?}) is unreadable", header.kind);
        let end = match header.kind {
            EntryKind::Append | EntryKind::Tail | EntryKind::Large => header.end_offset,
            // Files tell which segments there are; the name of their directory is written in it.
            EntryKind::Segments if header.argument == changes::SEGMENT_ADDED => header.base_offset,
            EntryKind::Synced
            | EntryKind::Truncate
            | EntryKind::LogStart
            | EntryKind::Segments
            | EntryKind::Drop
            | EntryKind::Begin
            | EntryKind::Remember
            | EntryKind::Promote => return recovering.state.damage(reason),
        };
        recovering.tear(end, reason);
    }

    /// The entries `first..end` were lost, and not even their names are known.
    pub(super) fn suspect_all(&mut self, end: Lsn) {
        self.is_unnamed = true;
        for recovering in self.partitions.values_mut() {
            // A checkpoint that contains them knows what they did; a hole in the tail it knows of shows by itself.
            if recovering.state.state_lsn.next() < end {
                recovering.is_suspect = true;
            }
        }
    }

    pub(super) fn finish(&mut self) {
        for recovering in self.partitions.values_mut() {
            recovering.settle();
            recovering.give_up();
            let state = &mut recovering.state;
            for segment in &mut state.segments {
                segment.date(self.now.wall);
            }
            // All that a replay counts as written is synced; offsets between the two were left out, or removed.
            state.synced_end = state.written_end();
            state.pin = state.tail.first().map(|batch| batch.lsn);
            if let Err(contradiction) = state.check() {
                // Of one partition only: the others are served.
                state.damage(format!(
                    "what recovery made of it is not sound: {contradiction}"
                ));
            }
        }
    }

    pub(super) fn damaged(&self) -> Vec<(TopicPartition, String)> {
        self.partitions
            .iter()
            .filter_map(|(id, recovering)| Some((*id, recovering.state.lost()?.clone())))
            .collect()
    }
}
