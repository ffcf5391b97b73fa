//! The log of the metadata quorum: votes and entries together, each append one synced write, in the journal's
//! frame format but apart from it. docs/formats/raft-log.md has the bytes.
//!
//! A member of a quorum must never forget a vote or an entry it has acknowledged. So a log that was cut
//! behind its proofs, that points to a file which is not there, or whose snapshot is missing, is not opened
//! but reported ([`RaftOpen::Damaged`]): its owner must not vote under its old identity again.

mod format;
mod open;
mod snapshot;

pub use format::{RaftBatch, RaftEntry, RaftIdentity, RaftLogId};
pub use open::{RaftDamage, RaftDamageKind, RaftOpen, RaftRecovery};
pub use snapshot::RaftSnapshot;

use crate::disk::{Disk, DiskError, DiskFile, OpenMode};
use crate::marker::{Marker, Markers};
use crate::planted::{Planted, PlantedBug};
use crate::wal::PAGE_SIZE;
use crate::wal::file_header::FileHeader;
use crate::wal::frame::{FrameBuilder, FramePlace};
use bytes::Bytes;
use format::{Item, encode_items};
use ottla_types::Lsn;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Sizes of a Raft log.
#[derive(Clone, Copy, Debug)]
pub struct RaftLogOptions {
    /// Size in bytes of each of the two files, at least; whole pages. They grow when the entries that are
    /// not purged need it.
    pub file_size: u64,
    /// Which bug is planted.
    pub planted: Planted,
}

impl Default for RaftLogOptions {
    fn default() -> RaftLogOptions {
        RaftLogOptions {
            file_size: 1 << 20,
            planted: Planted::none(),
        }
    }
}

/// Why a Raft log cannot be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RaftLogError {
    /// There is no room for a larger file or a snapshot. Nothing was lost; it can be tried again.
    #[error("the Raft log has no room: {0}")]
    Full(DiskError),
    /// A write or sync failed: what reached the device is unknown until a restart reads it.
    #[error("the Raft log is offline: {0}")]
    Disk(DiskError),
    /// The files were written by a newer version.
    #[error("{} has format version {version}, which this version does not know: use a newer one", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u16,
    },
}

impl From<DiskError> for RaftLogError {
    fn from(error: DiskError) -> RaftLogError {
        RaftLogError::Disk(error)
    }
}

/// What the log says: kept in memory as a whole, because snapshots bound it.
#[derive(Clone, Debug)]
pub struct RaftState {
    /// Whose log it is.
    pub identity: RaftIdentity,
    /// The last vote, in its owner's format.
    pub vote: Option<Bytes>,
    /// Entries up to this one are gone: a snapshot covers them.
    pub purged: Option<RaftLogId>,
    /// The entries after `purged`, without gaps.
    pub entries: VecDeque<RaftEntry>,
}

impl RaftState {
    /// The last entry, or the last purged one.
    pub fn last_log_id(&self) -> Option<RaftLogId> {
        self.entries.back().map(|entry| entry.id).or(self.purged)
    }

    /// The entry with this index.
    pub fn entry(&self, index: u64) -> Option<&RaftEntry> {
        let first = self.entries.front()?.id.index;
        self.entries
            .get(usize::try_from(index.checked_sub(first)?).ok()?)
    }

    /// The entries with indexes `start..end` that are there.
    pub fn entries(&self, start: u64, end: u64) -> impl Iterator<Item = &RaftEntry> {
        let first = self.entries.front().map_or(0, |entry| entry.id.index);
        let from = (start.saturating_sub(first) as usize).min(self.entries.len());
        let to = (end.saturating_sub(first) as usize).clamp(from, self.entries.len());
        self.entries.range(from..to)
    }

    fn apply(&mut self, item: Item) {
        match item {
            Item::Identity(identity) => self.identity = identity,
            Item::Vote(vote) => self.vote = Some(vote),
            Item::Entry(entry) => {
                self.entries.push_back(entry);
            }
            Item::Truncate { from } => {
                while self
                    .entries
                    .back()
                    .is_some_and(|entry| from <= entry.id.index)
                {
                    self.entries.pop_back();
                }
            }
            Item::Purge(id) => {
                while self
                    .entries
                    .front()
                    .is_some_and(|entry| entry.id.index <= id.index)
                {
                    self.entries.pop_front();
                }
                self.purged = Some(id);
            }
            Item::Moved { .. } => {}
        }
    }

    /// All that the first frame of a file must say.
    fn items(&self) -> Vec<Item> {
        let mut items = vec![Item::Identity(self.identity.clone())];
        items.extend(self.vote.clone().map(Item::Vote));
        items.extend(self.purged.map(Item::Purge));
        items.extend(self.entries.iter().cloned().map(Item::Entry));
        items
    }
}

/// An open Raft log. All calls are synchronous: when one returns, its effect is on the device.
pub struct RaftLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: RaftLogOptions,
    markers: Arc<Markers>,
    state: RaftState,
    active: ActiveFile,
    builder: FrameBuilder,
    next_seq: u64,
    synced_seq: u64,
    /// The last frame is fsynced and no later one says so.
    owes_proof: bool,
    snapshot: Option<RaftSnapshot>,
    failure: Option<RaftLogError>,
}

/// The one of the two files that is written.
struct ActiveFile {
    number: u32,
    file: Arc<dyn DiskFile>,
    size: u64,
    position: u64,
    epoch: u64,
    epoch_start_seq: u64,
}

impl RaftLog {
    /// Opens the log in `dir`, if there is one.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: RaftLogOptions,
        markers: Arc<Markers>,
    ) -> Result<RaftOpen, RaftLogError> {
        open::open(disk, dir, options, markers)
    }

    /// Makes the log in `dir` (made when missing; the caller syncs the directory that holds it) with its first
    /// batch: one synced write, and a sync of `dir`.
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: RaftLogOptions,
        markers: Arc<Markers>,
        identity: RaftIdentity,
        first: RaftBatch,
    ) -> Result<RaftLog, RaftLogError> {
        disk.create_dir(dir)?;
        let file = disk.open(&file_path(dir, 1), OpenMode::Create)?;
        let mut state = RaftState {
            identity,
            vote: None,
            purged: None,
            entries: VecDeque::new(),
        };
        first.items().into_iter().for_each(|item| state.apply(item));
        let mut log = RaftLog {
            disk,
            dir: dir.to_owned(),
            options,
            markers,
            state,
            active: ActiveFile {
                number: 1,
                file,
                size: 0,
                position: PAGE_SIZE,
                epoch: 1,
                epoch_start_seq: 1,
            },
            builder: FrameBuilder::default(),
            next_seq: 1,
            synced_seq: 0,
            owes_proof: false,
            snapshot: None,
            failure: None,
        };
        log.active = log.write_file(log.active.file.clone(), 1, 1, 0)?;
        log.sync_dir()?;
        Ok(log)
    }

    /// What it says.
    pub fn state(&self) -> &RaftState {
        &self.state
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Option<&RaftSnapshot> {
        self.snapshot.as_ref()
    }

    /// Writes a batch: one synced write, or none when the batch is empty. Entries must follow the last one.
    pub fn append(&mut self, batch: RaftBatch) -> Result<(), RaftLogError> {
        let items = batch.items();
        if items.is_empty() {
            return Ok(());
        }
        self.check_failure()?;
        self.check_order(&items);
        let bodies = self.build(&items);
        let room = self.active.size - PAGE_SIZE;
        if self.active.position + self.builder.size() <= room {
            self.write_frame(&bodies)?;
            items.into_iter().for_each(|item| self.state.apply(item));
            return Ok(());
        }
        // The other file begins with the whole state, this batch included.
        let before = self.state.clone();
        items.into_iter().for_each(|item| self.state.apply(item));
        let result = self.switch();
        if result.is_err() {
            self.state = before;
        }
        result
    }

    /// Proves the last append by an empty frame, so that damage to it is told from a torn write, and sees to
    /// it that there is room for a move to the other file, so that a full disk does not stop the quorum: to be
    /// called some milliseconds after the last append. False when there was nothing to prove.
    pub fn prove(&mut self) -> Result<bool, RaftLogError> {
        if !self.owes_proof {
            return Ok(false);
        }
        self.check_failure()?;
        self.build(&[]);
        if self.active.size - PAGE_SIZE < self.active.position + self.builder.size() {
            self.switch()?;
        } else {
            self.write_frame(&[])?;
        }
        self.owes_proof = false;
        match self.prepare_other() {
            Ok(()) | Err(RaftLogError::Full(_)) => Ok(true),
            Err(error) => Err(self.note_failure(error)),
        }
    }

    /// Fills the other file with zeros up to the size of this one. What it holds is of no use any more.
    fn prepare_other(&mut self) -> Result<(), RaftLogError> {
        let path = file_path(&self.dir, 3 - self.active.number);
        let file = self.disk.open(&path, OpenMode::Create)?;
        let size = file.size()?;
        if self.active.size <= size {
            return Ok(());
        }
        let zeros = vec![0; (self.active.size - size) as usize];
        if let Err(error) = file.write_at(size, &[&zeros]) {
            file.set_len(size)?;
            return Err(full_or_failed(error));
        }
        file.sync_data()?;
        self.sync_dir()
    }

    /// Makes a snapshot durable. Afterwards the entries it covers may be purged.
    pub fn save_snapshot(&mut self, snapshot: RaftSnapshot) -> Result<(), RaftLogError> {
        self.check_failure()?;
        let result = snapshot::save(&*self.disk, &self.dir, &snapshot, self.snapshot.as_ref());
        match result {
            Ok(()) => {
                self.snapshot = Some(snapshot);
                Ok(())
            }
            Err(error) => Err(self.note_failure(error)),
        }
    }

    /// Bytes of the active file that are used: a measure for when to take a snapshot.
    pub fn used_bytes(&self) -> u64 {
        self.active.position
    }

    /// Puts the frame of `items` together; returns the bodies.
    fn build(&mut self, items: &[Item]) -> Vec<Bytes> {
        self.builder.clear();
        encode_items(items, &mut self.builder)
    }

    fn write_frame(&mut self, bodies: &[Bytes]) -> Result<(), RaftLogError> {
        let active = &self.active;
        self.builder.seal(&FramePlace {
            ring_epoch: active.epoch,
            epoch_start_seq: active.epoch_start_seq,
            frame_seq: self.next_seq,
            synced_seq: self.synced_seq,
            first_lsn: Lsn::ZERO,
            file_number: active.number,
            position: active.position,
        });
        let mut parts: Vec<&[u8]> = vec![self.builder.head()];
        parts.extend(bodies.iter().map(|body| &body[..]));
        parts.push(self.builder.padding());
        let mut result = active.file.write_at(active.position, &parts);
        if result.is_ok() && !self.options.planted.is(PlantedBug::SkipFsync) {
            result = active.file.sync_data();
        }
        if let Err(error) = result {
            // Unlike the start of a new file, this place must not be written twice.
            return Err(self.note_failure(RaftLogError::Disk(error)));
        }
        self.active.position += self.builder.size();
        self.synced_seq = self.next_seq;
        self.next_seq += 1;
        self.owes_proof = true;
        Ok(())
    }

    /// Goes on in the other file, which begins with the whole state.
    ///
    /// 1. The other file gets its first frame and is fsynced: a crash before that leaves the old file current.
    /// 2. The old file gets a frame that says so: from then on a missing new file is damage.
    /// 3. Appends go to the new file.
    fn switch(&mut self) -> Result<(), RaftLogError> {
        let number = 3 - self.active.number;
        let result = self.start_other(number);
        let next = match result {
            Ok(next) => next,
            Err(error) => return Err(self.note_failure(error)),
        };
        self.markers.reach(Marker::RaftLogSwitched);
        let epoch = next.epoch;
        // It takes the number that the new file's first frame has: the old file has no other one with it.
        self.next_seq -= 1;
        self.synced_seq = self.next_seq - 1;
        let bodies = self.build(&[Item::Moved { epoch }]);
        self.write_frame(&bodies)?;
        self.active = next;
        Ok(())
    }

    fn start_other(&mut self, number: u32) -> Result<ActiveFile, RaftLogError> {
        let path = file_path(&self.dir, number);
        let file = self.disk.open(&path, OpenMode::Create)?;
        let size = file.size()?;
        let next = self.write_file(file, number, self.active.epoch + 1, size)?;
        // Even if the file was there: a process that was killed may have made it.
        self.sync_dir()?;
        Ok(next)
    }

    /// Starts a file with a frame of the whole state, zeros behind it, and an fsync. What is in the file now
    /// is of no use.
    fn write_file(
        &mut self,
        file: Arc<dyn DiskFile>,
        number: u32,
        epoch: u64,
        size_now: u64,
    ) -> Result<ActiveFile, RaftLogError> {
        let bodies = self.build(&self.state.items());
        let frame_size = self.builder.size();
        // Half of it is for what comes next.
        let size = (2 * (frame_size + 4 * PAGE_SIZE))
            .next_power_of_two()
            .max(self.options.file_size)
            .max(size_now / PAGE_SIZE * PAGE_SIZE);
        let header = FileHeader {
            ring_epoch: epoch,
            first_seq: self.next_seq,
            first_lsn: Lsn::ZERO,
            file_number: number,
            pages: (size / PAGE_SIZE) as u32,
        };
        self.builder.seal(&FramePlace {
            ring_epoch: epoch,
            epoch_start_seq: self.next_seq,
            frame_seq: self.next_seq,
            synced_seq: self.synced_seq,
            first_lsn: Lsn::ZERO,
            file_number: number,
            position: PAGE_SIZE,
        });
        let position = PAGE_SIZE + frame_size;
        if size_now < size {
            // Room first: a full disk must be noticed before the frame is there.
            let zeros = vec![0; (size - size_now) as usize];
            file.write_at(size_now, &[&zeros]).map_err(full_or_failed)?;
        }
        let header = header.encode();
        let mut parts: Vec<&[u8]> = vec![&header, self.builder.head()];
        parts.extend(bodies.iter().map(|body| &body[..]));
        parts.push(self.builder.padding());
        file.write_at(0, &parts).map_err(full_or_failed)?;
        if !self.options.planted.is(PlantedBug::SkipFsync) {
            file.sync_data()?;
        }
        let epoch_start_seq = self.next_seq;
        self.synced_seq = self.next_seq;
        self.next_seq += 1;
        self.owes_proof = true;
        Ok(ActiveFile {
            number,
            file,
            size,
            position,
            epoch,
            epoch_start_seq,
        })
    }

    fn sync_dir(&self) -> Result<(), RaftLogError> {
        if !self.options.planted.is(PlantedBug::DirectoryNotSynced) {
            self.disk.sync_dir(&self.dir)?;
        }
        Ok(())
    }

    /// Entries follow each other and the last one that stays: anything else is a bug of the caller.
    fn check_order(&self, items: &[Item]) {
        let mut last = self.state.last_log_id().map(|id| id.index);
        for item in items {
            match item {
                Item::Truncate { from } => {
                    last = from
                        .checked_sub(1)
                        .and_then(|it| last.map(|last| last.min(it)))
                }
                Item::Entry(entry) => {
                    let index = entry.id.index;
                    assert!(
                        last.is_none_or(|last| last + 1 == index),
                        "the Raft log has no gaps"
                    );
                    last = Some(index);
                }
                Item::Purge(id) => last = last.map(|last| last.max(id.index)),
                Item::Identity(_) | Item::Vote(_) | Item::Moved { .. } => {}
            }
        }
    }

    fn check_failure(&self) -> Result<(), RaftLogError> {
        self.failure.clone().map_or(Ok(()), Err)
    }

    /// A full disk passes; anything else is for good.
    fn note_failure(&mut self, error: RaftLogError) -> RaftLogError {
        match &error {
            RaftLogError::Full(_) => {}
            RaftLogError::Disk(_) | RaftLogError::NewerFormat { .. } => {
                self.failure = Some(error.clone());
            }
        }
        error
    }
}

fn full_or_failed(error: DiskError) -> RaftLogError {
    if error.is_full() {
        RaftLogError::Full(error)
    } else {
        RaftLogError::Disk(error)
    }
}

/// Path of one of the two files.
fn file_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("raft-log-{number}"))
}

#[cfg(test)]
mod tests;
