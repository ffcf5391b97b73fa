use std::time::Duration;

/// What groups may do: Kafka's broker configs of the same names.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for more members.
    pub initial_rebalance_delay: Duration,
    /// `group.min.session.timeout.ms`, inclusive.
    pub session_timeout_min: Duration,
    /// `group.max.session.timeout.ms`, inclusive.
    pub session_timeout_max: Duration,
    /// `group.max.size`, in members.
    pub members_count_max: usize,
    /// How long a new member may wait for its group before it is forgotten: it cannot send
    /// heartbeats before it knows its id.
    pub new_member_join_timeout: Duration,
    /// `offset.metadata.max.bytes`; counted, as in Kafka, in UTF-16 code units.
    pub offset_metadata_units_max: usize,
    /// `offsets.retention.minutes`: how long offsets outlive their group.
    pub offsets_retention: Duration,
    /// `offsets.retention.check.interval.ms`: how often expired offsets are looked for.
    pub offsets_retention_check: Duration,
    /// The most bytes the records of one command may have together, about. The log must take somewhat more in one
    /// batch.
    pub record_bytes_max: usize,
}

impl Default for GroupConfig {
    fn default() -> GroupConfig {
        GroupConfig {
            initial_rebalance_delay: Duration::from_secs(3),
            session_timeout_min: Duration::from_secs(6),
            session_timeout_max: Duration::from_secs(30 * 60),
            members_count_max: i32::MAX as usize,
            new_member_join_timeout: Duration::from_secs(5 * 60),
            offset_metadata_units_max: 4096,
            offsets_retention: Duration::from_secs(7 * 24 * 60 * 60),
            offsets_retention_check: Duration::from_secs(10 * 60),
            // Well below what storage appends in one piece by default.
            record_bytes_max: 7 << 20,
        }
    }
}
