//! The checkpoints of a directory: which are there, and which is the newest good one.

use super::format::{
    CheckpointError, Fault, HEAD_SIZE, Head, PartitionRecord, Tail, decode_record,
};
use super::write::CheckpointWrite;
use crate::disk::{Disk, OpenMode};
use crate::marker::{Marker, Markers};
use crate::wal::{WalPosition, WalStart};
use bytes::Bytes;
use ottla_types::Lsn;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Keeps the two newest checkpoints in files `checkpoint-<number>` of one directory.
pub struct CheckpointStore {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Good ones, at most two, the newest last.
    kept: Vec<(u64, WalPosition)>,
    /// All numbers in the directory that are not kept.
    outdated: Vec<u64>,
    next_number: u64,
}

/// Places in the journal that the checkpoints need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointPositions {
    /// Where a restart begins to replay.
    pub newest: WalPosition,
    /// Where it would begin if the newest were damaged.
    pub kept: WalPosition,
}

/// A checkpoint that was read and checked.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    number: u64,
    position: WalPosition,
    durable: Lsn,
    records_count: u64,
    records: Bytes,
}

/// A checkpoint that could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedCheckpoint {
    /// Its file.
    pub path: PathBuf,
    /// The part of it that is bad.
    pub bad_part: &'static str,
}

impl Checkpoint {
    /// Its number: each is one higher than the one before.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// From where on, and with which proof, the journal is replayed.
    pub fn wal_start(&self) -> WalStart {
        WalStart {
            position: self.position,
            durable: self.durable,
        }
    }

    /// How many partitions it holds.
    pub fn records_count(&self) -> u64 {
        self.records_count
    }

    /// Its records, in the order in which they were added. Payloads are slices of one buffer.
    pub fn records(&self) -> impl Iterator<Item = PartitionRecord> + use<> {
        let mut rest = self.records.clone();
        std::iter::from_fn(move || decode_record(&mut rest))
    }
}

impl CheckpointStore {
    /// Looks through `dir`, which must exist, for the newest good checkpoint. Reads at most one whole file more
    /// than there are damaged ones, and the head of the one before.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        markers: &Markers,
    ) -> Result<(CheckpointStore, Option<Checkpoint>, Vec<SkippedCheckpoint>), CheckpointError>
    {
        let entries = disk.list(dir)?;
        let mut numbers: Vec<u64> = entries
            .iter()
            .filter_map(|entry| number_of(&entry.name))
            .collect();
        numbers.sort_unstable();
        if !numbers.is_empty() {
            // A process may have died between naming the newest one and syncing the name: what only it makes
            // superfluous is let go as soon as this returns.
            disk.sync_dir(dir)?;
        }
        let mut store = CheckpointStore {
            disk,
            dir: dir.to_owned(),
            kept: Vec::new(),
            outdated: Vec::new(),
            next_number: numbers.last().map_or(1, |number| number + 1),
        };
        let mut newest = None;
        let mut skipped = Vec::new();
        for number in numbers.into_iter().rev() {
            if newest.is_none() {
                match store.read(number)? {
                    Ok(checkpoint) => {
                        store.kept.insert(0, (number, checkpoint.position));
                        newest = Some(checkpoint);
                    }
                    Err(bad_part) => {
                        markers.reach(Marker::CheckpointSkipped);
                        skipped.push(SkippedCheckpoint {
                            path: final_path(dir, number),
                            bad_part,
                        });
                        store.outdated.push(number);
                    }
                }
            } else if store.kept.len() < 2
                && let Some(head) = store.read_head(number)?
            {
                store.kept.insert(0, (number, head.position));
            } else {
                store.outdated.push(number);
            }
        }
        Ok((store, newest, skipped))
    }

    /// Begins a checkpoint from which a restart replays from `position` on.
    pub fn begin(&self, position: WalPosition) -> CheckpointWrite {
        let mut outdated = self.outdated.clone();
        if 1 < self.kept.len() {
            outdated.push(self.kept[0].0);
        }
        CheckpointWrite::new(
            self.disk.clone(),
            self.dir.clone(),
            self.next_number,
            position,
            outdated,
        )
    }

    /// Notes that `write` is done. Returns what the journal may release: see `Wal::checkpointed`.
    pub fn installed(&mut self, write: &CheckpointWrite) -> CheckpointPositions {
        self.kept.push((self.next_number, write.position()));
        self.outdated.clear();
        if 2 < self.kept.len() {
            self.kept.remove(0);
        }
        self.next_number += 1;
        self.positions().expect("one was just added")
    }

    /// The places that the checkpoints need, if there are any.
    pub fn positions(&self) -> Option<CheckpointPositions> {
        Some(CheckpointPositions {
            newest: self.kept.last()?.1,
            kept: self.kept.first()?.1,
        })
    }

    fn read(&self, number: u64) -> Result<Result<Checkpoint, &'static str>, CheckpointError> {
        let path = final_path(&self.dir, number);
        let file = self.disk.open(&path, OpenMode::Read)?;
        let mut bytes = vec![0; file.size()? as usize];
        let size = file.read_at(0, &mut bytes)?;
        bytes.truncate(size);
        let checked = Head::decode(&bytes).and_then(|head| Ok((head, Tail::decode(&bytes)?)));
        let (head, tail) = match checked {
            Ok(checked) => checked,
            Err(Fault::Bad(part)) => return Ok(Err(part)),
            Err(Fault::Newer(version)) => {
                return Err(CheckpointError::NewerFormat { path, version });
            }
        };
        if head.number != number || tail.number != number {
            return Ok(Err("number"));
        }
        let end = HEAD_SIZE + tail.records_size as usize;
        let checkpoint = Checkpoint {
            number,
            position: head.position,
            durable: tail.durable,
            records_count: tail.records_count,
            records: Bytes::from(bytes).slice(HEAD_SIZE..end),
        };
        if checkpoint.records().count() as u64 != tail.records_count {
            return Ok(Err("records"));
        }
        Ok(Ok(checkpoint))
    }

    fn read_head(&self, number: u64) -> Result<Option<Head>, CheckpointError> {
        let file = self
            .disk
            .open(&final_path(&self.dir, number), OpenMode::Read)?;
        let mut bytes = [0; HEAD_SIZE];
        let size = file.read_at(0, &mut bytes)?;
        Ok(Head::decode(&bytes[..size])
            .ok()
            .filter(|head| head.number == number))
    }
}

/// Path of a checkpoint.
pub(super) fn final_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("checkpoint-{number:020}"))
}

/// Path of the checkpoint that is being written.
pub(super) fn tmp_path(dir: &Path) -> PathBuf {
    dir.join("checkpoint.tmp")
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("checkpoint-")?.parse().ok()
}
