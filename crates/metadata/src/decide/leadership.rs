//! Who leads a partition when one of its replicas goes, or comes back.

use crate::image::Image;
use crate::partition::{BrokerIds, Partition};
use crate::record::{PartitionChange, Record};
use ottla_types::{BrokerId, DirectoryId, PartitionId, TopicId};

/// What changes in a partition.
pub(super) struct Change {
    isr: Option<BrokerIds>,
    leader: Option<Option<BrokerId>>,
}

impl Change {
    pub(super) fn of(self, topic_id: TopicId, partition: PartitionId) -> Record {
        Record::PartitionChange(PartitionChange {
            topic_id,
            partition,
            isr: self.isr,
            leader: self.leader,
            ..PartitionChange::default()
        })
    }
}

/// Whether a replica in `directory` is there when these are online. One that is not assigned may be in any.
pub(super) fn is_online(directory: DirectoryId, online: &[DirectoryId]) -> bool {
    directory == DirectoryId::default() || online.contains(&directory)
}

/// The replica is not there: another in-sync one leads, or nobody.
pub(super) fn lose(partition: &Partition, broker: BrokerId, image: &Image) -> Option<Change> {
    leave_isr(partition, broker, image).or_else(|| {
        (partition.leader == Some(broker)).then_some(Change {
            isr: None,
            leader: Some(None),
        })
    })
}

/// Leading goes on, in a new epoch; a leaderless partition is led again by who is in sync.
pub(super) fn lead_again(partition: &Partition, broker: BrokerId) -> Option<Change> {
    let leads = partition.leader == Some(broker)
        || (partition.leader.is_none() && partition.isr.contains(&broker));
    leads.then_some(Change {
        isr: None,
        leader: Some(Some(broker)),
    })
}

/// A replica that may have lost what it had acknowledged is not in sync, unless nobody else is.
pub(super) fn leave_isr(partition: &Partition, broker: BrokerId, image: &Image) -> Option<Change> {
    if !partition.isr.contains(&broker) {
        return None;
    }
    let isr: BrokerIds = partition
        .isr
        .iter()
        .copied()
        .filter(|id| *id != broker)
        .collect();
    let next_leader = partition
        .replicas
        .iter()
        .copied()
        .find(|id| isr.contains(id) && image.may_lead(partition, *id))?;
    let leader = (partition.leader == Some(broker)).then_some(Some(next_leader));
    Some(Change {
        isr: Some(isr),
        leader,
    })
}
