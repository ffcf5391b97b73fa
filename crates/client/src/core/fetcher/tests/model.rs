//! A cluster of two brokers with fetch sessions as strict as Kafka's.

use crate::core::call::{Answer, Call, CallFailure, CallId, Request, Target};
use bytes::Bytes;
use ottla_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use ottla_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use ottla_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_protocol::messages::{
    FetchRequest, FetchResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataResponse,
};
use ottla_protocol::{Message, Reader, Records, Writer};
use ottla_records::{BatchBuilder, Codec, Compressor};
use ottla_types::{BrokerId, ErrorCode, LeaderEpoch, Offset, Prng, Timestamp, Uuid};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

const TOPIC_ID: Uuid = Uuid::from_bytes([9; 16]);

struct Partition {
    leader: i32,
    leader_epoch: i32,
    log_start: i64,
    end: i64,
    /// First offset and bytes of each batch.
    batches: Vec<(i64, Vec<u8>)>,
}

/// What a broker remembers of a session: where each partition is to be fetched.
struct Session {
    epoch: i32,
    by_id: bool,
    partitions: BTreeMap<i32, (i64, i32, i32)>,
}

#[derive(Default)]
struct Wire {
    requests: VecDeque<(CallId, Request)>,
    responses: VecDeque<(CallId, Answer)>,
}

pub(super) struct Cluster {
    partitions: Vec<Partition>,
    sessions: BTreeMap<(BrokerId, i32), Session>,
    wires: BTreeMap<Option<BrokerId>, Wire>,
    prng: Prng,
    next_session: i32,
    pub(super) incremental_fetches: u64,
    pub(super) evictions: u64,
}

impl Cluster {
    pub(super) fn new(partitions: usize, prng: Prng) -> Cluster {
        let partition = |index| Partition {
            leader: index as i32 % 2,
            leader_epoch: 0,
            log_start: 0,
            end: 0,
            batches: Vec::new(),
        };
        Cluster {
            partitions: (0..partitions).map(partition).collect(),
            sessions: BTreeMap::new(),
            wires: BTreeMap::new(),
            prng,
            next_session: 1,
            incremental_fetches: 0,
            evictions: 0,
        }
    }

    pub(super) fn end_offset(&self, partition: usize) -> Offset {
        Offset::new(self.partitions[partition].end)
    }

    /// An offset that is in the log, also in the middle of a batch.
    pub(super) fn some_offset(&mut self, partition: usize) -> Offset {
        let partition = &self.partitions[partition];
        let span = (partition.end - partition.log_start + 1) as u64;
        Offset::new(partition.log_start + self.prng.below(span) as i64)
    }

    pub(super) fn append(&mut self) {
        let index = self.prng.below(self.partitions.len() as u64) as usize;
        let count = self.prng.range(1, 12) as i64;
        let codec = *self.prng.pick(&Codec::ALL);
        self.append_batch(index, count, codec);
    }

    fn append_batch(&mut self, index: usize, count: i64, codec: Codec) {
        let partition = &mut self.partitions[index];
        let mut builder = BatchBuilder::new(codec)
            .base_offset(Offset::new(partition.end))
            .leader_epoch(LeaderEpoch::new(partition.leader_epoch));
        for offset in partition.end..partition.end + count {
            let value = offset.to_string();
            builder.push(
                Timestamp::from_millis(offset),
                None,
                Some(value.as_bytes()),
                &[],
            );
        }
        partition
            .batches
            .push((partition.end, builder.finish(&mut Compressor::default())));
        partition.end += count;
    }

    /// Appends until the partition ends at `end`.
    pub(super) fn fill(&mut self, index: usize, end: i64) {
        while self.partitions[index].end < end {
            let count = (end - self.partitions[index].end).min(7);
            self.append_batch(index, count, Codec::None);
        }
    }

    pub(super) fn delete_below(&mut self, index: usize, offset: i64) {
        self.partitions[index].log_start = offset;
    }

    /// Makes the first batch of a partition unreadable.
    pub(super) fn corrupt(&mut self, index: usize) {
        self.partitions[index].batches[0].1[16] = 7;
    }

    pub(super) fn take_call(&mut self, call: Call) {
        let to = match call.target {
            Target::Any => None,
            Target::Broker(broker) => Some(broker.id),
        };
        self.wires
            .entry(to)
            .or_default()
            .requests
            .push_back((call.id, call.request));
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

    pub(super) fn execute_one(&mut self) {
        let Some(to) = self.some_wire() else { return };
        let next = self
            .wires
            .get_mut(&to)
            .and_then(|wire| wire.requests.pop_front());
        if let Some((id, request)) = next {
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

    /// Breaks connections, moves leaders, forgets sessions.
    pub(super) fn disturb(&mut self) {
        match self.prng.below(30) {
            0 => {
                let Some(to) = self.some_wire() else { return };
                let wire = self.wires.remove(&to).unwrap_or_default();
                let ids = wire.responses.iter().map(|(id, _)| *id);
                let ids: Vec<CallId> = ids.chain(wire.requests.iter().map(|(id, _)| *id)).collect();
                let lost = || {
                    Answer::Failed(CallFailure::Lost {
                        reason: "broken".to_owned(),
                    })
                };
                let responses = ids.into_iter().map(|id| (id, lost())).collect();
                self.wires.insert(
                    to,
                    Wire {
                        requests: VecDeque::new(),
                        responses,
                    },
                );
            }
            1 => {
                let index = self.prng.below(self.partitions.len() as u64) as usize;
                let partition = &mut self.partitions[index];
                partition.leader = 1 - partition.leader;
                partition.leader_epoch += 1;
            }
            2 | 3 => {
                if let Some(key) = self.sessions.keys().next().copied() {
                    self.sessions.remove(&key);
                    self.evictions += 1;
                }
            }
            _ => {}
        }
    }

    fn execute(&mut self, to: Option<BrokerId>, request: &Request) -> Answer {
        let mut writer = Writer::new();
        let version = (*request.versions().end()).min(match request {
            Request::Fetch(_) => 16,
            Request::Metadata(_) => 12,
            _ => 7,
        });
        request
            .encode(&mut writer, version)
            .expect("the machine's requests can be encoded");
        let body = writer.into_buf();
        let mut out = Writer::new();
        let mut reader = Reader::new(&body);
        match request {
            Request::Metadata(_) => self.metadata().encode(&mut out, version),
            Request::ListOffsets(_) => {
                let request = ListOffsetsRequest::decode(&mut reader, version).expect("decodes");
                self.list_offsets(to.expect("leaders are asked"), &request)
                    .encode(&mut out, version)
            }
            Request::Fetch(_) => {
                let request = FetchRequest::decode(&mut reader, version).expect("decodes");
                let answer = self.fetch(to.expect("leaders are asked"), &request, version >= 13);
                answer.encode(&mut out, version)
            }
            Request::Produce(_) | Request::InitProducerId | Request::Group(_) => {
                panic!("fetchers only read")
            }
        }
        .expect("a response fits its version");
        Answer::Response {
            version,
            body: Bytes::from(out.into_buf()),
        }
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
        let broker = |node_id| MetadataResponseBroker {
            node_id,
            host: Cow::Borrowed("h"),
            port: 9092,
            rack: None,
        };
        MetadataResponse {
            brokers: (0..2).map(broker).collect(),
            topics: vec![MetadataResponseTopic {
                name: Some(Cow::Borrowed("t")),
                topic_id: TOPIC_ID,
                partitions: partitions.collect(),
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    /// Kafka's checks of leader and epoch.
    fn check_leader(partition: &Partition, broker: BrokerId, epoch: i32) -> ErrorCode {
        if partition.leader != broker.get() {
            ErrorCode::NotLeaderOrFollower
        } else if epoch != -1 && epoch < partition.leader_epoch {
            ErrorCode::FencedLeaderEpoch
        } else if epoch > partition.leader_epoch {
            ErrorCode::UnknownLeaderEpoch
        } else {
            ErrorCode::None
        }
    }

    fn list_offsets<'a>(
        &self,
        broker: BrokerId,
        request: &ListOffsetsRequest<'a>,
    ) -> ListOffsetsResponse<'a> {
        let mut response = ListOffsetsResponse::default();
        for topic in &request.topics {
            let partitions = topic.partitions.iter().map(|asked| {
                let partition = &self.partitions[asked.partition_index as usize];
                let code = Cluster::check_leader(partition, broker, asked.current_leader_epoch);
                let offset = match asked.timestamp {
                    _ if code != ErrorCode::None => -1,
                    -1 => partition.end,
                    -2 => partition.log_start,
                    // A record's timestamp is its offset.
                    time if time < partition.end => time.max(partition.log_start),
                    _ => -1,
                };
                ListOffsetsPartitionResponse {
                    partition_index: asked.partition_index,
                    error_code: code as i16,
                    offset,
                    ..Default::default()
                }
            });
            let partitions = partitions.collect();
            response.topics.push(ListOffsetsTopicResponse {
                name: topic.name.clone(),
                partitions,
            });
        }
        response
    }

    fn fetch(
        &mut self,
        broker: BrokerId,
        request: &FetchRequest<'_>,
        by_id: bool,
    ) -> FetchResponse<'_> {
        let refused = |code: ErrorCode| FetchResponse {
            error_code: code as i16,
            ..Default::default()
        };
        let mut asked = BTreeMap::new();
        for topic in &request.topics {
            assert_eq!(
                (&*topic.topic, topic.topic_id),
                if by_id {
                    ("", TOPIC_ID)
                } else {
                    ("t", Uuid::ZERO)
                }
            );
            for part in &topic.partitions {
                let place = (
                    part.fetch_offset,
                    part.current_leader_epoch,
                    part.partition_max_bytes,
                );
                assert!(
                    asked.insert(part.partition, place).is_none(),
                    "asked for twice"
                );
            }
        }
        let (session_id, wanted) = match (request.session_id, request.session_epoch) {
            (0, -1) => (0, asked),
            (old, 0) => {
                self.sessions.remove(&(broker, old));
                let id = self.next_session;
                self.next_session += 1;
                let partitions = asked.clone();
                self.sessions.insert(
                    (broker, id),
                    Session {
                        epoch: 1,
                        by_id,
                        partitions,
                    },
                );
                (id, asked)
            }
            (id, epoch) => {
                let Some(session) = self.sessions.get_mut(&(broker, id)) else {
                    return refused(ErrorCode::FetchSessionIdNotFound);
                };
                if session.epoch != epoch {
                    return refused(ErrorCode::InvalidFetchSessionEpoch);
                }
                assert_eq!(session.by_id, by_id, "a session keeps to names or ids");
                self.incremental_fetches += 1;
                session.epoch += 1;
                session.partitions.extend(asked);
                for topic in &request.forgotten_topics_data {
                    for partition in &topic.partitions {
                        let known = session.partitions.remove(partition);
                        assert!(known.is_some(), "forgotten what was not known");
                    }
                }
                (id, session.partitions.clone())
            }
        };
        let mut left = request.max_bytes;
        let mut partitions = Vec::new();
        for (index, (offset, epoch, max_bytes)) in wanted {
            let data = self.read(broker, index, (offset, epoch), max_bytes.min(left));
            left -= data.records.as_ref().map_or(0, Records::size) as i32;
            let quiet = data.error_code == 0 && data.records.as_ref().is_none_or(|r| r.size() == 0);
            if request.session_epoch <= 0 || !quiet {
                partitions.push(data);
            }
        }
        let responses = vec![FetchableTopicResponse {
            topic: Cow::Borrowed(if by_id { "" } else { "t" }),
            topic_id: if by_id { TOPIC_ID } else { Uuid::ZERO },
            partitions,
        }];
        FetchResponse {
            session_id,
            responses,
            ..Default::default()
        }
    }

    fn read(
        &self,
        broker: BrokerId,
        index: i32,
        (offset, epoch): (i64, i32),
        max_bytes: i32,
    ) -> PartitionData<'_> {
        let partition = &self.partitions[index as usize];
        let mut data = PartitionData {
            partition_index: index,
            high_watermark: partition.end,
            log_start_offset: partition.log_start,
            ..Default::default()
        };
        let mut code = Cluster::check_leader(partition, broker, epoch);
        if code == ErrorCode::None && !(partition.log_start..=partition.end).contains(&offset) {
            code = ErrorCode::OffsetOutOfRange;
        }
        data.error_code = code as i16;
        if code == ErrorCode::None {
            // Whole batches, the one with the offset inside first; one even if it is too large.
            let after = partition
                .batches
                .partition_point(|(base, _)| *base <= offset);
            let batches = &partition.batches[after.saturating_sub(1)..];
            let found = batches
                .iter()
                .find(|_| offset < partition.end && max_bytes > 0);
            data.records = found.map(|(_, bytes)| Records::Slice(bytes));
        }
        data
    }
}
