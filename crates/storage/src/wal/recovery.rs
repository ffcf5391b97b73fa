//! Opening a journal: replays it, tells a torn end from damage, and makes sure that what was replayed is
//! on the device.

use super::commit::{Commit, CommitStart};
use super::damage::Damage;
use super::gather::Gather;
use super::queue::Queue;
use super::replay::{InspectedFrame, Replay, Replayed};
use super::ring::{WalPosition, ring_path};
use super::run_record::{RunPreparation, begin_run, run_path};
use super::scan::{Scan, ScanFile};
use super::zeroing::create_first;
use super::{Wal, WalError, WalOptions};
use crate::disk::{Disk, DiskError, OpenMode};
use crate::marker::Markers;
use crate::planted::PlantedBug;
use crate::sync::Mutex;
use ottla_types::Lsn;
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
        is_write_missed: AtomicBool::new(false),
        frames_written: AtomicU64::new(0),
        is_closing: AtomicBool::new(false),
        is_full: AtomicBool::new(false),
        was_growth_refused: AtomicBool::new(false),
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
