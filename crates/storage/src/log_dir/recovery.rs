//! Opening a log directory: the newest checkpoint, then the journal from there on. No segment, index or partition
//! directory is opened.

use super::cache::FileCache;
use super::changes;
use super::checkpointing::{Checkpoints, Restored, RestoredPartition};
use super::cleaner::Cleaner;
use super::cleaner::swap::{Redo, Replacement};
use super::deletion::Removal;
use super::file_range::ReadShared;
use super::health::Health;
use super::large::{self, LargeFiles};
use super::pins::Pins;
use super::pump::Pump;
use super::retention::Sweep;
use super::scrub::Scrub;
use super::table::Table;
use super::{LogDir, LogDirOptions, OpenError, dir_names, healing, rebuild};

use crate::disk::{Disk, DiskError};
use crate::findings::Findings;
use crate::marker::{Marker, Markers};
use crate::partition::{
    LogConfig, NO_TIMESTAMP, PartitionState, Segment, Standing, Tail, TailBatch, tail_batch,
};
use crate::planted::PlantedBug;
use crate::tail_memory::TailMemory;
use crate::wal::{Damage, EntryHeader, EntryKind, Replayed, ReplayedEntry, Wal};
use bytes::Bytes;
use ottla_records::batches;
use ottla_types::{LeaderEpoch, Lsn, Now, Offset, Timestamp, TopicPartition};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// What a restart means for the replicas in this directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was shut down in order.
    Clean,
    /// Everything that was acknowledged as durable is there.
    Recovered,
    /// Something that was acknowledged may be missing.
    Lossy,
}

/// What recovery found and did.
#[derive(Clone, Debug)]
pub struct RecoveryReport {
    /// What it means.
    pub verdict: Verdict,
    /// Bytes read: checkpoints and journal.
    pub bytes_read: u64,
    /// Journal entries applied.
    pub entries_count: u64,
    /// Partitions that are there now.
    pub partitions_count: usize,
    /// Partitions that lost data, with the reason.
    pub damaged: Vec<(TopicPartition, String)>,
    /// Checkpoints that were damaged and not used, with the part that is bad.
    pub damaged_checkpoints: Vec<(PathBuf, &'static str)>,
    /// The directory was made just now.
    pub is_new: bool,
    /// No checkpoint was valid although there should be one: everything was read.
    pub was_rebuilt: bool,
}

impl LogDir {
    /// Opens the directory that is `disk`'s root, making it when it is empty.
    pub fn open(
        disk: Arc<dyn Disk>,
        options: LogDirOptions,
        now: Now,
    ) -> Result<(LogDir, RecoveryReport), OpenError> {
        let lock = disk
            .lock(Path::new(dir_names::LOCK))
            .map_err(|error| match error {
                DiskError::AlreadyLocked { .. } => OpenError::Locked,
                DiskError::NotFound { .. }
                | DiskError::AlreadyExists { .. }
                | DiskError::Full { .. }
                | DiskError::Refused { .. }
                | DiskError::Io { .. } => OpenError::Disk(error),
            })?;
        let (markers, health) = (Arc::new(Markers::new()), Arc::<Health>::default());
        let (checkpoints, restored) = Checkpoints::open(&disk, &markers)?;
        let mut replay = Replay::new(
            restored,
            &options,
            Arc::clone(&disk),
            Arc::clone(&markers),
            now,
        );
        if replay.restored.is_lost {
            replay.rebuild();
        }
        let start = replay.restored.start;
        let (wal, recovery) = Wal::open(
            Arc::clone(&disk),
            Path::new(dir_names::WAL),
            options.wal,
            Arc::clone(&markers),
            start,
            &mut |replayed| replay.apply(replayed),
        )?;
        if let Some(error) = replay.failure.take() {
            return Err(error);
        }
        disk.sync_dir(Path::new(""))?;
        let large = LargeFiles::open(&*disk, Arc::clone(&health))?;
        large.replayed(&replay.large, wal.durable_lsn());
        replay.finish();
        if !options.planted.is(PlantedBug::SwapNotRedone) {
            let dir_of = |id| replay.partitions.get(&id)?.state.dir.clone();
            if 0 < replay.redo.carry_out(&*disk, dir_of)? {
                markers.reach(Marker::SwapRedone);
            }
        }
        // An unreadable entry is no loss when the segments, or later entries, have what it said.
        let is_lossy = replay.is_unnamed || replay.was_rebuilt || !replay.damaged().is_empty();
        let verdict = if is_lossy {
            Verdict::Lossy
        } else if recovery.is_clean() {
            Verdict::Clean
        } else {
            Verdict::Recovered
        };
        let report = RecoveryReport {
            verdict,
            bytes_read: recovery.bytes_read + replay.restored.bytes_read,
            entries_count: recovery.entries_count,
            partitions_count: replay.partitions.len(),
            damaged: replay.damaged(),
            is_new: recovery.is_new && replay.restored.start.is_none(),
            was_rebuilt: replay.was_rebuilt,
            damaged_checkpoints: std::mem::take(&mut replay.restored.skipped),
        };
        let findings = Arc::<Findings>::default();
        let reads = Arc::new(ReadShared {
            disk: Arc::clone(&disk),
            cache: FileCache::new(options.open_files_max, options.units_bytes_max),
            findings: Arc::clone(&findings),
            health: Arc::clone(&health),
        });
        let dir = LogDir {
            disk,
            wal,
            reads,
            table: RwLock::new(Table::new(Arc::clone(&findings))),
            pins: Mutex::new(Pins::default()),
            pump: Mutex::new(Pump::default()),
            unlinks: Mutex::default(),
            dropping: Mutex::default(),
            removing: Mutex::default(),
            checkpoints: Mutex::new(checkpoints),
            retention: Mutex::new(Sweep::default()),
            scrub: Mutex::new(Scrub::new(now, options.scrub_delay)),
            cleaner: Mutex::new(Cleaner::new(options.cleaner)),
            cleaner_wanted: Mutex::default(),
            cleaner_stats: Mutex::default(),
            swaps: Mutex::default(),
            health,
            findings,
            markers,
            verdict,
            large: Arc::new(large),
            flush_waker: OnceLock::new(),
            tail_memory: TailMemory::new(options.tail_bytes_max / 4 * 5),
            tail_bytes: AtomicUsize::new(0),
            replayed_excess: AtomicUsize::new(0),
            producers_count: AtomicUsize::new(0),
            producer_expiration_ms: AtomicI64::new(options.producer_expiration_ms),
            free_bytes: AtomicU64::new(u64::MAX),
            total_bytes: AtomicU64::new(0),
            options,
            _lock: lock,
        };
        if let Some(positions) = replay.restored.positions {
            // The journal forgets across a restart what the checkpoints still need.
            dir.wal.checkpointed(&positions.newest, &positions.kept);
        }
        dir.take_over(replay);
        Ok((dir, report))
    }

    fn take_over(&self, replay: Replay) {
        let mut table = self.table.write();
        for (id, recovering) in replay.partitions {
            let state = recovering.state;
            self.add_tail_bytes(state.tail.bytes());
            self.count_producers(state.producers.count(), 0);
            let pin = state.pin;
            let slot = table.insert(id, state).slot();
            self.pins.lock().moved(slot, None, pin);
        }
        drop(table);
        let replayed = self.tail_bytes.load(Ordering::Relaxed);
        let excess = replayed.saturating_sub(self.options.tail_bytes_max);
        self.replayed_excess.store(excess, Ordering::Relaxed);
        for (id, dir, lsn) in replay.drops {
            self.pins.lock().hold(lsn);
            let removal = Removal::new(id, Arc::from(dir), lsn, None);
            self.pump.lock().add_removal(removal);
        }
    }
}

/// A partition while its entries are applied.
struct Recovering {
    state: PartitionState,
    /// Entries below it are in the segments: nothing of them is needed.
    tail_lsn: Lsn,
    /// Batches between `tail_lsn` and the checkpoint's `state_lsn`, whose effects the checkpoint has: only their
    /// bytes are missing. They are checked for gaps when they are complete.
    collected: Vec<TailBatch>,
    /// The tail that the checkpoint says exists.
    expected_end: Offset,
    is_settled: bool,
    /// Entries are unreadable, or missing, and nothing has proven yet that they are not needed.
    hole: Option<Hole>,
    /// Entries were lost of which not even the names are known: whether one of this partition was among them shows
    /// when it goes on without a gap, or does not.
    is_suspect: bool,
}

/// Offsets that the journal does not have. A later `Synced` entry may say that they are in a segment.
struct Hole {
    reason: String,
    /// The offset after the last one that is missing, as far as is known.
    end: Offset,
    /// Batches below it have left their traces in the state already: producers, epochs.
    known_end: Offset,
    /// The entries behind it.
    waiting: Vec<ReplayedEntry>,
}

impl Recovering {
    fn new(state: PartitionState) -> Recovering {
        Recovering {
            state,
            tail_lsn: Lsn::ZERO,
            collected: Vec::new(),
            expected_end: Offset::ZERO,
            is_settled: true,
            hole: None,
            is_suspect: false,
        }
    }

    fn of(record: RestoredPartition) -> Recovering {
        Recovering {
            tail_lsn: record.tail_lsn,
            expected_end: record.appended_end,
            is_settled: false,
            ..Recovering::new(record.state)
        }
    }
}

struct Replay {
    restored: Restored,
    partitions: BTreeMap<TopicPartition, Recovering>,
    drops: Vec<(TopicPartition, String, Lsn)>,
    now: Now,
    is_tail_planted: bool,
    was_rebuilt: bool,
    has_entries: bool,
    dropped: BTreeSet<TopicPartition>,
    disk: Arc<dyn Disk>,
    markers: Arc<Markers>,
    /// Entries of which not even the names are known were lost.
    is_unnamed: bool,
    failure: Option<OpenError>,
    /// Compacted segments whose files may not have their names yet.
    redo: Redo,
    /// Files of large batches that entries name, with the last entry that does.
    large: BTreeMap<u64, Lsn>,
}

impl Replay {
    fn new(
        mut restored: Restored,
        options: &LogDirOptions,
        disk: Arc<dyn Disk>,
        markers: Arc<Markers>,
        now: Now,
    ) -> Replay {
        let mut partitions = BTreeMap::new();
        for record in std::mem::take(&mut restored.partitions) {
            partitions.insert(record.id, Recovering::of(record));
        }
        Replay {
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

    /// Reads every segment, because no checkpoint can be used.
    fn rebuild(&mut self) {
        self.was_rebuilt = true;
        match rebuild::rebuild(&*self.disk, self.now) {
            Ok((partitions, bytes_read)) => {
                self.restored.bytes_read += bytes_read;
                for record in partitions {
                    let (id, dir) = (record.id, record.state.dir.clone());
                    let other = self.partitions.insert(id, Recovering::of(record));
                    if let Some(other) = other {
                        let [first, second] = [other.state.dir, dir].map(Option::unwrap_or_default);
                        self.failure = Some(OpenError::Twice { id, first, second });
                    }
                }
            }
            Err(error) => self.failure = Some(error.into()),
        }
    }

    fn apply(&mut self, replayed: Replayed) {
        match replayed {
            Replayed::Entry(entry) if entry.header.kind == EntryKind::Large => {
                self.apply_large(entry);
            }
            Replayed::Entry(entry) => self.apply_entry(&entry),
            Replayed::Damage(Damage::Entry { lsn, header }) => self.lose(lsn, &header),
            Replayed::Damage(Damage::Unnamed { end, .. }) => self.suspect_all(end),
        }
    }

    fn apply_entry(&mut self, entry: &ReplayedEntry) {
        let is_first = !std::mem::replace(&mut self.has_entries, true);
        let has_no_start = self.restored.start.is_none() && !self.was_rebuilt;
        if is_first && has_no_start && Lsn::new(1) < entry.lsn {
            // The journal's beginning was released, so there was a checkpoint, and it is gone.
            self.rebuild();
        }
        let id = entry.header.topic_partition;
        if entry.header.kind == EntryKind::Drop {
            let dir = String::from_utf8_lossy(&entry.body).into_owned();
            return self.drop_partition(id, entry.lsn, dir);
        }
        if self.dropped.contains(&id) {
            return; // a flush that was under way; ids do not come back
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

    /// An entry that names the file of its batch is one that has the batch, or is as unreadable as the file.
    fn apply_large(&mut self, mut entry: ReplayedEntry) {
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
    fn is_batch_needed(&self, entry: &ReplayedEntry) -> bool {
        let id = entry.header.topic_partition;
        let known = self.partitions.get(&id);
        let is_in_segment = known.is_some_and(|recovering| {
            entry.lsn < recovering.tail_lsn
                || entry.header.end_offset <= recovering.state.synced_end
        });
        !is_in_segment && !self.dropped.contains(&id)
    }

    /// An entry behind a hole waits, until one of them proves that what is missing is in a segment, or cut off.
    fn hold_back(&mut self, id: TopicPartition, entry: &ReplayedEntry) {
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

    fn drop_partition(&mut self, id: TopicPartition, lsn: Lsn, dir: String) {
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
    fn lose(&mut self, lsn: Lsn, header: &EntryHeader) {
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
            | EntryKind::Drop => return damage(&mut recovering.state, &reason),
        };
        recovering.tear(end, reason);
    }

    /// The entries `first..end` were lost, and not even their names are known.
    fn suspect_all(&mut self, end: Lsn) {
        self.is_unnamed = true;
        for recovering in self.partitions.values_mut() {
            // A checkpoint that contains them knows what they did; a hole in the tail it knows of shows by itself.
            if recovering.state.state_lsn.next() < end {
                recovering.is_suspect = true;
            }
        }
    }

    fn finish(&mut self) {
        for recovering in self.partitions.values_mut() {
            recovering.settle();
            recovering.give_up();
            let state = &mut recovering.state;
            for segment in &mut state.segments {
                segment.date(self.now.wall);
            }
            state.pin = state.tail.first().map(|batch| batch.lsn);
            if let Err(contradiction) = state.check() {
                // Of one partition only: the others are served.
                state.damage(format!(
                    "what recovery made of it is not sound: {contradiction}"
                ));
            }
        }
    }

    fn damaged(&self) -> Vec<(TopicPartition, String)> {
        self.partitions
            .iter()
            .filter_map(|(id, recovering)| match &recovering.state.standing {
                Standing::Damaged { reason } => Some((*id, reason.clone())),
                Standing::Good | Standing::Dropping | Standing::Dropped => None,
            })
            .collect()
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
        | EntryKind::Drop => now.wall,
    }
}

fn damage(state: &mut PartitionState, reason: &str) {
    state.damage(reason.to_owned());
}

impl Recovering {
    /// Takes the bytes of an entry whose effects the checkpoint has.
    fn collect(&mut self, entry: &ReplayedEntry, now: Now) {
        match entry.header.kind {
            EntryKind::Append | EntryKind::Tail | EntryKind::Large => {
                let base = entry.header.base_offset;
                self.collected.retain(|batch| batch.base_offset < base);
                for view in batches(&entry.body).flatten() {
                    if self.state.synced_end <= view.base_offset() {
                        self.collected.push(tail_batch(
                            &view,
                            &entry.body,
                            entry.lsn,
                            appended_at(entry, now),
                        ));
                    }
                }
            }
            EntryKind::Truncate => {
                let end = entry.header.base_offset;
                self.collected.retain(|batch| batch.last_offset < end);
            }
            EntryKind::Synced | EntryKind::LogStart | EntryKind::Segments | EntryKind::Drop => {}
        }
    }

    /// The checkpoint's state is complete now: what was collected becomes the tail, up to the first hole.
    fn settle(&mut self) {
        if std::mem::replace(&mut self.is_settled, true) {
            return;
        }
        let mut end = self.state.synced_end;
        let mut tail = Tail::empty_at(end);
        for batch in std::mem::take(&mut self.collected) {
            if batch.base_offset != end || self.expected_end <= batch.base_offset {
                break;
            }
            end = batch.last_offset.next();
            tail.push(batch);
        }
        self.state.tail = tail;
        if end < self.expected_end {
            let reason = format!("the journal lost offsets {end}..{}", self.expected_end);
            self.tear(self.expected_end, reason);
        }
        self.recount_segments();
    }

    /// Something is missing up to `end`.
    fn tear(&mut self, end: Offset, reason: String) {
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
    fn opens_hole(&mut self, entry: &ReplayedEntry) -> bool {
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
    fn give_up(&mut self) {
        if let Some(hole) = self.hole.take() {
            damage(&mut self.state, &hole.reason);
            // What was compacted below the loss has its files already.
            for entry in &hole.waiting {
                let is_below = entry.header.end_offset <= self.state.synced_end;
                if is_below && entry.header.argument == changes::SEGMENTS_REPLACED {
                    self.segments(entry);
                }
            }
            let end = self.state.appended_end();
            self.cut_after_damage(end);
        }
        if std::mem::take(&mut self.is_suspect) {
            damage(&mut self.state, "a part of the journal is unreadable");
        }
    }

    /// Batches that the checkpoint knew are gone: so is what they changed.
    fn cut_after_damage(&mut self, end: Offset) {
        let state = &mut self.state;
        state.epochs.truncate_to(end);
        state.producers.truncate_to(end);
        state.segments.retain(|segment| segment.base_offset <= end);
        state.log_start = state.log_start.min(end);
    }

    /// What is beyond the synced size of a segment is what the tail has.
    fn recount_segments(&mut self) {
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

    fn apply(&mut self, entry: &ReplayedEntry, now: Now, is_tail_planted: bool) {
        let header = &entry.header;
        match header.kind {
            // A large one has its batch by now.
            EntryKind::Append | EntryKind::Large => self.append(entry, now),
            EntryKind::Tail => self.replace_tail(entry, now, is_tail_planted),
            EntryKind::Synced => self.synced(header),
            EntryKind::Truncate => {
                let position = header.argument as u32;
                if header.base_offset <= self.state.appended_end() {
                    self.state.truncate_to(header.base_offset, position);
                }
            }
            EntryKind::LogStart => {
                let start = header.base_offset.min(self.state.appended_end());
                self.state.start_from(start);
            }
            EntryKind::Segments => self.segments(entry),
            EntryKind::Drop => {}
        }
    }

    fn append(&mut self, entry: &ReplayedEntry, now: Now) {
        let end = self.state.appended_end();
        let base = entry.header.base_offset;
        if self.state.standing != Standing::Good {
            return; // behind a loss: not reachable without a gap
        }
        if entry.header.end_offset <= self.state.synced_end {
            return; // it was in a synced segment before the journal was durable, and the checkpoint knows it
        }
        if base != end {
            let reason = format!("the journal goes on at offset {base}, the log ends at {end}");
            return damage(&mut self.state, &reason);
        }
        let Some(Ok(view)) = batches(&entry.body).next() else {
            return damage(
                &mut self.state,
                &format!("journal entry {} is no batch", entry.lsn),
            );
        };
        // Nothing of it is missing before this one, unless another leader cut it off and went on.
        self.is_suspect &= view.leader_epoch() != self.state.epochs.latest();
        if self.state.segments.is_empty() {
            self.state.segments.push(Segment::empty(base));
        }
        let batch = tail_batch(&view, &entry.body, entry.lsn, appended_at(entry, now));
        let epoch = view.leader_epoch().unwrap_or(LeaderEpoch::new(0));
        self.state.push_batch(batch, epoch);
        let used = appended_at(entry, now);
        if let Some(producer) = view.producer() {
            let (last, timestamp) = (view.last_offset(), view.max_timestamp());
            let is_transactional = view.is_transactional();
            self.state
                .push_producer(&producer, base, last, timestamp, is_transactional, used);
        }
    }

    /// Puts the bytes of `entry` in place of every live entry from its base on. The effects of the batches are known
    /// already, unless a loss before it is healed by it.
    fn replace_tail(&mut self, entry: &ReplayedEntry, now: Now, is_planted: bool) {
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
                    base_offset: view.base_offset(),
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
    fn put_beside(&mut self, entry: &ReplayedEntry) {
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

    fn synced(&mut self, header: &EntryHeader) {
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

    fn segments(&mut self, entry: &ReplayedEntry) {
        let (base, state) = (entry.header.base_offset, &mut self.state);
        if entry.header.argument == changes::SEGMENT_ADDED {
            if state.dir.is_none() && !entry.body.is_empty() {
                state.dir = Some(Arc::from(String::from_utf8_lossy(&entry.body)));
            }
            let is_next = base == state.appended_end()
                && state
                    .segments
                    .last()
                    .is_none_or(|last| last.base_offset < base);
            if is_next {
                state.segments.push(Segment::empty(base));
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
