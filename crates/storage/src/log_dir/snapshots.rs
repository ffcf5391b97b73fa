//! Producer snapshots: written when many producers changed or a segment was rolled, read when a producer is asked
//! for that is not in memory.

use super::LogDir;
use super::deletion::Unlink;
use super::work::TaskStep;
use crate::disk::OpenMode;
use crate::marker::Marker;
use crate::partition::{Partition, Standing};
use crate::planted::PlantedBug;
use crate::producer_state::{ProducerEntry, snapshot};
use crate::segment::ReadFault;
use crate::segment::names::{self, FileKind};
use ottla_types::{Offset, Timestamp};
use std::path::Path;
use std::sync::Arc;

/// Writes one snapshot.
pub(super) struct SnapshotTask {
    partition: Arc<Partition>,
    stage: Stage,
}

enum Stage {
    Collect,
    Write {
        dir: Arc<str>,
        offset: Offset,
        bytes: Vec<u8>,
    },
    Sync {
        dir: Arc<str>,
        offset: Offset,
        file: Arc<dyn crate::disk::DiskFile>,
    },
    SyncDir {
        dir: Arc<str>,
        offset: Offset,
    },
}

impl SnapshotTask {
    /// For a partition whose `is_in_work` the caller has set.
    pub(super) fn new(partition: Arc<Partition>) -> SnapshotTask {
        SnapshotTask {
            partition,
            stage: Stage::Collect,
        }
    }

    /// The task is over, finished or not.
    pub(super) fn release(&self) {
        self.partition.lock().is_in_work = false;
    }

    /// Does the next step.
    pub(super) fn step(&mut self, dir: &LogDir, now: Timestamp) -> Result<TaskStep, ReadFault> {
        match std::mem::replace(&mut self.stage, Stage::Collect) {
            Stage::Collect => self.collect(dir, now),
            Stage::Write {
                dir: name,
                offset,
                bytes,
            } => {
                let path = names::file(&name, offset, FileKind::Snapshot);
                let file = dir.disk.open(&path, OpenMode::Create)?;
                file.write_at(0, &[&bytes])?;
                file.set_len(bytes.len() as u64)?;
                self.stage = Stage::Sync {
                    dir: name,
                    offset,
                    file,
                };
                Ok(TaskStep::More)
            }
            Stage::Sync {
                dir: name,
                offset,
                file,
            } => {
                file.sync_data()?;
                self.stage = Stage::SyncDir { dir: name, offset };
                Ok(TaskStep::More)
            }
            Stage::SyncDir { dir: name, offset } => {
                dir.disk.sync_dir(Path::new(&*name))?;
                self.finish(dir, &name, offset);
                Ok(TaskStep::Done)
            }
        }
    }

    fn collect(&mut self, dir: &LogDir, now: Timestamp) -> Result<TaskStep, ReadFault> {
        if self
            .partition
            .lock()
            .producers
            .unloaded_snapshot()
            .is_some()
        {
            dir.load_snapshot(&self.partition, now)?;
        }
        let mut state = self.partition.lock();
        state.wants_snapshot = false;
        let Some(name) = state.dir.clone().filter(|_| state.has_dir) else {
            return Ok(TaskStep::Done);
        };
        if state.standing == Standing::Dropped || state.producers.count() == 0 {
            return Ok(TaskStep::Done);
        }
        let offset = state.appended_end();
        let entries: Vec<ProducerEntry> = state.producers.entries().cloned().collect();
        drop(state);
        let bytes = snapshot::encode(entries.iter());
        self.stage = Stage::Write {
            dir: name,
            offset,
            bytes,
        };
        Ok(TaskStep::More)
    }

    fn finish(&self, dir: &LogDir, name: &str, offset: Offset) {
        let mut state = self.partition.lock();
        if state.appended_end() < offset {
            return; // truncated meanwhile: the file holds what is gone
        }
        let old = state.producers.snapshot_offset();
        state.producers.snapshot_written(offset);
        drop(state);
        if let Some(old) = old.filter(|old| *old != offset) {
            // A restart may fall back to the checkpoint before the last one.
            let after = dir.checkpoints.lock().count() + 2;
            let unlink = Unlink::of_snapshot(Arc::clone(&self.partition), name, old, after);
            dir.unlinks.lock().push(unlink);
        }
    }
}

impl LogDir {
    /// Reads the snapshot that lies under the producers in memory. May wait for the device: it happens once per
    /// partition and restart, and only when a producer turns up that was quiet since the snapshot.
    pub(super) fn load_snapshot(
        &self,
        partition: &Partition,
        now: Timestamp,
    ) -> Result<(), ReadFault> {
        let (offset, dir) = {
            let state = partition.lock();
            let (Some(offset), Some(dir)) =
                (state.producers.unloaded_snapshot(), state.dir.clone())
            else {
                return Ok(());
            };
            (offset, dir)
        };
        let path = names::file(&dir, offset, FileKind::Snapshot);
        let file = self.disk.open(&path, OpenMode::Read)?;
        let mut bytes = vec![0; file.size()? as usize];
        let size = file.read_at(0, &mut bytes)?;
        bytes.truncate(size);
        let entries = match snapshot::decode(&bytes, now) {
            Ok(_) if self.options.planted.is(PlantedBug::SnapshotDropped) => Vec::new(),
            Ok(entries) => entries,
            Err(error) => {
                let reason = format!("{}: {error}", path.display());
                partition.lock().standing = Standing::Damaged { reason };
                Vec::new()
            }
        };
        self.markers.reach(Marker::SnapshotUsed);
        let mut state = partition.lock();
        let before = state.producers.count();
        state.producers.load(offset, entries);
        let after = state.producers.count();
        drop(state);
        self.count_producers(after - before, 0);
        Ok(())
    }
}
