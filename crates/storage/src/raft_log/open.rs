//! Opening a Raft log: which of the two files is current, where it ends, and whether all is there.

use super::format::{Item, RaftIdentity, RaftLogId, decode_items};
use super::snapshot::{self, RaftSnapshot};
use super::{ActiveFile, RaftLog, RaftLogError, RaftLogOptions, RaftState, file_path};
use crate::disk::{Disk, DiskError, DiskFile, OpenMode};
use crate::marker::{Marker, Markers};
use crate::planted::{Planted, PlantedBug};
use crate::wal::PAGE_SIZE;
use crate::wal::file_header::FileHeader;
use crate::wal::frame::{Frame, FrameBuilder, FrameHeader, HeaderFault};
use bytes::Bytes;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is in a directory of a Raft log.
pub enum RaftOpen {
    /// No log, or one whose creation never finished.
    Empty,
    /// A log that has everything it ever acknowledged.
    Found(Box<RaftLog>, RaftRecovery),
    /// A log that lost something: its identity must not be used for votes again.
    Damaged(Box<RaftDamage>),
}

/// How an intact log was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftRecovery {
    /// An unfinished last write was cut: it was never acknowledged.
    pub is_torn: bool,
    /// The last frame was written again, because nothing proved that it is on the device.
    pub is_rewritten: bool,
    /// Bytes read.
    pub bytes_read: u64,
}

/// What is wrong with a log, and what of it is readable.
#[derive(Clone, Debug)]
pub struct RaftDamage {
    /// What is wrong.
    pub kind: RaftDamageKind,
    /// The state before the damage, if any of it is readable: for tools, never for votes.
    pub state: Option<RaftState>,
    /// The newest readable snapshot.
    pub snapshot: Option<RaftSnapshot>,
}

impl RaftDamage {
    /// Whose log it was, if that is readable.
    pub fn identity(&self) -> Option<&RaftIdentity> {
        self.state.as_ref().map(|state| &state.identity)
    }
}

/// What is wrong with a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RaftDamageKind {
    /// A frame is bad that was fsynced, as a later one proves.
    #[error("{}: frame {frame_seq} at position {position} is damaged", path.display())]
    Frame {
        /// The file.
        path: PathBuf,
        /// Position of the frame in bytes.
        position: u64,
        /// Its number.
        frame_seq: u64,
    },
    /// The log went on in a file that is not there or not readable: lost, or an older copy was put back.
    #[error("{} says that the log goes on in another file, which is missing or damaged", path.display())]
    FileMissing {
        /// The file that says so.
        path: PathBuf,
    },
    /// Entries were purged and the snapshot that covers them is not there.
    #[error("entries up to {} were purged, and no readable snapshot covers them", purged.index)]
    SnapshotMissing {
        /// The last purged entry.
        purged: RaftLogId,
    },
    /// Neither file begins with a readable frame although there was a log.
    #[error("the Raft log has no readable beginning")]
    NoStart,
}

pub(super) fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: RaftLogOptions,
    markers: Arc<Markers>,
) -> Result<RaftOpen, RaftLogError> {
    let snapshot = snapshot::load(&*disk, dir)?;
    let had_snapshot = !snapshot::list(&*disk, dir)?.is_empty();
    let mut files = Vec::new();
    for number in [1, 2] {
        files.extend(LogFile::read(&*disk, dir, number, options.planted)?);
    }
    let bytes_read = files.iter().map(|file| file.bytes.len() as u64).sum();
    let begun: Vec<Begun> = files.iter().map(LogFile::begun).collect();
    let damaged = |kind, state| {
        markers.reach(Marker::RaftDamageFound);
        Ok(RaftOpen::Damaged(Box::new(RaftDamage {
            kind,
            state,
            snapshot: snapshot.clone(),
        })))
    };
    let is_unfinished = files.iter().all(|file| file.number == 1 && !file.has_proof);
    let (current, unfinished_move) = match choose(files) {
        Choice::None if is_unfinished && !had_snapshot => return Ok(RaftOpen::Empty),
        Choice::None => return damaged(RaftDamageKind::NoStart, None),
        Choice::Missing(file) => {
            let kind = RaftDamageKind::FileMissing { path: file.path };
            return damaged(kind, file.state);
        }
        Choice::Current {
            current,
            unfinished_move,
        } => (*current, unfinished_move),
    };
    if current.is_damaged {
        let kind = RaftDamageKind::Frame {
            path: current.path,
            position: current.position,
            frame_seq: current.next_seq,
        };
        return damaged(kind, current.state);
    }
    let state = current
        .state
        .clone()
        .expect("the current file has a first frame");
    if let Some(purged) = state.purged
        && snapshot
            .as_ref()
            .is_none_or(|snapshot| snapshot.last.index < purged.index)
    {
        return damaged(RaftDamageKind::SnapshotMissing { purged }, Some(state));
    }
    let is_rewritten = current.rewrite_unproven(&markers, options.planted)?;
    // What a killed process left may have a name that is not durable yet: a log or a file that was just made,
    // a snapshot behind which nothing was purged.
    let is_young = current.next_seq == current.first_seq + 1;
    let purged_index = state.purged.map(|id| id.index);
    let is_ahead = |snapshot: &RaftSnapshot| purged_index < Some(snapshot.last.index);
    if (is_young || snapshot.as_ref().is_some_and(is_ahead))
        && !options.planted.is(PlantedBug::DirectoryNotSynced)
    {
        disk.sync_dir(dir)?;
    }
    if let Some(old) = unfinished_move {
        finish_move(&old, current.epoch, &options)?;
    }
    if current.is_torn {
        markers.reach(Marker::RaftTornCut);
        erase(&*current.file, current.position, PAGE_SIZE)?;
    }
    for other in begun {
        if other.number != current.number && current.epoch < other.epoch {
            erase(&*other.file, 0, 2 * PAGE_SIZE)?;
        }
    }
    let recovery = RaftRecovery {
        is_torn: current.is_torn,
        is_rewritten,
        bytes_read,
    };
    let log = RaftLog {
        disk,
        dir: dir.to_owned(),
        options,
        markers: markers.clone(),
        state,
        active: ActiveFile {
            number: current.number,
            file: current.file,
            size: current.bytes.len() as u64 / PAGE_SIZE * PAGE_SIZE,
            position: current.position,
            epoch: current.epoch,
            epoch_start_seq: current.first_seq,
        },
        builder: FrameBuilder::default(),
        next_seq: current.next_seq,
        // An empty frame at the end was written again and not fsynced.
        synced_seq: current.next_seq - 1 - u64::from(current.is_last_empty),
        owes_proof: !current.is_last_empty,
        snapshot: snapshot.clone(),
        failure: None,
    };
    Ok(RaftOpen::Found(Box::new(log), recovery))
}

/// One of the two files, replayed as far as it goes.
struct LogFile {
    path: PathBuf,
    number: u32,
    file: Arc<dyn DiskFile>,
    bytes: Bytes,
    /// `None` when its first frame is not readable.
    state: Option<RaftState>,
    epoch: u64,
    first_seq: u64,
    /// The frame after the last good one: its number and where it would be.
    next_seq: u64,
    position: u64,
    /// The highest frame that a later one proves.
    proven_seq: u64,
    /// The last good frame: its position and size.
    last_frame: Option<(u64, u64)>,
    /// It is empty: it only proves the one before.
    is_last_empty: bool,
    /// Epoch of the file in which the log goes on.
    moved_to: Option<u64>,
    is_torn: bool,
    is_damaged: bool,
    /// Somewhere stands a frame that proves another one.
    has_proof: bool,
}

enum Choice {
    None,
    /// This file says that there must be a newer one.
    Missing(Box<LogFile>),
    Current {
        current: Box<LogFile>,
        /// The old file, if it does not say yet that the log has moved.
        unfinished_move: Option<Box<LogFile>>,
    },
}

/// Which file the log goes on in.
///
/// | newest good file | the other one                        | current |
/// |------------------|--------------------------------------|---------|
/// | says "moved"     | is not good, or not the one meant    | damage  |
/// | any              | says "moved" to the newest           | newest  |
/// | any              | ends right before the newest begins  | newest, once the other says "moved" |
/// | any              | went on after the newest was begun   | other: beginning the newest had failed |
/// | any              | is not good or older                 | newest  |
fn choose(files: Vec<LogFile>) -> Choice {
    let mut good: Vec<LogFile> = files
        .into_iter()
        .filter(|file| file.state.is_some())
        .collect();
    good.sort_by_key(|file| file.epoch);
    let Some(newest) = good.pop() else {
        return Choice::None;
    };
    let other = good.pop().filter(|other| other.epoch + 1 == newest.epoch);
    if let Some(other) = other
        && other.moved_to.is_none()
    {
        if newest.first_seq < other.next_seq {
            return Choice::Current {
                current: Box::new(other),
                unfinished_move: None,
            };
        }
        if newest.first_seq == other.next_seq && !other.is_damaged {
            return Choice::Current {
                current: Box::new(newest),
                unfinished_move: Some(Box::new(other)),
            };
        }
    }
    if newest.moved_to.is_some() {
        return Choice::Missing(Box::new(newest));
    }
    Choice::Current {
        current: Box::new(newest),
        unfinished_move: None,
    }
}

/// Takes away for good what was judged never to have been acknowledged. Otherwise a later attempt at the same
/// place that is torn too could complete the earlier one, and what was gone would come back.
fn erase(file: &dyn DiskFile, position: u64, size: u64) -> Result<(), RaftLogError> {
    file.write_at(position, &[&vec![0; size as usize]])?;
    file.sync_data()?;
    Ok(())
}

/// A file, and the newest epoch under which it was begun, whether or not that was finished.
struct Begun {
    number: u32,
    file: Arc<dyn DiskFile>,
    epoch: u64,
}

/// Says in the old file that the log has moved, as a crash in between had left undone.
fn finish_move(old: &LogFile, epoch: u64, options: &RaftLogOptions) -> Result<(), RaftLogError> {
    let mut builder = FrameBuilder::default();
    builder.clear();
    super::format::encode_items(&[Item::Moved { epoch }], &mut builder);
    builder.seal(&crate::wal::frame::FramePlace {
        ring_epoch: old.epoch,
        epoch_start_seq: old.first_seq,
        frame_seq: old.next_seq,
        synced_seq: old.next_seq - 1,
        first_lsn: ottla_types::Lsn::ZERO,
        file_number: old.number,
        position: old.position,
    });
    old.file
        .write_at(old.position, &[builder.head(), builder.padding()])?;
    if !options.planted.is(PlantedBug::SkipFsync) {
        old.file.sync_data()?;
    }
    Ok(())
}

impl LogFile {
    fn read(
        disk: &dyn Disk,
        dir: &Path,
        number: u32,
        planted: Planted,
    ) -> Result<Option<LogFile>, RaftLogError> {
        let path = file_path(dir, number);
        let file = match disk.open(&path, OpenMode::ReadWrite) {
            Ok(file) => file,
            Err(DiskError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = vec![0; file.size()? as usize];
        let size = file.read_at(0, &mut bytes)?;
        bytes.truncate(size);
        let mut log_file = LogFile {
            path,
            number,
            file,
            bytes: bytes.into(),
            state: None,
            epoch: 0,
            first_seq: 0,
            next_seq: 0,
            position: PAGE_SIZE,
            proven_seq: 0,
            last_frame: None,
            is_last_empty: false,
            moved_to: None,
            is_torn: false,
            is_damaged: false,
            has_proof: false,
        };
        log_file.replay(planted)?;
        Ok(Some(log_file))
    }

    fn begun(&self) -> Begun {
        let header = FileHeader::decode(&self.bytes, &self.path).ok().flatten();
        Begun {
            number: self.number,
            file: self.file.clone(),
            epoch: header.map_or(0, |header| header.ring_epoch).max(self.epoch),
        }
    }

    fn replay(&mut self, planted: Planted) -> Result<(), RaftLogError> {
        let mut here = self.header_at(PAGE_SIZE)?;
        if let Some(first) = here {
            (self.epoch, self.first_seq) = (first.ring_epoch, first.frame_seq);
            self.next_seq = first.frame_seq;
        }
        while let Some(header) = here {
            let is_expected = header.frame_seq == self.next_seq && header.ring_epoch == self.epoch;
            let Some(frame) = self.frame(header).filter(|_| is_expected) else {
                break;
            };
            let is_checked = !planted.is(PlantedBug::CrcIgnored);
            if is_checked && !frame.is_valid() {
                break;
            }
            let Some(items) = decode_items(&frame) else {
                break;
            };
            if !self.apply(items) {
                break;
            }
            self.proven_seq = self.proven_seq.max(header.synced_seq);
            self.last_frame = Some((self.position, header.frame_size()));
            self.is_last_empty = header.entries_count == 0;
            self.position += header.frame_size();
            self.next_seq += 1;
            here = self.header_at(self.position)?;
        }
        self.look_on(planted)
    }

    /// Applies a frame; false when its first item is not what a first frame begins with.
    fn apply(&mut self, items: Vec<Item>) -> bool {
        for item in items {
            match (&mut self.state, item) {
                (None, Item::Identity(identity)) => {
                    self.state = Some(RaftState {
                        identity,
                        vote: None,
                        purged: None,
                        entries: VecDeque::new(),
                    });
                }
                (None, _) => return false,
                (Some(_), Item::Moved { epoch }) => self.moved_to = Some(epoch),
                (Some(state), item) => state.apply(item),
            }
        }
        true
    }

    /// Tells a torn end from damage: looks for later frames of the same epoch.
    fn look_on(&mut self, planted: Planted) -> Result<(), RaftLogError> {
        let bad = self.header_at(self.position)?;
        self.is_torn = bad.is_some_and(|bad| {
            bad.ring_epoch == self.epoch && bad.frame_seq == self.next_seq && self.state.is_some()
        });
        let mut position = self.position;
        let end = self.bytes.len() as u64;
        while position + PAGE_SIZE <= end {
            if let Some(header) = self.header_at(position)? {
                self.has_proof |= 0 < header.synced_seq;
                let is_later = header.ring_epoch == self.epoch
                    && self.next_seq <= header.synced_seq
                    && self.state.is_some();
                if is_later && !planted.is(PlantedBug::FirstBadFrameIsEnd) {
                    self.is_damaged = true;
                }
            }
            position += PAGE_SIZE;
        }
        Ok(())
    }

    fn header_at(&self, position: u64) -> Result<Option<FrameHeader>, RaftLogError> {
        let end = (self.bytes.len() as u64).min(position + PAGE_SIZE);
        let page = &self.bytes[position.min(end) as usize..end as usize];
        match FrameHeader::decode(page, true) {
            Ok(header) => {
                let is_here = header.file_number == self.number
                    && u64::from(header.page) == position / PAGE_SIZE;
                Ok(is_here.then_some(header))
            }
            Err(HeaderFault::Absent) => Ok(None),
            Err(HeaderFault::Newer(version)) => Err(RaftLogError::NewerFormat {
                path: self.path.clone(),
                version,
            }),
        }
    }

    fn frame(&self, header: FrameHeader) -> Option<Frame> {
        let end = self.position + header.frame_size();
        if (self.bytes.len() as u64) < end {
            return None;
        }
        let bytes = self.bytes.slice(self.position as usize..end as usize);
        Some(Frame { header, bytes })
    }

    /// Writes the last frame again unless a later one proves it: read from the page cache it may not be on the
    /// device. Only the last one can be unproven, because each append is fsynced before the next.
    fn rewrite_unproven(&self, markers: &Markers, planted: Planted) -> Result<bool, RaftLogError> {
        let Some((position, size)) = self.last_frame else {
            return Ok(false);
        };
        if self.next_seq <= self.proven_seq + 1 || planted.is(PlantedBug::UnprovenNotRewritten) {
            return Ok(false);
        }
        let bytes = self
            .bytes
            .slice(position as usize..(position + size) as usize);
        self.file.write_at(position, &[&bytes])?;
        if self.is_last_empty {
            // The next append's fsync takes it along.
            return Ok(false);
        }
        markers.reach(Marker::UnprovenRewritten);
        self.file.sync_data()?;
        Ok(true)
    }
}
