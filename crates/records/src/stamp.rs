//! What a broker writes into a batch that it appends.

use crate::batch_view::TimestampType;
use crate::layout::{self, HEADER_SIZE};
use ottla_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// The checksum of batches: CRC-32C (Castagnoli).
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// Writes base offset and leader epoch, which the CRC does not cover. `batch` begins with a whole
/// batch header.
pub fn stamp(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    assert!(batch.len() >= HEADER_SIZE, "a batch has a header");
    layout::write(batch, layout::BASE_OFFSET, &base_offset.get().to_be_bytes());
    layout::write(
        batch,
        layout::LEADER_EPOCH,
        &leader_epoch.get().to_be_bytes(),
    );
}

/// Makes `batch`, exactly one whole batch, one of LogAppendTime: every record then has `timestamp`.
/// Recomputes the CRC.
pub fn stamp_log_append_time(batch: &mut [u8], timestamp: Timestamp) {
    stamp_timestamps(batch, TimestampType::LogAppendTime, timestamp);
}

/// Corrects the header's maximum timestamp of `batch`, exactly one whole batch of CreateTime.
/// Recomputes the CRC.
pub fn stamp_max_timestamp(batch: &mut [u8], timestamp: Timestamp) {
    stamp_timestamps(batch, TimestampType::CreateTime, timestamp);
}

fn stamp_timestamps(batch: &mut [u8], timestamp_type: TimestampType, max: Timestamp) {
    assert!(batch.len() >= HEADER_SIZE, "a batch has a header");
    let mut attributes = layout::read_i16(batch, layout::ATTRIBUTES);
    match timestamp_type {
        TimestampType::CreateTime => attributes &= !layout::ATTRIBUTE_LOG_APPEND_TIME,
        TimestampType::LogAppendTime => attributes |= layout::ATTRIBUTE_LOG_APPEND_TIME,
    }
    layout::write(batch, layout::ATTRIBUTES, &attributes.to_be_bytes());
    layout::write(batch, layout::MAX_TIMESTAMP, &max.as_millis().to_be_bytes());
    stamp_crc(batch);
}

/// Writes the CRC of `batch`, exactly one whole batch.
pub(crate) fn stamp_crc(batch: &mut [u8]) {
    let crc = crc32c(&batch[layout::ATTRIBUTES..]);
    layout::write(batch, layout::CRC, &crc.to_be_bytes());
}

/// Writes who produced `batch`, exactly one whole batch, and with which sequence: a producer draws
/// the sequence when it sends, after the records were compressed. Recomputes the CRC.
pub fn stamp_producer(
    batch: &mut [u8],
    id: ProducerId,
    epoch: ProducerEpoch,
    base_sequence: Sequence,
) {
    assert!(batch.len() >= HEADER_SIZE, "a batch has a header");
    layout::write(batch, layout::PRODUCER_ID, &id.get().to_be_bytes());
    layout::write(batch, layout::PRODUCER_EPOCH, &epoch.get().to_be_bytes());
    layout::write(
        batch,
        layout::BASE_SEQUENCE,
        &base_sequence.get().to_be_bytes(),
    );
    stamp_crc(batch);
}
