//! One partition's log in memory: its ends, its tail, its segments, and what its batches changed.

mod config;
mod ends;
mod segment;
mod tail;

pub use config::{Durability, LogConfig};
pub use ends::Ends;

pub(crate) use ends::PendingAppends;
pub(crate) use segment::{Cut, NO_TIMESTAMP, PendingSwap, Segment};
pub(crate) use tail::{BATCH_OVERHEAD, Tail, TailBatch};

use crate::findings::Findings;
use crate::leader_epochs::LeaderEpochs;
use crate::producer_state::{ProducedBatch, ProducerState};
use crate::segment::{SegmentFile, names};
use bytes::Bytes;
use ottla_records::{BatchView, ProducerBatch};
use ottla_types::{LeaderEpoch, Lsn, Mono, Offset, PartitionSlot, Timestamp, TopicPartition};
use parking_lot::{Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// A write below this many bytes goes through the page cache in any case: it is cheaper, and the device is not kept
/// busy with small writes.
const UNCACHED_SIZE_MIN: usize = 256 << 10;
/// After a read from a file so many writes of the partition go through the page cache: the reader is behind and
/// will come for them too.
const CACHED_WRITES: u8 = 16;

/// A partition of a log directory. Its lock is held for microseconds and never across a system call.
pub(crate) struct Partition {
    slot: PartitionSlot,
    id: TopicPartition,
    /// What the leader says is on enough replicas; -1 while nobody has said anything.
    high_watermark: AtomicI64,
    state: Mutex<PartitionState>,
}

impl Partition {
    /// A partition with this state.
    pub(crate) fn new(slot: PartitionSlot, id: TopicPartition, state: PartitionState) -> Partition {
        Partition {
            slot,
            id,
            high_watermark: AtomicI64::new(-1),
            state: Mutex::new(state),
        }
    }

    /// Its number in this process.
    pub(crate) fn slot(&self) -> PartitionSlot {
        self.slot
    }

    /// Its name for ever.
    pub(crate) fn id(&self) -> TopicPartition {
        self.id
    }

    /// The offset below which records are on enough replicas, if the leader has said it.
    pub(crate) fn high_watermark(&self) -> Option<Offset> {
        Offset::from_wire(self.high_watermark.load(Ordering::Relaxed))
    }

    /// Notes what the leader says.
    pub(crate) fn set_high_watermark(&self, offset: Offset) {
        self.high_watermark.store(offset.get(), Ordering::Relaxed);
    }

    /// Its state, locked.
    pub(crate) fn lock(&self) -> MutexGuard<'_, PartitionState> {
        self.state.lock()
    }
}

/// Where a rewritten tail is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rewrite {
    /// The entry.
    pub(crate) lsn: Lsn,
    /// Offset after its last batch.
    pub(crate) end: Offset,
}

/// Whether a partition takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Reads and writes.
    Good,
    /// Data that was there is lost: it ends before the loss, is readable below, and refuses appends.
    Damaged {
        /// Why, for messages.
        reason: String,
    },
    /// It was dropped, but the journal may still forget that: it answers nothing, and stays recoverable.
    Dropping {
        /// What it had lost by then, or since.
        damage: Option<String>,
    },
    /// It was dropped for good.
    Dropped,
}

/// Everything that is known of a partition.
///
/// Invariants, see [`PartitionState::check`]:
///  * `log_start <= appended_end`, `synced_end <= written_end <= appended_end`
///  * segments ascend by base offset; the first one begins at or below `log_start`
///  * the tail begins where the written bytes end
#[derive(Debug)]
pub(crate) struct PartitionState {
    /// Directory name `<topic>-<partition>`; `None` while the topic's name is unknown (a stray).
    pub(crate) dir: Option<Arc<str>>,
    /// Where damage of its files is told.
    pub(crate) findings: Arc<Findings>,
    pub(crate) config: LogConfig,
    pub(crate) standing: Standing,
    /// Moves with every change that makes a write or read in flight stale.
    pub(crate) generation: u64,
    pub(crate) log_start: Offset,
    /// Log starts that were left by entries which may not be durable: (the entry, the start before it).
    pub(crate) left_starts: VecDeque<(Lsn, Offset)>,
    /// The last truncation.
    pub(crate) truncate_lsn: Lsn,
    /// The partition's last entry before it.
    pub(crate) before_truncate_lsn: Lsn,
    /// Where it cut the log.
    pub(crate) truncated_to: Offset,
    pub(crate) synced_end: Offset,
    pub(crate) segments: Vec<Segment>,
    /// Below it the log was compacted: no two records there have the same key.
    pub(crate) cleaned_end: Offset,
    /// Segments were replaced, and the files do not have their names yet.
    pub(crate) swap: Option<PendingSwap>,
    /// Moves with every replacement of segments.
    pub(crate) swaps_count: u64,
    /// The token in the names of files that compaction writes at the moment.
    pub(crate) cleaning: Option<Lsn>,
    pub(crate) tail: Tail,
    pub(crate) pending: PendingAppends,
    /// The journal must keep this entry and all after it: the oldest one that is not synced in a segment.
    pub(crate) pin: Option<Lsn>,
    /// The last journal entry that this state contains.
    pub(crate) state_lsn: Lsn,
    pub(crate) epochs: LeaderEpochs,
    pub(crate) producers: ProducerState,
    /// The current leader epoch; appends of older ones are fenced.
    pub(crate) leader_epoch: Option<LeaderEpoch>,
    /// Entries below it count as durable when written, although the topic asks for fsync by now.
    pub(crate) fsync_from: Lsn,
    pub(crate) last_append: Mono,
    /// The tail was put into the journal again; its old entries are needed until that entry is durable.
    pub(crate) rewritten: Option<Rewrite>,
    /// How often the tail was  rewritten forward in the journal since it was last flushed.
    pub(crate) rewrites_count: u8,
    /// Somebody reads from the files: so many more writes to them go through the page cache.
    pub(crate) cached_writes: u8,
    /// Work on the files is queued or going on.
    pub(crate) is_in_work: bool,
    /// The directory exists (as far as we know).
    pub(crate) has_dir: bool,
    /// Names in the directory wait for being synced.
    pub(crate) dir_is_dirty: bool,
    /// Epochs changed since `leader-epoch-checkpoint` was written.
    pub(crate) epochs_are_dirty: bool,
    /// Snapshots that are not current any more are needed until so many checkpoints were written: older ones name them.
    pub(crate) snapshots_needed_until: u64,
    /// A producer snapshot is due.
    pub(crate) wants_snapshot: bool,
}

impl PartitionState {
    /// An empty log.
    pub(crate) fn new(config: LogConfig) -> PartitionState {
        PartitionState {
            dir: None,
            findings: Arc::default(),
            config,
            standing: Standing::Good,
            generation: 0,
            log_start: Offset::ZERO,
            left_starts: VecDeque::new(),
            truncate_lsn: Lsn::ZERO,
            before_truncate_lsn: Lsn::ZERO,
            truncated_to: Offset::ZERO,
            synced_end: Offset::ZERO,
            segments: Vec::new(),
            cleaned_end: Offset::ZERO,
            swap: None,
            swaps_count: 0,
            cleaning: None,
            tail: Tail::empty_at(Offset::ZERO),
            pending: PendingAppends::default(),
            pin: None,
            state_lsn: Lsn::ZERO,
            epochs: LeaderEpochs::default(),
            producers: ProducerState::default(),
            leader_epoch: None,
            fsync_from: Lsn::ZERO,
            last_append: Mono::ZERO,
            rewritten: None,
            rewrites_count: 0,
            cached_writes: 0,
            is_in_work: false,
            has_dir: false,
            dir_is_dirty: false,
            epochs_are_dirty: false,
            snapshots_needed_until: 0,
            wants_snapshot: false,
        }
    }

    /// It was dropped, for good or not.
    pub(crate) fn is_gone(&self) -> bool {
        match self.standing {
            Standing::Dropping { .. } | Standing::Dropped => true,
            Standing::Good | Standing::Damaged { .. } => false,
        }
    }

    /// It lost data. What was lost first is told, and what is being dropped stays so.
    pub(crate) fn damage(&mut self, reason: String) {
        match &mut self.standing {
            Standing::Good => self.standing = Standing::Damaged { reason },
            Standing::Dropping { damage } => *damage = damage.take().or(Some(reason)),
            Standing::Damaged { .. } | Standing::Dropped => {}
        }
    }

    /// What it lost, also when it is being dropped: as long as that may be forgotten, its files are spared.
    pub(crate) fn lost(&self) -> Option<&String> {
        match &self.standing {
            Standing::Damaged { reason } => Some(reason),
            Standing::Dropping { damage } => damage.as_ref(),
            Standing::Good | Standing::Dropped => None,
        }
    }

    /// It is dropped, as long as the journal does not forget that.
    pub(crate) fn begin_drop(&mut self) {
        let damage = self.lost().cloned();
        self.standing = Standing::Dropping { damage };
    }

    /// The next record gets it.
    pub(crate) fn appended_end(&self) -> Offset {
        self.tail.end()
    }

    /// Below it, bytes are in segment files.
    pub(crate) fn written_end(&self) -> Offset {
        self.tail.base()
    }

    /// What counts as durable, given what the journal has done.
    pub(crate) fn durable_lsn(&self, written: Lsn, durable: Lsn) -> Lsn {
        match self.durability(durable) {
            Durability::Fsync => durable,
            Durability::Os => written.max(durable),
        }
    }

    /// The topic's durability, as far as it has taken effect.
    pub(crate) fn durability(&self, durable: Lsn) -> Durability {
        match self.config.durability {
            Durability::Os => Durability::Os,
            // Switched lately: what was acknowledged when written must not turn undurable again.
            Durability::Fsync if durable.next() < self.fsync_from => Durability::Os,
            Durability::Fsync => Durability::Fsync,
        }
    }

    /// All ends.
    pub(crate) fn ends(&self, written: Lsn, durable: Lsn) -> Ends {
        let durable_lsn = self.durable_lsn(written, durable);
        let appended_end = self.appended_end();
        Ends {
            log_start: self.log_start,
            appended_end,
            durable_end: self.pending.durable_end(durable_lsn, appended_end),
            written_end: self.written_end(),
            synced_end: self.synced_end,
        }
    }

    /// Where the log starts for a journal that is durable up to `durable`.
    pub(crate) fn durable_log_start(&self, durable: Lsn) -> Offset {
        let undurable = self.left_starts.iter().find(|(lsn, _)| durable < *lsn);
        undurable.map_or(self.log_start, |(_, before)| *before)
    }

    /// The log starts at `start` from the entry `lsn` on, and the journal is durable up to `durable`.
    pub(crate) fn move_start(&mut self, lsn: Lsn, durable: Lsn, start: Offset) {
        while self
            .left_starts
            .front()
            .is_some_and(|(lsn, _)| *lsn <= durable)
        {
            self.left_starts.pop_front();
        }
        self.left_starts.push_back((lsn, self.log_start));
        self.start_from(start);
    }

    /// The end up to which records may be removed: what is not durable, here or on enough replicas, stays.
    pub(crate) fn removable_end(&self, durable: Lsn, high_watermark: Option<Offset>) -> Offset {
        let durable_end = self.pending.durable_end(durable, self.appended_end());
        high_watermark.map_or(durable_end, |it| it.min(durable_end))
    }

    /// Size in bytes of the active segment, what is in the tail included.
    pub(crate) fn active_size(&self) -> u32 {
        self.segments.last().map_or(0, |active| active.size)
    }

    /// Whether a batch must go into a new segment (Kafka's `LogSegment.shouldRoll`).
    pub(crate) fn must_roll(
        &self,
        size: usize,
        last_offset: Offset,
        max_timestamp: Timestamp,
        now: Timestamp,
    ) -> bool {
        let Some(active) = self.segments.last() else {
            return true;
        };
        if active.size == 0 {
            return false;
        }
        let room = u64::from(self.config.segment_bytes).saturating_sub(size as u64);
        let waited = active.waited_ms(max_timestamp, now);
        let relative = active.base_offset.distance_to(last_offset);
        room < u64::from(active.size)
            || self.config.roll_after_ms() < waited
            || i32::MAX as u64 <= relative
            || self.index_is_full(active)
    }

    fn index_is_full(&self, active: &Segment) -> bool {
        let units = active.file.as_ref().and_then(|file| file.units());
        let entries_max = self.config.segment_index_bytes / 12;
        units.is_some_and(|units| entries_max.max(1) <= units.list().len() as u32)
    }

    /// Begins a new segment at the end of the log.
    pub(crate) fn roll(&mut self) {
        self.segments.push(Segment::empty(self.appended_end()));
    }

    /// From `base` on, where a batch of the tail begins, the log lies in a segment of its own: the one it lay in takes
    /// nothing any more. Returns false, and changes nothing, when no batch of the tail begins there inside a segment.
    pub(crate) fn split_segment(&mut self, base: Offset) -> bool {
        let Some(index) = self.segment_index(base) else {
            return false;
        };
        let (start, end) = (self.segments[index].base_offset, self.segment_end(index));
        let mut moved = self.tail.from(base).peekable();
        if start == base || moved.peek().is_none_or(|first| first.base_offset != base) {
            return false;
        }
        let mut new = Segment::empty(base);
        for batch in moved.take_while(|batch| batch.base_offset < end) {
            new.push(batch.bytes.len(), batch.max_timestamp, batch.appended_at);
        }
        let stays = |batch: &&TailBatch| (start..base).contains(&batch.base_offset);
        let kept = self.tail.batches().filter(stays);
        let largest = kept.map(|batch| batch.max_timestamp).max();
        let old = &mut self.segments[index];
        old.size -= new.size;
        old.largest_timestamp = largest
            .unwrap_or(NO_TIMESTAMP)
            .max(old.written_largest_timestamp);
        self.segments.insert(index + 1, new);
        true
    }

    /// Takes a batch into tail, active segment, epochs. The caller takes care of journal and producers.
    pub(crate) fn push_batch(&mut self, batch: TailBatch, epoch: LeaderEpoch) {
        let active = self
            .segments
            .last_mut()
            .expect("a segment was rolled first");
        active.push(batch.bytes.len(), batch.max_timestamp, batch.appended_at);
        if self.pin.is_none() {
            self.pin = Some(batch.lsn);
        }
        self.state_lsn = self.state_lsn.max(batch.lsn);
        self.epochs_are_dirty |= self.epochs.assign(epoch, batch.base_offset);
        self.leader_epoch = self.leader_epoch.max(Some(epoch));
        self.tail.push(batch);
    }

    /// Notes what a producer appended. Returns whether the producer is new in memory.
    pub(crate) fn push_producer(
        &mut self,
        producer: &ProducerBatch,
        base_offset: Offset,
        last_offset: Offset,
        timestamp: Timestamp,
        is_transactional: bool,
        used: Timestamp,
    ) -> bool {
        let batch = ProducedBatch {
            last_sequence: producer.last_sequence,
            last_offset,
            offset_delta: base_offset.distance_to(last_offset) as i32,
            timestamp,
        };
        let transactional = is_transactional.then_some(base_offset);
        self.producers
            .push(producer.id, producer.epoch, batch, transactional, used)
    }

    /// Index of the segment that `offset` lies in.
    pub(crate) fn segment_index(&self, offset: Offset) -> Option<usize> {
        self.segments
            .partition_point(|segment| segment.base_offset <= offset)
            .checked_sub(1)
    }

    /// Where the segment at `index` ends: the next one's base, or the end of the log.
    pub(crate) fn segment_end(&self, index: usize) -> Offset {
        self.segments
            .get(index + 1)
            .map_or(self.appended_end(), |next| next.base_offset)
    }

    /// The file of the segment at `index`.
    pub(crate) fn segment_file(&mut self, id: TopicPartition, index: usize) -> Arc<SegmentFile> {
        let dir = self.dir.clone().unwrap_or_else(|| Arc::from(""));
        let findings = &self.findings;
        let segment = &mut self.segments[index];
        let base_offset = segment.base_offset;
        let new = || {
            let findings = Arc::clone(findings);
            Arc::new(SegmentFile::new(id, dir, base_offset, findings))
        };
        Arc::clone(segment.file.get_or_insert_with(new))
    }

    /// Whether `file` is the one of a segment.
    pub(crate) fn holds(&self, file: &Arc<SegmentFile>) -> bool {
        let is_it = |it: &Segment| it.file.as_ref().is_some_and(|it| Arc::ptr_eq(it, file));
        self.segments.iter().any(is_it)
    }

    /// Puts `new` in the place of the segments with base offsets in `base..end`, which are returned.
    pub(crate) fn replace_segments(
        &mut self,
        base: Offset,
        end: Offset,
        new: Vec<Segment>,
    ) -> Vec<Segment> {
        let first = self.segments.partition_point(|it| it.base_offset < base);
        let behind = self.segments.partition_point(|it| it.base_offset < end);
        self.swaps_count += 1;
        self.segments
            .splice(first..behind.max(first), new)
            .collect()
    }

    /// The segments as they are for a journal that is durable up to `durable`: without a swap that it does not know.
    pub(crate) fn durable_segments(&self, durable: Lsn) -> Vec<Segment> {
        let Some(swap) = self.swap.as_ref().filter(|swap| durable < swap.lsn) else {
            return self.segments.clone();
        };
        let below = self.segments.iter().filter(|it| it.base_offset < swap.base);
        let above = self.segments.iter().filter(|it| swap.end <= it.base_offset);
        below.chain(&swap.old).chain(above).cloned().collect()
    }

    /// Likewise up to where the log is compacted.
    pub(crate) fn durable_cleaned_end(&self, durable: Lsn) -> Offset {
        let undurable = self.swap.as_ref().filter(|swap| durable < swap.lsn);
        undurable.map_or(self.cleaned_end, |swap| swap.cleaned_before)
    }

    /// Bytes of all segments, the tail included.
    pub(crate) fn size(&self) -> u64 {
        self.segments
            .iter()
            .map(|segment| u64::from(segment.size))
            .sum()
    }

    /// The largest timestamp of the log's records; `None` when none has one.
    pub(crate) fn largest_timestamp(&self) -> Option<Timestamp> {
        let largest = self
            .segments
            .iter()
            .map(|segment| segment.largest_timestamp);
        largest.max().filter(|largest| NO_TIMESTAMP < *largest)
    }

    /// If the rewritten tail is durable, its old entries are not needed any more. Returns whether that is so.
    pub(crate) fn settle_rewrite(&mut self, durable: Lsn) -> bool {
        let Some(rewrite) = self.rewritten.filter(|rewrite| rewrite.lsn <= durable) else {
            return false;
        };
        self.rewritten = None;
        self.tail.moved_to(rewrite.lsn, rewrite.end);
        if self.written_end() == self.synced_end {
            self.pin = self.tail.first().map(|batch| batch.lsn);
        }
        true
    }

    /// Where the log ends when it is cut at `offset`, which lies in the tail: a batch goes as a whole.
    pub(crate) fn end_in_tail(&self, offset: Offset) -> Offset {
        let holder = self.tail.from(offset).next();
        holder.map_or(offset, |batch| batch.base_offset.min(offset))
    }

    /// Everything behind `cut` is gone. Returns the tail bytes freed and the producers forgotten.
    pub(crate) fn truncate_to(&mut self, cut: Cut) -> (usize, usize) {
        let end = self.end_in_tail(cut.end);
        let tail_base = self.tail.base();
        let mut sizes: Vec<(Offset, u32)> = Vec::new();
        for batch in self.tail.from(end) {
            sizes.push((batch.base_offset, batch.bytes.len() as u32));
        }
        for (offset, size) in sizes {
            let index = self
                .segment_index(offset)
                .expect("the tail lies in segments");
            self.segments[index].size -= size;
        }
        let freed = self.tail.truncate_to(end);
        // A segment that begins at the new end stays, empty: the place in the file is one of its own. Below the first
        // segment none is left, and the next append begins one.
        while self
            .segments
            .pop_if(|last| end < last.base_offset)
            .is_some()
        {}
        if let Some(last) = self.segments.last_mut() {
            if end < tail_base {
                last.cut(cut.position, cut.largest_timestamp);
            }
            let left = self.tail.from(last.base_offset);
            let in_tail = left.map(|batch| batch.max_timestamp).max();
            last.largest_timestamp = in_tail
                .unwrap_or(NO_TIMESTAMP)
                .max(last.written_largest_timestamp);
        }
        self.synced_end = self.synced_end.min(end);
        self.log_start = self.log_start.min(end);
        self.cleaned_end = self.cleaned_end.min(end);
        self.pending.truncate_to(end);
        self.epochs.truncate_to(end);
        self.epochs_are_dirty = true;
        let forgotten = self.producers.truncate_to(end);
        self.generation += 1;
        // Its entry holds what is gone; the original entries hold the rest.
        self.rewritten = None;
        if self.written_end() == self.synced_end {
            self.pin = self.tail.first().map(|batch| batch.lsn);
        }
        (freed, forgotten)
    }

    /// The log starts at `start` now: epochs before it go. Segments are removed by retention.
    pub(crate) fn start_from(&mut self, start: Offset) {
        self.log_start = self.log_start.max(start);
        self.epochs.start_from(self.log_start);
        self.epochs_are_dirty = true;
    }

    /// Where the part of the tail ends that may be written, for a journal that is durable up to `durable`. What comes
    /// behind a truncation waits until that is durable: no checkpoint could tell them apart, and a full journal waits
    /// for one.
    pub(crate) fn flushable_end(&self, durable: Lsn) -> Offset {
        match durable < self.truncate_lsn {
            true => self.truncated_to,
            false => self.appended_end(),
        }
    }

    /// Memory of that part of the tail that may be written now.
    pub(crate) fn flushable_memory(&self, durable: Lsn) -> usize {
        let end = self.flushable_end(durable);
        if end == self.appended_end() {
            return self.tail.memory();
        }
        let below = self.tail.batches();
        let below = below.take_while(|batch| batch.base_offset < end);
        below.map(|batch| batch.bytes.len() + BATCH_OVERHEAD).sum()
    }

    /// What may be flushed next: tail batches that begin below `end_max` and lie in one segment, up to about
    /// `bytes_max`.
    pub(crate) fn plan_write(
        &mut self,
        id: TopicPartition,
        bytes_max: usize,
        end_max: Offset,
    ) -> Option<WritePlan> {
        let first = self.tail.first()?;
        if end_max <= first.base_offset {
            return None;
        }
        let index = self
            .segment_index(first.base_offset)
            .expect("the tail lies in segments");
        let end = self.segment_end(index).min(end_max);
        let mut batches = Vec::new();
        let mut bytes = 0;
        for batch in self.tail.batches() {
            if end <= batch.base_offset || bytes_max <= bytes {
                break;
            }
            bytes += batch.bytes.len();
            batches.push(batch.clone());
        }
        let is_read = 0 < self.cached_writes;
        self.cached_writes = self.cached_writes.saturating_sub(1);
        Some(WritePlan {
            generation: self.generation,
            is_cached: is_read || bytes < UNCACHED_SIZE_MIN,
            segment_base: self.segments[index].base_offset,
            file: self.segment_file(id, index),
            position: self.segments[index].written_size,
            is_verified: self.segments[index].is_verified,
            may_cut: self.segments[index].is_own || self.lost().is_none(),
            batches,
        })
    }

    /// The bytes of `plan` are in the segment file. Returns the tail bytes freed; 0 when a truncation came
    /// between: then the file is cut before the next write.
    pub(crate) fn complete_write(&mut self, plan: &WritePlan) -> usize {
        if plan.generation != self.generation {
            self.distrust_files();
            return 0;
        }
        let index = self
            .segment_index(plan.segment_base)
            .expect("same generation, same segments");
        let segment = &mut self.segments[index];
        for batch in &plan.batches {
            let largest = &mut segment.written_largest_timestamp;
            *largest = (*largest).max(batch.max_timestamp);
        }
        self.segments[index].written_size += plan.size();
        self.segments[index].is_verified = true;
        self.segments[index].is_own = true;
        let end = plan.end_offset();
        self.tail.drop_below(end)
    }

    /// The files of the segment with this base offset hold what they should, or what others left there is elsewhere.
    pub(crate) fn own_file(&mut self, segment_base: Offset) {
        let is_it = |segment: &&mut Segment| segment.base_offset == segment_base;
        if let Some(segment) = self.segments.iter_mut().find(is_it) {
            segment.is_own = true;
        }
    }

    /// The files may hold more than they should: they are checked before the next write.
    pub(crate) fn distrust_files(&mut self) {
        for segment in &mut self.segments {
            segment.is_verified = false;
        }
    }

    /// Somebody reads what is not in the tail any more.
    pub(crate) fn note_file_read(&mut self) {
        self.cached_writes = CACHED_WRITES;
    }

    /// The oldest segment with bytes that wait for a sync.
    pub(crate) fn plan_sync(&mut self, id: TopicPartition) -> Option<SyncPlan> {
        let unsynced = |segment: &Segment| segment.synced_size < segment.written_size;
        let index = self.segments.iter().position(unsynced)?;
        let size = self.segments[index].written_size;
        let end_offset = self.segment_end(index).min(self.written_end());
        Some(SyncPlan {
            generation: self.generation,
            segment_base: self.segments[index].base_offset,
            file: self.segment_file(id, index),
            size,
            end_offset,
        })
    }

    /// The bytes of `plan` are on the device. Returns false when a truncation came between.
    pub(crate) fn complete_sync(&mut self, plan: &SyncPlan) -> bool {
        if plan.generation != self.generation {
            return false;
        }
        let index = self
            .segment_index(plan.segment_base)
            .expect("same generation, same segments");
        let segment = &mut self.segments[index];
        segment.synced_size = segment.synced_size.max(plan.size);
        self.synced_end = self.synced_end.max(plan.end_offset);
        if self.synced_end == self.written_end() {
            self.pin = self.tail.first().map(|batch| batch.lsn);
            self.rewrites_count = 0;
            if self.pin.is_none() {
                self.rewritten = None;
            }
        }
        true
    }

    /// A segment that is full and synced, and still has room reserved behind its end, or may have.
    pub(crate) fn plan_trim(&mut self, id: TopicPartition) -> Option<(Arc<SegmentFile>, u32)> {
        if self.lost().is_some() {
            return None; // what is behind the end may be what was lost
        }
        let sealed_count = self.segments.len().saturating_sub(1);
        let mut sealed = self.segments[..sealed_count].iter();
        let index = sealed.position(|segment| {
            let allocated = segment
                .file
                .as_ref()
                .map_or(0, |file| file.allocated_size());
            let is_reserved = segment.may_be_reserved || segment.size < allocated;
            segment.synced_size == segment.size && is_reserved
        })?;
        Some((self.segment_file(id, index), self.segments[index].size))
    }

    /// Nothing is reserved behind the end of this segment any more.
    pub(crate) fn trimmed(&mut self, base: Offset) {
        let mut segments = self.segments.iter_mut();
        if let Some(segment) = segments.find(|segment| segment.base_offset == base) {
            segment.may_be_reserved = false;
        }
    }

    /// After a restart: room may be reserved behind the segment that the checkpoint knew as the last with bytes, and
    /// behind all that came after it. Those before it were trimmed when they were synced, before a checkpoint said so.
    pub(crate) fn expect_reserved_room(&mut self) {
        let is_expected = |segment: &Segment| segment.may_be_reserved;
        let first = self.segments.iter().position(is_expected).unwrap_or(0);
        for segment in &mut self.segments[first..] {
            segment.may_be_reserved = true;
        }
    }

    /// Whether the invariants hold; the first one that does not.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        self.tail.check()?;
        let ascending = |pair: &[Segment]| pair[0].base_offset < pair[1].base_offset;
        let is_nested =
            |it: &Segment| it.synced_size <= it.written_size && it.written_size <= it.size;
        let begins = |first: &Segment| first.base_offset <= self.log_start;
        let has_start =
            self.log_start == self.appended_end() || self.segments.first().is_some_and(begins);
        let unwritten = |it: &Segment| it.size.saturating_sub(it.written_size) as usize;
        let unwritten: usize = self.segments.iter().map(unwritten).sum();
        let invariants = [
            (
                self.log_start <= self.appended_end(),
                "the log starts behind its end",
            ),
            (
                self.synced_end <= self.written_end(),
                "more is synced than written",
            ),
            (
                self.segments.windows(2).all(ascending),
                "segments do not ascend",
            ),
            (
                self.segments.iter().all(is_nested),
                "a segment has more synced than written",
            ),
            (has_start, "no segment holds the start of the log"),
            (
                unwritten == self.tail.bytes(),
                "the tail is not what is not written",
            ),
        ];
        let broken = invariants.iter().find(|(holds, _)| !holds);
        broken.map_or(Ok(()), |(_, what)| Err(what))
    }
}

/// Batches to write to a segment file. Made under the lock, carried out without it.
#[derive(Debug)]
pub(crate) struct WritePlan {
    pub(crate) generation: u64,
    /// Goes through the page cache: it is small, or somebody reads from the files.
    pub(crate) is_cached: bool,
    pub(crate) segment_base: Offset,
    pub(crate) file: Arc<SegmentFile>,
    pub(crate) position: u32,
    pub(crate) is_verified: bool,
    /// What lies in the file behind `position` may be cut off.
    pub(crate) may_cut: bool,
    pub(crate) batches: Vec<TailBatch>,
}

impl WritePlan {
    /// Bytes to write.
    pub(crate) fn size(&self) -> u32 {
        self.batches
            .iter()
            .map(|batch| batch.bytes.len() as u32)
            .sum()
    }

    /// Offset after the last batch.
    pub(crate) fn end_offset(&self) -> Offset {
        let last = self.batches.last().expect("a plan has batches");
        last.last_offset.next()
    }
}

/// A segment file to sync.
#[derive(Debug)]
pub(crate) struct SyncPlan {
    pub(crate) generation: u64,
    pub(crate) segment_base: Offset,
    pub(crate) file: Arc<SegmentFile>,
    pub(crate) size: u32,
    pub(crate) end_offset: Offset,
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
        max_timestamp: view.max_timestamp(),
        appended_at,
        bytes,
        sums: None,
    }
}

/// The directory of a partition.
pub(crate) fn dir_name(topic_name: &str, id: TopicPartition) -> Arc<str> {
    Arc::from(names::partition_dir(topic_name, id.partition))
}
