use crate::quorum_store::QuorumStoreError;
use crc_fast::{CrcAlgorithm, checksum};
use ottla_storage::disk::{Disk, DiskError, DiskFile, OpenMode};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The quorum's votes and entries in one file, and the newest snapshot in another.
///
/// ```text
/// log      := frame*
/// frame    := size u32 | crc32c u32 (of what follows) | part*      one synced write
/// part     := 0 u8 | size u32 | vote
///           | 1 u8 | index u64 | size u32 | entry
///           | 2 u8 | index u64                                     entries from here on are void
///           | 3 u8                                                 nothing
/// snapshot := crc32c u32 (of what follows) | bytes
/// ```
///
/// A frame that is not whole ends the log: it was never acknowledged. The log is written anew, and
/// takes the old one's place by rename, when a snapshot makes its beginning superfluous;
/// it then begins with two frames.
pub(crate) struct RaftLog {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    file: Arc<dyn DiskFile>,
    end: u64,
    are_names_synced: bool,
    has_failed: bool,
}

/// What a log holds when it is opened.
#[derive(Default)]
pub(crate) struct RecoveredLog {
    pub(crate) vote: Option<Vec<u8>>,
    /// Without gaps.
    pub(crate) entries: VecDeque<(u64, Vec<u8>)>,
    pub(crate) snapshot: Option<Vec<u8>>,
}

const LOG: &str = "log";
const SNAPSHOT: &str = "snapshot";
const FRAME_HEADER_SIZE: usize = 8;
const NOTHING: u8 = 3;

/// A frame is at most this large; what claims more is not a frame.
const FRAME_SIZE_MAX: usize = 256 << 20;

impl RaftLog {
    /// Opens the log in `dir`, which is made when missing.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
    ) -> Result<(RaftLog, RecoveredLog), QuorumStoreError> {
        disk.create_dir(dir)?;
        let snapshot = read_snapshot(&*disk, dir)?;
        let file = match disk.open(&dir.join(LOG), OpenMode::ReadWrite) {
            Err(DiskError::NotFound { .. }) => disk.open(&dir.join(LOG), OpenMode::Create)?,
            other => other?,
        };
        let mut bytes = vec![0; file.size()? as usize];
        let read = file.read_at(0, &mut bytes)?;
        bytes.truncate(read);
        let mut recovered = RecoveredLog {
            snapshot,
            ..RecoveredLog::default()
        };
        let (end, frames) = replay(&bytes, &mut recovered);
        if end < bytes.len() {
            file.set_len(end as u64)?;
        }
        let mut log = RaftLog {
            disk,
            dir: dir.to_owned(),
            file,
            end: end as u64,
            // A second frame is written only after the names were synced.
            are_names_synced: 1 < frames,
            has_failed: false,
        };
        if 0 < frames {
            // What was read may never have been on disk: it is before anybody acts on it.
            log.guarded(|log| {
                log.file.sync_data()?;
                log.sync_names()
            })?;
        }
        Ok((log, recovered))
    }

    /// Makes the log's name and its directory's durable, once.
    fn sync_names(&mut self) -> Result<(), DiskError> {
        if !self.are_names_synced {
            self.disk.sync_dir(&self.dir)?;
            if let Some(parent) = self.dir.parent() {
                self.disk.sync_dir(parent)?;
            }
            self.are_names_synced = true;
        }
        Ok(())
    }

    /// Adds a vote, entries or both as one synced write.
    pub(crate) fn append(
        &mut self,
        vote: Option<&[u8]>,
        entries: &[(u64, Vec<u8>)],
    ) -> Result<(), QuorumStoreError> {
        let mut frame = vec![0; FRAME_HEADER_SIZE];
        if let Some(vote) = vote {
            put_vote(&mut frame, vote);
        }
        for (index, entry) in entries {
            put_entry(&mut frame, *index, entry);
        }
        self.write_frame(frame)
    }

    /// Voids the entries from `index` on.
    pub(crate) fn truncate(&mut self, index: u64) -> Result<(), QuorumStoreError> {
        let mut frame = vec![0; FRAME_HEADER_SIZE];
        frame.push(2);
        frame.extend(index.to_be_bytes());
        self.write_frame(frame)
    }

    /// Makes `snapshot` durable in the place of the one before.
    pub(crate) fn save_snapshot(&mut self, snapshot: &[u8]) -> Result<(), QuorumStoreError> {
        let crc = (checksum(CrcAlgorithm::Crc32Iscsi, snapshot) as u32).to_be_bytes();
        self.replace(SNAPSHOT, &[&crc, snapshot])?;
        Ok(())
    }

    /// Writes the log anew with nothing but this.
    pub(crate) fn rewrite(
        &mut self,
        vote: Option<&[u8]>,
        entries: &[(u64, Vec<u8>)],
    ) -> Result<(), QuorumStoreError> {
        let mut frame = vec![0; FRAME_HEADER_SIZE];
        if let Some(vote) = vote {
            put_vote(&mut frame, vote);
        }
        for (index, entry) in entries {
            put_entry(&mut frame, *index, entry);
        }
        seal(&mut frame);
        // An empty part list is a frame too: the names are synced from here on.
        let mut second = vec![0; FRAME_HEADER_SIZE];
        second.push(NOTHING);
        seal(&mut second);
        self.file = self.replace(LOG, &[&second, &frame])?;
        self.end = (second.len() + frame.len()) as u64;
        Ok(())
    }

    /// Bytes that the log takes.
    pub(crate) fn size(&self) -> u64 {
        self.end
    }

    fn write_frame(&mut self, mut frame: Vec<u8>) -> Result<(), QuorumStoreError> {
        seal(&mut frame);
        self.guarded(|log| {
            log.file.write_at(log.end, &[&frame])?;
            log.file.sync_data()?;
            log.end += frame.len() as u64;
            log.sync_names()
        })
    }

    fn replace(
        &mut self,
        name: &str,
        parts: &[&[u8]],
    ) -> Result<Arc<dyn DiskFile>, QuorumStoreError> {
        self.guarded(|log| {
            let new = log.dir.join(format!("{name}.new"));
            let file = log.disk.open(&new, OpenMode::Create)?;
            file.set_len(0)?;
            file.write_at(0, parts)?;
            file.sync_data()?;
            log.disk.rename(&new, &log.dir.join(name))?;
            log.disk.sync_dir(&log.dir)?;
            Ok(file)
        })
    }

    /// After any error the log is not touched again: what is on disk is unknown.
    fn guarded<T>(
        &mut self,
        operation: impl FnOnce(&mut RaftLog) -> Result<T, DiskError>,
    ) -> Result<T, QuorumStoreError> {
        if self.has_failed {
            return Err(QuorumStoreError::FailedBefore);
        }
        operation(self).map_err(|error| {
            self.has_failed = true;
            error.into()
        })
    }
}

fn seal(frame: &mut [u8]) {
    let (header, body) = frame.split_at_mut(FRAME_HEADER_SIZE);
    let size = u32::try_from(body.len()).expect("a write is far below 4 GiB");
    header[..4].copy_from_slice(&size.to_be_bytes());
    let crc = checksum(CrcAlgorithm::Crc32Iscsi, body) as u32;
    header[4..].copy_from_slice(&crc.to_be_bytes());
}

fn put_vote(frame: &mut Vec<u8>, vote: &[u8]) {
    frame.push(0);
    frame.extend((vote.len() as u32).to_be_bytes());
    frame.extend(vote);
}

fn put_entry(frame: &mut Vec<u8>, index: u64, entry: &[u8]) {
    frame.push(1);
    frame.extend(index.to_be_bytes());
    frame.extend((entry.len() as u32).to_be_bytes());
    frame.extend(entry);
}

/// Takes in whole frames and says where they end and how many there are.
fn replay(bytes: &[u8], recovered: &mut RecoveredLog) -> (usize, usize) {
    let (mut at, mut count) = (0, 0);
    while let Some(body) = frame_at(bytes, at) {
        if take_parts(body, recovered).is_none() {
            break;
        }
        at += FRAME_HEADER_SIZE + body.len();
        count += 1;
    }
    (at, count)
}

fn frame_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let header = bytes.get(at..at + FRAME_HEADER_SIZE)?;
    let size = u32::from_be_bytes(header[..4].try_into().ok()?) as usize;
    let crc = u32::from_be_bytes(header[4..].try_into().ok()?);
    if size == 0 || FRAME_SIZE_MAX < size {
        return None;
    }
    let start = at + FRAME_HEADER_SIZE;
    let body = bytes.get(start..start + size)?;
    (checksum(CrcAlgorithm::Crc32Iscsi, body) as u32 == crc).then_some(body)
}

fn take_parts(mut body: &[u8], recovered: &mut RecoveredLog) -> Option<()> {
    while let Some((kind, rest)) = body.split_first() {
        body = rest;
        match kind {
            0 => recovered.vote = Some(take_sized(&mut body)?.to_vec()),
            1 => {
                let index = take_u64(&mut body)?;
                let entry = take_sized(&mut body)?.to_vec();
                recovered.void_from(index);
                recovered.entries.push_back((index, entry));
            }
            2 => recovered.void_from(take_u64(&mut body)?),
            &NOTHING => {}
            _ => return None,
        }
    }
    Some(())
}

impl RecoveredLog {
    fn void_from(&mut self, index: u64) {
        while self.entries.back().is_some_and(|(last, _)| index <= *last) {
            self.entries.pop_back();
        }
    }
}

fn take_u64(body: &mut &[u8]) -> Option<u64> {
    let (value, rest) = body.split_first_chunk::<8>()?;
    *body = rest;
    Some(u64::from_be_bytes(*value))
}

fn take_sized<'a>(body: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (size, rest) = body.split_first_chunk::<4>()?;
    let size = u32::from_be_bytes(*size) as usize;
    let (value, rest) = rest.split_at_checked(size)?;
    *body = rest;
    Some(value)
}

fn read_snapshot(disk: &dyn Disk, dir: &Path) -> Result<Option<Vec<u8>>, QuorumStoreError> {
    let file = match disk.open(&dir.join(SNAPSHOT), OpenMode::Read) {
        Err(DiskError::NotFound { .. }) => return Ok(None),
        other => other?,
    };
    let mut bytes = vec![0; file.size()? as usize];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    let crc = bytes.split_first_chunk::<4>();
    let (crc, body) = crc.ok_or(QuorumStoreError::SnapshotDamaged)?;
    if checksum(CrcAlgorithm::Crc32Iscsi, body) as u32 != u32::from_be_bytes(*crc) {
        return Err(QuorumStoreError::SnapshotDamaged);
    }
    Ok(Some(body.to_vec()))
}
