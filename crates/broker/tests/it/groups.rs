use crate::harness::{Called, Harness, read};
use ottla_broker::Token;
use ottla_protocol::ApiKey;
use ottla_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use ottla_protocol::messages::delete_groups_response::DeleteGroupsResponse;
use ottla_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use ottla_protocol::messages::describe_groups_response::DescribeGroupsResponse;
use ottla_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use ottla_protocol::messages::find_coordinator_response::FindCoordinatorResponse;
use ottla_protocol::messages::heartbeat_request::HeartbeatRequest;
use ottla_protocol::messages::heartbeat_response::HeartbeatResponse;
use ottla_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use ottla_protocol::messages::join_group_response::JoinGroupResponse;
use ottla_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use ottla_protocol::messages::leave_group_response::LeaveGroupResponse;
use ottla_protocol::messages::list_groups_request::ListGroupsRequest;
use ottla_protocol::messages::list_groups_response::ListGroupsResponse;
use ottla_protocol::messages::offset_commit_request::*;
use ottla_protocol::messages::offset_commit_response::OffsetCommitResponse;
use ottla_protocol::messages::offset_delete_request::*;
use ottla_protocol::messages::offset_delete_response::OffsetDeleteResponse;
use ottla_protocol::messages::offset_fetch_request::*;
use ottla_protocol::messages::offset_fetch_response::OffsetFetchResponse;
use ottla_protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use ottla_protocol::messages::sync_group_response::SyncGroupResponse;
use ottla_types::Uuid;
use std::time::Duration;

const SETTINGS: &[&str] = &["offsets.topic.num.partitions=5"];

pub fn find(group: &mut Harness, version: i16) -> (i16, i32) {
    let request = match version < 4 {
        true => FindCoordinatorRequest {
            key: "g".into(),
            ..FindCoordinatorRequest::default()
        },
        false => FindCoordinatorRequest {
            coordinator_keys: vec!["g".into(), "h".into()],
            ..FindCoordinatorRequest::default()
        },
    };
    group.call(ApiKey::FindCoordinator, version, &request, |body| {
        let response: FindCoordinatorResponse<'_> = read(body, version);
        match version < 4 {
            true => {
                if version != 0 && response.error_code == 0 {
                    assert_eq!(response.error_message.as_deref(), Some("NONE"));
                }
                (response.error_code, response.node_id)
            }
            false => {
                assert_eq!(response.coordinators.len(), 2);
                let first = &response.coordinators[0];
                if first.error_code == 0 {
                    assert_eq!(first.error_message.as_deref(), Some(""));
                }
                (first.error_code, first.node_id)
            }
        }
    })
}

fn started() -> Harness {
    started_with(&[])
}

fn started_with(more: &[&str]) -> Harness {
    let settings: Vec<&str> = SETTINGS.iter().chain(more).copied().collect();
    let mut group = Harness::with(&settings);
    assert_eq!(find(&mut group, 6), (0, 1));
    group.create_topic("t", 2, &[]);
    group
}

#[test]
fn the_first_question_makes_the_offsets_topic() {
    for version in 0..=6 {
        let mut group = Harness::with(SETTINGS);
        assert_eq!(find(&mut group, version), (0, 1));
        let image = group.broker.image();
        let topic = image.topic_by_name("__consumer_offsets").expect("made");
        assert_eq!(topic.partitions.len(), 5);
        assert_eq!(find(&mut group, version), (0, 1));
    }
}

#[test]
fn a_replication_factor_that_was_asked_for_is_not_bent() {
    let mut group = Harness::with(&["offsets.topic.replication.factor=2"]);
    assert_eq!(find(&mut group, 3), (15, -1));
}

#[test]
fn there_are_no_coordinators_of_other_kinds() {
    let mut group = started();
    for (key_type, code) in [(1, 53), (2, 42), (9, 42)] {
        let request = FindCoordinatorRequest {
            key_type,
            coordinator_keys: vec!["x".into()],
            ..FindCoordinatorRequest::default()
        };
        group.call(ApiKey::FindCoordinator, 6, &request, |body| {
            let response: FindCoordinatorResponse<'_> = read(body, 6);
            assert_eq!(response.coordinators[0].error_code, code);
            assert_eq!(response.coordinators[0].node_id, -1);
        });
    }
}

fn join_request(member: &str) -> JoinGroupRequest<'_> {
    JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 30_000,
        member_id: member.into(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff".as_slice().into(),
        }],
        ..JoinGroupRequest::default()
    }
}

/// A member of group `g`, and its generation.
fn join(group: &mut Harness, version: i16) -> (String, i32) {
    let mut member = String::new();
    if 4 <= version {
        member = group.call(ApiKey::JoinGroup, version, &join_request(""), |body| {
            let response: JoinGroupResponse<'_> = read(body, version);
            assert_eq!(response.error_code, 79);
            response.member_id.into_owned()
        });
    }
    let token = waiting(group.send(ApiKey::JoinGroup, version, &join_request(&member)));
    group.pass(Duration::from_millis(2900));
    assert!(group.take(token).is_none(), "others may come");
    group.pass(Duration::from_millis(100));
    let frame = group.take(token).expect("alone");
    let header = match version < 6 {
        true => 8,
        false => 9,
    };
    let response: JoinGroupResponse<'_> = read(&frame[header..], version);
    assert_eq!(response.error_code, 0);
    assert_eq!(response.leader, response.member_id);
    assert_eq!(response.members.len(), 1);
    assert_eq!(response.protocol_name.as_deref(), Some("range"));
    (response.member_id.into_owned(), response.generation_id)
}

fn waiting(called: Called<Vec<u8>>) -> Token {
    match called {
        Called::Waiting(token) => token,
        _ => panic!("it must wait"),
    }
}

fn sync(group: &mut Harness, version: i16, member: &str, generation: i32) -> (i16, Vec<u8>) {
    let request = SyncGroupRequest {
        group_id: "g".into(),
        generation_id: generation,
        member_id: member.into(),
        protocol_type: (5 <= version).then(|| "consumer".into()),
        protocol_name: (5 <= version).then(|| "range".into()),
        assignments: vec![SyncGroupRequestAssignment {
            member_id: member.into(),
            assignment: b"work".as_slice().into(),
        }],
        ..SyncGroupRequest::default()
    };
    group.call(ApiKey::SyncGroup, version, &request, |body| {
        let response: SyncGroupResponse<'_> = read(body, version);
        (response.error_code, response.assignment.into_owned())
    })
}

fn heartbeat(group: &mut Harness, version: i16, member: &str, generation: i32) -> i16 {
    let request = HeartbeatRequest {
        group_id: "g".into(),
        generation_id: generation,
        member_id: member.into(),
        ..HeartbeatRequest::default()
    };
    group.call(ApiKey::Heartbeat, version, &request, |body| {
        read::<HeartbeatResponse>(body, version).error_code
    })
}

fn leave(group: &mut Harness, version: i16, member: &str) -> i16 {
    let request = LeaveGroupRequest {
        group_id: "g".into(),
        member_id: if version < 3 {
            member.into()
        } else {
            "".into()
        },
        members: match version < 3 {
            true => Vec::new(),
            false => vec![MemberIdentity {
                member_id: member.into(),
                ..MemberIdentity::default()
            }],
        },
    };
    group.call(ApiKey::LeaveGroup, version, &request, |body| {
        let response: LeaveGroupResponse<'_> = read(body, version);
        match version < 3 {
            true => response.error_code,
            false => {
                assert_eq!(response.error_code, 0);
                response.members[0].error_code
            }
        }
    })
}

#[test]
fn members_live_in_every_version() {
    for version in 0..=9 {
        let mut group = started();
        let (member, generation) = join(&mut group, version);
        assert_eq!(generation, 1);
        let work = (0, b"work".to_vec());
        assert_eq!(sync(&mut group, version.min(5), &member, generation), work);
        for version in 0..=4 {
            assert_eq!(heartbeat(&mut group, version, &member, generation), 0);
            assert_eq!(heartbeat(&mut group, version, &member, 7), 22);
            assert_eq!(heartbeat(&mut group, version, "who", generation), 25);
        }
        assert_eq!(leave(&mut group, version.min(5), "who"), 25);
        assert_eq!(leave(&mut group, version.min(5), &member), 0);
        assert_eq!(heartbeat(&mut group, 4, &member, generation), 25);
    }
}

pub fn commit(group: &mut Harness, version: i16, id: Uuid, offset: i64) -> Vec<i16> {
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: if version < 10 { "t".into() } else { "".into() },
            topic_id: if version < 10 { Uuid::ZERO } else { id },
            partitions: [0, 1, 2]
                .map(|partition_index| OffsetCommitRequestPartition {
                    partition_index,
                    committed_offset: offset,
                    committed_metadata: Some("m".into()),
                    ..OffsetCommitRequestPartition::default()
                })
                .to_vec(),
        }],
        ..OffsetCommitRequest::default()
    };
    group.call(ApiKey::OffsetCommit, version, &request, |body| {
        let response: OffsetCommitResponse<'_> = read(body, version);
        let partitions = response.topics[0].partitions.iter();
        partitions.map(|partition| partition.error_code).collect()
    })
}

/// Offset, epoch, metadata and code of each partition.
pub type Fetched = Vec<(i64, i32, String, i16)>;

pub fn fetch(group: &mut Harness, version: i16, id: Uuid) -> Fetched {
    let request = match version < 8 {
        true => OffsetFetchRequest {
            group_id: "g".into(),
            topics: Some(vec![OffsetFetchRequestTopic {
                name: "t".into(),
                partition_indexes: vec![0, 1],
            }]),
            ..OffsetFetchRequest::default()
        },
        false => OffsetFetchRequest {
            groups: vec![OffsetFetchRequestGroup {
                group_id: "g".into(),
                topics: Some(vec![OffsetFetchRequestTopics {
                    name: if version < 10 { "t".into() } else { "".into() },
                    topic_id: if version < 10 { Uuid::ZERO } else { id },
                    partition_indexes: vec![0, 1],
                }]),
                ..OffsetFetchRequestGroup::default()
            }],
            ..OffsetFetchRequest::default()
        },
    };
    group.call(ApiKey::OffsetFetch, version, &request, |body| {
        let response: OffsetFetchResponse<'_> = read(body, version);
        if version < 8 {
            let partitions = response.topics[0].partitions.iter();
            let fields = partitions.map(|partition| {
                let metadata = partition.metadata.as_deref().expect("never null");
                let epoch = partition.committed_leader_epoch;
                let code = partition.error_code;
                (partition.committed_offset, epoch, metadata.to_owned(), code)
            });
            return fields.collect();
        }
        assert_eq!(response.groups[0].error_code, 0);
        let partitions = response.groups[0].topics[0].partitions.iter();
        let fields = partitions.map(|partition| {
            let metadata = partition.metadata.as_deref().expect("never null");
            let epoch = partition.committed_leader_epoch;
            let code = partition.error_code;
            (partition.committed_offset, epoch, metadata.to_owned(), code)
        });
        fields.collect()
    })
}

#[test]
fn offsets_are_kept_in_every_version() {
    let mut group = started();
    let id = group.broker.image().topic_id("t").expect("made").uuid();
    for version in 1..=10 {
        let none = (-1, -1, String::new(), 0);
        assert_eq!(fetch(&mut group, version, id), [none.clone(), none]);
    }
    for version in 2..=10 {
        let offset = 100 + i64::from(version);
        assert_eq!(commit(&mut group, version, id, offset), [0, 0, 3]);
        for version in 1..=10 {
            let kept = (offset, -1, "m".to_owned(), 0);
            assert_eq!(fetch(&mut group, version, id), [kept.clone(), kept]);
        }
    }
    let stranger = Uuid::from_bytes([3; 16]);
    assert_eq!(commit(&mut group, 10, stranger, 1), [100, 100, 100]);
    let unknown = (-1, -1, String::new(), 100);
    assert_eq!(fetch(&mut group, 10, stranger), [unknown.clone(), unknown]);
}

#[test]
fn an_acknowledged_offset_survives_a_kill() {
    let mut group = started();
    let id = group.broker.image().topic_id("t").expect("made").uuid();
    let (member, generation) = join(&mut group, 9);
    assert_eq!(sync(&mut group, 5, &member, generation).0, 0);
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: generation,
        member_id: member.as_str().into(),
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: 0,
                committed_offset: 42,
                committed_leader_epoch: 6,
                ..OffsetCommitRequestPartition::default()
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    };
    let token = waiting(group.send(ApiKey::OffsetCommit, 9, &request));
    group.collect();
    assert!(group.take(token).is_none(), "nothing is synced yet");
    group.settle();
    assert!(group.take(token).is_some());

    // A commit that was not synced is gone, and was never told.
    let late = OffsetCommitRequest {
        topics: vec![OffsetCommitRequestTopic {
            name: "t".into(),
            partitions: vec![OffsetCommitRequestPartition {
                partition_index: 0,
                committed_offset: 43,
                ..OffsetCommitRequestPartition::default()
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..request.clone()
    };
    let lost = waiting(group.send(ApiKey::OffsetCommit, 9, &late));
    assert!(group.take(lost).is_none());

    let mut group = group.restart();
    assert_eq!(fetch(&mut group, 8, id)[0], (42, 6, String::new(), 0));
    assert_eq!(
        heartbeat(&mut group, 4, &member, generation),
        0,
        "it is still in"
    );
    group.pass(Duration::from_secs(11));
    assert_eq!(
        heartbeat(&mut group, 4, &member, generation),
        25,
        "it was silent"
    );
}

/// T31: a topic that is made again under its name begins without offsets.
#[test]
fn a_topic_made_again_has_no_offsets() {
    let mut group = started();
    let id = group.broker.image().topic_id("t").expect("made").uuid();
    assert_eq!(commit(&mut group, 9, id, 7)[0], 0);
    use ottla_protocol::messages::delete_topics_request::DeleteTopicsRequest;
    let request = DeleteTopicsRequest {
        topic_names: vec!["t".into()],
        timeout_ms: 1000,
        ..DeleteTopicsRequest::default()
    };
    group.call(ApiKey::DeleteTopics, 5, &request, |_| ());
    let none = (-1, -1, String::new(), 0);
    assert_eq!(fetch(&mut group, 9, id)[0], none);
    let again = group.create_topic("t", 2, &[]);
    assert_ne!(again, id);
    for version in [7, 9, 10] {
        assert_eq!(fetch(&mut group, version, again)[0], none);
    }
    assert_eq!(commit(&mut group, 10, again, 3)[0], 0);
    assert_eq!(fetch(&mut group, 9, again)[0].0, 3);
}

fn delete_group(group: &mut Harness, name: &str) -> (i16, Option<String>) {
    let request = DeleteGroupsRequest {
        groups_names: vec![name.to_owned().into()],
    };
    group.call(ApiKey::DeleteGroups, 3, &request, |body| {
        let response: DeleteGroupsResponse<'_> = read(body, 3);
        let result = &response.results[0];
        let message = result.error_message.as_ref();
        (result.error_code, message.map(ToString::to_string))
    })
}

#[test]
fn groups_are_described_listed_and_deleted() {
    let mut group = started();
    let id = group.broker.image().topic_id("t").expect("made").uuid();
    let describe = |group: &mut Harness, version: i16| {
        let request = DescribeGroupsRequest {
            groups: vec!["g".into(), "nobody".into()],
            include_authorized_operations: 3 <= version,
        };
        group.call(ApiKey::DescribeGroups, version, &request, |body| {
            let response: DescribeGroupsResponse<'_> = read(body, version);
            let groups = response.groups.iter().map(|group| {
                (
                    group.error_code,
                    group.group_state.to_string(),
                    group.members.len(),
                )
            });
            groups.collect::<Vec<_>>()
        })
    };
    let dead = |code| (code, "Dead".to_owned(), 0);
    assert_eq!(describe(&mut group, 5), [dead(0), dead(0)]);
    assert_eq!(describe(&mut group, 6), [dead(69), dead(69)]);
    assert_eq!(commit(&mut group, 9, id, 7)[0], 0);
    let (member, generation) = join(&mut group, 9);
    assert_eq!(sync(&mut group, 5, &member, generation).0, 0);
    for version in 0..=6 {
        let missing = dead(if version < 6 { 0 } else { 69 });
        let stable = (0, "Stable".to_owned(), 1);
        assert_eq!(describe(&mut group, version), [stable, missing]);
    }
    let list = |group: &mut Harness, version: i16, states: &[&str], types: &[&str]| {
        let request = ListGroupsRequest {
            states_filter: states.iter().map(|text| (*text).into()).collect(),
            types_filter: types.iter().map(|text| (*text).into()).collect(),
        };
        group.call(ApiKey::ListGroups, version, &request, |body| {
            let response: ListGroupsResponse<'_> = read(body, version);
            assert_eq!(response.error_code, 0);
            response.groups.len()
        })
    };
    for version in 0..=5 {
        assert_eq!(list(&mut group, version, &[], &[]), 1);
    }
    assert_eq!(list(&mut group, 5, &["stable"], &["Classic"]), 1);
    assert_eq!(list(&mut group, 5, &["empty"], &[]), 0);
    assert_eq!(list(&mut group, 5, &[], &["consumer"]), 0);
    assert_eq!(delete_group(&mut group, "g"), (68, None));
    assert_eq!(delete_group(&mut group, "nobody").0, 69);

    let delete_offset = |group: &mut Harness, topic: &'static str| {
        let partitions = [0, 2, -1].map(|partition_index| OffsetDeleteRequestPartition {
            partition_index, // The topic has two partitions.
        });
        let request = OffsetDeleteRequest {
            group_id: "g".into(),
            topics: vec![OffsetDeleteRequestTopic {
                name: topic.into(),
                partitions: partitions.to_vec(),
            }],
        };
        group.call(ApiKey::OffsetDelete, 0, &request, |body| {
            let response: OffsetDeleteResponse<'_> = read(body, 0);
            let [known, unknown @ ..] = &response.topics[0].partitions[..] else {
                panic!("every partition is answered");
            };
            assert!(unknown.iter().all(|partition| partition.error_code == 3));
            (response.error_code, known.error_code)
        })
    };
    let nameless = OffsetDeleteRequest::default();
    group.call(ApiKey::OffsetDelete, 0, &nameless, |body| {
        let response: OffsetDeleteResponse<'_> = read(body, 0);
        assert_eq!(response.error_code, 24);
    });
    assert_eq!(delete_offset(&mut group, "t"), (0, 86));
    assert_eq!(delete_offset(&mut group, "missing"), (0, 3));
    assert_eq!(leave(&mut group, 5, &member), 0);
    assert_eq!(delete_offset(&mut group, "t"), (0, 0));
    assert_eq!(fetch(&mut group, 9, id)[0].0, -1);
    assert_eq!(delete_group(&mut group, "g"), (0, None));
    assert_eq!(list(&mut group, 5, &[], &[]), 0);
}

/// Requests about several groups are one answer, from several shards.
#[test]
fn many_groups_are_asked_about_at_once() {
    let mut group = started();
    let groups = (0..20).map(|number| OffsetFetchRequestGroup {
        group_id: format!("g{number}").into(),
        topics: None,
        ..OffsetFetchRequestGroup::default()
    });
    let request = OffsetFetchRequest {
        groups: groups.collect(),
        ..OffsetFetchRequest::default()
    };
    group.call(ApiKey::OffsetFetch, 10, &request, |body| {
        let response: OffsetFetchResponse<'_> = read(body, 10);
        for (number, group) in response.groups.iter().enumerate() {
            assert_eq!(group.group_id, format!("g{number}"));
            assert_eq!((group.error_code, group.topics.len()), (0, 0));
        }
        assert_eq!(response.groups.len(), 20);
    });
}

/// A broker that ends does not keep members waiting for each other.
#[test]
fn a_shutdown_sends_waiting_members_away() {
    let mut group = started();
    let token = waiting(group.send(ApiKey::JoinGroup, 3, &join_request("")));
    group.settle();
    assert!(group.take(token).is_none());
    assert!(!group.broker.is_drained());
    group.broker.begin_shutdown(group.now);
    group.collect();
    let frame = group.take(token).expect("it is sent away");
    let response: JoinGroupResponse<'_> = read(&frame[8..], 3);
    assert_eq!(response.error_code, 16);
    assert!(group.broker.is_drained());
}

#[test]
fn nobody_begins_to_wait_for_members_while_the_broker_ends() {
    let mut group = started();
    group.broker.begin_shutdown(group.now);
    let called = group.send(ApiKey::JoinGroup, 3, &join_request(""));
    let Called::Answered(frame) = called else {
        panic!("it would wait for others");
    };
    let response: JoinGroupResponse<'_> = read(&frame[8..], 3);
    assert_eq!(response.error_code, 16);
    assert!(group.broker.is_drained());
}

/// Coordinators are not held as producers are: far above what makes those wait they are refused.
#[test]
fn commits_are_refused_when_memory_is_far_beyond_full() {
    let mut group = started_with(&["ottla.memory.tails.bytes=1048576"]);
    let id = group.broker.image().topic_id("t").expect("made").uuid();
    assert_eq!(commit(&mut group, 9, id, 7)[0], 0);
    let large = crate::harness::batch(&["x".repeat(500_000).as_str()]);
    // Each is let in because there was room before it.
    for _ in 0..2 {
        let request = crate::harness::produce_request("t", 0, &large, 1);
        let _waiting = waiting(group.send(ApiKey::Produce, 9, &request));
    }
    assert_eq!(
        commit_now(&mut group, id),
        None,
        "it only waits for the disk"
    );
    let huge = crate::harness::batch(&["x".repeat(900_000).as_str()]);
    let mut group = started_with(&["ottla.memory.tails.bytes=1048576"]);
    let id = group.broker.image().topic_id("t").expect("made").uuid();
    let request = crate::harness::produce_request("t", 0, &large, 1);
    let _waiting = waiting(group.send(ApiKey::Produce, 9, &request));
    let request = crate::harness::produce_request("t", 0, &huge, 1);
    let _waiting = waiting(group.send(ApiKey::Produce, 9, &request));
    assert_eq!(commit_now(&mut group, id), Some(15));
    group.settle();
    assert_eq!(commit(&mut group, 9, id, 7)[0], 0, "there is room again");
}

/// The code of a commit that is answered at once.
fn commit_now(group: &mut Harness, id: Uuid) -> Option<i16> {
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            topic_id: id,
            partitions: vec![OffsetCommitRequestPartition::default()],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    };
    match group.send(ApiKey::OffsetCommit, 10, &request) {
        Called::Answered(frame) => {
            let response: OffsetCommitResponse<'_> = read(&frame[9..], 10);
            Some(response.topics[0].partitions[0].error_code)
        }
        _ => None,
    }
}

/// Where the partition of group `g` ends.
fn offsets_end(group: &Harness) -> i64 {
    let image = group.broker.image();
    let topic = image.topic_by_name("__consumer_offsets").expect("made");
    let ends = topic.numbered().map(|(partition, _)| {
        let slot = group.log_dir.slot(ottla_types::TopicPartition {
            topic_id: topic.id,
            partition,
        });
        let ends = group.log_dir.ends(slot.expect("held here"));
        ends.expect("held here").appended_end.get()
    });
    ends.sum()
}

/// The topic's end is durable and the tombstones of its offsets are not: the next start writes them.
#[test]
fn offsets_of_a_topic_that_went_while_nobody_could_say_so_go_later() {
    let mut group = started();
    let id = group.broker.image().topic_id("t").expect("made").uuid();
    assert_eq!(commit(&mut group, 9, id, 7)[..2], [0, 0]);
    let before = offsets_end(&group);
    use ottla_protocol::messages::delete_topics_request::DeleteTopicsRequest;
    let request = DeleteTopicsRequest {
        topic_names: vec!["t".into()],
        timeout_ms: 1000,
        ..DeleteTopicsRequest::default()
    };
    let _waiting = waiting(group.send(ApiKey::DeleteTopics, 5, &request));
    while group.step_quorum() {}
    assert!(before < offsets_end(&group), "tombstones, not durable yet");
    let mut group = group.restart();
    group.settle();
    group.pass(Duration::from_millis(1));
    assert!(before < offsets_end(&group));
}

#[test]
fn without_the_topic_there_is_no_coordinator() {
    let mut group = Harness::with(SETTINGS);
    assert_eq!(heartbeat(&mut group, 4, "m", 1), 16);
    let request = ListGroupsRequest::default();
    group.call(ApiKey::ListGroups, 4, &request, |body| {
        let response: ListGroupsResponse<'_> = read(body, 4);
        assert_eq!((response.error_code, response.groups.len()), (0, 0));
    });
}
