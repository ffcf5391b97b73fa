//! The record of runs that keeps ring epochs unique.

use super::WalError;
use super::file_header::{FORMAT_VERSION, half, is_sealed, seal};
use super::frame::PAGE_SIZE;
use crate::disk::{Disk, DiskError, DiskFile, OpenMode};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const RUN_MAGIC: [u8; 4] = *b"OtRn";
const RUN_SIZE: usize = 32;
const SLOTS_COUNT: u64 = 2;

/// The number of this run of the journal, made durable before anything is written under it: together with
/// a counter of activations it makes ring epochs that were never used before, even by a run that left
/// nothing readable behind.
///
/// Two slots, a page each, written alternately: magic "OtRn", version u16, zero u16, run u32, zeros, CRC-32C.
/// A ring without this file has seen one run only, so a first start need not write it: [`RunPreparation`] does that
/// later.
pub(crate) fn begin_run(disk: &dyn Disk, dir: &Path, run_seen: u32) -> Result<u32, WalError> {
    let path = run_path(dir);
    let (file, is_new) = match disk.open(&path, OpenMode::ReadWrite) {
        Ok(file) => (file, false),
        Err(DiskError::NotFound { .. }) => (disk.open(&path, OpenMode::CreateNew)?, true),
        Err(error) => return Err(error.into()),
    };
    let slots = read_slots(&*file, &path)?;
    let last = (0..SLOTS_COUNT).zip(slots);
    let last = last.filter_map(|(slot, run)| Some((run?, slot))).max();
    let run = match last {
        Some((last, _)) => last.max(run_seen) + 1,
        None if is_new => run_seen.max(1) + 1,
        // Both slots are unreadable: jump far above any run that can have been.
        None => run_seen.max(1) + (1 << 16),
    };
    if last.is_none() {
        // Before anything is in it: a file with a valid slot has a durable name, also after a kill.
        disk.sync_dir(dir)?;
    }
    // Never over the newest one: a torn write must not take that along.
    let slot = last.map_or(0, |(_, slot)| 1 - slot);
    file.write_at(slot * PAGE_SIZE, &[&encode(run)])?;
    file.sync_data()?;
    Ok(run)
}

/// Where the record of runs is.
pub(crate) fn run_path(dir: &Path) -> PathBuf {
    dir.join("run")
}

/// Sees to it that both slots are there as long as there is room: a start on a full disk writes over one of them, and
/// needs no more.
pub(crate) struct RunPreparation {
    run: u32,
    stage: Stage,
}

enum Stage {
    Look,
    SyncDir(Arc<dyn DiskFile>, Vec<u64>),
    Write(Arc<dyn DiskFile>, Vec<u64>),
    Sync(Arc<dyn DiskFile>),
    Done,
}

impl RunPreparation {
    /// While the journal is in its run `run`.
    pub(crate) fn new(run: u32) -> RunPreparation {
        RunPreparation {
            run,
            stage: Stage::Look,
        }
    }

    /// Does the next one operation; false when nothing is left to do. A disk without room ends it: the next run tries
    /// again.
    pub(crate) fn step(&mut self, disk: &dyn Disk, dir: &Path) -> Result<bool, WalError> {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Done => return Ok(false),
            Stage::Look => {
                let path = run_path(dir);
                let file = match disk.open(&path, OpenMode::Create) {
                    Ok(file) => file,
                    Err(error) if error.is_full() => return Ok(false),
                    Err(error) => return Err(error.into()),
                };
                let slots = read_slots(&*file, &path)?;
                let missing = (0..SLOTS_COUNT).zip(slots);
                let missing: Vec<u64> = missing
                    .filter_map(|(slot, run)| run.is_none().then_some(slot))
                    .collect();
                match missing.len() as u64 {
                    0 => return Ok(false),
                    // Before anything is in it, as at the start of a run.
                    SLOTS_COUNT => Stage::SyncDir(file, missing),
                    _ => Stage::Write(file, missing),
                }
            }
            Stage::SyncDir(file, missing) => {
                disk.sync_dir(dir)?;
                Stage::Write(file, missing)
            }
            Stage::Write(file, mut missing) => {
                let Some(slot) = missing.pop() else {
                    self.stage = Stage::Sync(file);
                    return Ok(true);
                };
                match file.write_at(slot * PAGE_SIZE, &[&encode(self.run)]) {
                    Ok(()) => Stage::Write(file, missing),
                    Err(error) if error.is_full() => return Ok(false),
                    Err(error) => return Err(error.into()),
                }
            }
            Stage::Sync(file) => {
                file.sync_data()?;
                Stage::Done
            }
        };
        Ok(true)
    }
}

/// The run in each slot that is readable.
fn read_slots(
    file: &dyn DiskFile,
    path: &Path,
) -> Result<[Option<u32>; SLOTS_COUNT as usize], WalError> {
    let mut slots = [None; SLOTS_COUNT as usize];
    for (index, slot) in slots.iter_mut().enumerate() {
        let mut bytes = [0; RUN_SIZE];
        let size = file.read_at(index as u64 * PAGE_SIZE, &mut bytes)?;
        if size == RUN_SIZE && is_sealed(&bytes, RUN_MAGIC, RUN_SIZE, path)? {
            *slot = Some(half(&bytes, 8));
        }
    }
    Ok(slots)
}

fn encode(run: u32) -> [u8; RUN_SIZE] {
    let mut bytes = [0; RUN_SIZE];
    bytes[0..4].copy_from_slice(&RUN_MAGIC);
    bytes[4..6].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[8..12].copy_from_slice(&run.to_le_bytes());
    seal(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_disk::MemoryDisk;

    #[test]
    fn runs_rise_whatever_happens_to_their_record() {
        let disk = MemoryDisk::new();
        let dir = Path::new("");
        assert_eq!(begin_run(&disk, dir, 1).unwrap(), 2);
        assert_eq!(begin_run(&disk, dir, 1).unwrap(), 3);
        assert_eq!(begin_run(&disk, dir, 7).unwrap(), 8);
        let file = disk.open(&run_path(dir), OpenMode::ReadWrite).unwrap();
        // One slot torn: the other one still counts.
        file.write_at(0, &[&[0xff; 8]]).unwrap();
        assert!(begin_run(&disk, dir, 7).unwrap() >= 8);
        file.write_at(0, &[&[0xff; 8]]).unwrap();
        file.write_at(PAGE_SIZE, &[&[0xff; 8]]).unwrap();
        assert_eq!(begin_run(&disk, dir, 7).unwrap(), 7 + (1 << 16));
    }

    fn prepare(disk: &MemoryDisk, run: u32) {
        let mut preparation = RunPreparation::new(run);
        while preparation.step(disk, Path::new("")).unwrap() {}
    }

    fn size(disk: &MemoryDisk) -> u64 {
        let file = disk.open(&run_path(Path::new("")), OpenMode::Read).unwrap();
        file.size().unwrap()
    }

    /// Whatever the runs before left: nothing, one slot, or two.
    #[test]
    fn a_start_writes_only_over_what_a_run_prepared() {
        let dir = Path::new("");
        for runs_before in 0..3 {
            let disk = MemoryDisk::new();
            let mut run = 1;
            for _ in 0..runs_before {
                run = begin_run(&disk, dir, 1).unwrap();
            }
            prepare(&disk, run);
            let prepared = size(&disk);
            for _ in 0..3 {
                run += 1;
                assert_eq!(begin_run(&disk, dir, 1).unwrap(), run);
                assert_eq!(size(&disk), prepared);
            }
        }
    }

    #[test]
    fn a_full_disk_is_left_alone() {
        let disk = MemoryDisk::new();
        disk.fill(true);
        prepare(&disk, 1);
        disk.fill(false);
        assert!(begin_run(&disk, Path::new(""), 1).unwrap() > 1);
        prepare(&disk, 2);
    }
}
