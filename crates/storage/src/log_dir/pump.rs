//! What the flusher does, and in which order: one I/O per step, from as many threads as call it.

use super::LogDir;
use super::checkpointing::CheckpointTask;
use super::cleaner::swap::SwapTask;
use super::deletion::{Removal, Unlink};
use super::large::{self, LargeTask};
use super::snapshots::SnapshotTask;
use super::work::{FlushTask, Goal, TaskStep};
use crate::marker::Marker;
use crate::partition::{Partition, PartitionState, Rewrite};

use crate::segment::ReadFault;
use crate::wal::{DurabilityClass, Entry, EntryHeader, EntryKind, Urgency, WalPressure};

use bytes::Bytes;
use ottla_types::{Lsn, Mono, Now, PartitionSlot, TopicPartition};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often an idle pump looks whether there is something to do.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How often it is asked whether too many producers are remembered.
const PRODUCER_LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How often tails are looked through for idle ones.
const IDLE_SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Between the flushes of two idle tails while somebody waits for commits: each takes up to four fsyncs, and a
/// device does them one after the other.
const IDLE_FLUSH_PAUSE_BUSY: Duration = Duration::from_millis(20);
/// After the last commit that somebody waited for, so long.
const BUSY_FOR: Duration = Duration::from_millis(100);
/// How long flushes, checkpoints or removals wait after one failed, as on a full disk.
const FULL_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Tails are rewritten forward in the journal in portions of this size, with commits in between.
const REWRITE_BYTES_MAX: usize = 1 << 20;
/// Partitions that are taken into work at once.
const TASKS_MAX: usize = 64;

/// What a step of a pump did, and when to call it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PumpStep {
    /// At most one I/O. Call again at once.
    Worked,
    /// Nothing to do before this time.
    Waiting {
        /// When to call again.
        until: Mono,
    },
    /// The directory is offline; there is nothing to do any more.
    Offline,
}

/// Work on files that is under way or waits for its time.
#[derive(Default)]
pub(super) struct Pump {
    tasks: VecDeque<Task>,
    /// Tasks that a thread has taken out for a step.
    stepping_count: usize,
    removals: Vec<Removal>,
    /// Directory names whose old owner is not gone yet, with the entry that dropped it, and the owner.
    busy_names: BTreeMap<(Arc<str>, Lsn), TopicPartition>,
    next_space_look: Mono,
    next_producer_look: Mono,
    next_idle_sweep: Mono,
    /// Partitions that the last sweep found idle, and when the next of them is flushed.
    idle: VecDeque<PartitionSlot>,
    next_idle_flush: Mono,
    /// A flush failed: none begins before.
    blocked_until: Mono,
    /// Likewise checkpoints ...
    next_checkpoint: Mono,
    /// ... and removals of directories and files, and compacted segments that get their names.
    next_deletion: Mono,
    is_draining: bool,
}

/// What relieves the journal of a partition's old entries.
enum Relief {
    /// Its tail goes to its segment.
    FlushIt,
    /// So many bytes of it were queued again, now or before.
    Rewritten(usize),
}

enum Task {
    Flush(FlushTask),
    Snapshot(SnapshotTask),
    Remove(Removal),
    Unlink(Unlink),
    Checkpoint(Box<CheckpointTask>),
    Swap(Box<SwapTask>),
    Large(LargeTask),
    RemoveLarge(u64),
}

impl Pump {
    /// A dropped partition's directory is to be removed.
    pub(super) fn add_removal(&mut self, removal: Removal) {
        self.busy_names.insert(removal.name(), removal.id());
        self.removals.push(removal);
    }

    /// The directory of that name is renamed or was never made.
    pub(super) fn name_is_free(&mut self, removal: &Removal) {
        self.busy_names.remove(&removal.name());
    }

    /// Whether the directory of an earlier log of this partition may still have its name.
    pub(super) fn is_leaving(&self, id: TopicPartition) -> bool {
        self.busy_names.values().any(|owner| *owner == id)
    }

    /// Whether the directory with the name of this partition is still one that was dropped before: it must not be
    /// written to. A partition's own drop does not count, nor what came after it: that entry may wait for a ring that
    /// waits for this very partition.
    fn is_name_taken(&self, state: &PartitionState) -> bool {
        let Some(dir) = &state.dir else { return false };
        let mut names = self.busy_names.keys();
        names.any(|(name, drop)| name == dir && (!state.is_gone() || *drop < state.state_lsn))
    }

    /// Directory names whose old owner is not gone yet.
    pub(super) fn busy_names(&self) -> impl Iterator<Item = Arc<str>> {
        self.busy_names.keys().map(|(dir, _)| Arc::clone(dir))
    }

    fn has_checkpoint(&self) -> bool {
        let is_one = |task: &Task| matches!(task, Task::Checkpoint(_));
        self.tasks.iter().any(is_one)
    }
}

impl LogDir {
    /// The pump of segments, snapshots, checkpoints and deletions: at most one I/O per call. Several threads may call
    /// it at once: each works on another partition, so that fsyncs run side by side.
    pub fn flush_step(&self, now: Now) -> PumpStep {
        if self.health.is_offline() {
            return PumpStep::Offline;
        }
        let mut pump = self.pump.lock();
        while let Some(task) = self.large.next_task() {
            // Somebody waits for it, unlike for most of the others.
            pump.tasks.push_front(Task::Large(task));
        }
        if pump.tasks.is_empty() && !self.find_work(&mut pump, now) {
            let mut until = now.mono.plus(LOOK_INTERVAL);
            if !pump.idle.is_empty() && now.mono < pump.next_idle_flush {
                until = until.min(pump.next_idle_flush);
            }
            return PumpStep::Waiting { until };
        }
        let Some(task) = pump.tasks.pop_front() else {
            return PumpStep::Worked;
        };
        pump.stepping_count += 1;
        drop(pump);
        let (task, step) = self.step_task(task, now);
        let mut pump = self.pump.lock();
        pump.stepping_count -= 1;
        match step {
            // The same partition goes on first: fewer files are half written, and caches stay warm.
            Ok(TaskStep::More) => pump.tasks.push_front(task),
            Ok(TaskStep::Done) => self.finish_task(&mut pump, task),
            Err(fault) => self.task_failed(&mut pump, task, &fault, now),
        }
        PumpStep::Worked
    }

    fn step_task(&self, mut task: Task, now: Now) -> (Task, Result<TaskStep, ReadFault>) {
        let step = match &mut task {
            Task::Flush(task) => task.step(self),
            Task::Snapshot(task) => task.step(self, now.wall),
            Task::Remove(task) => task.step(self),
            Task::Unlink(task) => task.step(self),
            Task::Checkpoint(task) => task.step(self),
            Task::Swap(task) => task.step(self),
            Task::Large(task) => task.step(self),
            Task::RemoveLarge(number) => large::remove(self, *number),
        };
        (task, step)
    }

    fn task_failed(&self, pump: &mut Pump, task: Task, fault: &ReadFault, now: Now) {
        let goes_on = match &task {
            Task::Flush(task) => task.finds_way_around(self, fault),
            Task::Snapshot(task) => task.finds_way_around(fault),
            Task::Remove(_)
            | Task::Unlink(_)
            | Task::Checkpoint(_)
            | Task::Swap(_)
            | Task::Large(_)
            | Task::RemoveLarge(_) => false,
        };
        if !goes_on {
            match fault {
                ReadFault::Disk(error) => self.failed(error),
                // Named already; the partition is set aside and the others go on.
                ReadFault::Corrupt { .. } | ReadFault::NewerVersion { .. } => {}
            }
        }
        let retry_at = now.mono.plus(FULL_RETRY_INTERVAL);
        match task {
            Task::Flush(task) if goes_on => pump.tasks.push_front(Task::Flush(task)),
            Task::Flush(task) => {
                pump.blocked_until = retry_at;
                task.fail(self);
            }
            Task::Snapshot(task) => {
                pump.blocked_until = retry_at;
                task.release();
            }
            Task::Checkpoint(mut task) => {
                pump.next_checkpoint = retry_at;
                task.abandon();
            }
            Task::Remove(removal) => {
                pump.next_deletion = retry_at;
                pump.removals.push(removal);
            }
            Task::Unlink(unlink) => {
                pump.next_deletion = retry_at;
                self.unlinks.lock().push(unlink);
            }
            Task::Swap(task) => {
                pump.next_deletion = retry_at;
                task.fail();
                self.swaps.lock().push(*task);
            }
            Task::Large(task) => {
                if let ReadFault::Disk(error) = fault {
                    task.finish(self, Some(error.clone()));
                }
            }
            Task::RemoveLarge(number) => {
                pump.next_deletion = retry_at;
                self.large.give_back(number);
            }
        }
    }

    fn finish_task(&self, pump: &mut Pump, task: Task) {
        match task {
            Task::Flush(task) => {
                if let Some(partition) = task.release() {
                    pump.tasks
                        .push_back(Task::Snapshot(SnapshotTask::new(partition)));
                }
            }
            Task::Snapshot(task) => task.release(),
            Task::Large(task) => task.finish(self, None),
            Task::Remove(_)
            | Task::Unlink(_)
            | Task::Checkpoint(_)
            | Task::Swap(_)
            | Task::RemoveLarge(_) => {}
        }
    }

    /// Looks for something to do, most urgent first. Returns whether there is.
    fn find_work(&self, pump: &mut Pump, now: Now) -> bool {
        if pump.next_space_look <= now.mono {
            pump.next_space_look = now.mono.plus(self.options.space_interval);
            self.look_at_space();
            return true;
        }
        if pump.next_producer_look <= now.mono {
            pump.next_producer_look = now.mono.plus(PRODUCER_LOOK_INTERVAL);
            self.relieve_producers(now);
        }
        self.start_deletions(pump, now);
        if pump.blocked_until <= now.mono {
            self.relieve_journal(pump, now);
            self.relieve_memory(pump);
            self.flush_idle(pump, now);
        }
        let is_alone = pump.tasks.is_empty() && pump.stepping_count == 0;
        if is_alone && pump.next_checkpoint <= now.mono {
            self.start_checkpoint(pump, now);
        }
        !pump.tasks.is_empty()
    }

    /// Decides whether producers are let in: they are not while free space is under what is not flushed plus a
    /// reserve.
    fn look_at_space(&self) {
        match self.disk.space() {
            Ok(space) => {
                self.free_bytes.store(space.free_bytes, Ordering::Relaxed);
                self.total_bytes.store(space.total_bytes, Ordering::Relaxed);
                let reserve = self.reserve(space.total_bytes);
                let unflushed = self.tail_bytes.load(Ordering::Relaxed) as u64;
                let is_short = space.free_bytes < reserve + unflushed;
                // A quota, or a file system that copies on write, may refuse what free space promises.
                self.health.set_full(is_short || self.wal.is_full());
            }
            Err(error) => self.failed(&error),
        }
    }

    fn start_deletions(&self, pump: &mut Pump, now: Now) {
        self.finish_drops();
        if now.mono < pump.next_deletion {
            return;
        }
        while let Some(number) = self.large.take_superfluous() {
            pump.tasks.push_back(Task::RemoveLarge(number));
        }
        let checkpoints_count = self.checkpoints.lock().count();
        let mut waiting = Vec::new();
        for removal in std::mem::take(&mut pump.removals) {
            if removal.is_due(self) {
                pump.tasks.push_back(Task::Remove(removal));
            } else {
                waiting.push(removal);
            }
        }
        pump.removals = waiting;
        let may_start = |swap: &mut SwapTask| swap.start(self);
        for swap in self.swaps.lock().extract_if(.., may_start) {
            pump.tasks.push_back(Task::Swap(Box::new(swap)));
        }
        let is_due = |unlink: &mut Unlink| unlink.is_due(self, now, checkpoints_count);
        for unlink in self.unlinks.lock().extract_if(.., is_due) {
            pump.tasks.push_back(Task::Unlink(unlink));
        }
    }

    /// The journal needs its oldest entries released: small tails are rewritten at its head, others are synced.
    fn relieve_journal(&self, pump: &mut Pump, now: Now) {
        let Some(pressure) = self.pressure(now) else {
            return;
        };
        let slots = self
            .pins
            .lock()
            .partitions_below(pressure.release_to, 8 * TASKS_MAX);
        let mut rewritten = 0;
        for slot in slots {
            let Some(partition) = self.partition_at_work(slot) else {
                continue;
            };
            // A journal that cannot go on takes no rewritten tails either.
            if pressure.urgency == Urgency::Now {
                self.start_flush(pump, &partition, Goal::Synced);
            } else if rewritten < REWRITE_BYTES_MAX
                && self.wal.queued_bytes() < REWRITE_BYTES_MAX as u64
            {
                match self.rewrite_tail(&partition) {
                    Relief::FlushIt => self.start_flush(pump, &partition, Goal::Synced),
                    Relief::Rewritten(bytes) => rewritten += bytes,
                }
            }
            if TASKS_MAX <= pump.tasks.len() {
                break;
            }
        }
    }

    /// What the journal has to release, for its own sake or so that files of large batches can go.
    pub(super) fn pressure(&self, now: Now) -> Option<WalPressure> {
        self.wal.pressure(now).or_else(|| self.large_pressure())
    }

    /// Puts a small tail into the journal again, as one entry in place of its old ones.
    fn rewrite_tail(&self, partition: &Partition) -> Relief {
        let mut state = partition.lock();
        if state.rewritten.is_some() {
            // Only when the new entry is durable are the old ones not needed any more.
            let had_pin = state.pin;
            let is_settled = state.settle_rewrite(self.durable_lsn());
            self.move_pin(partition, had_pin, &state);
            return Relief::Rewritten(usize::from(is_settled));
        }
        let is_wholly_in_memory = state.written_end() == state.synced_end;
        let is_small = state.tail.bytes() < self.options.rewrite_bytes_max;
        let is_fresh = state.rewrites_count < self.options.rewrites_max;
        let may_be_flushed = state.dir.is_some();
        if !is_wholly_in_memory || state.is_in_work || state.pin.is_none() || state.is_gone() {
            return Relief::FlushIt;
        }
        if !(is_small && is_fresh) && may_be_flushed || state.tail.first().is_none() {
            return Relief::FlushIt;
        }
        let header = EntryHeader {
            kind: EntryKind::Tail,
            topic_partition: partition.id(),
            base_offset: state.tail.base(),
            end_offset: state.tail.end(),
            argument: 0,
        };
        let parts: Vec<Bytes> = state
            .tail
            .batches()
            .map(|batch| batch.bytes.clone())
            .collect();
        let bytes = state.tail.bytes();
        // Of the class of the partition: it replaces entries that may have been durable.
        let entry = Entry::new(header, DurabilityClass::Fsync, parts);
        let Ok(lsn) = self.wal.enqueue(entry) else {
            return Relief::FlushIt;
        };
        let end = state.tail.end();
        state.rewritten = Some(Rewrite { lsn, end });
        state.state_lsn = lsn;
        state.rewrites_count += 1;
        self.markers.reach(Marker::TailRewritten);
        Relief::Rewritten(bytes)
    }

    /// Tails hold more than they may: the largest are written to their segments.
    fn relieve_memory(&self, pump: &mut Pump) {
        let bytes = self.tail_bytes.load(Ordering::Relaxed);
        if bytes <= self.options.tail_bytes_max {
            return;
        }
        let slots = self.pins.lock().partitions();
        let mut sizes: Vec<(usize, Arc<Partition>)> = Vec::with_capacity(slots.len());
        for slot in slots {
            if let Some(partition) = self.partition_at_work(slot) {
                // Not the part that waits for the journal. Work that writes nothing would be begun again and again,
                // and no checkpoint begins beside work: the full ring would wait for the checkpoint, the truncation
                // for the ring, and the tail for the truncation.
                let size = partition.lock().flushable_memory(self.durable_lsn());
                sizes.push((size, partition));
            }
        }
        sizes.sort_by_key(|(size, partition)| (std::cmp::Reverse(*size), partition.slot()));
        let wanted = bytes - self.options.tail_bytes_max / 4 * 3;
        let mut freed = 0;
        for (size, partition) in sizes {
            if wanted <= freed || size == 0 {
                break;
            }
            freed += size;
            self.start_flush(pump, &partition, Goal::Written);
        }
    }

    /// Tails that nobody appends to are flushed, so that files show what slow topics hold: one after the other,
    /// because nothing hurries and commits need the same device.
    fn flush_idle(&self, pump: &mut Pump, now: Now) {
        if pump.next_idle_sweep <= now.mono {
            pump.next_idle_sweep = now.mono.plus(IDLE_SWEEP_INTERVAL);
            self.tail_memory.trim();
            if pump.idle.is_empty() {
                pump.idle = self.idle_tails(pump.is_draining, now);
            }
        }
        if pump.is_draining {
            for slot in std::mem::take(&mut pump.idle) {
                self.flush_idle_tail(pump, slot);
            }
            return;
        }
        if pump.stepping_count > 0 || now.mono < pump.next_idle_flush {
            return;
        }
        if let Some(slot) = pump.idle.pop_front() {
            let pause = match self.wal.is_awaited_since(now.mono, BUSY_FOR) {
                true => IDLE_FLUSH_PAUSE_BUSY,
                false => Duration::from_secs(1) / self.options.idle_flushes_per_second,
            };
            pump.next_idle_flush = now.mono.plus(pause);
            self.flush_idle_tail(pump, slot);
        }
    }

    fn idle_tails(&self, all: bool, now: Now) -> VecDeque<PartitionSlot> {
        let slots = self.pins.lock().partitions();
        let is_idle = |slot: &PartitionSlot| {
            let partition = self.partition_at_work(*slot);
            partition.is_some_and(|partition| {
                all || self.options.tail_idle <= now.mono.since(partition.lock().last_append)
            })
        };
        slots.into_iter().filter(is_idle).collect()
    }

    fn flush_idle_tail(&self, pump: &mut Pump, slot: PartitionSlot) {
        if let Some(partition) = self.partition_at_work(slot) {
            self.start_flush(pump, &partition, Goal::Synced);
        }
    }

    fn start_flush(&self, pump: &mut Pump, partition: &Arc<Partition>, goal: Goal) {
        let mut state = partition.lock();
        if state.is_in_work || state.dir.is_none() || pump.is_name_taken(&state) {
            return;
        }
        state.is_in_work = true;
        drop(state);
        let task = FlushTask::new(Arc::clone(partition), goal);
        pump.tasks.push_back(Task::Flush(task));
    }

    fn start_checkpoint(&self, pump: &mut Pump, now: Now) {
        if pump.has_checkpoint() {
            return;
        }
        if let Some(task) = self.checkpoint_due(now, pump.is_draining) {
            pump.tasks.push_back(Task::Checkpoint(Box::new(task)));
        }
    }

    /// Brings a partition's tail to its files, or to the device, without waiting for its time: tests, tools, and
    /// `flush.messages`.
    pub fn request_flush(&self, slot: PartitionSlot, synced: bool) {
        if let Some(partition) = self.partition(slot) {
            let goal = if synced { Goal::Synced } else { Goal::Written };
            self.start_flush(&mut self.pump.lock(), &partition, goal);
        }
    }

    /// One step towards a directory that a restart opens without replaying much: everything is flushed and synced, a
    /// checkpoint is written, the journal is drained. The other pumps go on meanwhile.
    pub fn shutdown_step(&self, now: Now) -> PumpStep {
        {
            let mut pump = self.pump.lock();
            if !pump.is_draining {
                pump.is_draining = true;
                pump.idle.clear();
                pump.next_idle_sweep = now.mono;
            }
        }
        let step = self.flush_step(now);
        if matches!(step, PumpStep::Waiting { .. }) {
            self.wal.begin_shutdown();
        }
        step
    }

    /// True when a shutdown has nothing left to do.
    pub fn is_drained(&self) -> bool {
        let pump = self.pump.lock();
        let is_idle = pump.tasks.is_empty() && pump.stepping_count == 0;
        drop(pump);
        is_idle && self.is_flushed() && self.wal.is_clean()
    }

    /// True when the journal is needed by nobody but partitions without a name, which nothing can be flushed of: a
    /// restart finds them again.
    fn is_flushed(&self) -> bool {
        let pins = self.pins.lock();
        let (slots, count) = (pins.partitions(), pins.count());
        drop(pins);
        let has_no_name = |slot: &PartitionSlot| {
            let partition = self.partition_at_work(*slot);
            partition.is_none_or(|partition| partition.lock().dir.is_none())
        };
        slots.len() == count && slots.iter().all(has_no_name)
    }
}
