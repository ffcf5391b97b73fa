//! Puts compacted segments in the place of others.
//!
//! 1. The new files are whole, synced, and their names `<base>.<kind>.<token>.cleaned` are durable.
//! 2. Under the partition's lock one entry is queued that names what goes and what comes, and the partition's list of
//!    segments changes. The new segments are read under the names they have; their files are held open until step 3
//!    is over. A crash before the entry is durable leaves the old files and a leftover.
//! 3. When the entry is durable, the flusher gives the new files their names, over those of the old ones, syncs the
//!    directory and removes what is left of the old ones. Readers of these hold them open. The journal keeps the
//!    entry until then: a restart in between does the same again.

use super::draft::Draft;
use super::source::Source;
use crate::disk::{Disk, DiskError};
use crate::log_dir::work::TaskStep;
use crate::log_dir::{LogDir, changes};
use crate::marker::Marker;
use crate::partition::{Partition, PartitionState, PendingSwap, Segment, Standing};
use crate::planted::PlantedBug;
use crate::segment::names::{self, FileKind};
use crate::segment::{ReadFault, SegmentFile};
use crate::wal::{DurabilityClass, Entry, EntryHeader, EntryKind, ReplayedEntry};
use bytes::Bytes;
use ottla_types::{Lsn, Offset, Timestamp, TopicPartition};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The body of an entry that replaces segments (docs/formats/wal.md has the table).
#[derive(Clone, Debug)]
pub(in crate::log_dir) struct Replacement {
    /// Part of the new files' names.
    pub(in crate::log_dir) token: Lsn,
    /// Below it keys are unique from now on; `None` leaves that as it was.
    cleaned_end: Option<Offset>,
    /// The new segments.
    segments: Vec<Segment>,
}

impl Replacement {
    fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(20 + self.segments.len() * 44);
        out.extend_from_slice(&self.token.get().to_le_bytes());
        let cleaned_end = self.cleaned_end.map_or(-1, Offset::get);
        out.extend_from_slice(&cleaned_end.to_le_bytes());
        out.extend_from_slice(&(self.segments.len() as u32).to_le_bytes());
        for segment in &self.segments {
            out.extend_from_slice(&segment.base_offset.get().to_le_bytes());
            out.extend_from_slice(&segment.size.to_le_bytes());
            let times = [
                segment.first_timestamp,
                segment.largest_timestamp,
                segment.created,
                segment.modified,
            ];
            for time in times {
                out.extend_from_slice(&time.as_millis().to_le_bytes());
            }
        }
        out.into()
    }

    /// Reads what [`Replacement::encode`] wrote; `None` when it is something else.
    pub(in crate::log_dir) fn decode(mut bytes: &[u8]) -> Option<Replacement> {
        let rest = &mut bytes;
        let token = Lsn::new(take(rest)? as u64);
        let cleaned_end = Offset::from_wire(take(rest)?);
        let count = take_u32(rest)?;
        let mut segments = Vec::new();
        for _ in 0..count {
            let mut segment = Segment::empty(Offset::from_wire(take(rest)?)?);
            let size = take_u32(rest)?;
            segment.size = size;
            segment.written_size = size;
            segment.synced_size = size;
            let mut time = || Some(Timestamp::from_millis(take(rest)?));
            segment.first_timestamp = time()?;
            segment.largest_timestamp = time()?;
            segment.created = time()?;
            segment.modified = time()?;
            segment.written_largest_timestamp = segment.largest_timestamp;
            segments.push(segment);
        }
        rest.is_empty().then_some(Replacement {
            token,
            cleaned_end,
            segments,
        })
    }

    /// Base offsets of the new segments.
    pub(in crate::log_dir) fn bases(&self) -> Vec<Offset> {
        self.segments.iter().map(|it| it.base_offset).collect()
    }

    /// Makes it part of a state that is being recovered.
    pub(in crate::log_dir) fn redo(self, state: &mut PartitionState, header: &EntryHeader) {
        let (base, end) = (header.base_offset, header.end_offset);
        if state.written_end() < end {
            // They were synced; a partition that lost the entry that said so still has them in its tail.
            state.tail.drop_below(end);
        }
        if state.synced_end < end {
            state.synced_end = end;
            for segment in &mut state.segments {
                if segment.base_offset < end {
                    segment.written_size = segment.size;
                    segment.synced_size = segment.size;
                }
            }
        }
        state.replace_segments(base, end, self.segments);
        if let Some(cleaned_end) = self.cleaned_end {
            state.cleaned_end = cleaned_end;
        }
    }
}

fn take(bytes: &mut &[u8]) -> Option<i64> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(i64::from_le_bytes(*head))
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*head))
}

fn entry(id: TopicPartition, base: Offset, end: Offset, replacement: &Replacement) -> Entry {
    let header = EntryHeader {
        kind: EntryKind::Segments,
        topic_partition: id,
        base_offset: base,
        end_offset: end,
        argument: changes::SEGMENTS_REPLACED,
    };
    Entry::new(header, DurabilityClass::Fsync, replacement.encode())
}

/// Step 2: `draft` takes the place of `sources`. Returns false when the log is not what it was when they were read.
pub(super) fn begin(
    dir: &LogDir,
    partition: &Arc<Partition>,
    sources: &[Source],
    draft: &Draft,
    cleaned_end: Option<Offset>,
) -> bool {
    let id = partition.id();
    let mut state = partition.lock();
    let Some(first) = position_of(&state, sources) else {
        return false;
    };
    let Some(name) = state.dir.clone() else {
        return false;
    };
    let count = sources.len();
    let (base, end) = (
        state.segments[first].base_offset,
        state.segment_end(first + count - 1),
    );
    let segment = draft.segment(&state.segments[first..first + count]);
    let mut replacement = Replacement {
        token: draft.token,
        cleaned_end,
        segments: vec![segment],
    };
    let Ok(lsn) = dir.wal.enqueue(entry(id, base, end, &replacement)) else {
        return false;
    };
    let file = SegmentFile::cleaned(
        id,
        Arc::clone(&name),
        base,
        Arc::clone(&state.findings),
        draft.token,
        Arc::clone(&draft.log),
        draft.units.clone(),
    );
    let file = Arc::new(file);
    replacement.segments[0].file = Some(Arc::clone(&file));
    let cleaned_before = state.cleaned_end;
    let old = state.replace_segments(base, end, replacement.segments);
    let old_bases: Vec<Offset> = old.iter().map(|it| it.base_offset).collect();
    state.cleaned_end = cleaned_end.unwrap_or(cleaned_before);
    state.swap = Some(PendingSwap {
        lsn,
        base,
        end,
        old,
        cleaned_before,
    });
    state.state_lsn = lsn;
    drop(state);
    dir.pins.lock().hold(lsn);
    dir.markers.reach(Marker::SegmentsSwapped);
    dir.swaps.lock().push(SwapTask {
        partition: Arc::clone(partition),
        lsn,
        dir: name,
        token: draft.token,
        next_segment: end,
        file,
        renames: FileKind::OF_SEGMENT.to_vec(),
        removals: removals(base, &old_bases),
        step: Step::ShowNext,
    });
    true
}

/// Nothing had to be rewritten: keys are unique below `cleaned_end` all the same.
pub(super) fn note_cleaned(dir: &LogDir, partition: &Partition, cleaned_end: Offset) {
    let mut state = partition.lock();
    if state.is_gone() || state.swap.is_some() || state.synced_end < cleaned_end {
        return;
    }
    let replacement = Replacement {
        token: Lsn::ZERO,
        cleaned_end: Some(cleaned_end),
        segments: Vec::new(),
    };
    let queued = dir.wal.enqueue(entry(
        partition.id(),
        cleaned_end,
        cleaned_end,
        &replacement,
    ));
    if let Ok(lsn) = queued {
        // A crash that takes the entry back takes nothing but the knowledge back.
        state.cleaned_end = cleaned_end;
        state.state_lsn = lsn;
    }
}

/// Where `sources` lie in the partition, if they are all still there and it may be changed.
fn position_of(state: &PartitionState, sources: &[Source]) -> Option<usize> {
    if state.is_gone() || state.swap.is_some() {
        return None;
    }
    let base = sources.first()?.segment.base_offset;
    let first = state
        .segments
        .iter()
        .position(|it| it.base_offset == base)?;
    let there = state.segments.get(first..first + sources.len())?;
    let is_same = |(segment, source): (&Segment, &Source)| {
        let file = segment.file.as_ref();
        file.is_some_and(|file| Arc::ptr_eq(file, &source.file))
            && segment.size == source.segment.size
            && segment.synced_size == segment.size
    };
    let is_sealed = first + sources.len() < state.segments.len();
    (is_sealed && there.iter().zip(sources).all(is_same)).then_some(first)
}

/// Bases of the files that no new one is put over.
fn removals(base: Offset, old: &[Offset]) -> Vec<(Offset, FileKind)> {
    let gone = old.iter().filter(|old| **old != base);
    gone.flat_map(|old| FileKind::OF_SEGMENT.map(|kind| (*old, kind)))
        .collect()
}

/// Step 3.
pub(in crate::log_dir) struct SwapTask {
    partition: Arc<Partition>,
    lsn: Lsn,
    dir: Arc<str>,
    token: Lsn,
    /// Where the segment behind it begins.
    next_segment: Offset,
    /// The new segment's.
    file: Arc<SegmentFile>,
    /// Files that have their old names.
    renames: Vec<FileKind>,
    /// Old files that are left.
    removals: Vec<(Offset, FileKind)>,
    step: Step,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Compaction may leave nothing of the last records, and with them of where the log is.
    ShowNext,
    Rename,
    SyncDir,
    Remove,
}

impl SwapTask {
    /// Whether it may begin; then it has the partition's files for itself.
    pub(in crate::log_dir) fn start(&self, dir: &LogDir) -> bool {
        let is_early = dir.options.planted.is(PlantedBug::SwapBeforeEntry);
        if dir.durable_lsn() < self.lsn && !is_early {
            return false;
        }
        let mut state = self.partition.lock();
        if state.is_in_work {
            return false;
        }
        state.is_in_work = true;
        true
    }

    /// Does the next step.
    pub(in crate::log_dir) fn step(&mut self, dir: &LogDir) -> Result<TaskStep, ReadFault> {
        if self.partition.lock().standing == Standing::Dropped {
            self.finish(dir);
            return Ok(TaskStep::Done);
        }
        match self.step {
            Step::ShowNext => {
                dir.show_segment(&self.partition, self.next_segment)?;
                self.step = Step::Rename;
            }
            Step::Rename => {
                let Some(kind) = self.renames.last() else {
                    self.step = Step::SyncDir;
                    return Ok(TaskStep::More);
                };
                let base = self.file.base_offset();
                let from = names::cleaned(&self.dir, base, *kind, self.token);
                dir.disk
                    .rename(&from, &names::file(&self.dir, base, *kind))?;
                self.renames.pop();
            }
            Step::SyncDir => {
                dir.disk.sync_dir(Path::new(&*self.dir))?;
                self.file.named();
                self.step = Step::Remove;
            }
            Step::Remove => {
                let Some((base, kind)) = self.removals.last() else {
                    self.finish(dir);
                    return Ok(TaskStep::Done);
                };
                remove(&*dir.disk, &names::file(&self.dir, *base, *kind))?;
                self.removals.pop();
            }
        }
        Ok(TaskStep::More)
    }

    fn finish(&self, dir: &LogDir) {
        let mut state = self.partition.lock();
        let old = state.swap.take();
        state.is_in_work = false;
        drop(state);
        drop(old); // files that nobody reads are closed, without the lock
        self.file.unpin();
        dir.reads.cache.opened(&self.file);
        dir.pins.lock().let_go(self.lsn);
    }

    /// A step failed: it is done again later.
    pub(in crate::log_dir) fn fail(&self) {
        self.partition.lock().is_in_work = false;
    }
}

fn remove(disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
    match disk.remove_file(path) {
        Err(error) if !error.is_not_found() => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Swaps that the journal knows of at a start, in its order: what a crash interrupted is done again.
#[derive(Default)]
pub(in crate::log_dir) struct Redo {
    swaps: BTreeMap<Lsn, (TopicPartition, Lsn, Vec<Offset>)>,
}

impl Redo {
    /// Notes an entry that replaces segments.
    pub(in crate::log_dir) fn note(&mut self, entry: &ReplayedEntry) {
        let is_swap = entry.header.kind == EntryKind::Segments
            && entry.header.argument == changes::SEGMENTS_REPLACED;
        if let Some(replacement) = Replacement::decode(&entry.body).filter(|_| is_swap) {
            let id = entry.header.topic_partition;
            let swap = (id, replacement.token, replacement.bases());
            self.swaps.insert(entry.lsn, swap);
        }
    }

    /// The partition was dropped and has begun anew.
    pub(in crate::log_dir) fn forget(&mut self, id: TopicPartition) {
        self.swaps.retain(|_, swap| swap.0 != id);
    }

    /// Gives files their names that had not got them, and says how many swaps that concerned. `dir_of` says where a
    /// partition's files are, if it is there.
    pub(in crate::log_dir) fn carry_out(
        &self,
        disk: &dyn Disk,
        dir_of: impl Fn(TopicPartition) -> Option<Arc<str>>,
    ) -> Result<usize, DiskError> {
        let mut count = 0;
        for (id, token, bases) in self.swaps.values() {
            let Some(dir) = dir_of(*id) else { continue };
            let mut is_changed = false;
            for base in bases {
                for kind in FileKind::OF_SEGMENT {
                    let from: PathBuf = names::cleaned(&dir, *base, kind, *token);
                    match disk.rename(&from, &names::file(&dir, *base, kind)) {
                        Ok(()) => is_changed = true,
                        Err(error) if error.is_not_found() => {}
                        Err(error) => return Err(error),
                    }
                }
            }
            if is_changed {
                disk.sync_dir(Path::new(&*dir))?;
                count += 1;
            }
        }
        Ok(count)
    }
}
