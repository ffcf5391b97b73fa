//! Prepares the next ring file in the background: zeroed, so that commits neither allocate nor convert
//! extents; named and synced before it is used.

use super::WalError;
use super::frame::PAGE_SIZE;
use super::ring::{RingFile, new_ring_path, ring_path};
use crate::disk::{Disk, DiskError, DiskFile, OpenMode};
use crate::planted::{Planted, PlantedBug};
use std::path::Path;
use std::sync::Arc;

const CHUNK_SIZE: u64 = 64 << 10;
const CHUNKS_PER_STEP: usize = 16;
/// Files from this size on are zeroed past the page cache: a gigabyte of ring takes no memory before it is used.
const UNCACHED_FILE_SIZE_MIN: u64 = 8 << 20;
static ZEROS: Zeros = Zeros([0; CHUNK_SIZE as usize]);

/// On a page's border, so that they need no copy on their way past the page cache.
#[repr(align(4096))]
struct Zeros([u8; CHUNK_SIZE as usize]);

/// A file being prepared.
pub(crate) struct Zeroing {
    number: u32,
    size: u64,
    stage: Stage,
}

enum Stage {
    Create,
    Zero(Arc<dyn DiskFile>, u64),
    Sync(Arc<dyn DiskFile>),
    Rename(Arc<dyn DiskFile>),
    SyncDir(Arc<dyn DiskFile>),
}

/// What a step came to.
pub(crate) enum Progress {
    More,
    Done(RingFile),
    /// No room; what was written is removed again.
    Refused,
}

impl Zeroing {
    /// Of the file `number` with `size` bytes.
    pub(crate) fn new(number: u32, size: u64) -> Zeroing {
        Zeroing {
            number,
            size,
            stage: Stage::Create,
        }
    }

    /// Does the next one operation.
    pub(crate) fn step(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        planted: Planted,
    ) -> Result<Progress, WalError> {
        match self.advance(disk, dir, planted) {
            Ok(progress) => Ok(progress),
            Err(error) if error.is_full() => {
                match disk.remove_file(&new_ring_path(dir, self.number)) {
                    Ok(()) | Err(DiskError::NotFound { .. }) => Ok(Progress::Refused),
                    // Some file systems need room to remove a file: the next try begins with this one.
                    Err(error) if error.is_full() => Ok(Progress::Refused),
                    Err(error) => Err(error.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn advance(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        planted: Planted,
    ) -> Result<Progress, DiskError> {
        let path = new_ring_path(dir, self.number);
        self.stage = match &self.stage {
            Stage::Create => Stage::Zero(disk.open(&path, OpenMode::Create)?, 0),
            Stage::Zero(file, position) => {
                let size = zero(&**file, *position, self.size)?;
                let position = position + size;
                if position < self.size {
                    Stage::Zero(file.clone(), position)
                } else {
                    Stage::Sync(file.clone())
                }
            }
            Stage::Sync(file) => {
                file.sync_data()?;
                Stage::Rename(file.clone())
            }
            Stage::Rename(file) => {
                disk.rename(&path, &ring_path(dir, self.number))?;
                Stage::SyncDir(file.clone())
            }
            Stage::SyncDir(file) => {
                if !planted.is(PlantedBug::DirectoryNotSynced) {
                    disk.sync_dir(dir)?;
                }
                let file = file.clone();
                return Ok(Progress::Done(RingFile {
                    number: self.number,
                    file,
                    size: self.size,
                    was_used: false,
                }));
            }
        };
        Ok(Progress::More)
    }
}

/// Writes the first file of a ring. Its bytes become durable with the first commit's fsync.
pub(crate) fn create_first(disk: &dyn Disk, dir: &Path, size: u64) -> Result<RingFile, WalError> {
    let file = disk.open(&ring_path(dir, 1), OpenMode::CreateNew)?;
    let mut position = 0;
    while position < size {
        position += zero(&*file, position, size)?;
    }
    disk.sync_dir(dir)?;
    Ok(RingFile {
        number: 1,
        file,
        size,
        was_used: false,
    })
}

/// Writes up to 1 MiB of zeros at `position`, not past `end`; returns how many bytes.
fn zero(file: &dyn DiskFile, position: u64, end: u64) -> Result<u64, DiskError> {
    debug_assert!(end.is_multiple_of(PAGE_SIZE), "ring files are whole pages");
    let size = (end - position).min(CHUNK_SIZE * CHUNKS_PER_STEP as u64);
    let mut parts = [&ZEROS.0[..]; CHUNKS_PER_STEP];
    let count = size.div_ceil(CHUNK_SIZE) as usize;
    let last = size - (count as u64 - 1) * CHUNK_SIZE;
    parts[count - 1] = &ZEROS.0[..last as usize];
    let parts = &parts[..count];
    if end < UNCACHED_FILE_SIZE_MIN {
        file.write_at(position, parts)?;
    } else {
        file.write_uncached(position, parts)?;
    }
    Ok(size)
}
