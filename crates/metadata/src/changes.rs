use crate::config_resource::ConfigResource;
use crate::record::Record;
use ottla_types::{BrokerId, TopicId};
use std::collections::BTreeSet;

/// What an entry touched, so that a broker follows it in O(change): the new state is in the image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Topics that came into being or whose partitions changed.
    pub topics: BTreeSet<TopicId>,
    /// Topics that are gone. Their names and partitions are in the image before.
    pub topics_removed: BTreeSet<TopicId>,
    /// Brokers that came, changed or left.
    pub brokers: BTreeSet<BrokerId>,
    /// Resources whose configs changed. A removed topic's configs go without being named here.
    pub configs: BTreeSet<ConfigResource>,
}

impl Changes {
    /// What these records touch.
    pub fn of(records: &[Record]) -> Changes {
        let mut changes = Changes::default();
        for record in records {
            changes.add(record);
        }
        changes
    }

    fn add(&mut self, record: &Record) {
        match record {
            Record::RegisterBroker(registration) => {
                self.brokers.insert(registration.id);
            }
            Record::UnregisterBroker { broker, .. }
            | Record::BrokerRegistrationChange { broker, .. } => {
                self.brokers.insert(*broker);
            }
            Record::Topic { id, .. } => {
                self.topics.insert(*id);
            }
            Record::Partition { topic_id, .. } => {
                self.topics.insert(*topic_id);
            }
            Record::PartitionChange(change) => {
                self.topics.insert(change.topic_id);
            }
            Record::RemoveTopic { id } => {
                self.topics.remove(id);
                self.topics_removed.insert(*id);
            }
            Record::Config { resource, .. } => {
                self.configs.insert(resource.clone());
            }
            Record::Cluster { .. }
            | Record::FeatureLevel { .. }
            | Record::ProducerIds { .. }
            | Record::NoOp => {}
        }
    }

    /// True when nothing but cluster-wide numbers changed.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
            && self.topics_removed.is_empty()
            && self.brokers.is_empty()
            && self.configs.is_empty()
    }
}
