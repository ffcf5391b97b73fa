//! What keeps the cluster together: the metadata quorum, features, leaders.

use super::per_partition::by_topic;
use super::{Admin, Effect, not_mentioned};
use crate::core::PartitionKey;
use crate::error::{ApiError, ClientError};
use ottla_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use ottla_protocol::messages::describe_quorum_response::ReplicaState;
use ottla_protocol::messages::elect_leaders_request::TopicPartitions;
use ottla_protocol::messages::update_features_request::FeatureUpdateKey;
use ottla_protocol::messages::{
    DescribeQuorumRequest, DescribeQuorumResponse, ElectLeadersRequest, ElectLeadersResponse,
    UpdateFeaturesRequest, UpdateFeaturesResponse,
};
use ottla_protocol::{ApiKey, Message};
use ottla_types::{BrokerId, DirectoryId, ErrorCode, Timestamp};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where the metadata is kept, and how far its replicas are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumDescription {
    /// Who leads it; `None` while nobody does.
    pub leader: Option<BrokerId>,
    /// In which term.
    pub leader_epoch: i32,
    /// After the last record that is committed (exclusive).
    pub high_watermark: i64,
    /// Those who vote.
    pub voters: Vec<QuorumReplica>,
    /// Those who only follow.
    pub observers: Vec<QuorumReplica>,
}

/// One replica of the metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumReplica {
    /// Whose it is.
    pub id: BrokerId,
    /// Its log directory, where the cluster says it.
    pub directory: Option<DirectoryId>,
    /// After its last record (exclusive); `None` when the leader does not know.
    pub log_end_offset: Option<i64>,
    /// When it last asked for records.
    pub last_fetch: Option<Timestamp>,
    /// When it last had all of them.
    pub last_caught_up: Option<Timestamp>,
}

/// How a feature's level changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureChange {
    /// Up to this level.
    Upgrade(i16),
    /// Down to this level if nothing is lost by it; 0 disables the feature.
    SafeDowngrade(i16),
    /// Down to this level, whatever is lost.
    UnsafeDowngrade(i16),
}

/// Who may become leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Election {
    /// The first replica, if it is in sync.
    Preferred,
    /// Any replica that is alive, even if records are lost by it.
    Unclean,
}

/// Since when a partition has the leader that an election would give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elected {
    /// It was elected now.
    Now,
    /// It led already, and nothing was changed.
    Before,
}

impl Admin {
    /// The metadata quorum, as its leader sees it.
    pub async fn describe_quorum(&self) -> Result<QuorumDescription, ClientError> {
        const METADATA_TOPIC: &str = "__cluster_metadata";
        let encode = Arc::new(move |writer: &mut _, version| {
            DescribeQuorumRequest {
                topics: vec![TopicData {
                    topic_name: Cow::Borrowed(METADATA_TOPIC),
                    partitions: vec![PartitionData { partition_index: 0 }],
                }],
            }
            .encode(writer, version)
        });
        let reply = self
            .ask_any(ApiKey::DescribeQuorum, 0..=i16::MAX, Effect::Reads, encode)
            .await?;
        let response: DescribeQuorumResponse<'_> = reply.decode()?;
        ApiError::check(response.error_code, response.error_message.as_deref())?;
        let mut partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        let part = partitions.next().ok_or_else(not_mentioned)?;
        ApiError::check(part.error_code, part.error_message.as_deref())?;
        Ok(QuorumDescription {
            leader: BrokerId::from_wire(part.leader_id),
            leader_epoch: part.leader_epoch,
            high_watermark: part.high_watermark,
            voters: part.current_voters.iter().filter_map(replica).collect(),
            observers: part.observers.iter().filter_map(replica).collect(),
        })
    }

    /// Changes the levels of features, all or none; `validate_only` only says what would be answered.
    pub async fn update_features(
        &self,
        changes: &BTreeMap<String, FeatureChange>,
        validate_only: bool,
    ) -> Result<BTreeMap<String, Result<(), ApiError>>, ClientError> {
        let asked = changes.clone();
        let timeout_ms = self.timeout_ms();
        let encode = Arc::new(move |writer: &mut _, version: i16| {
            let update = |(name, change): (&String, &FeatureChange)| {
                let (max_version_level, upgrade_type) = match change {
                    FeatureChange::Upgrade(level) => (*level, 1),
                    FeatureChange::SafeDowngrade(level) => (*level, 2),
                    FeatureChange::UnsafeDowngrade(level) => (*level, 3),
                };
                FeatureUpdateKey {
                    feature: Cow::Owned(name.clone()),
                    max_version_level,
                    allow_downgrade: version == 0 && upgrade_type != 1,
                    upgrade_type: if version == 0 { 1 } else { upgrade_type },
                }
            };
            UpdateFeaturesRequest {
                timeout_ms,
                feature_updates: asked.iter().map(update).collect(),
                validate_only,
            }
            .encode(writer, version)
        });
        let lowest = i16::from(validate_only);
        let key = ApiKey::UpdateFeatures;
        let reply = self
            .ask_any(key, lowest..=i16::MAX, Effect::Changes, encode)
            .await?;
        let response: UpdateFeaturesResponse<'_> = reply.decode()?;
        ApiError::check(response.error_code, response.error_message.as_deref())?;
        // Newer brokers name the features only if they differ in what became of them.
        let mut results: BTreeMap<String, Result<(), ApiError>> =
            changes.keys().map(|name| (name.clone(), Ok(()))).collect();
        for result in &response.results {
            let outcome = ApiError::check(result.error_code, result.error_message.as_deref());
            results.insert(result.feature.to_string(), outcome);
        }
        Ok(results)
    }

    /// Gives partitions (`None`: all that want one) a leader.
    pub async fn elect_leaders(
        &self,
        election: Election,
        partitions: Option<&[PartitionKey]>,
    ) -> Result<BTreeMap<PartitionKey, Result<Elected, ApiError>>, ClientError> {
        let timeout_ms = self.timeout_ms();
        let mut keys = partitions.map(<[PartitionKey]>::to_vec);
        if let Some(keys) = &mut keys {
            keys.sort();
        }
        let asked = keys.clone();
        let encode = Arc::new(move |writer: &mut _, version| {
            let topics = |keys: &Vec<PartitionKey>| {
                let topics = by_topic(keys, |key| key).map(|(name, keys)| TopicPartitions {
                    topic: Cow::Owned(name.to_owned()),
                    partitions: keys.iter().map(|key| key.partition).collect(),
                });
                topics.collect()
            };
            ElectLeadersRequest {
                election_type: match election {
                    Election::Preferred => 0,
                    Election::Unclean => 1,
                },
                topic_partitions: asked.as_ref().map(topics),
                timeout_ms,
            }
            .encode(writer, version)
        });
        let lowest = i16::from(election == Election::Unclean);
        let key = ApiKey::ElectLeaders;
        let reply = self
            .ask_any(key, lowest..=i16::MAX, Effect::Changes, encode)
            .await?;
        let response: ElectLeadersResponse<'_> = reply.decode()?;
        ApiError::check(response.error_code, None)?;
        let mut results = BTreeMap::new();
        for topic in &response.replica_election_results {
            for part in &topic.partition_result {
                let key = PartitionKey::new(&*topic.topic, part.partition_id);
                let outcome = ApiError::check(part.error_code, part.error_message.as_deref());
                let outcome = match outcome {
                    Ok(()) => Ok(Elected::Now),
                    Err(error) if error.code == ErrorCode::ElectionNotNeeded => Ok(Elected::Before),
                    Err(error) => Err(error),
                };
                results.insert(key, outcome);
            }
        }
        Ok(results)
    }
}

fn replica(state: &ReplicaState) -> Option<QuorumReplica> {
    let time = |millis: i64| (millis >= 0).then(|| Timestamp::from_millis(millis));
    let directory = state.replica_directory_id;
    Some(QuorumReplica {
        id: BrokerId::from_wire(state.replica_id)?,
        directory: (!directory.is_zero()).then(|| DirectoryId::new(directory)),
        log_end_offset: (state.log_end_offset >= 0).then_some(state.log_end_offset),
        last_fetch: time(state.last_fetch_timestamp),
        last_caught_up: time(state.last_caught_up_timestamp),
    })
}
