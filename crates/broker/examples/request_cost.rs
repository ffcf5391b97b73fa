//! What a request costs in the broker itself: `cargo run --release -p ottla-broker --example request_cost`.
//!
//! One thread, a disk in memory, one topic. The journal's work is done between groups of 32 requests
//! and not counted.

#![allow(
    clippy::disallowed_methods,
    reason = "a measurement looks at the clock"
)]

use ottla_broker::config::BrokerConfig;
use ottla_broker::{
    Broker, BrokerStart, Connection, ConnectionInfo, CoreId, Directory, Outcome, Wake,
};
use ottla_metadata::quorum::Voter;
use ottla_metadata::{LocalQuorum, LocalQuorumOptions, QuorumStoreOptions, Record};
use ottla_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use ottla_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use ottla_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use ottla_protocol::{ApiKey, Message, Records, RequestHeader, Writer};
use ottla_records::{BatchBuilder, Codec, Compressor};
use ottla_storage::log_dir::{LogDir, LogDirOptions};
use ottla_storage::memory_disk::MemoryDisk;
use ottla_storage::wal::CommitStep;
use ottla_types::{DirectoryId, IncarnationId, Mono, Now, Timestamp, Uuid};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

struct NobodyAsleep;

impl Wake for NobodyAsleep {
    fn wake(&self, _core: CoreId) {}
}

struct World {
    broker: Arc<Broker>,
    log_dir: Arc<LogDir>,
    quorum: Arc<LocalQuorum>,
    connection: Connection,
    now: Now,
}

fn main() {
    let mut world = World::new();
    let request = MetadataRequest {
        topics: Some(vec![MetadataRequestTopic {
            name: Some("t".into()),
            ..MetadataRequestTopic::default()
        }]),
        allow_auto_topic_creation: true,
        ..MetadataRequest::default()
    };
    world.send(&frame(ApiKey::Metadata, 9, &request));
    world.settle();
    for size in [100, 1024, 16 * 1024] {
        let mut builder = BatchBuilder::new(Codec::None);
        builder.push(world.now.wall, None, Some(&vec![b'x'; size]), &[]);
        let batch = builder.finish(&mut Compressor::default());
        let produce = frame(ApiKey::Produce, 9, &produce_request(&batch));
        let count = 100_000 / (1 + size / 1024);
        let cost = world.cost(&produce, count);
        println!("produce of {size} bytes: {cost:?}");
    }
    let fetch = frame(ApiKey::Fetch, 11, &fetch_request(0));
    let cost = world.cost(&fetch, 20_000);
    println!("fetch of up to 64 KiB from the log's start: {cost:?}");
}

impl World {
    fn new() -> World {
        let disk = MemoryDisk::new();
        let now = Now {
            mono: Mono::from_millis(1000),
            wall: Timestamp::from_millis(1_790_000_000_000),
        };
        let options = LogDirOptions {
            tail_bytes_max: 4 << 30,
            reserve_bytes: 0,
            reserve_percent: 0,
            ..LogDirOptions::default()
        };
        let opened = LogDir::open(Arc::new(disk.clone()), options, now);
        let log_dir = Arc::new(opened.expect("a new directory").0);
        let config = BrokerConfig::default();
        let directory = DirectoryId::new(Uuid::from_bytes([1; 16]));
        let options = LocalQuorumOptions {
            me: Voter {
                node: config.node_id,
                directory,
            },
            snapshot_entries_size: 1 << 20,
            store: QuorumStoreOptions::default(),
        };
        let first_batch = || {
            vec![Record::Cluster {
                id: "measured".to_owned(),
            }]
        };
        let quorum = LocalQuorum::open(Arc::new(disk), Path::new("m"), &options, first_batch);
        let quorum = Arc::new(quorum.expect("a new quorum"));
        let path = "data".to_owned();
        let broker = Broker::new(BrokerStart {
            config,
            incarnation: IncarnationId::new(Uuid::from_bytes([2; 16])),
            directories: vec![(
                Directory {
                    id: directory,
                    path,
                },
                Arc::clone(&log_dir),
            )],
            failed_directories: Vec::new(),
            quorum: Arc::clone(&quorum) as Arc<_>,
            wake: Arc::new(NobodyAsleep),
            cores_count: 1,
            seed: 1,
        });
        let address = "127.0.0.1:9092".parse().expect("an address");
        let connection = broker.connect(ConnectionInfo {
            core: CoreId::new(0),
            listener: "PLAINTEXT".to_owned(),
            peer: address,
            local: address,
        });
        let mut world = World {
            broker,
            log_dir,
            quorum,
            connection,
            now,
        };
        world.settle();
        world
    }

    fn send(&mut self, frame: &[u8]) -> Outcome {
        self.broker.handle(&mut self.connection, frame, self.now)
    }

    fn settle(&mut self) {
        loop {
            let events = self.quorum.step();
            for event in &events {
                self.broker.on_quorum_event(event, self.now);
            }
            if !self.commit() && events.is_empty() {
                return;
            }
        }
    }

    fn commit(&mut self) -> bool {
        let step = self.log_dir.commit_step(self.now);
        self.broker.on_commit(self.now);
        matches!(
            step,
            CommitStep::Wrote { .. } | CommitStep::Synced { .. } | CommitStep::Prepared
        )
    }

    /// Time per request, answers included.
    fn cost(&mut self, frame: &[u8], count: usize) -> Duration {
        let mut spent = Duration::ZERO;
        let mut out = Vec::new();
        for _ in 0..count / 32 {
            let start = Instant::now();
            for _ in 0..32 {
                drop(self.send(frame));
            }
            spent += start.elapsed();
            while self.commit() {}
            let start = Instant::now();
            self.broker.completions(CoreId::new(0), self.now, &mut out);
            out.clear();
            spent += start.elapsed();
        }
        spent / (count / 32 * 32) as u32
    }
}

fn frame<'m>(key: ApiKey, version: i16, request: &impl Message<'m>) -> Vec<u8> {
    let header = RequestHeader {
        api_key: key as i16,
        api_version: version,
        correlation_id: 1,
        client_id: Some("measure"),
    };
    let mut writer = Writer::new();
    header.encode(&mut writer).expect("well formed");
    request.encode(&mut writer, version).expect("well formed");
    writer.into_buf()
}

fn produce_request(batch: &[u8]) -> ProduceRequest<'_> {
    ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: "t".into(),
            partition_data: vec![PartitionProduceData {
                index: 0,
                records: Some(Records::Slice(batch)),
            }],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
}

fn fetch_request(fetch_offset: i64) -> FetchRequest<'static> {
    FetchRequest {
        replica_id: -1,
        max_bytes: 64 << 10,
        min_bytes: 1,
        session_epoch: -1,
        topics: vec![FetchTopic {
            topic: "t".into(),
            partitions: vec![FetchPartition {
                fetch_offset,
                partition_max_bytes: 64 << 10,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}
