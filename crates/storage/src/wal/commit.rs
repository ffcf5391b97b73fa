//! The journal's pump: gathers a group, writes its frame, syncs it, publishes.

use super::entry::{DurabilityClass, Entry, EntryKind};
use super::file_header::FileHeader;
use super::frame::{FrameBuilder, FramePlace, PAGE_SIZE};
use super::gather::Gather;
use super::queue::Taken;
use super::ring::{RingFile, WalPosition};
use super::zeroing::Zeroing;
use super::{CommitStep, Wal, WalError};
use crate::disk::{DiskError, DiskFile};
use crate::marker::Marker;
use crate::planted::{Planted, PlantedBug};
use bytes::Bytes;
use ottla_types::{Lsn, Mono, Now};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// At most so many entries in a frame: bounds the number of pieces of one write.
const GROUP_ENTRIES_MAX: usize = 16 << 10;

/// Buffers for so many entries (some 100 bytes each) are kept from group to group.
const KEPT_ENTRIES_MAX: usize = 32 << 10;

/// State of the pump; only one thread works on it at a time.
pub(crate) struct Commit {
    /// Entries taken from the queue, not written yet.
    pending: VecDeque<Entry>,
    spare: Vec<Entry>,
    builder: FrameBuilder,
    head: Option<Head>,
    run: u32,
    activation: u32,
    epoch: u64,
    epoch_start_seq: u64,
    next_seq: u64,
    next_lsn: Lsn,
    /// All frames up to this one are fsynced.
    synced_seq: u64,
    /// Empty frames that recovery found before the head: written again together with the next frame.
    prefix: Bytes,
    unsynced: Option<Unsynced>,
    /// The pump fsyncs, and does not hold the lock meanwhile.
    is_syncing: bool,
    /// The last fsynced frame has entries and no later frame proves that it was synced.
    owes_proof: bool,
    last_write: Mono,
    /// A write found no room: none is tried before.
    full_until: Option<Mono>,
    released: usize,
    gather: Gather,
}

/// The file that is written, and where the next frame goes.
#[derive(Clone)]
pub(crate) struct Head {
    pub(crate) number: u32,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) size: u64,
    pub(crate) position: u64,
}

/// Frames that are written and not fsynced. They are all in the file that is written.
struct Unsynced {
    since: Mono,
    bytes: u64,
    entries_count: usize,
    /// Some of their entries wait for the fsync.
    is_awaited: bool,
}

/// What a step came to.
pub(crate) enum Stepped {
    Done(CommitStep),
    /// An fsync is to be done, without the lock: others may write meanwhile.
    Sync(Sync),
}

/// An fsync of the file at the head, and what will be durable with it.
pub(crate) struct Sync {
    file: Arc<dyn DiskFile>,
    unsynced: Option<Unsynced>,
    frame_seq: u64,
    lsn: Lsn,
}

impl Sync {
    /// Waits for the device.
    pub(crate) fn run(&self, planted: Planted) -> Result<(), DiskError> {
        match planted.is(PlantedBug::SkipFsync) {
            true => Ok(()),
            false => self.file.sync_data(),
        }
    }
}

/// How a frame gets into its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// Past the page cache if it is large.
    BySize,
    /// Through the page cache: its writer has no time to wait for the device.
    Cached,
}

/// What recovery hands over.
pub(crate) struct CommitStart {
    pub(crate) head: Option<Head>,
    pub(crate) run: u32,
    pub(crate) next_seq: u64,
    pub(crate) next_lsn: Lsn,
    pub(crate) synced_seq: u64,
    pub(crate) prefix: Bytes,
    pub(crate) owes_proof: bool,
}

impl Commit {
    pub(crate) fn new(start: CommitStart, gather: Gather) -> Commit {
        Commit {
            pending: VecDeque::new(),
            spare: Vec::new(),
            builder: FrameBuilder::default(),
            head: start.head,
            run: start.run,
            activation: 0,
            epoch: ring_epoch(start.run, 0),
            epoch_start_seq: start.next_seq,
            next_seq: start.next_seq,
            next_lsn: start.next_lsn,
            synced_seq: start.synced_seq,
            prefix: start.prefix,
            unsynced: None,
            is_syncing: false,
            owes_proof: start.owes_proof,
            last_write: Mono::ZERO,
            full_until: None,
            released: 0,
            gather,
        }
    }

    /// True when nothing is left to do: all is written, fsynced and proven.
    pub(crate) fn is_clean(&self) -> bool {
        self.pending.is_empty() && self.unsynced.is_none() && !self.is_syncing && !self.owes_proof
    }

    /// Somebody waits for the fsync of what was written without one.
    fn sync_soon(&mut self) {
        if let Some(unsynced) = &mut self.unsynced {
            unsynced.is_awaited = true;
        }
    }

    /// One step of the pump: at most one I/O. An fsync is only begun.
    pub(crate) fn step(&mut self, wal: &Wal, now: Now) -> Stepped {
        if let Some(error) = wal.failure() {
            return Stepped::Done(CommitStep::Failed(error.clone()));
        }
        if wal.is_sync_wanted.swap(false, Ordering::Relaxed) {
            self.sync_soon();
        }
        match self.try_step(wal, now.mono) {
            Ok(stepped) => stepped,
            Err(error) => Stepped::Done(self.failed(wal, now.mono, error)),
        }
    }

    /// Writes what is queued, if that is little and nobody awaits an fsync of any of it; otherwise, and with all that
    /// comes after the write, the pump is woken. `None` when nothing was written.
    pub(crate) fn write_unawaited(&mut self, wal: &Wal, now: Now) -> Option<CommitStep> {
        let is_pumps = !self.pending.is_empty() || self.full_until.is_some();
        if is_pumps || wal.failure().is_some() {
            return None;
        }
        let bytes_max = wal.options.unawaited_bytes_max;
        match wal.queue.take_unawaited(bytes_max, &mut self.spare) {
            Taken::All => {}
            Taken::Awaited => return None,
            Taken::TooMuch => {
                wal.wake();
                return None;
            }
        }
        self.pending.extend(self.spare.drain(..));
        if self.pending.is_empty() {
            return None;
        }
        self.build_group(wal);
        let size = self.builder.size();
        let head = self.head.as_ref();
        if head.is_none_or(|head| head.size - head.position < size) {
            wal.wake();
            return None; // they stay pending
        }
        let had_unsynced = self.unsynced.is_some();
        let count = self.builder.entries_count();
        let step = match self.write_frame(wal, now.mono, count, Route::Cached) {
            Ok(()) => CommitStep::Wrote {
                written: self.last_lsn(),
            },
            Err(error) => self.failed(wal, now.mono, error),
        };
        wal.markers.reach(Marker::UnawaitedWritten);
        let is_all = matches!(step, CommitStep::Wrote { .. }) && self.pending.is_empty();
        if !is_all || !had_unsynced || self.is_sync_due(wal, now.mono) {
            wal.wake(); // it does the rest, or has to know when to sync
        }
        Some(step)
    }

    fn failed(&mut self, wal: &Wal, now: Mono, error: WalError) -> CommitStep {
        match error {
            WalError::Disk(error) if error.is_full() => self.wait_for_room(wal, now),
            error => {
                // What a failed write or fsync left behind is unknown, and trying again would only ask
                // the page cache: the journal stays offline until it is recovered by a restart.
                wal.go_offline(error.clone());
                self.pending.clear();
                CommitStep::Failed(error)
            }
        }
    }

    /// There was no room for a frame. Some of it may have been written, or all, but nothing was told to anybody and
    /// nothing here has moved: the same group goes to the same place again, with the same number, over whatever lies
    /// there. A crash in between leaves a frame that is torn, or one that is whole and that recovery writes again. What
    /// was written before is synced meanwhile as ever; a sync that fails is final.
    fn wait_for_room(&mut self, wal: &Wal, now: Mono) -> CommitStep {
        wal.markers.reach(Marker::WalFull);
        wal.is_full.store(true, Ordering::Relaxed);
        let until = now.plus(wal.options.full_retry_after);
        self.full_until = Some(until);
        CommitStep::Full { until }
    }

    fn try_step(&mut self, wal: &Wal, now: Mono) -> Result<Stepped, WalError> {
        if self.is_sync_due(wal, now) {
            return Ok(self.begin_sync(now));
        }
        if let Some(until) = self.full_until.filter(|until| now < *until) {
            return Ok(Stepped::Done(CommitStep::Full { until }));
        }
        if self.full_until.is_some() && self.pending.is_empty() {
            // What was refused is a proof. It may be there as a whole, and then a group that goes to another file must
            // not have its number: a recovery would meet the proof first, and miss the group.
            return self.write_proof(wal, now);
        }
        if self.pending.is_empty()
            && let Some(step) = self.gather(wal, now)
        {
            return Ok(Stepped::Done(step));
        }
        if self.pending.is_empty() {
            return self.idle(wal, now);
        }
        self.write_group(wal, now)
    }

    fn is_sync_due(&self, wal: &Wal, now: Mono) -> bool {
        let Some(unsynced) = &self.unsynced else {
            return false;
        };
        if unsynced.is_awaited || wal.is_closing() {
            return true;
        }
        let is_due = wal.options.os_sync_after <= now.since(unsynced.since)
            || wal.options.os_sync_bytes <= unsynced.bytes;
        if is_due {
            wal.markers.reach(Marker::OsSyncDue);
        }
        is_due
    }

    /// Fills `pending` from the queue, or says until when to wait for a larger group.
    fn gather(&mut self, wal: &Wal, now: Mono) -> Option<CommitStep> {
        let waiting = wal.queue.count_or_arm(1);
        self.gather.after_sync(now, self.released, waiting);
        if waiting == 0 {
            return None;
        }
        if !wal.is_closing()
            && let Some((enough, until)) = self.gather.wait(now, waiting)
            && wal.queue.count_or_arm(enough) < enough
        {
            wal.markers.reach(Marker::CommitGathered);
            return Some(CommitStep::Waiting { until });
        }
        if KEPT_ENTRIES_MAX < self.pending.capacity() + self.spare.capacity() {
            // A burst is over: its memory is not kept.
            (self.pending, self.spare) = (VecDeque::new(), Vec::new());
        }
        wal.queue.take(&mut self.spare);
        self.pending.extend(self.spare.drain(..));
        None
    }

    /// Nothing is queued: proves the last frame after a while, and says when to look again.
    fn idle(&mut self, wal: &Wal, now: Mono) -> Result<Stepped, WalError> {
        let os_due = self
            .unsynced
            .as_ref()
            .map(|it| it.since.plus(wal.options.os_sync_after));
        if !self.owes_proof || self.unsynced.is_some() {
            let step = os_due.map_or(CommitStep::Idle, |until| CommitStep::Waiting { until });
            return Ok(Stepped::Done(step));
        }
        let until = self.last_write.plus(wal.options.idle_after);
        if now < until && !wal.is_closing() {
            return Ok(Stepped::Done(CommitStep::Waiting { until }));
        }
        self.write_proof(wal, now)
    }

    /// Writes an empty frame, which proves the one before.
    fn write_proof(&mut self, wal: &Wal, now: Mono) -> Result<Stepped, WalError> {
        self.builder.clear();
        if let Some(step) = self.make_room(wal, now)? {
            return Ok(step);
        }
        wal.markers.reach(Marker::IdleFrameWritten);
        self.write_frame(wal, now, 0, Route::BySize)?;
        // Without this fsync the proof would not survive a power cut; nobody waits for it.
        self.sync_soon();
        self.owes_proof = false;
        Ok(self.wrote())
    }

    fn wrote(&self) -> Stepped {
        Stepped::Done(CommitStep::Wrote {
            written: self.last_lsn(),
        })
    }

    /// Writes one frame with as many pending entries as fit.
    fn write_group(&mut self, wal: &Wal, now: Mono) -> Result<Stepped, WalError> {
        self.build_group(wal);
        if let Some(step) = self.make_room(wal, now)? {
            return Ok(step);
        }
        let count = self.builder.entries_count();
        self.write_frame(wal, now, count, Route::BySize)?;
        Ok(self.wrote())
    }

    /// Builds a frame of as many pending entries as fit.
    fn build_group(&mut self, wal: &Wal) {
        let room_here = self
            .head
            .as_ref()
            .map_or(0, |head| head.size - head.position);
        // Every file has at least this room after its activation.
        let room_next = wal.options.first_file_size - PAGE_SIZE;
        let mut room = room_here;
        self.builder.clear();
        for entry in self.pending.iter().take(GROUP_ENTRIES_MAX) {
            let is_aligned = entry.lies_at().is_some();
            let size = self.builder.size_with(entry.body_size(), is_aligned);
            if self.builder.entries_count() == 0 {
                // The first entry is taken in any case: when it does not fit here, the next file is needed.
                room = if size <= room_here {
                    room_here
                } else {
                    room_next
                };
            } else if wal.options.group_size_max < size || room < size {
                break;
            }
            let record = entry.directory_record();
            match entry.lies_at() {
                Some(lies_at) => self.builder.push_aligned(&record, lies_at),
                None => self.builder.push(&record),
            }
        }
        self.builder.place_bodies();
    }

    /// Sees to it that the built frame fits the file at the head; otherwise does one step towards that.
    fn make_room(&mut self, wal: &Wal, now: Mono) -> Result<Option<Stepped>, WalError> {
        let size = self.builder.size();
        if self
            .head
            .as_ref()
            .is_some_and(|head| size <= head.size - head.position)
        {
            return Ok(None);
        }
        if !self.prefix.is_empty() {
            let head = self
                .head
                .as_ref()
                .expect("frames before the head are in its file");
            let position = head.position - self.prefix.len() as u64;
            head.file.write_at(position, &[&self.prefix])?;
            self.prefix = Bytes::new();
            self.has_room(wal);
            self.note_unsynced(now, 0, 0, true);
            return Ok(Some(self.wrote()));
        }
        if self.unsynced.is_some() {
            // So that frames without fsync never lie in two files.
            return Ok(Some(self.begin_sync(now)));
        }
        let wanted = size + PAGE_SIZE;
        let next = wal.ring.lock().take_free(wanted);
        match next {
            Some(file) => {
                self.activate(wal, file);
                Ok(None)
            }
            None => {
                wal.ring.lock().wanted_size = Some(wanted);
                self.grow(wal, now).map(|step| Some(Stepped::Done(step)))
            }
        }
    }

    /// Prepares a ring file right here when nobody else does.
    fn grow(&mut self, wal: &Wal, now: Mono) -> Result<CommitStep, WalError> {
        let Some(mut zeroing) = wal.zeroing.try_lock() else {
            return Ok(CommitStep::Waiting {
                until: now.plus(wal.options.gather_max),
            });
        };
        if wal.prepare(&mut zeroing, now)? {
            return Ok(CommitStep::Prepared);
        }
        wal.markers.reach(Marker::RingStalled);
        Ok(CommitStep::Stalled {
            until: now.plus(wal.options.stall_retry_after),
        })
    }

    /// Makes `file` the one that is written. Its header is written together with its first frame.
    fn activate(&mut self, wal: &Wal, file: RingFile) {
        self.activation += 1;
        self.epoch = ring_epoch(self.run, self.activation);
        self.epoch_start_seq = self.next_seq;
        self.head = Some(Head {
            number: file.number,
            file: file.file.clone(),
            size: file.size,
            position: PAGE_SIZE,
        });
        let start = self.place();
        if file.was_used {
            wal.markers.reach(Marker::RingReused);
        }
        wal.ring.lock().add_live(file, start);
    }

    /// Writes the built frame, whose bodies are those of the first `count` pending entries.
    fn write_frame(
        &mut self,
        wal: &Wal,
        now: Mono,
        count: usize,
        route: Route,
    ) -> Result<(), WalError> {
        let place = self.place();
        self.builder.seal(&FramePlace {
            ring_epoch: self.epoch,
            epoch_start_seq: self.epoch_start_seq,
            frame_seq: self.next_seq,
            synced_seq: self.synced_seq,
            first_lsn: self.next_lsn,
            file_number: place.file_number,
            position: place.position,
        });
        let head = self.head.as_mut().expect("make_room came first");
        let is_first = head.position == PAGE_SIZE;
        let header = FileHeader {
            ring_epoch: self.epoch,
            first_seq: self.next_seq,
            first_lsn: self.next_lsn,
            file_number: head.number,
            pages: (head.size / PAGE_SIZE) as u32,
        };
        let header = if is_first { &header.encode()[..] } else { &[] };
        let mut parts: Vec<&[u8]> = Vec::with_capacity(count + 4);
        parts.extend([header, &self.prefix, self.builder.head()]);
        let mut bytes = 0;
        let (mut is_awaited, mut has_large) = (false, false);
        for (index, entry) in self.pending.iter().take(count).enumerate() {
            let gap = self.builder.gap_before(index);
            if !gap.is_empty() {
                parts.push(gap);
            }
            parts.extend(entry.body().parts().iter().map(|part| &part[..]));
            bytes += entry.body_size() as u64;
            is_awaited |= entry.class() == DurabilityClass::Fsync;
            has_large |= entry.header().kind == EntryKind::Large;
        }
        parts.push(self.builder.padding());
        let before = header.len() + self.prefix.len();
        let position = head.position - before as u64;
        let is_large = wal.options.uncached_size_min <= self.builder.size();
        if is_large && route == Route::BySize {
            head.file.write_uncached(position, &parts)?;
        } else {
            head.file.write_at(position, &parts)?;
        }
        drop(parts);
        self.has_room(wal);
        let head = self.head.as_mut().expect("it was just written");
        let size = self.builder.size();
        head.position += size;
        self.prefix = Bytes::new();
        self.next_seq += 1;
        self.next_lsn = Lsn::new(self.next_lsn.get() + count as u64);
        self.pending.drain(..count);
        self.last_write = now;
        // This frame proves the ones before it; once it is fsynced it owes a proof itself.
        self.owes_proof = false;
        let mut ring = wal.ring.lock();
        ring.add_frame(place, size, self.next_lsn);
        if has_large {
            ring.mark_next();
        }
        drop(ring);
        self.note_unsynced(now, size, count, is_awaited);
        if is_awaited {
            wal.last_awaited.store(now.as_nanos(), Ordering::Relaxed);
        } else if 0 < count {
            wal.markers.reach(Marker::OsSyncSkipped);
        }
        wal.frames_written.fetch_add(1, Ordering::Relaxed);
        wal.queue.publish_written(self.last_lsn(), bytes);
        if wal.options.planted.is(PlantedBug::AcknowledgeBeforeFsync) {
            wal.queue.publish_durable(self.last_lsn());
        }
        Ok(())
    }

    /// A write was taken.
    fn has_room(&mut self, wal: &Wal) {
        if self.full_until.take().is_some() {
            wal.is_full.store(false, Ordering::Relaxed);
        }
    }

    fn note_unsynced(&mut self, now: Mono, bytes: u64, entries_count: usize, is_awaited: bool) {
        let unsynced = self.unsynced.get_or_insert(Unsynced {
            since: now,
            bytes: 0,
            entries_count: 0,
            is_awaited: false,
        });
        unsynced.bytes += bytes;
        unsynced.entries_count += entries_count;
        unsynced.is_awaited |= is_awaited;
    }

    /// Everything that was written is to be fsynced now.
    fn begin_sync(&mut self, now: Mono) -> Stepped {
        let head = self.head.as_ref().expect("what was written is at the head");
        self.gather.sync_starts(now);
        self.is_syncing = true;
        Stepped::Sync(Sync {
            file: Arc::clone(&head.file),
            unsynced: self.unsynced.take(),
            frame_seq: self.next_seq - 1,
            lsn: self.last_lsn(),
        })
    }

    /// The fsync is over. Meanwhile others may have written behind what it was for.
    pub(crate) fn end_sync(
        &mut self,
        wal: &Wal,
        now: Now,
        sync: Sync,
        result: Result<(), DiskError>,
    ) -> CommitStep {
        self.is_syncing = false;
        if let Err(error) = result {
            return self.failed(wal, now.mono, error.into());
        }
        self.released = sync.unsynced.map_or(0, |unsynced| unsynced.entries_count);
        self.owes_proof |= 0 < self.released;
        self.synced_seq = sync.frame_seq;
        wal.ring.lock().synced(self.synced_seq);
        wal.queue.publish_durable(sync.lsn);
        CommitStep::Synced { durable: sync.lsn }
    }

    /// LSN of the last entry that was written.
    fn last_lsn(&self) -> Lsn {
        Lsn::new(self.next_lsn.get() - 1)
    }

    /// Where the next frame goes.
    fn place(&self) -> WalPosition {
        let (file_number, position) = self
            .head
            .as_ref()
            .map_or((0, 0), |head| (head.number, head.position));
        WalPosition {
            file_number,
            position,
            frame_seq: self.next_seq,
            lsn: self.next_lsn,
            ring_epoch: self.epoch,
        }
    }
}

impl Wal {
    /// Does one operation towards the next ring file; false when there is nothing to do.
    pub(crate) fn prepare(&self, slot: &mut Option<Zeroing>, now: Mono) -> Result<bool, WalError> {
        if slot.is_none() {
            let growth = self.ring.lock().growth(now.as_nanos());
            let Some((number, size)) = growth else {
                return Ok(false);
            };
            *slot = Some(Zeroing::new(number, size));
        }
        let zeroing = slot.as_mut().expect("it was just put there");
        match zeroing.step(&*self.disk, &self.dir, self.options.planted)? {
            super::zeroing::Progress::More => {}
            super::zeroing::Progress::Done(file) => {
                *slot = None;
                self.markers.reach(Marker::RingGrown);
                let mut ring = self.ring.lock();
                ring.is_refused = false;
                ring.add_free(file);
            }
            super::zeroing::Progress::Refused => {
                *slot = None;
                self.markers.reach(Marker::RingGrowthRefused);
                let until = now.plus(self.options.growth_retry_after);
                let mut ring = self.ring.lock();
                ring.refused_until = until.as_nanos();
                ring.is_refused = true;
                self.was_growth_refused.store(true, Ordering::Relaxed);
            }
        }
        Ok(true)
    }
}

/// The epoch of an activation: never used before, because the run's number was not.
fn ring_epoch(run: u32, activation: u32) -> u64 {
    u64::from(run) << 32 | u64::from(activation)
}
