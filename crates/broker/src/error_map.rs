//! The one place where what went wrong becomes a Kafka error code.
//!
//! No `_` arm: a new variant does not compile until it has chosen its code.

use ottla_coordinator::Refusal;
use ottla_coordinator::group::GroupError;
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
        | ProduceBatchError::RecordTooLarge { .. }
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
        // A magic Kafka does not know is rubbish, one of old formats is a record.
        BatchError::Magic { magic } if 2 < *magic => ErrorCode::CorruptMessage,
        BatchError::Length { .. } => ErrorCode::CorruptMessage,
        BatchError::Truncated { .. }
        | BatchError::Magic { .. }
        | BatchError::Offsets { .. }
        | BatchError::RecordsCount { .. } => ErrorCode::InvalidRecord,
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
        // Asked again a little later it goes.
        StorageError::Undurable { .. } | StorageError::BeingRemoved => {
            ErrorCode::NotLeaderOrFollower
        }
        StorageError::AlreadyThere => ErrorCode::InvalidRequest,
        StorageError::Offline | StorageError::Fault(_) | StorageError::Damaged { .. } => {
            ErrorCode::KafkaStorageError
        }
    }
}

/// Why a batch was not appended.
pub(crate) fn append(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::UnknownPartition
        | AppendError::FencedLeaderEpoch { .. }
        | AppendError::Overlaps { .. } => ErrorCode::NotLeaderOrFollower,
        AppendError::Malformed { .. } => ErrorCode::CorruptMessage,
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        AppendError::OpenTransaction { .. } => ErrorCode::InvalidTxnState,
        AppendError::RecordListTooLarge { .. } => ErrorCode::RecordListTooLarge,
        // Whether the partition takes it changed meanwhile: sent again, it is written before.
        AppendError::Large => ErrorCode::NotLeaderOrFollower,
        AppendError::Full
        | AppendError::Offline
        | AppendError::Damaged { .. }
        | AppendError::Fault(_) => ErrorCode::KafkaStorageError,
    }
}

/// Why a group's coordinator refuses.
pub(crate) fn group(error: GroupError) -> ErrorCode {
    match error {
        GroupError::InvalidGroupId => ErrorCode::InvalidGroupId,
        GroupError::UnknownGroup => ErrorCode::GroupIdNotFound,
        GroupError::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
        GroupError::GroupFull => ErrorCode::GroupMaxSizeReached,
        GroupError::MemberIdRequired => ErrorCode::MemberIdRequired,
        GroupError::UnknownMember => ErrorCode::UnknownMemberId,
        GroupError::FencedInstance => ErrorCode::FencedInstanceId,
        GroupError::IllegalGeneration => ErrorCode::IllegalGeneration,
        GroupError::RebalanceInProgress => ErrorCode::RebalanceInProgress,
        GroupError::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
        // Kafka's word for a group whose record would be too large.
        GroupError::StateTooLarge => ErrorCode::UnknownServerError,
        GroupError::CommitTooLarge => ErrorCode::InvalidCommitOffsetSize,
        GroupError::OffsetMetadataTooLarge => ErrorCode::OffsetMetadataTooLarge,
        GroupError::NonEmptyGroup => ErrorCode::NonEmptyGroup,
        GroupError::SubscribedToTopic => ErrorCode::GroupSubscribedToTopic,
    }
}

/// Why there is no word from a group's coordinator.
pub(crate) fn group_refusal(refusal: Refusal) -> ErrorCode {
    match refusal {
        Refusal::Loading => ErrorCode::CoordinatorLoadInProgress,
        Refusal::NotCoordinator => ErrorCode::NotCoordinator,
        // A commit that is late may still come to be: the client asks again.
        Refusal::Unavailable | Refusal::TimedOut => ErrorCode::CoordinatorNotAvailable,
    }
}

/// What an old fetcher is told instead of errors it does not know.
pub(crate) fn fetch_error_for(error: ErrorCode, version: i16) -> ErrorCode {
    match error {
        ErrorCode::KafkaStorageError if version <= 5 => ErrorCode::NotLeaderOrFollower,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_records::{Codec, RefusedRecord};
    use ottla_types::{LeaderEpoch, Lsn, Offset, ProducerEpoch, Sequence, Timestamp};

    #[test]
    fn refused_batches_have_kafkas_codes() {
        let malformed = |error| ProduceBatchError::Malformed(error);
        let refused =
            |refusal| ProduceBatchError::Refused(vec![RefusedRecord { index: 0, refusal }]);
        let time = Timestamp::from_millis(0);
        let late = RecordRefusal::Timestamp {
            index: 0,
            timestamp: time,
            earliest: time,
            latest: time,
        };
        let compression = |error| ProduceBatchError::Compression(error);
        for (error, code) in [
            (ProduceBatchError::Empty, 87),
            (
                malformed(BatchError::Truncated {
                    size: 9,
                    remaining: 1,
                }),
                87,
            ),
            (malformed(BatchError::Length { length: -1 }), 2),
            (malformed(BatchError::Magic { magic: 1 }), 87),
            (malformed(BatchError::Magic { magic: 3 }), 2),
            (malformed(BatchError::RecordsCount { count: -1 }), 87),
            (ProduceBatchError::TrailingBytes { size: 1 }, 87),
            (ProduceBatchError::TooLarge { size: 2, max: 1 }, 10),
            (
                ProduceBatchError::Crc {
                    stored: 1,
                    computed: 2,
                },
                2,
            ),
            (ProduceBatchError::BaseOffset { base_offset: 1 }, 87),
            (
                ProduceBatchError::Count {
                    count: 1,
                    last_offset_delta: 5,
                },
                87,
            ),
            (ProduceBatchError::Control, 87),
            (ProduceBatchError::Sequence { sequence: -1 }, 87),
            (ProduceBatchError::LogAppendTime, 32),
            (compression(DecompressError::UnknownCodec { number: 6 }), 76),
            (
                compression(DecompressError::TooLarge {
                    codec: Codec::Gzip,
                    limit: 1,
                }),
                10,
            ),
            (
                ProduceBatchError::OffsetDelta {
                    index: 0,
                    offset_delta: 4,
                },
                87,
            ),
            (refused(late), 32),
            (refused(RecordRefusal::NullKey), 87),
        ] {
            assert_eq!(produce_batch(&error).code(), code, "{error}");
        }
    }

    #[test]
    fn refused_appends_have_kafkas_codes() {
        let epoch = ProducerEpoch::new(1);
        for (error, code) in [
            (AppendError::UnknownPartition, 6),
            (
                AppendError::FencedLeaderEpoch {
                    given: LeaderEpoch::new(0),
                    current: LeaderEpoch::new(1),
                },
                6,
            ),
            (
                AppendError::OutOfOrderSequence {
                    base_sequence: Sequence::new(4),
                    last_sequence: None,
                    durability: Lsn::ZERO,
                },
                45,
            ),
            (
                AppendError::InvalidProducerEpoch {
                    given: epoch,
                    current: epoch,
                    durability: Lsn::ZERO,
                },
                47,
            ),
            (
                AppendError::OpenTransaction {
                    durability: Lsn::ZERO,
                },
                48,
            ),
            (
                AppendError::RecordListTooLarge {
                    size: 2,
                    segment_bytes: 1,
                },
                18,
            ),
            (AppendError::Full, 56),
            (AppendError::Offline, 56),
            (
                AppendError::Damaged {
                    reason: String::new(),
                },
                56,
            ),
        ] {
            assert_eq!(append(&error).code(), code, "{error}");
        }
    }

    #[test]
    fn refused_groups_have_kafkas_codes() {
        for (error, code) in [
            (GroupError::InvalidGroupId, 24),
            (GroupError::UnknownGroup, 69),
            (GroupError::InvalidSessionTimeout, 26),
            (GroupError::GroupFull, 81),
            (GroupError::MemberIdRequired, 79),
            (GroupError::UnknownMember, 25),
            (GroupError::FencedInstance, 82),
            (GroupError::IllegalGeneration, 22),
            (GroupError::RebalanceInProgress, 27),
            (GroupError::InconsistentProtocol, 23),
            (GroupError::StateTooLarge, -1),
            (GroupError::CommitTooLarge, 28),
            (GroupError::OffsetMetadataTooLarge, 12),
            (GroupError::NonEmptyGroup, 68),
            (GroupError::SubscribedToTopic, 86),
        ] {
            assert_eq!(group(error).code(), code, "{error}");
        }
        for (refusal, code) in [
            (Refusal::Loading, 14),
            (Refusal::NotCoordinator, 16),
            (Refusal::Unavailable, 15),
            (Refusal::TimedOut, 15),
        ] {
            assert_eq!(group_refusal(refusal).code(), code, "{refusal:?}");
        }
    }

    #[test]
    fn failed_reads_have_kafkas_codes() {
        let (log_start, end) = (Offset::ZERO, Offset::ZERO);
        assert_eq!(
            read(&ReadError::OutOfRange { log_start, end }),
            ErrorCode::OffsetOutOfRange
        );
        assert_eq!(read(&ReadError::Offline), ErrorCode::KafkaStorageError);
        assert_eq!(
            storage(&StorageError::OutOfRange { log_start, end }),
            ErrorCode::OffsetOutOfRange
        );
        assert_eq!(
            storage(&StorageError::Offline),
            ErrorCode::KafkaStorageError
        );
        let old = |version| fetch_error_for(ErrorCode::KafkaStorageError, version).code();
        assert_eq!((old(5), old(6)), (6, 56));
    }
}
