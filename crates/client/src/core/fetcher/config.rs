use crate::core::backoff::Backoff;
use crate::core::call::IsolationLevel;
use crate::core::group::CommitError;
use crate::core::partition_key::PartitionKey;
use ottla_types::{ErrorCode, Offset, Timestamp};
use std::time::Duration;

/// Where to begin in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartOffset {
    /// The first record there is.
    Earliest,
    /// Behind the last record there is.
    Latest,
    /// This offset.
    At(Offset),
    /// The first record with this timestamp or a later one; the end if there is none.
    Time(Timestamp),
}

/// What to do when the position is not in the log (`auto.offset.reset`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetReset {
    /// Report it and stop reading the partition.
    #[default]
    Fail,
    /// Go on with the first record there is.
    Earliest,
    /// Go on behind the last record there is.
    Latest,
}

/// How a consumer fetches. The defaults are the Java client's.
#[derive(Clone, Debug)]
pub struct FetcherConfig {
    /// `isolation.level`.
    pub isolation: IsolationLevel,
    /// `auto.offset.reset`.
    pub offset_reset: OffsetReset,
    /// `fetch.min.bytes`.
    pub fetch_bytes_min: usize,
    /// `fetch.max.bytes`.
    pub fetch_bytes_max: usize,
    /// `max.partition.fetch.bytes`.
    pub partition_bytes_max: usize,
    /// `fetch.max.wait.ms`.
    pub fetch_wait_max: Duration,
    /// Fetched but not yet taken bytes at which fetching pauses.
    pub buffer_bytes_max: usize,
    /// Whether to use fetch sessions (KIP-227).
    pub sessions: bool,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// Waits before repetitions.
    pub backoff: Backoff,
    /// `metadata.max.age.ms`.
    pub metadata_age_max: Duration,
    /// `allow.auto.create.topics`.
    pub allow_auto_topic_creation: bool,
    /// Seed of random waits.
    pub seed: u64,
}

impl Default for FetcherConfig {
    fn default() -> FetcherConfig {
        FetcherConfig {
            isolation: IsolationLevel::ReadUncommitted,
            offset_reset: OffsetReset::Fail,
            fetch_bytes_min: 1,
            fetch_bytes_max: 50 << 20,
            partition_bytes_max: 1 << 20,
            fetch_wait_max: Duration::from_millis(500),
            buffer_bytes_max: 64 << 20,
            sessions: true,
            request_timeout: Duration::from_secs(30),
            backoff: Backoff::default(),
            metadata_age_max: Duration::from_secs(300),
            allow_auto_topic_creation: false,
            seed: 0,
        }
    }
}

/// Why a partition is no longer read. It stays assigned; a seek makes it go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("partition {partition} is not read any further: {kind}")]
pub struct FetchFault {
    /// Which.
    pub partition: PartitionKey,
    /// Why.
    pub kind: FetchFaultKind,
}

/// See [`FetchFault`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchFaultKind {
    /// The broker refused.
    #[error("the broker answered {}", .code.name())]
    Refused {
        /// Kafka's error.
        code: ErrorCode,
    },
    /// The position is not in the log and the configuration says not to move it.
    #[error("offset {position} is not in the log")]
    OutOfRange {
        /// The position.
        position: Offset,
    },
    /// The broker sent what is no batch.
    #[error("the broker sent unreadable batches at offset {position}: {reason}")]
    Unreadable {
        /// The position.
        position: Offset,
        /// What is wrong.
        reason: String,
    },
    /// The group has committed no offset for it, and the configuration does not say where to begin.
    #[error("the group has committed no offset for it, and auto.offset.reset is none")]
    NoCommittedOffset,
    /// The committed offset could not be looked up.
    #[error("its committed offset could not be looked up: {error}")]
    CommittedOffsetUnknown {
        /// Why not.
        error: CommitError,
    },
    /// A request is not possible with this broker.
    #[error("{reason}")]
    Unsupported {
        /// Why.
        reason: String,
    },
}

/// How far a partition has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionProgress {
    /// The next offset the application gets; `None` while it is being looked up.
    pub position: Option<Offset>,
    /// Where the log began when last heard of.
    pub log_start_offset: Option<Offset>,
    /// After the last offset everybody may read (exclusive), when last heard of.
    pub high_watermark: Option<Offset>,
    /// After the last offset without open transactions (exclusive), when last heard of.
    pub last_stable_offset: Option<Offset>,
}
