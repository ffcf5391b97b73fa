use super::classic::GroupState;
use super::committed_offset::CommittedOffset;
use super::error::GroupError;
use super::group_id::{GroupId, InstanceId, MemberId};
use bytes::Bytes;
use std::sync::Arc;

/// What a group's coordinator answers, command by command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupReply {
    /// To a join.
    Join(Result<Joined, JoinRefused>),
    /// To a sync.
    Sync(Result<Synced, GroupError>),
    /// To a heartbeat.
    Heartbeat(Result<(), GroupError>),
    /// To a leave: each member with what became of it.
    Leave(Result<Vec<Left>, GroupError>),
    /// To a commit: for each partition, in the order asked, whether it was refused.
    CommitOffsets(Result<Vec<Vec<Option<GroupError>>>, GroupError>),
    /// To a fetch of offsets.
    FetchOffsets(Vec<FetchedTopic>),
    /// To a deletion of offsets: for each partition, in the order asked, whether it was refused.
    DeleteOffsets(Result<Vec<Vec<Option<GroupError>>>, GroupError>),
    /// To a description; `None` without such a group.
    Describe(Option<DescribedGroup>),
    /// To a list.
    List(Vec<ListedGroup>),
    /// To a deletion.
    Delete(Result<(), GroupError>),
    /// Whatever was asked is done; nothing is to be said about it.
    Done,
}

/// A member is part of a new generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Its id.
    pub member: MemberId,
    /// The generation.
    pub generation: i32,
    /// What the group is for.
    pub protocol_type: Option<Arc<str>>,
    /// What was chosen.
    pub protocol: Option<Arc<str>>,
    /// Who leads.
    pub leader: Option<MemberId>,
    /// It leads, but the assignment is made already.
    pub skip_assignment: bool,
    /// For the leader: everybody.
    pub members: Vec<JoinedMember>,
}

/// A member as the leader is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member: MemberId,
    /// Which static member it is, if it is one.
    pub instance: Option<InstanceId>,
    /// What it has to say.
    pub metadata: Bytes,
}

/// A member is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRefused {
    /// Why.
    pub error: GroupError,
    /// The id it came with, or shall come with.
    pub member: Option<MemberId>,
}

/// What a member has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// What the group is for.
    pub protocol_type: Option<Arc<str>>,
    /// What was chosen.
    pub protocol: Option<Arc<str>>,
    /// The leader's words.
    pub assignment: Bytes,
}

/// What became of a member that was to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// As it was named.
    pub member: Option<MemberId>,
    /// As it was named.
    pub instance: Option<InstanceId>,
    /// Why it stays.
    pub error: Option<GroupError>,
}

/// Offsets of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedTopic {
    /// Its name.
    pub name: Arc<str>,
    /// Each partition that was asked for, or that has an offset, with it.
    pub partitions: Vec<(i32, Option<CommittedOffset>)>,
}

/// A group as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Its state.
    pub state: GroupState,
    /// What it is for; empty when nobody has said.
    pub protocol_type: Arc<str>,
    /// What was chosen, while it is stable.
    pub protocol: Option<Arc<str>>,
    /// The generation.
    pub generation: i32,
    /// Who is in it.
    pub members: Vec<DescribedMember>,
}

/// A member as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub member: MemberId,
    /// Which static member it is, if it is one.
    pub instance: Option<InstanceId>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// Where it is.
    pub client_host: Arc<str>,
    /// What it has to say, while the group is stable.
    pub metadata: Bytes,
    /// What it has to do.
    pub assignment: Bytes,
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its id.
    pub group: GroupId,
    /// What it is for; empty when nobody has said.
    pub protocol_type: Arc<str>,
    /// Its state.
    pub state: GroupState,
}
