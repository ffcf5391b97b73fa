use crate::cleaner::{Cleaned, RoundFilter, Rules};
use crate::disk::{DiskError, DiskFile, OpenMode};
use crate::log_dir::LogDir;
use crate::log_dir::work::index_bytes;
use crate::partition::{NO_TIMESTAMP, Segment};
use crate::planted::PlantedBug;
use crate::segment::names::{self, FileKind};
use crate::segment::sidecar::{self, FlushedBatch};
use crate::segment::{Units, UnitsCursor};
use ottla_records::{BatchView, RecordsError, write_empty_batch};
use ottla_types::{Lsn, Offset, Timestamp};
use std::path::PathBuf;
use std::sync::Arc;

/// So many bytes are written at once.
const WRITE_BYTES: usize = 1 << 20;

/// A segment that compaction writes, under names of its own: `<base>.<kind>.<token>.cleaned`.
pub(super) struct Draft {
    pub(super) token: Lsn,
    pub(super) segment: Segment,
    dir: Arc<str>,
    pub(super) log: Arc<dyn DiskFile>,
    /// Batches that are not written yet.
    buffer: Vec<u8>,
    /// The header of the last batch, if nothing of it was left: it stays when nothing comes behind it, so that between
    /// segments no offsets are without a file. Otherwise empty.
    end: Vec<u8>,
    pub(super) units: Units,
    /// Something differs from what was read.
    pub(super) is_changed: bool,
    pub(super) records_kept: u64,
    pub(super) records_removed: u64,
}

impl Draft {
    /// An empty one that takes the place of a segment with base offset `base`.
    pub(super) fn create(
        dir: &LogDir,
        name: &Arc<str>,
        base: Offset,
        token: Lsn,
    ) -> Result<Draft, DiskError> {
        let path = names::cleaned(name, base, FileKind::Log, token);
        let log = dir.disk.open(&path, OpenMode::Create)?;
        log.set_len(0)?;
        Ok(Draft {
            token,
            segment: Segment::empty(base),
            dir: Arc::clone(name),
            log,
            buffer: Vec::new(),
            end: Vec::new(),
            units: Units::default(),
            is_changed: false,
            records_kept: 0,
            records_removed: 0,
        })
    }

    /// Takes over what the rules leave of `batch`.
    pub(super) fn add(
        &mut self,
        filter: &mut RoundFilter,
        rules: &Rules,
        batch: &BatchView<'_>,
    ) -> Result<(), RecordsError> {
        let start = self.buffer.len();
        let cleaned = filter.clean(rules, batch, &mut self.buffer)?;
        // An empty batch that goes was that of the end before, and changes nothing as long as it stays that.
        let was_empty = cleaned == Cleaned::Gone && batch.records_count() == 0;
        self.is_changed |= cleaned != Cleaned::Whole && !was_empty;
        self.is_changed |= !self.end.is_empty();
        self.end.clear();
        if cleaned == Cleaned::Gone {
            write_empty_batch(batch, &mut self.end);
        }
        let written = &self.buffer[start..];
        let mut kept = 0;
        if !written.is_empty() {
            let view = BatchView::parse(written).expect("it was just written");
            kept = view.records_count();
            // No record has the timestamp that an empty batch still states.
            let max_timestamp = if kept == 0 {
                NO_TIMESTAMP
            } else {
                view.max_timestamp()
            };
            self.segment
                .push(written.len(), max_timestamp, NO_TIMESTAMP);
        }
        self.records_kept += u64::from(kept);
        self.records_removed += u64::from(batch.records_count() - kept);
        Ok(())
    }

    /// Nothing comes behind what was added.
    pub(super) fn close(&mut self) {
        if !self.end.is_empty() {
            self.segment
                .push(self.end.len(), NO_TIMESTAMP, NO_TIMESTAMP);
            self.buffer.append(&mut self.end);
        }
    }

    /// Whether enough has gathered for a write.
    pub(super) fn wants_write(&self) -> bool {
        WRITE_BYTES <= self.buffer.len()
    }

    /// Writes what has gathered; returns how many bytes.
    pub(super) fn write(&mut self) -> Result<usize, DiskError> {
        let size = self.buffer.len();
        if size == 0 {
            return Ok(0);
        }
        let position = self.units.end_position();
        self.log.write_at(u64::from(position), &[&self.buffer])?;
        let batches = ottla_records::batches(&self.buffer).map(|batch| {
            let batch = batch.expect("batches were just put there");
            FlushedBatch {
                bytes: batch.bytes(),
                base_offset: batch.base_offset(),
                last_offset: batch.last_offset(),
                max_timestamp: batch.max_timestamp(),
                sums: None,
            }
        });
        for unit in sidecar::cut(self.segment.base_offset, position, batches) {
            self.units.push(unit);
        }
        self.buffer.clear();
        Ok(size)
    }

    /// Syncs the log, or writes and syncs one of the files that follow from it.
    pub(super) fn finish(&self, dir: &LogDir, kind: FileKind) -> Result<(), DiskError> {
        let is_synced = !dir.options.planted.is(PlantedBug::SwapBeforeSync);
        if kind == FileKind::Log {
            return if is_synced {
                self.log.sync_data()
            } else {
                Ok(())
            };
        }
        let base = self.segment.base_offset;
        let bytes = match kind {
            FileKind::Sums => sidecar::encode(base, self.units.list()),
            FileKind::OffsetIndex | FileKind::TimeIndex | FileKind::Log | FileKind::Snapshot => {
                index_bytes(UnitsCursor::default(), self.units.list(), kind)
            }
        };
        let path = names::cleaned(&self.dir, base, kind, self.token);
        let file = dir.disk.open(&path, OpenMode::Create)?;
        file.write_at(0, &[&bytes])?;
        file.set_len(bytes.len() as u64)?;
        if is_synced { file.sync_data() } else { Ok(()) }
    }

    /// The segment as it will be: `replaced` are those that it stands for.
    pub(super) fn segment(&self, replaced: &[Segment]) -> Segment {
        let first = replaced.first().expect("a group has segments");
        let last = replaced.last().expect("a group has segments");
        let size = self.segment.size;
        let largest = self.segment.largest_timestamp;
        Segment {
            size,
            written_size: size,
            synced_size: size,
            created: first.created,
            modified: last.modified,
            first_timestamp: first_of(first.first_timestamp, self.segment.first_timestamp),
            written_largest_timestamp: largest,
            ..self.segment.clone()
        }
    }

    /// Where its files are.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let base = self.segment.base_offset;
        FileKind::OF_SEGMENT
            .map(|kind| names::cleaned(&self.dir, base, kind, self.token))
            .to_vec()
    }
}

fn first_of(one: Timestamp, other: Timestamp) -> Timestamp {
    if one.as_millis() >= 0 { one } else { other }
}
