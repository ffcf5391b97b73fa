use crate::core::partition_key::PartitionKey;
use crate::core::producer_batch::{BatchId, ProduceFault};
use ottla_types::{ErrorCode, Offset, Timestamp};
use std::sync::Arc;

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The batch whose outcome is the record's.
    pub batch: BatchId,
    /// Its place in the batch: [`BatchOutcome`] says where records from such a place on are.
    pub index: u32,
    /// The partition that was chosen.
    pub partition: i32,
    /// The record's timestamp.
    pub timestamp: Timestamp,
    /// Whether [`poll`](super::ProducerCore::poll) should be called soon: a batch became full or a first one began.
    pub wake: bool,
}

/// Why a record was not taken. Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The topic is being looked up: try again when [`metadata`](super::ProducerCore::metadata) has grown.
    #[error("topic {topic} is not known yet{}", .reason.as_deref().map(|r| format!(": {r}")).unwrap_or_default())]
    TopicUnknown {
        /// The topic.
        topic: Arc<str>,
        /// Kafka's error, if a broker answered one.
        code: Option<ErrorCode>,
        /// What the last look brought.
        reason: Option<String>,
    },
    /// The cluster refuses the topic.
    #[error("topic {topic} cannot be used: {}", .code.name())]
    TopicRefused {
        /// The topic.
        topic: Arc<str>,
        /// Kafka's error.
        code: ErrorCode,
    },
    /// The topic has no such partition.
    #[error("topic {topic} has partitions 0 to {}, not {partition}", .count - 1)]
    PartitionUnknown {
        /// The topic.
        topic: Arc<str>,
        /// The partition that was asked for.
        partition: i32,
        /// How many there are.
        count: u32,
    },
    /// The record alone is larger than a request may be.
    #[error("the record takes {size} bytes, more than the {max} bytes that a request may have")]
    TooLarge {
        /// Bytes of a batch with this record alone.
        size: usize,
        /// The limit.
        max: usize,
    },
}

/// Where the records of a batch are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchDelivery {
    /// Offset of the first record; `None` when the broker did not say (acks=0).
    pub base_offset: Option<Offset>,
    /// The broker's timestamp, if the topic wants it.
    pub log_append_time: Option<Timestamp>,
}

/// The end of a batch, or of a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOutcome {
    /// Which.
    pub batch: BatchId,
    /// Place of the first record that this is about: a batch that the broker found too large is split,
    /// and its parts have outcomes of their own.
    pub first_index: u32,
    /// Its partition.
    pub key: PartitionKey,
    /// How many records this is about.
    pub records_count: u32,
    /// Where it is, or why not.
    pub result: Result<BatchDelivery, ProduceFault>,
}

/// What a producer has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerStats {
    /// Produce requests given out.
    pub requests: u64,
    /// Batches given out, repetitions included.
    pub batches: u64,
    /// Repetitions.
    pub retries: u64,
    /// Batches that the broker found too large and that were halved.
    pub splits: u64,
    /// Times a partition had to begin anew with another producer epoch.
    pub sequence_resets: u64,
    /// Times the broker had forgotten what it had acknowledged: the oldest batch under way did not
    /// continue the broker's sequence.
    pub gaps_found: u64,
}
