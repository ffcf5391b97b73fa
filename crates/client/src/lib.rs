//! How to talk to Kafka brokers: producer, consumer, consumer groups, administration.
//!
//! What is decided (batching, sequences, retries, routing, fetch sessions) is decided in [`core`],
//! which does no I/O, reads no clock and starts no task. The rest of this crate carries that out
//! over TCP with tokio. It speaks to Ottla and to Apache Kafka alike.
//!
//! ```no_run
//! use ottla_client::{Client, ClientOptions, ConsumerOptions, ProducerOptions, Record, StartOffset};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("localhost:9092", ClientOptions::default()).await?;
//!
//! let producer = client.producer(ProducerOptions::default());
//! let delivery = producer.send(Record::to("flights").key("AA").value("late")).await?;
//! println!("written to partition {} at {:?}", delivery.partition, delivery.offset);
//! producer.close().await?;
//!
//! let mut consumer = client.consumer(ConsumerOptions::default());
//! consumer.assign_topic("flights", StartOffset::Earliest).await?;
//! while let Some(record) = consumer.next().await? {
//!     println!("{:?}", record.value);
//! }
//! # Ok(())
//! # }
//! ```

pub mod core;

/// The examples of README.md are compiled with the documentation's.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod clock;
mod error;
mod hints;
mod options;

mod link;
mod pool;

mod admin;
mod client;
mod consumer;
mod producer;
mod record;

pub use admin::{
    Admin, AlterConfigOp, ApiRange, BrokerDescription, BrokerVersions, ClusterDescription,
    ConfigChange, ConfigDescription, ConfigResource, ConfigSource, ConfigSynonym, Elected,
    Election, FeatureChange, GroupDescription, GroupListing, ListedOffset, LogDirDescription,
    LogDirPartition, MemberDescription, NewTopic, OffsetQuery, PartitionDescription,
    QuorumDescription, QuorumReplica, TopicDescription, broker_apis,
};
pub use bytes::Bytes;
pub use client::Client;
pub use consumer::{
    Consumer, ConsumerHandle, ConsumerOptions, GroupOptions, PendingCommit, RebalanceListener,
};
pub use core::{
    Acks, AppendError, Assignor, Backoff, BrokerEndpoint, CommitError, CommittedOffset,
    CommittedOffsets, ConsumedRecord, FetchFault, FetchFaultKind, GroupFault, IsolationLevel,
    OffsetReset, PartitionKey, PartitionProgress, ProduceFault, ProduceFaultKind, ProducerStats,
    StartOffset,
};
pub use error::{ApiError, ClientError, ConsumeError, SendError};
pub use hints::for_code as hint;
pub use options::ClientOptions;
pub use ottla_records::{Codec, CompressionLevel, TimestampType};
pub use ottla_types::{
    BrokerId, DirectoryId, ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp,
    TopicId,
};
pub use producer::{Ack, Delivery, Producer, ProducerOptions, TryEnqueueError};
pub use record::Record;
