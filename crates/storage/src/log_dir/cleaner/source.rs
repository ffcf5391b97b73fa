use crate::log_dir::LogDir;
use crate::log_dir::file_range::FileRange;
use crate::partition::{Partition, Segment};
use crate::segment::{Access, ReadFault, SegmentFile, Units};
use ottla_types::Offset;
use std::sync::Arc;

/// At most so many bytes are read at once, unless one batch is larger.
const READ_BYTES_MAX: u32 = 1 << 20;

/// A segment that is compacted, as it was when the round began.
pub(in crate::log_dir) struct Source {
    pub(in crate::log_dir) segment: Segment,
    pub(in crate::log_dir) file: Arc<SegmentFile>,
    /// Where it ended: the next one's base.
    pub(in crate::log_dir) end: Offset,
}

/// The segments of a log below `end`.
pub(in crate::log_dir) fn sources(partition: &Partition, end: Offset) -> Vec<Source> {
    let mut state = partition.lock();
    let count = state.segments.partition_point(|it| it.base_offset < end);
    let count = count.min(state.segments.len().saturating_sub(1));
    (0..count)
        .map(|index| Source {
            file: state.segment_file(partition.id(), index),
            segment: state.segments[index].clone(),
            end: state.segment_end(index),
        })
        .collect()
}

/// Reads the batches of one segment, in order.
pub(in crate::log_dir) struct Reader {
    file: Arc<SegmentFile>,
    size: u32,
    units: Option<Arc<Units>>,
    next: usize,
}

impl Reader {
    /// From the beginning of `source`.
    pub(in crate::log_dir) fn new(source: &Source) -> Reader {
        Reader {
            file: Arc::clone(&source.file),
            size: source.segment.size,
            units: None,
            next: 0,
        }
    }

    /// The next whole batches, checked; `None` at the end. Units that hold nothing at or above `from` are passed over.
    pub(in crate::log_dir) fn next(
        &mut self,
        dir: &LogDir,
        from: Offset,
    ) -> Result<Option<Vec<u8>>, ReadFault> {
        if self.size == 0 {
            return Ok(None);
        }
        let units = match &self.units {
            Some(units) => Arc::clone(units),
            None => {
                let units = dir.reads.units(&self.file, self.size, Access::Wait)?;
                let units = units.expect("waiting always reads");
                self.next = units
                    .find(self.file.base_offset(), from.max(self.file.base_offset()))
                    .unwrap_or(units.list().len());
                self.units = Some(Arc::clone(&units));
                units
            }
        };
        let list = units.list();
        let Some(first) = list.get(self.next) else {
            return Ok(None);
        };
        let mut end = self.next;
        while end < list.len() {
            let group_end = end + units.pieces_count(end);
            let size = list[group_end - 1].end_position() - first.position;
            if end > self.next && READ_BYTES_MAX < size {
                break;
            }
            end = group_end;
        }
        let range = FileRange::new(
            Arc::clone(&dir.reads),
            Arc::clone(&self.file),
            &list[self.next..end],
        );
        self.next = end;
        range.load_all().map(Some)
    }
}
