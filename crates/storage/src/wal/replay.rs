//! Frame after frame, from where a checkpoint says to the end of the journal.

use super::commit::Head;
use super::damage::Damage;
use super::entry::ReplayedEntry;
use super::frame::{Frame, FrameHeader, PAGE_SIZE};
use super::recovery::{WalRecovery, WalStart};
use super::ring::{Ring, RingFile, RingLimits, WalPosition};
use super::scan::{Place, Scan, ScanFile};
use super::unproven::Unproven;
use super::{WalError, WalOptions};
use crate::marker::{Marker, Markers};
use crate::planted::PlantedBug;
use ottla_types::Lsn;
use std::collections::{BTreeSet, VecDeque};

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

/// The frame that is expected next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) place: Option<Place>,
    pub(super) seq: u64,
    pub(super) lsn: Lsn,
    /// Frames of older ring epochs are leftovers of an earlier use of the file.
    pub(super) floor: u64,
}

pub(super) struct Replay<'a> {
    pub(super) scan: Scan,
    pub(super) options: &'a WalOptions,
    pub(super) markers: &'a Markers,
    pub(super) visitor: &'a mut dyn FnMut(Replayed),
    pub(super) on_frame: &'a mut dyn FnMut(&InspectedFrame),
    pub(super) ring: Ring,
    pub(super) in_ring: BTreeSet<u32>,
    pub(super) next: Expected,
    /// Below this LSN the checkpoint proves everything.
    pub(super) durable_end: Lsn,
    pub(super) start: Option<WalPosition>,
    pub(super) proven_seq: u64,
    pub(super) unproven: VecDeque<Unproven>,
    pub(super) epoch_seen: u64,
    pub(super) report: WalRecovery,
}

pub(super) struct Outcome {
    pub(super) ring: Ring,
    pub(super) head: Option<Head>,
    /// Files too small to be used again.
    pub(super) useless: Vec<u32>,
    pub(super) synced_seq: u64,
    pub(super) report: WalRecovery,
}

impl<'a> Replay<'a> {
    pub(super) fn new(
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
    pub(super) fn run(&mut self) -> Result<(), WalError> {
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

    pub(super) fn show(&mut self, header: &FrameHeader, place: Place, is_valid: bool) {
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
    pub(super) fn pass(&mut self, header: &FrameHeader) {
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

    pub(super) fn finish(mut self, is_new: bool) -> Outcome {
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
