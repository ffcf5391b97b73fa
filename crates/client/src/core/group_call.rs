use crate::core::partition_key::PartitionKey;
use ottla_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use ottla_protocol::messages::leave_group_request::MemberIdentity;
use ottla_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use ottla_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use ottla_protocol::messages::{
    FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest,
    OffsetCommitRequest, OffsetFetchRequest, SyncGroupRequest,
};
use ottla_protocol::{ApiKey, EncodeError, Message, Writer};
use ottla_types::{LeaderEpoch, Offset};
use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The protocol type of consumer groups, as opposed to those of Connect workers and others.
pub(crate) const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// The last versions that name topics in OffsetCommit and OffsetFetch; the next go by topic id only,
/// and committed offsets are also about topics that are gone.
const BY_NAME_VERSION_MAX: i16 = 9;

/// An offset as a group commits it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to be read.
    pub offset: Offset,
    /// The term of the leader that the record before it came from, if known.
    pub leader_epoch: Option<LeaderEpoch>,
    /// A note for people.
    pub metadata: String,
}

impl CommittedOffset {
    /// Reading goes on at `offset`.
    pub fn at(offset: Offset) -> CommittedOffset {
        CommittedOffset {
            offset,
            leader_epoch: None,
            metadata: String::new(),
        }
    }
}

/// Who speaks: a member in a generation, or nobody in particular.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberIdentityCall {
    /// The group.
    pub group_id: Arc<str>,
    /// The member's id; empty for none.
    pub member_id: Arc<str>,
    /// The name it keeps across restarts.
    pub instance_id: Option<Arc<str>>,
    /// The generation; -1 for none.
    pub generation: i32,
}

/// What a member of a group asks the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupCall {
    /// Which broker coordinates the group.
    FindCoordinator {
        /// The group.
        group_id: Arc<str>,
    },
    /// To become or stay a member.
    JoinGroup {
        /// Who.
        member: MemberIdentityCall,
        /// After this long without a heartbeat the member is thrown out.
        session_timeout_ms: i32,
        /// How long it may take to join again.
        rebalance_timeout_ms: i32,
        /// Names and subscriptions, the preferred first.
        protocols: Vec<(&'static str, Vec<u8>)>,
        /// Why, for the broker's log.
        reason: String,
    },
    /// For the assignment; the leader brings it along.
    SyncGroup {
        /// Who.
        member: MemberIdentityCall,
        /// Name of the assignor.
        protocol: &'static str,
        /// Who gets what; empty unless we lead.
        assignments: Vec<(Arc<str>, Vec<u8>)>,
    },
    /// To stay a member.
    Heartbeat {
        /// Who.
        member: MemberIdentityCall,
    },
    /// To be a member no longer.
    LeaveGroup {
        /// Who.
        member: MemberIdentityCall,
        /// Why, for the broker's log.
        reason: String,
    },
    /// To remember offsets.
    OffsetCommit {
        /// Who.
        member: MemberIdentityCall,
        /// What, sorted by topic.
        offsets: Vec<(PartitionKey, CommittedOffset)>,
    },
    /// For the remembered offsets.
    OffsetFetch {
        /// The group.
        group_id: Arc<str>,
        /// Of what, sorted by topic; `None` for everything.
        partitions: Option<Vec<PartitionKey>>,
        /// Whether to wait for the end of transactions that commit offsets.
        require_stable: bool,
    },
}

impl GroupCall {
    pub(crate) fn api_key(&self) -> ApiKey {
        match self {
            GroupCall::FindCoordinator { .. } => ApiKey::FindCoordinator,
            GroupCall::JoinGroup { .. } => ApiKey::JoinGroup,
            GroupCall::SyncGroup { .. } => ApiKey::SyncGroup,
            GroupCall::Heartbeat { .. } => ApiKey::Heartbeat,
            GroupCall::LeaveGroup { .. } => ApiKey::LeaveGroup,
            GroupCall::OffsetCommit { .. } => ApiKey::OffsetCommit,
            GroupCall::OffsetFetch { .. } => ApiKey::OffsetFetch,
        }
    }

    /// Versions in which it can be said: names that are kept across restarts came later.
    pub(crate) fn versions(&self) -> RangeInclusive<i16> {
        let from = |member: &MemberIdentityCall, with_instance| match member.instance_id {
            Some(_) => with_instance,
            None => 0,
        };
        match self {
            GroupCall::FindCoordinator { .. } => 0..=i16::MAX,
            // Before version 1 there is no rebalance timeout.
            GroupCall::JoinGroup { member, .. } => from(member, 5).max(1)..=i16::MAX,
            GroupCall::SyncGroup { member, .. } | GroupCall::Heartbeat { member } => {
                from(member, 3)..=i16::MAX
            }
            GroupCall::LeaveGroup { member, .. } => from(member, 3)..=i16::MAX,
            GroupCall::OffsetCommit { member, .. } => from(member, 7).max(2)..=BY_NAME_VERSION_MAX,
            GroupCall::OffsetFetch { partitions, .. } => {
                let all = partitions.is_none();
                if all {
                    2..=BY_NAME_VERSION_MAX
                } else {
                    1..=BY_NAME_VERSION_MAX
                }
            }
        }
    }

    pub(crate) fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        match self {
            GroupCall::FindCoordinator { group_id } => {
                let (key, keys) = if version >= 4 {
                    ("", vec![Cow::Borrowed(&**group_id)])
                } else {
                    (&**group_id, Vec::new())
                };
                FindCoordinatorRequest {
                    key: Cow::Borrowed(key),
                    key_type: 0,
                    coordinator_keys: keys,
                }
                .encode(w, version)
            }
            GroupCall::JoinGroup {
                member,
                session_timeout_ms,
                rebalance_timeout_ms,
                protocols,
                reason,
            } => JoinGroupRequest {
                group_id: Cow::Borrowed(&member.group_id),
                session_timeout_ms: *session_timeout_ms,
                rebalance_timeout_ms: *rebalance_timeout_ms,
                member_id: Cow::Borrowed(&member.member_id),
                group_instance_id: member.instance_id.as_deref().map(Cow::Borrowed),
                protocol_type: Cow::Borrowed(CONSUMER_PROTOCOL_TYPE),
                protocols: protocols
                    .iter()
                    .map(|(name, metadata)| JoinGroupRequestProtocol {
                        name: Cow::Borrowed(name),
                        metadata: Cow::Borrowed(metadata),
                    })
                    .collect(),
                reason: Some(Cow::Borrowed(reason)),
            }
            .encode(w, version),
            GroupCall::SyncGroup {
                member,
                protocol,
                assignments,
            } => SyncGroupRequest {
                group_id: Cow::Borrowed(&member.group_id),
                generation_id: member.generation,
                member_id: Cow::Borrowed(&member.member_id),
                group_instance_id: member.instance_id.as_deref().map(Cow::Borrowed),
                protocol_type: Some(Cow::Borrowed(CONSUMER_PROTOCOL_TYPE)),
                protocol_name: Some(Cow::Borrowed(protocol)),
                assignments: assignments
                    .iter()
                    .map(|(member_id, assignment)| SyncGroupRequestAssignment {
                        member_id: Cow::Borrowed(member_id),
                        assignment: Cow::Borrowed(assignment),
                    })
                    .collect(),
            }
            .encode(w, version),
            GroupCall::Heartbeat { member } => HeartbeatRequest {
                group_id: Cow::Borrowed(&member.group_id),
                generation_id: member.generation,
                member_id: Cow::Borrowed(&member.member_id),
                group_instance_id: member.instance_id.as_deref().map(Cow::Borrowed),
            }
            .encode(w, version),
            GroupCall::LeaveGroup { member, reason } => {
                leave_group(member, reason, version).encode(w, version)
            }
            GroupCall::OffsetCommit { member, offsets } => {
                offset_commit(member, offsets).encode(w, version)
            }
            GroupCall::OffsetFetch {
                group_id,
                partitions,
                require_stable,
            } => offset_fetch(group_id, partitions.as_deref(), *require_stable, version)
                .encode(w, version),
        }
    }
}

fn leave_group<'a>(
    member: &'a MemberIdentityCall,
    reason: &'a str,
    version: i16,
) -> LeaveGroupRequest<'a> {
    let group_id = Cow::Borrowed(&*member.group_id);
    if version < 3 {
        return LeaveGroupRequest {
            group_id,
            member_id: Cow::Borrowed(&member.member_id),
            members: Vec::new(),
        };
    }
    LeaveGroupRequest {
        group_id,
        member_id: Cow::Borrowed(""),
        members: vec![MemberIdentity {
            member_id: Cow::Borrowed(&member.member_id),
            group_instance_id: member.instance_id.as_deref().map(Cow::Borrowed),
            reason: Some(Cow::Borrowed(reason)),
        }],
    }
}

fn offset_commit<'a>(
    member: &'a MemberIdentityCall,
    offsets: &'a [(PartitionKey, CommittedOffset)],
) -> OffsetCommitRequest<'a> {
    let topics = offsets
        .chunk_by(|a, b| a.0.topic == b.0.topic)
        .map(|parts| OffsetCommitRequestTopic {
            name: Cow::Borrowed(&*parts[0].0.topic),
            partitions: parts
                .iter()
                .map(|(key, committed)| OffsetCommitRequestPartition {
                    partition_index: key.partition,
                    committed_offset: committed.offset.get(),
                    committed_leader_epoch: committed.leader_epoch.map_or(-1, LeaderEpoch::get),
                    committed_metadata: Some(Cow::Borrowed(&committed.metadata)),
                })
                .collect(),
            ..Default::default()
        })
        .collect();
    OffsetCommitRequest {
        group_id: Cow::Borrowed(&member.group_id),
        generation_id_or_member_epoch: member.generation,
        member_id: Cow::Borrowed(&member.member_id),
        group_instance_id: member.instance_id.as_deref().map(Cow::Borrowed),
        topics,
        ..OffsetCommitRequest::default()
    }
}

fn offset_fetch<'a>(
    group_id: &'a str,
    partitions: Option<&'a [PartitionKey]>,
    require_stable: bool,
    version: i16,
) -> OffsetFetchRequest<'a> {
    let by_topic = partitions.map(|keys| {
        keys.chunk_by(|a, b| a.topic == b.topic).map(|parts| {
            let indexes: Vec<i32> = parts.iter().map(|key| key.partition).collect();
            (Cow::Borrowed(&*parts[0].topic), indexes)
        })
    });
    // Unknown to older brokers, and then not needed: they have no transactions that wait.
    let require_stable = require_stable && version >= 7;
    if version < 8 {
        return OffsetFetchRequest {
            group_id: Cow::Borrowed(group_id),
            topics: by_topic.map(|topics| {
                topics
                    .map(|(name, partition_indexes)| OffsetFetchRequestTopic {
                        name,
                        partition_indexes,
                    })
                    .collect()
            }),
            groups: Vec::new(),
            require_stable,
        };
    }
    OffsetFetchRequest {
        group_id: Cow::Borrowed(""),
        topics: Some(Vec::new()),
        groups: vec![OffsetFetchRequestGroup {
            group_id: Cow::Borrowed(group_id),
            topics: by_topic.map(|topics| {
                topics
                    .map(|(name, partition_indexes)| OffsetFetchRequestTopics {
                        name,
                        partition_indexes,
                        ..Default::default()
                    })
                    .collect()
            }),
            ..OffsetFetchRequestGroup::default()
        }],
        require_stable,
    }
}
