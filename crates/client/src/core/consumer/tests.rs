use super::*;
use crate::core::call::{CallFailure, Request};
use crate::core::group_call::GroupCall;
use bytes::Bytes;
use ottla_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use ottla_protocol::messages::find_coordinator_response::Coordinator;
use ottla_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use ottla_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};
use ottla_protocol::messages::{
    FetchResponse, FindCoordinatorResponse, HeartbeatResponse, JoinGroupResponse,
    LeaveGroupResponse, ListOffsetsResponse, MetadataResponse, OffsetCommitResponse,
    OffsetFetchResponse, SyncGroupResponse,
};
use ottla_protocol::{Message, Records, Writer};
use ottla_records::{BatchBuilder, Codec, Compressor};
use ottla_types::{ErrorCode, Timestamp};
use std::borrow::Cow;

const RECORDS: i64 = 100;

/// A broker with topic t of one partition, and a group of one member. Every request is answered at
/// once unless the script says otherwise.
struct World {
    core: ConsumerCore,
    now: Mono,
    /// What the group has committed.
    committed: Option<i64>,
    /// What heartbeats are answered.
    heartbeat: ErrorCode,
    requests: Vec<&'static str>,
    generation: i32,
    /// Whether commits get an answer.
    answers_commits: bool,
}

fn config() -> ConsumerConfig {
    ConsumerConfig {
        fetcher: FetcherConfig {
            offset_reset: OffsetReset::Earliest,
            sessions: false,
            ..FetcherConfig::default()
        },
        group: Some(GroupConfig::new("g")),
        auto_commit_interval: Some(Duration::from_secs(5)),
        operation_timeout: Duration::from_secs(10),
        batch_bytes_max: 1 << 20,
    }
}

impl World {
    fn new(config: ConsumerConfig) -> World {
        let mut world = World {
            core: ConsumerCore::new(config),
            now: Mono::from_millis(1),
            committed: None,
            heartbeat: ErrorCode::None,
            requests: Vec::new(),
            generation: 0,
            answers_commits: true,
        };
        world.core.subscribe([Arc::from("t")].into(), world.now);
        world
    }

    /// Makes the calls that are due, and has them answered, until there are none.
    fn run(&mut self) {
        for _ in 0..20 {
            let mut calls = Vec::new();
            self.core.poll(self.now, &mut calls);
            if calls.is_empty() {
                return;
            }
            for call in calls {
                self.requests.push(call.request.api_key().name());
                let id = call.id;
                let answer = match &call.request {
                    Request::Group(GroupCall::OffsetCommit { .. }) if !self.answers_commits => {
                        continue;
                    }
                    // A fetch of the end waits: here it is simply not answered.
                    Request::Fetch(fetch) if fetch.partitions[0].fetch_offset >= RECORDS => {
                        continue;
                    }
                    request => self.answer(request),
                };
                self.core.on_answer(id, answer, self.now);
            }
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
        self.run();
    }

    fn answer(&mut self, request: &Request) -> Answer {
        let partition = MetadataResponsePartition {
            leader_id: 1,
            ..Default::default()
        };
        match request {
            Request::Metadata(_) => respond(
                9,
                &MetadataResponse {
                    brokers: vec![MetadataResponseBroker {
                        node_id: 1,
                        host: Cow::Borrowed("h"),
                        port: 9092,
                        rack: None,
                    }],
                    topics: vec![MetadataResponseTopic {
                        name: Some(Cow::Borrowed("t")),
                        partitions: vec![partition],
                        ..Default::default()
                    }],
                    ..Default::default()
                },
            ),
            Request::ListOffsets(_) => respond(
                7,
                &ListOffsetsResponse {
                    topics: vec![ListOffsetsTopicResponse {
                        name: Cow::Borrowed("t"),
                        partitions: vec![ListOffsetsPartitionResponse {
                            offset: 0,
                            ..Default::default()
                        }],
                    }],
                    ..Default::default()
                },
            ),
            Request::Fetch(fetch) => fetched(fetch.partitions[0].fetch_offset),
            Request::Group(call) => self.group_answer(call),
            Request::Produce(_) | Request::InitProducerId => panic!("consumers do not produce"),
        }
    }

    fn group_answer(&mut self, call: &GroupCall) -> Answer {
        match call {
            GroupCall::FindCoordinator { .. } => respond(
                4,
                &FindCoordinatorResponse {
                    coordinators: vec![Coordinator {
                        node_id: 1,
                        host: Cow::Borrowed("h"),
                        port: 9092,
                        ..Default::default()
                    }],
                    ..Default::default()
                },
            ),
            GroupCall::JoinGroup { protocols, .. } => {
                self.generation += 1;
                self.heartbeat = ErrorCode::None;
                let member =
                    ottla_protocol::messages::join_group_response::JoinGroupResponseMember {
                        member_id: Cow::Borrowed("m"),
                        metadata: Cow::Owned(protocols[0].1.clone()),
                        ..Default::default()
                    };
                respond(
                    6,
                    &JoinGroupResponse {
                        generation_id: self.generation,
                        protocol_name: Some(Cow::Borrowed(protocols[0].0)),
                        leader: Cow::Borrowed("m"),
                        member_id: Cow::Borrowed("m"),
                        members: vec![member],
                        ..Default::default()
                    },
                )
            }
            GroupCall::SyncGroup { assignments, .. } => respond(
                3,
                &SyncGroupResponse {
                    assignment: Cow::Owned(assignments[0].1.clone()),
                    ..Default::default()
                },
            ),
            GroupCall::Heartbeat { .. } => respond(
                3,
                &HeartbeatResponse {
                    error_code: self.heartbeat as i16,
                    ..Default::default()
                },
            ),
            GroupCall::LeaveGroup { .. } => respond(3, &LeaveGroupResponse::default()),
            GroupCall::OffsetCommit { offsets, .. } => {
                self.committed = Some(offsets[0].1.offset.get());
                let part = OffsetCommitResponsePartition::default();
                respond(
                    8,
                    &OffsetCommitResponse {
                        topics: vec![OffsetCommitResponseTopic {
                            name: Cow::Borrowed("t"),
                            partitions: vec![part],
                            ..Default::default()
                        }],
                        ..Default::default()
                    },
                )
            }
            GroupCall::OffsetFetch { .. } => respond(
                8,
                &OffsetFetchResponse {
                    groups: vec![OffsetFetchResponseGroup {
                        group_id: Cow::Borrowed("g"),
                        topics: vec![OffsetFetchResponseTopics {
                            name: Cow::Borrowed("t"),
                            partitions: vec![OffsetFetchResponsePartitions {
                                committed_offset: self.committed.unwrap_or(-1),
                                ..Default::default()
                            }],
                            ..Default::default()
                        }],
                        ..Default::default()
                    }],
                    ..Default::default()
                },
            ),
        }
    }

    /// The application comes, takes so many records and goes to work on them.
    fn take(&mut self, max: usize) -> Vec<i64> {
        self.core.at_poll(self.now);
        self.run();
        self.tell();
        let records = self.core.take_records(max).unwrap();
        self.core.poll_left(self.now);
        records.iter().map(|record| record.offset.get()).collect()
    }

    /// Tells the application's listener everything.
    fn tell(&mut self) -> Vec<GroupEvent> {
        let mut events = Vec::new();
        loop {
            self.run();
            let Some(event) = self.core.app_event() else {
                return events;
            };
            events.push(event);
            self.core.app_event_done();
        }
    }
}

fn respond<'a>(version: i16, message: &impl Message<'a>) -> Answer {
    let mut writer = Writer::new();
    message.encode(&mut writer, version).unwrap();
    Answer::Response {
        version,
        body: Bytes::from(writer.into_buf()),
    }
}

/// Ten records from `offset` on.
fn fetched(offset: i64) -> Answer {
    let mut builder = BatchBuilder::new(Codec::None).base_offset(Offset::new(offset));
    for number in offset..(offset + 10).min(RECORDS) {
        let value = number.to_string();
        builder.push(Timestamp::from_millis(1), None, Some(value.as_bytes()), &[]);
    }
    let bytes = builder.finish(&mut Compressor::default());
    respond(
        11,
        &FetchResponse {
            responses: vec![FetchableTopicResponse {
                topic: Cow::Borrowed("t"),
                partitions: vec![PartitionData {
                    high_watermark: RECORDS,
                    last_stable_offset: RECORDS,
                    log_start_offset: 0,
                    records: Some(Records::Slice(&bytes)),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        },
    )
}

#[test]
fn what_was_finished_with_is_committed_when_the_application_comes_back() {
    let mut world = World::new(config());
    assert_eq!(world.take(4), [0, 1, 2, 3]);
    world.pass(6);
    assert_eq!(world.committed, None, "it is still at work on them");
    assert_eq!(world.take(4), [4, 5, 6, 7]);
    assert_eq!(world.committed, Some(4));
    assert_eq!(world.take(100), [8, 9]);
    assert_eq!(world.committed, Some(4), "not before the interval is over");
    world.pass(6);
    assert_eq!(world.take(1), [10]);
    assert_eq!(world.committed, Some(10));
}

#[test]
fn a_waiting_application_has_its_offsets_committed_too() {
    let mut world = World::new(config());
    world.take(3);
    world.pass(2);
    world.core.at_poll(world.now);
    world.run();
    let until = world.core.next_deadline(world.now).unwrap();
    assert!(until <= world.now.plus(Duration::from_secs(5)));
    world.pass(5);
    assert_eq!(world.committed, Some(3));
}

#[test]
fn reading_goes_on_at_the_committed_offset() {
    let mut world = World::new(config());
    world.committed = Some(95);
    assert_eq!(world.take(100), [95, 96, 97, 98, 99]);
    let mut world = World::new(ConsumerConfig {
        fetcher: FetcherConfig::default(),
        ..config()
    });
    world.core.at_poll(world.now);
    world.tell();
    let fault = world.core.take_records(10).unwrap_err();
    assert!(
        matches!(&fault, ConsumerFault::Partition(fault)
            if fault.kind == FetchFaultKind::NoCommittedOffset),
        "{fault}"
    );
    let key = PartitionKey::new("t", 0);
    world
        .core
        .seek(&key, StartOffset::At(Offset::new(40)), world.now);
    assert_eq!(world.take(2), [40, 41]);
}

#[test]
fn a_listener_may_say_where_to_begin() {
    let mut world = World::new(config());
    world.committed = Some(95);
    world.core.at_poll(world.now);
    world.run();
    let event = world.core.app_event().unwrap();
    assert!(matches!(&event, GroupEvent::Assigned(keys) if keys.len() == 1));
    let key = PartitionKey::new("t", 0);
    world
        .core
        .seek(&key, StartOffset::At(Offset::new(7)), world.now);
    world.core.app_event_done();
    assert_eq!(world.take(2), [7, 8]);
}

#[test]
fn a_member_is_not_at_the_end_before_it_knows_its_partitions() {
    let mut world = World::new(config());
    assert!(!world.core.is_at_end());
    world.core.at_poll(world.now);
    world.run();
    let event = world.core.app_event().unwrap();
    assert!(matches!(&event, GroupEvent::Assigned(_)));
    let group = world.core.group().unwrap();
    assert!(group.member().is_some(), "it has joined");
    assert!(!world.core.is_at_end(), "and fetches nothing yet");
    world.core.app_event_done();
    while !world.take(100).is_empty() {}
    assert!(world.core.is_at_end());
}

#[test]
fn a_rebalance_waits_for_the_application_and_commits_for_it() {
    let mut world = World::new(config());
    assert_eq!(world.take(4), [0, 1, 2, 3]);
    world.heartbeat = ErrorCode::RebalanceInProgress;
    world.requests.clear();
    world.pass(4);
    world.pass(4);
    let joins = world.requests.contains(&"JoinGroup");
    assert!(
        world.requests.contains(&"Heartbeat") && !joins,
        "{:?}",
        world.requests
    );
    assert_eq!(world.committed, None);
    // It comes back: commit, revoke, join, and on from there.
    world.requests.clear();
    world.core.at_poll(world.now);
    let events = world.tell();
    assert!(matches!(
        &events[..],
        [GroupEvent::Revoked(_), GroupEvent::Assigned(_)]
    ));
    assert_eq!(world.committed, Some(4));
    let order: Vec<&str> = world
        .requests
        .iter()
        .copied()
        .filter(|name| ["OffsetCommit", "JoinGroup", "OffsetFetch"].contains(name))
        .collect();
    assert_eq!(order, ["OffsetCommit", "JoinGroup", "OffsetFetch"]);
    assert_eq!(world.take(2), [4, 5]);
}

#[test]
fn what_was_fetched_but_not_given_out_is_not_committed_by_a_listener() {
    let mut world = World::new(ConsumerConfig {
        auto_commit_interval: None,
        ..config()
    });
    assert_eq!(world.take(4), [0, 1, 2, 3]);
    world.heartbeat = ErrorCode::RebalanceInProgress;
    world.pass(4);
    world.core.at_poll(world.now);
    world.run();
    let event = world.core.app_event();
    assert!(matches!(event, Some(GroupEvent::Revoked(_))), "{event:?}");
    let positions: Vec<Offset> = world.core.positions().into_values().collect();
    assert_eq!(positions, [Offset::new(4)]);
    assert_eq!(world.core.take_records(10), Ok(Vec::new()));
}

#[test]
fn who_works_too_long_is_told_and_begins_at_what_was_committed() {
    let mut world = World::new(config());
    world.take(4);
    world.pass(6);
    world.take(4);
    assert_eq!(world.committed, Some(4));
    world.requests.clear();
    for _ in 0..31 {
        world.pass(10);
    }
    assert!(
        world.requests.contains(&"LeaveGroup"),
        "{:?}",
        world.requests
    );
    world.core.at_poll(world.now);
    let fault = world.core.take_records(10).unwrap_err();
    assert!(
        matches!(fault, ConsumerFault::PollIntervalExceeded { .. }),
        "{fault}"
    );
    let events = world.tell();
    assert!(
        matches!(&events[..], [GroupEvent::Lost(_), GroupEvent::Assigned(_)]),
        "{events:?}"
    );
    assert_eq!(
        world.committed,
        Some(4),
        "nothing is committed for what was lost"
    );
    assert_eq!(world.take(2), [4, 5]);
}

#[test]
fn closing_commits_and_leaves_but_dropping_only_leaves() {
    let mut world = World::new(config());
    world.take(4);
    world.core.close(world.now);
    world.tell();
    assert_eq!(world.committed, Some(4));
    assert!(world.core.is_closed());
    assert!(
        world.requests.ends_with(&["OffsetCommit", "LeaveGroup"]),
        "{:?}",
        world.requests
    );

    let mut world = World::new(config());
    world.take(4);
    world.core.abandon(world.now);
    world.tell();
    assert_eq!(world.committed, None);
    assert!(world.core.is_closed());
    assert_eq!(world.requests.last(), Some(&"LeaveGroup"));
}

#[test]
fn a_commit_that_fails_while_closing_is_told() {
    let mut world = World::new(config());
    world.take(4);
    world.answers_commits = false;
    world.core.close(world.now);
    world.run();
    assert!(!world.core.is_closed());
    world.pass(11);
    world.tell();
    assert!(world.core.is_closed());
    let error = world.core.take_close_error().unwrap();
    assert!(matches!(error, CommitError::TimedOut { .. }), "{error}");
}

#[test]
fn without_a_coordinator_it_says_what_it_waits_for() {
    let mut world = World::new(config());
    world.core.at_poll(world.now);
    let mut calls = Vec::new();
    world.core.poll(world.now, &mut calls);
    for call in calls {
        let reason = "cannot connect to h:9092".to_owned();
        let answer = Answer::Failed(CallFailure::NotSent { reason });
        world.core.on_answer(call.id, answer, world.now);
    }
    let obstacle = world.core.waiting_for().unwrap();
    assert!(obstacle.contains("cannot connect to h:9092"), "{obstacle}");
}

#[test]
fn offsets_of_a_group_serve_who_is_not_a_member() {
    let mut world = World::new(config());
    world.core = ConsumerCore::new(config());
    world.committed = Some(90);
    let key = PartitionKey::new("t", 0);
    world.core.assign_committed(key.clone(), world.now);
    assert_eq!(world.take(2), [90, 91]);
    let id = world
        .core
        .commit(
            [(key, CommittedOffset::at(Offset::new(92)))].into(),
            world.now,
        )
        .unwrap();
    world.run();
    assert_eq!(
        world.core.take_outcomes(),
        [(id, Ok(CommittedOffsets::new()))]
    );
    assert_eq!(world.committed, Some(92));
    assert!(!world.requests.contains(&"JoinGroup"));
    let no_group = ConsumerConfig {
        group: None,
        ..config()
    };
    let mut alone = ConsumerCore::new(no_group);
    assert_eq!(
        alone.commit(BTreeMap::new(), world.now),
        Err(CommitError::NoGroup)
    );
    assert!(!alone.subscribe([Arc::from("t")].into(), world.now));
}
