//! The files of the ring: which are in use, since which frame, and what could be released.

use super::frame::PAGE_SIZE;
use crate::disk::DiskFile;
use ottla_types::Lsn;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A place in the journal: where a frame starts, or where the next one will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalPosition {
    /// Number of the ring file.
    pub file_number: u32,
    /// Position of the frame in it, in bytes.
    pub position: u64,
    /// The frame's number.
    pub frame_seq: u64,
    /// LSN of the first entry at or behind the place.
    pub lsn: Lsn,
    /// Ring epoch: nothing of an older one stands at or behind the place.
    pub ring_epoch: u64,
}

impl WalPosition {
    /// Size of its encoding in bytes.
    pub const SIZE: usize = 40;

    /// Its bytes, little endian: file number u32, zero u32, position, frame_seq, lsn, ring epoch u64.
    pub fn encode(&self) -> [u8; WalPosition::SIZE] {
        let mut bytes = [0; WalPosition::SIZE];
        bytes[0..4].copy_from_slice(&self.file_number.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.position.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.frame_seq.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.lsn.get().to_le_bytes());
        bytes[32..40].copy_from_slice(&self.ring_epoch.to_le_bytes());
        bytes
    }

    /// Reads what [`WalPosition::encode`] wrote.
    pub fn decode(bytes: &[u8; WalPosition::SIZE]) -> WalPosition {
        let word = |at: usize| {
            u64::from_le_bytes(
                bytes[at..at + 8]
                    .try_into()
                    .expect("eight bytes were asked for"),
            )
        };
        WalPosition {
            file_number: word(0) as u32,
            position: word(8),
            frame_seq: word(16),
            lsn: Lsn::new(word(24)),
            ring_epoch: word(32),
        }
    }
}

/// What the journal needs released, so that it can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalPressure {
    /// Entries below this LSN should stop being needed; then a checkpoint.
    pub release_to: Lsn,
    /// Replays must begin at this frame or behind it. Two places can have the same LSN: frames without
    /// entries lie between them.
    pub release_to_frame: u64,
    /// How soon.
    pub urgency: Urgency,
    /// Bytes that a restart would have to replay now.
    pub span_bytes: u64,
}

/// How soon something must be released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Commits go on meanwhile.
    Soon,
    /// Commits wait for it, or will in a moment.
    Now,
}

/// Sizes in bytes that the ring keeps to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingLimits {
    pub(crate) first_file_size: u64,
    pub(crate) file_size_max: u64,
    pub(crate) ring_size_max: u64,
    pub(crate) span_max: u64,
}

/// One file of the ring.
pub(crate) struct RingFile {
    pub(crate) number: u32,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) size: u64,
    /// It was part of the journal before.
    pub(crate) was_used: bool,
}

/// A frame that can be found again: about every 64th part of a file has one.
#[derive(Clone, Copy, Debug)]
struct Mark {
    place: WalPosition,
    /// Bytes of journal before it, over all files since the start of this process.
    stream: u64,
}

/// A file with frames that may still be needed.
struct Live {
    file: RingFile,
    first_seq: u64,
    /// In order; the first one is the file's first frame.
    marks: Vec<Mark>,
}

/// All files. The last live one is the one that is written.
pub(crate) struct Ring {
    limits: RingLimits,
    live: VecDeque<Live>,
    free: VecDeque<RingFile>,
    doomed: Vec<u32>,
    /// The end of the last frame: where the next one goes if it fits.
    head: WalPosition,
    head_stream: u64,
    /// All frames up to this one are fsynced, and so are the headers of their files.
    synced_seq: u64,
    /// Where a restart would begin to replay, by the newest checkpoint.
    replay_from_stream: u64,
    next_number: u32,
    /// Until when growing is not tried again, in nanoseconds: the disk was full.
    pub(crate) refused_until: u64,
    /// The last try to grow was refused.
    pub(crate) is_refused: bool,
    /// A commit needs a file of at least this size and there is none.
    pub(crate) wanted_size: Option<u64>,
    /// The next frame is to be found again, whatever it is.
    is_mark_wanted: bool,
}

impl Ring {
    /// `head` is where the journal would go on, if a live file is written already.
    pub(crate) fn new(limits: RingLimits, head: WalPosition) -> Ring {
        Ring {
            limits,
            live: VecDeque::new(),
            free: VecDeque::new(),
            doomed: Vec::new(),
            head,
            head_stream: 0,
            synced_seq: 0,
            replay_from_stream: 0,
            next_number: 1,
            refused_until: 0,
            is_refused: false,
            wanted_size: None,
            is_mark_wanted: false,
        }
    }

    /// Adds a file that holds nothing needed.
    pub(crate) fn add_free(&mut self, file: RingFile) {
        self.next_number = self.next_number.max(file.number + 1);
        self.free.push_back(file);
    }

    /// Adds a file whose first frame is at `start`, behind the live ones: recovery, or an activation.
    pub(crate) fn add_live(&mut self, file: RingFile, start: WalPosition) {
        self.next_number = self.next_number.max(file.number + 1);
        self.head_stream += PAGE_SIZE;
        self.live.push_back(Live {
            file,
            first_seq: start.frame_seq,
            marks: vec![Mark {
                place: start,
                stream: self.head_stream,
            }],
        });
        self.head = start;
    }

    /// Notes a frame of `size` bytes at the head of the file that is written, and the place behind it.
    pub(crate) fn add_frame(&mut self, frame: WalPosition, size: u64, end_lsn: Lsn) {
        let stream = self.head_stream;
        let live = self
            .live
            .back_mut()
            .expect("a frame is written to a live file");
        let distance = (live.file.size / 64).max(PAGE_SIZE);
        let last = live.marks.last().expect("a live file has a first mark");
        let is_far = last.place.position + distance <= frame.position;
        if std::mem::take(&mut self.is_mark_wanted) || is_far {
            live.marks.push(Mark {
                place: frame,
                stream,
            });
        }
        self.head_stream += size;
        self.head = WalPosition {
            position: frame.position + size,
            frame_seq: frame.frame_seq + 1,
            lsn: end_lsn,
            ..frame
        };
    }

    /// The next frame will be found by [`Ring::place_behind`], because what the last one names lies outside the journal
    /// and takes more room than it looks.
    pub(crate) fn mark_next(&mut self) {
        self.is_mark_wanted = true;
    }

    /// A place behind the entry `lsn`, as near as one is known.
    pub(crate) fn place_behind(&self, lsn: Lsn) -> WalPosition {
        let mut marks = self.live.iter().flat_map(|live| live.marks.iter());
        let behind = marks.find(|mark| lsn < mark.place.lsn);
        behind.map_or(self.head, |mark| mark.place)
    }

    /// The frame that a replay must begin with to meet the entry `lsn`, or the place of the next frame.
    pub(crate) fn position_of(&self, lsn: Lsn) -> WalPosition {
        // A place behind a frame that a power cut may take away would be one in a file that does not
        // know of this use: its header goes with the frame.
        let is_head_synced =
            self.head.frame_seq <= self.synced_seq + 1 && PAGE_SIZE < self.head.position;
        if self.head.lsn <= lsn && is_head_synced {
            return self.head;
        }
        let marks = self
            .live
            .iter()
            .rev()
            .flat_map(|live| live.marks.iter().rev());
        let first = self
            .live
            .front()
            .map_or(self.head, |live| live.marks[0].place);
        marks
            .map(|mark| mark.place)
            .find(|place| place.lsn <= lsn && place.frame_seq <= self.synced_seq)
            .unwrap_or(first)
    }

    /// All frames up to `synced_seq` are fsynced now.
    pub(crate) fn synced(&mut self, synced_seq: u64) {
        self.synced_seq = synced_seq;
    }

    /// A free file of at least `size` bytes.
    pub(crate) fn take_free(&mut self, size: u64) -> Option<RingFile> {
        let index = self.free.iter().position(|file| size <= file.size)?;
        self.wanted_size = None;
        self.free.remove(index)
    }

    /// A restart begins at `newest` from now on; files wholly before `kept` are free.
    /// Returns how many files became free.
    pub(crate) fn release(&mut self, newest: &WalPosition, kept: &WalPosition) -> usize {
        self.replay_from_stream = self.stream_of(newest);
        let mut released = 0;
        // The newest may begin earlier: places are only kept for some frames of a file.
        let kept_seq = kept.frame_seq.min(newest.frame_seq);
        while 1 < self.live.len() && self.live[1].first_seq <= kept_seq {
            let Some(mut live) = self.live.pop_front() else {
                break;
            };
            live.file.was_used = true;
            let files_count = self.live.len() + self.free.len() + 1;
            if 3 <= files_count && live.file.size < self.largest_size() {
                self.doomed.push(live.file.number);
            } else {
                self.free.push_back(live.file);
                released += 1;
            }
        }
        if 0 < released {
            // What made it free may have made room for growth too: it is tried again when it is needed.
            self.is_refused = false;
            self.refused_until = 0;
        }
        released
    }

    fn stream_of(&self, place: &WalPosition) -> u64 {
        let marks = self
            .live
            .iter()
            .rev()
            .flat_map(|live| live.marks.iter().rev());
        if self.head.frame_seq <= place.frame_seq {
            return self.head_stream;
        }
        marks
            .filter(|mark| mark.place.frame_seq <= place.frame_seq)
            .map(|mark| mark.stream)
            .next()
            .unwrap_or(0)
    }

    /// A file to remove because larger ones have taken over.
    pub(crate) fn take_doomed(&mut self) -> Option<u32> {
        self.doomed.pop()
    }

    /// Number and size of the file to prepare now, if one should be.
    pub(crate) fn growth(&self, now_nanos: u64) -> Option<(u32, u64)> {
        if now_nanos < self.refused_until {
            return None;
        }
        let size = self.growth_size()?;
        let is_needed = match self.wanted_size {
            Some(wanted) => self.free.iter().all(|file| file.size < wanted),
            None => {
                self.free.is_empty()
                    && self
                        .live
                        .back()
                        .is_some_and(|live| live.file.size / 4 <= self.head.position)
            }
        };
        is_needed.then_some((self.next_number, size))
    }

    /// The disk has no room for another file, and what is left of this one when `queued` bytes are written should be kept
    /// for what frees some: deletions are journaled before they happen.
    pub(crate) fn is_short(&self, queued: u64) -> bool {
        let (active, position) = (self.live.back(), self.head.position + queued);
        let is_half_full = active.is_some_and(|live| live.file.size / 2 < position);
        self.is_refused && self.free.is_empty() && is_half_full
    }

    /// Size of the next file, unless the ring has its full size.
    fn growth_size(&self) -> Option<u64> {
        let wanted = self.wanted_size.unwrap_or(0).next_power_of_two();
        let size = (self.largest_size() * 2)
            .max(wanted)
            .clamp(self.limits.first_file_size, self.limits.file_size_max);
        (self.total_size() + size <= self.limits.ring_size_max).then_some(size)
    }

    /// What must be released, if anything.
    pub(crate) fn pressure(&self, now_nanos: u64) -> Option<WalPressure> {
        let span_bytes = self.head_stream - self.replay_from_stream;
        let by_file = self.file_pressure(now_nanos);
        let by_span = (self.limits.span_max / 4 * 3 < span_bytes).then(|| {
            let target = self.head_stream - self.limits.span_max / 2;
            let place = self
                .live
                .iter()
                .flat_map(|live| live.marks.iter())
                .find(|mark| target <= mark.stream)
                .map_or(self.head, |mark| mark.place);
            let urgency = if self.limits.span_max < span_bytes {
                Urgency::Now
            } else {
                Urgency::Soon
            };
            (place, urgency)
        });
        let (place, urgency) = match (by_file, by_span) {
            (None, None) => return None,
            (Some(one), None) | (None, Some(one)) => one,
            (Some(file), Some(span)) => {
                let is_file_further = span.0.frame_seq < file.0.frame_seq;
                let place = if is_file_further { file.0 } else { span.0 };
                (place, file.1.max(span.1))
            }
        };
        Some(WalPressure {
            release_to: place.lsn,
            release_to_frame: place.frame_seq,
            urgency,
            span_bytes,
        })
    }

    /// Whether the oldest file will be needed because no other one is there for the time after this one.
    fn file_pressure(&self, now_nanos: u64) -> Option<(WalPosition, Urgency)> {
        let active = self.live.back()?;
        let is_stalled = self.wanted_size.is_some();
        let may_grow = self.refused_until <= now_nanos && self.growth_size().is_some();
        if (!self.free.is_empty() && !is_stalled) || may_grow {
            return None;
        }
        if !is_stalled && self.head.position < active.file.size / 2 {
            return None;
        }
        let is_near = is_stalled || active.file.size / 8 * 7 <= self.head.position;
        let release_to = self
            .live
            .get(1)
            .map_or(self.head, |live| live.marks[0].place);
        Some((
            release_to,
            if is_near { Urgency::Now } else { Urgency::Soon },
        ))
    }

    /// Bytes that a restart would have to replay now.
    pub(crate) fn span_bytes(&self) -> u64 {
        self.head_stream - self.replay_from_stream
    }

    /// Size of all files together.
    pub(crate) fn total_size(&self) -> u64 {
        self.live
            .iter()
            .map(|live| &live.file)
            .chain(&self.free)
            .map(|file| file.size)
            .sum()
    }

    /// How many files hold frames that may be needed, and how many do not.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.live.len(), self.free.len())
    }

    /// Bytes left in the file that is written.
    #[cfg(test)]
    pub(crate) fn room(&self) -> u64 {
        let active = self.live.back().expect("something was written");
        active.file.size - self.head.position
    }

    fn largest_size(&self) -> u64 {
        self.live
            .iter()
            .map(|live| &live.file)
            .chain(&self.free)
            .map(|file| file.size)
            .max()
            .unwrap_or(0)
    }
}

/// Path of a ring file.
pub(crate) fn ring_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("ring-{number:06}.wal"))
}

/// Path of a ring file while it is prepared.
pub(crate) fn new_ring_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("ring-{number:06}.new"))
}

/// The number in a ring file's name.
pub(crate) fn ring_number(name: &str) -> Option<u32> {
    name.strip_prefix("ring-")?
        .strip_suffix(".wal")?
        .parse()
        .ok()
}
