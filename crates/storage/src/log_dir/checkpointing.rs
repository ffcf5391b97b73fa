//! Checkpoints: what a restart needs beside the journal. Written partition by partition while everything goes on:
//! each record says by itself up to which entry it knows the journal.

use super::partition_record;
use super::work::TaskStep;
use super::{LogDir, OpenError, dir_names};
use crate::checkpoint::{
    CheckpointError, CheckpointPositions, CheckpointProgress, CheckpointStore, CheckpointWrite,
};
use crate::disk::Disk;
use crate::marker::Markers;
use crate::partition::{PartitionState, Standing};
use crate::segment::ReadFault;
use crate::wal::{Urgency, WalPosition, WalStart};
use ottla_types::{Lsn, Mono, Now, Offset, TopicPartition};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A directory where everything is synced gets a checkpoint after this time without one ...
const QUIET_INTERVAL: Duration = Duration::from_secs(30);
/// ... when a restart would have to replay at least so many bytes.
const QUIET_BYTES_MIN: u64 = 1 << 20;

/// A partition as the checkpoint knows it.
pub(super) struct RestoredPartition {
    pub(super) id: TopicPartition,
    pub(super) state: PartitionState,
    pub(super) tail_lsn: Lsn,
    pub(super) appended_end: Offset,
}

/// What the newest valid checkpoint says.
#[derive(Default)]
pub(super) struct Restored {
    pub(super) start: Option<WalStart>,
    pub(super) positions: Option<CheckpointPositions>,
    pub(super) partitions: Vec<RestoredPartition>,
    pub(super) bytes_read: u64,
    /// Checkpoints that are damaged, with what is wrong.
    pub(super) skipped: Vec<(PathBuf, &'static str)>,
    /// There are checkpoints, and none is valid.
    pub(super) is_lost: bool,
}

/// The checkpoints of a directory.
pub(super) struct Checkpoints {
    store: CheckpointStore,
    count: u64,
    last_at: Mono,
}

impl Checkpoints {
    /// Reads the newest valid one.
    pub(super) fn open(
        disk: &Arc<dyn Disk>,
        markers: &Markers,
    ) -> Result<(Checkpoints, Restored), OpenError> {
        let path = Path::new(dir_names::CHECKPOINTS);
        disk.create_dir(path)?;
        let (store, newest, skipped) = CheckpointStore::open(Arc::clone(disk), path, markers)?;
        let mut restored = Restored {
            is_lost: newest.is_none() && !skipped.is_empty(),
            positions: store.positions(),
            skipped: skipped
                .into_iter()
                .map(|it| (it.path, it.bad_part))
                .collect(),
            ..Restored::default()
        };
        if let Some(checkpoint) = newest {
            restored.start = Some(checkpoint.wal_start());
            for record in checkpoint.records() {
                restored.bytes_read += record.payload.len() as u64;
                let recorded = partition_record::decode(record.state_lsn, &record.payload)
                    .map_err(|fault| OpenError::Format(fault.to_string()))?;
                restored.partitions.push(RestoredPartition {
                    id: record.topic_partition,
                    state: recorded.state,
                    tail_lsn: recorded.tail_lsn,
                    appended_end: recorded.appended_end,
                });
            }
        }
        Ok((
            Checkpoints {
                store,
                count: 0,
                last_at: Mono::ZERO,
            },
            restored,
        ))
    }

    fn begin(&self, position: WalPosition, now: Now) -> CheckpointTask {
        CheckpointTask {
            write: Some(self.store.begin(position)),
            next_slot: 0,
            is_finished: false,
            now: now.mono,
        }
    }

    /// How many were written by this process.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

impl From<CheckpointError> for OpenError {
    fn from(error: CheckpointError) -> OpenError {
        match error {
            CheckpointError::Disk(error) => OpenError::Disk(error),
            CheckpointError::NewerFormat { .. } => OpenError::Format(error.to_string()),
        }
    }
}

/// Writes one checkpoint.
pub(super) struct CheckpointTask {
    write: Option<CheckpointWrite>,
    next_slot: u32,
    is_finished: bool,
    now: Mono,
}

impl CheckpointTask {
    /// Does the next step.
    pub(super) fn step(&mut self, dir: &LogDir) -> Result<TaskStep, ReadFault> {
        let write = self.write.as_mut().expect("it is not over");
        while write.wants_records() && !self.is_finished {
            let next = dir.table.read().next_from(self.next_slot).cloned();
            let Some(partition) = next else {
                break;
            };
            if partition.lock().producers.must_load_before_checkpoint() {
                dir.load_snapshot(&partition, ottla_types::Timestamp::from_millis(0))?;
            }
            let state = partition.lock();
            // A truncation may become durable here, before the journal says so, if nothing stands between the two.
            let durable = dir.wal.durable_lsn();
            let is_cut_here =
                state.before_truncate_lsn <= durable && state.synced_end <= state.truncated_to;
            if durable < state.truncate_lsn && !is_cut_here {
                // What it took away cannot be described any more, and the journal may bring a part of it back: try
                // again later.
                drop(state);
                self.abandon();
                return Ok(TaskStep::Done);
            }
            self.next_slot = partition.slot().get() + 1;
            // A log whose first entry may be forgotten is brought by the journal, or was never there. One that came back
            // has a higher slot than the one before it, and so comes later here: that is the one that counts.
            if state.standing != Standing::Dropped && state.begun_lsn <= durable {
                // Asked under the lock: nothing of what the state holds can become durable in between.
                let (state_lsn, payload) = partition_record::encode(&state, dir.wal.durable_lsn());
                drop(state);
                write.add(partition.id(), state_lsn, &[&payload]);
            }
        }
        let progress = write.step().map_err(disk_fault)?;
        match progress {
            CheckpointProgress::WantsRecords => {
                // At the end: a partition that was dropped while the others were written is here as well.
                let dropping = dir.dropping.lock().clone();
                for (partition, lsn) in dropping {
                    let (state, durable) = (partition.lock(), dir.wal.durable_lsn());
                    if durable < lsn && state.begun_lsn <= durable {
                        let (state_lsn, payload) = partition_record::encode(&state, durable);
                        drop(state);
                        write.add(partition.id(), state_lsn, &[&payload]);
                    }
                }
                write.finish(dir.wal.durable_lsn());
                self.is_finished = true;
                Ok(TaskStep::More)
            }
            CheckpointProgress::More => Ok(TaskStep::More),
            CheckpointProgress::Done => {
                let mut checkpoints = dir.checkpoints.lock();
                let positions = checkpoints.store.installed(write);
                checkpoints.count += 1;
                checkpoints.last_at = self.now;
                drop(checkpoints);
                dir.wal.checkpointed(&positions.newest, &positions.kept);
                dir.large
                    .release_below(positions.newest.lsn.min(positions.kept.lsn));
                Ok(TaskStep::Done)
            }
        }
    }

    /// It failed: the disk is full. The space comes back with the next one.
    pub(super) fn abandon(&mut self) {
        if let Some(write) = self.write.take() {
            // What cannot be removed now is overwritten by the next checkpoint.
            let _ = write.abandon();
        }
    }
}

fn disk_fault(error: CheckpointError) -> ReadFault {
    match error {
        CheckpointError::Disk(error) => ReadFault::Disk(error),
        CheckpointError::NewerFormat { path, version } => ReadFault::NewerVersion {
            path,
            version: u32::from(version),
        },
    }
}

impl LogDir {
    /// A checkpoint, if one is due: the journal needs its old entries released and nothing pins them any more, or
    /// everything is quiet.
    pub(super) fn checkpoint_due(&self, now: Now, is_draining: bool) -> Option<CheckpointTask> {
        let durable = self.wal.durable_lsn();
        let pin = self.pins.lock().oldest();
        // Pins are asked after the durable LSN: what is appended in between is pinned or behind it.
        let needed = pin.map_or(durable.next(), |pin| pin.min(durable.next()));
        let checkpoints = self.checkpoints.lock();
        let known = checkpoints.store.positions();
        let newest = known.map_or(Lsn::ZERO, |positions| positions.newest.lsn);
        let kept = known.map_or(Lsn::ZERO, |positions| positions.kept.lsn);
        // Files are released by frames: a checkpoint behind the last entry of a file may stand before a
        // frame without entries that is still in it.
        let newest_frame = known.map_or(0, |positions| positions.newest.frame_seq);
        let kept_frame = known.map_or(0, |positions| positions.kept.frame_seq);
        let pressure = self.pressure(now);
        let is_due = match pressure {
            Some(pressure) => {
                let is_released = pressure.release_to <= needed;
                let is_urgent = pressure.urgency == Urgency::Now;
                kept_frame < pressure.release_to_frame
                    && (is_released || is_urgent && kept < needed)
            }
            None => {
                let is_quiet = pin.is_none() && durable.next() == self.wal.next_lsn();
                let is_time = checkpoints.last_at.plus(QUIET_INTERVAL) <= now.mono
                    && QUIET_BYTES_MIN <= self.wal.stats().span_bytes + self.large.needed_bytes();
                // The journal's numbers start at 1.
                is_quiet && newest.max(Lsn::new(1)) < needed && (is_time || is_draining)
            }
        };
        if !is_due {
            return None;
        }
        let position = self.wal.position_for_checkpoint(needed);
        // Under pressure the one before the newest, which holds files of the ring, has to get on as well.
        let known_frame = match pressure {
            Some(_) => newest_frame.min(kept_frame),
            None => newest_frame,
        };
        if known.is_some() && position.frame_seq <= known_frame {
            return None; // it would say the same again
        }
        Some(checkpoints.begin(position, now))
    }

    /// A checkpoint whether one is due or not.
    #[cfg(test)]
    pub(super) fn checkpoint_at_once(&self, now: Now) -> CheckpointTask {
        let durable = self.wal.durable_lsn();
        let pin = self.pins.lock().oldest();
        let needed = pin.map_or(durable.next(), |pin| pin.min(durable.next()));
        let position = self.wal.position_for_checkpoint(needed);
        self.checkpoints.lock().begin(position, now)
    }
}
