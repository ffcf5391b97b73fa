use super::leader_hints::{LeaderHint, LeaderHints};
use crate::error_map;
use crate::metrics::add;
use crate::parking::Keep;
use crate::partition::{LocalPartition, ProduceView};
use crate::request::{Handled, Request};
use crate::response::{CloseReason, Outcome};
use crate::view::View;
use crate::waiting::{
    FailedReply, HeldPatience, JournalPlace, ParkedReply, Recompressed, WrittenBatch,
};
use ottla_metadata::is_internal_topic;
use ottla_protocol::messages::produce_request::{ProduceRequest, TopicProduceData};
use ottla_protocol::{EncodeError, Records, Writer};
use ottla_records::{
    BatchError, BatchView, Codec, Compressor, ProduceBatchError, RecordRefusal, Scratch,
    ValidBatch, recompress, validate_produce,
};
use ottla_storage::log_dir::{AppendBatch, AppendError, AppendOrigin, Appended};
use ottla_storage::partition::Durability;
use ottla_types::{ErrorCode, Lsn, PartitionId, TopicId, TopicPartition};
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

/// What became of one partition's records.
struct PartitionResult {
    error: ErrorCode,
    /// -1 when nothing was appended.
    base_offset: i64,
    log_append_time: i64,
    log_start_offset: i64,
    message: Option<String>,
    /// Records that were refused, by place in the batch.
    record_errors: Vec<(i32, String)>,
    /// What must be durable before this may be said.
    place: Option<JournalPlace>,
}

impl PartitionResult {
    fn error(error: ErrorCode) -> PartitionResult {
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

    fn with_message(error: ErrorCode, message: String) -> PartitionResult {
        PartitionResult {
            message: Some(message),
            ..PartitionResult::error(error)
        }
    }
}

/// The answer while it is written, partition by partition.
struct Answer {
    writer: Writer,
    version: i16,
    hints: LeaderHints,
    error_positions: Vec<usize>,
    places: Vec<JournalPlace>,
    has_errors: bool,
}

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: ProduceRequest<'_> = request.decode()?;
    let acks = Acks::from_wire(message.acks);
    let is_over = request.held.as_ref().is_some_and(|held| held.is_over);
    if request.held.is_none() && request.broker.is_congested() {
        return Ok(hold(&request, &message, acks, None));
    }
    let refusal = match is_over {
        true => Some(ErrorCode::RequestTimedOut),
        false => refuse_all(&message),
    };
    if request.large().is_none() && refusal.is_none() {
        match write_large(&request, acks, &message) {
            Writing::Nothing => {}
            Writing::Begun(large) => return Ok(hold(&request, &message, acks, Some(large))),
            Writing::Later => return Ok(hold(&request, &message, acks, None)),
        }
    }
    let reply_to = request.reply_to();
    let (writer, start) = reply_to.begin();
    let mut answer = Answer {
        writer,
        version: request.version(),
        hints: LeaderHints::new(),
        error_positions: Vec::new(),
        places: Vec::new(),
        has_errors: false,
    };
    let mut scratch = request.broker.cores[request.connection.core.index()]
        .scratch
        .lock();
    let produce =
        |place: Place<'_>, records: Option<Records<'_>>, scratch: &mut Scratch| match refusal {
            Some(code) => (None, PartitionResult::error(code)),
            None => produce_one(&request, acks, place, records, scratch),
        };
    answer
        .write(&message, &request, &mut scratch, produce)
        .and_then(|()| answer.writer.finish_frame(start))
        .map_err(|error| reply_to.cannot_encode(error))?;
    drop(scratch);
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
    let before = request.held.as_ref();
    let patience = HeldPatience {
        give_up: request.journal_deadline(message.timeout_ms),
        is_awaited: acks != Some(Acks::None),
    };
    let keep = Keep {
        patience: before.map_or(patience, |held| held.patience),
        token: before.map(|held| held.token),
        large,
    };
    let (connection, frame) = (&*request.connection, request.frame);
    let token = request.broker.hold(connection, frame, keep, request.now);
    Outcome::Parked {
        token,
        // Before its effect: nothing behind it on the connection may overtake it.
        blocks_connection: true,
    }
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

/// What becomes of the large batches of a request.
enum Writing {
    /// There are none that the partitions would take.
    Nothing,
    /// They are being written.
    Begun(Vec<WrittenBatch>),
    /// There are too many of other requests.
    Later,
}

/// Begins to write those batches of a request that are too large for their journals.
fn write_large(request: &Request<'_>, acks: Option<Acks>, message: &ProduceRequest<'_>) -> Writing {
    let mut found = Vec::new();
    let partitions = message
        .topic_data
        .iter()
        .flat_map(|topic| topic.partition_data.iter().map(move |data| (topic, data)));
    for (number, (topic, data)) in partitions.enumerate() {
        let place = Place {
            topic,
            index: data.index,
            number,
        };
        if let Some(Records::Slice(bytes)) = data.records
            && is_suspect(request, bytes)
            && let Ok(partition) = place.find(request)
            && may_be_large(partition, bytes)
        {
            found.push((number, partition, bytes));
        }
    }
    if found.is_empty() {
        return Writing::Nothing;
    }
    // Asked first as sent: what cannot be written yet is not compressed again and again.
    let takes = |partition: &LocalPartition, size: usize| {
        !partition.log_dir.is_large(size) || partition.log_dir.takes_large(size)
    };
    if !found
        .iter()
        .all(|(_, partition, bytes)| takes(partition, bytes.len()))
    {
        return Writing::Later;
    }
    let mut scratch = request.broker.cores[request.connection.core.index()]
        .scratch
        .lock();
    // What would be refused anyway is not written; it is refused when the request is carried out.
    let mut stored = |partition: &LocalPartition, bytes: &[u8]| {
        let view = partition.produce_view().ok()?;
        if acks == Some(Acks::All) && !view.has_enough_replicas {
            return None;
        }
        let facts = validate_produce(bytes, &view.rules, request.now.wall, &mut scratch).ok()?;
        recompressed(bytes, &facts, &view, &mut scratch).ok()
    };
    let mut large = Vec::new();
    for (place, partition, bytes) in found {
        let Some(again) = may_write(request, partition)
            .then(|| stored(partition, bytes))
            .flatten()
        else {
            continue;
        };
        let size = again.as_ref().map_or(bytes.len(), |(bytes, _)| bytes.len());
        if !takes(partition, size) {
            return Writing::Later;
        }
        if partition.log_dir.is_large(size) {
            large.push((place, partition, bytes, again));
        }
    }
    if large.is_empty() {
        return Writing::Nothing;
    }
    let begin = |(place, partition, bytes, again): (_, &Arc<LocalPartition>, &[u8], _)| {
        let again: Option<Recompressed> = again;
        let stored = again.as_ref().map_or(bytes, |(bytes, _)| &bytes[..]);
        WrittenBatch {
            place,
            batch: partition.log_dir.write_large(stored),
            again,
        }
    };
    Writing::Begun(large.into_iter().map(begin).collect())
}

/// Whether the client may write to the partition's topic at all.
fn may_write(request: &Request<'_>, partition: &LocalPartition) -> bool {
    !is_internal_topic(&partition.topic) || request.header.client_id == Some(ADMIN_CLIENT_ID)
}

/// Whether a batch can be too large for a journal at all, as it was sent or compressed in another way.
fn is_suspect(request: &Request<'_>, bytes: &[u8]) -> bool {
    // What does not compress grows a little.
    let grown = bytes.len() + bytes.len() / 8 + 4096;
    let mut log_dirs = request.broker.log_dirs.iter();
    log_dirs.any(|log_dir| log_dir.is_large(grown))
        || BatchView::parse(bytes).is_ok_and(|batch| batch.codec() != Ok(Codec::None))
}

/// Whether such a batch can be too large for the partition's journal.
fn may_be_large(partition: &LocalPartition, bytes: &[u8]) -> bool {
    let is_large = |size| partition.log_dir.is_large(size);
    is_large(bytes.len()) || partition.recompresses_up_to().is_some_and(is_large)
}

fn produce_one<'v>(
    request: &'v Request<'_>,
    acks: Option<Acks>,
    place: Place<'_>,
    records: Option<Records<'_>>,
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
    let mut written = request.large().into_iter().flatten();
    let written = written.find(|it| it.place == place.number);
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
    // What was written before is appended as it was written.
    let again = match written {
        Some(_) => Ok(None),
        None => recompressed(bytes, &facts, &view, scratch),
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
    let (log_dir, slot, epoch) = (&partition.log_dir, partition.slot, view.leader_epoch);
    let appended = match written.map(|it| &it.batch) {
        None => log_dir.append(slot, epoch, batch, request.now),
        Some(Ok(large)) => log_dir.append_large(slot, epoch, batch, large, request.now),
        Some(Err(error)) => Err(error.clone()),
    };
    match appended {
        Ok(appended) => accepted(request, partition, facts, &appended),
        Err(error) => refused_append(request, partition, &error),
    }
}

/// The batch as the topic stores it, if it comes compressed in another way.
fn recompressed(
    bytes: &[u8],
    facts: &ValidBatch,
    view: &ProduceView,
    scratch: &mut Scratch,
) -> Result<Option<Recompressed>, ProduceBatchError> {
    let Some((codec, level)) = view.compression.filter(|(codec, _)| *codec != facts.codec) else {
        return Ok(None);
    };
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
    facts: &ValidBatch,
    appended: &Appended,
) -> PartitionResult {
    let broker = request.broker;
    let place = place_of(partition, appended.durability);
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
        if let Some(place) = place {
            broker.await_partition(request.connection.core, partition, place);
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

fn place_of(partition: &LocalPartition, lsn: Lsn) -> Option<JournalPlace> {
    if lsn == Lsn::ZERO {
        return None;
    }
    let durability = partition.log_dir.durability(partition.slot);
    Some(JournalPlace {
        directory: partition.directory,
        durability: durability.unwrap_or(Durability::Fsync),
        lsn,
    })
}

fn refused_append(
    request: &Request<'_>,
    partition: &LocalPartition,
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
        | AppendError::NotContiguous { .. }
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
        place: place_of(partition, durability),
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

fn refused_batch(partition: &LocalPartition, error: &ProduceBatchError) -> PartitionResult {
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

impl Answer {
    fn write<'v>(
        &mut self,
        message: &ProduceRequest<'_>,
        request: &'v Request<'_>,
        scratch: &mut Scratch,
        produce: impl Fn(
            Place<'_>,
            Option<Records<'_>>,
            &mut Scratch,
        ) -> (Option<&'v Arc<LocalPartition>>, PartitionResult),
    ) -> Result<(), EncodeError> {
        let is_flexible = 9 <= self.version;
        self.writer.length(is_flexible, message.topic_data.len())?;
        let mut numbers = 0..;
        for topic in &message.topic_data {
            match self.version < 13 {
                true => self.writer.string(is_flexible, &topic.name)?,
                false => self.writer.uuid(topic.topic_id),
            }
            self.writer
                .length(is_flexible, topic.partition_data.len())?;
            for data in &topic.partition_data {
                let place = Place {
                    topic,
                    index: data.index,
                    number: numbers.next().expect("it has no end"),
                };
                let (partition, result) = produce(place, data.records, scratch);
                let id = match partition {
                    Some(partition) => Some(partition.id),
                    None => topic_partition(&request.view, topic, data.index),
                };
                request.broker.metrics.error(result.error);
                self.has_errors |= result.error != ErrorCode::None;
                let hint = self.hints.hint(&request.view, id, result.error);
                self.write_partition(data.index, result, hint)?;
            }
            if is_flexible {
                self.writer.no_tagged_fields();
            }
        }
        self.writer.i32(0); // No throttling.
        if is_flexible {
            self.write_endpoints(request)?;
        }
        Ok(())
    }

    fn write_partition(
        &mut self,
        index: i32,
        result: PartitionResult,
        hint: Option<LeaderHint>,
    ) -> Result<(), EncodeError> {
        let version = self.version;
        let is_flexible = 9 <= version;
        let writer = &mut self.writer;
        writer.i32(index);
        if let Some(place) = result.place {
            if result.error == ErrorCode::None {
                self.error_positions.push(writer.buf().len());
            }
            // One place per journal is enough: the highest.
            let is_same = |other: &&mut JournalPlace| {
                other.directory == place.directory && other.durability == place.durability
            };
            match self.places.iter_mut().find(is_same) {
                Some(other) => other.lsn = other.lsn.max(place.lsn),
                None => self.places.push(place),
            }
        }
        writer.i16(result.error.code());
        writer.i64(result.base_offset);
        writer.i64(result.log_append_time);
        if 5 <= version {
            writer.i64(result.log_start_offset);
        }
        if 8 <= version {
            writer.length(is_flexible, result.record_errors.len())?;
            for (place, text) in &result.record_errors {
                writer.i32(*place);
                writer.nullable_string(is_flexible, Some(text))?;
                if is_flexible {
                    writer.no_tagged_fields();
                }
            }
            writer.nullable_string(is_flexible, result.message.as_deref())?;
        }
        if is_flexible {
            let fields = writer.tagged_fields();
            if let Some(hint) = hint.filter(|_| 10 <= version) {
                let field = writer.begin_tagged_field(fields, 0);
                writer.i32(hint.leader_id);
                writer.i32(hint.leader_epoch);
                writer.no_tagged_fields();
                writer.end_tagged_field(field)?;
            }
        }
        Ok(())
    }

    fn write_endpoints(&mut self, request: &Request<'_>) -> Result<(), EncodeError> {
        let reached = &request.connection.reached;
        let addresses = self.hints.addresses(request.broker, &request.view, reached);
        let writer = &mut self.writer;
        let fields = writer.tagged_fields();
        if addresses.is_empty() || self.version < 10 {
            return Ok(());
        }
        let field = writer.begin_tagged_field(fields, 0);
        writer.length(true, addresses.len())?;
        for address in &addresses {
            writer.i32(address.node_id);
            writer.string(true, &address.host)?;
            writer.i32(address.port);
            writer.nullable_string(true, address.rack.as_deref())?;
            writer.no_tagged_fields();
        }
        writer.end_tagged_field(field)
    }
}

/// The partition a request means, also when it is not held here.
fn topic_partition(
    view: &View,
    topic: &TopicProduceData<'_>,
    index: i32,
) -> Option<TopicPartition> {
    let named = match topic.name.is_empty() {
        true => view.image.topic(TopicId::new(topic.topic_id)),
        false => view.image.topic_by_name(&topic.name),
    };
    Some(TopicPartition {
        topic_id: named?.id,
        partition: PartitionId::from_wire(index)?,
    })
}
