//! Writes a checkpoint in steps of one operation each.

use super::format::{CheckpointError, HEAD_SIZE, Head, PIECE_SIZE, Tail, encode_record_head};
use super::store::{final_path, tmp_path};
use crate::checksum::crc32c;
use crate::disk::{Disk, DiskError, DiskFile, OpenMode};
use crate::wal::WalPosition;
use ottla_types::{Lsn, TopicPartition};
use std::path::PathBuf;
use std::sync::Arc;

/// A checkpoint being written. Add records while it [wants](CheckpointWrite::wants_records) some, then
/// [step](CheckpointWrite::step), and so on; after the last record [finish](CheckpointWrite::finish) and step
/// until it is done. Dropping it gives it up: what is on disk is removed by the next one.
pub struct CheckpointWrite {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    head: Head,
    /// Encoded and not written.
    buffer: Vec<u8>,
    /// Bytes at the start of `buffer` that are written already.
    done: usize,
    /// Bytes behind them that are the head of the file, not records.
    head_in_buffer: usize,
    position: u64,
    crc_list: Vec<u8>,
    records_size: u64,
    records_count: u64,
    state_lsn_max: Lsn,
    stage: Stage,
    /// Older checkpoints, to be removed once this one is durable.
    outdated: Vec<u64>,
}

enum Stage {
    Create,
    Write {
        file: Arc<dyn DiskFile>,
        tail: Option<Lsn>,
    },
    Sync(Arc<dyn DiskFile>),
    Rename,
    SyncDir,
    Remove,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointProgress {
    /// Add records, or finish: there is nothing to write yet.
    WantsRecords,
    /// Call again.
    More,
    /// It is durable: tell the store.
    Done,
}

impl CheckpointWrite {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        number: u64,
        position: WalPosition,
        outdated: Vec<u64>,
    ) -> CheckpointWrite {
        let head = Head { number, position };
        CheckpointWrite {
            disk,
            dir,
            head,
            buffer: head.encode().to_vec(),
            done: 0,
            head_in_buffer: HEAD_SIZE,
            position: 0,
            crc_list: Vec::new(),
            records_size: 0,
            records_count: 0,
            state_lsn_max: Lsn::ZERO,
            stage: Stage::Create,
            outdated,
        }
    }

    /// Where a restart from it will begin to replay.
    pub fn position(&self) -> WalPosition {
        self.head.position
    }

    /// True while the next step would have nothing to write: less than 1 MiB waits.
    pub fn wants_records(&self) -> bool {
        match &self.stage {
            Stage::Create | Stage::Write { tail: None, .. } => {
                self.buffer.len() - self.done - self.head_in_buffer < PIECE_SIZE
            }
            _ => false,
        }
    }

    /// The highest state LSN added so far: it must be durable in the journal before [`finish`].
    ///
    /// [`finish`]: CheckpointWrite::finish
    pub fn state_lsn_max(&self) -> Lsn {
        self.state_lsn_max
    }

    /// Adds the state of a partition; `payload` is its pieces one after the other.
    pub fn add(&mut self, partition: TopicPartition, state_lsn: Lsn, payload: &[&[u8]]) {
        let size: usize = payload.iter().map(|part| part.len()).sum();
        let size = u32::try_from(size).expect("the state of one partition is below 4 GiB");
        let before = self.buffer.len();
        encode_record_head(&mut self.buffer, partition, state_lsn, size);
        payload
            .iter()
            .for_each(|part| self.buffer.extend_from_slice(part));
        self.records_size += (self.buffer.len() - before) as u64;
        self.records_count += 1;
        self.state_lsn_max = self.state_lsn_max.max(state_lsn);
    }

    /// No more records. `durable` is the journal's durable LSN: a state that is not durable there must not
    /// become durable here.
    pub fn finish(&mut self, durable: Lsn) {
        assert!(
            self.state_lsn_max <= durable,
            "a checkpoint never runs ahead of the journal"
        );
        match &mut self.stage {
            Stage::Write { tail, .. } => *tail = Some(durable),
            Stage::Create => panic!("step until it wants records, then finish"),
            Stage::Sync(_) | Stage::Rename | Stage::SyncDir | Stage::Remove => {
                panic!("finished twice")
            }
        }
    }

    /// Does the next one operation.
    pub fn step(&mut self) -> Result<CheckpointProgress, CheckpointError> {
        let tmp = tmp_path(&self.dir);
        match &self.stage {
            Stage::Create => {
                let file = self.disk.open(&tmp, OpenMode::Create)?;
                file.set_len(0)?;
                self.stage = Stage::Write { file, tail: None };
            }
            Stage::Write { tail: None, .. } if self.wants_records() => {
                return Ok(CheckpointProgress::WantsRecords);
            }
            Stage::Write { file, tail } => {
                let (file, tail) = (file.clone(), *tail);
                self.write(file, tail)?;
            }
            Stage::Sync(file) => {
                file.sync_data()?;
                self.stage = Stage::Rename;
            }
            Stage::Rename => {
                self.disk
                    .rename(&tmp, &final_path(&self.dir, self.head.number))?;
                self.stage = Stage::SyncDir;
            }
            Stage::SyncDir => {
                self.disk.sync_dir(&self.dir)?;
                self.stage = Stage::Remove;
            }
            Stage::Remove => match self.outdated.pop() {
                Some(number) => self.disk.remove_file(&final_path(&self.dir, number))?,
                None => return Ok(CheckpointProgress::Done),
            },
        }
        Ok(CheckpointProgress::More)
    }

    /// Writes the next piece; the last one, the list of checksums and the tail go together.
    fn write(&mut self, file: Arc<dyn DiskFile>, tail: Option<Lsn>) -> Result<(), CheckpointError> {
        let waiting = &self.buffer[self.done..];
        let records = &waiting[self.head_in_buffer..];
        let is_last = records.len() <= PIECE_SIZE && tail.is_some();
        let size = records.len().min(PIECE_SIZE);
        if 0 < size {
            let crc = crc32c(&records[..size]);
            self.crc_list.extend_from_slice(&crc.to_le_bytes());
        }
        let end = self.head_in_buffer + size;
        match tail {
            Some(durable) if is_last => {
                let tail = Tail {
                    number: self.head.number,
                    records_size: self.records_size,
                    records_count: self.records_count,
                    durable,
                };
                let tail = tail.encode(&self.crc_list);
                file.write_at(self.position, &[&waiting[..end], &self.crc_list, &tail])?;
                self.stage = Stage::Sync(file);
            }
            _ => file.write_at(self.position, &[&waiting[..end]])?,
        }
        self.position += end as u64;
        self.done += end;
        self.head_in_buffer = 0;
        // Moved rarely, so that a partition with a huge state costs no time of its square.
        if self.buffer.len() / 2 <= self.done {
            self.buffer.drain(..self.done);
            self.done = 0;
        }
        Ok(())
    }

    /// Gives it up and its space back: after a full disk.
    pub fn abandon(self) -> Result<(), CheckpointError> {
        match self.disk.remove_file(&tmp_path(&self.dir)) {
            Ok(()) | Err(DiskError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
