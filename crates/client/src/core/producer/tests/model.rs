//! A cluster of two brokers as simple as Kafka's rules allow.

use crate::core::call::{Answer, Call, CallFailure, CallId, Request, Target};
use crate::core::producer::ProducerCore;
use bytes::Bytes;
use ottla_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use ottla_protocol::messages::{
    InitProducerIdResponse, MetadataResponse, ProduceRequest, ProduceResponse,
};
use ottla_protocol::{Message, Reader, Records, Writer};
use ottla_records::{BatchView, Decompressor, ProduceRules, ProducerBatch, validate_produce};
use ottla_types::{
    BrokerId, ErrorCode, Mono, Now, Prng, ProducerEpoch, ProducerId, Timestamp, Uuid,
};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

/// What happens to the next batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not written: too few replicas.
    TooFewReplicas,
    /// Written, but the replicas were not in time.
    WrittenButTimedOut,
    /// Written, but too few replicas afterwards.
    WrittenButTooFew,
    /// Not written, although nobody can know: the disk failed.
    Storage,
    /// Refused for ever.
    TooLarge,
}

impl Fault {
    pub(super) const ALL: [Fault; 5] = [
        Fault::TooFewReplicas,
        Fault::WrittenButTimedOut,
        Fault::WrittenButTooFew,
        Fault::Storage,
        Fault::TooLarge,
    ];

    fn writes(self) -> bool {
        matches!(self, Fault::WrittenButTimedOut | Fault::WrittenButTooFew)
    }

    fn code(self) -> ErrorCode {
        match self {
            Fault::TooFewReplicas => ErrorCode::NotEnoughReplicas,
            Fault::WrittenButTimedOut => ErrorCode::RequestTimedOut,
            Fault::WrittenButTooFew => ErrorCode::NotEnoughReplicasAfterAppend,
            Fault::Storage => ErrorCode::KafkaStorageError,
            Fault::TooLarge => ErrorCode::MessageTooLarge,
        }
    }
}

#[derive(Default)]
struct ProducerState {
    epoch: i16,
    /// The last five batches and their offsets.
    batches: VecDeque<(ProducerBatch, i64)>,
}

#[derive(Default)]
struct Partition {
    leader: i32,
    leader_epoch: i32,
    log: Vec<u64>,
    producers: BTreeMap<ProducerId, ProducerState>,
}

/// A connection: requests on their way there, responses on their way back, both in order.
#[derive(Default)]
struct Wire {
    requests: VecDeque<(CallId, Request, Mono)>,
    responses: VecDeque<(CallId, Answer)>,
}

pub(super) struct Cluster {
    topic: &'static str,
    pub(super) batch_bytes_max: usize,
    partitions: Vec<Partition>,
    /// By broker; `None` is whoever is asked.
    wires: BTreeMap<Option<BrokerId>, Wire>,
    /// Requests of broken connections that a broker has read and will execute some time.
    late: VecDeque<(Option<BrokerId>, Request)>,
    prng: Prng,
    next_producer: i64,
    pub(super) next_fault: Option<Fault>,
}

impl Cluster {
    /// Batches above `batch_bytes_max` are too large.
    pub(super) fn new(
        topic: &'static str,
        partitions: usize,
        prng: Prng,
        batch_bytes_max: usize,
    ) -> Cluster {
        Cluster {
            topic,
            batch_bytes_max,
            partitions: (0..partitions)
                .map(|index| Partition {
                    leader: index as i32 % 2,
                    ..Partition::default()
                })
                .collect(),
            wires: BTreeMap::new(),
            late: VecDeque::new(),
            prng,
            next_producer: 100,
            next_fault: None,
        }
    }

    pub(super) fn logs(&self) -> impl Iterator<Item = &[u64]> {
        self.partitions
            .iter()
            .map(|partition| partition.log.as_slice())
    }

    pub(super) fn places(&self, partition: i32, number: u64) -> Vec<usize> {
        let log = &self.partitions[partition as usize].log;
        (0..log.len())
            .filter(|place| log[*place] == number)
            .collect()
    }

    pub(super) fn take_call(&mut self, call: Call, now: Mono) {
        let to = match call.target {
            Target::Any => None,
            Target::Broker(broker) => Some(broker.id),
        };
        let overdue_at = now.plus(call.timeout);
        self.wires
            .entry(to)
            .or_default()
            .requests
            .push_back((call.id, call.request, overdue_at));
    }

    fn some_wire(&mut self) -> Option<Option<BrokerId>> {
        let keys: Vec<Option<BrokerId>> = self.wires.keys().copied().collect();
        if keys.is_empty() {
            None
        } else {
            Some(*self.prng.pick(&keys))
        }
    }

    pub(super) fn has_work(&self) -> bool {
        self.wires
            .values()
            .any(|wire| !wire.requests.is_empty() || !wire.responses.is_empty())
    }

    /// Some broker executes its next request, or one of a connection that is long gone.
    pub(super) fn execute_one(&mut self) {
        if self.prng.chance(1, 4)
            && let Some((to, request)) = self.late.pop_front()
        {
            self.execute(to, &request);
            return;
        }
        let Some(to) = self.some_wire() else { return };
        let next = self
            .wires
            .get_mut(&to)
            .and_then(|wire| wire.requests.pop_front());
        if let Some((id, request, _)) = next {
            let answer = self.execute(to, &request);
            self.wires
                .entry(to)
                .or_default()
                .responses
                .push_back((id, answer));
        }
    }

    pub(super) fn respond_one(&mut self) -> Vec<(CallId, Answer)> {
        let Some(to) = self.some_wire() else {
            return Vec::new();
        };
        self.wires
            .get_mut(&to)
            .and_then(|wire| wire.responses.pop_front())
            .into_iter()
            .collect()
    }

    pub(super) fn execute_and_respond_all(&mut self, core: &mut ProducerCore, now: Now) {
        while self.has_work() {
            self.execute_one();
            for (id, answer) in self.respond_one() {
                core.on_answer(id, answer, now);
            }
        }
    }

    /// Breaks connections whose oldest request waits too long.
    pub(super) fn overdue(&mut self, now: Mono) -> Vec<(CallId, Answer)> {
        let overdue: Vec<Option<BrokerId>> = self
            .wires
            .iter()
            .filter(|(_, wire)| wire.requests.front().is_some_and(|(_, _, at)| *at <= now))
            .map(|(to, _)| *to)
            .collect();
        overdue
            .into_iter()
            .flat_map(|to| self.break_wire(to))
            .collect()
    }

    pub(super) fn break_connection(&mut self) -> Vec<(CallId, Answer)> {
        match self.some_wire() {
            Some(to) => self.break_wire(to),
            None => Vec::new(),
        }
    }

    /// Everything on the way is lost to the client, but the broker may have read the first requests.
    fn break_wire(&mut self, to: Option<BrokerId>) -> Vec<(CallId, Answer)> {
        let wire = self.wires.remove(&to).unwrap_or_default();
        let read = self.prng.below(wire.requests.len() as u64 + 1) as usize;
        let mut ids: Vec<CallId> = wire.responses.iter().map(|(id, _)| *id).collect();
        for (index, (id, request, _)) in wire.requests.into_iter().enumerate() {
            ids.push(id);
            if index < read {
                self.late.push_back((to, request));
            }
        }
        let lost = || {
            Answer::Failed(CallFailure::Lost {
                reason: "broken".to_owned(),
            })
        };
        ids.into_iter().map(|id| (id, lost())).collect()
    }

    pub(super) fn move_leader(&mut self) {
        if self.prng.chance(1, 10) {
            let index = self.prng.below(self.partitions.len() as u64) as usize;
            let partition = &mut self.partitions[index];
            partition.leader = 1 - partition.leader;
            partition.leader_epoch += 1;
        }
    }

    fn execute(&mut self, to: Option<BrokerId>, request: &Request) -> Answer {
        let mut writer = Writer::new();
        // Now with, now without topic ids in Produce.
        let highest = if self.prng.chance(1, 2) { 13 } else { 9 };
        let version = (*request.versions().end()).min(match request {
            Request::Produce(_) => highest,
            Request::Metadata(_) => 12,
            _ => 4,
        });
        request
            .encode(&mut writer, version)
            .expect("the machine's requests can be encoded");
        let body = writer.into_buf();
        let mut out = Writer::new();
        match request {
            Request::Metadata(_) => self.metadata().encode(&mut out, version),
            Request::InitProducerId => {
                self.next_producer += 1;
                InitProducerIdResponse {
                    producer_id: self.next_producer,
                    // Near the end, so that epochs run out as well.
                    producer_epoch: if self.prng.chance(1, 2) {
                        0
                    } else {
                        i16::MAX - 1
                    },
                    ..Default::default()
                }
                .encode(&mut out, version)
            }
            Request::Produce(_) => {
                let request = ProduceRequest::decode(&mut Reader::new(&body), version)
                    .expect("what was encoded is decoded");
                self.produce(to.expect("Produce names its broker"), &request)
                    .encode(&mut out, version)
            }
            Request::Fetch(_) | Request::ListOffsets(_) | Request::Group(_) => {
                panic!("producers do not fetch")
            }
        }
        .expect("a response fits its version");
        Answer::Response {
            version,
            body: Bytes::from(out.into_buf()),
        }
    }

    fn topic_id(&self) -> Uuid {
        Uuid::from_bytes([7; 16])
    }

    fn metadata(&self) -> MetadataResponse<'static> {
        let partitions =
            (0..)
                .zip(&self.partitions)
                .map(|(index, partition)| MetadataResponsePartition {
                    partition_index: index,
                    leader_id: partition.leader,
                    leader_epoch: partition.leader_epoch,
                    ..Default::default()
                });
        MetadataResponse {
            brokers: (0..2)
                .map(|node_id| MetadataResponseBroker {
                    node_id,
                    host: Cow::Borrowed("h"),
                    port: 9092,
                    rack: None,
                })
                .collect(),
            topics: vec![MetadataResponseTopic {
                name: Some(Cow::Borrowed(self.topic)),
                topic_id: self.topic_id(),
                partitions: partitions.collect(),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    fn produce<'a>(
        &mut self,
        broker: BrokerId,
        request: &ProduceRequest<'a>,
    ) -> ProduceResponse<'a> {
        let mut response = ProduceResponse::default();
        for topic in &request.topic_data {
            let mut answers = Vec::new();
            for data in &topic.partition_data {
                let Some(Records::Slice(batch)) = data.records else {
                    panic!("no records")
                };
                let (code, base_offset) = self.append(broker, data.index, batch);
                answers.push(PartitionProduceResponse {
                    index: data.index,
                    error_code: code as i16,
                    base_offset,
                    log_append_time_ms: -1,
                    ..Default::default()
                });
            }
            response.responses.push(TopicProduceResponse {
                name: topic.name.clone(),
                topic_id: topic.topic_id,
                partition_responses: answers,
            });
        }
        response
    }

    fn append(&mut self, broker: BrokerId, index: i32, bytes: &[u8]) -> (ErrorCode, i64) {
        let now = Timestamp::from_millis(1_700_000_000_000);
        let rules = ProduceRules {
            timestamp_after_max_ms: i64::MAX,
            ..ProduceRules::default()
        };
        let mut scratch = Decompressor::default();
        let facts = validate_produce(bytes, &rules, now, &mut scratch).expect("a valid batch");
        let partition = &mut self.partitions[index as usize];
        if partition.leader != broker.get() {
            return (ErrorCode::NotLeaderOrFollower, -1);
        }
        if bytes.len() > self.batch_bytes_max {
            return (ErrorCode::MessageTooLarge, -1);
        }
        let fault = self.next_fault.take();
        if let Some(fault) = fault.filter(|fault| !fault.writes()) {
            return (fault.code(), -1);
        }
        if let Some(batch) = facts.producer {
            match check_sequence(&mut partition.producers, batch, partition.log.len() as i64) {
                Ok(None) => {}
                Ok(Some(base_offset)) => return (ErrorCode::None, base_offset),
                Err(code) => return (code, -1),
            }
        }
        let base_offset = partition.log.len() as i64;
        let view = BatchView::parse(bytes).expect("a valid batch");
        for record in view.records(&mut scratch).expect("a valid batch") {
            let value = record
                .expect("a valid batch")
                .value
                .expect("our records have values");
            partition
                .log
                .push(u64::from_be_bytes(value.try_into().expect("eight bytes")));
        }
        (fault.map_or(ErrorCode::None, Fault::code), base_offset)
    }
}

/// Kafka's rules for idempotent producers. Gives the offset of a batch that is there already.
fn check_sequence(
    producers: &mut BTreeMap<ProducerId, ProducerState>,
    batch: ProducerBatch,
    end_offset: i64,
) -> Result<Option<i64>, ErrorCode> {
    let known = producers.contains_key(&batch.id);
    let state = producers.entry(batch.id).or_default();
    let epoch = ProducerEpoch::new(state.epoch);
    if known && batch.epoch < epoch {
        return Err(ErrorCode::InvalidProducerEpoch);
    }
    if known && batch.epoch == epoch {
        let same = |old: &&(ProducerBatch, i64)| old.0 == batch;
        if let Some((_, offset)) = state.batches.iter().find(same) {
            return Ok(Some(*offset));
        }
        let last = state
            .batches
            .back()
            .map(|(last, _)| last.last_sequence.plus(1));
        if last.is_some_and(|next| next != batch.base_sequence) {
            return Err(ErrorCode::OutOfOrderSequenceNumber);
        }
    } else if known && batch.base_sequence.get() != 0 {
        return Err(ErrorCode::OutOfOrderSequenceNumber);
    }
    if !known || batch.epoch > epoch {
        state.batches.clear();
    }
    state.epoch = batch.epoch.get();
    state.batches.push_back((batch, end_offset));
    if state.batches.len() > 5 {
        state.batches.pop_front();
    }
    Ok(None)
}
