use ottla_records::TimestampType;
use ottla_types::Timestamp;

/// When a write counts as durable (`ottla.durability`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// After the journal's fsync.
    #[default]
    Fsync,
    /// After the journal's write returned: it survives the process, not the machine.
    Os,
}

/// A topic's settings as its logs need them. Names, units and defaults are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`.
    pub segment_bytes: u32,
    /// `segment.ms`, less the jitter drawn for this partition.
    pub segment_ms: i64,
    /// `segment.index.bytes`.
    pub segment_index_bytes: u32,
    /// `retention.ms`; `None` keeps for ever.
    pub retention_ms: Option<i64>,
    /// `retention.bytes`; `None` is without limit.
    pub retention_bytes: Option<u64>,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: u64,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `ottla.durability`; `flush.messages=1` makes it [`Durability::Fsync`].
    pub durability: Durability,
    /// `cleanup.policy` contains `delete`. Without it retention removes nothing.
    pub deletes: bool,
    /// `cleanup.policy` contains `compact`.
    pub compacts: bool,
    /// `min.cleanable.dirty.ratio`, in millionths.
    pub min_cleanable_ppm: u32,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: i64,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag_ms: i64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: i64,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 604_800_000,
            segment_index_bytes: 10_485_760,
            retention_ms: Some(604_800_000),
            retention_bytes: None,
            file_delete_delay_ms: 60_000,
            timestamp_type: TimestampType::CreateTime,
            durability: Durability::Fsync,
            deletes: true,
            compacts: false,
            min_cleanable_ppm: 500_000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            delete_retention_ms: 86_400_000,
        }
    }
}

impl LogConfig {
    /// A segment takes records for so long: a compacted one must be over before `max.compaction.lag.ms` is.
    pub(crate) fn roll_after_ms(&self) -> i64 {
        if self.compacts {
            self.segment_ms.min(self.max_compaction_lag_ms)
        } else {
            self.segment_ms
        }
    }

    /// Records older than this are past retention at `now`.
    pub(crate) fn retention_cutoff(&self, now: Timestamp) -> Option<Timestamp> {
        let age = self.retention_ms.filter(|_| self.deletes)?;
        Some(Timestamp::from_millis(now.as_millis().saturating_sub(age)))
    }
}
