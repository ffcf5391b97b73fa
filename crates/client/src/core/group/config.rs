use super::assignor::Assignor;
use crate::core::backoff::Backoff;
use crate::core::partition_key::PartitionKey;
use ottla_types::ErrorCode;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How a member of a group behaves. The defaults are the Java client's.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// `group.id`.
    pub group_id: Arc<str>,
    /// `group.instance.id`: a name that outlives restarts, so that a restart within the session
    /// timeout moves nothing (KIP-345).
    pub instance_id: Option<Arc<str>>,
    /// `session.timeout.ms`: after this long without a heartbeat the member is thrown out.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`: how long the application may work between two polls, and how long a
    /// rebalance waits for it.
    pub poll_interval_max: Duration,
    /// `partition.assignment.strategy`, the preferred first. All members must have one in common.
    pub assignors: Vec<Assignor>,
    /// `client.rack`.
    pub rack: Option<Arc<str>>,
    /// Whether committed offsets of open transactions are waited for (`isolation.level`).
    pub require_stable: bool,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// Waits before repetitions.
    pub backoff: Backoff,
    /// Seed of random waits.
    pub seed: u64,
}

impl GroupConfig {
    /// The defaults for a group.
    pub fn new(group_id: impl Into<Arc<str>>) -> GroupConfig {
        GroupConfig {
            group_id: group_id.into(),
            instance_id: None,
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            poll_interval_max: Duration::from_secs(300),
            assignors: vec![Assignor::Range, Assignor::CooperativeSticky],
            rack: None,
            require_stable: false,
            request_timeout: Duration::from_secs(30),
            backoff: Backoff::default(),
            seed: 0,
        }
    }

    /// Members keep what does not move only if every assignor they offer allows it: which one the
    /// group chooses is not known before everybody has given back.
    pub fn is_cooperative(&self) -> bool {
        self.assignors
            .iter()
            .all(|assignor| assignor.is_cooperative())
    }
}

/// What changed for the application. One comes after the other; the next step of the group waits for
/// [`GroupCore::event_done`](super::GroupCore::event_done).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// These are to be given up. They are still ours: their offsets can be committed.
    Revoked(BTreeSet<PartitionKey>),
    /// These may be somebody else's already. Their offsets cannot be committed any more.
    Lost(BTreeSet<PartitionKey>),
    /// These came in addition (perhaps none): a rebalance is over.
    Assigned(BTreeSet<PartitionKey>),
}

impl GroupEvent {
    /// The partitions it is about.
    pub fn partitions(&self) -> &BTreeSet<PartitionKey> {
        match self {
            GroupEvent::Revoked(keys) | GroupEvent::Lost(keys) | GroupEvent::Assigned(keys) => keys,
        }
    }
}

/// Why a consumer cannot be a member of its group. It stays outside until it subscribes again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupFault {
    /// The coordinator refused.
    #[error("group {group_id}: the coordinator answered {} to {api}{}", .code.name(), .message.as_deref().map(|m| format!(": {m}")).unwrap_or_default())]
    Refused {
        /// The group.
        group_id: Arc<str>,
        /// Kafka's name of the API.
        api: &'static str,
        /// Kafka's error.
        code: ErrorCode,
        /// The broker's words.
        message: Option<String>,
    },
    /// The broker has no group coordinator in a version that we could use.
    #[error("group {group_id}: {api} is not offered in a version this client can use")]
    Unsupported {
        /// The group.
        group_id: Arc<str>,
        /// Kafka's name of the API.
        api: &'static str,
    },
    /// The group settled on something we do not understand.
    #[error("group {group_id}: {reason}")]
    Misunderstood {
        /// The group.
        group_id: Arc<str>,
        /// What it is.
        reason: String,
    },
}

/// Why offsets were not committed, or not looked up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// We are not, or no longer, a member: the partitions may belong to others, who begin at the
    /// offsets that were committed before.
    #[error("no longer a member of the group: its partitions may be others' now")]
    NotMember,
    /// The coordinator refused.
    #[error("the coordinator answered {}", .code.name())]
    Refused {
        /// Kafka's error.
        code: ErrorCode,
    },
    /// There was no answer in time; the commit may have happened.
    #[error("no answer in time; last obstacle: {obstacle}")]
    TimedOut {
        /// What stood in the way last.
        obstacle: String,
    },
    /// The broker keeps no offsets of groups.
    #[error("{api} is not offered in a version this client can use")]
    Unsupported {
        /// Kafka's name of the API.
        api: &'static str,
    },
    /// The consumer has no group.
    #[error("the consumer has no group")]
    NoGroup,
    /// The consumer was closed.
    #[error("the consumer is closed")]
    Closed,
}
