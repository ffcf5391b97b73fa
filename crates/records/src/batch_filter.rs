//! Batches without some of their records, as compaction leaves them (Kafka's `MemoryRecords.filterTo`).
//!
//! Base offset, last offset, producer, sequence and leader epoch of a batch stay whatever goes: who reads the log
//! finds every offset where it was.

use crate::batch_view::{BatchView, RecordsError, TimestampType};
use crate::codec::{Codec, Compressor, Decompressor};
use crate::layout::{self, HEADER_SIZE};
use crate::record_view::{RecordView, read_record};
use crate::stamp::stamp_crc;
use crate::varint;
use ottla_types::{BATCH_LENGTH_PREFIX_SIZE, Timestamp};

/// Takes records out of batches. Buffers and compression contexts are reused from batch to batch.
#[derive(Debug, Default)]
pub struct BatchFilter {
    decompressor: Decompressor,
    compressor: Compressor,
    /// Whether each record stays.
    stays: Vec<bool>,
    payload: Vec<u8>,
}

/// What was left of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filtered {
    /// All of it: it was written as it was.
    Whole,
    /// Some records, or all with a new delete horizon: a batch with them was written.
    Part,
    /// No record: nothing was written.
    Nothing,
}

impl BatchFilter {
    /// Shows every record of `batch` to `look`.
    pub fn each(
        &mut self,
        batch: &BatchView<'_>,
        mut look: impl FnMut(&RecordView<'_>),
    ) -> Result<(), RecordsError> {
        for record in batch.records(&mut self.decompressor)? {
            look(&record?);
        }
        Ok(())
    }

    /// Appends to `out` what `keep` leaves of `batch`, compressed as it was. A batch that keeps a record without value
    /// and has no delete horizon yet gets `delete_horizon` (KIP-534).
    pub fn retain(
        &mut self,
        batch: &BatchView<'_>,
        delete_horizon: Option<Timestamp>,
        mut keep: impl FnMut(&RecordView<'_>) -> bool,
        out: &mut Vec<u8>,
    ) -> Result<Filtered, RecordsError> {
        let codec = batch.codec()?;
        let payload = self.decompressor.decompress(codec, batch.payload())?;
        self.stays.clear();
        let (mut kept_count, mut has_tombstone) = (0u32, false);
        let mut max_timestamp = Timestamp::from_millis(-1);
        for record in batch.records_in(payload) {
            let record = record?;
            let stays = keep(&record);
            self.stays.push(stays);
            if stays {
                kept_count += 1;
                has_tombstone |= record.value.is_none();
                max_timestamp = max_timestamp.max(record.timestamp);
            }
        }
        if kept_count == 0 {
            return Ok(Filtered::Nothing);
        }
        let is_due = has_tombstone && batch.delete_horizon().is_none();
        let horizon = delete_horizon.filter(|_| is_due);
        if kept_count == batch.records_count() && horizon.is_none() {
            out.extend_from_slice(batch.bytes());
            return Ok(Filtered::Whole);
        }
        self.payload.clear();
        copy_records(batch, payload, &self.stays, horizon, &mut self.payload)?;
        let start = out.len();
        out.extend_from_slice(&batch.bytes()[..HEADER_SIZE]);
        self.compressor.compress(codec, &self.payload, out);
        let written = &mut out[start..];
        write_length(written);
        let count = i32::try_from(kept_count).expect("it was an i32 in the header");
        layout::write(written, layout::RECORDS_COUNT, &count.to_be_bytes());
        let max = max_timestamp.as_millis().to_be_bytes();
        layout::write(written, layout::MAX_TIMESTAMP, &max);
        if let Some(horizon) = horizon {
            let attributes = batch.attributes() | layout::ATTRIBUTE_DELETE_HORIZON;
            layout::write(written, layout::ATTRIBUTES, &attributes.to_be_bytes());
            let horizon = horizon.as_millis().to_be_bytes();
            layout::write(written, layout::BASE_TIMESTAMP, &horizon);
        }
        stamp_crc(written);
        Ok(Filtered::Part)
    }
}

/// Appends the header of `batch` to `out` as a batch of its own without records: it keeps offsets and sequence.
pub fn write_empty_batch(batch: &BatchView<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&batch.bytes()[..HEADER_SIZE]);
    let written = &mut out[start..];
    let gone = layout::ATTRIBUTE_CODEC | layout::ATTRIBUTE_DELETE_HORIZON;
    let attributes = batch.attributes() & !gone | Codec::None as i16;
    layout::write(written, layout::ATTRIBUTES, &attributes.to_be_bytes());
    layout::write(written, layout::BASE_TIMESTAMP, &(-1i64).to_be_bytes());
    layout::write(written, layout::RECORDS_COUNT, &0i32.to_be_bytes());
    write_length(written);
    stamp_crc(written);
}

fn write_length(batch: &mut [u8]) {
    let length = i32::try_from(batch.len() - BATCH_LENGTH_PREFIX_SIZE);
    let length = length.expect("a batch is smaller than 2 GiB");
    layout::write(batch, layout::LENGTH, &length.to_be_bytes());
}

/// Copies the records of `payload` that stay. With a new horizon their timestamps count from there.
fn copy_records(
    batch: &BatchView<'_>,
    payload: &[u8],
    stays: &[bool],
    horizon: Option<Timestamp>,
    out: &mut Vec<u8>,
) -> Result<(), RecordsError> {
    let mut at = 0;
    for stays in stays {
        let start = at;
        let raw = read_record(payload, &mut at)?;
        if !stays {
            continue;
        }
        let Some(horizon) = horizon else {
            out.extend_from_slice(&payload[start..at]);
            continue;
        };
        let timestamp = match batch.timestamp_type() {
            TimestampType::CreateTime => batch
                .base_timestamp()
                .as_millis()
                .wrapping_add(raw.timestamp_delta),
            TimestampType::LogAppendTime => batch.max_timestamp().as_millis(),
        };
        let delta = timestamp.wrapping_sub(horizon.as_millis());
        let body = &payload[at - raw.size..at];
        // Attributes, the old delta, and everything else.
        let mut behind = 1;
        let _ = varint::read_i64(body, &mut behind);
        let rest = &body[behind..];
        let size = 1 + varint::size_i64(delta) + rest.len();
        let size = i32::try_from(size).expect("a batch is smaller than 2 GiB");
        varint::write_i32(out, size);
        out.push(body[0]);
        varint::write_i64(out, delta);
        out.extend_from_slice(rest);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
