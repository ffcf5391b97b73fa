use super::file_range::FileRange;
use super::reader_memory::ReaderMemory;
use super::{LogDir, ReadError, ReadTicket};
use crate::partition::{Partition, PartitionState};
use crate::segment::sidecar::Unit;
use crate::segment::{Access, SegmentFile, Units};
use bytes::{Bytes, BytesMut};
use ottla_records::batches;
use ottla_types::{Offset, PartitionSlot};
use std::sync::Arc;

/// Batches of the tail below this size are copied together when a reader takes many: one part of a response costs
/// more than the copy.
const COALESCE_BATCH_SIZE: usize = 8 * 1024;
/// Size of what they are copied into.
const COALESCED_SIZE: usize = 128 * 1024;

/// How far and how much to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimit {
    /// Only batches wholly below it (exclusive): the high watermark or the last stable offset.
    pub end: Offset,
    /// At most so many bytes of whole batches ...
    pub bytes_max: usize,
    /// ... except that the first batch may be larger (KIP-74).
    pub at_least_one_batch: bool,
}

/// A piece of what was read.
#[derive(Clone, Debug)]
pub enum Part {
    /// In memory.
    Memory(Bytes),
    /// In a file, to be loaded piece by piece as the reader takes it.
    File(FileRange),
}

impl Part {
    /// Its bytes.
    pub fn size(&self) -> usize {
        match self {
            Part::Memory(bytes) => bytes.len(),
            Part::File(range) => range.size(),
        }
    }
}

/// Whole batches, in order.
#[derive(Clone, Debug)]
pub struct ReadPlan {
    /// The pieces; empty when there is nothing to read below the limit's end.
    pub parts: Vec<Part>,
    /// Sum of their sizes in bytes.
    pub size: usize,
    /// Offset after the last batch; where reading began when there is none.
    pub next_offset: Offset,
}

impl ReadPlan {
    fn empty(at: Offset) -> ReadPlan {
        ReadPlan {
            parts: Vec::new(),
            size: 0,
            next_offset: at,
        }
    }

    fn push(&mut self, part: Part, next_offset: Offset) {
        self.size += part.size();
        self.next_offset = next_offset;
        self.parts.push(part);
    }
}

/// Where a read begins in a segment file.
struct FileStart {
    file: Arc<SegmentFile>,
    written_size: u32,
    /// Offset after what may be read from this segment.
    end: Offset,
    /// Where to go on when the segment has no batch at or above the offset.
    next: Offset,
}

enum Start {
    Memory(Vec<Bytes>, Offset),
    File(FileStart),
    Nothing,
}

impl LogDir {
    /// Whole batches from the one that holds `from` on. Never waits for the device: then the error is
    /// [`ReadError::WouldBlock`], and [`LogDir::finish_read`] does the same read on a thread that may wait.
    pub fn read(
        &self,
        slot: PartitionSlot,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<ReadPlan, ReadError> {
        self.read_with(slot, from, limit, Access::Try)
    }

    /// Like [`LogDir::read`], for threads that may wait.
    pub fn read_with(
        &self,
        slot: PartitionSlot,
        from: Offset,
        limit: ReadLimit,
        access: Access,
    ) -> Result<ReadPlan, ReadError> {
        let plan = self.plan(slot, from, limit, access);
        self.told(plan)
    }

    fn plan(
        &self,
        slot: PartitionSlot,
        from: Offset,
        limit: ReadLimit,
        access: Access,
    ) -> Result<ReadPlan, ReadError> {
        self.check_online()?;
        let partition = self.partition(slot).ok_or(ReadError::UnknownPartition)?;
        let mut at = from;
        loop {
            match self.read_start(&partition, at, limit)? {
                Start::Nothing => return Ok(ReadPlan::empty(from)),
                Start::Memory(batches, end) => {
                    return Ok(memory_plan(batches, end, &self.reader_memory));
                }
                Start::File(start) => {
                    let ticket = ReadTicket::Range { slot, from, limit };
                    let units = self
                        .reads
                        .units(&start.file, start.written_size, access)?
                        .ok_or_else(|| access.blocked(ticket))?;
                    let base = start.file.base_offset();
                    let first = units
                        .find(base, at)
                        .filter(|first| units.list()[*first].position < start.written_size);
                    let Some(first) = first else {
                        // Nothing at or above `at` in this segment: its end was compacted away.
                        at = start.next;
                        continue;
                    };
                    let plan = self.file_plan(&start, &units, first, at, limit, access)?;
                    match plan {
                        None => return Err(access.blocked(ticket)),
                        // What is left of the last unit ends below `at`: the rest was cut off.
                        Some(plan) if plan.parts.is_empty() && at < plan.next_offset => {
                            at = plan.next_offset;
                        }
                        Some(plan) => return Ok(plan),
                    }
                }
            }
        }
    }

    /// Carries out a read that would have had to wait; waits.
    pub fn finish_read(&self, ticket: ReadTicket) -> Result<Option<ReadPlan>, ReadError> {
        match ticket {
            ReadTicket::Range { slot, from, limit } => {
                self.read_with(slot, from, limit, Access::Wait).map(Some)
            }
            ReadTicket::Timestamp { .. } | ReadTicket::MaxTimestamp { .. } => Ok(None),
        }
    }

    fn read_start(
        &self,
        partition: &Partition,
        from: Offset,
        limit: ReadLimit,
    ) -> Result<Start, ReadError> {
        let mut state = partition.lock();
        if state.is_gone() {
            return Err(ReadError::UnknownPartition);
        }
        let (log_start, end) = (state.log_start, state.appended_end());
        if from < log_start || end < from {
            return Err(ReadError::OutOfRange { log_start, end });
        }
        let end = end.min(limit.end);
        if end <= from {
            return Ok(Start::Nothing);
        }
        if state.written_end() <= from {
            let limit = ReadLimit {
                bytes_max: self.reader_memory.portion(limit.bytes_max),
                ..limit
            };
            let (batches, next) = tail_batches(&state, from, limit);
            return Ok(Start::Memory(batches, next));
        }
        state.note_file_read();
        let Some(index) = state.segment_index(from) else {
            // What damage left of it is not sound.
            let end = state.appended_end();
            return Err(ReadError::OutOfRange { log_start, end });
        };
        let next = state.segment_end(index);
        let written_end = state.written_end();
        Ok(Start::File(FileStart {
            file: state.segment_file(partition.id(), index),
            written_size: state.segments[index].written_size,
            end: end.min(next).min(written_end),
            next: next.min(written_end),
        }))
    }

    /// What a fetch gets from the segment, beginning with the unit at `first`.
    fn file_plan(
        &self,
        start: &FileStart,
        units: &Units,
        first: usize,
        from: Offset,
        limit: ReadLimit,
        access: Access,
    ) -> Result<Option<ReadPlan>, ReadError> {
        let file = &start.file;
        let base = file.base_offset();
        let corrupt = file.corrupt_from(units.list()[first].position);
        let mut plan = ReadPlan::empty(from);
        let mut index = first;
        let group = group_of(units, first);
        let is_partial = |group: &[Unit]| {
            let size: usize = group.iter().map(|unit| unit.size as usize).sum();
            let first_offset = base.plus(i64::from(group[0].base_delta));
            let end = base.plus(i64::from(group[0].last_delta) + 1);
            let is_cut = start.written_size < group[group.len() - 1].end_position();
            first_offset < from || limit.bytes_max < size || start.end < end || is_cut
        };
        if group.iter().any(|unit| Some(unit.position) == corrupt) {
            return Err(file.note_corrupt(corrupt.expect("just compared")).into());
        }
        if is_partial(group) && group.len() == 1 {
            // Where batches begin and end inside a unit only its bytes tell.
            let Some(bytes) = file.read_unit(&*self.reads.disk, &group[0], access)? else {
                return Ok(None);
            };
            // A unit may reach beyond what is left of the file after its end was cut off: batches behind it are gone.
            let whole = bytes
                .len()
                .min((start.written_size - group[0].position) as usize);
            let (from_byte, to_byte, next) = cut_batches(&bytes[..whole], from, start.end, limit);
            let has_more = || {
                let mut left = batches(&bytes[..whole]);
                left.any(|batch| batch.is_ok_and(|it| from <= it.last_offset()))
            };
            if whole < bytes.len() && !has_more() {
                return Ok(Some(ReadPlan::empty(start.next)));
            }
            if from_byte < to_byte {
                // With all of the unit: that is what takes memory.
                let unit = self.reader_memory.held(Bytes::from(bytes));
                plan.push(Part::Memory(unit.slice(from_byte..to_byte)), next);
            }
            if to_byte < whole {
                return Ok(Some(plan));
            }
            index += 1;
        } else if is_partial(group) {
            // One large batch: as a whole or not at all.
            let end = base.plus(i64::from(group[0].last_delta) + 1);
            if start.end < end || !limit.at_least_one_batch {
                return Ok(Some(plan));
            }
            let range = FileRange::new(Arc::clone(&self.reads), Arc::clone(file), group);
            plan.push(Part::File(range), end);
            index += group.len();
        }
        let (run_start, mut run_size, mut next) = (index, 0, plan.next_offset);
        while index < units.list().len() {
            let group = group_of(units, index);
            let size: usize = group.iter().map(|unit| unit.size as usize).sum();
            let end = base.plus(i64::from(group[0].last_delta) + 1);
            let is_corrupt = group.iter().any(|unit| Some(unit.position) == corrupt);
            let is_beyond = start.end < end || limit.bytes_max < plan.size + run_size + size;
            let is_cut = start.written_size < group[group.len() - 1].end_position();
            if is_corrupt || is_beyond || is_cut {
                break;
            }
            run_size += size;
            next = end;
            index += group.len();
        }
        if run_size > 0 {
            let units = &units.list()[run_start..index];
            let range = FileRange::new(Arc::clone(&self.reads), Arc::clone(file), units);
            plan.push(Part::File(range), next);
        }
        Ok(Some(plan))
    }
}

/// The units of the batch or batches that the unit at `index` belongs to.
fn group_of(units: &Units, index: usize) -> &[Unit] {
    &units.list()[index..index + units.pieces_count(index)]
}

/// The stretch of whole batches in `bytes` that the reader may have, and the offset after it.
fn cut_batches(
    bytes: &[u8],
    from: Offset,
    end: Offset,
    limit: ReadLimit,
) -> (usize, usize, Offset) {
    let (mut first, mut last, mut next) = (None, 0, from);
    let mut position = 0;
    for batch in batches(bytes) {
        let batch = batch.expect("the unit's checksum was right");
        let (size, batch_end) = (batch.size_in_bytes(), batch.last_offset().next());
        if from < batch_end {
            let begin = *first.get_or_insert(position);
            let fits = position + size - begin <= limit.bytes_max;
            let is_first_allowed = begin == position && limit.at_least_one_batch;
            if end < batch_end || !(fits || is_first_allowed) {
                break;
            }
            last = position + size;
            next = batch_end;
        }
        position += size;
    }
    (first.unwrap_or(0).min(last), last, next)
}

fn tail_batches(state: &PartitionState, from: Offset, limit: ReadLimit) -> (Vec<Bytes>, Offset) {
    let (mut batches, mut size, mut next) = (Vec::new(), 0, from);
    for batch in state.tail.from(from) {
        let is_first_allowed = batches.is_empty() && limit.at_least_one_batch;
        let fits = size + batch.bytes.len() <= limit.bytes_max;
        if limit.end <= batch.last_offset || !(fits || is_first_allowed) {
            break;
        }
        size += batch.bytes.len();
        next = batch.last_offset.next();
        batches.push(batch.bytes.clone());
    }
    (batches, next)
}

fn memory_plan(batches: Vec<Bytes>, next_offset: Offset, memory: &ReaderMemory) -> ReadPlan {
    let mut plan = ReadPlan::empty(next_offset);
    let mut push = |bytes: Bytes| plan.push(Part::Memory(memory.held(bytes)), next_offset);
    let mut run = BytesMut::new();
    let is_worth_it = batches.len() > 4;
    for bytes in batches {
        if is_worth_it && bytes.len() < COALESCE_BATCH_SIZE {
            if run.capacity() == 0 {
                run.reserve(COALESCED_SIZE);
            }
            run.extend_from_slice(&bytes);
            if COALESCED_SIZE - COALESCE_BATCH_SIZE < run.len() {
                push(std::mem::take(&mut run).freeze());
            }
            continue;
        }
        if !run.is_empty() {
            push(std::mem::take(&mut run).freeze());
        }
        push(bytes);
    }
    if !run.is_empty() {
        push(run.freeze());
    }
    plan
}
