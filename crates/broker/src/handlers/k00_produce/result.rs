use super::place_of;
use crate::counter::add;
use crate::error_map;
use crate::partition::{LocalPartition, LogHome};
use crate::request::Request;
use crate::waiting::JournalPlace;
use ottla_records::{BatchError, ProduceBatchError, RecordRefusal};
use ottla_storage::log_dir::AppendError;
use ottla_types::{ErrorCode, Lsn};

/// What became of one partition's records.
pub(super) struct PartitionResult {
    pub(super) error: ErrorCode,
    /// -1 when nothing was appended.
    pub(super) base_offset: i64,
    pub(super) log_append_time: i64,
    pub(super) log_start_offset: i64,
    pub(super) message: Option<String>,
    /// Records that were refused, by place in the batch.
    pub(super) record_errors: Vec<(i32, String)>,
    /// What must be durable before this may be said.
    pub(super) place: Option<JournalPlace>,
}

impl PartitionResult {
    pub(super) fn error(error: ErrorCode) -> PartitionResult {
        PartitionResult {
            error,
            base_offset: -1,
            log_append_time: -1,
            log_start_offset: -1,
            message: None,
            record_errors: Vec::new(),
            place: None,
        }
    }

    pub(super) fn with_message(error: ErrorCode, message: String) -> PartitionResult {
        PartitionResult {
            message: Some(message),
            ..PartitionResult::error(error)
        }
    }
}

pub(super) fn refused_append(
    request: &Request<'_>,
    partition: &LocalPartition,
    home: &LogHome,
    error: &AppendError,
) -> PartitionResult {
    let durability = match error {
        AppendError::OutOfOrderSequence { durability, .. } => {
            add(&request.broker.metrics.out_of_sequence, 1);
            *durability
        }
        AppendError::InvalidProducerEpoch { durability, .. }
        | AppendError::OpenTransaction { durability } => *durability,
        AppendError::UnknownPartition
        | AppendError::FencedLeaderEpoch { .. }
        | AppendError::Overlaps { .. }
        | AppendError::Malformed { .. }
        | AppendError::RecordListTooLarge { .. }
        | AppendError::Large
        | AppendError::Full
        | AppendError::Offline
        | AppendError::Damaged { .. }
        | AppendError::Fault(_) => Lsn::ZERO,
    };
    let code = partition.error_unless_gone(error_map::append(error));
    PartitionResult {
        // The refusal shows what the log holds, so it waits like a success.
        place: place_of(home, durability),
        log_start_offset: match shows_log_start(code) {
            true => partition.log_start(),
            false => -1,
        },
        ..PartitionResult::with_message(code, error.to_string())
    }
}

/// Kafka shows where the log starts unless it did not even look at the partition, or the bytes were
/// too many or not what was sent.
fn shows_log_start(error: ErrorCode) -> bool {
    !matches!(
        error,
        ErrorCode::CorruptMessage
            | ErrorCode::MessageTooLarge
            | ErrorCode::RecordListTooLarge
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::KafkaStorageError
    )
}

pub(super) fn refused_batch(
    partition: &LocalPartition,
    error: &ProduceBatchError,
) -> PartitionResult {
    let mut result =
        PartitionResult::with_message(error_map::produce_batch(error), error.to_string());
    let is_unread = matches!(
        error,
        ProduceBatchError::Empty
            | ProduceBatchError::TrailingBytes { .. }
            | ProduceBatchError::Malformed(_)
    );
    if !is_unread && shows_log_start(result.error) {
        result.log_start_offset = partition.log_start();
    }
    if let ProduceBatchError::Malformed(BatchError::Magic { magic }) = error {
        result.message = Some(format!("Invalid magic found in record: {magic}"));
    }
    if let ProduceBatchError::Refused(records) = error {
        let texts = records.iter().map(|record| {
            let text = refused_record(partition, &record.refusal);
            (record.index as i32, text)
        });
        result.record_errors = texts.collect();
        result.message = Some(match result.error {
            ErrorCode::InvalidTimestamp => {
                "One or more records have been rejected due to invalid timestamp".to_owned()
            }
            _ => rejected(&result.record_errors),
        });
    }
    result
}

fn refused_record(partition: &LocalPartition, refusal: &RecordRefusal) -> String {
    match refusal {
        RecordRefusal::NullKey => {
            let (topic, number) = (&partition.topic, partition.id.partition);
            format!("{refusal} in topic partition {topic}-{number}")
        }
        RecordRefusal::Timestamp { .. } => refusal.to_string(),
    }
}

/// Kafka's words for records that are refused, with the first three.
fn rejected(errors: &[(i32, String)]) -> String {
    let some = errors.iter().take(3);
    let some =
        some.map(|(index, text)| format!("RecordError(batchIndex={index}, message='{text}')"));
    let some: Vec<String> = some.collect();
    format!(
        "One or more records have been rejected due to {} record errors in total, and only showing the first \
         three errors at most: [{}]",
        errors.len(),
        some.join(", ")
    )
}
