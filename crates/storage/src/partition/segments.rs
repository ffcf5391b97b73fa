use super::{NO_TIMESTAMP, PartitionState, Segment, TailBatch};
use crate::segment::SegmentFile;
use ottla_types::{Lsn, Offset, Timestamp, TopicPartition};
use std::sync::Arc;

/// The segments: when one begins, which one an offset lies in, and what compaction puts in their place.
impl PartitionState {
    /// Size in bytes of the active segment, what is in the tail included.
    pub(crate) fn active_size(&self) -> u32 {
        self.segments.last().map_or(0, |active| active.size)
    }

    /// Whether a batch must go into a new segment (Kafka's `LogSegment.shouldRoll`).
    pub(crate) fn must_roll(
        &self,
        size: usize,
        last_offset: Offset,
        max_timestamp: Timestamp,
        now: Timestamp,
    ) -> bool {
        let Some(active) = self.segments.last() else {
            return true;
        };
        if is_beyond_reach(active.base_offset, last_offset) {
            return true;
        }
        if active.size == 0 {
            return false;
        }
        let room = u64::from(self.config.segment_bytes).saturating_sub(size as u64);
        let waited = active.waited_ms(max_timestamp, now);
        room < u64::from(active.size)
            || self.config.roll_after_ms() < waited
            || self.index_is_full(active)
    }

    /// Where the segment begins that is rolled for the batch `base_offset..=last_offset`: at the end of the log, unless
    /// so many offsets are left out between that and the batch that they do not fit a segment.
    pub(crate) fn roll_offset(&self, base_offset: Offset, last_offset: Offset) -> Offset {
        let end = self.appended_end();
        match is_beyond_reach(end, last_offset) {
            true => base_offset,
            false => end,
        }
    }

    fn index_is_full(&self, active: &Segment) -> bool {
        let units = active.file.as_ref().and_then(|file| file.units());
        let entries_max = self.config.segment_index_bytes / 12;
        units.is_some_and(|units| entries_max.max(1) <= units.list().len() as u32)
    }

    /// Begins a new segment at `base`, at the end of the log or beyond it: then it goes on there.
    pub(crate) fn roll(&mut self, base: Offset) {
        self.skip_to(base);
        self.segments.push(Segment::empty(base));
    }

    /// From `base` on, where a batch of the tail begins, the log lies in a segment of its own: the one it lay in takes
    /// nothing any more. Returns false, and changes nothing, when no batch of the tail begins there inside a segment.
    pub(crate) fn split_segment(&mut self, base: Offset) -> bool {
        let Some(index) = self.segment_index(base) else {
            return false;
        };
        let (start, end) = (self.segments[index].base_offset, self.segment_end(index));
        let mut moved = self.tail.from(base).peekable();
        if start == base || moved.peek().is_none_or(|first| first.base_offset != base) {
            return false;
        }
        let mut new = Segment::empty(base);
        for batch in moved.take_while(|batch| batch.base_offset < end) {
            new.push(batch.bytes.len(), batch.max_timestamp, batch.appended_at);
        }
        let stays = |batch: &&TailBatch| (start..base).contains(&batch.base_offset);
        let kept = self.tail.batches().filter(stays);
        let largest = kept.map(|batch| batch.max_timestamp).max();
        let old = &mut self.segments[index];
        old.size -= new.size;
        old.largest_timestamp = largest
            .unwrap_or(NO_TIMESTAMP)
            .max(old.written_largest_timestamp);
        self.segments.insert(index + 1, new);
        true
    }

    /// Index of the segment that `offset` lies in.
    pub(crate) fn segment_index(&self, offset: Offset) -> Option<usize> {
        self.segments
            .partition_point(|segment| segment.base_offset <= offset)
            .checked_sub(1)
    }

    /// Where the segment at `index` ends: the next one's base, or the end of the log.
    pub(crate) fn segment_end(&self, index: usize) -> Offset {
        self.segments
            .get(index + 1)
            .map_or(self.appended_end(), |next| next.base_offset)
    }

    /// The file of the segment at `index`.
    pub(crate) fn segment_file(&mut self, id: TopicPartition, index: usize) -> Arc<SegmentFile> {
        let dir = self.dir.clone().unwrap_or_else(|| Arc::from(""));
        let findings = &self.findings;
        let segment = &mut self.segments[index];
        let base_offset = segment.base_offset;
        let new = || {
            let findings = Arc::clone(findings);
            Arc::new(SegmentFile::new(id, dir, base_offset, findings))
        };
        Arc::clone(segment.file.get_or_insert_with(new))
    }

    /// Whether `file` is the one of a segment.
    pub(crate) fn holds(&self, file: &Arc<SegmentFile>) -> bool {
        let is_it = |it: &Segment| it.file.as_ref().is_some_and(|it| Arc::ptr_eq(it, file));
        self.segments.iter().any(is_it)
    }

    /// Puts `new` in the place of the segments with base offsets in `base..end`, which are returned.
    pub(crate) fn replace_segments(
        &mut self,
        base: Offset,
        end: Offset,
        new: Vec<Segment>,
    ) -> Vec<Segment> {
        let first = self.segments.partition_point(|it| it.base_offset < base);
        let behind = self.segments.partition_point(|it| it.base_offset < end);
        self.swaps_count += 1;
        self.segments
            .splice(first..behind.max(first), new)
            .collect()
    }

    /// The segments as they are for a journal that is durable up to `durable`: without a swap that it does not know.
    pub(crate) fn durable_segments(&self, durable: Lsn) -> Vec<Segment> {
        let Some(swap) = self.swap.as_ref().filter(|swap| durable < swap.lsn) else {
            return self.segments.clone();
        };
        let below = self.segments.iter().filter(|it| it.base_offset < swap.base);
        let above = self.segments.iter().filter(|it| swap.end <= it.base_offset);
        below.chain(&swap.old).chain(above).cloned().collect()
    }

    /// Likewise up to where the log is compacted.
    pub(crate) fn durable_cleaned_end(&self, durable: Lsn) -> Offset {
        let undurable = self.swap.as_ref().filter(|swap| durable < swap.lsn);
        undurable.map_or(self.cleaned_end, |swap| swap.cleaned_before)
    }

    /// Bytes of all segments, the tail included.
    pub(crate) fn size(&self) -> u64 {
        self.segments
            .iter()
            .map(|segment| u64::from(segment.size))
            .sum()
    }

    /// The largest timestamp of the log's records; `None` when none has one.
    pub(crate) fn largest_timestamp(&self) -> Option<Timestamp> {
        let largest = self
            .segments
            .iter()
            .map(|segment| segment.largest_timestamp);
        largest.max().filter(|largest| NO_TIMESTAMP < *largest)
    }
}

/// Whether a segment that begins at `base` cannot hold a batch that ends with `last_offset`.
fn is_beyond_reach(base: Offset, last_offset: Offset) -> bool {
    i32::MAX as u64 <= base.distance_to(last_offset)
}
