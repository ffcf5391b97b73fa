use super::classic::GroupState;
use super::group_id::{GroupId, InstanceId, MemberId};
use bytes::Bytes;
use ottla_types::TopicId;
use std::sync::Arc;
use std::time::Duration;

/// What a group's coordinator can be asked.
#[derive(Clone, Debug)]
pub enum GroupCommand {
    /// A member wants to be part of the next generation.
    Join(JoinGroup),
    /// A member of a new generation wants its assignment; the leader brings it for all.
    Sync(SyncGroup),
    /// A member lives.
    Heartbeat(Heartbeat),
    /// Members go.
    Leave(LeaveGroup),
    /// Offsets are kept.
    CommitOffsets(CommitOffsets),
    /// Offsets are asked for.
    FetchOffsets(FetchOffsets),
    /// Offsets are deleted.
    DeleteOffsets(DeleteOffsets),
    /// A group as it is.
    Describe(GroupId),
    /// Every group in one of these states; `None`: in any.
    List(Option<Vec<GroupState>>),
    /// A group without members goes, with its offsets.
    Delete(GroupId),
    /// A topic is gone: so are its offsets. Nobody waits for it.
    ForgetTopic {
        /// Its name; another may have it by now.
        name: Arc<str>,
        /// Its id.
        id: TopicId,
    },
}

/// Who speaks for a group.
#[derive(Clone, Debug)]
pub struct MemberIdentity {
    /// Which group.
    pub group: GroupId,
    /// Which member.
    pub member: MemberId,
    /// Which static member, if it is one.
    pub instance: Option<InstanceId>,
    /// In which generation.
    pub generation: i32,
}

/// A member wants to be part of the next generation.
#[derive(Clone, Debug)]
pub struct JoinGroup {
    /// Which group.
    pub group: GroupId,
    /// Which member; `None` for one that has no id yet.
    pub member: Option<MemberId>,
    /// Which static member, if it is one.
    pub instance: Option<InstanceId>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// Where it is, as Kafka prints it (`/127.0.0.1`).
    pub client_host: Arc<str>,
    /// Without a heartbeat for so long it is gone, in milliseconds.
    pub session_timeout_ms: i32,
    /// It takes so long to come to a rebalance, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// What the group is for: `consumer`, `connect`, ...
    pub protocol_type: Arc<str>,
    /// What it can do, best first, with what it has to say in each.
    pub protocols: Vec<Protocol>,
    /// What the client understands.
    pub understands: JoinFeatures,
}

/// One way of sharing the group's work, and what a member has to say in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its name, for consumers the assignor's.
    pub name: Arc<str>,
    /// For the leader; for consumers the subscription.
    pub metadata: Bytes,
}

/// What the client of a JoinGroup understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinFeatures {
    /// That it must come back with the id it is given (KIP-394).
    pub member_id_required: bool,
    /// That it leads, but the assignment is already made (KIP-814).
    pub skipped_assignment: bool,
}

/// A member of a new generation wants its assignment.
#[derive(Clone, Debug)]
pub struct SyncGroup {
    /// Who asks.
    pub identity: MemberIdentity,
    /// What it believes the group is for, if it says so.
    pub protocol_type: Option<Arc<str>>,
    /// What it believes was chosen, if it says so.
    pub protocol: Option<Arc<str>>,
    /// From the leader: who gets what.
    pub assignments: Vec<(MemberId, Bytes)>,
}

/// A member lives.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// Which.
    pub identity: MemberIdentity,
}

/// Members go.
#[derive(Clone, Debug)]
pub struct LeaveGroup {
    /// Which group.
    pub group: GroupId,
    /// Who.
    pub members: Vec<LeavingMember>,
}

/// A member that goes, or is made to go.
#[derive(Clone, Debug)]
pub struct LeavingMember {
    /// Which; `None` for a static member that is named by its instance.
    pub member: Option<MemberId>,
    /// Which static member, if it is one.
    pub instance: Option<InstanceId>,
}

/// Offsets are kept.
#[derive(Clone, Debug)]
pub struct CommitOffsets {
    /// Who commits. Without a member and with a negative generation: nobody who is in the group.
    pub identity: MemberIdentity,
    /// Asked for by old clients: how long the offsets are kept.
    pub retention: Option<Duration>,
    /// The client knows the error for a group that does not exist.
    pub understands_unknown_group: bool,
    /// What.
    pub topics: Vec<CommitTopic>,
}

/// The offsets of one topic.
#[derive(Clone, Debug)]
pub struct CommitTopic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id.
    pub id: TopicId,
    /// Each partition with its offset.
    pub partitions: Vec<CommitPartition>,
}

/// The offset of one partition.
#[derive(Clone, Debug)]
pub struct CommitPartition {
    /// Its number.
    pub partition: i32,
    /// The next offset to read, as the client says it.
    pub offset: i64,
    /// Epoch of the last record that was read, if known.
    pub leader_epoch: Option<i32>,
    /// Whatever the client wants to remember.
    pub metadata: Arc<str>,
}

/// Offsets are asked for.
#[derive(Clone, Debug)]
pub struct FetchOffsets {
    /// Of which group.
    pub group: GroupId,
    /// Of which partitions; `None`: all there are.
    pub topics: Option<Vec<TopicPartitions>>,
}

/// Partitions of one topic.
#[derive(Clone, Debug)]
pub struct TopicPartitions {
    /// Its name.
    pub name: Arc<str>,
    /// Their numbers.
    pub partitions: Vec<i32>,
}

/// Offsets are deleted.
#[derive(Clone, Debug)]
pub struct DeleteOffsets {
    /// Of which group.
    pub group: GroupId,
    /// Of which partitions.
    pub topics: Vec<TopicPartitions>,
}

impl GroupCommand {
    /// The group it is about, if it is about one.
    pub fn group(&self) -> Option<&GroupId> {
        match self {
            GroupCommand::Join(join) => Some(&join.group),
            GroupCommand::Sync(sync) => Some(&sync.identity.group),
            GroupCommand::Heartbeat(heartbeat) => Some(&heartbeat.identity.group),
            GroupCommand::Leave(leave) => Some(&leave.group),
            GroupCommand::CommitOffsets(commit) => Some(&commit.identity.group),
            GroupCommand::FetchOffsets(fetch) => Some(&fetch.group),
            GroupCommand::DeleteOffsets(delete) => Some(&delete.group),
            GroupCommand::Describe(group) | GroupCommand::Delete(group) => Some(group),
            GroupCommand::List(_) | GroupCommand::ForgetTopic { .. } => None,
        }
    }
}
