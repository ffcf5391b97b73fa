mod answer;
mod large;
mod result;

use answer::Answer;
use large::{Writing, write_large};
use result::{PartitionResult, refused_append, refused_batch};

use crate::connection::NamedTopic;
use crate::counter::add;
use crate::partition::{LocalPartition, LogHome, ProduceView};
use crate::request::{Handled, Request};
use crate::response::{CloseReason, Outcome};
use crate::waiting::{
    FailedReply, HeldPatience, JournalPlace, ParkedReply, Recompressed, WrittenBatch,
};
use ottla_metadata::is_internal_topic;
use ottla_protocol::Records;
use ottla_protocol::messages::produce_request::{ProduceRequest, TopicProduceData};
use ottla_records::{
    BatchView, Codec, Compressor, ProduceBatchError, Scratch, ValidBatch, recompress,
    validate_produce,
};
use ottla_storage::log_dir::{AppendBatch, AppendOrigin, Appended};
use ottla_storage::partition::Durability;
use ottla_types::{ErrorCode, Lsn, TopicId};
use std::sync::Arc;

/// Clients of this name may write to Kafka's internal topics (`AdminUtils.ADMIN_CLIENT_ID`).
const ADMIN_CLIENT_ID: &str = "__admin_client";

/// How sure a producer wants to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Acks {
    /// No answer.
    None,
    /// Safe on the leader.
    Leader,
    /// Safe on every in-sync replica.
    All,
}

impl Acks {
    fn from_wire(acks: i16) -> Option<Acks> {
        match acks {
            0 => Some(Acks::None),
            1 => Some(Acks::Leader),
            -1 => Some(Acks::All),
            _ => None,
        }
    }
}

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: ProduceRequest<'_> = request.decode()?;
    for topic in &message.topic_data {
        let named = match request.version() < 13 {
            true => NamedTopic::ByName(&topic.name),
            false => NamedTopic::ById(TopicId::new(topic.topic_id)),
        };
        request.connection.uses(named, &request.view.image);
    }
    let acks = Acks::from_wire(message.acks);
    let mut is_over = request.held.as_ref().is_some_and(|held| held.is_over);
    if request.held.is_none() && request.broker.is_congested() {
        return Ok(hold(&request, &message, acks, None));
    }
    if is_any_closed(&request, &message) {
        if !request.is_out_of_patience() {
            return Ok(hold(&request, &message, acks, None));
        }
        is_over = true;
    }
    let refusal = match is_over {
        true => Some(ErrorCode::RequestTimedOut),
        false => refuse_all(&message),
    };
    let mut made = Vec::new();
    let is_written = has_large(&request, &message);
    if !is_written && refusal.is_none() {
        match write_large(&request, acks, &message) {
            Writing::Nothing(batches) => made = batches,
            Writing::Begun(large) => return Ok(hold(&request, &message, acks, Some(large))),
            Writing::Later => return Ok(hold(&request, &message, acks, None)),
        }
    }
    // From here on no log changes its directory until this is done.
    let entered = request.broker.gate.enter(request.connection.core);
    let has_moved = is_written && !has_large(&request, &message);
    if refusal.is_none() && (has_moved || is_any_closed(&request, &message)) {
        drop(entered);
        return Ok(hold(&request, &message, acks, None));
    }
    let reply_to = request.reply_to();
    let (writer, start) = reply_to.begin();
    let mut answer = Answer::new(writer, request.version());
    let mut scratch = request.broker.cores[request.connection.core.index()]
        .scratch
        .lock();
    let produce =
        |place: Place<'_>, records: Option<Records<'_>>, scratch: &mut Scratch| match refusal {
            Some(code) => (None, PartitionResult::error(code)),
            None => {
                let ready = request.large().filter(|_| is_written);
                let ready = ready.unwrap_or(&made);
                let ready = ready.iter().find(|it| it.place == place.number);
                produce_one(&request, acks, place, records, ready, scratch)
            }
        };
    answer
        .write(&message, &request, &mut scratch, produce)
        .and_then(|()| answer.writer.finish_frame(start))
        .map_err(|error| reply_to.cannot_encode(error))?;
    drop(scratch);
    drop(entered);
    if acks == Some(Acks::None) {
        return match answer.has_errors {
            true => Err(CloseReason::FailedWithoutAcks),
            false => Ok(Outcome::NoReply),
        };
    }
    let reply = ParkedReply {
        frame: answer.writer.into_buf(),
        failure: FailedReply::ErrorsAt(answer.error_positions),
        places: answer.places,
        deadline: Some(request.journal_deadline(message.timeout_ms)),
    };
    let core = request.connection.core;
    let token = request.held.as_ref().map(|held| held.token);
    Ok(request.broker.reply_or_park(core, reply, token))
}

/// Keeps the request until there is room, about as long as its client waits for it.
fn hold(
    request: &Request<'_>,
    message: &ProduceRequest<'_>,
    acks: Option<Acks>,
    large: Option<Vec<WrittenBatch>>,
) -> Outcome {
    let patience = HeldPatience {
        give_up: request.journal_deadline(message.timeout_ms),
        is_awaited: acks != Some(Acks::None),
    };
    request.keep(patience, large)
}

/// The partitions of a request that are here, counted from 0 over all topics.
fn locals<'v>(
    request: &'v Request<'_>,
    message: &'v ProduceRequest<'_>,
) -> impl Iterator<Item = (usize, &'v Arc<LocalPartition>)> {
    let partitions = message
        .topic_data
        .iter()
        .flat_map(|topic| topic.partition_data.iter().map(move |data| (topic, data)));
    partitions
        .enumerate()
        .filter_map(move |(number, (topic, data))| {
            let place = Place {
                topic,
                index: data.index,
                number,
            };
            Some((number, place.find(request).ok()?))
        })
}

/// Whether one of the partitions changes its directory just now. Then all wait: nothing is appended twice.
fn is_any_closed(request: &Request<'_>, message: &ProduceRequest<'_>) -> bool {
    let gate = &request.broker.gate;
    !gate.is_free() && locals(request, message).any(|(_, partition)| gate.is_closed(partition.id))
}

/// Whether the request's large batches are written, and where its partitions still are.
fn has_large(request: &Request<'_>, message: &ProduceRequest<'_>) -> bool {
    request.large().is_some_and(|large| {
        let is_elsewhere = |(number, partition): (usize, &Arc<LocalPartition>)| {
            let mut written = large.iter().filter(|it| it.place == number);
            written.any(|it| it.directory != partition.home().directory)
        };
        !locals(request, message).any(is_elsewhere)
    })
}

/// An error that strikes the whole request. Nothing is appended.
fn refuse_all(message: &ProduceRequest<'_>) -> Option<ErrorCode> {
    let is_transactional = |records: &Option<Records<'_>>| match records {
        Some(Records::Slice(bytes)) => {
            BatchView::parse(bytes).is_ok_and(|batch| batch.is_transactional())
        }
        _ => false,
    };
    let mut partitions = message
        .topic_data
        .iter()
        .flat_map(|topic| &topic.partition_data);
    let has_transaction = message.transactional_id.is_some()
        || partitions.any(|partition| is_transactional(&partition.records));
    if has_transaction {
        // Transactions come with a later release; this error is final for every client.
        return Some(ErrorCode::TransactionalIdAuthorizationFailed);
    }
    Acks::from_wire(message.acks)
        .is_none()
        .then_some(ErrorCode::InvalidRequiredAcks)
}

/// A partition as a request names it.
#[derive(Clone, Copy)]
struct Place<'a> {
    topic: &'a TopicProduceData<'a>,
    index: i32,
    /// Counted from 0 over all topics of the request.
    number: usize,
}

impl Place<'_> {
    fn find<'v>(&self, request: &'v Request<'_>) -> Result<&'v Arc<LocalPartition>, ErrorCode> {
        match request.version() < 13 {
            true => request.view.by_name(&self.topic.name, self.index),
            false => {
                let id = TopicId::new(self.topic.topic_id);
                request.view.by_id(id, self.index)
            }
        }
    }
}

/// Whether the client may write to the partition's topic at all.
fn may_write(request: &Request<'_>, partition: &LocalPartition) -> bool {
    !is_internal_topic(&partition.topic) || request.header.client_id == Some(ADMIN_CLIENT_ID)
}

fn produce_one<'v>(
    request: &'v Request<'_>,
    acks: Option<Acks>,
    place: Place<'_>,
    records: Option<Records<'_>>,
    written: Option<&WrittenBatch>,
    scratch: &mut Scratch,
) -> (Option<&'v Arc<LocalPartition>>, PartitionResult) {
    let partition = match place.find(request) {
        Ok(partition) => partition,
        Err(code) => return (None, PartitionResult::error(code)),
    };
    if !may_write(request, partition) {
        return (
            Some(partition),
            PartitionResult::error(ErrorCode::InvalidTopicException),
        );
    }
    let bytes = match records {
        Some(Records::Slice(bytes)) => bytes,
        _ => &[],
    };
    let mut result = append(request, acks, partition, bytes, written, scratch);
    if 13 <= request.version() && result.error == ErrorCode::UnknownTopicOrPartition {
        result.error = ErrorCode::UnknownTopicId; // Deleted while the request was on its way.
    }
    if result.error != ErrorCode::None {
        partition.metrics.produce_failed.count(result.error);
    }
    (Some(partition), result)
}

fn append(
    request: &Request<'_>,
    acks: Option<Acks>,
    partition: &Arc<LocalPartition>,
    bytes: &[u8],
    written: Option<&WrittenBatch>,
    scratch: &mut Scratch,
) -> PartitionResult {
    let view = match partition.produce_view() {
        Ok(view) => view,
        Err(code) => return PartitionResult::error(code),
    };
    if acks == Some(Acks::All) && !view.has_enough_replicas {
        return PartitionResult::error(ErrorCode::NotEnoughReplicas);
    }
    let facts = match validate_produce(bytes, &view.rules, request.now.wall, scratch) {
        Ok(facts) => facts,
        Err(error) => return refused_batch(partition, &error),
    };
    if facts.codec == Codec::Zstd && request.version() < 7 {
        let message =
            "Produce requests with version below 7 are not allowed to use ZStandard compression";
        let code = ErrorCode::UnsupportedCompressionType;
        return PartitionResult::with_message(code, message.to_owned());
    }
    // What was made ready before is appended as it was made.
    let again = match written {
        Some(_) => Ok(None),
        None => recompressed(request, bytes, &facts, &view, scratch),
    };
    let again = match again {
        Ok(again) => again,
        Err(error) => return refused_batch(partition, &error),
    };
    let again = written.map_or(again.as_ref(), |it| it.again.as_ref());
    let (bytes, facts) = match again {
        Some((bytes, facts)) => (&bytes[..], facts),
        None => (bytes, &facts),
    };
    let batch = AppendBatch {
        bytes,
        facts,
        origin: AppendOrigin::Client,
    };
    let home = partition.home();
    let (log_dir, slot, epoch) = (&home.log_dir, home.slot, view.leader_epoch);
    let appended = match written.and_then(|it| it.batch.as_ref()) {
        None => log_dir.append_unawaited(slot, epoch, batch, request.now),
        Some(Ok(large)) => log_dir.append_large(slot, epoch, batch, large, request.now),
        Some(Err(error)) => Err(error.clone()),
    };
    match appended {
        Ok(appended) => accepted(request, partition, &home, facts, &appended),
        Err(error) => refused_append(request, partition, &home, &error),
    }
}

/// The batch as the topic stores it, if it comes compressed in another way.
fn recompressed(
    request: &Request<'_>,
    bytes: &[u8],
    facts: &ValidBatch,
    view: &ProduceView,
    scratch: &mut Scratch,
) -> Result<Option<Recompressed>, ProduceBatchError> {
    let Some((codec, level)) = view.compression.filter(|(codec, _)| *codec != facts.codec) else {
        return Ok(None);
    };
    add(&request.broker.metrics.recompressed_batches, 1);
    let batch = BatchView::parse(bytes)?;
    let mut compressor = Compressor::with_level(level);
    let bytes = recompress(&batch, codec, scratch, &mut compressor)?;
    let (size, max) = (bytes.len(), view.rules.max_message_bytes);
    if max < size {
        return Err(ProduceBatchError::TooLarge { size, max });
    }
    let facts = ValidBatch {
        size,
        codec,
        ..facts.clone()
    };
    Ok(Some((bytes, facts)))
}

fn accepted(
    request: &Request<'_>,
    partition: &Arc<LocalPartition>,
    home: &LogHome,
    facts: &ValidBatch,
    appended: &Appended,
) -> PartitionResult {
    let broker = request.broker;
    let place = place_of(home, appended.durability);
    if appended.duplicate {
        add(&broker.metrics.duplicate_batches, 1);
    } else {
        let (size, records) = (facts.size as u64, u64::from(facts.records_count));
        broker.metrics.appended(facts);
        add(&broker.metrics.produced_batches, 1);
        add(&broker.metrics.produced_bytes, size);
        add(&broker.metrics.produced_records, records);
        add(&partition.metrics.bytes_in, size);
        add(&partition.metrics.records_in, records);
        let core = request.connection.core;
        if let Some(place) = place {
            broker.await_partition(core, partition, place);
            if place.durability == Durability::Os {
                broker.owe_write(core, place.directory);
            }
        }
    }
    PartitionResult {
        error: ErrorCode::None,
        base_offset: appended.base_offset.get(),
        log_append_time: appended.log_append_time.map_or(-1, |time| time.as_millis()),
        log_start_offset: appended.log_start_offset.get(),
        message: None,
        record_errors: Vec::new(),
        place,
    }
}

fn place_of(home: &LogHome, lsn: Lsn) -> Option<JournalPlace> {
    if lsn == Lsn::ZERO {
        return None;
    }
    let durability = home.log_dir.durability(home.slot);
    Some(JournalPlace {
        directory: home.directory,
        durability: durability.unwrap_or(Durability::Fsync),
        lsn,
    })
}
