use crate::core::{Assignor, FetcherConfig, GroupConfig, IsolationLevel, OffsetReset};
use std::sync::Arc;
use std::time::Duration;

/// How a consumer works. The defaults are the Java client's, except that a position that is not in
/// the log is an error as long as [`ConsumerOptions::offset_reset`] does not say where to go.
///
/// ```
/// use ottla_client::{Assignor, ConsumerOptions, GroupOptions, OffsetReset};
///
/// let options = ConsumerOptions {
///     group: Some(GroupOptions {
///         assignors: vec![Assignor::CooperativeSticky],
///         ..GroupOptions::new("billing")
///     }),
///     offset_reset: OffsetReset::Earliest,
///     ..ConsumerOptions::default()
/// };
/// assert_eq!(options.poll_records_max, 500);
/// ```
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// The group whose members share the topics, and which remembers offsets; `None` for a consumer of
    /// assigned partitions only.
    pub group: Option<GroupOptions>,
    /// `isolation.level`.
    pub isolation: IsolationLevel,
    /// `auto.offset.reset`: what to do when the position is not in the log, or the group has none.
    pub offset_reset: OffsetReset,
    /// `max.poll.records`: most records of one [`Consumer::poll`](crate::Consumer::poll).
    pub poll_records_max: usize,
    /// `fetch.min.bytes`.
    pub fetch_bytes_min: usize,
    /// `fetch.max.bytes`.
    pub fetch_bytes_max: usize,
    /// `max.partition.fetch.bytes`.
    pub partition_bytes_max: usize,
    /// `fetch.max.wait.ms`.
    pub fetch_wait_max: Duration,
    /// How often topics are looked for that match what was subscribed to; the Java client's
    /// `metadata.max.age.ms`.
    pub pattern_interval: Duration,
    /// Fetched but not yet taken bytes at which fetching pauses.
    pub buffer_bytes_max: usize,
    /// Whether to use fetch sessions.
    pub sessions: bool,
    /// Largest batch after decompression, in bytes; a larger one is an error.
    pub batch_bytes_max: usize,
}

impl Default for ConsumerOptions {
    fn default() -> ConsumerOptions {
        let core = FetcherConfig::default();
        ConsumerOptions {
            group: None,
            isolation: core.isolation,
            offset_reset: core.offset_reset,
            poll_records_max: 500,
            fetch_bytes_min: core.fetch_bytes_min,
            fetch_bytes_max: core.fetch_bytes_max,
            partition_bytes_max: core.partition_bytes_max,
            fetch_wait_max: core.fetch_wait_max,
            pattern_interval: Duration::from_secs(300),
            buffer_bytes_max: core.buffer_bytes_max,
            sessions: core.sessions,
            batch_bytes_max: ottla_records::DECOMPRESSED_BYTES_MAX_DEFAULT,
        }
    }
}

impl ConsumerOptions {
    /// The defaults for a member of a group.
    pub fn in_group(group_id: impl Into<Arc<str>>) -> ConsumerOptions {
        ConsumerOptions {
            group: Some(GroupOptions::new(group_id)),
            ..ConsumerOptions::default()
        }
    }
}

/// How a consumer behaves in its group. The defaults are the Java client's.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// `group.id`.
    pub group_id: Arc<str>,
    /// `group.instance.id`: a name that outlives restarts. Such a member does not leave its group when
    /// it is closed: its partitions wait for it until the session timeout.
    pub instance_id: Option<Arc<str>>,
    /// `session.timeout.ms`.
    pub session_timeout: Duration,
    /// `heartbeat.interval.ms`.
    pub heartbeat_interval: Duration,
    /// `max.poll.interval.ms`: who takes longer between two polls loses its partitions.
    pub poll_interval_max: Duration,
    /// `partition.assignment.strategy`, the preferred first. Only if all of them are cooperative,
    /// partitions that do not move are read on during a rebalance.
    pub assignors: Vec<Assignor>,
    /// `auto.commit.interval.ms`; `None` commits nothing automatically. What is committed is what the
    /// application has finished with: everything before it polled again.
    pub auto_commit_interval: Option<Duration>,
    /// `client.rack`.
    pub rack: Option<Arc<str>>,
}

impl GroupOptions {
    /// The defaults for a group.
    pub fn new(group_id: impl Into<Arc<str>>) -> GroupOptions {
        let core = GroupConfig::new(group_id);
        GroupOptions {
            group_id: core.group_id,
            instance_id: core.instance_id,
            session_timeout: core.session_timeout,
            heartbeat_interval: core.heartbeat_interval,
            poll_interval_max: core.poll_interval_max,
            assignors: core.assignors,
            auto_commit_interval: Some(Duration::from_secs(5)),
            rack: core.rack,
        }
    }
}
