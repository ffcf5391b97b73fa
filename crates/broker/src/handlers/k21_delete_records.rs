use crate::error_map;
use crate::request::{Handled, Request};
use crate::waiting::{FailedReply, JournalPlace, ParkedReply};
use ottla_metadata::is_internal_topic;
use ottla_protocol::messages::delete_records_request::DeleteRecordsRequest;
use ottla_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use ottla_storage::partition::Durability;
use ottla_types::{ErrorCode, Offset};
use std::borrow::Cow;

/// Asks for the high watermark.
const UP_TO_HIGH_WATERMARK: i64 = -1;
/// Kafka's "no low watermark".
const NO_LOW_WATERMARK: i64 = -1;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: DeleteRecordsRequest<'_> = request.decode()?;
    let mut places = Vec::new();
    let mut topics = Vec::with_capacity(message.topics.len());
    for topic in &message.topics {
        let partitions = topic.partitions.iter().map(|partition| {
            let deleted = delete(
                &request,
                &topic.name,
                partition.partition_index,
                partition.offset,
            );
            let (code, low_watermark) = match deleted {
                Ok((low_watermark, place)) => {
                    places.push(place);
                    (ErrorCode::None, low_watermark.get())
                }
                Err(code) => (code, NO_LOW_WATERMARK),
            };
            request.broker.metrics.error(code);
            DeleteRecordsPartitionResult {
                partition_index: partition.partition_index,
                low_watermark,
                error_code: code.code(),
            }
        });
        topics.push(DeleteRecordsTopicResult {
            name: Cow::Borrowed(&topic.name),
            partitions: partitions.collect(),
        });
    }
    let mut response = DeleteRecordsResponse {
        topics,
        ..DeleteRecordsResponse::default()
    };
    let frame = request.reply_to().frame(&response)?;
    forget_successes(&mut response);
    // The records stay deleted only once the journal says so. There is no replica to wait for, so
    // the request's timeout has nothing to bound.
    let reply = ParkedReply {
        frame,
        failure: FailedReply::Frame(request.reply_to().frame(&response)?),
        places,
        deadline: None,
    };
    Ok(request
        .broker
        .reply_or_park(request.connection.core, reply, None))
}

/// What is left to say when the journal went offline before the new log starts were in it.
fn forget_successes(response: &mut DeleteRecordsResponse<'_>) {
    let topics = response.topics.iter_mut();
    for partition in topics.flat_map(|topic| &mut topic.partitions) {
        if partition.error_code == ErrorCode::None.code() {
            partition.error_code = ErrorCode::KafkaStorageError.code();
            partition.low_watermark = NO_LOW_WATERMARK;
        }
    }
}

/// Moves the log start of one partition. Returns the new one and the journal entry that makes it last.
fn delete(
    request: &Request<'_>,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<(Offset, JournalPlace), ErrorCode> {
    if is_internal_topic(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let local = request.view.by_name(topic, partition)?;
    let read = local.read_view(None)?;
    if !local.config().deletes_records() {
        return Err(ErrorCode::PolicyViolation);
    }
    let to = match offset {
        UP_TO_HIGH_WATERMARK => read.high_watermark,
        offset => Offset::from_wire(offset).ok_or(ErrorCode::OffsetOutOfRange)?,
    };
    if read.high_watermark < to {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    let lsn = local.log_dir.delete_records(local.slot, to);
    let lsn = lsn.map_err(|error| error_map::storage(&error))?;
    let moved = local.announce();
    request.broker.note_moved(&moved);
    let place = JournalPlace {
        directory: local.directory,
        durability: Durability::Fsync,
        lsn,
    };
    Ok((to.max(read.log_start_offset), place))
}
