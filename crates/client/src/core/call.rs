use crate::core::group_call::GroupCall;
use crate::core::partition_key::PartitionKey;
use bytes::Bytes;
use ottla_protocol::messages::{
    FetchRequest, InitProducerIdRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest,
    fetch_request, list_offsets_request, metadata_request, produce_request,
};
use ottla_protocol::{
    ApiKey, DecodeError, EncodeError, Message, Reader, Records, RequestHeader, ResponseHeader,
    Writer,
};
use ottla_types::{BrokerId, TopicId};
use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// Names a call of one machine until it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub(crate) u64);

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BrokerEndpoint {
    /// Its number.
    pub id: BrokerId,
    /// Name or address, as it advertises itself.
    pub host: Arc<str>,
    /// The port.
    pub port: u16,
}

impl std::fmt::Display for BrokerEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "broker {} at {}:{}", self.id, self.host, self.port)
    }
}

/// Who a call goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Any broker, the bootstrap servers included.
    Any,
    /// This one.
    Broker(BrokerEndpoint),
}

/// A request that a machine wants made. Calls to one broker must be sent in the order in which the
/// machine gave them out, on one connection; every call is answered exactly once.
#[derive(Clone, Debug)]
pub struct Call {
    /// To be given back with the answer.
    pub id: CallId,
    /// Who it goes to.
    pub target: Target,
    /// What is asked.
    pub request: Request,
    /// After this long without an answer the call is answered with [`CallFailure::Lost`].
    pub timeout: Duration,
}

/// Why a call has no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// Nothing of it left this process: no connection.
    #[error("{reason}")]
    NotSent {
        /// What happened, with the address.
        reason: String,
    },
    /// It may have been executed: the connection broke or the time ran out while we waited.
    #[error("{reason}")]
    Lost {
        /// What happened, with the address.
        reason: String,
    },
    /// The broker speaks no version of this API that we could use.
    #[error("{api} is not offered in a version this client can use")]
    Unsupported {
        /// Kafka's name of the API.
        api: &'static str,
    },
}

/// How a call ended.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A response: its body, behind the response header.
    Response {
        /// The version the request was sent in.
        version: i16,
        /// The body.
        body: Bytes,
    },
    /// The request was sent and has no response (acks=0).
    Sent,
    /// No response.
    Failed(CallFailure),
}

/// What may be asked.
#[derive(Clone, Debug)]
pub enum Request {
    /// Brokers, topics, leaders.
    Metadata(MetadataCall),
    /// A producer id of our own.
    InitProducerId,
    /// Batches to append.
    Produce(ProduceCall),
    /// Batches to read.
    Fetch(FetchCall),
    /// Offsets by time.
    ListOffsets(ListOffsetsCall),
    /// What a member of a group asks.
    Group(GroupCall),
}

impl Request {
    /// Its API.
    pub fn api_key(&self) -> ApiKey {
        match self {
            Request::Metadata(_) => ApiKey::Metadata,
            Request::InitProducerId => ApiKey::InitProducerId,
            Request::Produce(_) => ApiKey::Produce,
            Request::Fetch(_) => ApiKey::Fetch,
            Request::ListOffsets(_) => ApiKey::ListOffsets,
            Request::Group(call) => call.api_key(),
        }
    }

    /// The versions in which it can be said: by topic ids only when we know them all.
    pub fn versions(&self) -> RangeInclusive<i16> {
        match self {
            // Before version 4 a request cannot forbid automatic creation.
            Request::Metadata(_) => 4..=i16::MAX,
            Request::InitProducerId => 0..=i16::MAX,
            Request::Produce(call) => {
                let by_id = call.partitions.iter().all(|part| part.topic_id.is_some());
                3..=if by_id { i16::MAX } else { 12 }
            }
            Request::Fetch(call) => {
                let by_id = call.partitions.iter().all(|part| part.topic_id.is_some())
                    && call.forgotten.iter().all(|part| part.topic_id.is_some());
                4..=if by_id { i16::MAX } else { 12 }
            }
            Request::ListOffsets(call) => call.version_min()..=i16::MAX,
            Request::Group(call) => call.versions(),
        }
    }

    /// Whether the broker answers at all.
    pub fn has_response(&self) -> bool {
        !matches!(self, Request::Produce(ProduceCall { acks: 0, .. }))
    }

    /// Appends the body in `version`, one of [`Request::versions`].
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        match self {
            Request::Metadata(call) => call.encode(w, version),
            Request::InitProducerId => InitProducerIdRequest {
                transactional_id: None,
                // Meaningless without a transactional id, but brokers read it.
                transaction_timeout_ms: i32::MAX,
                ..InitProducerIdRequest::default()
            }
            .encode(w, version),
            Request::Produce(call) => call.encode(w, version),
            Request::Fetch(call) => call.encode(w, version),
            Request::ListOffsets(call) => call.encode(w, version),
            Request::Group(call) => call.encode(w, version),
        }
    }
}

/// A whole request frame, size included. `encode_body` appends the body in `version`.
pub fn encode_frame(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    client_id: &str,
    encode_body: impl FnOnce(&mut Writer, i16) -> Result<(), EncodeError>,
) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::new();
    let start = writer.begin_frame();
    let header = RequestHeader {
        api_key: key.number(),
        api_version: version,
        correlation_id,
        client_id: Some(client_id),
    };
    header.encode(&mut writer)?;
    encode_body(&mut writer, version)?;
    writer.finish_frame(start)?;
    Ok(writer.into_buf())
}

/// Reads the header of a response `frame` (without its size) and gives the correlation id and the
/// position of the body.
pub fn read_response_header(
    frame: &[u8],
    key: ApiKey,
    version: i16,
) -> Result<(i32, usize), DecodeError> {
    let mut reader = Reader::new(frame);
    let header = ResponseHeader::decode(&mut reader, key, version)?;
    Ok((header.correlation_id, reader.position()))
}

/// Asks for brokers and topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataCall {
    /// The topics to describe; `None` for all.
    pub topics: Option<Vec<Arc<str>>>,
    /// Whether the broker may create those that do not exist.
    pub allow_auto_topic_creation: bool,
}

impl MetadataCall {
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let topic = |name: &Arc<str>| metadata_request::MetadataRequestTopic {
            name: Some(Cow::Owned(name.to_string())),
            ..Default::default()
        };
        MetadataRequest {
            topics: self
                .topics
                .as_ref()
                .map(|names| names.iter().map(topic).collect()),
            allow_auto_topic_creation: self.allow_auto_topic_creation,
            ..MetadataRequest::default()
        }
        .encode(w, version)
    }
}

/// Batches for partitions that one broker leads; at most one batch per partition.
#[derive(Clone, Debug)]
pub struct ProduceCall {
    /// -1 all in-sync replicas, 1 the leader, 0 nobody.
    pub acks: i16,
    /// How long the broker may wait for the other replicas.
    pub timeout_ms: i32,
    /// The batches, sorted by topic.
    pub partitions: Vec<ProduceCallPartition>,
}

/// One batch of a [`ProduceCall`].
#[derive(Clone, Debug)]
pub struct ProduceCallPartition {
    /// Where to.
    pub key: PartitionKey,
    /// The topic's id, where the cluster has told it.
    pub topic_id: Option<TopicId>,
    /// A whole record batch.
    pub batch: Bytes,
}

impl ProduceCall {
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let topic_data = self
            .partitions
            .chunk_by(|a, b| a.key.topic == b.key.topic)
            .map(|parts| produce_request::TopicProduceData {
                name: named(version <= 12, &parts[0].key.topic),
                topic_id: identified(version >= 13, parts[0].topic_id),
                partition_data: parts
                    .iter()
                    .map(|part| produce_request::PartitionProduceData {
                        index: part.key.partition,
                        records: Some(Records::Slice(&part.batch)),
                    })
                    .collect(),
            })
            .collect();
        ProduceRequest {
            transactional_id: None,
            acks: self.acks,
            timeout_ms: self.timeout_ms,
            topic_data,
        }
        .encode(w, version)
    }
}

fn named(by_name: bool, topic: &str) -> Cow<'_, str> {
    Cow::Borrowed(if by_name { topic } else { "" })
}

fn identified(by_id: bool, id: Option<TopicId>) -> ottla_types::Uuid {
    id.filter(|_| by_id).map(TopicId::uuid).unwrap_or_default()
}

/// How far a reader sees (`isolation.level`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IsolationLevel {
    /// Everything below the high watermark.
    #[default]
    ReadUncommitted,
    /// Nothing of open or aborted transactions.
    ReadCommitted,
}

impl IsolationLevel {
    pub(crate) fn wire(self) -> i8 {
        match self {
            IsolationLevel::ReadUncommitted => 0,
            IsolationLevel::ReadCommitted => 1,
        }
    }
}

/// Asks one broker for what follows some offsets.
#[derive(Clone, Debug)]
pub struct FetchCall {
    /// How long the broker may wait for `min_bytes`.
    pub max_wait_ms: i32,
    /// Answer early once this much is there.
    pub min_bytes: i32,
    /// Most bytes of the whole response (a single larger batch still comes).
    pub max_bytes: i32,
    /// How far to see.
    pub isolation: IsolationLevel,
    /// The fetch session (KIP-227), 0 for none.
    pub session_id: i32,
    /// 0 asks for a new session, -1 for none.
    pub session_epoch: i32,
    /// What to fetch; in a running session only what changed. Sorted by topic.
    pub partitions: Vec<FetchCallPartition>,
    /// What to take out of the session. Sorted by topic.
    pub forgotten: Vec<ForgottenPartition>,
}

/// One partition of a [`FetchCall`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchCallPartition {
    /// Which.
    pub key: PartitionKey,
    /// The topic's id, where the cluster has told it.
    pub topic_id: Option<TopicId>,
    /// The first offset wanted.
    pub fetch_offset: i64,
    /// Epoch of the leader we believe in; -1 unknown.
    pub leader_epoch: i32,
    /// Most bytes of this partition.
    pub max_bytes: i32,
}

/// A partition to take out of a fetch session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgottenPartition {
    /// Which.
    pub key: PartitionKey,
    /// The topic's id, where the cluster has told it.
    pub topic_id: Option<TopicId>,
}

impl FetchCall {
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let by_id = version >= 13;
        let topics = self
            .partitions
            .chunk_by(|a, b| a.key.topic == b.key.topic)
            .map(|parts| fetch_request::FetchTopic {
                topic: named(!by_id, &parts[0].key.topic),
                topic_id: identified(by_id, parts[0].topic_id),
                partitions: parts
                    .iter()
                    .map(|part| fetch_request::FetchPartition {
                        partition: part.key.partition,
                        current_leader_epoch: part.leader_epoch,
                        fetch_offset: part.fetch_offset,
                        partition_max_bytes: part.max_bytes,
                        ..Default::default()
                    })
                    .collect(),
            })
            .collect();
        let forgotten_topics_data = self
            .forgotten
            .chunk_by(|a, b| a.key.topic == b.key.topic)
            .map(|parts| fetch_request::ForgottenTopic {
                topic: named(!by_id, &parts[0].key.topic),
                topic_id: identified(by_id, parts[0].topic_id),
                partitions: parts.iter().map(|part| part.key.partition).collect(),
            })
            .collect();
        FetchRequest {
            max_wait_ms: self.max_wait_ms,
            min_bytes: self.min_bytes,
            max_bytes: self.max_bytes,
            isolation_level: self.isolation.wire(),
            session_id: self.session_id,
            session_epoch: self.session_epoch,
            topics,
            forgotten_topics_data,
            ..FetchRequest::default()
        }
        .encode(w, version)
    }
}

/// Asks one leader for offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOffsetsCall {
    /// What "latest" means.
    pub isolation: IsolationLevel,
    /// Partition, leader epoch we believe in (-1 unknown), and time or special value. Sorted by topic.
    pub partitions: Vec<(PartitionKey, i32, i64)>,
    /// How long the broker may take.
    pub timeout_ms: i32,
}

impl ListOffsetsCall {
    /// Special timestamps came with later versions, the isolation level with the second.
    fn version_min(&self) -> i16 {
        let special = |(_, _, timestamp): &(PartitionKey, i32, i64)| match timestamp {
            -3 => 7,
            -4 => 8,
            -5 => 9,
            -6 => 11,
            _ => 1,
        };
        let isolated = if self.isolation == IsolationLevel::ReadCommitted {
            2
        } else {
            1
        };
        self.partitions
            .iter()
            .map(special)
            .max()
            .unwrap_or(1)
            .max(isolated)
    }

    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        let topics = self
            .partitions
            .chunk_by(|a, b| a.0.topic == b.0.topic)
            .map(|parts| list_offsets_request::ListOffsetsTopic {
                name: Cow::Borrowed(&*parts[0].0.topic),
                partitions: parts
                    .iter()
                    .map(|(key, leader_epoch, timestamp)| {
                        list_offsets_request::ListOffsetsPartition {
                            partition_index: key.partition,
                            current_leader_epoch: *leader_epoch,
                            timestamp: *timestamp,
                        }
                    })
                    .collect(),
            })
            .collect();
        ListOffsetsRequest {
            replica_id: -1,
            isolation_level: self.isolation.wire(),
            topics,
            timeout_ms: self.timeout_ms,
        }
        .encode(w, version)
    }
}
