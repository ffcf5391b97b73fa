//! Brings a partition's tail to its segment files, one I/O per step.
//!
//! Each step leaves the partition's lock before it does I/O and looks at the generation when it comes back: a
//! truncation or drop in between makes what was written stale, and the files are cut before the next write.

use super::{LogDir, changes, rebuild};
use crate::disk::{DiskError, DiskFile, OpenMode};
use crate::marker::Marker;
use crate::partition::{Partition, Standing, SyncPlan, WritePlan};
use crate::planted::PlantedBug;
use crate::segment::names::{self, FileKind};
use crate::segment::sidecar::{self, FlushedBatch, UNIT_SIZE, Unit};
use crate::segment::{ReadFault, SegmentFile, Units, UnitsCursor, small_files};
use crate::wal::{Body, DurabilityClass, Entry, EntryHeader, EntryKind};
use ottla_types::Offset;
use std::path::Path;
use std::sync::Arc;

/// Room is reserved for a segment in steps of at most this many bytes.
const ALLOCATE_BYTES_MAX: u32 = 16 << 20;
/// Smaller steps are not worth a call.
const ALLOCATE_BYTES_MIN: u32 = 256 << 10;

/// How far a partition is to be brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Goal {
    /// The tail is written: memory is freed.
    Written,
    /// Everything is synced: the journal may forget.
    Synced,
}

/// What a task did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskStep {
    /// One I/O or a decision; more is to do.
    More,
    /// It is finished.
    Done,
}

/// Brings one partition to its goal.
pub(super) struct FlushTask {
    partition: Arc<Partition>,
    goal: Goal,
    stage: Stage,
    /// The step under way is a sync: what it is about is not in the tail any more.
    is_syncing: bool,
}

enum Stage {
    Decide,
    MakeDir,
    SyncRoot,
    WriteMetadata,
    Open(WritePlan),
    Verify(Write),
    Allocate(Write),
    WriteLog(Write),
    WriteSums(Write, Vec<Unit>),
    WriteOffsetIndex(Write, Vec<Unit>),
    WriteTimeIndex(Write, Vec<Unit>),
    SyncLog(SyncPlan),
    SyncDir(SyncPlan),
    Trim(Arc<SegmentFile>, u32),
    WriteEpochs,
}

/// A write under way.
struct Write {
    plan: WritePlan,
    log: Arc<dyn DiskFile>,
    cursor: UnitsCursor,
}

impl FlushTask {
    /// For a partition whose `is_in_work` the caller has set.
    pub(super) fn new(partition: Arc<Partition>, goal: Goal) -> FlushTask {
        FlushTask {
            partition,
            goal,
            stage: Stage::Decide,
            is_syncing: false,
        }
    }

    /// Does the next step. After an error the task is over.
    pub(super) fn step(&mut self, dir: &LogDir) -> Result<TaskStep, ReadFault> {
        self.is_syncing = matches!(self.stage, Stage::SyncLog(_) | Stage::SyncDir(_));
        match std::mem::replace(&mut self.stage, Stage::Decide) {
            Stage::Decide => Ok(self.decide(dir)),
            Stage::MakeDir => self.make_dir(dir),
            Stage::SyncRoot => self.sync_root(dir),
            Stage::WriteMetadata => self.write_metadata(dir),
            Stage::Open(plan) => self.open(dir, plan),
            Stage::Verify(write) => self.verify(dir, write),
            Stage::Allocate(write) => self.allocate(write),
            Stage::WriteLog(write) => self.write_log(write),
            Stage::WriteSums(write, units) => self.write_sums(dir, write, units),
            Stage::WriteOffsetIndex(write, units) => self.write_offset_index(dir, write, units),
            Stage::WriteTimeIndex(write, units) => self.write_time_index(dir, write, &units),
            Stage::SyncLog(plan) => self.sync_log(dir, plan),
            Stage::SyncDir(plan) => self.sync_dir(dir, plan),
            Stage::Trim(file, size) => {
                trim(dir, &self.partition, &file, size)?;
                Ok(TaskStep::More)
            }
            Stage::WriteEpochs => self.write_epochs(dir),
        }
    }

    /// The task is finished. Returns the partition if a producer snapshot is to be written next.
    pub(super) fn release(self) -> Option<Arc<Partition>> {
        let mut state = self.partition.lock();
        state.is_in_work = state.wants_snapshot && state.has_dir;
        let goes_on = state.is_in_work;
        drop(state);
        goes_on.then_some(self.partition)
    }

    /// A step failed: the tail stays, the files are checked before the next write.
    pub(super) fn fail(&self, dir: &LogDir) {
        let mut state = self.partition.lock();
        let end = state.appended_end();
        if dir.options.planted.is(PlantedBug::FullDiskLosesTail)
            && let Some(plan) = state.plan_write(self.partition.id(), usize::MAX, end)
        {
            let freed = state.complete_write(&plan);
            dir.free_tail_bytes(freed);
        }
        state.distrust_files();
        state.is_in_work = false;
    }

    /// Whether the tail can be flushed in another way after `fault`: damage of what lies before it must not keep it in
    /// memory, and with it the journal.
    pub(super) fn finds_way_around(&self, dir: &LogDir, fault: &ReadFault) -> bool {
        match fault {
            ReadFault::Corrupt { base_offset, .. } => self.begin_segment_behind(dir, *base_offset),
            // The directory is gone; the tail is not.
            ReadFault::Disk(error) if error.is_not_found() && !self.is_syncing => {
                let mut state = self.partition.lock();
                state.distrust_files();
                std::mem::take(&mut state.has_dir)
            }
            ReadFault::Disk(_) | ReadFault::NewerVersion { .. } => false,
        }
    }

    /// Nothing can be put behind what the files of the segment `damaged` hold: the tail goes to a new one.
    fn begin_segment_behind(&self, dir: &LogDir, damaged: Offset) -> bool {
        let mut state = self.partition.lock();
        let Some(base) = state.tail.first().map(|first| first.base_offset) else {
            return false;
        };
        let index = state
            .segment_index(base)
            .expect("the tail lies in segments");
        if state.segments[index].base_offset != damaged || damaged == base {
            return false;
        }
        // Nothing of a partition may stand behind its drop.
        if !state.is_gone() {
            let header = EntryHeader {
                kind: EntryKind::Segments,
                topic_partition: self.partition.id(),
                base_offset: base,
                end_offset: Offset::ZERO,
                argument: changes::SEGMENT_SPLIT,
            };
            let entry = Entry::new(header, DurabilityClass::Os, Body::Empty);
            let Ok(lsn) = dir.wal.enqueue(entry) else {
                return false;
            };
            state.state_lsn = lsn;
        }
        state.distrust_files();
        dir.markers.reach(Marker::SegmentSplit);
        state.split_segment(base)
    }

    fn go(&mut self, stage: Stage) -> TaskStep {
        self.stage = stage;
        TaskStep::More
    }

    fn decide(&mut self, dir: &LogDir) -> TaskStep {
        let id = self.partition.id();
        let mut state = self.partition.lock();
        if state.standing == Standing::Dropped || state.dir.is_none() {
            return TaskStep::Done;
        }
        let end = state.flushable_end(dir.durable_lsn());
        if let Some(plan) = state.plan_write(id, dir.options.write_bytes_max, end) {
            let has_dir = state.has_dir;
            drop(state);
            return self.go(if has_dir {
                Stage::Open(plan)
            } else {
                Stage::MakeDir
            });
        }
        if self.goal == Goal::Written {
            return TaskStep::Done;
        }
        if let Some(plan) = state.plan_sync(id) {
            drop(state);
            return self.go(Stage::SyncLog(plan));
        }
        if let Some((file, size)) = state.plan_trim(id, dir.durable_lsn()) {
            drop(state);
            return self.go(Stage::Trim(file, size));
        }
        if state.epochs_are_dirty && state.has_dir {
            drop(state);
            return self.go(Stage::WriteEpochs);
        }
        TaskStep::Done
    }

    fn dir(&self) -> Arc<str> {
        let dir = self.partition.lock().dir.clone();
        dir.expect("a partition without a name is not worked on")
    }

    fn make_dir(&mut self, dir: &LogDir) -> Result<TaskStep, ReadFault> {
        let name = self.dir();
        let id = self.partition.id();
        if let Some(owner) = rebuild::owner(&*dir.disk, &name)?
            && owner != id
        {
            // Left by a deletion that damage made forgotten, and not to be mixed with what comes now.
            if dir.slot(owner).is_some() {
                return Err(ReadFault::Corrupt {
                    partition: id,
                    base_offset: Offset::ZERO,
                    position: 0,
                });
            }
            // The scrub removes it.
            let aside = names::deleted_dir(&name, owner.topic_id);
            dir.disk.rename(Path::new(&*name), Path::new(&aside))?;
        }
        dir.disk.create_dir(Path::new(&*name))?;
        Ok(self.go(Stage::SyncRoot))
    }

    fn sync_root(&mut self, dir: &LogDir) -> Result<TaskStep, ReadFault> {
        if !dir.options.planted.is(PlantedBug::DirectoryNotSynced) {
            dir.disk.sync_dir(Path::new(""))?;
        }
        Ok(self.go(Stage::WriteMetadata))
    }

    /// Names the directory's owner before anything else is in it: a removal looks at it.
    fn write_metadata(&mut self, dir: &LogDir) -> Result<TaskStep, ReadFault> {
        let text = small_files::partition_metadata(self.partition.id().topic_id);
        let path = Path::new(&*self.dir()).join(small_files::PARTITION_METADATA);
        let file = dir.disk.open(&path, OpenMode::Create)?;
        file.write_at(0, &[text.as_bytes()])?;
        file.set_len(text.len() as u64)?;
        file.sync_data()?;
        let mut state = self.partition.lock();
        state.has_dir = true;
        state.dir_is_dirty = true;
        Ok(TaskStep::More)
    }

    fn open(&mut self, dir: &LogDir, plan: WritePlan) -> Result<TaskStep, ReadFault> {
        let log = match plan.file.log() {
            Some(log) => log,
            None => {
                let log = dir
                    .disk
                    .open(&plan.file.path(FileKind::Log), OpenMode::Create)?;
                plan.file.set_log(Arc::clone(&log));
                dir.reads.cache.opened(&plan.file);
                log
            }
        };
        if plan.position == 0 {
            self.partition.lock().dir_is_dirty = true;
        }
        let cursor = match plan.file.units() {
            Some(units) if units.end_position() == plan.position => units.cursor(),
            Some(_) | None if plan.position == 0 => {
                plan.file.begin_units();
                UnitsCursor::default()
            }
            Some(_) | None => {
                let units = plan.file.reload_units(&*dir.disk, plan.position)?;
                units.cursor()
            }
        };
        let write = Write { plan, log, cursor };
        if write.plan.is_verified {
            return Ok(self.go(Stage::Allocate(write)));
        }
        Ok(self.go(Stage::Verify(write)))
    }

    /// Makes the files hold exactly what they should before something is put behind it.
    fn verify(&mut self, dir: &LogDir, write: Write) -> Result<TaskStep, ReadFault> {
        let plan = &write.plan;
        let size = write.log.size()?;
        if size < u64::from(plan.position) {
            self.partition.lock().damage(format!(
                "segment {} has {size} bytes on disk, {} were synced",
                plan.segment_base, plan.position
            ));
            return Err(plan
                .file
                .note_corrupt(u32::try_from(size).unwrap_or(u32::MAX)));
        }
        let is_longer = u64::from(plan.position) < size;
        if is_longer && !plan.may_cut {
            return self.spare(dir, write);
        }
        self.partition.lock().own_file(plan.segment_base);
        // A process that crashed may have reserved room behind the end; nobody knows any more.
        if is_longer || 4 * ALLOCATE_BYTES_MIN <= plan.position {
            write.log.set_len(u64::from(plan.position))?;
        }
        if is_longer {
            write.log.sync_data()?;
        }
        verify_lists(dir, &plan.file, plan.position)?;
        Ok(self.go(Stage::Allocate(write)))
    }

    /// The partition lost something, and it may lie behind what is known of the file: nothing is put over it. The tail
    /// goes to a new segment, and a file that stands where that begins gets another name.
    fn spare(&mut self, dir: &LogDir, write: Write) -> Result<TaskStep, ReadFault> {
        let plan = write.plan;
        if plan.position > 0 {
            return Err(ReadFault::Corrupt {
                partition: self.partition.id(),
                base_offset: plan.segment_base,
                position: plan.position,
            });
        }
        let (name, mark) = (self.dir(), self.partition.lock().state_lsn);
        // The log comes last: as long as it is there, this is done again.
        for kind in FileKind::OF_SEGMENT.into_iter().rev() {
            let to = names::spared(&name, plan.segment_base, kind, mark);
            match dir.disk.rename(&plan.file.path(kind), &to) {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                Ok(()) | Err(_) => {}
            }
        }
        plan.file.begin_anew();
        Ok(self.go(Stage::Open(plan)))
    }

    fn allocate(&mut self, write: Write) -> Result<TaskStep, ReadFault> {
        let end = write.plan.position + write.plan.size();
        let step = (end / 4).min(ALLOCATE_BYTES_MAX);
        if write.plan.file.allocated_size() < end && ALLOCATE_BYTES_MIN <= step {
            let position = write.plan.position;
            let size = write.plan.size().max(step);
            write.log.allocate(u64::from(position), u64::from(size))?;
            write.plan.file.set_allocated_size(position + size);
        }
        Ok(self.go(Stage::WriteLog(write)))
    }

    fn write_log(&mut self, write: Write) -> Result<TaskStep, ReadFault> {
        let plan = &write.plan;
        let parts: Vec<&[u8]> = plan.batches.iter().map(|batch| &batch.bytes[..]).collect();
        let position = u64::from(plan.position);
        if plan.is_cached {
            write.log.write_at(position, &parts)?;
        } else {
            write.log.write_uncached(position, &parts)?;
        }
        let flushed = plan.batches.iter().map(|batch| FlushedBatch {
            bytes: &batch.bytes,
            base_offset: batch.base_offset,
            last_offset: batch.last_offset,
            max_timestamp: batch.max_timestamp,
            sums: batch.sums.as_ref(),
        });
        let units = sidecar::cut(plan.segment_base, plan.position, flushed);
        Ok(self.go(Stage::WriteSums(write, units)))
    }

    fn write_sums(
        &mut self,
        dir: &LogDir,
        write: Write,
        units: Vec<Unit>,
    ) -> Result<TaskStep, ReadFault> {
        write_units(dir, &write.plan.file, write.cursor.units_count, &units)?;
        Ok(self.go(Stage::WriteOffsetIndex(write, units)))
    }

    fn write_offset_index(
        &mut self,
        dir: &LogDir,
        write: Write,
        units: Vec<Unit>,
    ) -> Result<TaskStep, ReadFault> {
        let entries = index_bytes(write.cursor, &units, FileKind::OffsetIndex);
        append_index(
            dir,
            &write.plan.file,
            FileKind::OffsetIndex,
            write.cursor,
            &entries,
        )?;
        Ok(self.go(Stage::WriteTimeIndex(write, units)))
    }

    fn write_time_index(
        &mut self,
        dir: &LogDir,
        write: Write,
        units: &[Unit],
    ) -> Result<TaskStep, ReadFault> {
        let entries = index_bytes(write.cursor, units, FileKind::TimeIndex);
        append_index(
            dir,
            &write.plan.file,
            FileKind::TimeIndex,
            write.cursor,
            &entries,
        )?;
        let mut state = self.partition.lock();
        let had_pin = state.pin;
        if write.plan.generation == state.generation {
            // Before readers are sent to the file for these offsets.
            write.plan.file.push_units(units);
        }
        let freed = state.complete_write(&write.plan);
        dir.move_pin(&self.partition, had_pin, &state);
        drop(state);
        dir.free_tail_bytes(freed);
        Ok(TaskStep::More)
    }

    fn sync_log(&mut self, dir: &LogDir, plan: SyncPlan) -> Result<TaskStep, ReadFault> {
        let log = match plan.file.log() {
            Some(log) => log,
            None => dir
                .disk
                .open(&plan.file.path(FileKind::Log), OpenMode::ReadWrite)?,
        };
        if !dir.options.planted.is(PlantedBug::RingReleasedEarly) {
            log.sync_data()?;
        }
        Ok(self.go(Stage::SyncDir(plan)))
    }

    fn sync_dir(&mut self, dir: &LogDir, plan: SyncPlan) -> Result<TaskStep, ReadFault> {
        let is_dirty = std::mem::take(&mut self.partition.lock().dir_is_dirty);
        if is_dirty && !dir.options.planted.is(PlantedBug::DirectoryNotSynced) {
            dir.disk.sync_dir(Path::new(&*self.dir()))?;
        }
        let mut state = self.partition.lock();
        let had_pin = state.pin;
        // Nothing of a partition may stand behind its drop: a replay that begins between would bring it back.
        if state.complete_sync(&plan) && !state.is_gone() {
            let header = EntryHeader {
                kind: EntryKind::Synced,
                topic_partition: self.partition.id(),
                base_offset: plan.segment_base,
                end_offset: state.synced_end,
                argument: u64::from(plan.size),
            };
            // Nobody waits for it; it only shortens the next replay.
            let entry = Entry::new(header, DurabilityClass::Os, Body::Empty);
            if let Ok(lsn) = dir.wal.enqueue(entry) {
                state.state_lsn = lsn;
            }
        }
        dir.move_pin(&self.partition, had_pin, &state);
        Ok(TaskStep::More)
    }

    /// `leader-epoch-checkpoint`, for Kafka's tools; our own copy is in the checkpoint.
    fn write_epochs(&mut self, dir: &LogDir) -> Result<TaskStep, ReadFault> {
        let text = {
            let mut state = self.partition.lock();
            state.epochs_are_dirty = false;
            small_files::leader_epoch_checkpoint(state.epochs.entries())
        };
        let path = Path::new(&*self.dir()).join(small_files::LEADER_EPOCH_CHECKPOINT);
        let file = dir.disk.open(&path, OpenMode::Create)?;
        file.write_at(0, &[text.as_bytes()])?;
        file.set_len(text.len() as u64)?;
        Ok(TaskStep::More)
    }
}

/// Gives back the room that was reserved behind the end of a segment that is full, and takes away what a truncation cut
/// off and nothing was written over. The caller has the partition in work.
pub(super) fn trim(
    dir: &LogDir,
    partition: &Partition,
    file: &Arc<SegmentFile>,
    size: u32,
) -> Result<(), DiskError> {
    let log = match file.log() {
        Some(log) => log,
        None => match dir
            .disk
            .open(&file.path(FileKind::Log), OpenMode::ReadWrite)
        {
            Ok(log) => log,
            // Nothing is reserved for what is not there. That it is missing is for readers and the scrub to tell.
            Err(error) if error.is_about_the_name() => {
                partition.lock().trimmed(file.base_offset(), size);
                return Ok(());
            }
            Err(error) => return Err(error),
        },
    };
    // A file that is too short is for the scrub to tell.
    let found = log.size()?;
    if u64::from(size) <= found {
        log.set_len(u64::from(size))?;
    }
    if u64::from(size) < found {
        log.sync_data()?;
        match verify_lists(dir, file, size) {
            Err(ReadFault::Disk(error)) => return Err(error),
            // Named already; this is no reason to keep the rest waiting.
            Ok(()) | Err(ReadFault::Corrupt { .. } | ReadFault::NewerVersion { .. }) => {}
        }
    }
    file.set_allocated_size(size);
    partition.lock().trimmed(file.base_offset(), size);
    Ok(())
}

/// Makes what lies beside a log file of `position` bytes speak of exactly these.
fn verify_lists(dir: &LogDir, file: &Arc<SegmentFile>, position: u32) -> Result<(), ReadFault> {
    let units = verify_sums(dir, file, position)?;
    verify_index(dir, file, &units, FileKind::OffsetIndex)?;
    verify_index(dir, file, &units, FileKind::TimeIndex)
}

/// The sidecar gets what is missing from it and loses what is too much, durably: a stale unit behind the end
/// would later be taken for one of the bytes that are written now. Returns the units.
fn verify_sums(
    dir: &LogDir,
    file: &Arc<SegmentFile>,
    position: u32,
) -> Result<Arc<Units>, ReadFault> {
    let stored = file.read_sidecar(&*dir.disk, position)?;
    let units = file.load_units(&*dir.disk, position, crate::segment::Access::Wait)?;
    let units = units.expect("waiting always reads");
    let all = units.list().len();
    // Units that were made again from the batches may be cut otherwise than those in the file.
    let same = stored.list().iter().zip(units.list());
    let known = same.take_while(|(stored, unit)| stored == unit).count();
    let path = file.path(FileKind::Sums);
    let sums = match dir.disk.open(&path, OpenMode::ReadWrite) {
        Ok(sums) => sums,
        Err(error) if error.is_not_found() && all == 0 => return Ok(units),
        Err(error) if error.is_not_found() => dir.disk.open(&path, OpenMode::Create)?,
        Err(error) => return Err(error.into()),
    };
    let size = ((all + 1) * UNIT_SIZE) as u64;
    let kept = if all == 0 {
        0
    } else {
        ((known + 1) * UNIT_SIZE) as u64
    };
    if sums.size()? != size || known < all {
        sums.set_len(kept)?;
        if all > 0 {
            write_units(dir, file, known as u32, &units.list()[known..])?;
        }
    }
    // Also when it looks right: a process that died may have cut it without a sync. Then a power cut would bring a
    // stale unit back, and it would be taken for one of the bytes that are written now.
    sums.sync_data()?;
    Ok(units)
}

/// Writes units behind the first `units_count` ones of the sidecar.
fn write_units(
    dir: &LogDir,
    file: &SegmentFile,
    units_count: u32,
    units: &[Unit],
) -> Result<(), ReadFault> {
    let mut bytes = Vec::with_capacity((units.len() + 1) * UNIT_SIZE);
    if units_count == 0 {
        bytes.extend_from_slice(&sidecar::encode_header(file.base_offset()));
    }
    for unit in units {
        bytes.extend_from_slice(&unit.encode());
    }
    let position = if units_count == 0 {
        0
    } else {
        (units_count as usize + 1) * UNIT_SIZE
    };
    let sums = dir
        .disk
        .open(&file.path(FileKind::Sums), OpenMode::Create)?;
    sums.write_at(position as u64, &[&bytes])?;
    Ok(())
}

/// Makes an index file that exists hold exactly what the units say.
fn verify_index(
    dir: &LogDir,
    file: &SegmentFile,
    units: &Units,
    kind: FileKind,
) -> Result<(), ReadFault> {
    let index = match dir.disk.open(&file.path(kind), OpenMode::ReadWrite) {
        Ok(index) => index,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let bytes = index_bytes(UnitsCursor::default(), units.list(), kind);
    index.write_at(0, &[&bytes])?;
    index.set_len(bytes.len() as u64)?;
    Ok(())
}

fn append_index(
    dir: &LogDir,
    file: &SegmentFile,
    kind: FileKind,
    cursor: UnitsCursor,
    bytes: &[u8],
) -> Result<(), ReadFault> {
    if bytes.is_empty() && cursor.units_count > 0 {
        return Ok(());
    }
    let position = match kind {
        FileKind::TimeIndex => {
            cursor.time_entries_count as usize * crate::segment::time_index::TIME_ENTRY_SIZE
        }
        FileKind::OffsetIndex | FileKind::Log | FileKind::Sums | FileKind::Snapshot => {
            cursor.offset_entries_count as usize * crate::segment::offset_index::OFFSET_ENTRY_SIZE
        }
    };
    let index = dir.disk.open(&file.path(kind), OpenMode::Create)?;
    if !bytes.is_empty() {
        index.write_at(position as u64, &[bytes])?;
    }
    Ok(())
}

/// The entries that `units` bring to an index, behind those that `cursor` has passed.
pub(super) fn index_bytes(mut cursor: UnitsCursor, units: &[Unit], kind: FileKind) -> Vec<u8> {
    let mut bytes = Vec::new();
    for unit in units {
        let (offset_entry, time_entry) = cursor.pass(unit);
        if kind == FileKind::TimeIndex {
            bytes.extend(time_entry.iter().flat_map(|entry| entry.encode()));
        } else {
            bytes.extend(offset_entry.iter().flat_map(|entry| entry.encode()));
        }
    }
    bytes
}
