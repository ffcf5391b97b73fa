//! A partition's state in a checkpoint (docs/formats/partition-record.md has the table). Little endian.

use crate::leader_epochs::{EpochStart, LeaderEpochs};
use crate::partition::{LogConfig, NO_TIMESTAMP, PartitionState, Segment, Standing, Tail};
use crate::producer_state::{ProducerEntry, ProducerState, record};
use ottla_types::{LeaderEpoch, Lsn, Offset, Timestamp};
use std::sync::Arc;

const VERSION: u16 = 3;
/// Without the entry that the log began with.
const VERSION_2: u16 = 2;
/// Without the wall times of segments and without what compaction has done.
const VERSION_1: u16 = 1;
const FLAG_DAMAGED: u16 = 1;
const FLAG_HAS_DIR: u16 = 2;
const FLAG_FUTURE: u16 = 4;

/// What a record says beside the state itself.
pub(super) struct RecordedPartition {
    /// The state, its tail still empty.
    pub(super) state: PartitionState,
    /// The journal's entries from here on hold the tail.
    pub(super) tail_lsn: Lsn,
    /// Where the log ended.
    pub(super) appended_end: Offset,
}

/// The state as far as the journal has made it durable, and the LSN up to which that is.
///
/// A state that runs ahead of the journal must not become durable here: after a power cut the journal would not
/// know its entries, and give their numbers to others. So what lies behind `durable` is left out, unless it is in a
/// synced segment; the journal brings it again.
pub(super) fn encode(state: &PartitionState, durable: Lsn) -> (Lsn, Vec<u8>) {
    let end = state.appended_end();
    let durable_end = state.pending.durable_end(durable, end);
    let appended_end = durable_end.max(state.synced_end);
    let state_lsn = state.state_lsn.min(durable);
    let tail_lsn = state
        .pin
        .map_or(durable.next(), |pin| pin.min(durable.next()));
    let mut out = Vec::with_capacity(256);
    put(&mut out, &VERSION.to_le_bytes());
    let reason = state.lost();
    let damaged = if reason.is_some() { FLAG_DAMAGED } else { 0 };
    let has_dir = if state.has_dir { FLAG_HAS_DIR } else { 0 };
    let future = match state.was_future(durable) {
        true => FLAG_FUTURE,
        false => 0,
    };
    put(&mut out, &(damaged | has_dir | future).to_le_bytes());
    put_text(&mut out, state.dir.as_deref().unwrap_or(""));
    put_text(&mut out, reason.map_or("", String::as_str));
    let log_start = state.durable_log_start(durable).min(appended_end);
    for offset in [log_start, state.synced_end, appended_end] {
        put(&mut out, &offset.get().to_le_bytes());
    }
    put(&mut out, &tail_lsn.get().to_le_bytes());
    let epoch = state.leader_epoch.map_or(-1, LeaderEpoch::get);
    put(&mut out, &epoch.to_le_bytes());
    put_segments(&mut out, &state.durable_segments(durable), appended_end);
    put_epochs(&mut out, state, appended_end);
    put_producers(&mut out, state, appended_end);
    let cleaned_end = state.durable_cleaned_end(durable).min(appended_end);
    put(&mut out, &cleaned_end.get().to_le_bytes());
    put(&mut out, &state.begun_lsn.get().to_le_bytes());
    (state_lsn, out)
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let bytes = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
    put(out, &(bytes.len() as u16).to_le_bytes());
    put(out, bytes);
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("a partition has fewer than 2^32 of anything");
    put(out, &count.to_le_bytes());
}

fn put_segments(out: &mut Vec<u8>, segments: &[Segment], end: Offset) {
    let segments = || segments.iter().filter(|segment| segment.base_offset <= end);
    put_count(out, segments().count());
    for segment in segments() {
        put(out, &segment.base_offset.get().to_le_bytes());
        put(out, &segment.synced_size.to_le_bytes());
        put(out, &segment.first_timestamp.as_millis().to_le_bytes());
        let largest = segment.written_largest_timestamp;
        put(out, &largest.as_millis().to_le_bytes());
        put(out, &segment.created.as_millis().to_le_bytes());
        put(out, &segment.modified.as_millis().to_le_bytes());
    }
}

fn put_epochs(out: &mut Vec<u8>, state: &PartitionState, end: Offset) {
    let entries = state.epochs.entries();
    let count = entries.partition_point(|entry| entry.start_offset < end);
    put_count(out, count);
    for entry in &entries[..count] {
        put(out, &entry.epoch.get().to_le_bytes());
        put(out, &entry.start_offset.get().to_le_bytes());
    }
}

fn put_producers(out: &mut Vec<u8>, state: &PartitionState, end: Offset) {
    let snapshot = state.producers.snapshot_offset();
    put(out, &snapshot.map_or(-1, Offset::get).to_le_bytes());
    let entries: Vec<ProducerEntry> = state
        .producers
        .changed_entries()
        .cloned()
        .filter_map(|mut entry| entry.rewind_to(end).then_some(entry))
        .collect();
    put_count(out, entries.len());
    for entry in &entries {
        record::encode(out, entry);
    }
}

/// Why a payload is not a record. Its checksum was right: it is from a newer release, or we wrote nonsense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordFault {
    /// A format from the future.
    #[error("a partition record has format version {0}, this release reads versions 1 to 3")]
    Newer(u16),
    /// It contradicts itself.
    #[error("a partition record contradicts itself")]
    Contradiction,
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(state_lsn: Lsn, payload: &[u8]) -> Result<RecordedPartition, RecordFault> {
    let mut reader = Reader {
        rest: payload,
        version: 0,
    };
    reader.version = u16::from_le_bytes(reader.take()?);
    if !(VERSION_1..=VERSION).contains(&reader.version) {
        return Err(RecordFault::Newer(reader.version));
    }
    let flags = u16::from_le_bytes(reader.take()?);
    let mut state = PartitionState::new(LogConfig::default());
    let dir = reader.text()?;
    state.dir = (!dir.is_empty()).then(|| Arc::from(dir));
    let reason = reader.text()?;
    if flags & FLAG_DAMAGED != 0 {
        state.standing = Standing::Damaged { reason };
    }
    state.has_dir = flags & FLAG_HAS_DIR != 0;
    state.is_future = flags & FLAG_FUTURE != 0;
    state.log_start = reader.offset()?;
    state.synced_end = reader.offset()?;
    let appended_end = reader.offset()?;
    let tail_lsn = Lsn::new(u64::from_le_bytes(reader.take()?));
    state.leader_epoch = LeaderEpoch::from_wire(i32::from_le_bytes(reader.take()?));
    state.state_lsn = state_lsn;
    state.tail = Tail::empty_at(state.synced_end);
    state.segments = reader.segments()?;
    state.epochs = reader.epochs()?;
    state.producers = reader.producers()?;
    if VERSION_1 < reader.version {
        state.cleaned_end = reader.offset()?;
    }
    if VERSION_2 < reader.version {
        state.begun_lsn = Lsn::new(u64::from_le_bytes(reader.take()?));
    }
    let is_sound = state.log_start <= appended_end && state.synced_end <= appended_end;
    if !is_sound || !reader.rest.is_empty() {
        return Err(RecordFault::Contradiction);
    }
    Ok(RecordedPartition {
        state,
        tail_lsn,
        appended_end,
    })
}

struct Reader<'a> {
    rest: &'a [u8],
    version: u16,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], RecordFault> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(RecordFault::Contradiction)?;
        self.rest = rest;
        Ok(*head)
    }

    fn text(&mut self) -> Result<String, RecordFault> {
        let size = usize::from(u16::from_le_bytes(self.take()?));
        if self.rest.len() < size {
            return Err(RecordFault::Contradiction);
        }
        let (text, rest) = self.rest.split_at(size);
        self.rest = rest;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn count(&mut self) -> Result<usize, RecordFault> {
        Ok(u32::from_le_bytes(self.take()?) as usize)
    }

    fn long(&mut self) -> Result<i64, RecordFault> {
        Ok(i64::from_le_bytes(self.take()?))
    }

    fn offset(&mut self) -> Result<Offset, RecordFault> {
        Offset::from_wire(self.long()?).ok_or(RecordFault::Contradiction)
    }

    fn segments(&mut self) -> Result<Vec<Segment>, RecordFault> {
        let mut segments: Vec<Segment> = Vec::new();
        for _ in 0..self.count()? {
            let mut segment = Segment::empty(self.offset()?);
            segment.synced_size = u32::from_le_bytes(self.take()?);
            segment.written_size = segment.synced_size;
            segment.size = segment.synced_size;
            segment.first_timestamp = Timestamp::from_millis(self.long()?);
            segment.largest_timestamp = Timestamp::from_millis(self.long()?);
            segment.written_largest_timestamp = segment.largest_timestamp;
            if VERSION_1 < self.version {
                segment.created = Timestamp::from_millis(self.long()?);
                segment.modified = Timestamp::from_millis(self.long()?);
            }
            if segment.size == 0 {
                segment.first_timestamp = NO_TIMESTAMP;
            }
            if segments
                .last()
                .is_some_and(|last| segment.base_offset <= last.base_offset)
            {
                return Err(RecordFault::Contradiction);
            }
            segments.push(segment);
        }
        if let Some(last) = segments.iter_mut().rfind(|it| 0 < it.synced_size) {
            last.may_be_reserved = true;
        }
        Ok(segments)
    }

    fn epochs(&mut self) -> Result<LeaderEpochs, RecordFault> {
        let mut entries = Vec::new();
        for _ in 0..self.count()? {
            let epoch = LeaderEpoch::from_wire(i32::from_le_bytes(self.take()?));
            let epoch = epoch.ok_or(RecordFault::Contradiction)?;
            entries.push(EpochStart {
                epoch,
                start_offset: self.offset()?,
            });
        }
        LeaderEpochs::from_entries(entries).ok_or(RecordFault::Contradiction)
    }

    fn producers(&mut self) -> Result<ProducerState, RecordFault> {
        let mut producers = ProducerState::restored(Offset::from_wire(self.long()?));
        for _ in 0..self.count()? {
            let entry = record::decode(&mut self.rest).ok_or(RecordFault::Contradiction)?;
            producers.restore(entry);
        }
        Ok(producers)
    }
}
