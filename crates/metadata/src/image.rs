use crate::broker_registration::BrokerRegistration;
use crate::config_resource::{ConfigResource, Configs};
use crate::partition::Partition;
use crate::record::{PartitionChange, Record};
use crate::shared_map::SharedMap;
use crate::topic::Topic;
use ottla_types::{
    BrokerEpoch, BrokerId, PartitionId, ProducerId, TopicId, TopicPartition,
    topic_name_collision_key,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The cluster's state after one entry of the metadata log.
///
/// Immutable once published: request handlers read it through an `Arc` without locks. A clone
/// shares everything, and applying records to a clone costs as much as changes (see [`SharedMap`]).
///
/// Invariants, checked by [`Image::check`]: the name and id of every topic lead to each other;
/// every partition is as [`Partition::check`] demands; only topics that exist have topic configs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    applied_index: u64,
    cluster_id: Option<Arc<str>>,
    brokers: SharedMap<BrokerId, Arc<BrokerRegistration>>,
    topics: SharedMap<TopicId, Arc<Topic>>,
    topic_ids: SharedMap<Arc<str>, TopicId>,
    /// Names by their collision key; almost always one.
    collisions: SharedMap<String, Vec<Arc<str>>>,
    partitions_count: usize,
    configs: SharedMap<ConfigResource, Arc<Configs>>,
    features: Arc<BTreeMap<String, i16>>,
    features_index: u64,
    next_producer_id: ProducerId,
}

/// A record does not fit the image it is applied to: the log is damaged or of another making.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metadata record does not fit the state before it: {reason}: {record}")]
pub struct ReplayError {
    /// What is wrong.
    pub reason: &'static str,
    /// The record as text.
    pub record: String,
}

impl Image {
    /// The image before the first entry.
    pub fn empty() -> Image {
        Image::default()
    }

    /// Index of the last entry that is part of this image; 0 before the first.
    pub fn applied_index(&self) -> u64 {
        self.applied_index
    }

    /// The cluster's id, known from the first batch on.
    pub fn cluster_id(&self) -> Option<&str> {
        self.cluster_id.as_deref()
    }

    /// A broker by number.
    pub fn broker(&self, id: BrokerId) -> Option<&Arc<BrokerRegistration>> {
        self.brokers.get(&id)
    }

    /// All brokers, by number.
    pub fn brokers(&self) -> impl Iterator<Item = &Arc<BrokerRegistration>> {
        self.brokers.values()
    }

    /// A topic by id.
    pub fn topic(&self, id: TopicId) -> Option<&Arc<Topic>> {
        self.topics.get(&id)
    }

    /// A topic by name.
    pub fn topic_by_name(&self, name: &str) -> Option<&Arc<Topic>> {
        self.topics.get(self.topic_ids.get(name)?)
    }

    /// The id of the topic called `name`.
    pub fn topic_id(&self, name: &str) -> Option<TopicId> {
        self.topic_ids.get(name).copied()
    }

    /// All topics, by id.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topics.values()
    }

    /// All topics by name, beginning with the first name that is not below `first`.
    pub fn topics_by_name_from(&self, first: &str) -> impl Iterator<Item = &Arc<Topic>> {
        self.topic_ids
            .range_from(first)
            .filter_map(|(_, id)| self.topics.get(id))
    }

    /// How many topics there are.
    pub fn topics_count(&self) -> usize {
        self.topics.len()
    }

    /// How many partitions all topics have together.
    pub fn partitions_count(&self) -> usize {
        self.partitions_count
    }

    /// One partition.
    pub fn partition(&self, id: TopicPartition) -> Option<&Partition> {
        self.topics.get(&id.topic_id)?.partition(id.partition)
    }

    /// Whether `broker` could lead the partition if it is in sync: it is active, and its directory online.
    pub fn may_lead(&self, partition: &Partition, broker: BrokerId) -> bool {
        let Some(registration) = self.broker(broker) else {
            return false;
        };
        let directory = partition.directory_of(broker);
        registration.is_active() && directory.is_some_and(|id| registration.has_online(id))
    }

    /// The existing topic whose metric names would be those of a topic called `name` (`a.b`, `a_b`).
    pub fn colliding_topic(&self, name: &str) -> Option<&Arc<str>> {
        if !has_collision_characters(name) {
            return None;
        }
        let key = topic_name_collision_key(name);
        self.collisions.get(key.as_str())?.first()
    }

    /// What was set on `resource`; `None` when nothing was.
    pub fn configs(&self, resource: &ConfigResource) -> Option<&Arc<Configs>> {
        self.configs.get(resource)
    }

    /// What was set on the topic called `name`.
    pub fn topic_configs(&self, name: &str) -> Option<&Arc<Configs>> {
        self.configs.get(&ConfigResource::topic(name))
    }

    /// All resources with configs.
    pub fn configured_resources(&self) -> impl Iterator<Item = (&ConfigResource, &Arc<Configs>)> {
        self.configs.iter()
    }

    /// Finalized features with their levels. Level 0 is never in it.
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    /// The finalized level of a feature; 0 when it is off.
    pub fn feature_level(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// Rises with every change of a finalized feature: `FinalizedFeaturesEpoch`.
    pub fn features_epoch(&self) -> u64 {
        self.features_index
    }

    /// The first producer id that nobody was given.
    pub fn next_producer_id(&self) -> ProducerId {
        self.next_producer_id
    }

    /// The broker epoch that the next entry will hand out: above every one before, because every
    /// entry has an index of its own.
    pub(crate) fn next_broker_epoch(&self) -> BrokerEpoch {
        BrokerEpoch::new(self.applied_index as i64 + 1)
    }

    /// The image after the entry at `index` with these records.
    pub fn apply(&self, index: u64, records: &[Record]) -> Result<Image, ReplayError> {
        let mut next = self.clone();
        next.apply_in_place(index, records)?;
        Ok(next)
    }

    /// Like [`Image::apply`], for an image that nobody else sees. After an error it is to be dropped.
    pub fn apply_in_place(&mut self, index: u64, records: &[Record]) -> Result<(), ReplayError> {
        assert!(
            self.applied_index <= index,
            "entries are applied in the order of the log"
        );
        self.applied_index = index;
        for record in records {
            self.apply_record(record).map_err(|reason| ReplayError {
                reason,
                record: format!("{record:?}"),
            })?;
        }
        Ok(())
    }

    fn apply_record(&mut self, record: &Record) -> Result<(), &'static str> {
        match record {
            Record::Cluster { id } => self.cluster_id = Some(id.as_str().into()),
            Record::RegisterBroker(registration) => {
                self.brokers
                    .insert(registration.id, Arc::new(registration.clone()));
            }
            Record::UnregisterBroker { broker, epoch } => {
                self.broker_mut(*broker, *epoch)?;
                self.brokers.remove(broker);
            }
            Record::BrokerRegistrationChange {
                broker,
                epoch,
                fencing,
                directories,
                cordoned,
            } => {
                let registration = self.broker_mut(*broker, *epoch)?;
                if let Some(fencing) = fencing {
                    registration.fencing = *fencing;
                }
                if let Some(directories) = directories {
                    registration.directories.clone_from(directories);
                }
                if let Some(cordoned) = cordoned {
                    registration.cordoned.clone_from(cordoned);
                }
            }
            Record::Topic { name, id } => self.add_topic(name, *id)?,
            Record::RemoveTopic { id } => self.remove_topic(*id)?,
            Record::Partition {
                topic_id,
                partition,
                state,
            } => self.add_partition(*topic_id, *partition, state)?,
            Record::PartitionChange(change) => self.change_partition(change)?,
            Record::Config {
                resource,
                name,
                value,
            } => self.set_config(resource, name, value.as_deref()),
            Record::FeatureLevel { name, level } => {
                let features = Arc::make_mut(&mut self.features);
                if *level == 0 {
                    features.remove(name);
                } else {
                    features.insert(name.clone(), *level);
                }
                self.features_index = self.applied_index;
            }
            Record::ProducerIds { next, .. } => {
                if *next < self.next_producer_id {
                    return Err("producer ids are never handed out twice");
                }
                self.next_producer_id = *next;
            }
            Record::NoOp => {}
        }
        Ok(())
    }

    fn broker_mut(
        &mut self,
        broker: BrokerId,
        epoch: BrokerEpoch,
    ) -> Result<&mut BrokerRegistration, &'static str> {
        let registration = self.brokers.get_mut(&broker).ok_or("no such broker")?;
        if registration.epoch != epoch {
            return Err("the broker has another epoch");
        }
        Ok(Arc::make_mut(registration))
    }

    fn add_topic(&mut self, name: &str, id: TopicId) -> Result<(), &'static str> {
        let name: Arc<str> = name.into();
        if self.topic_ids.contains_key(&*name) || self.topics.contains_key(&id) {
            return Err("the topic exists");
        }
        self.topic_ids.insert(Arc::clone(&name), id);
        if has_collision_characters(&name) {
            let key = topic_name_collision_key(&name);
            match self.collisions.get_mut(key.as_str()) {
                Some(names) => names.push(Arc::clone(&name)),
                None => drop(self.collisions.insert(key, vec![Arc::clone(&name)])),
            }
        }
        let topic = Topic {
            id,
            name,
            partitions: Vec::new(),
        };
        self.topics.insert(id, Arc::new(topic));
        Ok(())
    }

    fn remove_topic(&mut self, id: TopicId) -> Result<(), &'static str> {
        let topic = self.topics.remove(&id).ok_or("no such topic")?;
        self.topic_ids.remove(&*topic.name);
        if has_collision_characters(&topic.name) {
            let key = topic_name_collision_key(&topic.name);
            if let Some(names) = self.collisions.get_mut(key.as_str()) {
                names.retain(|name| *name != topic.name);
                if names.is_empty() {
                    self.collisions.remove(key.as_str());
                }
            }
        }
        self.configs.remove(&ConfigResource::topic(&topic.name));
        self.partitions_count -= topic.partitions.len();
        Ok(())
    }

    fn add_partition(
        &mut self,
        topic_id: TopicId,
        partition: PartitionId,
        state: &Partition,
    ) -> Result<(), &'static str> {
        let topic = Arc::make_mut(self.topics.get_mut(&topic_id).ok_or("no such topic")?);
        if i64::from(partition.get()) != topic.partitions.len() as i64 {
            return Err("partition numbers rise without gaps");
        }
        state.check()?;
        topic.partitions.push(state.clone());
        self.partitions_count += 1;
        Ok(())
    }

    fn change_partition(&mut self, change: &PartitionChange) -> Result<(), &'static str> {
        let topic = self
            .topics
            .get_mut(&change.topic_id)
            .ok_or("no such topic")?;
        let partition = usize::try_from(change.partition.get())
            .ok()
            .and_then(|index| Arc::make_mut(topic).partitions.get_mut(index))
            .ok_or("no such partition")?;
        change.apply_to(partition);
        partition.check()
    }

    fn set_config(&mut self, resource: &ConfigResource, name: &str, value: Option<&str>) {
        match value {
            Some(value) => {
                if !self.configs.contains_key(resource) {
                    self.configs
                        .insert(resource.clone(), Arc::new(Configs::new()));
                }
                if let Some(configs) = self.configs.get_mut(resource) {
                    Arc::make_mut(configs).insert(name.to_owned(), value.to_owned());
                }
            }
            None => {
                let Some(configs) = self.configs.get_mut(resource) else {
                    return;
                };
                let configs = Arc::make_mut(configs);
                configs.remove(name);
                if configs.is_empty() {
                    self.configs.remove(resource);
                }
            }
        }
    }

    /// The records that make this image out of an empty one: the body of a snapshot.
    pub fn to_records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        if let Some(id) = &self.cluster_id {
            records.push(Record::Cluster { id: id.to_string() });
        }
        for (name, level) in self.features.iter() {
            records.push(Record::FeatureLevel {
                name: name.clone(),
                level: *level,
            });
        }
        for broker in self.brokers.values() {
            records.push(Record::RegisterBroker((**broker).clone()));
        }
        for topic in self.topics.values() {
            records.push(Record::Topic {
                name: topic.name.to_string(),
                id: topic.id,
            });
            records.extend(
                topic
                    .numbered()
                    .map(|(partition, state)| Record::Partition {
                        topic_id: topic.id,
                        partition,
                        state: state.clone(),
                    }),
            );
        }
        for (resource, configs) in self.configs.iter() {
            records.extend(configs.iter().map(|(name, value)| Record::Config {
                resource: resource.clone(),
                name: name.clone(),
                value: Some(value.clone()),
            }));
        }
        if self.next_producer_id != ProducerId::new(0) {
            records.push(Record::ProducerIds {
                broker: BrokerId::new(0),
                broker_epoch: BrokerEpoch::new(0),
                next: self.next_producer_id,
            });
        }
        records
    }

    /// Panics where an invariant does not hold. For tests and the simulator: it walks everything.
    pub fn check(&self) {
        assert_eq!(self.topics.len(), self.topic_ids.len());
        let mut partitions_count = 0;
        for (id, topic) in self.topics.iter() {
            assert_eq!(*id, topic.id);
            assert_eq!(self.topic_ids.get(&*topic.name), Some(id));
            partitions_count += topic.partitions.len();
            for partition in &topic.partitions {
                assert_eq!(partition.check(), Ok(()), "{} of {}", topic.name, id);
            }
        }
        assert_eq!(self.partitions_count, partitions_count);
        for (key, names) in self.collisions.iter() {
            assert!(!names.is_empty());
            for name in names {
                assert_eq!(*key, topic_name_collision_key(name));
                assert!(self.topic_ids.contains_key(name));
            }
        }
        for (resource, configs) in self.configs.iter() {
            assert!(!configs.is_empty(), "{resource} has configs or no entry");
        }
    }
}

impl PartitionChange {
    /// Kafka's `PartitionRegistration.merge`.
    fn apply_to(&self, partition: &mut Partition) {
        fn set<T: Clone>(field: &mut T, change: &Option<T>) {
            if let Some(value) = change {
                field.clone_from(value);
            }
        }
        set(&mut partition.isr, &self.isr);
        set(&mut partition.replicas, &self.replicas);
        set(&mut partition.directories, &self.directories);
        set(&mut partition.removing, &self.removing);
        set(&mut partition.adding, &self.adding);
        set(
            &mut partition.eligible_leader_replicas,
            &self.eligible_leader_replicas,
        );
        set(&mut partition.last_known_elr, &self.last_known_elr);
        set(&mut partition.leader_recovery, &self.leader_recovery);
        if let Some(leader) = self.leader {
            partition.leader = leader;
            partition.leader_epoch = partition.leader_epoch.next();
        }
        partition.partition_epoch += 1;
    }
}

/// Kafka's `Topic.hasCollisionChars`.
fn has_collision_characters(name: &str) -> bool {
    name.contains(['.', '_'])
}
