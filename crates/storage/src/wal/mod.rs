//! The write-ahead log: the journal of every state change of the partitions of one directory.
//!
//! Entries are queued in the order of their LSNs ([`Wal::enqueue`]), a pump writes and fsyncs them in
//! groups ([`Wal::commit_step`]), and after a crash [`Wal::open`] replays what may not be in the segments
//! yet. docs/formats/wal.md has the bytes.

mod commit;
mod damage;
pub mod entry;
pub(crate) mod file_header;
pub(crate) mod frame;
mod gather;
mod options;
mod queue;
mod recovery;
mod replay;
mod ring;
mod run_record;
mod scan;
mod unproven;
mod zeroing;

pub use damage::Damage;
pub use entry::{Body, DurabilityClass, Entry, EntryHeader, EntryKind, ReplayedEntry};
pub use frame::PAGE_SIZE;
pub use options::WalOptions;
pub use recovery::{WalRecovery, WalStart};
pub use replay::{InspectedFrame, Replayed};
pub use ring::{Urgency, WalPosition, WalPressure};

use crate::disk::{Disk, DiskError};
use crate::marker::{Marker, Markers};
use crate::planted::PlantedBug;
use crate::sync::Mutex;
use commit::{Commit, Stepped};
use ottla_types::{Lsn, Mono, Now};
use queue::{Enqueued, Queue, Writer};
use ring::{Ring, ring_path};
use run_record::RunPreparation;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use zeroing::Zeroing;

/// The journal of one directory. Lock order: a partition's lock, then the queue's; the pump takes no
/// partition lock.
pub struct Wal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: WalOptions,
    markers: Arc<Markers>,
    queue: Queue,
    /// Held by the pump also while it writes, but not during an fsync.
    commit: Mutex<Commit>,
    ring: Mutex<Ring>,
    zeroing: Mutex<Option<Zeroing>>,
    run_preparation: Mutex<RunPreparation>,
    waker: OnceLock<Box<dyn Fn() + Send + Sync>>,
    failure: OnceLock<WalError>,
    is_sync_wanted: AtomicBool,
    /// Somebody came to write what it had queued while another had the lock.
    is_write_missed: AtomicBool,
    is_closing: AtomicBool,
    /// The last write found no room.
    is_full: AtomicBool,
    /// The ring may be one that cannot grow: whoever asks looks.
    was_growth_refused: AtomicBool,
    frames_written: AtomicU64,
    /// When a frame was written last whose fsync somebody waits for, in nanoseconds of the pump's clock.
    last_awaited: AtomicU64,
}

/// Why the journal cannot go on.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WalError {
    /// A write or sync failed: what reached the device is unknown until a restart reads it.
    #[error("the journal is offline: {0}")]
    Disk(#[from] DiskError),
    /// The files were written by a newer version.
    #[error("{} has format version {version}, which this version does not know: use a newer one", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u16,
    },
    /// An entry does not fit a ring file.
    #[error("an entry of {size} bytes is too large for the journal (at most {size_max})")]
    EntryTooLarge {
        /// Size of its body.
        size: usize,
        /// The limit.
        size_max: usize,
    },
}

/// What a step of the pump did, and when to call it again.
#[derive(Clone, Debug)]
pub enum CommitStep {
    /// Nothing to do until something is queued (see [`Wal::set_waker`]).
    Idle,
    /// Nothing to do before this time, unless the waker is called.
    Waiting {
        /// When to call again.
        until: Mono,
    },
    /// A frame was written: entries up to here survive a kill. Call again at once.
    Wrote {
        /// The last LSN written.
        written: Lsn,
    },
    /// Entries up to here survive a power cut. Call again at once.
    Synced {
        /// The last LSN fsynced.
        durable: Lsn,
    },
    /// A step was done towards the next ring file. Call again at once.
    Prepared,
    /// No ring file is free and none can be added: see [`Wal::pressure`].
    Stalled {
        /// When to call again, unless something is released before.
        until: Mono,
    },
    /// The disk had no room for a frame. What is queued stays queued, and is written when there is room.
    Full {
        /// When the write is tried again: call then.
        until: Mono,
    },
    /// The journal is offline for good.
    Failed(WalError),
}

/// What a step in the background did.
#[derive(Clone, Debug)]
pub enum ZeroStep {
    /// Nothing to do at the moment.
    Idle,
    /// One operation. Call again at once.
    Worked,
    /// The journal is offline for good.
    Failed(WalError),
}

/// How large the ring is and how full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalStats {
    /// Size of all ring files in bytes.
    pub ring_bytes: u64,
    /// Bytes that a restart would have to replay.
    pub span_bytes: u64,
    /// Files with frames that may be needed.
    pub live_files_count: usize,
    /// Files without.
    pub free_files_count: usize,
    /// Bytes queued and not written.
    pub queued_bytes: u64,
    /// Frames written since the journal was opened.
    pub frames_written: u64,
}

/// How often a thread writes in a row what others queued while it wrote.
const UNAWAITED_ROUNDS_MAX: usize = 4;

impl Wal {
    /// Opens the journal in `dir` (made when missing; the caller syncs the directory that holds it) and
    /// hands everything from `start` on to `visitor`, in LSN order. Without a start it begins at the oldest
    /// frame there is. When it returns, all that was handed over is on the device.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: WalOptions,
        markers: Arc<Markers>,
        start: Option<WalStart>,
        visitor: &mut dyn FnMut(Replayed),
    ) -> Result<(Wal, WalRecovery), WalError> {
        options.check();
        recovery::open(disk, dir, options, markers, start, visitor)
    }

    /// Shows what is in the journal in `dir` as a start would find it, and changes nothing if `disk` lets
    /// nothing be changed: frames, then the entries of each, and damage, in LSN order. For tools.
    pub fn inspect(
        disk: &dyn Disk,
        dir: &Path,
        start: Option<WalStart>,
        on_frame: &mut dyn FnMut(&InspectedFrame),
        visitor: &mut dyn FnMut(Replayed),
    ) -> Result<WalRecovery, WalError> {
        recovery::inspect(disk, dir, start, on_frame, visitor)
    }

    /// Queues an entry: a short lock, no I/O. Called under the partition's lock, so that LSN order is the
    /// partition's order. Fails when the journal is offline or the entry does not fit.
    pub fn enqueue(&self, entry: Entry) -> Result<Lsn, WalError> {
        self.enqueue_for(Writer::Pump, entry)
    }

    /// The same without waking the pump for it: who queues it calls [`Wal::write_unawaited`] soon.
    pub fn enqueue_unawaited(&self, entry: Entry) -> Result<Lsn, WalError> {
        self.enqueue_for(Writer::Caller, entry)
    }

    fn enqueue_for(&self, writer: Writer, entry: Entry) -> Result<Lsn, WalError> {
        if self.options.entry_size_max < entry.body_size() {
            let (size, size_max) = (entry.body_size(), self.options.entry_size_max);
            return Err(WalError::EntryTooLarge { size, size_max });
        }
        let overtakes = self.options.planted.is(PlantedBug::QueuedOutsideLock);
        match self.queue.push(entry, writer, overtakes) {
            Enqueued::Queued(lsn) => Ok(lsn),
            Enqueued::Wake(lsn) => {
                self.wake();
                Ok(lsn)
            }
            Enqueued::Refused => Err(self
                .failure()
                .expect("the queue is closed by a failure")
                .clone()),
        }
    }

    /// The pump: at most one I/O per call. One thread calls it.
    pub fn commit_step(&self, now: Now) -> CommitStep {
        let stepped = self.commit.lock().step(self, now);
        let step = match stepped {
            Stepped::Done(step) => step,
            Stepped::Sync(sync) => {
                let result = sync.run(self.options.planted);
                self.commit.lock().end_sync(self, now, sync, result)
            }
        };
        if self.was_write_missed() {
            self.wake();
        }
        step
    }

    /// Writes what is queued, unless the pump must: through the page cache, so that the caller hardly waits. For
    /// threads that queue entries nobody awaits an fsync of: it saves them the way to the pump and back. Returns
    /// [`CommitStep::Wrote`] if anything was written, otherwise what went wrong, or `None`.
    pub fn write_unawaited(&self, now: Now) -> Option<CommitStep> {
        let mut wrote = None;
        for _ in 0..UNAWAITED_ROUNDS_MAX {
            let mut commit = self.commit.try_lock();
            if commit.is_none() {
                // Who has it looks here after letting go of it.
                self.is_write_missed.store(true, Ordering::SeqCst);
                fence(Ordering::SeqCst);
                commit = self.commit.try_lock();
            }
            let Some(mut commit) = commit else {
                return wrote;
            };
            let step = commit.write_unawaited(self, now);
            drop(commit);
            if wrote.is_some() && !matches!(step, None | Some(CommitStep::Wrote { .. })) {
                break; // The pump comes upon it as well; that something was written is known to nobody else.
            }
            wrote = step.or(wrote);
            if !self.was_write_missed() {
                return wrote;
            }
        }
        // Who has to hear of what was written for them does so when the caller has returned: the rest is the pump's.
        self.wake();
        wrote
    }

    /// Whether somebody wanted to write while we did.
    fn was_write_missed(&self) -> bool {
        fence(Ordering::SeqCst);
        self.is_write_missed.swap(false, Ordering::SeqCst)
    }

    /// Prepares the next ring file in the background, and what the next start needs: at most one I/O per call.
    pub fn zero_step(&self, now: Now) -> ZeroStep {
        if let Some(error) = self.failure() {
            return ZeroStep::Failed(error.clone());
        }
        let mut zeroing = self.zeroing.lock();
        match self
            .remove_doomed()
            .and_then(|did| Ok(did || self.prepare(&mut zeroing, now.mono)?))
            .and_then(|did| Ok(did || self.prepare_next_run()?))
        {
            Ok(false) => ZeroStep::Idle,
            Ok(true) => {
                if zeroing.is_none() && self.ring.lock().wanted_size.is_some() {
                    self.wake();
                }
                ZeroStep::Worked
            }
            Err(error) => {
                self.go_offline(error.clone());
                ZeroStep::Failed(error)
            }
        }
    }

    /// Called when the pump said `Idle`, `Waiting` or `Stalled` and there is something to do now. It must
    /// be remembered until the pump sleeps, as `Thread::unpark` is. Only the first call has an effect.
    pub fn set_waker(&self, waker: Box<dyn Fn() + Send + Sync>) {
        let _ = self.waker.set(waker);
    }

    /// The highest LSN that is fsynced, with all below it.
    pub fn durable_lsn(&self) -> Lsn {
        self.queue.durable()
    }

    /// The highest LSN that was handed to the operating system, with all below it.
    pub fn written_lsn(&self) -> Lsn {
        self.queue.written()
    }

    /// The LSN the next entry gets.
    pub fn next_lsn(&self) -> Lsn {
        self.queue.next_lsn()
    }

    /// True when within the last `span` something was written that somebody waits for.
    pub fn is_awaited_since(&self, now: Mono, span: Duration) -> bool {
        let last = Mono::from_nanos(self.last_awaited.load(Ordering::Relaxed));
        last != Mono::ZERO && now.since(last) < span
    }

    /// Bytes of bodies that wait to be written.
    pub fn queued_bytes(&self) -> u64 {
        self.queue.queued_bytes()
    }

    /// True while the disk has no room for what is queued: the last write was refused, or the ring cannot grow and has
    /// just enough left for deletions, or will have when all that is queued is written.
    pub fn is_full(&self) -> bool {
        if self.is_full.load(Ordering::Relaxed) {
            return true;
        }
        if !self.was_growth_refused.load(Ordering::Relaxed) {
            return false;
        }
        let ring = self.ring.lock();
        self.was_growth_refused
            .store(ring.is_refused, Ordering::Relaxed);
        ring.is_short(self.queue.queued_bytes())
    }

    /// Asks for an fsync of entries that were written without one: a topic became durable.
    pub fn sync_soon(&self) {
        self.is_sync_wanted.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// Where a replay must begin to meet the entry `oldest_needed` and all after it. With
    /// [`Wal::next_lsn`] when nothing is needed. This is what a checkpoint keeps.
    pub fn position_for_checkpoint(&self, oldest_needed: Lsn) -> WalPosition {
        self.ring.lock().position_of(oldest_needed)
    }

    /// The checkpoint with position `newest` is durable; `kept` is the position of the oldest one that a
    /// restart may still fall back to. Ring files wholly before `kept` may be used again.
    pub fn checkpointed(&self, newest: &WalPosition, kept: &WalPosition) {
        let released = self.ring.lock().release(newest, kept);
        if 0 < released {
            self.wake();
        }
    }

    /// What must be released so that the ring can go on, if anything.
    pub fn pressure(&self, now: Now) -> Option<WalPressure> {
        self.ring.lock().pressure(now.mono.as_nanos())
    }

    /// The place behind the entry `lsn` that replays must begin at for it not to be met, as something to be released
    /// without haste.
    pub fn release_of(&self, lsn: Lsn) -> WalPressure {
        let ring = self.ring.lock();
        let place = ring.place_behind(lsn);
        WalPressure {
            release_to: place.lsn,
            release_to_frame: place.frame_seq,
            urgency: Urgency::Soon,
            span_bytes: ring.span_bytes(),
        }
    }

    /// Sizes, for metrics.
    pub fn stats(&self) -> WalStats {
        let ring = self.ring.lock();
        let (live_files_count, free_files_count) = ring.counts();
        WalStats {
            ring_bytes: ring.total_size(),
            span_bytes: ring.span_bytes(),
            live_files_count,
            free_files_count,
            queued_bytes: self.queued_bytes(),
            frames_written: self.frames_written.load(Ordering::Relaxed),
        }
    }

    /// A shutdown begins: from now on the pump commits without pauses and proves the last frame at once.
    pub fn begin_shutdown(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
        self.wake();
    }

    /// True when everything queued is fsynced and proven: a restart has nothing to rewrite.
    pub fn is_clean(&self) -> bool {
        let commit = self.commit.lock();
        self.queue.count_or_arm(1) == 0 && commit.is_clean()
    }

    /// Why it is offline, if it is.
    pub fn failure(&self) -> Option<&WalError> {
        self.failure.get()
    }

    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Relaxed)
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker();
        }
    }

    fn go_offline(&self, error: WalError) {
        self.markers.reach(Marker::WalOffline);
        let _ = self.failure.set(error);
        self.queue.close();
        self.wake();
    }

    fn prepare_next_run(&self) -> Result<bool, WalError> {
        let mut preparation = self.run_preparation.lock();
        preparation.step(&*self.disk, &self.dir)
    }

    fn remove_doomed(&self) -> Result<bool, WalError> {
        let Some(number) = self.ring.lock().take_doomed() else {
            return Ok(false);
        };
        match self.disk.remove_file(&ring_path(&self.dir, number)) {
            Ok(()) => self.markers.reach(Marker::RingFileRemoved),
            // Some file systems need room to remove a file. It lies unused until the next recovery, which takes it for
            // a free one again.
            Err(error) if error.is_full() => {}
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
