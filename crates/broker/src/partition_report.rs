use crate::broker::Broker;
use ottla_storage::log_dir::DirHealth;
use ottla_types::{Offset, TopicPartition};

/// From where to where a partition can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadableOffsets {
    /// The first offset that is kept.
    pub log_start: Offset,
    /// Exclusive: consumers read below it.
    pub high_watermark: Offset,
    /// Exclusive: consumers of committed transactions read below it.
    pub last_stable: Offset,
}

/// How many of this broker's partitions are in which state; one may be in several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartitionStates {
    /// It leads.
    pub led: u64,
    /// It has a replica.
    pub replica: u64,
    /// Their directory failed, or is not here.
    pub offline: u64,
    /// Of them, those whose directory was not here at the start.
    pub missing: u64,
    /// Led, and a replica is not in sync.
    pub under_replicated: u64,
    /// Led, with fewer in sync than acks=all asks for.
    pub under_min_isr: u64,
    /// Led, with just as many in sync as acks=all asks for.
    pub at_min_isr: u64,
}

impl Broker {
    /// Where consumers may read of a partition that this broker leads.
    pub fn readable_offsets(&self, id: TopicPartition) -> Option<ReadableOffsets> {
        let view = self.view.load();
        let read = view.local(id)?.read_view(None).ok()?;
        Some(ReadableOffsets {
            log_start: read.log_start_offset,
            high_watermark: read.high_watermark,
            last_stable: read.last_stable_offset(),
        })
    }

    /// Counts the partitions of this broker by their states.
    pub fn partition_states(&self) -> PartitionStates {
        let view = self.view.load();
        let me = self.config.node_id;
        let healths = self.log_dirs.iter().map(|log_dir| log_dir.health());
        let is_offline: Vec<bool> = healths
            .map(|health| matches!(health, DirHealth::Offline { .. }))
            .collect();
        let mut states = PartitionStates::default();
        // Those whose directory is not here.
        let replicas = view.image.topics().flat_map(|topic| &topic.partitions);
        let replicas = replicas
            .filter(|partition| partition.is_replica(me))
            .count();
        states.replica = replicas as u64;
        states.missing = replicas.saturating_sub(view.locals().count()) as u64;
        states.offline = states.missing;
        for local in view.locals() {
            states.offline += u64::from(is_offline[local.home().directory]);
            let Some(partition) = view.image.partition(local.id) else {
                continue;
            };
            if partition.leader != Some(me) {
                continue;
            }
            let (replicas, isr) = (partition.replicas.len(), partition.isr.len());
            // More than there are replicas is never asked for.
            let min_isr = (local.config().min_insync_replicas as usize).min(replicas);
            states.led += 1;
            states.under_replicated += u64::from(isr < replicas);
            states.under_min_isr += u64::from(isr < min_isr);
            states.at_min_isr += u64::from(isr == min_isr);
        }
        states
    }
}
