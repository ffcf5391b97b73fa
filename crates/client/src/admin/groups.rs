//! Consumer groups: who is in them, and how far they have come.

use super::per_partition::{by_topic, find};
use super::retry::Retry;
use super::{Admin, Effect, Encode, Reply, not_mentioned};
use crate::core::{Assignor, CONSUMER_PROTOCOL_TYPE};
use crate::core::{
    BrokerEndpoint, CommittedOffset, CommittedOffsets, GroupCall, MemberIdentityCall, PartitionKey,
    Request, Subscription, Target, committed_offsets, coordinator_of, decode_assignment,
};
use crate::error::{ApiError, ClientError};
use ottla_protocol::messages::describe_groups_response::DescribedGroup;
use ottla_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use ottla_protocol::messages::{
    DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    ListGroupsRequest, ListGroupsResponse, OffsetCommitResponse, OffsetDeleteRequest,
    OffsetDeleteResponse, OffsetFetchResponse,
};
use ottla_protocol::{ApiKey, Message};
use ottla_types::ErrorCode;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// A group, as a list has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupListing {
    /// Its name.
    pub group_id: String,
    /// `consumer` for consumers, `connect` for Connect workers, empty for offsets without members.
    pub protocol_type: String,
    /// `Stable`, `Empty`, ...; `None` from brokers that do not say.
    pub state: Option<String>,
    /// `classic`, `consumer`, ...; `None` from brokers that do not say.
    pub group_type: Option<String>,
}

/// A group and its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub group_id: String,
    /// `Stable`, `Empty`, `PreparingRebalance`, `CompletingRebalance` or `Dead`.
    pub state: String,
    /// `consumer`, `connect`, ...
    pub protocol_type: String,
    /// What the group agreed on: for consumers the assignor.
    pub protocol: String,
    /// The broker that coordinates it.
    pub coordinator: BrokerEndpoint,
    /// The members.
    pub members: Vec<MemberDescription>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: String,
    /// The name it keeps across restarts (`group.instance.id`).
    pub instance_id: Option<String>,
    /// Its `client.id`.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// The topics it subscribes to; empty if it is not a consumer.
    pub topics: BTreeSet<Arc<str>>,
    /// What it was assigned; empty if it is not a consumer.
    pub assignment: BTreeSet<PartitionKey>,
}

type PerGroup<T> = BTreeMap<String, Result<T, ApiError>>;

impl Admin {
    /// The groups of the whole cluster, by name. `states` and `types` choose among them; empty is all.
    pub async fn list_groups(
        &self,
        states: &[&str],
        types: &[&str],
    ) -> Result<Vec<GroupListing>, ClientError> {
        let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let (states, types) = (owned(states), owned(types));
        let lowest = match (states.is_empty(), types.is_empty()) {
            (true, true) => 0,
            (false, true) => 4,
            (_, false) => 5,
        };
        let mut groups = BTreeMap::new();
        for broker in self.brokers().await? {
            let (states, types) = (states.clone(), types.clone());
            let encode: Encode = Arc::new(move |writer, version| {
                let names = |names: &[String]| names.iter().map(|n| n.clone().into()).collect();
                ListGroupsRequest {
                    states_filter: names(&states),
                    types_filter: names(&types),
                }
                .encode(writer, version)
            });
            let key = ApiKey::ListGroups;
            let target = Target::Broker(broker);
            let reply = self
                .ask(target, key, lowest..=i16::MAX, Effect::Reads, encode)
                .await?;
            let response: ListGroupsResponse<'_> = reply.decode()?;
            ApiError::check(response.error_code, None)?;
            for group in &response.groups {
                let said = |text: &str| (!text.is_empty()).then(|| text.to_owned());
                let listing = GroupListing {
                    group_id: group.group_id.to_string(),
                    protocol_type: group.protocol_type.to_string(),
                    state: said(&group.group_state),
                    group_type: said(&group.group_type),
                };
                groups.insert(listing.group_id.clone(), listing);
            }
        }
        Ok(groups.into_values().collect())
    }

    /// The broker that coordinates a group.
    pub async fn find_coordinator(&self, group_id: &str) -> Result<BrokerEndpoint, ClientError> {
        let call = GroupCall::FindCoordinator {
            group_id: Arc::from(group_id),
        };
        let request = Request::Group(call);
        let versions = request.versions();
        let encode: Encode = Arc::new(move |writer, version| request.encode(writer, version));
        let mut retry = Retry::new(self.pool.options());
        loop {
            let key = ApiKey::FindCoordinator;
            let reply = self
                .ask_any(key, versions.clone(), Effect::Reads, encode.clone())
                .await?;
            let (code, message) = match coordinator_of(reply.version, &reply.body) {
                Ok(endpoint) => return Ok(endpoint),
                Err(refused) => refused,
            };
            if !code.is_retriable() || !retry.again().await {
                return Err(ApiError { code, message }.into());
            }
        }
    }

    /// Asks a group's coordinator, again if it has moved or is not ready. `code` finds in the answer
    /// what the coordinator says about itself.
    async fn ask_coordinator(
        &self,
        group_id: &str,
        key: ApiKey,
        versions: RangeInclusive<i16>,
        effect: Effect,
        encode: Encode,
        code: impl Fn(&Reply) -> Result<i16, ClientError>,
    ) -> Result<(BrokerEndpoint, Reply), ClientError> {
        let mut retry = Retry::new(self.pool.options());
        loop {
            let coordinator = self.find_coordinator(group_id).await?;
            let target = Target::Broker(coordinator.clone());
            let reply = self
                .ask(target, key, versions.clone(), effect, encode.clone())
                .await?;
            let not_ready = matches!(
                ErrorCode::from_wire(code(&reply)?),
                Some(
                    ErrorCode::NotCoordinator
                        | ErrorCode::CoordinatorNotAvailable
                        | ErrorCode::CoordinatorLoadInProgress
                        | ErrorCode::UnstableOffsetCommit
                )
            );
            if !not_ready || !retry.again().await {
                return Ok((coordinator, reply));
            }
        }
    }

    /// Members and state of groups.
    ///
    /// ```no_run
    /// # use ottla_client::{Admin, ClientError};
    /// # async fn example(admin: &Admin) -> Result<(), ClientError> {
    /// for (name, group) in admin.describe_groups(&["billing"]).await? {
    ///     match group {
    ///         Ok(group) => println!("{name}: {}, {} members", group.state, group.members.len()),
    ///         Err(error) => println!("{name}: {error}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn describe_groups(
        &self,
        group_ids: &[&str],
    ) -> Result<PerGroup<GroupDescription>, ClientError> {
        let mut results = BTreeMap::new();
        for group_id in group_ids {
            let described = match self.describe_group(group_id).await {
                Ok(described) => Ok(described),
                Err(ClientError::Refused(error)) => Err(error),
                Err(error) => return Err(error),
            };
            results.insert((*group_id).to_owned(), described);
        }
        Ok(results)
    }

    async fn describe_group(&self, group_id: &str) -> Result<GroupDescription, ClientError> {
        let name = group_id.to_owned();
        let encode: Encode = Arc::new(move |writer, version| {
            DescribeGroupsRequest {
                groups: vec![Cow::Borrowed(name.as_str())],
                ..DescribeGroupsRequest::default()
            }
            .encode(writer, version)
        });
        let code = |reply: &Reply| {
            let response: DescribeGroupsResponse<'_> = reply.decode()?;
            Ok(response.groups.first().map_or(0, |group| group.error_code))
        };
        let key = ApiKey::DescribeGroups;
        let (coordinator, reply) = self
            .ask_coordinator(group_id, key, 0..=i16::MAX, Effect::Reads, encode, code)
            .await?;
        let response: DescribeGroupsResponse<'_> = reply.decode()?;
        let group = response.groups.first().ok_or_else(not_mentioned)?;
        ApiError::check(group.error_code, group.error_message.as_deref())?;
        Ok(described(group, coordinator))
    }

    /// Deletes groups without members, and what they have committed.
    pub async fn delete_groups(&self, group_ids: &[&str]) -> Result<PerGroup<()>, ClientError> {
        let mut results = BTreeMap::new();
        for group_id in group_ids {
            let name = (*group_id).to_owned();
            let encode: Encode = Arc::new(move |writer, version| {
                DeleteGroupsRequest {
                    groups_names: vec![Cow::Borrowed(name.as_str())],
                }
                .encode(writer, version)
            });
            let code = |reply: &Reply| {
                let response: DeleteGroupsResponse<'_> = reply.decode()?;
                Ok(response.results.first().map_or(0, |group| group.error_code))
            };
            let key = ApiKey::DeleteGroups;
            let asked = self
                .ask_coordinator(group_id, key, 0..=i16::MAX, Effect::Changes, encode, code)
                .await;
            let result = match asked {
                Ok((_, reply)) => {
                    let response: DeleteGroupsResponse<'_> = reply.decode()?;
                    let group = response.results.first().ok_or_else(not_mentioned)?;
                    ApiError::check(group.error_code, group.error_message.as_deref())
                }
                Err(ClientError::Refused(error)) => Err(error),
                Err(error) => return Err(error),
            };
            results.insert((*group_id).to_owned(), result);
        }
        Ok(results)
    }

    /// Everything a group has committed.
    pub async fn group_offsets(
        &self,
        group_id: &str,
    ) -> Result<BTreeMap<PartitionKey, CommittedOffset>, ClientError> {
        let call = GroupCall::OffsetFetch {
            group_id: Arc::from(group_id),
            partitions: None,
            require_stable: false,
        };
        let request = Request::Group(call);
        let versions = request.versions();
        let encode: Encode = Arc::new(move |writer, version| request.encode(writer, version));
        let code = |reply: &Reply| {
            let response: OffsetFetchResponse<'_> = reply.decode()?;
            let group = response.groups.first().map(|group| group.error_code);
            Ok(group.unwrap_or(response.error_code))
        };
        let key = ApiKey::OffsetFetch;
        let (_, reply) = self
            .ask_coordinator(group_id, key, versions, Effect::Reads, encode, code)
            .await?;
        let response: OffsetFetchResponse<'_> = reply.decode()?;
        let found: CommittedOffsets = committed_offsets(&response).map_err(|code| ApiError {
            code,
            message: None,
        })?;
        Ok(found
            .into_iter()
            .filter_map(|(key, committed)| Some((key, committed?)))
            .collect())
    }

    /// Sets what a group has committed. It must have no members that read these topics.
    pub async fn alter_group_offsets(
        &self,
        group_id: &str,
        offsets: &BTreeMap<PartitionKey, CommittedOffset>,
    ) -> Result<BTreeMap<PartitionKey, Result<(), ApiError>>, ClientError> {
        let call = GroupCall::OffsetCommit {
            member: MemberIdentityCall {
                group_id: Arc::from(group_id),
                member_id: Arc::from(""),
                instance_id: None,
                generation: -1,
            },
            offsets: offsets
                .iter()
                .map(|(key, committed)| (key.clone(), committed.clone()))
                .collect(),
        };
        let request = Request::Group(call);
        let versions = request.versions();
        let encode: Encode = Arc::new(move |writer, version| request.encode(writer, version));
        let code = |reply: &Reply| {
            let response: OffsetCommitResponse<'_> = reply.decode()?;
            let first = response.topics.first();
            let part = first.and_then(|topic| topic.partitions.first());
            Ok(part.map_or(0, |part| part.error_code))
        };
        // Committing the same once more changes nothing.
        let key = ApiKey::OffsetCommit;
        let (_, reply) = self
            .ask_coordinator(group_id, key, versions, Effect::Reads, encode, code)
            .await?;
        let response: OffsetCommitResponse<'_> = reply.decode()?;
        let mut found = BTreeMap::new();
        for topic in &response.topics {
            for part in &topic.partitions {
                let key = PartitionKey::new(&*topic.name, part.partition_index);
                found.insert(key, ApiError::check(part.error_code, None));
            }
        }
        Ok(offsets
            .keys()
            .map(|key| {
                let result = found.remove(key);
                (key.clone(), result.unwrap_or_else(|| Err(not_mentioned())))
            })
            .collect())
    }

    /// Forgets what a group has committed for these partitions.
    pub async fn delete_group_offsets(
        &self,
        group_id: &str,
        partitions: &[PartitionKey],
    ) -> Result<BTreeMap<PartitionKey, Result<(), ApiError>>, ClientError> {
        let name = group_id.to_owned();
        let mut keys = partitions.to_vec();
        keys.sort();
        let asked = keys.clone();
        let encode: Encode = Arc::new(move |writer, version| {
            let topics = by_topic(&asked, |key| key).map(|(name, keys)| OffsetDeleteRequestTopic {
                name: Cow::Borrowed(name),
                partitions: keys
                    .iter()
                    .map(|key| OffsetDeleteRequestPartition {
                        partition_index: key.partition,
                    })
                    .collect(),
            });
            let topics = topics.collect();
            OffsetDeleteRequest {
                group_id: Cow::Borrowed(name.as_str()),
                topics,
            }
            .encode(writer, version)
        });
        let code = |reply: &Reply| {
            let response: OffsetDeleteResponse<'_> = reply.decode()?;
            Ok(response.error_code)
        };
        let key = ApiKey::OffsetDelete;
        let (_, reply) = self
            .ask_coordinator(group_id, key, 0..=i16::MAX, Effect::Reads, encode, code)
            .await?;
        let response: OffsetDeleteResponse<'_> = reply.decode()?;
        ApiError::check(response.error_code, None)?;
        let found = |key: &PartitionKey| {
            let part = find(
                &response.topics,
                key,
                |topic| &topic.name,
                |topic| &topic.partitions,
                |part| part.partition_index,
            )?;
            ApiError::check(part.error_code, None)
        };
        Ok(keys.iter().map(|key| (key.clone(), found(key))).collect())
    }
}

fn described(group: &DescribedGroup<'_>, coordinator: BrokerEndpoint) -> GroupDescription {
    let consumers = group.protocol_type == CONSUMER_PROTOCOL_TYPE;
    let members = group.members.iter().map(|member| {
        // The form of a subscription is the same for every assignor, known to us or not.
        let assignor = Assignor::from_name(&group.protocol_data).unwrap_or(Assignor::Range);
        let metadata = Subscription::decode(&member.member_metadata, assignor).ok();
        let assignment = decode_assignment(&member.member_assignment).ok();
        MemberDescription {
            member_id: member.member_id.to_string(),
            instance_id: member.group_instance_id.as_deref().map(str::to_owned),
            client_id: member.client_id.to_string(),
            host: member.client_host.to_string(),
            topics: metadata.filter(|_| consumers).unwrap_or_default().topics,
            assignment: assignment.filter(|_| consumers).unwrap_or_default(),
        }
    });
    GroupDescription {
        group_id: group.group_id.to_string(),
        state: group.group_state.to_string(),
        protocol_type: group.protocol_type.to_string(),
        protocol: group.protocol_data.to_string(),
        coordinator,
        members: members.collect(),
    }
}
