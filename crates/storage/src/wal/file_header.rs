//! The first page of a ring file, and the record of runs that keeps ring epochs unique.

use super::WalError;
use super::frame::PAGE_SIZE;
use crate::checksum::crc32c;
use crate::disk::{Disk, DiskError, OpenMode};
use ottla_types::Lsn;
use std::path::{Path, PathBuf};

const FILE_MAGIC: [u8; 4] = *b"OtWa";
const FILE_HEADER_SIZE: usize = 64;
const RUN_MAGIC: [u8; 4] = *b"OtRn";
const RUN_SIZE: usize = 32;
const FORMAT_VERSION: u16 = 1;

/// What the first page of a ring file says: written together with the first frame of each activation.
///
/// ```text
///  0 magic "OtWa" | 4 version u16 | 6 zero u16 | 8 ring epoch u64 | 16 first frame_seq u64 | 24 first LSN u64
/// 32 file number u32 | 36 size in pages u32 | 40 zeros | 60 CRC-32C of bytes 0..60               (little endian)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) ring_epoch: u64,
    pub(crate) first_seq: u64,
    pub(crate) first_lsn: Lsn,
    pub(crate) file_number: u32,
    pub(crate) pages: u32,
}

impl FileHeader {
    /// The whole page.
    pub(crate) fn encode(&self) -> [u8; PAGE_SIZE as usize] {
        let mut bytes = [0; PAGE_SIZE as usize];
        bytes[0..4].copy_from_slice(&FILE_MAGIC);
        bytes[4..6].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.ring_epoch.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_lsn.get().to_le_bytes());
        bytes[32..36].copy_from_slice(&self.file_number.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.pages.to_le_bytes());
        seal(&mut bytes[..FILE_HEADER_SIZE]);
        bytes
    }

    /// `None` when there is no valid header.
    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Option<FileHeader>, WalError> {
        if !is_sealed(bytes, FILE_MAGIC, FILE_HEADER_SIZE, path)? {
            return Ok(None);
        }
        Ok(Some(FileHeader {
            ring_epoch: word(bytes, 8),
            first_seq: word(bytes, 16),
            first_lsn: Lsn::new(word(bytes, 24)),
            file_number: half(bytes, 32),
            pages: half(bytes, 36),
        }))
    }
}

/// The number of this run of the journal, made durable before anything is written under it: together with
/// a counter of activations it makes ring epochs that were never used before, even by a run that left
/// nothing readable behind.
///
/// Two slots, a page each, written alternately: magic "OtRn", version u16, zero u16, run u32, zeros, CRC-32C.
/// A ring without this file has seen one run only, so a first start need not write it.
pub(crate) fn begin_run(disk: &dyn Disk, dir: &Path, run_seen: u32) -> Result<u32, WalError> {
    let path = run_path(dir);
    let (file, is_new) = match disk.open(&path, OpenMode::ReadWrite) {
        Ok(file) => (file, false),
        Err(DiskError::NotFound { .. }) => (disk.open(&path, OpenMode::CreateNew)?, true),
        Err(error) => return Err(error.into()),
    };
    let mut last: Option<(u32, u64)> = None;
    for slot in 0..2 {
        let mut bytes = [0; RUN_SIZE];
        let size = file.read_at(slot * PAGE_SIZE, &mut bytes)?;
        if size == RUN_SIZE && is_sealed(&bytes, RUN_MAGIC, RUN_SIZE, &path)? {
            last = last.max(Some((half(&bytes, 8), slot)));
        }
    }
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
    let mut bytes = [0; RUN_SIZE];
    bytes[0..4].copy_from_slice(&RUN_MAGIC);
    bytes[4..6].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[8..12].copy_from_slice(&run.to_le_bytes());
    seal(&mut bytes);
    // Never over the newest one: a torn write must not take that along.
    let slot = last.map_or(0, |(_, slot)| 1 - slot);
    file.write_at(slot * PAGE_SIZE, &[&bytes])?;
    file.sync_data()?;
    Ok(run)
}

/// Where the record of runs is.
pub(crate) fn run_path(dir: &Path) -> PathBuf {
    dir.join("run")
}

fn seal(bytes: &mut [u8]) {
    let at = bytes.len() - 4;
    let crc = crc32c(&bytes[..at]);
    bytes[at..].copy_from_slice(&crc.to_le_bytes());
}

/// True when `bytes` starts with a record of `size` bytes that [`seal`] closed.
fn is_sealed(bytes: &[u8], magic: [u8; 4], size: usize, path: &Path) -> Result<bool, WalError> {
    if bytes.len() < size
        || bytes[0..4] != magic
        || crc32c(&bytes[..size - 4]) != half(bytes, size - 4)
    {
        return Ok(false);
    }
    match u16::from_le_bytes([bytes[4], bytes[5]]) {
        FORMAT_VERSION => Ok(true),
        version => Err(WalError::NewerFormat {
            path: path.to_owned(),
            version,
        }),
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(
        bytes[at..at + 8]
            .try_into()
            .expect("eight bytes were asked for"),
    )
}

fn half(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(
        bytes[at..at + 4]
            .try_into()
            .expect("four bytes were asked for"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_disk::MemoryDisk;

    #[test]
    fn headers_round_trip_and_damage_is_no_header() {
        let header = FileHeader {
            ring_epoch: 5,
            first_seq: 6,
            first_lsn: Lsn::new(7),
            file_number: 8,
            pages: 9,
        };
        let path = Path::new("ring");
        let mut bytes = header.encode();
        assert_eq!(FileHeader::decode(&bytes, path).unwrap(), Some(header));
        bytes[20] ^= 1;
        assert_eq!(FileHeader::decode(&bytes, path).unwrap(), None);
        let mut newer = header.encode();
        newer[4] = 2;
        seal(&mut newer[..FILE_HEADER_SIZE]);
        let error = FileHeader::decode(&newer, path).unwrap_err();
        assert!(matches!(error, WalError::NewerFormat { version: 2, .. }));
    }

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
}
