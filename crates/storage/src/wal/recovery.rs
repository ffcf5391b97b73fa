//! Opening a journal: replays it, tells a torn end from damage, and makes sure that what was replayed is
//! on the device.

use super::commit::{Commit, CommitStart, Head};
use super::entry::{EntryHeader, ReplayedEntry};
use super::frame::{Frame, FrameHeader, PAGE_SIZE};
use super::gather::Gather;
use super::queue::Queue;
use super::ring::{Ring, RingFile, RingLimits, WalPosition, ring_path};
use super::run_record::{RunPreparation, begin_run, run_path};
use super::scan::{Found, Place, Scan, ScanFile};
use super::zeroing::create_first;
use super::{Wal, WalError, WalOptions};
use crate::disk::{Disk, DiskError, OpenMode};
use crate::marker::{Marker, Markers};
use crate::planted::PlantedBug;
use crate::sync::Mutex;
use bytes::{Bytes, BytesMut};
use ottla_types::Lsn;
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};

/// What the newest valid checkpoint knows about the journal.
#[derive(Clone, Copy, Debug)]
pub struct WalStart {
    /// Where the replay begins.
    pub position: WalPosition,
    /// Everything up to this LSN was fsynced when the checkpoint was made: if it is not found it is damage,
    /// not a torn end.
    pub durable: Lsn,
}

/// Something the journal lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The body of this entry is unreadable.
    Entry {
        /// Its LSN.
        lsn: Lsn,
        /// What it changed and where.
        header: EntryHeader,
    },
    /// Nothing is known about the entries `first..end`: every partition without later proof of
    /// continuity is suspect.
    Unnamed {
        /// The first one.
        first: Lsn,
        /// The one after the last.
        end: Lsn,
    },
}

/// One step of a replay. They come in LSN order.
#[derive(Clone, Debug)]
pub enum Replayed {
    /// An entry to apply.
    Entry(ReplayedEntry),
    /// Something that was acknowledged is not there.
    Damage(Damage),
}

/// A frame of the journal as [`Wal::inspect`] finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InspectedFrame {
    /// Its file is `ring-<number>.wal`.
    pub file_number: u32,
    /// In bytes.
    pub position: u64,
    /// Whole pages, in bytes; 0 when not even its header is readable.
    pub size: u64,
    /// Frames are numbered without gaps.
    pub frame_seq: u64,
    /// Of the file's use it was written in.
    pub ring_epoch: u64,
    /// Frames up to this one were fsynced before it was written: it is their proof.
    pub synced_seq: u64,
    /// Of its first entry.
    pub first_lsn: Lsn,
    /// How many entries it has.
    pub entries_count: u32,
    /// False: it was fsynced, and it is damaged.
    pub is_valid: bool,
}

/// What recovery found.
#[derive(Clone, Debug)]
pub struct WalRecovery {
    /// Bytes read, the search behind the end included.
    pub bytes_read: u64,
    /// The part of them behind the end: it was searched for frames that would prove damage.
    pub bytes_searched: u64,
    /// Frames replayed.
    pub frames_count: u64,
    /// Entries handed to the visitor.
    pub entries_count: u64,
    /// The frame at which an unfinished end was cut, if there was one.
    pub torn_seq: Option<u64>,
    /// What was lost although it had been fsynced.
    pub damage: Vec<Damage>,
    /// Frames that were written again because nothing proved that they are on the device.
    pub rewritten_count: u64,
    /// Where the journal goes on.
    pub end: WalPosition,
    /// True when there was no journal yet.
    pub is_new: bool,
}

impl WalRecovery {
    /// True when the end was proven and nothing was cut: an orderly shutdown, or an idle journal.
    pub fn is_clean(&self) -> bool {
        self.torn_seq.is_none() && self.damage.is_empty() && self.rewritten_count == 0
    }

    /// True when something that was acknowledged is not there.
    pub fn is_lossy(&self) -> bool {
        !self.damage.is_empty()
    }
}

pub(super) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: WalOptions,
    markers: Arc<Markers>,
    start: Option<WalStart>,
    visitor: &mut dyn FnMut(Replayed),
) -> Result<(Wal, WalRecovery), WalError> {
    disk.create_dir(dir)?;
    let scan = Scan::open(&*disk, dir, &options)?;
    let is_new = scan.files.is_empty() && start.is_none() && !has_run(&*disk, dir)?;
    let mut ignore = |_: &InspectedFrame| {};
    let mut replay = Replay::new(scan, &options, &markers, start, visitor, &mut ignore);
    replay.run()?;
    let is_unused = |file: &ScanFile| file.start.is_none();
    if replay.scan.files.iter().any(is_unused)
        && !options.planted.is(PlantedBug::DirectoryNotSynced)
    {
        // A process that was killed may have named a file without syncing the name: it is here, in the
        // page cache, and a power cut after the first commit to it would take it away. A file that was used
        // had its name synced before.
        disk.sync_dir(dir)?;
    }
    let run = if is_new {
        1
    } else {
        begin_run(&*disk, dir, (replay.epoch_seen >> 32) as u32)?
    };
    let prefix = replay.rewrite_unproven()?;
    let mut outcome = replay.finish(is_new);
    for number in outcome.useless {
        disk.remove_file(&ring_path(dir, number))?;
    }
    if outcome.ring.counts() == (0, 0) {
        let first = create_first(&*disk, dir, options.first_file_size)?;
        outcome.ring.add_free(first);
    }
    let commit = Commit::new(
        CommitStart {
            head: outcome.head,
            run,
            next_seq: outcome.report.end.frame_seq,
            next_lsn: outcome.report.end.lsn,
            synced_seq: outcome.synced_seq,
            prefix,
            owes_proof: 0 < outcome.report.rewritten_count,
        },
        Gather::new(options.gather_max),
    );
    let wal = Wal {
        disk,
        dir: dir.to_owned(),
        options,
        markers,
        queue: Queue::new(outcome.report.end.lsn),
        commit: Mutex::new(commit),
        ring: Mutex::new(outcome.ring),
        zeroing: Mutex::new(None),
        run_preparation: Mutex::new(RunPreparation::new(run)),
        waker: OnceLock::new(),
        failure: OnceLock::new(),
        is_sync_wanted: AtomicBool::new(false),
        is_closing: AtomicBool::new(false),
        is_full: AtomicBool::new(false),
        last_awaited: AtomicU64::new(0),
    };
    Ok((wal, outcome.report))
}

/// See [`Wal::inspect`].
pub(super) fn inspect(
    disk: &dyn Disk,
    dir: &Path,
    start: Option<WalStart>,
    on_frame: &mut dyn FnMut(&InspectedFrame),
    visitor: &mut dyn FnMut(Replayed),
) -> Result<WalRecovery, WalError> {
    let options = WalOptions::default();
    let markers = Markers::new();
    let scan = Scan::open(disk, dir, &options)?;
    let is_new = scan.files.is_empty() && start.is_none();
    let mut replay = Replay::new(scan, &options, &markers, start, visitor, on_frame);
    replay.run()?;
    Ok(replay.finish(is_new).report)
}

fn has_run(disk: &dyn Disk, dir: &Path) -> Result<bool, WalError> {
    match disk.open(&run_path(dir), OpenMode::Read) {
        Ok(_) => Ok(true),
        Err(DiskError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The frame that is expected next.
#[derive(Clone, Copy, Debug)]
struct Expected {
    place: Option<Place>,
    seq: u64,
    lsn: Lsn,
    /// Frames of older ring epochs are leftovers of an earlier use of the file.
    floor: u64,
}

/// An intact frame that no later one has proven yet.
struct Unproven {
    place: Place,
    seq: u64,
    is_empty: bool,
    bytes: Bytes,
}

struct Replay<'a> {
    scan: Scan,
    options: &'a WalOptions,
    markers: &'a Markers,
    visitor: &'a mut dyn FnMut(Replayed),
    on_frame: &'a mut dyn FnMut(&InspectedFrame),
    ring: Ring,
    in_ring: BTreeSet<u32>,
    next: Expected,
    /// Below this LSN the checkpoint proves everything.
    durable_end: Lsn,
    start: Option<WalPosition>,
    proven_seq: u64,
    unproven: VecDeque<Unproven>,
    epoch_seen: u64,
    report: WalRecovery,
}

struct Outcome {
    ring: Ring,
    head: Option<Head>,
    /// Files too small to be used again.
    useless: Vec<u32>,
    synced_seq: u64,
    report: WalRecovery,
}

impl<'a> Replay<'a> {
    fn new(
        scan: Scan,
        options: &'a WalOptions,
        markers: &'a Markers,
        start: Option<WalStart>,
        visitor: &'a mut dyn FnMut(Replayed),
        on_frame: &'a mut dyn FnMut(&InspectedFrame),
    ) -> Replay<'a> {
        let position = match start {
            Some(start) => Some(start.position),
            None => oldest_start(&scan),
        };
        let first = position.unwrap_or(WalPosition {
            file_number: 1,
            position: PAGE_SIZE,
            frame_seq: 1,
            lsn: Lsn::new(1),
            ring_epoch: 0,
        });
        let file_index = scan
            .files
            .iter()
            .position(|file| file.number == first.file_number);
        let next = Expected {
            place: file_index.map(|file_index| Place {
                file_index,
                position: first.position.max(PAGE_SIZE),
            }),
            seq: first.frame_seq,
            lsn: first.lsn,
            floor: first.ring_epoch,
        };
        let limits = RingLimits {
            first_file_size: options.first_file_size,
            file_size_max: options.file_size_max,
            ring_size_max: options.ring_size_max,
            span_max: options.span_max,
        };
        let starts = scan.files.iter().filter_map(|file| file.start);
        let epoch_seen = starts.map(|start| start.ring_epoch).max().unwrap_or(0);
        Replay {
            scan,
            options,
            markers,
            visitor,
            on_frame,
            ring: Ring::new(limits, first),
            in_ring: BTreeSet::new(),
            next,
            durable_end: start.map_or(Lsn::ZERO, |start| start.durable.next()),
            start: position,
            proven_seq: 0,
            unproven: VecDeque::new(),
            epoch_seen,
            report: WalRecovery {
                bytes_read: 0,
                bytes_searched: 0,
                frames_count: 0,
                entries_count: 0,
                torn_seq: None,
                damage: Vec::new(),
                rewritten_count: 0,
                end: first,
                is_new: false,
            },
        }
    }

    /// Replays frame after frame up to the end of the journal.
    fn run(&mut self) -> Result<(), WalError> {
        self.keep_older_files();
        loop {
            let header = match self.next.place {
                Some(place) => self.scan.header_at(place)?,
                None => None,
            };
            let here = header.filter(|header| self.is_expected(header));
            if header.is_some() && here.is_none() {
                self.markers.reach(Marker::StaleFrameRejected);
            }
            let frame = match (here, self.next.place) {
                (Some(header), Some(place)) => self.scan.frame_at(place, header)?,
                (None, _) | (_, None) => None,
            };
            let check_crc = !self.options.planted.is(PlantedBug::CrcIgnored);
            match frame {
                Some(frame) if !check_crc || frame.is_valid() => self.accept(frame),
                bad => {
                    // A torn frame that was cut off before may still stand here, and its number may
                    // have been given again at the beginning of another file, in a later epoch.
                    let epoch = here.map_or(self.next.floor, |header| header.ring_epoch);
                    if self.switch_file(epoch.max(self.next.floor)) {
                        continue;
                    }
                    if !self.pass_bad_frame(here, bad)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Files before the start: the checkpoint before the newest may need them. The start's own file comes
    /// last, because the journal goes on there; a file that begins no earlier is what a torn frame left,
    /// whose number was given again.
    fn keep_older_files(&mut self) {
        let Some(start) = self.start else { return };
        let files = &self.scan.files;
        // The first file of all may have lost its size with its bytes: then nothing was ever synced. And
        // when the start is the very end of a file, the file may have been released and used again.
        let is_home = |file: &ScanFile| {
            file.number == start.file_number
                && self.options.first_file_size <= file.size
                && file
                    .start
                    .is_none_or(|found| found.ring_epoch <= start.ring_epoch)
        };
        let home = files.iter().position(is_home);
        let home_seq = home
            .and_then(|index| files[index].start)
            .map_or(start.frame_seq, |found| found.first_seq);
        let mut older: Vec<(u64, usize)> = Vec::new();
        for (index, file) in files.iter().enumerate() {
            if let Some(found) = file.start
                && found.ring_epoch <= start.ring_epoch
                && found.first_seq < home_seq
                && Some(index) != home
            {
                older.push((found.first_seq, index));
            }
        }
        older.sort_unstable();
        for (_, index) in older {
            self.add_live(index);
        }
        if let Some(index) = home {
            self.add_live(index);
        }
    }

    fn is_expected(&self, header: &FrameHeader) -> bool {
        let next = &self.next;
        let is_epoch_right = header.ring_epoch == next.floor
            || (next.floor < header.ring_epoch && header.epoch_start_seq == next.seq)
            || self.options.planted.is(PlantedBug::RingEpochIgnored);
        header.frame_seq == next.seq && header.first_lsn == next.lsn && is_epoch_right
    }

    /// Goes on in the file that begins with the expected frame in an epoch after `epoch`.
    fn switch_file(&mut self, epoch: u64) -> bool {
        let Some(file_index) = self.scan.file_starting_with(self.next.seq, epoch) else {
            return false;
        };
        if let Some(start) = self.scan.files[file_index].start {
            self.next.floor = start.ring_epoch;
        }
        self.next.place = Some(Place {
            file_index,
            position: PAGE_SIZE,
        });
        self.add_live(file_index);
        true
    }

    fn accept(&mut self, frame: Frame) {
        let place = self.next.place.expect("a frame was read at a place");
        self.show(&frame.header, place, true);
        for entry in frame.entries() {
            match entry.record.entry_header() {
                Some(header) => {
                    self.report.entries_count += 1;
                    (self.visitor)(Replayed::Entry(ReplayedEntry {
                        lsn: entry.lsn,
                        header,
                        class: entry.record.class,
                        body: entry.body,
                    }));
                }
                None => self.lose(Damage::Unnamed {
                    first: entry.lsn,
                    end: entry.lsn.next(),
                }),
            }
        }
        self.prove(frame.header.synced_seq);
        self.unproven.push_back(Unproven {
            place,
            seq: frame.header.frame_seq,
            is_empty: frame.header.entries_count == 0,
            bytes: frame.bytes,
        });
        self.pass(&frame.header);
    }

    fn show(&mut self, header: &FrameHeader, place: Place, is_valid: bool) {
        (self.on_frame)(&InspectedFrame {
            file_number: self.scan.files[place.file_index].number,
            position: place.position,
            size: header.frame_size(),
            frame_seq: header.frame_seq,
            ring_epoch: header.ring_epoch,
            synced_seq: header.synced_seq,
            first_lsn: header.first_lsn,
            entries_count: header.entries_count,
            is_valid,
        });
    }

    /// Notes that the frame at the expected place was dealt with.
    fn pass(&mut self, header: &FrameHeader) {
        let place = self.next.place.expect("a frame was read at a place");
        let position =
            self.wal_position(place, header.frame_seq, header.first_lsn, header.ring_epoch);
        self.add_live(place.file_index);
        self.ring
            .add_frame(position, header.frame_size(), header.end_lsn());
        self.report.frames_count += 1;
        self.epoch_seen = self.epoch_seen.max(header.ring_epoch);
        self.next = Expected {
            place: Some(Place {
                position: place.position + header.frame_size(),
                ..place
            }),
            seq: header.frame_seq + 1,
            lsn: header.end_lsn(),
            floor: self.next.floor.max(header.ring_epoch),
        };
    }

    /// The first bad frame: the end of the journal (false), or damage to get over (true).
    fn pass_bad_frame(
        &mut self,
        here: Option<FrameHeader>,
        bad: Option<Frame>,
    ) -> Result<bool, WalError> {
        let behind = self.next.place.map(|place| {
            let size = match (&bad, here) {
                (Some(frame), _) => frame.header.frame_size(),
                (None, Some(_)) => PAGE_SIZE,
                // What stands here may be a later frame.
                (None, None) => 0,
            };
            Place {
                position: place.position + size,
                ..place
            }
        });
        let found = self.scan.look_on(behind, self.next.seq, self.next.floor)?;
        let epochs = found.iter().map(|it| it.header.ring_epoch);
        self.epoch_seen = epochs.fold(self.epoch_seen, u64::max);
        let synced_seq = found
            .iter()
            .map(|it| it.header.synced_seq)
            .max()
            .unwrap_or(0);
        let is_proven = self.next.seq <= synced_seq || self.next.lsn < self.durable_end;
        if !is_proven || self.options.planted.is(PlantedBug::FirstBadFrameIsEnd) {
            if here.is_some() || !found.is_empty() {
                self.markers.reach(Marker::TornFrameCut);
                self.report.torn_seq = Some(self.next.seq);
            }
            return Ok(false);
        }
        self.markers.reach(Marker::DamageProven);
        self.prove(synced_seq);
        match bad {
            Some(frame) => {
                let place = self.next.place.expect("a frame was read at a place");
                self.show(&frame.header, place, false);
                self.salvage(&frame);
                self.pass(&frame.header);
                Ok(true)
            }
            None => {
                if let Some(place) = self.next.place {
                    (self.on_frame)(&InspectedFrame {
                        file_number: self.scan.files[place.file_index].number,
                        position: place.position,
                        size: 0,
                        frame_seq: self.next.seq,
                        ring_epoch: self.next.floor,
                        synced_seq: 0,
                        first_lsn: self.next.lsn,
                        entries_count: 0,
                        is_valid: false,
                    });
                }
                Ok(self.resume(&found))
            }
        }
    }

    /// Hands over the intact entries of a damaged frame and names the others.
    fn salvage(&mut self, frame: &Frame) {
        if !frame.is_directory_valid() {
            let (first, end) = (frame.header.first_lsn, frame.header.end_lsn());
            return self.lose(Damage::Unnamed { first, end });
        }
        for entry in frame.entries() {
            match entry.record.entry_header() {
                Some(header) if entry.is_valid() => {
                    self.markers.reach(Marker::DamageSalvaged);
                    self.report.entries_count += 1;
                    (self.visitor)(Replayed::Entry(ReplayedEntry {
                        lsn: entry.lsn,
                        header,
                        class: entry.record.class,
                        body: entry.body,
                    }));
                }
                Some(header) => self.lose(Damage::Entry {
                    lsn: entry.lsn,
                    header,
                }),
                None => self.lose(Damage::Unnamed {
                    first: entry.lsn,
                    end: entry.lsn.next(),
                }),
            }
        }
    }

    /// Goes on at the next frame whose header is readable; false when there is none.
    fn resume(&mut self, found: &[Found]) -> bool {
        let first = self.next.lsn;
        match found.iter().min_by_key(|it| it.header.frame_seq) {
            Some(it) => {
                self.lose(Damage::Unnamed {
                    first,
                    end: it.header.first_lsn,
                });
                self.next = Expected {
                    place: Some(it.place),
                    seq: it.header.frame_seq,
                    lsn: it.header.first_lsn,
                    floor: it.header.ring_epoch,
                };
                true
            }
            None => {
                self.lose(Damage::Unnamed {
                    first,
                    end: self.durable_end,
                });
                self.next.lsn = self.durable_end;
                // Frames with entries up to there existed: their numbers must not come again.
                self.next.seq += self.durable_end.get() - first.get();
                false
            }
        }
    }

    fn lose(&mut self, damage: Damage) {
        if let Damage::Unnamed { first, end } = damage {
            if end <= first {
                return;
            }
            self.markers.reach(Marker::DamageUnnamed);
        }
        self.report.damage.push(damage);
        (self.visitor)(Replayed::Damage(damage));
    }

    fn prove(&mut self, synced_seq: u64) {
        self.proven_seq = self.proven_seq.max(synced_seq);
        while self
            .unproven
            .front()
            .is_some_and(|it| it.seq <= self.proven_seq)
        {
            self.unproven.pop_front();
        }
    }

    /// Writes every frame again that nothing proves to be on the device, bit for bit, and fsyncs: read from
    /// the page cache it may never have been there, and after a failed fsync its pages are clean although
    /// they are not there. Because the bytes are the same, a crash in the middle leaves what was there.
    ///
    /// When only empty frames are left to write, their bytes are returned instead: they go out together
    /// with the next frame and cost a restart no fsync.
    fn rewrite_unproven(&mut self) -> Result<Bytes, WalError> {
        if self.options.planted.is(PlantedBug::UnprovenNotRewritten) {
            return Ok(Bytes::new());
        }
        if self.unproven.iter().all(|it| it.is_empty) {
            return Ok(self.take_prefix());
        }
        let mut written = BTreeSet::new();
        for it in &self.unproven {
            self.markers.reach(Marker::UnprovenRewritten);
            let file = &self.scan.files[it.place.file_index].file;
            file.write_at(it.place.position, &[&it.bytes])?;
            written.insert(it.place.file_index);
        }
        for file_index in written {
            self.scan.files[file_index].file.sync_data()?;
        }
        self.report.rewritten_count = self.unproven.len() as u64;
        self.proven_seq = self.next.seq - 1;
        Ok(Bytes::new())
    }

    /// The empty frames right before the end.
    fn take_prefix(&mut self) -> Bytes {
        let mut prefix = BytesMut::new();
        for it in &self.unproven {
            if self.next.place.map(|place| place.file_index) == Some(it.place.file_index) {
                prefix.extend_from_slice(&it.bytes);
            }
        }
        prefix.freeze()
    }

    fn finish(mut self, is_new: bool) -> Outcome {
        let head = self.next.place.filter(|place| {
            self.in_ring
                .contains(&self.scan.files[place.file_index].number)
        });
        let head = head.map(|place| {
            let file = &self.scan.files[place.file_index];
            Head {
                number: file.number,
                file: file.file.clone(),
                size: file.size,
                position: place.position,
            }
        });
        let mut useless = Vec::new();
        for file in &self.scan.files {
            if self.in_ring.contains(&file.number) {
                continue;
            }
            if file.size < self.options.first_file_size {
                useless.push(file.number);
                continue;
            }
            self.ring.add_free(RingFile {
                number: file.number,
                file: file.file.clone(),
                size: file.size,
                was_used: file.start.is_some(),
            });
        }
        if let Some(start) = self.start {
            self.ring.release(
                &start,
                &WalPosition {
                    frame_seq: 0,
                    ..start
                },
            );
        }
        self.report.bytes_read = self.scan.bytes_read;
        self.report.bytes_searched = self.scan.bytes_searched;
        self.report.is_new = is_new;
        self.report.end = WalPosition {
            file_number: head.as_ref().map_or(0, |head| head.number),
            position: head.as_ref().map_or(0, |head| head.position),
            frame_seq: self.next.seq,
            lsn: self.next.lsn,
            ring_epoch: self.next.floor,
        };
        // All frames up to here are proven or were just fsynced; empty ones at the end do not count.
        let unproven_count = if self.report.rewritten_count == 0 {
            self.unproven.len() as u64
        } else {
            0
        };
        let synced_seq = self.next.seq - 1 - unproven_count;
        self.ring.synced(synced_seq);
        Outcome {
            ring: self.ring,
            head,
            useless,
            synced_seq,
            report: self.report,
        }
    }

    fn add_live(&mut self, file_index: usize) {
        let file = &self.scan.files[file_index];
        if !self.in_ring.insert(file.number) {
            return;
        }
        let (first_seq, first_lsn, ring_epoch) = match file.start {
            Some(start) => (start.first_seq, start.first_lsn, start.ring_epoch),
            None => (self.next.seq, self.next.lsn, self.next.floor),
        };
        let place = Place {
            file_index,
            position: PAGE_SIZE,
        };
        let start = self.wal_position(place, first_seq, first_lsn, ring_epoch);
        self.ring.add_live(
            RingFile {
                number: file.number,
                file: file.file.clone(),
                size: file.size,
                was_used: true,
            },
            start,
        );
    }

    fn wal_position(&self, place: Place, frame_seq: u64, lsn: Lsn, ring_epoch: u64) -> WalPosition {
        WalPosition {
            file_number: self.scan.files[place.file_index].number,
            position: place.position,
            frame_seq,
            lsn,
            ring_epoch,
        }
    }
}

/// The first frame of the oldest file: where a replay without a checkpoint begins.
fn oldest_start(scan: &Scan) -> Option<WalPosition> {
    let starts = scan
        .files
        .iter()
        .filter_map(|file| Some((file.start?, file.number)));
    let (start, file_number) = starts.min_by_key(|(start, _)| start.first_seq)?;
    Some(WalPosition {
        file_number,
        position: PAGE_SIZE,
        frame_seq: start.first_seq,
        lsn: start.first_lsn,
        ring_epoch: start.ring_epoch,
    })
}
