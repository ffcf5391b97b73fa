use super::{BATCH_OVERHEAD, PartitionState, Segment, TailBatch};
use crate::segment::SegmentFile;
use ottla_types::{Lsn, Offset, TopicPartition};
use std::sync::Arc;

/// A write below this many bytes goes through the page cache in any case: it is cheaper, and the device is not kept
/// busy with small writes.
const UNCACHED_SIZE_MIN: usize = 256 << 10;
/// After a read from a file so many writes of the partition go through the page cache: the reader is behind and
/// will come for them too.
const CACHED_WRITES: u8 = 16;

/// Batches to write to a segment file. Made under the lock, carried out without it.
#[derive(Debug)]
pub(crate) struct WritePlan {
    pub(crate) generation: u64,
    /// Goes through the page cache: it is small, or somebody reads from the files.
    pub(crate) is_cached: bool,
    pub(crate) segment_base: Offset,
    pub(crate) file: Arc<SegmentFile>,
    pub(crate) position: u32,
    pub(crate) is_verified: bool,
    /// What lies in the file behind `position` may be cut off.
    pub(crate) may_cut: bool,
    pub(crate) batches: Vec<TailBatch>,
}

impl WritePlan {
    /// Bytes to write.
    pub(crate) fn size(&self) -> u32 {
        self.batches
            .iter()
            .map(|batch| batch.bytes.len() as u32)
            .sum()
    }

    /// Offset after the last batch.
    pub(crate) fn end_offset(&self) -> Offset {
        let last = self.batches.last().expect("a plan has batches");
        last.last_offset.next()
    }
}

/// A segment file to sync.
#[derive(Debug)]
pub(crate) struct SyncPlan {
    pub(crate) generation: u64,
    pub(crate) segment_base: Offset,
    pub(crate) file: Arc<SegmentFile>,
    pub(crate) size: u32,
    pub(crate) end_offset: Offset,
}

/// From the tail into segment files. Planned and completed under the lock, carried out without it.
impl PartitionState {
    /// Where the part of the tail ends that may be written, for a journal that is durable up to `durable`. What comes
    /// behind a truncation waits until that is durable: no checkpoint could tell them apart, and a full journal waits
    /// for one.
    pub(crate) fn flushable_end(&self, durable: Lsn) -> Offset {
        match durable < self.truncate_lsn {
            true => self.truncated_to,
            false => self.appended_end(),
        }
    }

    /// Memory of that part of the tail that may be written now.
    pub(crate) fn flushable_memory(&self, durable: Lsn) -> usize {
        let end = self.flushable_end(durable);
        if end == self.appended_end() {
            return self.tail.memory();
        }
        let below = self.tail.batches();
        let below = below.take_while(|batch| batch.base_offset < end);
        below.map(|batch| batch.bytes.len() + BATCH_OVERHEAD).sum()
    }

    /// What may be flushed next: tail batches that begin below `end_max` and lie in one segment, up to about
    /// `bytes_max`.
    pub(crate) fn plan_write(
        &mut self,
        id: TopicPartition,
        bytes_max: usize,
        end_max: Offset,
    ) -> Option<WritePlan> {
        let first = self.tail.first()?;
        if end_max <= first.base_offset {
            return None;
        }
        let index = self
            .segment_index(first.base_offset)
            .expect("the tail lies in segments");
        let end = self.segment_end(index).min(end_max);
        let mut batches = Vec::new();
        let mut bytes = 0;
        for batch in self.tail.batches() {
            if end <= batch.base_offset || bytes_max <= bytes {
                break;
            }
            bytes += batch.bytes.len();
            batches.push(batch.clone());
        }
        let is_read = 0 < self.cached_writes;
        self.cached_writes = self.cached_writes.saturating_sub(1);
        Some(WritePlan {
            generation: self.generation,
            is_cached: is_read || bytes < UNCACHED_SIZE_MIN,
            segment_base: self.segments[index].base_offset,
            file: self.segment_file(id, index),
            position: self.segments[index].written_size,
            is_verified: self.segments[index].is_verified,
            may_cut: self.segments[index].is_own || self.lost().is_none(),
            batches,
        })
    }

    /// The bytes of `plan` are in the segment file. Returns the tail bytes freed; 0 when a truncation came
    /// between: then the file is cut before the next write.
    pub(crate) fn complete_write(&mut self, plan: &WritePlan) -> usize {
        if plan.generation != self.generation {
            self.distrust_files();
            let is_it = |segment: &&mut Segment| segment.base_offset == plan.segment_base;
            if let Some(segment) = self.segments.iter_mut().find(is_it) {
                segment.may_be_reserved = true;
            }
            return 0;
        }
        let index = self
            .segment_index(plan.segment_base)
            .expect("same generation, same segments");
        let segment = &mut self.segments[index];
        for batch in &plan.batches {
            let largest = &mut segment.written_largest_timestamp;
            *largest = (*largest).max(batch.max_timestamp);
        }
        self.segments[index].written_size += plan.size();
        self.segments[index].is_verified = true;
        self.segments[index].is_own = true;
        let end = plan.end_offset();
        self.tail.drop_below(end)
    }

    /// The files of the segment with this base offset hold what they should, or what others left there is elsewhere.
    pub(crate) fn own_file(&mut self, segment_base: Offset) {
        let is_it = |segment: &&mut Segment| segment.base_offset == segment_base;
        if let Some(segment) = self.segments.iter_mut().find(is_it) {
            segment.is_own = true;
        }
    }

    /// The files may hold more than they should: they are checked before the next write.
    pub(crate) fn distrust_files(&mut self) {
        for segment in &mut self.segments {
            segment.is_verified = false;
        }
    }

    /// Somebody reads what is not in the tail any more.
    pub(crate) fn note_file_read(&mut self) {
        self.cached_writes = CACHED_WRITES;
    }

    /// The oldest segment with bytes that wait for a sync.
    pub(crate) fn plan_sync(&mut self, id: TopicPartition) -> Option<SyncPlan> {
        let unsynced = |segment: &Segment| segment.synced_size < segment.written_size;
        let index = self.segments.iter().position(unsynced)?;
        let size = self.segments[index].written_size;
        let end_offset = self.segment_end(index).min(self.written_end());
        Some(SyncPlan {
            generation: self.generation,
            segment_base: self.segments[index].base_offset,
            file: self.segment_file(id, index),
            size,
            end_offset,
        })
    }

    /// If all that is written is synced, so is what was left out behind it: no sync is to come that would say so.
    pub(crate) fn pass_over_gap(&mut self) {
        let is_unsynced = |segment: &Segment| segment.synced_size < segment.written_size;
        if !self.segments.iter().any(is_unsynced) {
            self.synced_end = self.written_end();
        }
    }

    /// The bytes of `plan` are on the device. Returns false when a truncation came between.
    pub(crate) fn complete_sync(&mut self, plan: &SyncPlan) -> bool {
        if plan.generation != self.generation {
            return false;
        }
        let index = self
            .segment_index(plan.segment_base)
            .expect("same generation, same segments");
        let segment = &mut self.segments[index];
        segment.synced_size = segment.synced_size.max(plan.size);
        self.synced_end = self.synced_end.max(plan.end_offset);
        self.pass_over_gap();
        if self.synced_end == self.written_end() {
            self.pin = self.tail.first().map(|batch| batch.lsn);
            self.rewrites_count = 0;
            if self.pin.is_none() {
                self.rewritten = None;
            }
        }
        true
    }

    /// If the rewritten tail is durable, its old entries are not needed any more. Returns whether that is so.
    pub(crate) fn settle_rewrite(&mut self, durable: Lsn) -> bool {
        let Some(rewrite) = self.rewritten.filter(|rewrite| rewrite.lsn <= durable) else {
            return false;
        };
        self.rewritten = None;
        self.tail.moved_to(rewrite.lsn, rewrite.end);
        if self.written_end() == self.synced_end {
            self.pin = self.tail.first().map(|batch| batch.lsn);
        }
        true
    }

    /// A segment that is full and synced, and still has room reserved behind its end, or what a truncation cut off, or
    /// may have. The journal is durable up to `durable`.
    pub(crate) fn plan_trim(
        &mut self,
        id: TopicPartition,
        durable: Lsn,
    ) -> Option<(Arc<SegmentFile>, u32)> {
        if self.lost().is_some() {
            return None; // what is behind the end may be what was lost
        }
        if durable < self.truncate_lsn {
            return None; // what is behind the end comes back with a crash
        }
        let sealed_count = self.segments.len().saturating_sub(1);
        let mut sealed = self.segments[..sealed_count].iter();
        let index = sealed.position(|segment| {
            let allocated = segment
                .file
                .as_ref()
                .map_or(0, |file| file.allocated_size());
            let is_reserved = segment.may_be_reserved || segment.size < allocated;
            segment.synced_size == segment.size && is_reserved
        })?;
        Some((self.segment_file(id, index), self.segments[index].size))
    }

    /// Nothing lies behind the first `size` bytes of this segment any more. It may have been cut again since.
    pub(crate) fn trimmed(&mut self, base: Offset, size: u32) {
        let mut segments = self.segments.iter_mut();
        let is_it = |it: &&mut Segment| it.base_offset == base && it.size == size;
        if let Some(segment) = segments.find(is_it) {
            segment.may_be_reserved = false;
        }
    }

    /// After a restart: room may be reserved behind the segment that the checkpoint knew as the last with bytes, and
    /// behind all that came after it. Those before it were trimmed when they were synced, before a checkpoint said so.
    pub(crate) fn expect_reserved_room(&mut self) {
        let is_expected = |segment: &Segment| segment.may_be_reserved;
        let first = self.segments.iter().position(is_expected).unwrap_or(0);
        for segment in &mut self.segments[first..] {
            segment.may_be_reserved = true;
        }
    }
}
