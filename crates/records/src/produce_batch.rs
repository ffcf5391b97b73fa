//! The rules for what a producer sends for one partition (Kafka's `LogValidator` and
//! `UnifiedLog.analyzeAndValidateRecords`).

use crate::batch_view::{BatchError, BatchView, ProducerBatch, TimestampType};
use crate::codec::{Codec, DecompressError, Decompressor};
use crate::layout;
use crate::record_view::{RawRecord, RecordFault, read_record};
use crate::stamp;
use ottla_types::{LeaderEpoch, Offset, Sequence, Timestamp};

/// What validation reuses from batch to batch.
pub type Scratch = Decompressor;

/// A batch with more records at fault than this lists only so many.
const REFUSED_RECORDS_MAX: usize = 1000;

/// Whether every record needs a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyRule {
    /// Keys may be null.
    #[default]
    Optional,
    /// A compacted topic.
    Required,
}

/// What a topic accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProduceRules {
    /// `max.message.bytes`: the whole batch as it was sent, in bytes.
    pub max_message_bytes: usize,
    /// `message.timestamp.type`: with LogAppendTime the records' own timestamps do not matter.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// Whether null keys are refused.
    pub keys: KeyRule,
    /// `max.decompressed.message.bytes`: one record of a compressed batch, without its length field.
    pub record_bytes_max: usize,
}

impl Default for ProduceRules {
    /// Kafka's defaults.
    fn default() -> ProduceRules {
        ProduceRules {
            max_message_bytes: (1 << 20) + 12,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            keys: KeyRule::Optional,
            record_bytes_max: usize::MAX,
        }
    }
}

/// Facts about a batch that may be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidBatch {
    /// Bytes of the whole batch.
    pub size: usize,
    /// Bytes it would have without compression, if somebody has looked; else those it has.
    pub uncompressed_size: usize,
    /// How its records are compressed. (zstd needs Produce v7; the caller knows the version.)
    pub codec: Codec,
    /// Number of records; at least 1 from a producer.
    pub records_count: u32,
    /// Last offset minus base offset.
    pub last_offset_delta: u32,
    /// Timestamp of the first record.
    pub base_timestamp: Timestamp,
    /// Largest timestamp of the records; -1 when they have none.
    pub max_timestamp: Timestamp,
    /// Distance of the first record with that timestamp from the base offset.
    pub max_timestamp_offset_delta: u32,
    /// Whether the header states the largest timestamp rightly; [`ValidBatch::stamp`] corrects it.
    pub max_timestamp_is_stated: bool,
    /// What an idempotent producer said.
    pub producer: Option<ProducerBatch>,
    /// Part of a transaction.
    pub is_transactional: bool,
    /// A control batch; never from a client.
    pub is_control: bool,
}

impl ValidBatch {
    /// The facts a header states, for batches of our own making or of a leader's. Nothing is
    /// checked, no record is read: the largest timestamp counts as the last record's.
    pub fn from_header(batch: &BatchView<'_>) -> Result<ValidBatch, DecompressError> {
        Ok(ValidBatch {
            size: batch.size_in_bytes(),
            uncompressed_size: batch.size_in_bytes(),
            codec: batch.codec()?,
            records_count: batch.records_count(),
            last_offset_delta: batch.last_offset_delta(),
            base_timestamp: batch.base_timestamp(),
            max_timestamp: batch.max_timestamp(),
            max_timestamp_offset_delta: batch.last_offset_delta(),
            max_timestamp_is_stated: true,
            producer: batch.producer(),
            is_transactional: batch.is_transactional(),
            is_control: batch.is_control(),
        })
    }

    /// Writes into `batch` (the bytes these facts are about) all that a leader adds: base offset,
    /// leader epoch, the append time if the topic wants it, and a right maximum timestamp.
    /// The CRC is recomputed only when something under it changes.
    pub fn stamp(
        &self,
        batch: &mut [u8],
        base_offset: Offset,
        leader_epoch: LeaderEpoch,
        log_append_time: Option<Timestamp>,
    ) {
        assert_eq!(batch.len(), self.size, "the facts are about another batch");
        stamp::stamp(batch, base_offset, leader_epoch);
        match log_append_time {
            Some(timestamp) => stamp::stamp_log_append_time(batch, timestamp),
            None if !self.max_timestamp_is_stated => {
                stamp::stamp_max_timestamp(batch, self.max_timestamp);
            }
            None => {}
        }
    }
}

/// What is wrong with one record of an otherwise readable batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordRefusal {
    /// Its timestamp is outside the topic's window.
    #[error(
        "Timestamp {timestamp} of message with offset {index} is out of range. The timestamp should be within [{earliest}, {latest}]"
    )]
    Timestamp {
        /// Same as [`RefusedRecord::index`].
        index: u32,
        /// The record's timestamp.
        timestamp: Timestamp,
        /// Earliest that is allowed (inclusive).
        earliest: Timestamp,
        /// Latest that is allowed (inclusive).
        latest: Timestamp,
    },
    /// The topic is compacted and the record has no key.
    #[error("Compacted topic cannot accept message without key")]
    NullKey,
}

/// A record that the topic's rules refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    /// Its place in the batch, from 0.
    pub index: u32,
    /// Why.
    pub refusal: RecordRefusal,
}

/// Why a producer's bytes for one partition are not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProduceBatchError {
    /// No batch at all.
    #[error("a produce request must hold one record batch per partition, this one is empty")]
    Empty,
    /// The bytes are no whole batch.
    #[error(transparent)]
    Malformed(#[from] BatchError),
    /// Another batch, or garbage, follows the first.
    #[error(
        "a produce request must hold exactly one record batch per partition, {size} bytes follow it"
    )]
    TrailingBytes {
        /// Bytes behind the batch.
        size: usize,
    },
    /// `max.message.bytes`.
    #[error("the record batch has {size} bytes, more than the {max} that max.message.bytes allows")]
    TooLarge {
        /// Bytes of the batch.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// The bytes changed on their way.
    #[error(
        "the record batch is corrupt: stored crc {stored:#010x}, computed crc {computed:#010x}"
    )]
    Crc {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// Producers count offsets from 0.
    #[error("the base offset of a producer's record batch must be 0, it is {base_offset}")]
    BaseOffset {
        /// The field.
        base_offset: i64,
    },
    /// Last offset delta and number of records contradict each other, or there is no record.
    #[error("the record batch counts {count} records up to offset delta {last_offset_delta}")]
    Count {
        /// The records count field.
        count: i32,
        /// The last offset delta field.
        last_offset_delta: i32,
    },
    /// Only brokers write these.
    #[error("clients are not allowed to write control records")]
    Control,
    /// A producer id, but no sequence.
    #[error("invalid sequence number {sequence} in a record batch with a producer id")]
    Sequence {
        /// The base sequence field.
        sequence: i32,
    },
    /// Only brokers set this bit.
    #[error("invalid timestamp type in a producer's record batch: LogAppendTime is for brokers")]
    LogAppendTime,
    /// The codec is unknown, or its output unreadable or too large.
    #[error(transparent)]
    Compression(#[from] DecompressError),
    /// A record cannot be read.
    #[error("record {index} of the batch is malformed: {fault}")]
    Record {
        /// Its place in the batch, from 0.
        index: u32,
        /// What is wrong.
        fault: RecordFault,
    },
    /// `max.decompressed.message.bytes`.
    #[error(
        "record {index} of the batch has {size} bytes once decompressed, more than the {max} that max.decompressed.message.bytes allows"
    )]
    RecordTooLarge {
        /// Its place in the batch, from 0.
        index: u32,
        /// Its bytes, without the length field.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// Offsets of the records are not 0, 1, 2, ...
    #[error("record {index} of the batch has offset delta {offset_delta}")]
    OffsetDelta {
        /// The record's place in the batch, from 0.
        index: u32,
        /// What it says.
        offset_delta: i32,
    },
    /// The batch is readable, but these records break the topic's rules. Never empty, ascending, at
    /// most 1,000.
    #[error("one or more records have been rejected")]
    Refused(Vec<RefusedRecord>),
}

/// Checks what a producer sent for one partition: exactly one batch, as this topic accepts it,
/// readable to its last record. Nothing is copied; compressed records go through `scratch`.
pub fn validate_produce(
    batch: &[u8],
    rules: &ProduceRules,
    now: Timestamp,
    scratch: &mut Scratch,
) -> Result<ValidBatch, ProduceBatchError> {
    if batch.is_empty() {
        return Err(ProduceBatchError::Empty);
    }
    let view = BatchView::frame(batch)?;
    if view.size_in_bytes() < batch.len() {
        return Err(ProduceBatchError::TrailingBytes {
            size: batch.len() - view.size_in_bytes(),
        });
    }
    check_header(&view, rules)?;
    let mut facts = ValidBatch::from_header(&view)?;
    let payload = scratch.decompress(facts.codec, view.payload())?;
    let mut walk = Walk::new(&view, facts.codec, rules, now);
    walk.run(payload)?;
    if !walk.refused.is_empty() {
        return Err(ProduceBatchError::Refused(walk.refused));
    }
    facts.uncompressed_size = batch.len() - view.payload().len() + payload.len();
    facts.max_timestamp = walk.max_timestamp;
    facts.max_timestamp_offset_delta = walk.max_timestamp_index;
    facts.max_timestamp_is_stated = view.max_timestamp() == walk.max_timestamp;
    Ok(facts)
}

/// Everything the header alone can break, in Kafka's order.
fn check_header(view: &BatchView<'_>, rules: &ProduceRules) -> Result<(), ProduceBatchError> {
    let base_offset = layout::read_i64(view.bytes(), layout::BASE_OFFSET);
    if base_offset != 0 {
        return Err(ProduceBatchError::BaseOffset { base_offset });
    }
    let size = view.size_in_bytes();
    if size > rules.max_message_bytes {
        return Err(ProduceBatchError::TooLarge {
            size,
            max: rules.max_message_bytes,
        });
    }
    let (stored, computed) = (view.crc(), view.computed_crc());
    if stored != computed {
        return Err(ProduceBatchError::Crc { stored, computed });
    }
    let count = view.raw_records_count();
    let last_offset_delta = layout::read_i32(view.bytes(), layout::LAST_OFFSET_DELTA);
    if count <= 0 || last_offset_delta != count - 1 {
        return Err(ProduceBatchError::Count {
            count,
            last_offset_delta,
        });
    }
    if view.is_control() {
        return Err(ProduceBatchError::Control);
    }
    let sequence = layout::read_i32(view.bytes(), layout::BASE_SEQUENCE);
    if view.producer_id_and_epoch().is_some() && Sequence::from_wire(sequence).is_none() {
        return Err(ProduceBatchError::Sequence { sequence });
    }
    if view.timestamp_type() == TimestampType::LogAppendTime {
        return Err(ProduceBatchError::LogAppendTime);
    }
    view.check_header()?;
    Ok(())
}

/// One pass over the records.
struct Walk {
    count: u32,
    base_timestamp: i64,
    /// Timestamps outside (inclusive bounds) are refused; everything is inside for LogAppendTime.
    earliest: Timestamp,
    latest: Timestamp,
    keys: KeyRule,
    /// Anything for batches that are not compressed: their size is limited as it is.
    record_bytes_max: usize,
    max_timestamp: Timestamp,
    max_timestamp_index: u32,
    refused: Vec<RefusedRecord>,
}

/// Kafka's "this record has no timestamp".
const NO_TIMESTAMP: Timestamp = Timestamp::from_millis(-1);

impl Walk {
    fn new(view: &BatchView<'_>, codec: Codec, rules: &ProduceRules, now: Timestamp) -> Walk {
        let (earliest, latest) = match rules.timestamp_type {
            TimestampType::LogAppendTime => (i64::MIN, i64::MAX),
            TimestampType::CreateTime => (
                now.as_millis()
                    .saturating_sub(rules.timestamp_before_max_ms),
                now.as_millis().saturating_add(rules.timestamp_after_max_ms),
            ),
        };
        Walk {
            count: view.records_count(),
            base_timestamp: view.base_timestamp().as_millis(),
            earliest: Timestamp::from_millis(earliest),
            latest: Timestamp::from_millis(latest),
            keys: rules.keys,
            record_bytes_max: match codec {
                Codec::None => usize::MAX,
                Codec::Gzip | Codec::Snappy | Codec::Lz4 | Codec::Zstd => rules.record_bytes_max,
            },
            max_timestamp: NO_TIMESTAMP,
            max_timestamp_index: 0,
            refused: Vec::new(),
        }
    }

    fn run(&mut self, payload: &[u8]) -> Result<(), ProduceBatchError> {
        let mut at = 0;
        for index in 0..self.count {
            let record = read_record(payload, &mut at)
                .map_err(|fault| ProduceBatchError::Record { index, fault })?;
            if self.record_bytes_max < record.size {
                let (size, max) = (record.size, self.record_bytes_max);
                return Err(ProduceBatchError::RecordTooLarge { index, size, max });
            }
            if record.offset_delta as u32 != index {
                let offset_delta = record.offset_delta;
                return Err(ProduceBatchError::OffsetDelta {
                    index,
                    offset_delta,
                });
            }
            self.look_at(index, &record);
        }
        if at == payload.len() {
            return Ok(());
        }
        let fault = RecordFault::TrailingBytes {
            size: payload.len() - at,
        };
        Err(ProduceBatchError::Record {
            index: self.count - 1,
            fault,
        })
    }

    #[inline]
    fn look_at(&mut self, index: u32, record: &RawRecord<'_>) {
        let millis = self.base_timestamp.wrapping_add(record.timestamp_delta);
        let timestamp = Timestamp::from_millis(millis);
        if timestamp > self.max_timestamp {
            self.max_timestamp = timestamp;
            self.max_timestamp_index = index;
        }
        if self.keys == KeyRule::Required && record.key.is_none() {
            self.refuse(index, RecordRefusal::NullKey);
        } else if (timestamp < self.earliest || timestamp > self.latest)
            && timestamp != NO_TIMESTAMP
        {
            let (earliest, latest) = (self.earliest, self.latest);
            let refusal = RecordRefusal::Timestamp {
                index,
                timestamp,
                earliest,
                latest,
            };
            self.refuse(index, refusal);
        }
    }

    #[cold]
    fn refuse(&mut self, index: u32, refusal: RecordRefusal) {
        if self.refused.len() < REFUSED_RECORDS_MAX {
            self.refused.push(RefusedRecord { index, refusal });
        }
    }
}

#[cfg(test)]
mod tests;
