use super::cache::FileCache;
use crate::disk::Disk;
use crate::segment::sidecar::Unit;
use crate::segment::{Access, ReadFault, SegmentFile, Units, read_exact};
use bytes::Bytes;
use std::sync::Arc;

/// What reading needs of a log directory, shared with every range that is handed out.
pub(crate) struct ReadShared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) cache: FileCache,
}

impl ReadShared {
    /// The units of a segment, from memory or, when allowed to wait, from its sidecar.
    pub(crate) fn units(
        &self,
        file: &Arc<SegmentFile>,
        written_size: u32,
        access: Access,
    ) -> Result<Option<Arc<Units>>, ReadFault> {
        let was_cold = file.units().is_none();
        let units = file.load_units(&*self.disk, written_size, access)?;
        if was_cold && units.is_some() {
            self.cache.opened(file);
        }
        Ok(units)
    }
}

/// Whole batches in a segment file: a stretch of units. It can be read as long as it is held, whatever retention
/// does meanwhile.
#[derive(Clone)]
pub struct FileRange {
    shared: Arc<ReadShared>,
    file: Arc<SegmentFile>,
    units: Arc<[Unit]>,
}

impl std::fmt::Debug for FileRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let position = self.units.first().map_or(0, |unit| unit.position);
        write!(
            f,
            "FileRange({:?} at {position}, {} bytes)",
            self.file,
            self.size()
        )
    }
}

impl FileRange {
    pub(crate) fn new(
        shared: Arc<ReadShared>,
        file: Arc<SegmentFile>,
        units: &[Unit],
    ) -> FileRange {
        assert!(!units.is_empty(), "a range has bytes");
        FileRange {
            shared,
            file,
            units: Arc::from(units),
        }
    }

    /// Its bytes.
    pub fn size(&self) -> usize {
        let first = self.units[0].position;
        let last = self.units.last().expect("a range has units");
        (last.end_position() - first) as usize
    }

    /// The checked bytes from `at` on, without ever waiting for the device: `None` when it would have to. At most
    /// `max` bytes, which is best 1 MiB: then every byte is read once.
    pub fn try_load(&self, at: usize, max: usize) -> Result<Option<Bytes>, ReadFault> {
        self.read(at, max, Access::Try)
    }

    /// The checked bytes from `at` on, at most `max`. May wait for the device: for a reader's own thread.
    pub fn load(&self, at: usize, max: usize) -> Result<Bytes, ReadFault> {
        let bytes = self.read(at, max, Access::Wait)?;
        Ok(bytes.expect("waiting always reads"))
    }

    fn read(&self, at: usize, max: usize, access: Access) -> Result<Option<Bytes>, ReadFault> {
        assert!(at < self.size(), "there is something behind `at`");
        let start = self.units[0].position + at as u32;
        let first = self
            .units
            .partition_point(|unit| unit.end_position() <= start);
        let from = self.units[first].position;
        let mut end = first + 1;
        while self
            .units
            .get(end)
            .is_some_and(|unit| (unit.end_position() - start) as usize <= max)
        {
            end += 1;
        }
        let units = &self.units[first..end];
        let size = (units[units.len() - 1].end_position() - from) as usize;
        let disk = &*self.shared.disk;
        let Some(log) = self.file.open_log(disk, access)? else {
            return Ok(None);
        };
        let bytes = match read_exact(&*log, u64::from(from), size, access)? {
            Some(bytes) => bytes,
            None if access == Access::Wait => return Err(self.file.note_corrupt(from)),
            None => return Ok(None),
        };
        for unit in units {
            let at = (unit.position - from) as usize;
            let piece = bytes.get(at..at + unit.size as usize).unwrap_or_default();
            if !unit.is_valid(piece) {
                return Err(self.file.note_corrupt(unit.position));
            }
        }
        let bytes = Bytes::from(bytes);
        let skipped = (start - from) as usize;
        let end = bytes.len().min(skipped + max);
        Ok(Some(bytes.slice(skipped..end)))
    }
}
