use super::cache::FileCache;
use super::health::Health;
use crate::disk::{Disk, DiskError};
use crate::findings::{Finding, Findings};
use crate::segment::sidecar::Unit;
use crate::segment::{Access, ReadFault, SegmentFile, Units, read_into};
use std::sync::Arc;

/// What reading needs of a log directory, shared with every range that is handed out.
pub(crate) struct ReadShared {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) cache: FileCache,
    pub(crate) findings: Arc<Findings>,
    pub(crate) health: Arc<Health>,
}

impl ReadShared {
    /// The device could not read: nothing on it is trusted any more.
    pub(crate) fn failed(&self, error: &DiskError) {
        let error = error.to_string();
        self.findings.note(Finding::Unreadable {
            error: error.clone(),
        });
        self.health.fail(error);
    }

    /// The units of a segment, from memory or, when allowed to wait, from its sidecar.
    pub(crate) fn units(
        &self,
        file: &Arc<SegmentFile>,
        written_size: u32,
        access: Access,
    ) -> Result<Option<Arc<Units>>, ReadFault> {
        let units = file.load_units(&*self.disk, written_size, access)?;
        if units.is_some() {
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

    /// How many bytes to load at once from `at` on, where the range or an earlier piece of it ended: whole units, so
    /// that every byte is read and checked once. At most `max`, unless one unit is larger.
    pub fn piece_size(&self, at: usize, max: usize) -> usize {
        let (units, start) = self.units_from(at);
        let fitting = units
            .iter()
            .map(|unit| (unit.end_position() - start) as usize)
            .take_while(|size| *size <= max)
            .last();
        fitting.unwrap_or((units[0].end_position() - start) as usize)
    }

    /// Fills `buf`, which has the size of the piece at `at`, with checked bytes, without ever waiting for the device:
    /// `false` when it would have to.
    pub fn try_load(&self, at: usize, buf: &mut [u8]) -> Result<bool, ReadFault> {
        self.read(at, buf, Access::Try)
    }

    /// Fills `buf`, which has the size of the piece at `at`, with checked bytes. May wait for the device: for a
    /// reader's own thread.
    pub fn load(&self, at: usize, buf: &mut [u8]) -> Result<(), ReadFault> {
        let is_read = self.read(at, buf, Access::Wait)?;
        assert!(is_read, "waiting always reads");
        Ok(())
    }

    /// All of it, checked. May wait for the device.
    pub fn load_all(&self) -> Result<Vec<u8>, ReadFault> {
        let mut bytes = vec![0; self.size()];
        self.load(0, &mut bytes)?;
        Ok(bytes)
    }

    /// The units from `at` on, and where they begin in the segment.
    fn units_from(&self, at: usize) -> (&[Unit], u32) {
        let start = self.units[0].position + at as u32;
        let first = self.units.partition_point(|unit| unit.position < start);
        let units = &self.units[first..];
        assert!(
            units.first().is_some_and(|unit| unit.position == start),
            "a piece begins where one ended"
        );
        (units, start)
    }

    fn read(&self, at: usize, buf: &mut [u8], access: Access) -> Result<bool, ReadFault> {
        let read = self.read_checked(at, buf, access);
        if let Err(ReadFault::Disk(error)) = &read {
            self.shared.failed(error);
        }
        read
    }

    fn read_checked(&self, at: usize, buf: &mut [u8], access: Access) -> Result<bool, ReadFault> {
        let (units, start) = self.units_from(at);
        let Some(log) = self.file.open_log(&*self.shared.disk, access)? else {
            return Ok(false);
        };
        // It may have been closed since the range was planned.
        self.shared.cache.opened(&self.file);
        match read_into(&*log, u64::from(start), buf, access)? {
            Some(count) if count == buf.len() => {}
            // A file that ends early is damage, not a wait.
            Some(count) => {
                let end = start + count as u32;
                let cut = units.iter().find(|unit| end < unit.end_position());
                return Err(self.file.note_corrupt_unit(cut.unwrap_or(&units[0])));
            }
            None => return Ok(false),
        }
        let mut rest = &*buf;
        for unit in units {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at(rest.len().min(unit.size as usize));
            if !unit.is_valid(piece) {
                return Err(self.file.note_corrupt_unit(unit));
            }
            rest = behind;
        }
        assert!(rest.is_empty(), "a piece ends with a unit");
        Ok(true)
    }
}
