//! Consumer groups at their largest: a thousand members of one, and the offsets of a hundred thousand.

use crate::connection::{Connection, body, frame};
use crate::contender::{Contender, Running};
use crate::error::{BenchError, check};
use crate::topic;
use ottla_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use ottla_protocol::messages::find_coordinator_response::FindCoordinatorResponse;
use ottla_protocol::messages::join_group_request::{JoinGroupRequest, JoinGroupRequestProtocol};
use ottla_protocol::messages::join_group_response::JoinGroupResponse;
use ottla_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_protocol::messages::offset_commit_response::OffsetCommitResponse;
use ottla_protocol::messages::offset_fetch_request::{OffsetFetchRequest, OffsetFetchRequestTopic};
use ottla_protocol::messages::offset_fetch_response::OffsetFetchResponse;
use ottla_protocol::messages::sync_group_request::{SyncGroupRequest, SyncGroupRequestAssignment};
use ottla_protocol::messages::sync_group_response::SyncGroupResponse;
use ottla_protocol::{ApiKey, Message, Reader};
use ottla_types::ErrorCode;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const TOPIC: &str = "grouped";
const GROUP: &str = "crowd";
const PROTOCOL: &str = "range";
/// What a member's subscription and its assignment weigh in bytes.
const METADATA_SIZE: usize = 100;
/// Before it a member is told its id by an error first, in a request of its own.
const JOIN_VERSION: i16 = 3;
const SYNC_VERSION: i16 = 3;
const COMMIT_VERSION: i16 = 7;
const FETCH_VERSION: i16 = 7;
const FIND_VERSION: i16 = 2;
/// Long: nobody is to be thrown out while the others are waited for.
const TIMEOUT_MS: i32 = 300_000;
const COMMITS_IN_FLIGHT: usize = 60;
/// Of so many groups the offset is read after the restart, spread over all shards.
const GROUPS_READ: usize = 500;

/// How many.
pub struct Options {
    /// Who is measured.
    pub contender: Contender,
    /// Folder for data.
    pub data: PathBuf,
    /// Members of one group.
    pub members: usize,
    /// How often they all join again.
    pub rounds: usize,
    /// Groups with one committed offset each.
    pub groups: usize,
}

/// Measures and prints.
pub fn run(options: &Options) -> Result<(), BenchError> {
    let mut server = options.contender.start(&options.data)?;
    println!("{}", options.contender.name());
    let mut control = Connection::open(&server.bootstrap)?;
    topic::create(&mut control, TOPIC, 1)?;
    find_coordinator(&mut control)?;
    until_ready("the group's shard", || {
        Ok(committed_offset(&mut control, GROUP)?.0)
    })?;

    let mut crowd = Crowd::open(&server, options.members)?;
    crowd.join_and_sync(0)?;
    for round in 1..=options.rounds {
        let took = crowd.join_and_sync(round)?;
        println!(
            "{} members again: joined {}, synced {}; from the last join to the last assignment {}",
            options.members,
            ms(took.joined),
            ms(took.synced),
            ms(took.last_join_to_stable)
        );
    }
    drop(crowd);

    println!(
        "offsets of {} groups, {COMMITS_IN_FLIGHT} unanswered on one connection: {}",
        options.groups,
        ms(commit_all(&mut control, options.groups)?)
    );
    restart(&mut server, options.groups)
}

/// Makes the groups' topic exist: brokers create it when they are first asked.
fn find_coordinator(control: &mut Connection) -> Result<(), BenchError> {
    let request = FindCoordinatorRequest {
        key: GROUP.into(),
        ..Default::default()
    };
    until_ready("finding the coordinator", || {
        control.call(ApiKey::FindCoordinator, FIND_VERSION, &request, |reader| {
            Ok(FindCoordinatorResponse::decode(reader, FIND_VERSION)?.error_code)
        })
    })
}

/// Asks until the answer is no longer that the coordinator is not there yet.
fn until_ready(
    what: &'static str,
    mut ask: impl FnMut() -> Result<i16, BenchError>,
) -> Result<(), BenchError> {
    loop {
        let code = ask()?;
        match ErrorCode::from_wire(code) {
            Some(code) if code.is_retriable() => std::thread::sleep(Duration::from_millis(1)),
            _ => return check(what, code),
        }
    }
}

struct Member {
    connection: Connection,
    id: String,
    /// The broker chose it to say who gets what.
    leads: bool,
}

/// The members of one group, a connection each.
struct Crowd {
    members: Vec<Member>,
}

/// How long a round took.
struct Took {
    /// From the first request to join to the last answer.
    joined: Duration,
    /// From the first request to sync to the last answer.
    synced: Duration,
    /// From the last request to join to the last assignment.
    last_join_to_stable: Duration,
}

impl Crowd {
    fn open(server: &Running, count: usize) -> Result<Crowd, BenchError> {
        let open = |_| {
            Ok(Member {
                connection: Connection::open(&server.bootstrap)?,
                id: String::new(),
                leads: false,
            })
        };
        let members: Result<_, BenchError> = (0..count).map(open).collect();
        Ok(Crowd { members: members? })
    }

    fn join_and_sync(&mut self, round: usize) -> Result<Took, BenchError> {
        // A subscription that changed makes the group rebalance, whoever joins first.
        let metadata = vec![round as u8; METADATA_SIZE];
        let started = Instant::now();
        for member in &mut self.members {
            member.send_join(&metadata)?;
        }
        let last_join = Instant::now();
        let mut joined = Vec::with_capacity(self.members.len());
        for member in &mut self.members {
            joined.push(member.receive_join()?);
        }
        let joined_after = started.elapsed();
        let generation = joined[0];
        // Else some would wait for the others for ever.
        assert!(
            joined.iter().all(|other| *other == generation),
            "one generation"
        );
        let syncing = Instant::now();
        self.sync(generation)?;
        Ok(Took {
            joined: joined_after,
            synced: syncing.elapsed(),
            last_join_to_stable: last_join.elapsed(),
        })
    }

    fn sync(&mut self, generation: i32) -> Result<(), BenchError> {
        let ids: Vec<String> = self
            .members
            .iter()
            .map(|member| member.id.clone())
            .collect();
        let assigned = |id: &String| SyncGroupRequestAssignment {
            member_id: id.clone().into(),
            assignment: vec![1; METADATA_SIZE].into(),
        };
        let assignments: Vec<_> = ids.iter().map(assigned).collect();
        for member in &mut self.members {
            let request = SyncGroupRequest {
                group_id: GROUP.into(),
                generation_id: generation,
                member_id: member.id.clone().into(),
                assignments: match member.leads {
                    true => assignments.clone(),
                    false => Vec::new(),
                },
                ..Default::default()
            };
            let request = frame(ApiKey::SyncGroup, SYNC_VERSION, 0, &request)?;
            member.connection.send(&request)?;
        }
        for member in &mut self.members {
            let answer = body(
                ApiKey::SyncGroup,
                SYNC_VERSION,
                member.connection.receive()?,
            );
            let answer = SyncGroupResponse::decode(&mut Reader::new(answer), SYNC_VERSION)?;
            check("a sync", answer.error_code)?;
            assert_eq!(
                answer.assignment.len(),
                METADATA_SIZE,
                "the leader's assignment"
            );
        }
        Ok(())
    }
}

impl Member {
    fn send_join(&mut self, metadata: &[u8]) -> Result<(), BenchError> {
        let request = JoinGroupRequest {
            group_id: GROUP.into(),
            session_timeout_ms: TIMEOUT_MS,
            rebalance_timeout_ms: TIMEOUT_MS,
            member_id: self.id.clone().into(),
            protocol_type: "consumer".into(),
            protocols: vec![JoinGroupRequestProtocol {
                name: PROTOCOL.into(),
                metadata: metadata.into(),
            }],
            ..Default::default()
        };
        let request = frame(ApiKey::JoinGroup, JOIN_VERSION, 0, &request)?;
        self.connection.send(&request)
    }

    /// The generation.
    fn receive_join(&mut self) -> Result<i32, BenchError> {
        let answer = body(ApiKey::JoinGroup, JOIN_VERSION, self.connection.receive()?);
        let answer = JoinGroupResponse::decode(&mut Reader::new(answer), JOIN_VERSION)?;
        check("a join", answer.error_code)?;
        self.leads = answer.leader == answer.member_id;
        self.id = answer.member_id.into_owned();
        Ok(answer.generation_id)
    }
}

fn group_name(index: usize) -> String {
    format!("group-{index}")
}

/// One offset for each group: its number. From the first request to the last answer.
fn commit_all(connection: &mut Connection, groups: usize) -> Result<Duration, BenchError> {
    let started = Instant::now();
    let mut answered = 0;
    for index in 0..groups {
        connection.send(&commit_request(index)?)?;
        if COMMITS_IN_FLIGHT <= index + 1 - answered {
            commit_answered(connection)?;
            answered += 1;
        }
    }
    for _ in answered..groups {
        commit_answered(connection)?;
    }
    Ok(started.elapsed())
}

fn commit_request(index: usize) -> Result<Vec<u8>, BenchError> {
    let request = OffsetCommitRequest {
        group_id: group_name(index).into(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: TOPIC.into(),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: index as i64,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    frame(ApiKey::OffsetCommit, COMMIT_VERSION, 0, &request)
}

fn commit_answered(connection: &mut Connection) -> Result<(), BenchError> {
    let answer = body(ApiKey::OffsetCommit, COMMIT_VERSION, connection.receive()?);
    let answer = OffsetCommitResponse::decode(&mut Reader::new(answer), COMMIT_VERSION)?;
    check("a commit", answer.topics[0].partitions[0].error_code)
}

/// The error and the offset of a group.
fn committed_offset(connection: &mut Connection, group: &str) -> Result<(i16, i64), BenchError> {
    let request = OffsetFetchRequest {
        group_id: group.into(),
        topics: Some(vec![OffsetFetchRequestTopic {
            name: TOPIC.into(),
            partition_indexes: vec![0],
        }]),
        ..Default::default()
    };
    connection.call(ApiKey::OffsetFetch, FETCH_VERSION, &request, |reader| {
        let answer = OffsetFetchResponse::decode(reader, FETCH_VERSION)?;
        let offset = answer
            .topics
            .first()
            .map(|topic| topic.partitions[0].committed_offset);
        Ok((answer.error_code, offset.unwrap_or(-1)))
    })
}

/// kill -9, and how long it takes until every group's offset is known again.
fn restart(server: &mut Running, groups: usize) -> Result<(), BenchError> {
    server.kill()?;
    let started = Instant::now();
    server.start_again()?;
    server.wait_until_listening()?;
    let listening = started.elapsed();
    let mut connection = Connection::open(&server.bootstrap)?;
    for index in (0..groups).step_by((groups / GROUPS_READ).max(1)) {
        let (group, mut offset) = (group_name(index), -1);
        until_ready("an offset", || {
            let (code, found) = committed_offset(&mut connection, &group)?;
            offset = found;
            Ok(code)
        })?;
        assert_eq!(offset, index as i64, "the offset of {group}");
    }
    println!(
        "after kill -9: listening after {}, the offsets of {GROUPS_READ} groups of all shards read after {}",
        ms(listening),
        ms(started.elapsed())
    );
    Ok(())
}

fn ms(duration: Duration) -> String {
    format!("{:.0} ms", duration.as_secs_f64() * 1000.0)
}
