use crate::broker::Broker;
use crate::counter::add;
use crate::partition::LocalPartition;
use crate::response::CoreId;
use crate::waiting::JournalPlace;
use ottla_coordinator::{Log, Refusal};
use ottla_records::{BatchView, ValidBatch};
use ottla_storage::log_dir::{AppendBatch, AppendError, AppendOrigin};
use ottla_storage::partition::Durability;
use ottla_types::{LeaderEpoch, Now, Offset};
use std::sync::Arc;

/// The partition of a shard as its log, in the epoch the shard was loaded for.
pub(super) struct PartitionLog<'a> {
    pub(super) broker: &'a Broker,
    pub(super) partition: &'a Arc<LocalPartition>,
    pub(super) leader_epoch: LeaderEpoch,
    /// The core that is told when an append is durable.
    pub(super) core: CoreId,
}

impl Log for PartitionLog<'_> {
    fn admit(&mut self) -> Result<(), Refusal> {
        let view = self.partition.produce_view();
        let view = view.map_err(|_not_leader| Refusal::NotCoordinator)?;
        if view.leader_epoch != self.leader_epoch {
            return Err(Refusal::NotCoordinator);
        }
        let log_dir = &self.partition.log_dir;
        match log_dir.admit(AppendOrigin::Coordinator) {
            // Producers wait since long; who coordinates cannot wait, and must not fill memory either.
            Ok(()) if log_dir.is_overloaded() => Err(Refusal::Unavailable),
            Ok(()) if view.has_enough_replicas => Ok(()),
            Ok(()) | Err(AppendError::Full) => Err(Refusal::Unavailable),
            Err(_offline) => Err(Refusal::NotCoordinator),
        }
    }

    fn append(&mut self, bytes: &[u8], now: Now) -> Result<Offset, Refusal> {
        let batch = BatchView::parse(bytes).expect("a batch of our own making");
        let facts = ValidBatch::from_header(&batch).expect("a codec of our own choice");
        let batch = AppendBatch {
            bytes,
            facts: &facts,
            origin: AppendOrigin::Coordinator,
        };
        let partition = self.partition;
        let appended = partition
            .log_dir
            .append(partition.slot, self.leader_epoch, batch, now)
            .map_err(|_error| Refusal::NotCoordinator)?;
        let metrics = &partition.metrics;
        add(&metrics.bytes_in, facts.size as u64);
        add(&metrics.records_in, u64::from(facts.records_count));
        let durability = partition.log_dir.durability(partition.slot);
        let place = JournalPlace {
            directory: partition.directory,
            durability: durability.unwrap_or(Durability::Fsync),
            lsn: appended.durability,
        };
        self.broker.await_partition(self.core, partition, place);
        Ok(appended.last_offset.next())
    }
}
