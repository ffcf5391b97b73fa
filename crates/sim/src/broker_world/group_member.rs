use super::link::Frame;
use super::producer::malformed;
use crate::oracle::Violation;
use ottla_protocol::messages::heartbeat_request::HeartbeatRequest;
use ottla_protocol::messages::heartbeat_response::HeartbeatResponse;
use ottla_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use ottla_protocol::messages::join_group_response::JoinGroupResponse;
use ottla_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_protocol::messages::offset_commit_response::OffsetCommitResponse;
use ottla_protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use ottla_protocol::messages::sync_group_response::SyncGroupResponse;
use ottla_protocol::{ApiKey, DecodeError, Message, Reader};
use ottla_types::{ErrorCode, TopicId};
use std::borrow::Cow;

pub(super) const GROUP: &str = "team";
pub(super) const PARTITIONS: i32 = 4;

const JOIN_VERSION: i16 = 9;
const SYNC_VERSION: i16 = 5;
const HEARTBEAT_VERSION: i16 = 4;
const COMMIT_VERSION: i16 = 10;

/// A client that is a member of the group, and where it is on its way.
#[derive(Debug, Default)]
pub(super) struct GroupMember {
    id: String,
    /// `group.instance.id`: whoever has it takes the place of the one before.
    instance: Option<String>,
    /// Who had the place before and may still be alive: id and generation.
    ghost: Option<(String, i32)>,
    pub(super) generation: i32,
    pub(super) phase: Phase,
    pub(super) owned: Vec<i32>,
    /// What the leader has to say, once it leads.
    assignments: Vec<(String, String)>,
    asked: Option<Asked>,
    pub(super) is_stalled: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Outside,
    Joined,
    Working,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Join,
    Sync,
    Beat,
    Commit { partition: i32, offset: i64 },
}

/// What an answer tells that others must know.
pub(super) enum Heard {
    Nothing,
    /// The member works from now on, and as who.
    Assigned(String),
    /// An offset is kept.
    Committed {
        partition: i32,
        offset: i64,
    },
}

impl GroupMember {
    /// A static member.
    pub(super) fn of_place(place: usize) -> GroupMember {
        GroupMember {
            instance: Some(format!("place-{place}")),
            ..GroupMember::default()
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.asked.is_some()
    }

    /// The connection is gone, and with it what was under way.
    pub(super) fn disconnected(&mut self) {
        self.asked = None;
        if self.phase == Phase::Joined {
            self.phase = Phase::Outside;
        }
    }

    /// It dies, or only seems to, and another one takes its place.
    pub(super) fn die(&mut self) {
        let before = std::mem::take(self);
        self.ghost = match before.phase {
            Phase::Working if before.instance.is_some() => Some((before.id, before.generation)),
            _ => before.ghost,
        };
        self.instance = before.instance;
    }

    /// What the one before commits, once it is certain that its place is taken.
    pub(super) fn ghost_commit(
        &self,
        correlation: i32,
        topic: TopicId,
        offset: i64,
    ) -> Option<Frame> {
        let (id, generation) = self.ghost.as_ref()?;
        let ghost = GroupMember {
            id: id.clone(),
            instance: self.instance.clone(),
            generation: *generation,
            ..GroupMember::default()
        };
        let is_taken = self.phase == Phase::Working && self.id != *id;
        is_taken.then(|| ghost.commit_frame(correlation, topic, 0, offset))
    }

    fn instance(&self) -> Option<Cow<'_, str>> {
        self.instance.as_deref().map(Cow::Borrowed)
    }

    /// Its next request; `commit` is what it commits if it works and wants to.
    pub(super) fn request(
        &mut self,
        correlation: i32,
        commit: Option<(TopicId, i32, i64)>,
    ) -> Frame {
        match (self.phase, commit) {
            (Phase::Outside, _) => self.join(correlation),
            (Phase::Joined, _) => self.sync(correlation),
            (Phase::Working, None) => self.beat(correlation),
            (Phase::Working, Some((topic, partition, offset))) => {
                self.commit(correlation, topic, partition, offset)
            }
        }
    }

    fn join(&mut self, correlation: i32) -> Frame {
        self.asked = Some(Asked::Join);
        let request = JoinGroupRequest {
            group_id: GROUP.into(),
            session_timeout_ms: 6_000,
            rebalance_timeout_ms: 10_000,
            member_id: self.id.as_str().into(),
            group_instance_id: self.instance(),
            protocol_type: "sim".into(),
            protocols: vec![JoinGroupRequestProtocol {
                name: "modulo".into(),
                metadata: b"anything".as_slice().into(),
            }],
            ..JoinGroupRequest::default()
        };
        Frame::new(ApiKey::JoinGroup, JOIN_VERSION, correlation, &request)
    }

    fn sync(&mut self, correlation: i32) -> Frame {
        self.asked = Some(Asked::Sync);
        let assignments = self.assignments.iter();
        let assignments = assignments.map(|(member, work)| SyncGroupRequestAssignment {
            member_id: member.as_str().into(),
            assignment: work.as_bytes().into(),
        });
        let request = SyncGroupRequest {
            group_id: GROUP.into(),
            generation_id: self.generation,
            member_id: self.id.as_str().into(),
            group_instance_id: self.instance(),
            protocol_type: Some("sim".into()),
            protocol_name: Some("modulo".into()),
            assignments: assignments.collect(),
        };
        Frame::new(ApiKey::SyncGroup, SYNC_VERSION, correlation, &request)
    }

    fn beat(&mut self, correlation: i32) -> Frame {
        self.asked = Some(Asked::Beat);
        let request = HeartbeatRequest {
            group_id: GROUP.into(),
            generation_id: self.generation,
            member_id: self.id.as_str().into(),
            group_instance_id: self.instance(),
        };
        Frame::new(ApiKey::Heartbeat, HEARTBEAT_VERSION, correlation, &request)
    }

    fn commit(&mut self, correlation: i32, topic: TopicId, partition: i32, offset: i64) -> Frame {
        self.asked = Some(Asked::Commit { partition, offset });
        self.commit_frame(correlation, topic, partition, offset)
    }

    fn commit_frame(&self, correlation: i32, topic: TopicId, partition: i32, offset: i64) -> Frame {
        let request = OffsetCommitRequest {
            group_id: GROUP.into(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.id.as_str().into(),
            group_instance_id: self.instance(),
            topics: vec![OffsetCommitRequestTopic {
                topic_id: topic.uuid(),
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index: partition,
                    committed_offset: offset,
                    ..OffsetCommitRequestPartition::default()
                }],
                ..OffsetCommitRequestTopic::default()
            }],
            ..OffsetCommitRequest::default()
        };
        Frame::new(ApiKey::OffsetCommit, COMMIT_VERSION, correlation, &request)
    }

    /// Takes in the answer to its request.
    pub(super) fn answered(&mut self, body: &[u8]) -> Result<Heard, Violation> {
        let bad = |error: DecodeError| malformed("a group's answer", &error.to_string());
        let mut reader = Reader::new(body);
        match self.asked.take() {
            None => Ok(Heard::Nothing),
            Some(Asked::Join) => {
                let response = JoinGroupResponse::decode(&mut reader, JOIN_VERSION).map_err(bad)?;
                self.joined(&response)
            }
            Some(Asked::Sync) => {
                let response = SyncGroupResponse::decode(&mut reader, SYNC_VERSION).map_err(bad)?;
                if response.error_code != 0 {
                    return self.refused(response.error_code);
                }
                self.phase = Phase::Working;
                let text = String::from_utf8_lossy(&response.assignment);
                let owned = text.split(',').filter_map(|part| part.parse().ok());
                self.owned = owned.collect();
                Ok(Heard::Assigned(self.name()))
            }
            Some(Asked::Beat) => {
                let response = HeartbeatResponse::decode(&mut reader, HEARTBEAT_VERSION);
                self.refused(response.map_err(bad)?.error_code)
            }
            Some(Asked::Commit { partition, offset }) => match commit_error(body)? {
                0 => Ok(Heard::Committed { partition, offset }),
                code => self.refused(code),
            },
        }
    }

    fn joined(&mut self, response: &JoinGroupResponse<'_>) -> Result<Heard, Violation> {
        if response.error_code == ErrorCode::MemberIdRequired.code() {
            self.id = response.member_id.to_string();
            return Ok(Heard::Nothing);
        }
        if response.error_code != 0 {
            return self.refused(response.error_code);
        }
        self.id = response.member_id.to_string();
        self.generation = response.generation_id;
        self.phase = Phase::Joined;
        let count = response.members.len().max(1);
        let members = response.members.iter().enumerate();
        let assignments = members.map(|(place, member)| {
            let own = (0..PARTITIONS).filter(|partition| *partition as usize % count == place);
            let own: Vec<String> = own.map(|partition| partition.to_string()).collect();
            (member.member_id.to_string(), own.join(","))
        });
        self.assignments = assignments.collect();
        Ok(Heard::Nothing)
    }

    /// Its name that lasts: the place of a static member.
    fn name(&self) -> String {
        self.instance.clone().unwrap_or_else(|| self.id.clone())
    }

    /// What a client does about an error; 0 is none.
    fn refused(&mut self, code: i16) -> Result<Heard, Violation> {
        match ErrorCode::from_wire(code) {
            Some(ErrorCode::None) => {}
            // A crash may take back that a static member had its place: then it begins anew, as with Kafka.
            Some(ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId) => self.die(),
            Some(ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration) => {
                self.phase = Phase::Outside;
            }
            // Asked again; the topic of the offsets may not be known yet after a restart.
            Some(
                ErrorCode::NotCoordinator
                | ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::UnknownTopicId,
            ) => {}
            other => return Err(malformed("a group's answer", &format!("{other:?}"))),
        }
        Ok(Heard::Nothing)
    }
}

/// The error that an answer to OffsetCommit has for its only partition.
pub(super) fn commit_error(body: &[u8]) -> Result<i16, Violation> {
    let response = OffsetCommitResponse::decode(&mut Reader::new(body), COMMIT_VERSION);
    let response = response.map_err(|error| malformed("OffsetCommit", &error.to_string()))?;
    Ok(response.topics[0].partitions[0].error_code)
}
