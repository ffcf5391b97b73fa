//! Removes what was dropped, cut off by retention, or replaced: after its journal entry is durable, and not while
//! somebody still reads it.

use super::LogDir;
use super::pump::Pump;
use super::work::TaskStep;
use crate::disk::{DiskError, OpenMode};
use crate::findings::Finding;
use crate::partition::{Partition, Segment, Standing};
use crate::planted::PlantedBug;
use crate::segment::names::{self, FileKind};
use crate::segment::{ReadFault, SegmentFile, small_files};
use ottla_types::{Lsn, Mono, Now, Offset, TopicPartition};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files that may go once an entry is durable and some time has passed.
pub(super) struct Unlink {
    /// Their journal entry.
    pub(super) lsn: Lsn,
    /// Not before this time.
    pub(super) due: Mono,
    /// The checkpoint that must be durable: files that an older one names are kept.
    pub(super) after_checkpoint: u64,
    /// Readers hold it.
    pub(super) file: Option<Arc<SegmentFile>>,
    /// What to remove.
    pub(super) paths: Vec<PathBuf>,
    /// It is the snapshot of this offset: it may have become the current one again.
    pub(super) snapshot: Option<Offset>,
    /// Where the next segment begins that has to be seen before they go.
    pub(super) next_segment: Option<Offset>,
    /// The partition, which may have been dropped: then its directory goes anyway.
    pub(super) partition: Arc<Partition>,
}

impl Unlink {
    /// The files of a segment that retention removed; the log goes on with the segment at `next_segment`.
    pub(super) fn of_segment(
        partition: Arc<Partition>,
        file: Arc<SegmentFile>,
        next_segment: Offset,
        lsn: Lsn,
        due: Mono,
    ) -> Unlink {
        let paths = FileKind::OF_SEGMENT.map(|kind| file.path(kind)).to_vec();
        Unlink {
            lsn,
            due,
            after_checkpoint: 0,
            file: Some(file),
            paths,
            snapshot: None,
            next_segment: Some(next_segment),
            partition,
        }
    }

    /// A producer snapshot that a newer one replaced.
    pub(super) fn of_snapshot(
        partition: Arc<Partition>,
        dir: &str,
        offset: Offset,
        after_checkpoint: u64,
    ) -> Unlink {
        Unlink {
            lsn: Lsn::ZERO,
            due: Mono::ZERO,
            after_checkpoint,
            file: None,
            paths: vec![names::file(dir, offset, FileKind::Snapshot)],
            snapshot: Some(offset),
            next_segment: None,
            partition,
        }
    }

    /// Whether it may begin.
    pub(super) fn is_due(&self, dir: &LogDir, now: Now, checkpoints_count: u64) -> bool {
        if dir.options.planted.is(PlantedBug::UnlinkBeforeEntry) {
            return true;
        }
        self.lsn <= dir.durable_lsn()
            && self.due <= now.mono
            && self.after_checkpoint <= checkpoints_count
            && self
                .file
                .as_ref()
                .is_none_or(|file| Arc::strong_count(file) == 1)
    }

    /// Removes one file.
    pub(super) fn step(&mut self, dir: &LogDir) -> Result<TaskStep, ReadFault> {
        {
            let mut state = self.partition.lock();
            if state.standing == Standing::Dropped {
                return Ok(TaskStep::Done);
            }
            // As long as it goes on the directory does not get another owner.
            state.unlinking += 1;
        }
        let step = self.carry_out(dir);
        self.partition.lock().unlinking -= 1;
        step
    }

    fn carry_out(&mut self, dir: &LogDir) -> Result<TaskStep, ReadFault> {
        if let Some(base) = self.next_segment {
            dir.show_segment(&self.partition, base)?;
            self.next_segment = None;
            return Ok(TaskStep::More);
        }
        let Some(path) = self.paths.pop() else {
            return Ok(TaskStep::Done);
        };
        let current = self.partition.lock().producers.snapshot_offset();
        if self.snapshot.is_some() && current == self.snapshot {
            return Ok(TaskStep::Done);
        }
        dir.remove_unneeded(&path)?;
        Ok(if self.paths.is_empty() {
            TaskStep::Done
        } else {
            TaskStep::More
        })
    }
}

/// A dropped partition's directory on its way out: renamed, synced, emptied, removed.
pub(super) struct Removal {
    id: TopicPartition,
    dir: Arc<str>,
    lsn: Lsn,
    partition: Option<Arc<Partition>>,
    stage: Stage,
    /// The directory could not get another name: it is emptied under its own, which is free when that is done.
    keeps_name: bool,
}

enum Stage {
    Look,
    Rename,
    SyncRoot,
    List,
    Empty(Vec<String>),
    RemoveDir,
    SyncRootAgain,
}

impl Removal {
    /// Of the directory `dir`, if it is the one of `id`.
    pub(super) fn new(
        id: TopicPartition,
        dir: Arc<str>,
        lsn: Lsn,
        partition: Option<Arc<Partition>>,
    ) -> Removal {
        Removal {
            id,
            dir,
            lsn,
            partition,
            stage: Stage::Look,
            keeps_name: false,
        }
    }

    /// The name that is not free as long as the directory is not renamed, and the entry that dropped its owner.
    pub(super) fn name(&self) -> (Arc<str>, Lsn) {
        (Arc::clone(&self.dir), self.lsn)
    }

    /// The owner.
    pub(super) fn id(&self) -> TopicPartition {
        self.id
    }

    /// Whether it may begin: the drop is durable, and no work in the directory is under way, nor begins any more.
    ///
    /// A partition that holds nothing and never had a directory needs no entry to go: whoever has its name may be what
    /// the journal waits for.
    pub(super) fn is_due(&self, dir: &LogDir) -> bool {
        let Some(partition) = &self.partition else {
            return self.lsn <= dir.durable_lsn();
        };
        let state = partition.lock();
        let is_durable = state.standing == Standing::Dropped;
        let is_busy = state.is_in_work || 0 < state.unlinking;
        !is_busy && (is_durable || !state.has_dir && state.pin.is_none())
    }

    fn renamed(&self) -> String {
        if self.keeps_name || self.dir.ends_with(names::DELETED_SUFFIX) {
            self.dir.to_string()
        } else {
            names::deleted_dir(&self.dir, self.id.topic_id)
        }
    }

    /// Does the next step.
    pub(super) fn step(&mut self, dir: &LogDir) -> Result<TaskStep, ReadFault> {
        match std::mem::replace(&mut self.stage, Stage::List) {
            Stage::Look => self.look(dir),
            Stage::Rename => self.rename(dir),
            Stage::SyncRoot => {
                if !dir.options.planted.is(PlantedBug::DirectoryNotSynced) {
                    dir.disk.sync_dir(Path::new(""))?;
                }
                dir.name_is_free(self);
                Ok(TaskStep::More)
            }
            Stage::List => {
                let files = match dir.disk.list(Path::new(&self.renamed())) {
                    Ok(files) => files,
                    Err(error) if error.is_about_the_name() => return Ok(self.finish(dir)),
                    Err(error) => return Err(error.into()),
                };
                let mut files: Vec<String> = files.into_iter().map(|file| file.name).collect();
                // The last one to go: it says to whom the rest belongs.
                files.sort_by_key(|name| name.as_str() != small_files::PARTITION_METADATA);
                self.stage = Stage::Empty(files);
                Ok(TaskStep::More)
            }
            Stage::Empty(mut files) => {
                let Some(name) = files.pop() else {
                    self.stage = Stage::RemoveDir;
                    return Ok(TaskStep::More);
                };
                dir.remove_unneeded(&Path::new(&self.renamed()).join(name))?;
                self.stage = Stage::Empty(files);
                Ok(TaskStep::More)
            }
            Stage::RemoveDir => {
                let path = PathBuf::from(self.renamed());
                match dir.disk.remove_dir(&path) {
                    Ok(()) => {}
                    // Somebody keeps something in it: that was told.
                    Err(error) if error.is_about_the_name() => {}
                    Err(error) => return Err(error.into()),
                }
                self.stage = Stage::SyncRootAgain;
                Ok(TaskStep::More)
            }
            Stage::SyncRootAgain => {
                dir.disk.sync_dir(Path::new(""))?;
                Ok(self.finish(dir))
            }
        }
    }

    fn rename(&mut self, dir: &LogDir) -> Result<TaskStep, ReadFault> {
        let to = self.renamed();
        // A full disk may refuse: then this very step is tried again.
        self.stage = Stage::Rename;
        dir.removing.lock().insert(to.clone());
        match dir.disk.rename(Path::new(&*self.dir), Path::new(&to)) {
            Ok(()) => self.stage = Stage::SyncRoot,
            Err(error) if error.is_about_the_name() => {
                self.forget_name(dir);
                self.keeps_name = true;
                self.stage = Stage::List;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(TaskStep::More)
    }

    fn finish(&self, dir: &LogDir) -> TaskStep {
        if self.keeps_name {
            dir.name_is_free(self);
        } else {
            self.forget_name(dir);
        }
        TaskStep::Done
    }

    fn forget_name(&self, dir: &LogDir) {
        dir.removing.lock().remove(&self.renamed());
    }

    /// Only the directory of this very topic may go: after a crash its name may belong to a successor.
    fn look(&mut self, dir: &LogDir) -> Result<TaskStep, ReadFault> {
        let path = Path::new(&*self.dir).join(small_files::PARTITION_METADATA);
        let owner = match dir.disk.open(&path, OpenMode::Read) {
            Ok(file) => {
                let mut text = vec![0; file.size()? as usize];
                let size = file.read_at(0, &mut text)?;
                let text = String::from_utf8_lossy(&text[..size]).into_owned();
                small_files::parse_partition_metadata(&text)
            }
            Err(error) if error.is_about_the_name() => None,
            Err(error) => return Err(error.into()),
        };
        if owner == Some(self.id.topic_id) {
            self.stage = Stage::Rename;
            return Ok(TaskStep::More);
        }
        dir.name_is_free(self);
        Ok(TaskStep::Done)
    }
}

impl LogDir {
    /// A partition was dropped: its directory goes in the background.
    pub(super) fn schedule_removal(
        &self,
        pump: &mut Pump,
        partition: Arc<Partition>,
        dir: Arc<str>,
        lsn: Lsn,
    ) {
        self.pins.lock().hold(lsn);
        let removal = Removal::new(partition.id(), dir, lsn, Some(partition));
        pump.add_removal(removal);
    }

    /// Makes the file of the segment at `base` if nothing is in it yet. Files are all that a rebuild has when the
    /// journal has forgotten them: what goes before this segment must not take along where the log is.
    pub(super) fn show_segment(
        &self,
        partition: &Partition,
        base: Offset,
    ) -> Result<(), DiskError> {
        let name = {
            let state = partition.lock();
            let is_empty = |it: &Segment| it.base_offset == base && it.written_size == 0;
            if state.is_gone() || !state.has_dir || !state.segments.iter().any(is_empty) {
                return Ok(());
            }
            state.dir.clone()
        };
        let Some(name) = name else { return Ok(()) };
        let path = names::file(&name, base, FileKind::Log);
        match self.disk.open(&path, OpenMode::Create) {
            Ok(_) => {}
            // What goes makes the room that is missing.
            Err(error) if error.is_full() => return Ok(()),
            // The partition was dropped meanwhile, and its directory has another name.
            Err(error) if error.is_about_the_name() => return Ok(()),
            Err(error) => return Err(error),
        }
        match self.disk.sync_dir(Path::new(&*name)) {
            Err(error) if error.is_about_the_name() => Ok(()),
            synced => synced,
        }
    }

    /// Removes a file for which nobody has a use. Returns whether it was removed: one that is gone is as good, and what
    /// is no file, or not ours to remove, is told and left alone.
    pub(super) fn remove_unneeded(&self, path: &Path) -> Result<bool, DiskError> {
        match self.disk.remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) if error.is_about_the_name() => {
                let path = path.to_owned();
                self.findings.note(Finding::Foreign { path });
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn name_is_free(&self, removal: &Removal) {
        if removal.lsn != Lsn::ZERO {
            self.pins.lock().let_go(removal.lsn);
        }
        self.pump.lock().name_is_free(removal);
    }
}
