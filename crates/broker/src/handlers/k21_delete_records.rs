use crate::append_gate::Entered;
use crate::error_map;
use crate::request::{Handled, Request};
use crate::waiting::{FailedReply, HeldPatience, JournalPlace, ParkedReply};
use ottla_metadata::is_internal_topic;
use ottla_protocol::messages::delete_records_request::DeleteRecordsRequest;
use ottla_protocol::{EncodeError, Writer};
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
    let reply_to = request.reply_to();
    let (writer, start) = reply_to.begin();
    let mut answer = Answer {
        writer,
        is_flexible: 2 <= request.version(),
        error_positions: Vec::new(),
        places: Vec::new(),
    };
    answer
        .write(&request, &message, &entered)
        .and_then(|()| answer.writer.finish_frame(start))
        .map_err(|error| reply_to.cannot_encode(error))?;
    // The records stay deleted only once the journal says so.
    let reply = ParkedReply {
        frame: answer.writer.into_buf(),
        failure: FailedReply::ErrorsAt(answer.error_positions),
        places: answer.places,
        deadline: Some(request.journal_deadline(message.timeout_ms)),
    };
    drop(entered);
    let core = request.connection.core;
    let token = request.held.as_ref().map(|held| held.token);
    Ok(request.broker.reply_or_park(core, reply, token))
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

/// The answer while it is written, so that the places of its errors are known.
struct Answer {
    writer: Writer,
    is_flexible: bool,
    error_positions: Vec<usize>,
    places: Vec<JournalPlace>,
}

impl Answer {
    fn write(
        &mut self,
        request: &Request<'_>,
        message: &DeleteRecordsRequest<'_>,
        entered: &Entered<'_>,
    ) -> Result<(), EncodeError> {
        self.writer.i32(0); // No throttling.
        self.writer.length(self.is_flexible, message.topics.len())?;
        for topic in &message.topics {
            self.writer.string(self.is_flexible, &topic.name)?;
            let partitions = &topic.partitions;
            self.writer.length(self.is_flexible, partitions.len())?;
            for partition in partitions {
                let (index, offset) = (partition.partition_index, partition.offset);
                let deleted = delete(request, entered, &topic.name, index, offset);
                self.write_partition(request, index, deleted);
            }
            self.end_struct();
        }
        self.end_struct();
        Ok(())
    }

    fn write_partition(
        &mut self,
        request: &Request<'_>,
        index: i32,
        deleted: Result<(Offset, JournalPlace), ErrorCode>,
    ) {
        self.writer.i32(index);
        let code = match deleted {
            Ok((low_watermark, place)) => {
                self.writer.i64(low_watermark.get());
                self.error_positions.push(self.writer.buf().len());
                self.places.push(place);
                ErrorCode::None
            }
            Err(code) => {
                self.writer.i64(NO_LOW_WATERMARK);
                code
            }
        };
        request.broker.metrics.error(code);
        self.writer.i16(code.code());
        self.end_struct();
    }

    fn end_struct(&mut self) {
        if self.is_flexible {
            self.writer.no_tagged_fields();
        }
    }
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
