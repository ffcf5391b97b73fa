use super::Progress;
use crate::disk::{DirEntry, DiskError, OpenMode};
use crate::findings::Finding;
use crate::log_dir::LogDir;
use crate::log_dir::work::trim;
use crate::marker::Marker;
use crate::partition::{Partition, PartitionState};
use crate::segment::names::{self, FileKind, OwnFile};
use crate::segment::small_files;
use ottla_types::{Offset, TopicPartition};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Compares the names and sizes in every partition's directory with what the partition knows.
#[derive(Default)]
pub(super) struct Names {
    next_slot: u32,
    chores: Option<Chores>,
}

/// Files of one partition to remove or make again.
struct Chores {
    partition: Arc<Partition>,
    dir: Arc<str>,
    list: Vec<Chore>,
}

/// One I/O on one file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Chore {
    Remove(String),
    /// Gives back what a process before this one reserved behind the ends of full segments.
    Trim,
    WriteMetadata,
}

/// What a partition must have on disk, noted before its directory was listed: what comes in between is not missed.
struct Expected {
    dir: Arc<str>,
    generation: u64,
    swaps_count: u64,
    /// Base offsets and synced sizes.
    segments: Vec<(Offset, u32)>,
}

impl Names {
    pub(super) fn step(&mut self, dir: &LogDir) -> Result<Progress, DiskError> {
        if let Some(chores) = &mut self.chores {
            if chores.step(dir)? {
                self.give_up();
            }
            return Ok(Progress::Looked);
        }
        loop {
            let next = dir.table.read().next_from(self.next_slot).cloned();
            let Some(partition) = next else {
                return Ok(Progress::Over);
            };
            self.next_slot = partition.slot().get() + 1;
            let Some(expected) = Expected::of(&partition) else {
                continue;
            };
            let entries = match dir.disk.list(Path::new(&*expected.dir)) {
                Ok(entries) => entries,
                Err(error) if error.is_not_found() => Vec::new(),
                Err(error) => return Err(error),
            };
            self.chores = compare(dir, partition, &expected, &entries);
            return Ok(Progress::Looked);
        }
    }

    pub(super) fn give_up(&mut self) {
        self.chores = None;
    }
}

impl Expected {
    fn of(partition: &Partition) -> Option<Expected> {
        let state = partition.lock();
        if state.is_gone() || !state.has_dir || state.swap.is_some() {
            return None;
        }
        let synced = state.segments.iter().filter(|it| it.synced_size > 0);
        Some(Expected {
            dir: state.dir.clone()?,
            generation: state.generation,
            swaps_count: state.swaps_count,
            segments: synced.map(|it| (it.base_offset, it.synced_size)).collect(),
        })
    }
}

/// Tells what is missing, and returns what is to be done about the rest.
fn compare(
    dir: &LogDir,
    partition: Arc<Partition>,
    expected: &Expected,
    entries: &[DirEntry],
) -> Option<Chores> {
    let mut state = partition.lock();
    let is_other =
        state.generation != expected.generation || state.swaps_count != expected.swaps_count;
    if state.is_gone() || is_other {
        return None; // looked at again in the next pass
    }
    for (base_offset, synced_size) in &expected.segments {
        let position = state
            .segments
            .iter()
            .position(|it| it.base_offset == *base_offset);
        let Some(index) = position else {
            continue; // removed meanwhile
        };
        let name = names::file_name(*base_offset, FileKind::Log);
        let end = state.segment_end(index);
        let file = state.segment_file(partition.id(), index);
        match entries.iter().find(|entry| entry.name == name) {
            None => {
                file.note_missing(Some(end));
            }
            Some(entry) if entry.size < u64::from(*synced_size) => {
                dir.findings.note(Finding::TooShort {
                    partition: partition.id(),
                    file: file.path(FileKind::Log),
                    size: entry.size,
                    synced_size: *synced_size,
                });
            }
            Some(_) => {}
        }
    }
    let list = chores(dir, partition.id(), &mut state, &expected.dir, entries);
    drop(state);
    (!list.is_empty()).then(|| Chores {
        partition,
        dir: Arc::clone(&expected.dir),
        list,
    })
}

fn chores(
    dir: &LogDir,
    id: TopicPartition,
    state: &mut PartitionState,
    name: &str,
    entries: &[DirEntry],
) -> Vec<Chore> {
    let mut chores = Vec::new();
    let waiting = dir.waiting_for_removal();
    for entry in entries {
        let path = Path::new(name).join(&entry.name);
        if waiting.contains(&path) {
            continue;
        }
        if names::own_file(&entry.name).is_none() {
            dir.findings.note(Finding::Foreign { path });
        } else if is_cut_off(state, &entry.name) {
            let partition = id;
            dir.findings.note(Finding::CutOff { partition, path });
        } else if !is_needed(dir, state, &entry.name) {
            chores.push(Chore::Remove(entry.name.clone()));
        }
    }
    let has_metadata = entries
        .iter()
        .any(|entry| entry.name == small_files::PARTITION_METADATA);
    if !has_metadata && !entries.is_empty() {
        chores.push(Chore::WriteMetadata);
    }
    if state.plan_trim(id, dir.durable_lsn()).is_some() {
        chores.push(Chore::Trim);
    }
    chores
}

/// Whether the partition lost data, and the file holds records that it does not know any more: what lies behind the
/// loss is often whole.
fn is_cut_off(state: &PartitionState, name: &str) -> bool {
    let is_known = |base| state.segments.iter().any(|it| it.base_offset == base);
    match names::own_file(name) {
        Some(OwnFile::Segment(base, FileKind::Log)) => is_damaged(state) && !is_known(base),
        Some(OwnFile::Spared) => true,
        None
        | Some(OwnFile::Small | OwnFile::Draft | OwnFile::Cleaned(_) | OwnFile::Segment(..)) => {
            false
        }
    }
}

fn is_damaged(state: &PartitionState) -> bool {
    state.lost().is_some()
}

/// Whether the partition, as it is now or comes back after a crash, has a use for the file.
fn is_needed(dir: &LogDir, state: &PartitionState, name: &str) -> bool {
    match names::own_file(name) {
        None | Some(OwnFile::Small | OwnFile::Spared) => true,
        Some(OwnFile::Draft) => false,
        // Nobody but the operator decides about what a loss has cut off.
        Some(OwnFile::Segment(..) | OwnFile::Cleaned(_)) if is_damaged(state) => true,
        // Of the compaction that goes on, or of one that was interrupted.
        Some(OwnFile::Cleaned(token)) => state.cleaning == Some(token),
        // A restart may fall back to a checkpoint that this process found.
        Some(OwnFile::Segment(offset, FileKind::Snapshot)) => {
            let needed_until = state.snapshots_needed_until.max(2);
            state.producers.snapshot_offset() == Some(offset)
                || dir.checkpoints.lock().count() < needed_until
        }
        Some(OwnFile::Segment(base, _)) => state.segments.iter().any(|it| it.base_offset == base),
    }
}

impl Chores {
    /// Does the next one. Returns true when none is left, or the files are in others' hands.
    fn step(&mut self, dir: &LogDir) -> Result<bool, DiskError> {
        let Some(chore) = self.list.pop() else {
            return Ok(true);
        };
        {
            let mut state = self.partition.lock();
            // A flush may be making what looks like a leftover; and what a truncation cut off comes back with a crash
            // as long as its entry is not durable.
            let is_settled = state.truncate_lsn <= dir.durable_lsn();
            if state.is_gone() || state.is_in_work || !is_settled {
                return Ok(true);
            }
            if matches!(&chore, Chore::Remove(name) if is_needed(dir, &state, name)) {
                return Ok(false);
            }
            state.is_in_work = true;
        }
        let done = self.carry_out(dir, chore);
        self.partition.lock().is_in_work = false;
        done.map(|()| false)
    }

    fn carry_out(&mut self, dir: &LogDir, chore: Chore) -> Result<(), DiskError> {
        match chore {
            Chore::Remove(name) => {
                let path = Path::new(&*self.dir).join(name);
                if dir.remove_unneeded(&path)? {
                    dir.markers.reach(Marker::LeftoverRemoved);
                    dir.findings.note(Finding::Leftover { path });
                }
            }
            Chore::Trim => {
                let (id, durable) = (self.partition.id(), dir.durable_lsn());
                let planned = self.partition.lock().plan_trim(id, durable);
                if let Some((file, size)) = planned {
                    trim(dir, &self.partition, &file, size)?;
                    self.list.push(Chore::Trim);
                }
            }
            Chore::WriteMetadata => {
                let text = small_files::partition_metadata(self.partition.id().topic_id);
                let path = Path::new(&*self.dir).join(small_files::PARTITION_METADATA);
                let file = dir.disk.open(&path, OpenMode::Create)?;
                file.write_at(0, &[text.as_bytes()])?;
                file.set_len(text.len() as u64)?;
                dir.findings.note(Finding::Mended { path });
            }
        }
        Ok(())
    }
}

impl LogDir {
    /// Files that wait for their time to be removed.
    fn waiting_for_removal(&self) -> Vec<PathBuf> {
        let unlinks = self.unlinks.lock();
        let paths = unlinks.iter().flat_map(|unlink| unlink.paths.iter());
        paths.cloned().collect()
    }
}
