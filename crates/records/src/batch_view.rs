use crate::codec::{Codec, DecompressError, Decompressor};
use crate::layout::{self, HEADER_SIZE, PREFIX_SIZE, read_i16, read_i32, read_i64, read_u32};
use crate::record_view::{RecordFault, Records};
use crate::stamp::crc32c;
use ottla_types::{
    BATCH_LENGTH_PREFIX_SIZE, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp,
};

/// Why bytes are not a batch that can be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end inside the batch. At the end of a fetch response that is no fault.
    #[error("the batch needs {size} bytes, {remaining} are there")]
    Truncated {
        /// Bytes the batch (or its header, while its size is unknown) needs.
        size: usize,
        /// Bytes that are there.
        remaining: usize,
    },
    /// The length field is below what a header needs.
    #[error("impossible batch length {length}")]
    Length {
        /// The length field: bytes after itself.
        length: i32,
    },
    /// A format that no longer exists, or garbage.
    #[error("unsupported magic {magic}")]
    Magic {
        /// The format number.
        magic: i8,
    },
    /// Offsets below 0 or beyond what 63 bits hold.
    #[error("impossible offsets: base {base_offset}, last delta {last_offset_delta}")]
    Offsets {
        /// The base offset field.
        base_offset: i64,
        /// The last offset delta field.
        last_offset_delta: i32,
    },
    /// A negative number of records.
    #[error("impossible number of records {count}")]
    RecordsCount {
        /// The count field.
        count: i32,
    },
}

/// Why the records of a batch cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// The payload cannot be decompressed.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// A record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordFault),
}

/// What the timestamps of a batch mean (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// Set by the producer.
    #[default]
    CreateTime,
    /// Set by the broker when it appended the batch.
    LogAppendTime,
}

/// What an idempotent producer says about its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerBatch {
    /// Who wrote it.
    pub id: ProducerId,
    /// In which of its lives.
    pub epoch: ProducerEpoch,
    /// Sequence of the first record.
    pub base_sequence: Sequence,
    /// Sequence of the last record (inclusive).
    pub last_sequence: Sequence,
}

/// A record batch of format v2 in borrowed bytes.
///
/// Invariants: the bytes are exactly one batch as its length field says, its magic is 2, its
/// offsets are from 0 to `i64::MAX`, its number of records is not negative. The CRC is not checked.
#[derive(Clone, Copy)]
pub struct BatchView<'a> {
    bytes: &'a [u8],
}

impl std::fmt::Debug for BatchView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchView")
            .field("base_offset", &self.base_offset())
            .field("last_offset", &self.last_offset())
            .field("size_in_bytes", &self.size_in_bytes())
            .field("records_count", &self.records_count())
            .field("producer", &self.producer())
            .finish_non_exhaustive()
    }
}

impl<'a> BatchView<'a> {
    /// The batch that `bytes` begins with; more may follow it.
    pub fn parse(bytes: &'a [u8]) -> Result<BatchView<'a>, BatchError> {
        let view = BatchView::frame(bytes)?;
        view.check_header()?;
        Ok(view)
    }

    /// Cuts the first batch out of `bytes`; of its header only length and magic are looked at.
    pub(crate) fn frame(bytes: &'a [u8]) -> Result<BatchView<'a>, BatchError> {
        let remaining = bytes.len();
        if remaining < PREFIX_SIZE {
            return Err(BatchError::Truncated {
                size: HEADER_SIZE,
                remaining,
            });
        }
        let magic = bytes[layout::MAGIC_AT] as i8;
        if magic != layout::MAGIC {
            return Err(BatchError::Magic { magic });
        }
        let length = read_i32(bytes, layout::LENGTH);
        let size = usize::try_from(length)
            .ok()
            .map(|length| length + BATCH_LENGTH_PREFIX_SIZE)
            .filter(|size| *size >= HEADER_SIZE)
            .ok_or(BatchError::Length { length })?;
        let bytes = bytes
            .get(..size)
            .ok_or(BatchError::Truncated { size, remaining })?;
        Ok(BatchView { bytes })
    }

    /// The invariants beyond [`BatchView::frame`].
    pub(crate) fn check_header(&self) -> Result<(), BatchError> {
        let base_offset = read_i64(self.bytes, layout::BASE_OFFSET);
        let last_offset_delta = read_i32(self.bytes, layout::LAST_OFFSET_DELTA);
        // The offset after the last one must exist as well.
        let end_offset = base_offset
            .checked_add(i64::from(last_offset_delta))
            .map(|last| last < i64::MAX);
        if base_offset < 0 || last_offset_delta < 0 || end_offset != Some(true) {
            return Err(BatchError::Offsets {
                base_offset,
                last_offset_delta,
            });
        }
        let count = self.raw_records_count();
        if count < 0 {
            Err(BatchError::RecordsCount { count })
        } else {
            Ok(())
        }
    }

    /// The whole batch, header included.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the header: the records, compressed or not.
    pub fn payload(&self) -> &'a [u8] {
        &self.bytes[HEADER_SIZE..]
    }

    /// Offset of the first record (also when compaction has removed it).
    pub fn base_offset(&self) -> Offset {
        Offset::new(read_i64(self.bytes, layout::BASE_OFFSET))
    }

    /// Offset of the last record (inclusive, also when compaction has removed it).
    pub fn last_offset(&self) -> Offset {
        self.base_offset().plus(i64::from(self.last_offset_delta()))
    }

    /// Last offset minus base offset.
    pub fn last_offset_delta(&self) -> u32 {
        read_i32(self.bytes, layout::LAST_OFFSET_DELTA) as u32
    }

    /// Bytes of the whole batch, header and length prefix included.
    pub fn size_in_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Epoch of the leader that appended the batch; `None` as long as no leader has.
    pub fn leader_epoch(&self) -> Option<LeaderEpoch> {
        LeaderEpoch::from_wire(read_i32(self.bytes, layout::LEADER_EPOCH))
    }

    /// The format; always 2.
    pub fn magic(&self) -> i8 {
        self.bytes[layout::MAGIC_AT] as i8
    }

    /// The checksum in the header: CRC-32C of everything behind itself.
    pub fn crc(&self) -> u32 {
        read_u32(self.bytes, layout::CRC)
    }

    /// The checksum the bytes have.
    pub fn computed_crc(&self) -> u32 {
        crc32c(&self.bytes[layout::ATTRIBUTES..])
    }

    /// Whether the checksum in the header is the one of the bytes.
    pub fn is_crc_valid(&self) -> bool {
        self.crc() == self.computed_crc()
    }

    /// The attribute bits as they stand.
    pub fn attributes(&self) -> i16 {
        read_i16(self.bytes, layout::ATTRIBUTES)
    }

    /// How the payload is compressed.
    pub fn codec(&self) -> Result<Codec, DecompressError> {
        let number = (self.attributes() & layout::ATTRIBUTE_CODEC) as u8;
        Codec::from_wire(number).ok_or(DecompressError::UnknownCodec { number })
    }

    /// What the timestamps mean.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.has(layout::ATTRIBUTE_LOG_APPEND_TIME) {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    /// Part of a transaction.
    pub fn is_transactional(&self) -> bool {
        self.has(layout::ATTRIBUTE_TRANSACTIONAL)
    }

    /// Written by a broker for brokers: transaction markers and the like. Never given to applications.
    pub fn is_control(&self) -> bool {
        self.has(layout::ATTRIBUTE_CONTROL)
    }

    /// When the compactor may drop the tombstones of this batch, if it has decided so already.
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        self.has(layout::ATTRIBUTE_DELETE_HORIZON)
            .then(|| self.base_timestamp())
    }

    fn has(&self, bit: i16) -> bool {
        self.attributes() & bit != 0
    }

    /// What the records' timestamps count from: the first record's timestamp, or the delete horizon.
    pub fn base_timestamp(&self) -> Timestamp {
        Timestamp::from_millis(read_i64(self.bytes, layout::BASE_TIMESTAMP))
    }

    /// The largest timestamp of the records, as the header says.
    pub fn max_timestamp(&self) -> Timestamp {
        Timestamp::from_millis(read_i64(self.bytes, layout::MAX_TIMESTAMP))
    }

    /// Producer id and epoch, also of control batches.
    pub fn producer_id_and_epoch(&self) -> Option<(ProducerId, ProducerEpoch)> {
        let id = ProducerId::from_wire(read_i64(self.bytes, layout::PRODUCER_ID))?;
        Some((
            id,
            ProducerEpoch::new(read_i16(self.bytes, layout::PRODUCER_EPOCH)),
        ))
    }

    /// What an idempotent producer said; `None` for others and for control batches, which have no
    /// sequence.
    pub fn producer(&self) -> Option<ProducerBatch> {
        let (id, epoch) = self.producer_id_and_epoch()?;
        let base_sequence = Sequence::from_wire(read_i32(self.bytes, layout::BASE_SEQUENCE))?;
        let last_sequence = base_sequence.plus(self.last_offset_delta() as i32);
        Some(ProducerBatch {
            id,
            epoch,
            base_sequence,
            last_sequence,
        })
    }

    /// How many records the batch holds; 0 after compaction removed them all.
    pub fn records_count(&self) -> u32 {
        self.raw_records_count() as u32
    }

    pub(crate) fn raw_records_count(&self) -> i32 {
        read_i32(self.bytes, layout::RECORDS_COUNT)
    }

    /// The records, read from the batch itself or, if it is compressed, from `decompressor`'s buffer.
    pub fn records<'s>(
        &self,
        decompressor: &'s mut Decompressor,
    ) -> Result<Records<'s>, DecompressError>
    where
        'a: 's,
    {
        let bytes = decompressor.decompress(self.codec()?, self.payload())?;
        Ok(self.records_in(bytes))
    }

    /// The records, read from `bytes`: what the payload decompresses to.
    pub fn records_in<'s>(&self, bytes: &'s [u8]) -> Records<'s> {
        let append_time = match self.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(self.max_timestamp()),
        };
        Records::new(
            bytes,
            self.records_count(),
            self.base_offset(),
            self.base_timestamp().as_millis(),
            append_time,
        )
    }

    /// Offset and timestamp of the first record with the largest timestamp; `None` for a batch
    /// without records.
    pub fn max_timestamp_record(
        &self,
        decompressor: &mut Decompressor,
    ) -> Result<Option<(Offset, Timestamp)>, RecordsError> {
        let mut best: Option<(Offset, Timestamp)> = None;
        for record in self.records(decompressor)? {
            let record = record?;
            if best.is_none_or(|(_, timestamp)| timestamp < record.timestamp) {
                best = Some((record.offset, record.timestamp));
            }
        }
        Ok(best)
    }
}
