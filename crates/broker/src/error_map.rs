//! The one place where what went wrong becomes a Kafka error code.
//!
//! No `_` arm: a new variant does not compile until it has chosen its code.

use ottla_records::{BatchError, DecompressError, ProduceBatchError, RecordRefusal};
use ottla_storage::log_dir::{AppendError, ReadError, StorageError};
use ottla_types::ErrorCode;

/// Why a producer's bytes are refused (Kafka's `LogValidator` and `ProduceRequest.validateRecords`).
pub(crate) fn produce_batch(error: &ProduceBatchError) -> ErrorCode {
    match error {
        ProduceBatchError::Empty
        | ProduceBatchError::TrailingBytes { .. }
        | ProduceBatchError::BaseOffset { .. }
        | ProduceBatchError::Count { .. }
        | ProduceBatchError::Control
        | ProduceBatchError::Sequence { .. }
        | ProduceBatchError::Record { .. }
        | ProduceBatchError::OffsetDelta { .. } => ErrorCode::InvalidRecord,
        ProduceBatchError::Malformed(error) => batch(error),
        ProduceBatchError::TooLarge { .. } => ErrorCode::MessageTooLarge,
        ProduceBatchError::Crc { .. } => ErrorCode::CorruptMessage,
        ProduceBatchError::LogAppendTime => ErrorCode::InvalidTimestamp,
        ProduceBatchError::Compression(error) => decompress(error),
        ProduceBatchError::Refused(records) => match records.first().map(|record| record.refusal) {
            Some(RecordRefusal::Timestamp { .. }) => ErrorCode::InvalidTimestamp,
            Some(RecordRefusal::NullKey) | None => ErrorCode::InvalidRecord,
        },
    }
}

fn batch(error: &BatchError) -> ErrorCode {
    match error {
        BatchError::Truncated { .. } | BatchError::Length { .. } => ErrorCode::CorruptMessage,
        BatchError::Magic { .. } | BatchError::Offsets { .. } | BatchError::RecordsCount { .. } => {
            ErrorCode::InvalidRecord
        }
    }
}

fn decompress(error: &DecompressError) -> ErrorCode {
    match error {
        DecompressError::UnknownCodec { .. } => ErrorCode::UnsupportedCompressionType,
        DecompressError::Malformed { .. } => ErrorCode::InvalidRecord,
        DecompressError::TooLarge { .. } => ErrorCode::MessageTooLarge,
    }
}

/// Why nothing could be read (storage's own words do not travel).
pub(crate) fn read(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::UnknownPartition => ErrorCode::NotLeaderOrFollower,
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::WouldBlock(_) => ErrorCode::None,
        ReadError::Fault(_) | ReadError::Offline => ErrorCode::KafkaStorageError,
    }
}

/// Why an operation on a partition was not carried out.
pub(crate) fn storage(error: &StorageError) -> ErrorCode {
    match error {
        StorageError::UnknownPartition => ErrorCode::NotLeaderOrFollower,
        StorageError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        StorageError::Offline | StorageError::Fault(_) => ErrorCode::KafkaStorageError,
    }
}

/// Why a batch was not appended.
pub(crate) fn append(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::UnknownPartition
        | AppendError::FencedLeaderEpoch { .. }
        | AppendError::NotContiguous { .. } => ErrorCode::NotLeaderOrFollower,
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        AppendError::OpenTransaction { .. } => ErrorCode::InvalidTxnState,
        AppendError::RecordListTooLarge { .. } => ErrorCode::RecordListTooLarge,
        AppendError::Large => ErrorCode::MessageTooLarge,
        AppendError::LargeInProgress => ErrorCode::RequestTimedOut,
        AppendError::Full
        | AppendError::Offline
        | AppendError::Damaged { .. }
        | AppendError::Fault(_) => ErrorCode::KafkaStorageError,
    }
}

/// What an old fetcher is told instead of errors it does not know.
pub(crate) fn fetch_error_for(error: ErrorCode, version: i16) -> ErrorCode {
    match error {
        ErrorCode::KafkaStorageError if version <= 5 => ErrorCode::NotLeaderOrFollower,
        other => other,
    }
}
