//! Producer snapshots: written when many producers changed or a segment was rolled, read when a producer is asked
//! for that is not in memory.

use super::LogDir;
use super::deletion::Unlink;
use super::work::TaskStep;
use crate::disk::{DiskFile, OpenMode};
use crate::marker::Marker;
use crate::partition::{Partition, Standing};
use crate::planted::PlantedBug;
use crate::producer_state::{ProducerEntry, snapshot};
use crate::segment::ReadFault;
use crate::segment::names::{self, FileKind};
use ottla_types::{Offset, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Writes one snapshot.
pub(super) struct SnapshotTask {
    partition: Arc<Partition>,
    stage: Stage,
}

enum Stage {
    Collect,
    Write(Draft, Vec<u8>),
    Sync(Draft, Arc<dyn DiskFile>),
    Rename(Draft),
    SyncDir(Draft),
}

/// A snapshot that is being written.
struct Draft {
    dir: Arc<str>,
    /// It holds what the batches below it say.
    offset: Offset,
    generation: u64,
}

impl Draft {
    fn path(&self) -> PathBuf {
        names::file(&self.dir, self.offset, FileKind::Snapshot)
    }

    /// Where it is written: a checkpoint may still refer to an older file of the same name.
    fn draft_path(&self) -> PathBuf {
        self.path().with_extension("snapshot.tmp")
    }
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

    /// The directory is gone: that is damage of one partition, told when its files are looked for.
    pub(super) fn finds_way_around(&self, fault: &ReadFault) -> bool {
        let is_gone = matches!(fault, ReadFault::Disk(error) if error.is_not_found());
        is_gone && std::mem::take(&mut self.partition.lock().has_dir)
    }

    /// Does the next step.
    pub(super) fn step(&mut self, dir: &LogDir, now: Timestamp) -> Result<TaskStep, ReadFault> {
        let next = match std::mem::replace(&mut self.stage, Stage::Collect) {
            Stage::Collect => match self.collect(dir, now)? {
                Some((draft, bytes)) => Stage::Write(draft, bytes),
                None => return Ok(TaskStep::Done),
            },
            Stage::Write(draft, bytes) => {
                let file = dir.disk.open(&draft.draft_path(), OpenMode::Create)?;
                file.write_at(0, &[&bytes])?;
                file.set_len(bytes.len() as u64)?;
                Stage::Sync(draft, file)
            }
            Stage::Sync(draft, file) => {
                file.sync_data()?;
                Stage::Rename(draft)
            }
            Stage::Rename(draft) => {
                dir.disk.rename(&draft.draft_path(), &draft.path())?;
                Stage::SyncDir(draft)
            }
            Stage::SyncDir(draft) => {
                dir.disk.sync_dir(Path::new(&*draft.dir))?;
                self.finish(dir, &draft);
                return Ok(TaskStep::Done);
            }
        };
        self.stage = next;
        Ok(TaskStep::More)
    }

    fn collect(&self, dir: &LogDir, now: Timestamp) -> Result<Option<(Draft, Vec<u8>)>, ReadFault> {
        dir.load_snapshot(&self.partition, now)?;
        let mut state = self.partition.lock();
        state.wants_snapshot = false;
        let Some(name) = state.dir.clone().filter(|_| state.has_dir) else {
            return Ok(None);
        };
        if state.standing == Standing::Dropped {
            return Ok(None);
        }
        // What is not durable in the journal must not come back from here.
        let offset = state
            .pending
            .durable_end(dir.wal.durable_lsn(), state.appended_end());
        let mut entries: Vec<ProducerEntry> = state.producers.entries().cloned().collect();
        let generation = state.generation;
        drop(state);
        entries.retain_mut(|entry| entry.rewind_to(offset));
        if entries.is_empty() {
            return Ok(None);
        }
        let draft = Draft {
            dir: name,
            offset,
            generation,
        };
        Ok(Some((draft, snapshot::encode(entries.iter()))))
    }

    fn finish(&self, dir: &LogDir, draft: &Draft) {
        let mut state = self.partition.lock();
        if state.generation != draft.generation {
            return; // truncated meanwhile: the file may hold what is gone
        }
        let old = state.producers.snapshot_offset();
        state.producers.snapshot_written(draft.offset);
        drop(state);
        if let Some(old) = old.filter(|old| *old != draft.offset) {
            // A restart may fall back to the checkpoint before the last one, and the next one to be finished may be
            // under way already and name the old file.
            let after = dir.checkpoints.lock().count() + 3;
            let partition = Arc::clone(&self.partition);
            let unlink = Unlink::of_snapshot(partition, &draft.dir, old, after);
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
        let bytes = self.snapshot_bytes(&path)?;
        let entries = match snapshot::decode(&bytes, now) {
            Ok(_) if self.options.planted.is(PlantedBug::SnapshotDropped) => Vec::new(),
            Ok(entries) => entries,
            Err(error) => {
                let reason = format!("{}: {error}", path.display());
                partition.lock().damage(reason);
                Vec::new()
            }
        };
        self.markers.reach(Marker::SnapshotUsed);
        let mut state = partition.lock();
        if state.standing == Standing::Dropped {
            return Ok(()); // its producers are counted no more
        }
        let before = state.producers.count();
        state.producers.load(offset, entries);
        if state.producers.snapshot_offset().is_none() {
            self.keep_old_snapshots(&mut state);
        }
        let after = state.producers.count();
        drop(state);
        self.count_producers(after - before, 0);
        Ok(())
    }
    /// What a snapshot holds, if it can be read.
    pub(super) fn read_snapshot(
        &self,
        partition: &Partition,
        offset: Offset,
        now: Timestamp,
    ) -> Result<Option<Vec<ProducerEntry>>, ReadFault> {
        let Some(dir) = partition.lock().dir.clone() else {
            return Ok(None);
        };
        let path = names::file(&dir, offset, FileKind::Snapshot);
        let bytes = self.snapshot_bytes(&path)?;
        Ok(snapshot::decode(&bytes, now).ok())
    }

    /// A file that is not there is as bad as one that cannot be read: both fail their check.
    fn snapshot_bytes(&self, path: &Path) -> Result<Vec<u8>, ReadFault> {
        match self.disk.open(path, OpenMode::Read) {
            Ok(file) => {
                let mut bytes = vec![0; file.size()? as usize];
                let size = file.read_at(0, &mut bytes)?;
                bytes.truncate(size);
                Ok(bytes)
            }
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}
