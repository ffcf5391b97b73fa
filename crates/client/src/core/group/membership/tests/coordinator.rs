//! A group coordinator as a model: Kafka's rules, no timers of its own.

use crate::core::call::Request;
use bytes::Bytes;
use ottla_protocol::messages::find_coordinator_response::Coordinator;
use ottla_protocol::messages::join_group_response::JoinGroupResponseMember;
use ottla_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use ottla_protocol::messages::{
    FindCoordinatorResponse, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, SyncGroupRequest,
    SyncGroupResponse,
};
use ottla_protocol::{Message, Reader, Writer};
use ottla_types::ErrorCode;
use std::borrow::Cow;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Empty,
    Preparing,
    Completing,
    Stable,
}

#[derive(Debug, Default)]
struct Member {
    instance_id: Option<String>,
    protocols: Vec<(String, Vec<u8>)>,
    joining: Option<Ticket>,
    syncing: Option<Ticket>,
    assignment: Vec<u8>,
}

/// Names a request that waits for its answer.
pub(super) type Ticket = u64;

#[derive(Debug, Default)]
pub(super) struct ModelCoordinator {
    pub(super) state: State,
    pub(super) generation: i32,
    members: BTreeMap<String, Member>,
    leader: String,
    protocol: String,
    pub(super) offsets: BTreeMap<(String, i32), i64>,
    next_member: u32,
    /// Answers that are ready, by ticket.
    ready: Vec<(Ticket, i16, Bytes)>,
    versions: BTreeMap<Ticket, i16>,
    next_ticket: Ticket,
    pub(super) rebalances: u32,
}

fn body<'a>(message: &impl Message<'a>, version: i16) -> Bytes {
    let mut writer = Writer::new();
    message
        .encode(&mut writer, version)
        .expect("a response fits its version");
    Bytes::from(writer.into_buf())
}

impl ModelCoordinator {
    pub(super) fn knows(&self, member_id: &str, generation: i32) -> bool {
        self.generation == generation && self.members.contains_key(member_id)
    }

    pub(super) fn take_ready(&mut self) -> Vec<(Ticket, i16, Bytes)> {
        std::mem::take(&mut self.ready)
    }

    fn answer<'a>(&mut self, ticket: Ticket, message: &impl Message<'a>) {
        let version = self.versions[&ticket];
        self.ready.push((ticket, version, body(message, version)));
    }

    /// Takes a request in; its answer comes out of [`ModelCoordinator::take_ready`], perhaps later.
    pub(super) fn execute(&mut self, request: &Request) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let key = request.api_key();
        let version = (*request.versions().end()).min(*key.versions().end());
        self.versions.insert(ticket, version);
        let mut writer = Writer::new();
        request
            .encode(&mut writer, version)
            .expect("requests can be encoded");
        let bytes = writer.into_buf();
        let mut reader = Reader::new(&bytes);
        use ottla_protocol::ApiKey as K;
        match key {
            K::FindCoordinator => {
                let found = Coordinator {
                    key: Cow::Borrowed("g"),
                    node_id: 1,
                    host: Cow::Borrowed("h"),
                    port: 9092,
                    ..Default::default()
                };
                let response = FindCoordinatorResponse {
                    coordinators: vec![found],
                    ..Default::default()
                };
                self.answer(ticket, &response);
            }
            K::JoinGroup => {
                let request = JoinGroupRequest::decode(&mut reader, version).expect("decodes");
                self.join(ticket, &request);
            }
            K::SyncGroup => {
                let request = SyncGroupRequest::decode(&mut reader, version).expect("decodes");
                self.sync(ticket, &request);
            }
            K::Heartbeat => {
                let request = HeartbeatRequest::decode(&mut reader, version).expect("decodes");
                let code = self.check(&request.member_id, request.generation_id);
                let code = match code {
                    ErrorCode::None if self.state == State::Preparing => {
                        ErrorCode::RebalanceInProgress
                    }
                    code => code,
                };
                let response = HeartbeatResponse {
                    error_code: code as i16,
                    ..Default::default()
                };
                self.answer(ticket, &response);
            }
            K::LeaveGroup => {
                let request = LeaveGroupRequest::decode(&mut reader, version).expect("decodes");
                for member in &request.members {
                    self.expel(&member.member_id);
                }
                self.answer(ticket, &LeaveGroupResponse::default());
            }
            K::OffsetCommit => {
                let request = OffsetCommitRequest::decode(&mut reader, version).expect("decodes");
                let response = self.commit(&request);
                self.answer(ticket, &response);
            }
            K::OffsetFetch => {
                let request = OffsetFetchRequest::decode(&mut reader, version).expect("decodes");
                let response = self.fetch(&request);
                self.answer(ticket, &response);
            }
            key => panic!("members do not ask for {key:?}"),
        }
        ticket
    }

    fn check(&self, member_id: &str, generation: i32) -> ErrorCode {
        if !self.members.contains_key(member_id) {
            ErrorCode::UnknownMemberId
        } else if generation != self.generation {
            ErrorCode::IllegalGeneration
        } else {
            ErrorCode::None
        }
    }

    fn join(&mut self, ticket: Ticket, request: &JoinGroupRequest<'_>) {
        let refuse = |code: ErrorCode, member_id: &str| JoinGroupResponse {
            error_code: code as i16,
            generation_id: -1,
            member_id: Cow::Owned(member_id.to_owned()),
            ..Default::default()
        };
        let member_id = request.member_id.to_string();
        if member_id.is_empty() {
            let instance = request.group_instance_id.as_deref();
            let new_id = format!("m{}", self.next_member);
            self.next_member += 1;
            match instance {
                Some(instance) => {
                    let same = |member: &Member| member.instance_id.as_deref() == Some(instance);
                    let old = self
                        .members
                        .iter()
                        .find(|(_, m)| same(m))
                        .map(|(id, _)| id.clone());
                    if let Some(old) = old {
                        self.expel(&old);
                    }
                    self.members.insert(new_id.clone(), Member::default());
                    self.begin_join(ticket, &new_id, request);
                }
                None => {
                    let response = refuse(ErrorCode::MemberIdRequired, &new_id);
                    self.members.insert(new_id, Member::default());
                    self.answer(ticket, &response);
                }
            }
            return;
        }
        if !self.members.contains_key(&member_id) {
            let response = refuse(ErrorCode::UnknownMemberId, &member_id);
            return self.answer(ticket, &response);
        }
        self.begin_join(ticket, &member_id, request);
    }

    fn begin_join(&mut self, ticket: Ticket, member_id: &str, request: &JoinGroupRequest<'_>) {
        let member = self.members.get_mut(member_id).expect("it was looked up");
        member.instance_id = request.group_instance_id.as_deref().map(str::to_owned);
        member.protocols = request
            .protocols
            .iter()
            .map(|protocol| (protocol.name.to_string(), protocol.metadata.to_vec()))
            .collect();
        member.joining = Some(ticket);
        self.prepare();
        self.complete_join();
    }

    /// Everybody has to join again; those who wait for the assignment are told.
    fn prepare(&mut self) {
        if self.state == State::Preparing {
            return;
        }
        self.state = State::Preparing;
        let syncing: Vec<Ticket> = self
            .members
            .values_mut()
            .filter_map(|m| m.syncing.take())
            .collect();
        for ticket in syncing {
            let response = SyncGroupResponse {
                error_code: ErrorCode::RebalanceInProgress as i16,
                ..Default::default()
            };
            self.answer(ticket, &response);
        }
    }

    fn complete_join(&mut self) {
        if self.state != State::Preparing || self.members.is_empty() {
            return;
        }
        if self.members.values().any(|member| member.joining.is_none()) {
            return;
        }
        self.generation += 1;
        self.rebalances += 1;
        self.state = State::Completing;
        if !self.members.contains_key(&self.leader) {
            self.leader = self.members.keys().next().expect("not empty").clone();
        }
        let first = self.members.values().next().expect("not empty");
        let common = first.protocols.iter().find(|(name, _)| {
            let has = |m: &Member| m.protocols.iter().any(|(other, _)| other == name);
            self.members.values().all(has)
        });
        self.protocol = common.expect("they have one in common").0.clone();
        let listed: Vec<JoinGroupResponseMember<'static>> = self
            .members
            .iter()
            .map(|(id, member)| JoinGroupResponseMember {
                member_id: Cow::Owned(id.clone()),
                group_instance_id: member.instance_id.clone().map(Cow::Owned),
                metadata: Cow::Owned(
                    member
                        .protocols
                        .iter()
                        .find(|(name, _)| *name == self.protocol)
                        .expect("it has the common one")
                        .1
                        .clone(),
                ),
            })
            .collect();
        let joining: Vec<(String, Ticket)> = self
            .members
            .iter_mut()
            .filter_map(|(id, member)| Some((id.clone(), member.joining.take()?)))
            .collect();
        for (id, ticket) in joining {
            let leads = id == self.leader;
            let response = JoinGroupResponse {
                generation_id: self.generation,
                protocol_type: Some(Cow::Borrowed("consumer")),
                protocol_name: Some(Cow::Owned(self.protocol.clone())),
                leader: Cow::Owned(self.leader.clone()),
                member_id: Cow::Owned(id),
                members: if leads { listed.clone() } else { Vec::new() },
                ..Default::default()
            };
            self.answer(ticket, &response);
        }
    }

    fn sync(&mut self, ticket: Ticket, request: &SyncGroupRequest<'_>) {
        let mut code = self.check(&request.member_id, request.generation_id);
        if code == ErrorCode::None && self.state == State::Preparing {
            code = ErrorCode::RebalanceInProgress;
        }
        if code != ErrorCode::None {
            let response = SyncGroupResponse {
                error_code: code as i16,
                ..Default::default()
            };
            return self.answer(ticket, &response);
        }
        if let Some(member) = self.members.get_mut(&*request.member_id) {
            member.syncing = Some(ticket);
        }
        if self.state == State::Completing && *request.member_id == *self.leader {
            for member in self.members.values_mut() {
                member.assignment.clear();
            }
            for given in &request.assignments {
                let member = self.members.get_mut(&*given.member_id);
                member.expect("the leader knows its members").assignment =
                    given.assignment.to_vec();
            }
            self.state = State::Stable;
        }
        if self.state == State::Stable {
            let waiting: Vec<(Ticket, Vec<u8>)> = self
                .members
                .values_mut()
                .filter_map(|m| Some((m.syncing.take()?, m.assignment.clone())))
                .collect();
            for (ticket, assignment) in waiting {
                let response = SyncGroupResponse {
                    assignment: Cow::Owned(assignment),
                    ..Default::default()
                };
                self.answer(ticket, &response);
            }
        }
    }

    /// A member is gone: left, or silent for too long.
    pub(super) fn expel(&mut self, member_id: &str) {
        let Some(member) = self.members.remove(member_id) else {
            return;
        };
        if let Some(ticket) = member.joining {
            let response = JoinGroupResponse {
                error_code: ErrorCode::UnknownMemberId as i16,
                generation_id: -1,
                ..Default::default()
            };
            self.answer(ticket, &response);
        }
        if let Some(ticket) = member.syncing {
            let response = SyncGroupResponse {
                error_code: ErrorCode::UnknownMemberId as i16,
                ..Default::default()
            };
            self.answer(ticket, &response);
        }
        if self.members.is_empty() {
            self.state = State::Empty;
            return;
        }
        self.prepare();
        self.complete_join();
    }

    /// Some member that the others wait for.
    pub(super) fn laggard(&self) -> Option<String> {
        let late = |member: &Member| match self.state {
            State::Preparing => member.joining.is_none(),
            State::Completing => member.syncing.is_none(),
            State::Empty | State::Stable => false,
        };
        self.members
            .iter()
            .find(|(_, m)| late(m))
            .map(|(id, _)| id.clone())
    }

    pub(super) fn member_ids(&self) -> Vec<String> {
        self.members.keys().cloned().collect()
    }

    fn commit(&mut self, request: &OffsetCommitRequest<'_>) -> OffsetCommitResponse<'static> {
        let mut code = ErrorCode::None;
        if request.generation_id_or_member_epoch >= 0 {
            code = self.check(&request.member_id, request.generation_id_or_member_epoch);
            if code == ErrorCode::None && self.state == State::Completing {
                code = ErrorCode::RebalanceInProgress;
            }
        }
        let mut response = OffsetCommitResponse::default();
        for topic in &request.topics {
            let mut partitions = Vec::new();
            for part in &topic.partitions {
                if code == ErrorCode::None {
                    let key = (topic.name.to_string(), part.partition_index);
                    self.offsets.insert(key, part.committed_offset);
                }
                partitions.push(OffsetCommitResponsePartition {
                    partition_index: part.partition_index,
                    error_code: code as i16,
                });
            }
            response.topics.push(OffsetCommitResponseTopic {
                name: Cow::Owned(topic.name.to_string()),
                partitions,
                ..Default::default()
            });
        }
        response
    }

    fn fetch(&self, request: &OffsetFetchRequest<'_>) -> OffsetFetchResponse<'static> {
        let group = &request.groups[0];
        let topics = group
            .topics
            .iter()
            .flatten()
            .map(|topic| OffsetFetchResponseTopics {
                name: Cow::Owned(topic.name.to_string()),
                partitions: topic
                    .partition_indexes
                    .iter()
                    .map(|index| OffsetFetchResponsePartitions {
                        partition_index: *index,
                        committed_offset: self
                            .offsets
                            .get(&(topic.name.to_string(), *index))
                            .copied()
                            .unwrap_or(-1),
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            });
        OffsetFetchResponse {
            groups: vec![OffsetFetchResponseGroup {
                group_id: Cow::Borrowed("g"),
                topics: topics.collect(),
                ..Default::default()
            }],
            ..Default::default()
        }
    }
}
