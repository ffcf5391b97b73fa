use crate::partition::Partition;
use ottla_types::{PartitionId, TopicId};
use std::sync::Arc;

/// One topic with its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Names it for ever.
    pub id: TopicId,
    /// Names it for people, and while it exists.
    pub name: Arc<str>,
    /// In the order of their numbers, without gaps.
    pub partitions: Vec<Partition>,
}

impl Topic {
    /// The partition with this number.
    pub fn partition(&self, partition: PartitionId) -> Option<&Partition> {
        self.partitions.get(usize::try_from(partition.get()).ok()?)
    }

    /// The partitions with their numbers.
    pub fn numbered(&self) -> impl Iterator<Item = (PartitionId, &Partition)> {
        self.partitions
            .iter()
            .enumerate()
            .map(|(index, partition)| (PartitionId::new(index as i32), partition))
    }

    /// Kafka's rule: the topics of its coordinators.
    pub fn is_internal(&self) -> bool {
        is_internal_topic(&self.name)
    }
}

/// Whether Kafka keeps the topic called `name` for itself (`Topic.isInternal`).
pub fn is_internal_topic(name: &str) -> bool {
    matches!(
        name,
        "__consumer_offsets" | "__transaction_state" | "__share_group_state"
    )
}
