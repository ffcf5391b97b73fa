use crate::core::backoff::Backoff;
use crate::core::call::{Answer, BrokerEndpoint, MetadataCall, Request, Target};
use crate::core::partition_key::PartitionKey;
use ottla_protocol::messages::MetadataResponse;
use ottla_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_protocol::{Message, Reader};
use ottla_types::{BrokerId, ErrorCode, LeaderEpoch, Mono, Prng, TopicId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What is known of one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicMetadata {
    /// Its id; `None` from clusters older than topic ids.
    pub id: Option<TopicId>,
    /// One of Kafka's own.
    pub is_internal: bool,
    /// By number from 0. Empty while `error` is set.
    pub partitions: Vec<PartitionMetadata>,
    /// Why the cluster told nothing of it.
    pub error: Option<ErrorCode>,
}

/// What is known of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// Who leads it.
    pub leader: Option<BrokerId>,
    /// In which term.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Who has a copy.
    pub replicas: Vec<BrokerId>,
    /// Whose copy is in sync.
    pub in_sync_replicas: Vec<BrokerId>,
    /// Whose copy is not there at the moment.
    pub offline_replicas: Vec<BrokerId>,
}

/// What one client knows of the cluster, and when it must ask again.
///
/// Invariant: a partition's leader epoch never goes back while the topic keeps its id.
#[derive(Debug)]
pub struct Metadata {
    brokers: BTreeMap<BrokerId, BrokerEndpoint>,
    topics: BTreeMap<Arc<str>, TopicMetadata>,
    wanted: BTreeSet<Arc<str>>,
    allow_auto_topic_creation: bool,
    age_max: Duration,
    backoff: Backoff,
    schedule: Schedule,
    failures: u32,
    /// Counts the answers taken in.
    version: u64,
    last_failure: Option<String>,
}

/// When to ask next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Schedule {
    /// At this time.
    At(Mono),
    /// A request is under way; `again` if what it brings may be outdated already.
    Asked { again: bool },
    /// No topic is wanted.
    Never,
}

impl Metadata {
    /// Knows nothing yet. Answers older than `age_max` are renewed.
    pub fn new(allow_auto_topic_creation: bool, age_max: Duration, backoff: Backoff) -> Metadata {
        Metadata {
            brokers: BTreeMap::new(),
            topics: BTreeMap::new(),
            wanted: BTreeSet::new(),
            allow_auto_topic_creation,
            age_max,
            backoff,
            schedule: Schedule::Never,
            failures: 0,
            version: 0,
            last_failure: None,
        }
    }

    /// Keeps `topic` known from now on.
    pub fn want(&mut self, topic: &Arc<str>, now: Mono) {
        if self.wanted.insert(topic.clone()) {
            self.refresh_now(now);
        }
    }

    /// Asks no more for `topic`.
    pub fn forget(&mut self, topic: &str) {
        self.wanted.remove(topic);
        self.topics.remove(topic);
    }

    /// Something showed that what we know is wrong: asks again, after a short wait if an answer came
    /// just now.
    pub fn refresh(&mut self, now: Mono) {
        match &mut self.schedule {
            Schedule::Asked { again } => *again = true,
            Schedule::At(at) => *at = (*at).min(now.plus(self.backoff.first)),
            Schedule::Never => self.schedule = Schedule::At(now.plus(self.backoff.first)),
        }
    }

    fn refresh_now(&mut self, now: Mono) {
        match &mut self.schedule {
            Schedule::Asked { again } => *again = true,
            _ => self.schedule = Schedule::At(now),
        }
    }

    /// The request to make now, if one is due.
    pub fn poll(&mut self, now: Mono) -> Option<(Target, Request)> {
        if self.wanted.is_empty() || !matches!(self.schedule, Schedule::At(at) if at <= now) {
            return None;
        }
        self.schedule = Schedule::Asked { again: false };
        let topics = Some(self.wanted.iter().cloned().collect());
        let allow_auto_topic_creation = self.allow_auto_topic_creation;
        let call = MetadataCall {
            topics,
            allow_auto_topic_creation,
        };
        Some((Target::Any, Request::Metadata(call)))
    }

    /// When [`Metadata::poll`] has something to say.
    pub fn next_deadline(&self) -> Option<Mono> {
        match self.schedule {
            Schedule::At(at) if !self.wanted.is_empty() => Some(at),
            _ => None,
        }
    }

    /// Takes in the answer to what [`Metadata::poll`] asked.
    pub fn on_answer(&mut self, answer: &Answer, now: Mono, prng: &mut Prng) {
        let again = self.schedule == Schedule::Asked { again: true };
        let failure = match answer {
            Answer::Response { version, body } => self.take_in(*version, body).err(),
            Answer::Sent => None,
            Answer::Failed(failure) => Some(failure.to_string()),
        };
        let incomplete = self.wanted.iter().any(|topic| !self.is_complete(topic));
        if failure.is_some() || incomplete {
            self.failures = self.failures.saturating_add(1);
        } else {
            self.failures = 0;
        }
        let wait = match (self.failures, again) {
            (0, false) => self.age_max,
            (0, true) => self.backoff.first,
            (failures, _) => self.backoff.delay(failures, prng),
        };
        self.last_failure = failure;
        self.schedule = Schedule::At(now.plus(wait));
    }

    fn is_complete(&self, topic: &str) -> bool {
        self.topics.get(topic).is_some_and(|topic| {
            topic.error.is_none() && topic.partitions.iter().all(|part| part.leader.is_some())
        })
    }

    fn take_in(&mut self, version: i16, body: &[u8]) -> Result<(), String> {
        let response = MetadataResponse::decode(&mut Reader::new(body), version)
            .map_err(|error| format!("malformed Metadata response: {error}"))?;
        if response.brokers.is_empty() {
            return Err("the cluster named no broker".to_owned());
        }
        self.version += 1;
        self.brokers = response
            .brokers
            .iter()
            .filter_map(endpoint)
            .map(|b| (b.id, b))
            .collect();
        for topic in &response.topics {
            let Some(name) = topic.name.as_deref() else {
                continue;
            };
            let Some(name) = self.wanted.get(name).cloned() else {
                continue;
            };
            let known = self.topics.get(&name);
            let merged = merge(known, topic);
            self.topics.insert(name, merged);
        }
        Ok(())
    }

    /// A response named another leader (KIP-951).
    pub fn on_leader_hint(
        &mut self,
        key: &PartitionKey,
        leader: i32,
        leader_epoch: i32,
        endpoint: Option<BrokerEndpoint>,
    ) {
        let (Some(leader), Some(epoch)) = (
            BrokerId::from_wire(leader),
            LeaderEpoch::from_wire(leader_epoch),
        ) else {
            return;
        };
        if let Some(endpoint) = endpoint {
            self.brokers.insert(endpoint.id, endpoint);
        }
        let known = self.brokers.contains_key(&leader);
        if let Some(part) = self.partition_mut(key)
            && known
            && part.leader_epoch.is_none_or(|known| known < epoch)
        {
            part.leader = Some(leader);
            part.leader_epoch = Some(epoch);
        }
    }

    fn partition_mut(&mut self, key: &PartitionKey) -> Option<&mut PartitionMetadata> {
        let index = usize::try_from(key.partition).ok()?;
        self.topics.get_mut(&key.topic)?.partitions.get_mut(index)
    }

    /// What is known of a topic.
    pub fn topic(&self, topic: &str) -> Option<&TopicMetadata> {
        self.topics.get(topic)
    }

    /// How many partitions a topic has; `None` while that is unknown.
    pub fn partitions_count(&self, topic: &str) -> Option<u32> {
        let topic = self.topics.get(topic)?;
        if topic.error.is_some() {
            None
        } else {
            u32::try_from(topic.partitions.len()).ok()
        }
    }

    /// The id of a topic, where the cluster has one.
    pub fn topic_id(&self, topic: &str) -> Option<TopicId> {
        self.topics.get(topic)?.id
    }

    /// Where the leader of a partition listens, and its epoch.
    pub fn leader(&self, key: &PartitionKey) -> Option<(&BrokerEndpoint, Option<LeaderEpoch>)> {
        let index = usize::try_from(key.partition).ok()?;
        let part = self.topics.get(&key.topic)?.partitions.get(index)?;
        Some((self.brokers.get(&part.leader?)?, part.leader_epoch))
    }

    /// The brokers, as the last answer had them.
    pub fn brokers(&self) -> impl Iterator<Item = &BrokerEndpoint> {
        self.brokers.values()
    }

    /// Grows with every answer taken in.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Why the last request failed, if it did.
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }
}

pub(crate) fn endpoint(broker: &MetadataResponseBroker<'_>) -> Option<BrokerEndpoint> {
    Some(BrokerEndpoint {
        id: BrokerId::from_wire(broker.node_id)?,
        host: Arc::from(&*broker.host),
        port: u16::try_from(broker.port).ok()?,
    })
}

/// The topic as the response says, except leaders of terms older than those we know already.
fn merge(known: Option<&TopicMetadata>, topic: &MetadataResponseTopic<'_>) -> TopicMetadata {
    let id = (!topic.topic_id.is_zero()).then(|| TopicId::new(topic.topic_id));
    let error = ErrorCode::from_wire(topic.error_code).unwrap_or(ErrorCode::UnknownServerError);
    let known = known.filter(|known| known.id == id);
    let mut partitions: Vec<PartitionMetadata> = Vec::new();
    // The response lists partitions in any order; numbers are dense from 0.
    let mut parts: Vec<&MetadataResponsePartition> = topic.partitions.iter().collect();
    parts.sort_by_key(|part| part.partition_index);
    for part in parts {
        if usize::try_from(part.partition_index) != Ok(partitions.len()) {
            break;
        }
        let fresh = partition(part);
        let older = known
            .and_then(|known| known.partitions.get(partitions.len()))
            .filter(|older| older.leader_epoch > fresh.leader_epoch);
        partitions.push(older.cloned().unwrap_or(fresh));
    }
    TopicMetadata {
        id,
        is_internal: topic.is_internal,
        partitions,
        error: (error != ErrorCode::None).then_some(error),
    }
}

fn partition(part: &MetadataResponsePartition) -> PartitionMetadata {
    let ids = |ids: &[i32]| {
        ids.iter()
            .filter_map(|id| BrokerId::from_wire(*id))
            .collect()
    };
    PartitionMetadata {
        leader: BrokerId::from_wire(part.leader_id),
        leader_epoch: LeaderEpoch::from_wire(part.leader_epoch),
        replicas: ids(&part.replica_nodes),
        in_sync_replicas: ids(&part.isr_nodes),
        offline_replicas: ids(&part.offline_replicas),
    }
}

#[cfg(test)]
mod tests;
