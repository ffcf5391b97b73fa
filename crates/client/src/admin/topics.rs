use super::{Admin, Effect, not_mentioned};
use crate::core::{BrokerEndpoint, PartitionKey};
use crate::error::{ApiError, ClientError};
use ottla_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsTopic,
};
use ottla_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use ottla_protocol::messages::metadata_request::MetadataRequestTopic;
use ottla_protocol::messages::metadata_response::MetadataResponseTopic;
use ottla_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse, MetadataRequest, MetadataResponse,
    delete_topics_request::DeleteTopicState,
};
use ottla_protocol::{ApiKey, Message};
use ottla_types::{BrokerId, ErrorCode, LeaderEpoch, TopicId};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A topic to be created.
///
/// ```
/// use ottla_client::NewTopic;
///
/// let topic = NewTopic::new("flights").partitions(6).config("retention.ms", "86400000");
/// assert_eq!(topic.replication_factor, None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` takes the cluster's default (`num.partitions`).
    pub partitions: Option<i32>,
    /// How many copies; `None` takes the cluster's default (`default.replication.factor`).
    pub replication_factor: Option<i16>,
    /// Which brokers have copies of partition 0, 1, ...; empty lets the cluster choose. With it,
    /// `partitions` and `replication_factor` must be `None`.
    pub assignments: Vec<Vec<i32>>,
    /// Topic configurations that differ from the defaults.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic as the cluster makes them.
    pub fn new(name: impl Into<String>) -> NewTopic {
        NewTopic {
            name: name.into(),
            partitions: None,
            replication_factor: None,
            assignments: Vec::new(),
            configs: BTreeMap::new(),
        }
    }

    /// With so many partitions.
    pub fn partitions(mut self, count: i32) -> NewTopic {
        self.partitions = Some(count);
        self
    }

    /// With so many copies of each partition.
    pub fn replication_factor(mut self, copies: i16) -> NewTopic {
        self.replication_factor = Some(copies);
        self
    }

    /// With this configuration.
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> NewTopic {
        self.configs.insert(name.into(), value.into());
        self
    }

    fn to_wire(&self) -> CreatableTopic<'_> {
        CreatableTopic {
            name: Cow::Borrowed(&self.name),
            num_partitions: self.partitions.unwrap_or(-1),
            replication_factor: self.replication_factor.unwrap_or(-1),
            assignments: (0..)
                .zip(&self.assignments)
                .map(|(partition_index, brokers)| CreatableReplicaAssignment {
                    partition_index,
                    broker_ids: brokers.clone(),
                })
                .collect(),
            configs: self
                .configs
                .iter()
                .map(|(name, value)| CreatableTopicConfig {
                    name: Cow::Borrowed(name),
                    value: Some(Cow::Borrowed(value)),
                })
                .collect(),
        }
    }
}

/// A topic as the cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its id; `None` from clusters older than topic ids.
    pub id: Option<TopicId>,
    /// One of Kafka's own.
    pub is_internal: bool,
    /// By number from 0.
    pub partitions: Vec<PartitionDescription>,
}

/// A partition as the cluster has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    /// Its number.
    pub partition: i32,
    /// Who leads it; `None` when nobody can.
    pub leader: Option<BrokerId>,
    /// In which term.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Who has a copy.
    pub replicas: Vec<BrokerId>,
    /// Whose copy is in sync.
    pub in_sync_replicas: Vec<BrokerId>,
    /// Whose copy is offline.
    pub offline_replicas: Vec<BrokerId>,
}

/// One result per name.
type PerTopic<T> = BTreeMap<String, Result<T, ApiError>>;

impl Admin {
    /// Creates topics.
    ///
    /// ```no_run
    /// # use ottla_client::{Admin, ClientError, NewTopic};
    /// # async fn example(admin: &Admin) -> Result<(), ClientError> {
    /// for (name, result) in admin.create_topics(&[NewTopic::new("flights").partitions(6)]).await? {
    ///     match result {
    ///         Ok(id) => println!("{name} has id {id:?}"),
    ///         Err(error) => println!("{name}: {error}; {}", error.hint().unwrap_or("")),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
    ) -> Result<PerTopic<Option<TopicId>>, ClientError> {
        self.create(topics, false).await
    }

    /// Says what [`Admin::create_topics`] would answer, without creating anything.
    pub async fn validate_topics(&self, topics: &[NewTopic]) -> Result<PerTopic<()>, ClientError> {
        let results = self.create(topics, true).await?;
        Ok(results
            .into_iter()
            .map(|(name, result)| (name, result.map(drop)))
            .collect())
    }

    async fn create(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
    ) -> Result<PerTopic<Option<TopicId>>, ClientError> {
        let topics: Vec<NewTopic> = topics.to_vec();
        let mut results: PerTopic<Option<TopicId>> = topics
            .iter()
            .map(|topic| (topic.name.clone(), Err(not_mentioned())))
            .collect();
        let timeout_ms = self.timeout_ms();
        let encode = Arc::new(move |writer: &mut _, version| {
            let topics = topics.iter().map(NewTopic::to_wire).collect();
            CreateTopicsRequest {
                topics,
                timeout_ms,
                validate_only,
            }
            .encode(writer, version)
        });
        let reply = self
            .ask_any(ApiKey::CreateTopics, 2..=i16::MAX, Effect::Changes, encode)
            .await?;
        for topic in reply.decode::<CreateTopicsResponse<'_>>()?.topics {
            let id = (!topic.topic_id.is_zero()).then(|| TopicId::new(topic.topic_id));
            let result = ApiError::check(topic.error_code, topic.error_message.as_deref());
            results.insert(topic.name.into_owned(), result.map(|()| id));
        }
        Ok(results)
    }

    /// Deletes topics with all their records.
    pub async fn delete_topics(&self, names: &[&str]) -> Result<PerTopic<()>, ClientError> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut results: PerTopic<()> = names
            .iter()
            .map(|name| (name.clone(), Err(not_mentioned())))
            .collect();
        let timeout_ms = self.timeout_ms();
        let encode = Arc::new(move |writer: &mut _, version: i16| {
            let mut request = DeleteTopicsRequest {
                timeout_ms,
                ..DeleteTopicsRequest::default()
            };
            let names = names.iter().map(|name| Cow::Borrowed(name.as_str()));
            if version >= 6 {
                let topic = |name| DeleteTopicState {
                    name: Some(name),
                    ..Default::default()
                };
                request.topics = names.map(topic).collect();
            } else {
                request.topic_names = names.collect();
            }
            request.encode(writer, version)
        });
        let reply = self
            .ask_any(ApiKey::DeleteTopics, 1..=i16::MAX, Effect::Changes, encode)
            .await?;
        for topic in reply.decode::<DeleteTopicsResponse<'_>>()?.responses {
            let Some(name) = topic.name else { continue };
            let result = ApiError::check(topic.error_code, topic.error_message.as_deref());
            results.insert(name.into_owned(), result);
        }
        Ok(results)
    }

    /// Raises the number of a topic's partitions to `count`. Records with keys then go elsewhere than
    /// before.
    pub async fn create_partitions(&self, topic: &str, count: i32) -> Result<(), ClientError> {
        self.create_partitions_at(topic, count, None).await
    }

    /// As [`Admin::create_partitions`]; `assignments` says which brokers have copies of the new ones.
    pub async fn create_partitions_at(
        &self,
        topic: &str,
        count: i32,
        assignments: Option<Vec<Vec<i32>>>,
    ) -> Result<(), ClientError> {
        let topic = topic.to_owned();
        let timeout_ms = self.timeout_ms();
        let encode = Arc::new(move |writer: &mut _, version| {
            let assignments = assignments.as_ref().map(|new| {
                new.iter()
                    .map(|brokers| CreatePartitionsAssignment {
                        broker_ids: brokers.clone(),
                    })
                    .collect()
            });
            let topics = vec![CreatePartitionsTopic {
                name: Cow::Borrowed(&topic),
                count,
                assignments,
            }];
            CreatePartitionsRequest {
                topics,
                timeout_ms,
                validate_only: false,
            }
            .encode(writer, version)
        });
        let reply = self
            .ask_any(
                ApiKey::CreatePartitions,
                0..=i16::MAX,
                Effect::Changes,
                encode,
            )
            .await?;
        let response: CreatePartitionsResponse<'_> = reply.decode()?;
        let result = response.results.first().ok_or_else(not_mentioned)?;
        Ok(ApiError::check(
            result.error_code,
            result.error_message.as_deref(),
        )?)
    }

    /// The names of all topics, internal ones included, sorted.
    pub async fn list_topics(&self) -> Result<Vec<String>, ClientError> {
        let topics = self.metadata(None).await?;
        Ok(topics.into_keys().collect())
    }

    /// Describes all topics, by name.
    pub async fn describe_all_topics(&self) -> Result<PerTopic<TopicDescription>, ClientError> {
        self.metadata(None).await
    }

    /// Describes topics. Creates none.
    pub async fn describe_topics(
        &self,
        names: &[&str],
    ) -> Result<PerTopic<TopicDescription>, ClientError> {
        self.metadata(Some(names.iter().map(|name| (*name).to_owned()).collect()))
            .await
    }

    async fn metadata(
        &self,
        names: Option<Vec<String>>,
    ) -> Result<PerTopic<TopicDescription>, ClientError> {
        let (topics, _) = self.metadata_and_brokers(names).await?;
        Ok(topics)
    }

    /// Learns where the brokers are.
    pub(crate) async fn learn_brokers(&self) -> Result<(), ClientError> {
        self.metadata_and_brokers(Some(Vec::new())).await.map(drop)
    }

    async fn metadata_and_brokers(
        &self,
        names: Option<Vec<String>>,
    ) -> Result<(PerTopic<TopicDescription>, Vec<BrokerEndpoint>), ClientError> {
        let mut results: PerTopic<TopicDescription> = names
            .iter()
            .flatten()
            .map(|name| (name.clone(), Err(not_mentioned())))
            .collect();
        let encode = Arc::new(move |writer: &mut _, version| {
            let topic = |name: &String| MetadataRequestTopic {
                name: Some(Cow::Owned(name.clone())),
                ..Default::default()
            };
            MetadataRequest {
                topics: names
                    .as_ref()
                    .map(|names| names.iter().map(topic).collect()),
                allow_auto_topic_creation: false,
                ..MetadataRequest::default()
            }
            .encode(writer, version)
        });
        let reply = self
            .ask_any(ApiKey::Metadata, 4..=i16::MAX, Effect::Reads, encode)
            .await?;
        let response: MetadataResponse<'_> = reply.decode()?;
        let brokers: Vec<BrokerEndpoint> = response
            .brokers
            .iter()
            .filter_map(crate::core::endpoint)
            .collect();
        self.pool.learn(brokers.iter());
        for topic in &response.topics {
            let Some(name) = topic.name.as_deref() else {
                continue;
            };
            let result = ApiError::check(topic.error_code, None).map(|()| describe(name, topic));
            results.insert(name.to_owned(), result);
        }
        Ok((results, brokers))
    }

    /// Where the leaders of partitions are.
    pub(super) async fn leaders(
        &self,
        keys: impl Iterator<Item = &PartitionKey>,
    ) -> Result<BTreeMap<PartitionKey, Result<BrokerEndpoint, ApiError>>, ClientError> {
        let keys: BTreeSet<&PartitionKey> = keys.collect();
        let names: BTreeSet<String> = keys.iter().map(|key| key.topic.to_string()).collect();
        let (topics, brokers) = self
            .metadata_and_brokers(Some(names.into_iter().collect()))
            .await?;
        let leader = |key: &PartitionKey| -> Result<BrokerEndpoint, ApiError> {
            let missing = |code, message: &str| ApiError {
                code,
                message: Some(message.to_owned()),
            };
            let topic = topics
                .get(&*key.topic)
                .ok_or_else(not_mentioned)?
                .as_ref()
                .map_err(ApiError::clone)?;
            let part = usize::try_from(key.partition)
                .ok()
                .and_then(|index| topic.partitions.get(index))
                .ok_or_else(|| {
                    let text = format!("{} has {} partitions", key.topic, topic.partitions.len());
                    missing(ErrorCode::UnknownTopicOrPartition, &text)
                })?;
            part.leader
                .and_then(|id| brokers.iter().find(|broker| broker.id == id))
                .cloned()
                .ok_or_else(|| {
                    missing(ErrorCode::LeaderNotAvailable, "the partition has no leader")
                })
        };
        Ok(keys
            .into_iter()
            .map(|key| (key.clone(), leader(key)))
            .collect())
    }

    /// The brokers that can be reached.
    pub(super) async fn brokers(&self) -> Result<Vec<BrokerEndpoint>, ClientError> {
        let (_, brokers) = self.metadata_and_brokers(Some(Vec::new())).await?;
        Ok(brokers)
    }
}

fn describe(name: &str, topic: &MetadataResponseTopic<'_>) -> TopicDescription {
    let ids = |ids: &[i32]| ids.iter().map(|id| BrokerId::new(*id)).collect();
    let mut partitions: Vec<PartitionDescription> = topic
        .partitions
        .iter()
        .map(|part| PartitionDescription {
            partition: part.partition_index,
            leader: BrokerId::from_wire(part.leader_id),
            leader_epoch: LeaderEpoch::from_wire(part.leader_epoch),
            replicas: ids(&part.replica_nodes),
            in_sync_replicas: ids(&part.isr_nodes),
            offline_replicas: ids(&part.offline_replicas),
        })
        .collect();
    partitions.sort_by_key(|part| part.partition);
    TopicDescription {
        name: name.to_owned(),
        id: (!topic.topic_id.is_zero()).then(|| TopicId::new(topic.topic_id)),
        is_internal: topic.is_internal,
        partitions,
    }
}
