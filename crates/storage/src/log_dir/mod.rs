//! A log directory: the public face of storage.
//!
//! Requests call [`LogDir::append`] and [`LogDir::read`], which never wait for a device. What has to wait is done
//! by pumps that somebody else calls: [`LogDir::commit_step`] (the journal), [`LogDir::flush_step`] (segments,
//! checkpoints, deletions), [`LogDir::retention_step`], [`LogDir::clean_step`], [`LogDir::scrub_step`],
//! [`LogDir::zero_step`].

mod cache;
mod changes;
mod error;
mod file_range;
mod health;
mod options;
mod partition_record;
mod pins;
mod reader_memory;
mod table;

mod admin;
mod append;
mod futures;
mod read;
mod remembered;
mod replica;
mod timestamps;

mod checkpointing;
mod cleaner;
mod cut_producers;
mod deletion;
mod file_history;
mod healing;
mod large;
mod pump;
mod rebuild;
mod recovering;
mod recovery;
mod replay;
mod retention;
mod scrub;
mod snapshots;
mod work;

#[cfg(test)]
mod tests;

pub use crate::partition::{Durability, Ends, LogConfig};
pub use append::{AppendBatch, AppendOrigin, Appended};
pub use cleaner::CleanerStats;
pub use error::{AppendError, OpenError, ReadError, ReadTicket, StorageError};
pub use file_range::FileRange;
pub use health::DirHealth;
pub use large::LargeBatch;
pub use options::LogDirOptions;
pub use pump::PumpStep;
pub use read::{Part, ReadLimit, ReadPlan};
pub use recovery::{RecoveryReport, Verdict};
pub use remembered::Remembered;
pub use scrub::ScrubStats;
pub use timestamps::TimestampOffset;

use crate::disk::{Disk, DiskError, DiskLock};
use crate::findings::Findings;
use crate::marker::Markers;
use crate::partition::{Partition, PartitionState};
use crate::planted::PlantedBug;
pub use admin::PartitionSizes;

use crate::segment::ReadFault;
use crate::tail_memory::TailMemory;
use crate::wal::{CommitStep, Wal, WalStats, ZeroStep};
use file_range::ReadShared;
use health::Health;
use large::LargeFiles;
use ottla_types::{LeaderEpoch, Lsn, Now, Offset, PartitionSlot};
use parking_lot::{Mutex, RwLock};
use pins::Pins;
use reader_memory::ReaderMemory;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use table::Table;

/// A log directory, open.
///
/// The cleaner's lock is taken before all others. Lock order: table, partition, then pins or the journal's queue. The pump's lock is taken before any of them.
pub struct LogDir {
    disk: Arc<dyn Disk>,
    options: LogDirOptions,
    wal: Wal,
    reads: Arc<ReadShared>,
    table: RwLock<Table>,
    pins: Mutex<Pins>,
    pump: Mutex<pump::Pump>,
    unlinks: Mutex<Vec<deletion::Unlink>>,
    /// Dropped partitions whose entries are not known to be durable.
    dropping: Mutex<Vec<(Arc<Partition>, Lsn)>>,
    /// Names that directories were given in this process to be removed under.
    removing: Mutex<BTreeSet<String>>,
    checkpoints: Mutex<checkpointing::Checkpoints>,
    retention: Mutex<retention::Sweep>,
    scrub: Mutex<scrub::Scrub>,
    cleaner: Mutex<cleaner::Cleaner>,
    /// Options that the cleaner has not taken up yet.
    cleaner_wanted: Mutex<Option<crate::cleaner::CleanerOptions>>,
    cleaner_stats: cleaner::SharedStats,
    /// Compacted segments that wait for their names.
    swaps: Mutex<Vec<cleaner::swap::SwapTask>>,
    health: Arc<Health>,
    findings: Arc<Findings>,
    markers: Arc<Markers>,
    verdict: Verdict,
    tail_memory: TailMemory,
    reader_memory: ReaderMemory,
    large: Arc<LargeFiles>,
    flush_waker: OnceLock<Box<dyn Fn() + Send + Sync>>,
    tail_bytes: AtomicUsize,
    /// What a replay put into tails beyond what they may hold: nobody waits until that is flushed.
    replayed_excess: AtomicUsize,
    producers_count: AtomicUsize,
    /// Begins as the option; changes while the directory is open.
    producer_expiration_ms: AtomicI64,
    free_bytes: AtomicU64,
    total_bytes: AtomicU64,
    _lock: DiskLock,
}

/// Sizes and counts, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogDirStats {
    /// Partitions.
    pub partitions_count: usize,
    /// Memory of batches that are only there and in the journal: their bytes and what each takes beside them.
    pub tail_bytes: usize,
    /// Bytes of answers that readers have not taken yet, whether they are still in tails or not.
    pub reader_bytes: usize,
    /// Bytes of files of large batches, which a restart may read.
    pub large_bytes: u64,
    /// Partitions with something that is not synced in a segment.
    pub dirty_partitions_count: usize,
    /// Producers remembered in memory.
    pub producers_count: usize,
    /// Free bytes on the disk when last asked.
    pub free_bytes: u64,
    /// Size of the disk when last asked.
    pub total_bytes: u64,
    /// The journal's sizes.
    pub wal: WalStats,
}

impl LogDir {
    /// The pump of the journal: at most one I/O per call. One thread calls it.
    pub fn commit_step(&self, now: Now) -> CommitStep {
        let step = self.wal.commit_step(now);
        self.note_commit(&step);
        step
    }

    /// Writes what the journal has to write, if that is the caller's (see [`LogDir::append_unawaited`]). Returns whether
    /// the journal got further.
    pub fn write_unawaited(&self, now: Now) -> bool {
        let step = self.wal.write_unawaited(now);
        if let Some(step) = &step {
            self.note_commit(step);
        }
        matches!(step, Some(CommitStep::Wrote { .. }))
    }

    fn note_commit(&self, step: &CommitStep) {
        match step {
            CommitStep::Failed(error) => self.health.fail(error.to_string()),
            // Told at once, and not only when space is looked at next: what is appended until then takes the room that
            // deletions need.
            CommitStep::Full { .. } => self.health.set_full(true),
            CommitStep::Wrote { .. } | CommitStep::Prepared | CommitStep::Stalled { .. }
                if self.wal.is_full() =>
            {
                self.health.set_full(true);
            }
            CommitStep::Idle
            | CommitStep::Waiting { .. }
            | CommitStep::Wrote { .. }
            | CommitStep::Synced { .. }
            | CommitStep::Prepared
            | CommitStep::Stalled { .. } => {}
        }
    }

    /// Called when [`LogDir::flush_step`] has something to do before the time it named. Only the first call has an
    /// effect.
    pub fn set_flush_waker(&self, waker: Box<dyn Fn() + Send + Sync>) {
        let _ = self.flush_waker.set(waker);
    }

    /// Prepares the next file of the journal's ring: at most one I/O per call.
    pub fn zero_step(&self, now: Now) -> ZeroStep {
        let step = self.wal.zero_step(now);
        match &step {
            ZeroStep::Failed(error) => self.health.fail(error.to_string()),
            ZeroStep::Worked if self.wal.is_full() => self.health.set_full(true),
            ZeroStep::Worked | ZeroStep::Idle => {}
        }
        step
    }

    /// The journal.
    pub fn wal(&self) -> &Wal {
        &self.wal
    }

    /// The highest LSN that is fsynced, with all below it.
    pub fn durable_lsn(&self) -> Lsn {
        self.wal.durable_lsn()
    }

    /// The highest LSN that the operating system has, with all below it.
    pub fn written_lsn(&self) -> Lsn {
        self.wal.written_lsn()
    }

    /// Whether what depends on `lsn` may be acknowledged on this partition.
    pub fn is_durable(&self, slot: PartitionSlot, lsn: Lsn) -> bool {
        if lsn <= self.durable_lsn() {
            return true;
        }
        if self.written_lsn() < lsn {
            return false;
        }
        let Some(partition) = self.partition(slot) else {
            return false;
        };
        let state = partition.lock();
        lsn <= self.durable_for(&state)
    }

    /// The durability that is in effect for a partition.
    pub fn durability(&self, slot: PartitionSlot) -> Option<Durability> {
        let partition = self.partition(slot)?;
        let durability = partition.lock().durability(self.durable_lsn());
        Some(durability)
    }

    /// The ends of a partition.
    pub fn ends(&self, slot: PartitionSlot) -> Option<Ends> {
        let partition = self.partition(slot)?;
        // Asked before the state: an append in between can only make the answer too small.
        let (written, durable) = (self.written_lsn(), self.durable_lsn());
        let mut ends = partition.lock().ends(written, durable);
        if self
            .options
            .planted
            .is(PlantedBug::HighWatermarkBeforeFsync)
        {
            ends.durable_end = ends.appended_end;
        }
        Some(ends)
    }

    /// The epoch that the newest record, or a newer leadership, has.
    pub fn latest_epoch(&self, slot: PartitionSlot) -> Option<LeaderEpoch> {
        let partition = self.partition(slot)?;
        let state = partition.lock();
        state.epochs.latest().max(state.leader_epoch)
    }

    /// The epoch that wrote `offset`.
    pub fn epoch_of(&self, slot: PartitionSlot, offset: Offset) -> Option<LeaderEpoch> {
        self.partition(slot)?.lock().epochs.epoch_of(offset)
    }

    /// The largest known epoch not above `epoch`, and the offset after its last record (KIP-101, KIP-279).
    pub fn epoch_end_offset(
        &self,
        slot: PartitionSlot,
        epoch: LeaderEpoch,
    ) -> Option<(LeaderEpoch, Offset)> {
        let partition = self.partition(slot)?;
        let state = partition.lock();
        if state.leader_epoch == Some(epoch) {
            return Some((epoch, state.appended_end()));
        }
        state.epochs.end_offset(epoch, state.appended_end())
    }

    /// Whether the directory takes part.
    pub fn health(&self) -> DirHealth {
        self.health.get()
    }

    /// What is not as it should be on disk, whoever came upon it: readers, the flusher, the scrub.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// What recovery said about the directory.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// What this run has reached so far.
    pub fn markers(&self) -> &Markers {
        &self.markers
    }

    /// Lets producers that are unused for longer than this be forgotten from now on.
    pub fn set_producer_expiration_ms(&self, millis: i64) {
        self.producer_expiration_ms.store(millis, Ordering::Relaxed);
    }

    /// Its options.
    pub fn options(&self) -> &LogDirOptions {
        &self.options
    }

    /// True when producers should wait before they send more: tails or the journal's queue hold more than they
    /// should. Asked before an append is tried; appends themselves are not refused. What a replay left in tails is
    /// memory that is taken already: it makes nobody wait, and goes as it is flushed. Nor does a directory that
    /// refuses every append: the refusal is the answer.
    pub fn is_congested(&self) -> bool {
        self.admit(AppendOrigin::Client).is_ok() && self.holds_more_than(1)
    }

    /// Whether readers hold so much memory that each read gives one batch: more is not to be waited for.
    pub fn gives_readers_little(&self) -> bool {
        self.reader_memory.is_short()
    }

    /// True when it holds twice as much as makes producers wait: then also those should be refused who cannot wait.
    pub fn is_overloaded(&self) -> bool {
        self.holds_more_than(2)
    }

    /// Whether tails or the journal's queue hold more than so many times what makes producers wait.
    fn holds_more_than(&self, times: usize) -> bool {
        let tails_max = self.options.tail_bytes_max + self.options.tail_bytes_max / 2;
        tails_max * times + self.replayed_excess.load(Ordering::Relaxed)
            < self.tail_bytes.load(Ordering::Relaxed)
            || ((self.options.tail_bytes_max / 2 * times) as u64) < self.wal.queued_bytes()
    }

    /// Sizes and counts.
    pub fn stats(&self) -> LogDirStats {
        LogDirStats {
            partitions_count: self.table.read().count(),
            tail_bytes: self.tail_bytes.load(Ordering::Relaxed),
            reader_bytes: self.reader_memory.held_bytes(),
            large_bytes: self.large.needed_bytes(),
            dirty_partitions_count: self.pins.lock().count(),
            producers_count: self.producers_count.load(Ordering::Relaxed),
            free_bytes: self.free_bytes.load(Ordering::Relaxed),
            total_bytes: self.total_bytes.load(Ordering::Relaxed),
            wal: self.wal.stats(),
        }
    }

    fn partition(&self, slot: PartitionSlot) -> Option<Arc<Partition>> {
        self.table.read().get(slot).cloned()
    }

    fn durable_for(&self, state: &PartitionState) -> Lsn {
        state.durable_lsn(self.written_lsn(), self.durable_lsn())
    }

    fn check_online(&self) -> Result<(), ReadError> {
        if self.health.is_offline() {
            Err(ReadError::Offline)
        } else {
            Ok(())
        }
    }

    /// Passes on what a read came to. A device that could not read is told, and takes the directory offline.
    fn told<T>(&self, read: Result<T, ReadError>) -> Result<T, ReadError> {
        if let Err(ReadError::Fault(ReadFault::Disk(error))) = &read {
            self.reads.failed(error);
        }
        read
    }

    /// Whether appends of this origin are taken now. Producers and replicas are refused while the disk is full; what a
    /// coordinator writes goes into half of the reserve.
    pub fn admit(&self, origin: AppendOrigin) -> Result<(), AppendError> {
        match self.health.get() {
            // Others look at the disk now and then; a burst is faster.
            DirHealth::Online if self.wal.is_full() => Err(AppendError::Full),
            DirHealth::Online => Ok(()),
            DirHealth::Full if origin == AppendOrigin::Coordinator && self.has_reserve() => Ok(()),
            DirHealth::Full => Err(AppendError::Full),
            DirHealth::Offline { .. } => Err(AppendError::Offline),
        }
    }

    /// Whether more than half of the reserve was free when free space was asked for last.
    fn has_reserve(&self) -> bool {
        if self.wal.is_full() {
            // Whatever the file system says.
            return false;
        }
        let free = self.free_bytes.load(Ordering::Relaxed);
        let unflushed = self.tail_bytes.load(Ordering::Relaxed) as u64;
        self.reserve(self.total_bytes.load(Ordering::Relaxed)) / 2 + unflushed < free
    }

    /// Bytes of the disk that producers leave free.
    fn reserve(&self, total_bytes: u64) -> u64 {
        let percent = u64::from(self.options.reserve_percent);
        self.options.reserve_bytes.max(total_bytes / 100 * percent)
    }

    /// An operation of a pump failed. A full disk is waited out; anything else ends the directory's service.
    fn failed(&self, error: &DiskError) {
        if error.is_full() {
            self.health.set_full(true);
        } else {
            self.health.fail(error.to_string());
        }
    }

    fn add_tail_bytes(&self, bytes: usize) {
        self.tail_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn free_tail_bytes(&self, bytes: usize) {
        let left = self.tail_bytes.fetch_sub(bytes, Ordering::Relaxed) - bytes;
        if 0 < self.replayed_excess.load(Ordering::Relaxed) {
            let excess = left.saturating_sub(self.options.tail_bytes_max);
            self.replayed_excess.fetch_min(excess, Ordering::Relaxed);
        }
    }

    fn count_producers(&self, more: usize, fewer: usize) {
        self.producers_count.fetch_add(more, Ordering::Relaxed);
        self.producers_count.fetch_sub(fewer, Ordering::Relaxed);
    }

    /// The partition's pin may have moved from `had` while `state` was locked.
    fn move_pin(&self, partition: &Partition, had: Option<Lsn>, state: &PartitionState) {
        if had != state.pin {
            self.pins.lock().moved(partition.slot(), had, state.pin);
        }
    }
}

/// Names that the directory uses beside those of partitions.
pub(crate) mod dir_names {
    /// Locked by the process that uses the directory.
    pub(crate) const LOCK: &str = ".lock";
    /// The journal.
    pub(crate) const WAL: &str = "wal";
    /// Batches that are too large for the journal.
    pub(crate) const LARGE: &str = "large";
    /// The checkpoints.
    pub(crate) const CHECKPOINTS: &str = "checkpoints";
}

const _: fn() = || {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<LogDir>();
};
