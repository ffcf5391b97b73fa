//! What a client decides, without sockets, clocks or tasks.
//!
//! Each machine ([`ProducerCore`], [`FetcherCore`], [`GroupCore`], and [`ConsumerCore`], which is made
//! of the latter two) is handed the time and what was answered, and
//! says which [`Call`]s to make next and when it wants to be asked again. The async half of this
//! crate drives them over TCP; a simulator drives the same code with its own network and clock.
//!
//! ```text
//! loop {
//!     machine.poll(now, &mut calls);        // make these requests
//!     wait for an answer or until machine.next_deadline(now);
//!     machine.on_answer(call_id, answer, now);
//! }
//! ```

mod partition_key;

mod backoff;
mod group_call;

mod call;
mod metadata;
mod partitioner;
mod versions;

mod consumed;
mod group;

mod fetcher;
mod producer;
mod producer_batch;

mod consumer;

pub use backoff::Backoff;
pub use call::{
    Answer, BrokerEndpoint, Call, CallFailure, CallId, FetchCall, FetchCallPartition,
    ForgottenPartition, IsolationLevel, ListOffsetsCall, MetadataCall, ProduceCall,
    ProduceCallPartition, Request, Target, encode_frame, read_response_header,
};
pub use consumed::{ConsumedBatchError, ConsumedRecord, FetchedChunk};
pub use consumer::{ConsumerConfig, ConsumerCore, ConsumerFault};
pub use fetcher::{
    FetchFault, FetchFaultKind, FetcherConfig, FetcherCore, OffsetReset, PartitionProgress,
    StartOffset,
};
pub use group::{
    Assignment, Assignor, CommitError, CommittedOffsets, GroupConfig, GroupCore, GroupEvent,
    GroupFault, GroupMember, OffsetsId, OffsetsOutcome, Subscription, decode_assignment,
    encode_assignment,
};
pub(crate) use group::{committed_offsets, coordinator_of};
pub(crate) use group_call::CONSUMER_PROTOCOL_TYPE;
pub use group_call::{CommittedOffset, GroupCall, MemberIdentityCall};
pub(crate) use metadata::endpoint;
pub use metadata::{Metadata, PartitionMetadata, TopicMetadata};
pub use partition_key::PartitionKey;
pub use partitioner::{murmur2, partition_of_key};
pub use producer::{
    Acks, AppendError, Appended, BatchDelivery, BatchOutcome, ProducerConfig, ProducerCore,
    ProducerStats,
};
pub use producer_batch::{BatchId, ProduceFault, ProduceFaultKind};
pub use versions::{ApiVersionRanges, HandshakeError, HandshakeStep, handshake_request};
