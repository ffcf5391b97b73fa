//! Snapshots of what the log's entries lead to.
//!
//! ```text
//!  0 magic "OtSn" | 4 version u16 | 6 zero u16 | 8 term u64 | 16 node id u64 | 24 index u64
//! 32 meta size u32 | 36 CRC-32C of meta and data u32 | 40 data size u64 | 48 zeros | 60 CRC-32C of bytes 0..60
//! 64 meta | data                                                                              (little endian)
//! ```

use super::format::RaftLogId;
use super::{RaftLogError, full_or_failed};
use crate::checksum::{crc32c, crc32c_parts};
use crate::disk::{Disk, DiskError, OpenMode};
use bytes::Bytes;
use std::path::{Path, PathBuf};

const MAGIC: [u8; 4] = *b"OtSn";
const FORMAT_VERSION: u16 = 1;
const HEAD_SIZE: usize = 64;
const CRC_POSITION: usize = 60;

/// The state after an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RaftSnapshot {
    /// The last entry it covers.
    pub last: RaftLogId,
    /// What the quorum's library wants kept with it (membership), in its owner's format.
    pub meta: Bytes,
    /// The state, in its owner's format.
    pub data: Bytes,
}

/// Writes `snapshot`, keeps `previous` beside it and removes older ones.
pub(super) fn save(
    disk: &dyn Disk,
    dir: &Path,
    snapshot: &RaftSnapshot,
    previous: Option<&RaftSnapshot>,
) -> Result<(), RaftLogError> {
    let tmp = dir.join("snapshot.tmp");
    let file = disk.open(&tmp, OpenMode::Create)?;
    file.set_len(0)?;
    let head = encode_head(snapshot);
    if let Err(error) = file.write_at(0, &[&head, &snapshot.meta, &snapshot.data]) {
        disk.remove_file(&tmp)?;
        return Err(full_or_failed(error));
    }
    file.sync_data()?;
    let path = path_of(dir, &snapshot.last);
    disk.rename(&tmp, &path)?;
    disk.sync_dir(dir)?;
    let kept = previous.map(|previous| path_of(dir, &previous.last));
    for (_, other) in list(disk, dir)? {
        if other != path && Some(&other) != kept.as_ref() {
            disk.remove_file(&other)?;
        }
    }
    Ok(())
}

/// The newest snapshot that is as it was written.
pub(super) fn load(disk: &dyn Disk, dir: &Path) -> Result<Option<RaftSnapshot>, RaftLogError> {
    for (_, path) in list(disk, dir)?.into_iter().rev() {
        let file = disk.open(&path, OpenMode::Read)?;
        let mut bytes = vec![0; file.size()? as usize];
        let size = file.read_at(0, &mut bytes)?;
        bytes.truncate(size);
        if let Some(snapshot) = decode(Bytes::from(bytes), &path)? {
            return Ok(Some(snapshot));
        }
    }
    Ok(None)
}

/// All snapshots in `dir`, by index.
pub(super) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<(u64, PathBuf)>, RaftLogError> {
    let entries = match disk.list(dir) {
        Ok(entries) => entries,
        Err(DiskError::NotFound { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let index = |name: &str| {
        name.strip_prefix("snapshot-")?
            .split('-')
            .next()?
            .parse()
            .ok()
    };
    let mut paths: Vec<(u64, PathBuf)> = entries
        .iter()
        .filter_map(|it| Some((index(&it.name)?, dir.join(&it.name))))
        .collect();
    paths.sort_unstable();
    Ok(paths)
}

fn path_of(dir: &Path, last: &RaftLogId) -> PathBuf {
    dir.join(format!("snapshot-{:020}-{:020}", last.index, last.term))
}

fn encode_head(snapshot: &RaftSnapshot) -> [u8; HEAD_SIZE] {
    let mut bytes = [0; HEAD_SIZE];
    let body_crc = crc32c_parts([&snapshot.meta[..], &snapshot.data[..]]);
    let meta_size = u32::try_from(snapshot.meta.len()).expect("membership is small");
    bytes[0..4].copy_from_slice(&MAGIC);
    bytes[4..6].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[8..16].copy_from_slice(&snapshot.last.term.to_le_bytes());
    bytes[16..24].copy_from_slice(&snapshot.last.node_id.to_le_bytes());
    bytes[24..32].copy_from_slice(&snapshot.last.index.to_le_bytes());
    bytes[32..36].copy_from_slice(&meta_size.to_le_bytes());
    bytes[36..40].copy_from_slice(&body_crc.to_le_bytes());
    bytes[40..48].copy_from_slice(&(snapshot.data.len() as u64).to_le_bytes());
    let crc = crc32c(&bytes[..CRC_POSITION]);
    bytes[CRC_POSITION..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: Bytes, path: &Path) -> Result<Option<RaftSnapshot>, RaftLogError> {
    if bytes.len() < HEAD_SIZE || bytes[0..4] != MAGIC {
        return Ok(None);
    }
    let word = |at: usize| {
        u64::from_le_bytes(
            bytes[at..at + 8]
                .try_into()
                .expect("eight bytes were asked for"),
        )
    };
    let half = |at: usize| {
        u32::from_le_bytes(
            bytes[at..at + 4]
                .try_into()
                .expect("four bytes were asked for"),
        )
    };
    if crc32c(&bytes[..CRC_POSITION]) != half(CRC_POSITION) {
        return Ok(None);
    }
    let version = u16::from_le_bytes([bytes[4], bytes[5]]);
    if version != FORMAT_VERSION {
        return Err(RaftLogError::NewerFormat {
            path: path.to_owned(),
            version,
        });
    }
    let meta_end = HEAD_SIZE + half(32) as usize;
    if (bytes.len() as u64).checked_sub(meta_end as u64) != Some(word(40))
        || crc32c(&bytes[HEAD_SIZE..]) != half(36)
    {
        return Ok(None);
    }
    Ok(Some(RaftSnapshot {
        last: RaftLogId {
            term: word(8),
            node_id: word(16),
            index: word(24),
        },
        meta: bytes.slice(HEAD_SIZE..meta_end),
        data: bytes.slice(meta_end..),
    }))
}
