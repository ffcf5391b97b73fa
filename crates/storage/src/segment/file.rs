use crate::disk::{Disk, DiskError, DiskFile, OpenMode};
use crate::findings::{Finding, Findings};
use crate::segment::chain::{BrokenLink, Walk, WalkEnd};
use crate::segment::names::{self, FileKind};
use crate::segment::sidecar::{self, FlushedBatch, Sidecar, Unit};
use crate::segment::units::Units;
use ottla_records::BatchView;
use ottla_types::{LeaderEpoch, Lsn, Offset, TopicPartition};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes read at once where a sidecar is made again.
const REBUILD_CHUNK_SIZE: usize = 4 * 1024 * 1024;

/// Whether a read may wait for the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Never waits; the answer may be "it would have to".
    Try,
    /// May wait. For threads that serve nobody else.
    Wait,
}

/// Why bytes cannot be had from a segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadFault {
    /// They are not what was written. They are never served.
    #[error("segment {base_offset} of partition {partition} is corrupt at position {position}")]
    Corrupt {
        /// The partition.
        partition: TopicPartition,
        /// The segment's base offset.
        base_offset: Offset,
        /// Where the stretch that failed its check begins.
        position: u32,
    },
    /// A file from a newer release.
    #[error("{} has format version {version}, which this release does not know", path.display())]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// What it says.
        version: u32,
    },
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The file of one segment, as readers hold it: it stays readable as long as somebody does, also after
/// retention has let go of it.
pub struct SegmentFile {
    partition: TopicPartition,
    dir: Arc<str>,
    base_offset: Offset,
    findings: Arc<Findings>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    log: Option<Arc<dyn DiskFile>>,
    units: Option<Arc<Units>>,
    /// Moves when units that somebody is reading just now may not be those of the file any more.
    units_version: u64,
    /// Positions of units that failed their check: planning stops before them.
    corrupt: Vec<u32>,
    allocated_size: u32,
    is_used: bool,
    /// The cache of open files knows that it holds something.
    is_tracked: bool,
    /// Its log and units stay in memory as long as anybody wants that: they cannot be had again by name.
    pins_count: u32,
    /// Its files do not have their own names yet, but those of a compaction.
    token: Option<Lsn>,
    /// The partition was dropped: what is there under its name by now is somebody else's.
    is_abandoned: bool,
}

impl std::fmt::Debug for SegmentFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SegmentFile({}/{})", self.dir, self.base_offset)
    }
}

impl SegmentFile {
    /// The segment `base_offset` in the partition directory `dir`; opens nothing. Damage goes to `findings`.
    pub fn new(
        partition: TopicPartition,
        dir: Arc<str>,
        base_offset: Offset,
        findings: Arc<Findings>,
    ) -> SegmentFile {
        SegmentFile {
            partition,
            dir,
            base_offset,
            findings,
            state: Mutex::default(),
        }
    }

    /// A segment that compaction wrote and that has not got its own name yet. It is held open until it has.
    pub(crate) fn cleaned(
        partition: TopicPartition,
        dir: Arc<str>,
        base_offset: Offset,
        findings: Arc<Findings>,
        token: Lsn,
        log: Arc<dyn DiskFile>,
        units: Units,
    ) -> SegmentFile {
        let file = SegmentFile::new(partition, dir, base_offset, findings);
        {
            let mut state = file.state.lock();
            state.log = Some(log);
            state.units = Some(Arc::new(units));
            state.pins_count = 1;
            state.token = Some(token);
        }
        file
    }

    /// Keeps what is in memory of it, and what comes, until [`SegmentFile::unpin`].
    pub(crate) fn pin(&self) {
        self.state.lock().pins_count += 1;
    }

    /// Ends one [`SegmentFile::pin`].
    pub(crate) fn unpin(&self) {
        let mut state = self.state.lock();
        state.pins_count = state.pins_count.saturating_sub(1);
    }

    /// Its files have their own names now.
    pub(crate) fn named(&self) {
        self.state.lock().token = None;
    }

    /// The partition was dropped. Who holds the open file reads on; it is not opened again, and nothing is said of it.
    pub(crate) fn abandon(&self) {
        self.state.lock().is_abandoned = true;
    }

    /// The segment's base offset.
    pub fn base_offset(&self) -> Offset {
        self.base_offset
    }

    /// Where a file of the segment lies.
    pub fn path(&self, kind: FileKind) -> PathBuf {
        match self.state.lock().token {
            Some(token) => names::cleaned(&self.dir, self.base_offset, kind, token),
            None => names::file(&self.dir, self.base_offset, kind),
        }
    }

    /// The open `.log`, if it is open.
    pub(crate) fn log(&self) -> Option<Arc<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.is_used = true;
        state.log.clone()
    }

    /// Keeps the open `.log` for others.
    pub(crate) fn set_log(&self, log: Arc<dyn DiskFile>) {
        self.state.lock().log = Some(log);
    }

    /// The units as far as they are in memory: perhaps not all that are written by now.
    pub(crate) fn units(&self) -> Option<Arc<Units>> {
        let mut state = self.state.lock();
        state.is_used = true;
        state.units.clone()
    }

    /// The units of a file in which nothing is written yet.
    pub(crate) fn begin_units(&self) {
        let mut state = self.state.lock();
        state.units = Some(Arc::default());
        state.units_version += 1;
    }

    /// Adds units that were written just now, if all others are in memory.
    pub(crate) fn push_units(&self, new: &[Unit]) {
        let Some(first) = new.first() else { return };
        let mut state = self.state.lock();
        let is_next = |units: &Arc<Units>| units.end_position() == first.position;
        // A slow reader may have left the units of an earlier time here: whoever comes next reads them all.
        state.units = state.units.take().filter(is_next);
        if let Some(units) = state.units.as_mut() {
            let units = Arc::make_mut(units);
            for unit in new {
                units.push(*unit);
            }
        }
    }

    /// Keeps units that were read since the version was `version`, unless more of them are here or they are of a
    /// file that was cut since.
    fn keep_units(&self, version: u64, units: &Arc<Units>) {
        let mut state = self.state.lock();
        let is_longer = |known: &Arc<Units>| known.end_position() < units.end_position();
        if state.units_version == version && state.units.as_ref().is_none_or(is_longer) {
            state.units = Some(Arc::clone(units));
        }
    }

    /// The files have other names now: under their own ones there is nothing.
    pub(crate) fn begin_anew(&self) {
        let mut state = self.state.lock();
        state.log = None;
        state.units = None;
        state.units_version += 1;
        state.allocated_size = 0;
    }

    /// How much room was reserved for the `.log`.
    pub(crate) fn allocated_size(&self) -> u32 {
        self.state.lock().allocated_size
    }

    /// Notes how much room is reserved for the `.log` now.
    pub(crate) fn set_allocated_size(&self, size: u32) {
        self.state.lock().allocated_size = size;
    }

    /// Lets go of the open file and the units, unless they were used since the last call.
    pub(crate) fn cool_down(&self) -> bool {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.is_used) || 0 < state.pins_count {
            return false;
        }
        state.log = None;
        state.units = None;
        state.is_tracked = false;
        true
    }

    /// Whoever bounds what is open knows of it now. Returns false when that was so before.
    pub(crate) fn track(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().is_tracked, true)
    }

    /// Memory of the units.
    pub(crate) fn units_bytes(&self) -> usize {
        let state = self.state.lock();
        let count = state.units.as_ref().map_or(0, |units| units.list().len());
        count * size_of::<Unit>()
    }

    /// Forgets what a truncation took away.
    pub(crate) fn truncated_to(&self, size: u32) {
        let mut state = self.state.lock();
        state.units_version += 1;
        if let Some(units) = state.units.as_mut() {
            let units = Arc::make_mut(units);
            units.truncate_to(size);
            if units.end_position() != size {
                // Cut inside a unit: whoever needs the rest walks its batches.
                state.units = None;
            }
        }
        state.corrupt.retain(|position| *position < size);
    }

    /// The position of the first unit known to be corrupt at or after `position`.
    pub(crate) fn corrupt_from(&self, position: u32) -> Option<u32> {
        let state = self.state.lock();
        let known = state.corrupt.iter().copied();
        known.filter(|known| position <= *known).min()
    }

    /// Notes that the bytes at `position` failed their check, and tells it when that is new.
    pub(crate) fn note_corrupt(&self, position: u32) -> ReadFault {
        let units = self.state.lock().units.clone();
        let unit = units.and_then(|units| units.at_position(position));
        self.note(position, unit.as_ref())
    }

    /// Likewise of a known unit.
    pub(crate) fn note_corrupt_unit(&self, unit: &Unit) -> ReadFault {
        self.note(unit.position, Some(unit))
    }

    fn note(&self, position: u32, unit: Option<&Unit>) -> ReadFault {
        let mut state = self.state.lock();
        let is_new = !state.is_abandoned && !state.corrupt.contains(&position);
        if is_new {
            state.corrupt.push(position);
        }
        drop(state);
        if is_new {
            let at = |delta: u32| self.base_offset.plus(i64::from(delta));
            self.findings.note(Finding::Corrupt {
                partition: self.partition,
                file: self.path(FileKind::Log),
                position,
                offsets: unit.map(|unit| (at(unit.base_delta), at(unit.last_delta))),
            });
        }
        self.corrupt_at(position)
    }

    /// Notes that the file is not there; `end_offset` is where it ended, if that is known.
    pub(crate) fn note_missing(&self, end_offset: Option<Offset>) -> ReadFault {
        if self.state.lock().is_abandoned {
            return self.corrupt_at(0);
        }
        self.findings.note(Finding::Missing {
            partition: self.partition,
            file: self.path(FileKind::Log),
            base_offset: self.base_offset,
            end_offset,
        });
        self.corrupt_at(0)
    }

    fn corrupt_at(&self, position: u32) -> ReadFault {
        ReadFault::Corrupt {
            partition: self.partition,
            base_offset: self.base_offset,
            position,
        }
    }

    /// The open `.log`; opens it when allowed to wait.
    pub(crate) fn open_log(
        &self,
        disk: &dyn Disk,
        access: Access,
    ) -> Result<Option<Arc<dyn DiskFile>>, ReadFault> {
        if let Some(log) = self.log() {
            return Ok(Some(log));
        }
        if self.state.lock().is_abandoned {
            return Err(self.corrupt_at(0));
        }
        if access == Access::Try {
            return Ok(None);
        }
        let log = match disk.open(&self.path(FileKind::Log), OpenMode::ReadWrite) {
            Ok(log) => log,
            Err(error) if error.is_not_found() => return Err(self.note_missing(None)),
            Err(error) => return Err(error.into()),
        };
        self.set_log(Arc::clone(&log));
        Ok(Some(log))
    }

    /// The units of at least the first `written_size` bytes; reads the sidecar when allowed to wait. Where the
    /// sidecar ends too early, the batches themselves are walked and checked.
    pub(crate) fn load_units(
        &self,
        disk: &dyn Disk,
        written_size: u32,
        access: Access,
    ) -> Result<Option<Arc<Units>>, ReadFault> {
        let is_whole = |units: &Arc<Units>| written_size <= units.end_position();
        if let Some(units) = self.units().filter(is_whole) {
            return Ok(Some(units));
        }
        if access == Access::Try {
            return Ok(None);
        }
        let version = self.state.lock().units_version;
        let mut units = self.read_sidecar(disk, written_size)?;
        self.rebuild_units(disk, &mut units, written_size)?;
        let units = Arc::new(units);
        self.keep_units(version, &units);
        Ok(Some(units))
    }

    /// Like [`SegmentFile::load_units`], forgetting what is in memory.
    pub(crate) fn reload_units(
        &self,
        disk: &dyn Disk,
        written_size: u32,
    ) -> Result<Arc<Units>, ReadFault> {
        {
            let mut state = self.state.lock();
            state.units = None;
            state.units_version += 1;
        }
        let units = self.load_units(disk, written_size, Access::Wait)?;
        Ok(units.expect("waiting always reads"))
    }

    /// What the sidecar knows of the first `written_size` bytes.
    pub(crate) fn read_sidecar(
        &self,
        disk: &dyn Disk,
        written_size: u32,
    ) -> Result<Units, ReadFault> {
        let path = self.path(FileKind::Sums);
        let file = match disk.open(&path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok(Units::default()),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = vec![0; file.size()? as usize];
        let size = file.read_at(0, &mut bytes)?;
        match sidecar::decode(&bytes[..size], self.base_offset, written_size) {
            Sidecar::Units(list) => {
                let mut units = Units::new(list);
                if let Some(last) = units.list().last().copied() {
                    // A full piece at the end may not be the last one of its batch: that one is walked again.
                    let is_full_piece = last.size as usize == sidecar::UNIT_BYTES_MAX;
                    if is_full_piece && units.end_position() < written_size {
                        units.truncate_to(last.position);
                    }
                }
                Ok(units)
            }
            Sidecar::NewerVersion(version) => Err(ReadFault::NewerVersion { path, version }),
        }
    }

    /// Makes the units of what lies between the end of `units` and `written_size`.
    pub(crate) fn rebuild_units(
        &self,
        disk: &dyn Disk,
        units: &mut Units,
        written_size: u32,
    ) -> Result<(), ReadFault> {
        if units.end_position() == written_size {
            return Ok(());
        }
        let log = self
            .open_log(disk, Access::Wait)?
            .expect("waiting always opens");
        let mut rebuild = Rebuild::behind(units, self.base_offset);
        while units.end_position() < written_size {
            let step = rebuild.step(&*log, units, written_size);
            step.map_err(|fault| match fault {
                RebuildFault::Broken(broken) => self.note_corrupt(broken.position),
                RebuildFault::Disk(error) => error.into(),
            })?;
        }
        Ok(())
    }

    /// The checked bytes of `unit`; `None` when that would have to wait.
    pub(crate) fn read_unit(
        &self,
        disk: &dyn Disk,
        unit: &Unit,
        access: Access,
    ) -> Result<Option<Vec<u8>>, ReadFault> {
        let Some(log) = self.open_log(disk, access)? else {
            return Ok(None);
        };
        match read_exact(&*log, u64::from(unit.position), unit.size as usize, access)? {
            Some(bytes) if unit.is_valid(&bytes) => Ok(Some(bytes)),
            // Short reads come back as too few bytes: what was written is not there any more.
            Some(_) => Err(self.note_corrupt_unit(unit)),
            None if access == Access::Wait => Err(self.note_corrupt_unit(unit)),
            None => Ok(None),
        }
    }
}

/// Makes units again from the batches of a segment, a stretch at a time.
#[derive(Debug)]
pub(crate) struct Rebuild {
    base_offset: Offset,
    walk: Walk,
    chunk_size: usize,
}

/// Why units cannot be made.
#[derive(Debug)]
pub(crate) enum RebuildFault {
    /// No batch, or not the next one.
    Broken(BrokenLink),
    /// The disk refused.
    Disk(DiskError),
}

impl Rebuild {
    /// Of what lies behind `units` in the segment that begins with `base_offset`.
    pub(crate) fn behind(units: &Units, base_offset: Offset) -> Rebuild {
        let next_offset = units.list().last().map_or(base_offset, |unit| {
            base_offset.plus(i64::from(unit.last_delta) + 1)
        });
        Rebuild {
            base_offset,
            walk: Walk {
                position: units.end_position(),
                next_offset,
                epoch: None,
            },
            chunk_size: REBUILD_CHUNK_SIZE,
        }
    }

    /// Its first batch is of `epoch` or a later one.
    pub(crate) fn not_before(mut self, epoch: Option<LeaderEpoch>) -> Rebuild {
        self.walk.epoch = self.walk.epoch.max(epoch);
        self
    }

    /// Where the next batch begins in offsets.
    pub(crate) fn next_offset(&self) -> Offset {
        self.walk.next_offset
    }

    /// The epoch of the last batch.
    pub(crate) fn last_epoch(&self) -> Option<LeaderEpoch> {
        self.walk.epoch
    }

    /// Reads the next stretch below `size` and adds its units. The stretch is larger the next time when not even
    /// one batch was in it.
    pub(crate) fn step(
        &mut self,
        log: &dyn DiskFile,
        units: &mut Units,
        size: u32,
    ) -> Result<(), RebuildFault> {
        let start = self.walk.position;
        let rest = (size - start) as usize;
        let broken = |position| RebuildFault::Broken(BrokenLink { position });
        let bytes = read_exact(
            log,
            u64::from(start),
            self.chunk_size.min(rest),
            Access::Wait,
        )
        .map_err(RebuildFault::Disk)?
        .ok_or(broken(start))?;
        let mut batches: Vec<BatchView<'_>> = Vec::new();
        let end = self
            .walk
            .over(&bytes, |_, batch| batches.push(batch))
            .map_err(RebuildFault::Broken)?;
        for unit in sidecar::cut(self.base_offset, start, batches.iter().map(flushed)) {
            units.push(unit);
        }
        self.chunk_size = REBUILD_CHUNK_SIZE;
        if let WalkEnd::Needs(needed) = end {
            if ((size - self.walk.position) as usize) < needed {
                return Err(broken(self.walk.position));
            }
            self.chunk_size = self.chunk_size.max(needed);
        }
        Ok(())
    }
}

/// What the sidecar needs to know of a batch.
pub(crate) fn flushed<'a>(batch: &BatchView<'a>) -> FlushedBatch<'a> {
    FlushedBatch {
        bytes: batch.bytes(),
        base_offset: batch.base_offset(),
        last_offset: batch.last_offset(),
        max_timestamp: batch.max_timestamp(),
        sums: None,
    }
}

/// `size` bytes from `position` on. `None`: it would have to wait, or (when waiting) the file ends before.
pub(crate) fn read_exact(
    file: &dyn DiskFile,
    position: u64,
    size: usize,
    access: Access,
) -> Result<Option<Vec<u8>>, DiskError> {
    let mut bytes = vec![0; size];
    let Some(filled) = read_into(file, position, &mut bytes, access)? else {
        return Ok(None);
    };
    if filled < size && access == Access::Wait {
        return Ok(None);
    }
    // The caller compares sizes; a file that ends early is damage, not a wait.
    bytes.truncate(filled);
    Ok(Some(bytes))
}

/// Reads from `position` on until `buf` is full or the file ends; gives how many bytes were read. `None`: it would
/// have to wait.
pub(crate) fn read_into(
    file: &dyn DiskFile,
    position: u64,
    buf: &mut [u8],
    access: Access,
) -> Result<Option<usize>, DiskError> {
    let mut filled = 0;
    while filled < buf.len() {
        let rest = &mut buf[filled..];
        let at = position + filled as u64;
        let count = match access {
            Access::Try => match file.try_read_at(at, rest)? {
                Some(count) => count,
                None => return Ok(None),
            },
            Access::Wait => file.read_at(at, rest)?,
        };
        if count == 0 {
            break;
        }
        filled += count;
    }
    Ok(Some(filled))
}
