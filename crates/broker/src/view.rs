use crate::partition::LocalPartition;
use ottla_metadata::{Image, SharedMap, Topic};
use ottla_types::{BrokerId, ErrorCode, PartitionId, TopicId, TopicPartition};
use std::sync::Arc;

/// The cluster as this broker serves it: the metadata image, and the partitions held here.
///
/// Immutable; a request works on one view from its beginning to its end. A topic is in a view only
/// together with its local partitions, so what is shown can be produced to.
#[derive(Clone)]
pub(crate) struct View {
    pub(crate) image: Arc<Image>,
    /// The broker that serves it.
    me: BrokerId,
    partitions: SharedMap<TopicPartition, Arc<LocalPartition>>,
}

impl View {
    pub(crate) fn empty(me: BrokerId) -> View {
        View {
            me,
            image: Arc::new(Image::empty()),
            partitions: SharedMap::default(),
        }
    }

    /// The same partitions under another image.
    pub(crate) fn with_image(&self, image: Arc<Image>) -> View {
        View {
            image,
            me: self.me,
            partitions: self.partitions.clone(),
        }
    }

    pub(crate) fn insert(&mut self, partition: Arc<LocalPartition>) {
        self.partitions.insert(partition.id, partition);
    }

    pub(crate) fn remove(&mut self, id: TopicPartition) -> Option<Arc<LocalPartition>> {
        self.partitions.remove(&id)
    }

    /// A partition that is held here.
    pub(crate) fn local(&self, id: TopicPartition) -> Option<&Arc<LocalPartition>> {
        self.partitions.get(&id)
    }

    /// Every partition that is held here.
    pub(crate) fn locals(&self) -> impl Iterator<Item = &Arc<LocalPartition>> {
        self.partitions.values()
    }

    /// The partition of a topic named by name.
    pub(crate) fn by_name(
        &self,
        name: &str,
        partition: i32,
    ) -> Result<&Arc<LocalPartition>, ErrorCode> {
        let topic = self.image.topic_by_name(name);
        self.of_topic(topic.ok_or(ErrorCode::UnknownTopicOrPartition)?, partition)
    }

    /// The partition of a topic named by id.
    pub(crate) fn by_id(
        &self,
        id: TopicId,
        partition: i32,
    ) -> Result<&Arc<LocalPartition>, ErrorCode> {
        let topic = self.image.topic(id);
        self.of_topic(topic.ok_or(ErrorCode::UnknownTopicId)?, partition)
    }

    fn of_topic(&self, topic: &Topic, partition: i32) -> Result<&Arc<LocalPartition>, ErrorCode> {
        let found = PartitionId::from_wire(partition)
            .and_then(|number| Some((number, topic.partition(number)?)));
        let (partition, image) = found.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        let id = TopicPartition {
            topic_id: topic.id,
            partition,
        };
        self.local(id).ok_or(match image.is_replica(self.me) {
            // Its log directory is not there.
            true => ErrorCode::KafkaStorageError,
            false => ErrorCode::NotLeaderOrFollower,
        })
    }
}
