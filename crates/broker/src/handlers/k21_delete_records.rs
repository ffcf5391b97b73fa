use super::journaled_answer::JournaledAnswer;
use crate::append_gate::Entered;
use crate::error_map;
use crate::request::{Handled, Request};
use crate::waiting::{HeldPatience, JournalPlace};
use ottla_metadata::is_internal_topic;
use ottla_protocol::EncodeError;
use ottla_protocol::messages::delete_records_request::DeleteRecordsRequest;
use ottla_storage::partition::Durability;
use ottla_types::{ErrorCode, Offset};

/// Asks for the high watermark.
const UP_TO_HIGH_WATERMARK: i64 = -1;
/// Kafka's "no low watermark".
const NO_LOW_WATERMARK: i64 = -1;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: DeleteRecordsRequest<'_> = request.decode()?;
    let entered = request.broker.gate.enter(request.connection.core);
    if is_closed(&request, &message, &entered) && !request.is_out_of_patience() {
        drop(entered);
        let patience = HeldPatience {
            give_up: request.journal_deadline(message.timeout_ms),
            is_awaited: true,
        };
        return Ok(request.keep(patience, None));
    }
    let mut answer = JournaledAnswer::begin(&request, 2);
    let written = write(&mut answer, &request, &message, &entered);
    drop(entered);
    // The records stay deleted only once the journal says so.
    let deadline = request.journal_deadline(message.timeout_ms);
    answer.finish(written, &request, deadline)
}

/// Whether one of the partitions changes its directory just now: a log start that moved only where the log was
/// would be lost.
fn is_closed(
    request: &Request<'_>,
    message: &DeleteRecordsRequest<'_>,
    entered: &Entered<'_>,
) -> bool {
    if request.broker.gate.is_free() {
        return false;
    }
    let mut partitions = message.topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|partition| (&*topic.name, partition.partition_index))
    });
    partitions.any(|(topic, index)| {
        let local = request.view.by_name(topic, index);
        local.is_ok_and(|local| entered.is_closed(local.id))
    })
}

fn write(
    answer: &mut JournaledAnswer,
    request: &Request<'_>,
    message: &DeleteRecordsRequest<'_>,
    entered: &Entered<'_>,
) -> Result<(), EncodeError> {
    answer.writer.i32(0); // No throttling.
    answer.length(message.topics.len())?;
    for topic in &message.topics {
        answer.string(&topic.name)?;
        answer.length(topic.partitions.len())?;
        for partition in &topic.partitions {
            let (index, offset) = (partition.partition_index, partition.offset);
            let deleted = delete(request, entered, &topic.name, index, offset);
            let low_watermark = deleted.map_or(NO_LOW_WATERMARK, |(offset, _)| offset.get());
            answer.writer.i32(index);
            answer.writer.i64(low_watermark);
            answer.error(request, deleted.map(|(_, place)| [place]));
            answer.end_struct();
        }
        answer.end_struct();
    }
    answer.end_struct();
    Ok(())
}

/// Moves the log start of one partition. Returns the new one and the journal entry that makes it last.
fn delete(
    request: &Request<'_>,
    entered: &Entered<'_>,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<(Offset, JournalPlace), ErrorCode> {
    if is_internal_topic(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let local = request.view.by_name(topic, partition)?;
    if entered.is_closed(local.id) {
        return Err(ErrorCode::RequestTimedOut);
    }
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
    let home = local.home();
    let lsn = home.log_dir.delete_records(home.slot, to);
    let lsn = lsn.map_err(|error| local.error_unless_gone(error_map::storage(&error)))?;
    let moved = local.announce();
    request.broker.note_moved(&moved);
    let place = JournalPlace {
        directory: home.directory,
        durability: Durability::Fsync,
        lsn,
    };
    Ok((to.max(read.log_start_offset), place))
}
