use super::Progress;
use crate::disk::{DiskError, DiskFile, OpenMode};
use crate::findings::Finding;
use crate::log_dir::LogDir;
use crate::log_dir::work::index_bytes;
use crate::marker::Marker;
use crate::partition::Partition;
use crate::segment::names::FileKind;
use crate::segment::sidecar::{self, Unit};
use crate::segment::{
    Access, ReadFault, Rebuild, RebuildFault, SegmentFile, Units, UnitsCursor, read_exact,
};
use ottla_types::{LeaderEpoch, Offset};
use std::sync::Arc;

/// At most so many bytes of contents are read at once.
const READ_BYTES_MAX: u32 = 1 << 20;

/// Reads every byte of every segment and compares it with the sidecar.
#[derive(Default)]
pub(super) struct Contents {
    next_slot: u32,
    /// Base offset behind which the partition at `next_slot` goes on.
    after: Option<Offset>,
    reading: Option<Reading>,
}

/// A segment as far as it was synced when its turn came.
struct Reading {
    partition: Arc<Partition>,
    file: Arc<SegmentFile>,
    generation: u64,
    size: u32,
    /// Nothing will be written to it any more.
    is_sealed: bool,
    stage: Stage,
}

enum Stage {
    Open,
    Sidecar(Arc<dyn DiskFile>),
    Rebuild(Arc<dyn DiskFile>, Units, Rebuild),
    Units {
        log: Arc<dyn DiskFile>,
        units: Units,
        next: usize,
        /// The sidecar has them all.
        is_stored: bool,
    },
    /// The files that follow from the units: those that are left to be compared.
    Followers(Units, Vec<FileKind>),
    Over,
}

impl Contents {
    pub(super) fn step(&mut self, dir: &LogDir) -> Result<Progress, DiskError> {
        loop {
            if let Some(reading) = &mut self.reading {
                if !matches!(reading.stage, Stage::Over) {
                    return reading.step(dir);
                }
                self.reading = None;
            }
            let next = dir.table.read().next_from(self.next_slot).cloned();
            let Some(partition) = next else {
                return Ok(Progress::Over);
            };
            let slot = partition.slot().get();
            if self.next_slot < slot {
                self.after = None;
            }
            self.next_slot = slot;
            match Reading::next(partition, self.after) {
                Some(reading) => {
                    self.after = Some(reading.file.base_offset());
                    self.reading = Some(reading);
                }
                None => {
                    self.next_slot += 1;
                    self.after = None;
                }
            }
        }
    }

    pub(super) fn give_up(&mut self, _dir: &LogDir) {
        self.reading = None;
    }
}

impl Reading {
    /// The first synced segment of the partition behind the base offset `after`.
    fn next(partition: Arc<Partition>, after: Option<Offset>) -> Option<Reading> {
        let mut state = partition.lock();
        // Files that are about to change their names are looked at in the next pass.
        if state.is_gone() || state.swap.is_some() {
            return None;
        }
        let index = state.segments.iter().position(|segment| {
            after.is_none_or(|after| after < segment.base_offset) && segment.synced_size > 0
        })?;
        let segment = &state.segments[index];
        let (size, generation) = (segment.synced_size, state.generation);
        let is_sealed = index + 1 < state.segments.len() && size == segment.size;
        let file = state.segment_file(partition.id(), index);
        drop(state);
        Some(Reading {
            partition,
            file,
            generation,
            size,
            is_sealed,
            stage: Stage::Open,
        })
    }

    fn step(&mut self, dir: &LogDir) -> Result<Progress, DiskError> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Open => self.open(dir),
            Stage::Sidecar(log) => self.sidecar(dir, log),
            Stage::Rebuild(log, units, rebuild) => Ok(self.rebuild(dir, log, units, rebuild)?),
            Stage::Units {
                log,
                units,
                next,
                is_stored,
            } => self.units(dir, log, units, next, is_stored),
            Stage::Followers(units, kinds) => self.followers(dir, units, kinds),
            Stage::Over => Ok(Progress::Read(0)),
        }
    }

    fn open(&mut self, dir: &LogDir) -> Result<Progress, DiskError> {
        // A handle of its own, so that the scrub does not push others out of the cache.
        match dir
            .disk
            .open(&self.file.path(FileKind::Log), OpenMode::Read)
        {
            Ok(log) => self.stage = Stage::Sidecar(log),
            Err(error) if error.is_not_found() => {
                self.if_unchanged(dir, |file| file.note_missing(None));
            }
            Err(error) => return Err(error),
        }
        Ok(Progress::Read(0))
    }

    fn sidecar(&mut self, dir: &LogDir, log: Arc<dyn DiskFile>) -> Result<Progress, DiskError> {
        let units = match self.file.read_sidecar(&*dir.disk, self.size) {
            Ok(units) => units,
            Err(ReadFault::Disk(error)) => return Err(error),
            // A newer release wrote it: readers are told so when they come.
            Err(ReadFault::Corrupt { .. } | ReadFault::NewerVersion { .. }) => {
                return Ok(Progress::Read(0));
            }
        };
        self.stage = if units.end_position() == self.size {
            Stage::Units {
                log,
                units,
                next: 0,
                is_stored: true,
            }
        } else {
            let rebuild = Rebuild::behind(&units, self.file.base_offset());
            let epoch = self.epoch_of(rebuild.next_offset());
            Stage::Rebuild(log, units, rebuild.not_before(epoch))
        };
        Ok(Progress::Read(0))
    }

    /// The sidecar ends too early, as it may after a power cut: the batches vouch for themselves.
    fn rebuild(
        &mut self,
        dir: &LogDir,
        log: Arc<dyn DiskFile>,
        mut units: Units,
        mut rebuild: Rebuild,
    ) -> Result<Progress, DiskError> {
        let before = units.end_position();
        match rebuild.step(&*log, &mut units, self.size) {
            Ok(()) => {}
            Err(RebuildFault::Disk(error)) => return Err(error),
            Err(RebuildFault::Broken(broken)) => {
                self.if_unchanged(dir, |file| file.note_corrupt(broken.position));
                return Ok(Progress::Read(0));
            }
        }
        let read = units.end_position() - before;
        if units.end_position() == self.size && !self.is_end_sound(&rebuild) {
            let last = units.list().last().copied();
            let unit = last.expect("something was walked");
            self.damaged(dir, &unit);
            return Ok(Progress::Read(read as usize));
        }
        self.stage = if units.end_position() == self.size {
            Stage::Units {
                log,
                units,
                next: 0,
                is_stored: false,
            }
        } else {
            Stage::Rebuild(log, units, rebuild)
        };
        Ok(Progress::Read(read as usize))
    }

    /// The chain of the batches cannot tell whether the offset or the epoch of the last one was bent upwards; the
    /// partition knows where the segment ends, and in which epoch.
    fn is_end_sound(&self, rebuild: &Rebuild) -> bool {
        let state = self.partition.lock();
        let end = match state.segment_index(self.file.base_offset()) {
            Some(index) if self.is_sealed => state.segment_end(index),
            Some(_) | None => state.appended_end(),
        };
        drop(state);
        let last = Offset::from_wire(rebuild.next_offset().get() - 1);
        let latest = last.and_then(|last| self.epoch_of(last));
        rebuild.next_offset() <= end
            && latest.is_none_or(|latest| rebuild.last_epoch() <= Some(latest))
    }

    fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.partition.lock().epochs.epoch_of(offset)
    }

    fn units(
        &mut self,
        dir: &LogDir,
        log: Arc<dyn DiskFile>,
        units: Units,
        next: usize,
        is_stored: bool,
    ) -> Result<Progress, DiskError> {
        let list = units.list();
        let Some(first) = list.get(next).copied() else {
            if self.is_sealed {
                let mut kinds = vec![FileKind::OffsetIndex, FileKind::TimeIndex];
                if !is_stored {
                    kinds.push(FileKind::Sums);
                }
                self.stage = Stage::Followers(units, kinds);
            }
            return Ok(Progress::Read(0));
        };
        let end = list[next..]
            .iter()
            .take_while(|unit| unit.end_position() - first.position <= READ_BYTES_MAX)
            .count()
            .max(1)
            + next;
        let size = (list[end - 1].end_position() - first.position) as usize;
        let bytes = read_exact(&*log, u64::from(first.position), size, Access::Wait)?;
        let bytes = bytes.unwrap_or_default();
        for unit in &list[next..end] {
            let at = (unit.position - first.position) as usize;
            let piece = bytes.get(at..at + unit.size as usize).unwrap_or_default();
            if !unit.is_valid(piece) {
                self.damaged(dir, unit);
            }
        }
        self.stage = Stage::Units {
            log,
            units,
            next: end,
            is_stored,
        };
        Ok(Progress::Read(size))
    }

    fn damaged(&self, dir: &LogDir, unit: &Unit) {
        self.if_unchanged(dir, |file| file.note_corrupt_unit(unit));
    }

    /// Believes what was found, unless the segment was cut or replaced meanwhile.
    fn if_unchanged(&self, dir: &LogDir, note: impl FnOnce(&SegmentFile) -> ReadFault) {
        let state = self.partition.lock();
        let is_unchanged =
            state.generation == self.generation && !state.is_gone() && state.holds(&self.file);
        drop(state);
        if is_unchanged {
            dir.markers.reach(Marker::ScrubFoundDamage);
            note(&self.file);
        }
    }

    /// Compares one of the files that follow from the units, and makes it again if it is not what it should be.
    fn followers(
        &mut self,
        dir: &LogDir,
        units: Units,
        mut kinds: Vec<FileKind>,
    ) -> Result<Progress, DiskError> {
        let Some(kind) = kinds.pop() else {
            return Ok(Progress::Read(0));
        };
        let expected = match kind {
            FileKind::Sums => sidecar::encode(self.file.base_offset(), units.list()),
            FileKind::Log | FileKind::OffsetIndex | FileKind::TimeIndex | FileKind::Snapshot => {
                index_bytes(UnitsCursor::default(), units.list(), kind)
            }
        };
        let path = self.file.path(kind);
        let is_good = match dir.disk.open(&path, OpenMode::Read) {
            Ok(file) => {
                let size = file.size()?;
                let whole = usize::try_from(size).unwrap_or(usize::MAX);
                size == expected.len() as u64
                    && read_exact(&*file, 0, whole, Access::Wait)?.as_ref() == Some(&expected)
            }
            Err(error) if error.is_not_found() => false,
            Err(error) => return Err(error),
        };
        if !is_good && self.take_over() {
            let written = write_whole(dir, &self.file, kind, &expected);
            self.partition.lock().is_in_work = false;
            written?;
            dir.findings.note(Finding::Mended { path });
        }
        self.stage = Stage::Followers(units, kinds);
        Ok(Progress::Looked)
    }

    /// Keeps others from working on the partition's files, unless they do or the segment is not what it was.
    fn take_over(&self) -> bool {
        let mut state = self.partition.lock();
        let is_other = state.generation != self.generation || !state.holds(&self.file);
        if state.is_in_work || state.is_gone() || is_other {
            return false;
        }
        state.is_in_work = true;
        true
    }
}

fn write_whole(
    dir: &LogDir,
    file: &SegmentFile,
    kind: FileKind,
    bytes: &[u8],
) -> Result<(), DiskError> {
    let file = dir.disk.open(&file.path(kind), OpenMode::Create)?;
    file.write_at(0, &[bytes])?;
    file.set_len(bytes.len() as u64)
}
