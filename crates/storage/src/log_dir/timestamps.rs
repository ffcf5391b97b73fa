use super::{LogDir, ReadError, ReadTicket};
use crate::partition::{NO_TIMESTAMP, Partition};
use crate::segment::sidecar::Unit;
use crate::segment::{Access, ReadFault, SegmentFile, Units};
use bytes::Bytes;
use ottla_records::{BatchView, Decompressor, batches};
use ottla_types::{LeaderEpoch, Offset, PartitionSlot, Timestamp};
use std::sync::Arc;

/// A record found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// The epoch that wrote it.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// What a search looks for.
#[derive(Clone, Copy)]
enum Wanted {
    /// The first record at or after this time.
    FirstFrom(Timestamp),
    /// The first record with exactly this, the largest time.
    Largest(Timestamp),
}

impl Wanted {
    fn timestamp(self) -> Timestamp {
        match self {
            Wanted::FirstFrom(timestamp) | Wanted::Largest(timestamp) => timestamp,
        }
    }
}

/// Where the log may hold a record that is looked for.
struct Place {
    file: Arc<SegmentFile>,
    written_size: u32,
}

impl LogDir {
    /// The first record with a timestamp at or above `target`, as the whole log knows it; `None` when there is
    /// none. The caller compares with high watermark or last stable offset.
    pub fn offset_for_timestamp(
        &self,
        slot: PartitionSlot,
        target: Timestamp,
        access: Access,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let ticket = ReadTicket::Timestamp { slot, target };
        let partition = self.partition(slot).ok_or(ReadError::UnknownPartition)?;
        let found = self.find_record(&partition, Wanted::FirstFrom(target), access, ticket);
        self.told(found)
    }

    /// The first record with the largest timestamp of the log; `None` when no record has one.
    pub fn max_timestamp(
        &self,
        slot: PartitionSlot,
        access: Access,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        let ticket = ReadTicket::MaxTimestamp { slot };
        let partition = self.partition(slot).ok_or(ReadError::UnknownPartition)?;
        let Some(largest) = partition.lock().largest_timestamp() else {
            return Ok(None);
        };
        let found = self.find_record(&partition, Wanted::Largest(largest), access, ticket);
        self.told(found)
    }

    fn find_record(
        &self,
        partition: &Partition,
        wanted: Wanted,
        access: Access,
        ticket: ReadTicket,
    ) -> Result<Option<TimestampOffset>, ReadError> {
        self.check_online()?;
        let (places, tail, log_start) = places(partition, wanted)?;
        for place in places {
            let units = self
                .reads
                .units(&place.file, place.written_size, access)?
                .ok_or_else(|| access.blocked(ticket))?;
            let mut from = 0;
            while let Some(index) = next_unit(&units, from, wanted) {
                let group = &units.list()[index..index + units.pieces_count(index)];
                let bytes = self
                    .read_group(&place.file, group, access)?
                    .ok_or_else(|| access.blocked(ticket))?;
                if let Some(found) = find_in(&bytes, wanted, log_start) {
                    return Ok(Some(found));
                }
                from = index + group.len();
            }
        }
        Ok(tail
            .iter()
            .find_map(|bytes| find_in(bytes, wanted, log_start)))
    }

    fn read_group(
        &self,
        file: &SegmentFile,
        group: &[Unit],
        access: Access,
    ) -> Result<Option<Vec<u8>>, ReadFault> {
        let mut whole = Vec::new();
        for unit in group {
            let Some(bytes) = file.read_unit(&*self.reads.disk, unit, access)? else {
                return Ok(None);
            };
            if group.len() == 1 {
                return Ok(Some(bytes));
            }
            whole.extend_from_slice(&bytes);
        }
        Ok(Some(whole))
    }
}

fn next_unit(units: &Units, from: usize, wanted: Wanted) -> Option<usize> {
    let target = wanted.timestamp();
    let rest = units.list().get(from..)?;
    rest.iter()
        .position(|unit| target <= unit.max_timestamp && !unit.continues)
        .map(|index| from + index)
}

/// The segments and tail batches that may hold the record, in offset order, and the log's start.
fn places(
    partition: &Partition,
    wanted: Wanted,
) -> Result<(Vec<Place>, Vec<Bytes>, Offset), ReadError> {
    let mut state = partition.lock();
    if state.is_gone() {
        return Err(ReadError::UnknownPartition);
    }
    let target = wanted.timestamp();
    let mut places = Vec::new();
    for index in 0..state.segments.len() {
        let segment = &state.segments[index];
        let has_it = target <= segment.largest_timestamp && segment.written_size > 0;
        let is_below_start = state.segment_end(index) <= state.log_start;
        if has_it && !is_below_start {
            let written_size = segment.written_size;
            let file = state.segment_file(partition.id(), index);
            places.push(Place { file, written_size });
        }
    }
    let tail = state
        .tail
        .batches()
        .filter(|batch| target <= batch.max_timestamp && NO_TIMESTAMP < batch.max_timestamp)
        .map(|batch| batch.bytes.clone())
        .collect();
    Ok((places, tail, state.log_start))
}

/// The record in these batches, if it is there.
fn find_in(bytes: &[u8], wanted: Wanted, log_start: Offset) -> Option<TimestampOffset> {
    let mut decompressor = Decompressor::default();
    batches(bytes)
        .map(|batch| batch.expect("stored batches are checked when they are read"))
        .filter(|batch| wanted.timestamp() <= batch.max_timestamp())
        .filter(|batch| log_start <= batch.last_offset())
        .find_map(|batch| find_in_batch(&batch, wanted, log_start, &mut decompressor))
}

fn find_in_batch(
    batch: &BatchView<'_>,
    wanted: Wanted,
    log_start: Offset,
    decompressor: &mut Decompressor,
) -> Option<TimestampOffset> {
    let target = wanted.timestamp();
    // Every record was read when the batch was validated; one that cannot be read now ends the search here.
    let records = batch.records(decompressor).ok()?;
    for record in records {
        let record = record.ok()?;
        if target <= record.timestamp && log_start <= record.offset {
            return Some(TimestampOffset {
                offset: record.offset,
                timestamp: record.timestamp,
                leader_epoch: batch.leader_epoch(),
            });
        }
    }
    None
}
