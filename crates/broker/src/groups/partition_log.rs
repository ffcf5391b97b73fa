use crate::append_gate::Entered;
use crate::broker::Broker;
use crate::counter::add;
use crate::partition::{LocalPartition, LogHome};
use crate::response::CoreId;
use crate::waiting::JournalPlace;
use arc_swap::Guard;
use ottla_coordinator::{Log, Refusal};
use ottla_records::{BatchView, ValidBatch};
use ottla_storage::log_dir::{AppendBatch, AppendError, AppendOrigin};
use ottla_storage::partition::Durability;
use ottla_types::{LeaderEpoch, Now, Offset};
use std::sync::Arc;

/// The partition of a shard as its log, in the epoch the shard was loaded for. As long as this is there the log
/// stays where it is.
pub(super) struct PartitionLog<'a> {
    broker: &'a Broker,
    partition: &'a Arc<LocalPartition>,
    home: Guard<Arc<LogHome>>,
    leader_epoch: LeaderEpoch,
    /// The core that is told when an append is durable.
    core: CoreId,
    _entered: Entered<'a>,
}

impl<'a> PartitionLog<'a> {
    /// `None` while the log changes its directory.
    pub(super) fn open(
        broker: &'a Broker,
        partition: &'a Arc<LocalPartition>,
        leader_epoch: LeaderEpoch,
        core: CoreId,
    ) -> Option<PartitionLog<'a>> {
        let entered = broker.gate.enter(core);
        (!entered.is_closed(partition.id)).then(|| PartitionLog {
            broker,
            partition,
            home: partition.home(),
            leader_epoch,
            core,
            _entered: entered,
        })
    }
}

impl Log for PartitionLog<'_> {
    fn admit(&mut self) -> Result<(), Refusal> {
        let view = self.partition.produce_view();
        let view = view.map_err(|_not_leader| Refusal::NotCoordinator)?;
        if view.leader_epoch != self.leader_epoch {
            return Err(Refusal::NotCoordinator);
        }
        let log_dir = &self.home.log_dir;
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
        let (partition, home) = (self.partition, &self.home);
        let appended = home
            .log_dir
            .append(home.slot, self.leader_epoch, batch, now)
            .map_err(|_error| Refusal::NotCoordinator)?;
        let metrics = &partition.metrics;
        add(&metrics.bytes_in, facts.size as u64);
        add(&metrics.records_in, u64::from(facts.records_count));
        let durability = home.log_dir.durability(home.slot);
        let place = JournalPlace {
            directory: home.directory,
            durability: durability.unwrap_or(Durability::Fsync),
            lsn: appended.durability,
        };
        self.broker.await_partition(self.core, partition, place);
        Ok(appended.last_offset.next())
    }
}
