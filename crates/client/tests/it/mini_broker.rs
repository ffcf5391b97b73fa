//! A broker for tests: one topic in memory, no durability, as much of the protocol as the client
//! asks for, and connections that break on demand.

use ottla_protocol::messages::api_versions_response::ApiVersion;
use ottla_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use ottla_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use ottla_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use ottla_protocol::messages::{
    ApiVersionsResponse, FetchRequest, FetchResponse, InitProducerIdResponse, ListOffsetsRequest,
    ListOffsetsResponse, MetadataRequest, MetadataResponse, ProduceRequest, ProduceResponse,
};
use ottla_protocol::{ApiKey, Message, Reader, Records, RequestHeader, ResponseHeader, Writer};
use ottla_records::{BatchView, stamp};
use ottla_types::{ErrorCode, LeaderEpoch, Offset, Sequence};
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub const TOPIC: &str = "t";

/// What it offers: number and highest version.
const APIS: [(ApiKey, i16); 6] = [
    (ApiKey::Produce, 9),
    (ApiKey::Fetch, 12),
    (ApiKey::ListOffsets, 7),
    (ApiKey::Metadata, 12),
    (ApiKey::ApiVersions, 3),
    (ApiKey::InitProducerId, 4),
];

#[derive(Default)]
struct Log {
    batches: Vec<Vec<u8>>,
    end: i64,
    next_sequence: Sequence,
}

pub struct MiniBroker {
    pub address: String,
    port: u16,
    log: Mutex<Log>,
    /// Cut the connection instead of answering every n-th Produce or Fetch; 0 never.
    pub cut_every: AtomicU64,
    requests: AtomicU64,
    pub cuts: AtomicU64,
}

impl MiniBroker {
    pub async fn start() -> Arc<MiniBroker> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let broker = Arc::new(MiniBroker {
            address: format!("127.0.0.1:{port}"),
            port,
            log: Mutex::default(),
            cut_every: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
        });
        let serving = broker.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        broker
    }

    async fn serve(self: Arc<MiniBroker>, mut stream: TcpStream) {
        while let Ok(size) = stream.read_u32().await {
            let mut frame = vec![0; size as usize];
            if stream.read_exact(&mut frame).await.is_err() {
                return;
            }
            let Some(response) = self.handle(&frame) else {
                return;
            };
            if stream.write_all(&response).await.is_err() {
                return;
            }
        }
    }

    /// The response frame; `None` cuts the connection.
    fn handle(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let mut reader = Reader::new(frame);
        let header = RequestHeader::decode(&mut reader).expect("our client's header");
        let key = ApiKey::from_i16(header.api_key).expect("our client's API");
        let version = header.api_version;
        let mut out = Writer::new();
        let start = out.begin_frame();
        let correlation_id = header.correlation_id;
        ResponseHeader { correlation_id }.encode(&mut out, key, version);
        let offered = APIS.iter().any(|(api, max)| *api == key && version <= *max);
        match key {
            ApiKey::ApiVersions => {
                api_versions(offered).encode(&mut out, if offered { version } else { 0 })
            }
            _ if !offered => return None,
            ApiKey::Metadata => {
                let request = MetadataRequest::decode(&mut reader, version).expect("decodes");
                self.metadata(&request).encode(&mut out, version)
            }
            ApiKey::InitProducerId => InitProducerIdResponse {
                producer_id: 1,
                producer_epoch: 0,
                ..Default::default()
            }
            .encode(&mut out, version),
            ApiKey::Produce => {
                let request = ProduceRequest::decode(&mut reader, version).expect("decodes");
                let response = self.produce(&request);
                response.encode(&mut out, version)
            }
            ApiKey::ListOffsets => {
                let request = ListOffsetsRequest::decode(&mut reader, version).expect("decodes");
                self.list_offsets(&request).encode(&mut out, version)
            }
            ApiKey::Fetch => {
                let request = FetchRequest::decode(&mut reader, version).expect("decodes");
                let records = self.read(request.topics[0].partitions[0].fetch_offset);
                self.fetched(&records).encode(&mut out, version)
            }
            _ => return None,
        }
        .expect("the response fits its version");
        out.finish_frame(start).expect("the response is small");
        if matches!(key, ApiKey::Produce | ApiKey::Fetch) {
            let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
            let every = self.cut_every.load(Ordering::Relaxed);
            if every > 0 && number.is_multiple_of(every) {
                self.cuts.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        }
        Some(out.into_buf())
    }

    fn metadata(&self, request: &MetadataRequest<'_>) -> MetadataResponse<'static> {
        let topics = request.topics.iter().flatten().map(|topic| {
            let name = topic.name.as_deref().unwrap_or_default().to_owned();
            let known = name == TOPIC;
            MetadataResponseTopic {
                name: Some(Cow::Owned(name)),
                error_code: if known {
                    0
                } else {
                    ErrorCode::UnknownTopicOrPartition as i16
                },
                partitions: if known {
                    vec![MetadataResponsePartition {
                        leader_id: 1,
                        ..Default::default()
                    }]
                } else {
                    Vec::new()
                },
                ..Default::default()
            }
        });
        MetadataResponse {
            topics: topics.collect(),
            brokers: vec![MetadataResponseBroker {
                node_id: 1,
                host: Cow::Borrowed("127.0.0.1"),
                port: i32::from(self.port),
                rack: None,
            }],
            ..Default::default()
        }
    }

    fn produce(&self, request: &ProduceRequest<'_>) -> ProduceResponse<'static> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Records::Slice(bytes)) = request.topic_data[0].partition_data[0].records else {
            panic!("no records")
        };
        let batch = BatchView::parse(bytes).expect("our client's batch");
        assert!(batch.is_crc_valid());
        let producer = batch.producer().expect("our client is idempotent");
        let mut base_offset = log.end;
        let mut code = ErrorCode::None;
        if producer.base_sequence == log.next_sequence {
            let mut bytes = bytes.to_vec();
            stamp(&mut bytes, Offset::new(log.end), LeaderEpoch::new(0));
            log.end += i64::from(batch.records_count());
            log.next_sequence = producer.last_sequence.plus(1);
            log.batches.push(bytes);
        } else if producer.base_sequence < log.next_sequence {
            // Sequences and offsets are the same here: one producer, one partition.
            base_offset = i64::from(producer.base_sequence.get());
        } else {
            code = ErrorCode::OutOfOrderSequenceNumber;
        }
        let part = PartitionProduceResponse {
            error_code: code as i16,
            base_offset,
            log_append_time_ms: -1,
            ..Default::default()
        };
        ProduceResponse {
            responses: vec![TopicProduceResponse {
                name: Cow::Borrowed(TOPIC),
                partition_responses: vec![part],
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    fn list_offsets(&self, request: &ListOffsetsRequest<'_>) -> ListOffsetsResponse<'static> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = if request.topics[0].partitions[0].timestamp == -2 {
            0
        } else {
            log.end
        };
        ListOffsetsResponse {
            topics: vec![ListOffsetsTopicResponse {
                name: Cow::Borrowed(TOPIC),
                partitions: vec![ListOffsetsPartitionResponse {
                    offset,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        }
    }

    /// At most two batches from the one with this offset on.
    fn read(&self, offset: i64) -> Vec<u8> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let is_before = |bytes: &&Vec<u8>| {
            BatchView::parse(bytes)
                .expect("it was checked")
                .last_offset()
                < Offset::new(offset)
        };
        log.batches
            .iter()
            .skip_while(is_before)
            .take(2)
            .flatten()
            .copied()
            .collect()
    }

    fn fetched<'a>(&self, records: &'a [u8]) -> FetchResponse<'a> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let data = PartitionData {
            high_watermark: log.end,
            last_stable_offset: log.end,
            log_start_offset: 0,
            records: Some(Records::Slice(records)),
            ..Default::default()
        };
        FetchResponse {
            responses: vec![FetchableTopicResponse {
                topic: Cow::Borrowed(TOPIC),
                partitions: vec![data],
                ..Default::default()
            }],
            ..Default::default()
        }
    }
}

/// Like a broker that does not know the version that was asked in: version 0, and the range.
fn api_versions(offered: bool) -> ApiVersionsResponse<'static> {
    ApiVersionsResponse {
        error_code: if offered {
            0
        } else {
            ErrorCode::UnsupportedVersion as i16
        },
        api_keys: APIS
            .iter()
            .map(|(key, max_version)| ApiVersion {
                api_key: key.number(),
                min_version: 0,
                max_version: *max_version,
            })
            .collect(),
        ..Default::default()
    }
}
