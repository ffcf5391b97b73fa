//! Logs that move from one directory of the broker to another (AlterReplicaLogDirs).

use crate::admin::{delete_records, delete_topic};
use crate::configs::alter;
use crate::groups;
use crate::harness::*;
use crate::produce::idempotent;
use ottla_broker::{MoveStep, Token};
use ottla_protocol::ApiKey;
use ottla_protocol::messages::alter_replica_log_dirs_request::*;
use ottla_protocol::messages::alter_replica_log_dirs_response::AlterReplicaLogDirsResponse;
use ottla_protocol::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use ottla_protocol::messages::describe_log_dirs_response::DescribeLogDirsResponse;
use ottla_protocol::messages::produce_response::ProduceResponse;
use ottla_types::{PartitionId, TopicPartition};
use std::sync::atomic::Ordering;
use std::time::Duration;

const PRODUCER: i64 = 5;

pub(crate) fn wish(
    path: &str,
    topic: &str,
    partitions: &[i32],
) -> AlterReplicaLogDirsRequest<'static> {
    AlterReplicaLogDirsRequest {
        dirs: vec![AlterReplicaLogDir {
            path: path.to_owned().into(),
            topics: vec![AlterReplicaLogDirTopic {
                name: topic.to_owned().into(),
                partitions: partitions.to_vec(),
            }],
        }],
    }
}

/// Asks for partition 0 of a topic to be in a directory.
pub(crate) fn ask(harness: &mut Harness, path: &str, topic: &str) -> i16 {
    ask_in(harness, 2, path, topic, 0)
}

fn ask_in(harness: &mut Harness, version: i16, path: &str, topic: &str, partition: i32) -> i16 {
    let request = wish(path, topic, &[partition]);
    let frame = match harness.send(ApiKey::AlterReplicaLogDirs, version, &request) {
        Called::Waiting(token) => granted(harness, token),
        called => called.answered(),
    };
    let correlation_id = i32::from_be_bytes(frame[4..8].try_into().expect("four bytes"));
    let key = ApiKey::AlterReplicaLogDirs;
    let response: AlterReplicaLogDirsResponse<'_> =
        read(body(&frame, key, version, correlation_id), version);
    assert_eq!(&*response.results[0].topic_name, topic);
    let [result] = &response.results[0].partitions[..] else {
        panic!("{response:?}")
    };
    assert_eq!(result.partition_index, partition);
    result.error_code
}

/// The answer to a wish, as soon as the journals are so far and what an earlier move left is gone.
fn granted(harness: &mut Harness, token: Token) -> Vec<u8> {
    for _ in 0..1_000 {
        harness.settle();
        if let Some(frame) = harness.take(token) {
            return frame;
        }
        for directory in &harness.directories {
            directory.log_dir.flush_step(harness.now);
        }
        harness.pass(Duration::from_millis(5));
    }
    panic!("it is never answered");
}

/// Where DescribeLogDirs says that logs of a topic are: path, partition, lag of one that is not there yet.
pub(crate) fn places(harness: &mut Harness, topic: &str) -> Vec<(String, i32, Option<i64>)> {
    let request = DescribeLogDirsRequest { topics: None };
    harness.call(ApiKey::DescribeLogDirs, 5, &request, |body| {
        let response: DescribeLogDirsResponse<'_> = read(body, 5);
        let mut places = Vec::new();
        for result in &response.results {
            let topics = result.topics.iter().filter(|it| it.name == topic);
            for partition in topics.flat_map(|topic| &topic.partitions) {
                let lag = partition.is_future_key.then_some(partition.offset_lag);
                places.push((result.log_dir.to_string(), partition.partition_index, lag));
            }
        }
        places
    })
}

pub(crate) fn only_in(path: &str) -> Vec<(String, i32, Option<i64>)> {
    vec![(path.to_owned(), 0, None)]
}

pub(crate) fn partition_of(harness: &Harness, topic: &str) -> TopicPartition {
    let image = harness.broker.image();
    TopicPartition {
        topic_id: image.topic_by_name(topic).expect("made").id,
        partition: PartitionId::new(0),
    }
}

/// In which of the directories there is a log of partition 0 of `t`, of whatever kind.
pub(crate) fn found(harness: &Harness, topic: &str) -> Vec<bool> {
    let id = partition_of(harness, topic);
    let directories = harness.directories.iter();
    directories
        .map(|directory| directory.log_dir.slot(id).is_some())
        .collect()
}

/// A topic of one partition in `data`, with this many records of one idempotent producer; there are three directories.
pub(crate) fn started(records: i32) -> Harness {
    let mut harness = Harness::with_directories(3, &[]);
    harness.create_topic("t", 1, &[]);
    assert_eq!(places(&mut harness, "t"), only_in("data"));
    for number in 0..records {
        append(&mut harness, number);
    }
    harness
}

/// The producer's record with this number.
pub(crate) fn numbered(number: i32) -> Vec<u8> {
    idempotent(PRODUCER, 0, number, &[&format!("record {number}")])
}

pub(crate) fn append(harness: &mut Harness, number: i32) {
    let appended = harness.produce("t", 0, &numbered(number));
    assert_eq!(appended, Ok(i64::from(number)));
}

/// What was held is carried out, and then answered.
pub(crate) fn pass_twice(harness: &mut Harness) {
    for _ in 0..2 {
        harness.pass(Duration::from_millis(5));
    }
}

/// The same while the log moves, step by step.
fn append_through(harness: &mut Harness, number: i32) {
    let bytes = numbered(number);
    let request = produce_request("t", 0, &bytes, -1);
    let token = sent(harness.send(ApiKey::Produce, 9, &request));
    for _ in 0..100 {
        harness.broker.move_step(harness.now);
        harness.pass(Duration::from_millis(5));
        if let Some(answer) = produced(harness, token) {
            return assert_eq!(answer, (0, i64::from(number)));
        }
    }
    panic!("it is never answered");
}

/// All records are there, the producer can go on, and what it sends again is known.
pub(crate) fn check(harness: &mut Harness, records: i32) {
    let mut at = 0;
    while at < i64::from(records) {
        let fetched = harness.fetch("t", 0, at).expect("readable");
        assert!(!fetched.is_empty(), "it ends at {at}");
        for (offset, value) in fetched {
            if offset < at {
                continue; // The batch of the one asked for.
            }
            assert_eq!((offset, value), (at, format!("record {at}")));
            at += 1;
        }
    }
    assert_eq!(at, i64::from(records));
    let last = records - 1;
    let again = harness.produce("t", 0, &numbered(last));
    assert_eq!(again, Ok(i64::from(last)), "a duplicate");
    let gap = harness.produce("t", 0, &numbered(records + 7));
    assert_eq!(gap, Err(45), "out of sequence");
}

#[test]
fn a_log_moves_while_it_is_written_to_and_read() {
    for version in [1, 2] {
        let mut harness = started(20);
        assert_eq!(ask_in(&mut harness, version, "data-2", "t", 0), 0);
        let copying = ("data-2".to_owned(), 0, Some(20));
        let [home, copy] = &places(&mut harness, "t")[..] else {
            panic!("two logs")
        };
        assert_eq!((home, copy), (&only_in("data")[0], &copying));
        let mut records = 20;
        while harness.broker.moving_count() != 0 {
            append_through(&mut harness, records);
            records += 1;
            assert_eq!(harness.fetch("t", 0, 0).expect("readable")[0].0, 0);
            assert!(records < 200, "it never ends");
        }
        assert_eq!(places(&mut harness, "t"), only_in("data-2"));
        assert_eq!(found(&harness, "t"), [false, false, true]);
        check(&mut harness, records);
        append(&mut harness, records);
        let mut harness = harness.restart();
        assert_eq!(places(&mut harness, "t"), only_in("data-2"));
        check(&mut harness, records + 1);
        // And back, where it was before.
        assert_eq!(ask(&mut harness, "data", "t"), 0);
        harness.settle_moves();
        assert_eq!(places(&mut harness, "t"), only_in("data"));
        check(&mut harness, records + 1);
        let metrics = harness.broker.metrics();
        assert_eq!(metrics.moves_completed.load(Ordering::Relaxed), 1);
        assert!(1000 < metrics.moved_bytes.load(Ordering::Relaxed));
    }
}

#[test]
fn wishes_that_cannot_be_are_refused_as_by_kafka() {
    let mut harness = Harness::with_directories(3, &["log.dirs=data,data-1,data-2"]);
    harness.create_topic("t", 1, &[]);
    for (path, topic, partition, code) in [
        ("data", "t", 0, 0),
        ("nowhere", "t", 0, 57),
        ("data-1", "missing", 0, 3),
        ("data-1", "t", 9, 3),
        ("data-1", "t", -1, 3),
        ("nowhere", "missing", 0, 57),
    ] {
        let answer = ask_in(&mut harness, 2, path, topic, partition);
        assert_eq!(answer, code, "{path} {topic} {partition}");
    }
    assert_eq!(harness.broker.moving_count(), 0);
    let cordoned = Some("data-2");
    assert_eq!(
        alter(&mut harness, 4, "1", "cordoned.log.dirs", 0, cordoned).0,
        0
    );
    harness.settle();
    assert_eq!(ask(&mut harness, "data-2", "t"), 39, "a cordoned directory");
    assert_eq!(ask(&mut harness, "data-2", "missing"), 39);
    harness.directories[1]
        .is_broken
        .store(true, Ordering::SeqCst);
    harness.create_topic("u", 1, &[]);
    let _ = harness.produce("u", 0, &batch(&["lost"]));
    harness.settle();
    assert_eq!(ask(&mut harness, "data-1", "t"), 56, "an offline directory");
    assert_eq!(ask(&mut harness, "data", "u"), 56, "an offline log");
}

#[test]
fn a_wish_for_where_it_is_ends_the_move_and_one_for_elsewhere_begins_another() {
    let mut harness = started(30);
    assert_eq!(ask(&mut harness, "data-1", "t"), 0);
    harness.broker.move_step(harness.now);
    assert_eq!(ask(&mut harness, "data-1", "t"), 0, "the same again");
    assert_eq!(found(&harness, "t"), [true, true, false]);
    assert_eq!(ask(&mut harness, "data-2", "t"), 0);
    assert_eq!(found(&harness, "t"), [true, false, true]);
    assert_eq!(ask(&mut harness, "data", "t"), 0);
    assert_eq!(found(&harness, "t"), [true, false, false]);
    assert_eq!(places(&mut harness, "t"), only_in("data"));
    harness.settle_moves();
    check(&mut harness, 30);
    let mut harness = harness.restart();
    assert_eq!(harness.broker.moving_count(), 0);
    assert_eq!(found(&harness, "t"), [true, false, false]);
    // The copies that were dropped have to be gone before: the wish waits for that.
    assert_eq!(ask(&mut harness, "data-1", "t"), 0);
    harness.settle_moves();
    assert_eq!(places(&mut harness, "t"), only_in("data-1"));
    check(&mut harness, 30);
}

fn sent(called: Called<Vec<u8>>) -> Token {
    match called {
        Called::Waiting(token) => token,
        _ => panic!("it must wait"),
    }
}

/// The error and offset of a produce request, if it was answered.
fn produced(harness: &mut Harness, token: Token) -> Option<(i16, i64)> {
    let frame = harness.take(token)?;
    let correlation_id = i32::from_be_bytes(frame[4..8].try_into().expect("four bytes"));
    let response: ProduceResponse<'_> = read(body(&frame, ApiKey::Produce, 9, correlation_id), 9);
    let partition = &response.responses[0].partition_responses[0];
    Some((partition.error_code, partition.base_offset))
}

/// Steps the move until appends are held for it, and what was appended before is durable everywhere.
pub(crate) fn step_until_held(harness: &mut Harness) {
    for _ in 0..100 {
        harness.broker.move_step(harness.now);
        let held = &harness.broker.metrics().held_requests;
        let before = held.load(Ordering::Relaxed);
        // One that would be refused, were it not held.
        let gap = numbered(1_000_000);
        let request = produce_request("t", 0, &gap, -1);
        let mut connection = harness.connect(1);
        harness.send_on(&mut connection, ApiKey::Produce, 9, &request);
        harness.broker.disconnect(connection);
        let held = &harness.broker.metrics().held_requests;
        if held.load(Ordering::Relaxed) != before {
            return;
        }
        harness.settle();
    }
    panic!("appends are never held");
}

#[test]
fn what_is_sent_while_the_log_changes_over_waits_and_is_appended_once() {
    let mut harness = started(8);
    assert_eq!(ask(&mut harness, "data-1", "t"), 0);
    step_until_held(&mut harness);
    let next = numbered(8);
    let request = produce_request("t", 0, &next, -1);
    let produce = sent(harness.send(ApiKey::Produce, 9, &request));
    let mut silent = harness.connect(1);
    let unacknowledged = batch(&["silent"]);
    let request = produce_request("t", 0, &unacknowledged, 0);
    let called = harness.send_on(&mut silent, ApiKey::Produce, 9, &request);
    assert!(matches!(called, Called::Waiting(_)), "acks=0 waits too");
    let mut poller = harness.connect(1);
    let poll = fetch_request("t", 0, 8, 30_000);
    let poll = sent(harness.send_on(&mut poller, ApiKey::Fetch, 4, &poll));
    harness.collect();
    assert_eq!(produced(&mut harness, produce), None);
    harness.settle_moves();
    pass_twice(&mut harness);
    assert_eq!(places(&mut harness, "t"), only_in("data-1"));
    assert_eq!(produced(&mut harness, produce), Some((0, 8)));
    assert!(harness.take(poll).is_some(), "the poll sees what came");
    let fetched = harness.fetch("t", 0, 8).expect("readable");
    assert_eq!(fetched.len(), 2);
    assert_eq!(harness.produce("t", 0, &numbered(8)), Ok(8), "a duplicate");
}

#[test]
fn a_log_for_which_appends_wait_has_its_turn_before_all_others() {
    let mut harness = started(8);
    harness.create_topic("many", 30, &[]);
    for partition in 0..30 {
        let produced = harness.produce("many", partition, &batch(&["x"]));
        assert_eq!(produced, Ok(0));
    }
    assert_eq!(ask(&mut harness, "data-1", "t"), 0);
    let all: Vec<i32> = (0..30).collect();
    let request = wish("data-2", "many", &all);
    let token = sent(harness.send(ApiKey::AlterReplicaLogDirs, 2, &request));
    harness.settle();
    assert!(harness.take(token).is_some());
    assert!(15 < harness.broker.moving_count());
    let held = |harness: &Harness| {
        let held = &harness.broker.metrics().held_requests;
        held.load(Ordering::Relaxed)
    };
    let mut held_steps = 0;
    for _ in 0..2_000 {
        let before = held(&harness);
        let bytes = batch(&["probe"]);
        let mut connection = harness.connect(1);
        let request = produce_request("t", 0, &bytes, -1);
        harness.send_on(&mut connection, ApiKey::Produce, 9, &request);
        harness.broker.disconnect(connection);
        held_steps += u64::from(before < held(&harness));
        harness.settle();
        if places(&mut harness, "t") == only_in("data-1") {
            break;
        }
        harness.broker.move_step(harness.now);
    }
    assert_eq!(places(&mut harness, "t"), only_in("data-1"));
    assert!((1..15).contains(&held_steps), "held for {held_steps} steps");
}

#[test]
fn a_wait_that_takes_too_long_is_a_timeout_and_nothing_is_appended_later() {
    let mut harness = started(3);
    assert_eq!(ask(&mut harness, "data-1", "t"), 0);
    step_until_held(&mut harness);
    let next = numbered(3);
    let mut request = produce_request("t", 0, &next, -1);
    request.timeout_ms = 1500;
    let produce = sent(harness.send(ApiKey::Produce, 9, &request));
    // Nothing is committed, and nobody steps the move.
    for _ in 0..400 {
        harness.now.mono = harness.now.mono.plus(Duration::from_millis(5));
        harness.collect();
    }
    assert_eq!(produced(&mut harness, produce), Some((7, -1)));
    harness.settle_moves();
    check(&mut harness, 3);
}

#[test]
fn deleted_records_stay_deleted_in_the_other_directory() {
    let mut harness = started(40);
    assert_eq!(ask(&mut harness, "data-1", "t"), 0);
    harness.broker.move_step(harness.now);
    harness.settle();
    assert_eq!(delete_records(&mut harness, "t", 30), (0, 30));
    step_until_held(&mut harness);
    use ottla_protocol::messages::delete_records_request as dr;
    let request = dr::DeleteRecordsRequest {
        topics: vec![dr::DeleteRecordsTopic {
            name: "t".into(),
            partitions: vec![dr::DeleteRecordsPartition {
                partition_index: 0,
                offset: 35,
            }],
        }],
        timeout_ms: 10_000,
    };
    let waiting = sent(harness.send(ApiKey::DeleteRecords, 2, &request));
    harness.settle_moves();
    pass_twice(&mut harness);
    assert!(harness.take(waiting).is_some());
    let mut harness = harness.restart();
    assert_eq!(places(&mut harness, "t"), only_in("data-1"));
    assert_eq!(harness.fetch("t", 0, 34), Err(1), "out of range");
    let fetched = harness.fetch("t", 0, 35).expect("readable");
    assert_eq!(fetched.len(), 5);
    append(&mut harness, 40);
}

#[test]
fn a_log_that_starts_inside_of_a_batch_moves() {
    for is_begun in [false, true] {
        let mut harness = Harness::with_directories(2, &[]);
        harness.create_topic("t", 1, &[]);
        for values in [["a", "b", "c"], ["d", "e", "f"]] {
            harness.produce("t", 0, &batch(&values)).expect("room");
        }
        if is_begun {
            assert_eq!(ask(&mut harness, "data-1", "t"), 0);
        }
        assert_eq!(delete_records(&mut harness, "t", 4), (0, 4));
        if !is_begun {
            assert_eq!(ask(&mut harness, "data-1", "t"), 0);
        }
        harness.settle_moves();
        let mut harness = harness.restart();
        assert_eq!(places(&mut harness, "t"), only_in("data-1"));
        assert_eq!(harness.fetch("t", 0, 3), Err(1), "out of range");
        let fetched = harness.fetch("t", 0, 4).expect("readable");
        assert_eq!(fetched.last(), Some(&(5, "f".to_owned())));
        assert_eq!(harness.produce("t", 0, &batch(&["g"])), Ok(6));
        // An empty log keeps its end.
        assert_eq!(delete_records(&mut harness, "t", -1), (0, 7));
        assert_eq!(ask(&mut harness, "data", "t"), 0);
        harness.settle_moves();
        let mut harness = harness.restart();
        assert_eq!(places(&mut harness, "t"), only_in("data"));
        assert_eq!(harness.produce("t", 0, &batch(&["h"])), Ok(7));
    }
}

#[test]
fn groups_go_on_while_their_partition_moves() {
    let settings = ["offsets.topic.num.partitions=1"];
    let mut harness = Harness::with_directories(2, &settings);
    assert_eq!(groups::find(&mut harness, 6), (0, 1));
    let id = harness.create_topic("t", 2, &[]);
    assert_eq!(groups::commit(&mut harness, 10, id, 7), [0, 0, 3]);
    let topic = "__consumer_offsets";
    let before = places(&mut harness, topic)[0].0.clone();
    let after = match &*before {
        "data" => "data-1",
        _ => "data",
    };
    assert_eq!(ask(&mut harness, after, topic), 0);
    let mut offset = 7;
    for _ in 0..1_000 {
        if harness.broker.moving_count() == 0 {
            break;
        }
        offset += 1;
        // One that meets a closed gate waits until the log has changed over.
        let request = commit_request(id, offset);
        let called = harness.send(ApiKey::OffsetCommit, 10, &request);
        harness.broker.move_step(harness.now);
        let token = sent(called);
        let mut answer = harness.take(token);
        for _ in 0..100 {
            harness.settle();
            answer = answer.or_else(|| harness.take(token));
            if answer.is_some() {
                break;
            }
            harness.broker.move_step(harness.now);
        }
        assert!(answer.is_some(), "it is answered");
    }
    assert_eq!(places(&mut harness, topic), only_in(after));
    let kept = |offset| (offset, -1, "m".to_owned(), 0);
    assert_eq!(groups::fetch(&mut harness, 10, id)[0], kept(offset));
    let mut harness = harness.restart();
    assert_eq!(groups::fetch(&mut harness, 10, id)[0], kept(offset));
    assert_eq!(groups::commit(&mut harness, 10, id, 99), [0, 0, 3]);
}

fn commit_request(
    id: ottla_types::Uuid,
    offset: i64,
) -> ottla_protocol::messages::offset_commit_request::OffsetCommitRequest<'static> {
    use ottla_protocol::messages::offset_commit_request::*;
    OffsetCommitRequest {
        group_id: "g".into(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            topic_id: id,
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: offset,
                committed_metadata: Some("m".into()),
                ..OffsetCommitRequestPartition::default()
            }],
            ..OffsetCommitRequestTopic::default()
        }],
        ..OffsetCommitRequest::default()
    }
}

#[test]
fn a_topic_that_is_deleted_takes_both_logs_along() {
    let mut harness = started(10);
    assert_eq!(ask(&mut harness, "data-1", "t"), 0);
    let id = partition_of(&harness, "t");
    step_until_held(&mut harness);
    delete_topic(&mut harness, "t");
    assert_eq!(harness.broker.moving_count(), 0);
    let harness = harness.restart();
    for directory in &harness.directories {
        assert_eq!(directory.log_dir.slot(id), None);
    }
}

#[test]
fn a_move_keeps_to_its_rate_and_goes_on_at_once_when_that_is_lifted() {
    const RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";
    let mut harness = Harness::with_directories(2, &[]);
    harness.create_topic("t", 1, &[]);
    let set = |harness: &mut Harness, value| {
        let answer = alter(harness, 4, "", RATE, 0, Some(value));
        harness.settle();
        answer
    };
    assert_eq!(set(&mut harness, "100000").0, 0);
    let value = "x".repeat(50_000);
    for _ in 0..20 {
        harness.produce("t", 0, &batch(&[&value])).expect("room");
    }
    assert_eq!(ask(&mut harness, "data-1", "t"), 0);
    let mut copied = Vec::new();
    let started = harness.now.mono;
    while harness.now.mono.since(started) < Duration::from_secs(3) {
        harness.settle();
        match harness.broker.move_step(harness.now) {
            MoveStep::Worked => {}
            MoveStep::Waiting { until } => {
                let moved = harness.broker.metrics().moved_bytes.load(Ordering::Relaxed);
                copied.push(moved);
                harness.now.mono = until;
            }
            MoveStep::Idle => panic!("there is more to copy"),
        }
    }
    let moved = harness.broker.metrics().moved_bytes.load(Ordering::Relaxed);
    assert!((200_000..500_000).contains(&moved), "{moved} in 3 s");
    assert_eq!(places(&mut harness, "t").len(), 2, "{copied:?}");
    assert_eq!(set(&mut harness, "0").0, 0);
    for _ in 0..10 {
        harness.pass(Duration::from_secs(1));
        harness.broker.move_step(harness.now);
    }
    let stopped = harness.broker.metrics().moved_bytes.load(Ordering::Relaxed);
    assert_eq!(stopped, moved, "0 stops it");
    assert_eq!(set(&mut harness, "1000000000").0, 0);
    let before = harness.now.mono;
    harness.settle_moves();
    assert!(harness.now.mono.since(before) < Duration::from_secs(1));
    assert_eq!(places(&mut harness, "t"), only_in("data-1"));
}

/// The answer to a request, while everything goes on that can.
pub(crate) fn driven(harness: &mut Harness, token: Token) -> Vec<u8> {
    for _ in 0..5_000 {
        harness.settle();
        if let Some(frame) = harness.take(token) {
            return frame;
        }
        harness.broker.move_step(harness.now);
        for directory in &harness.directories {
            directory.log_dir.flush_step(harness.now);
        }
        harness.pass(Duration::from_millis(5));
    }
    panic!("it is never answered");
}

#[test]
fn a_large_batch_that_was_written_where_the_log_was_is_appended_where_it_is() {
    let settings = [
        "ottla.memory.tails.bytes=1048576",
        "message.max.bytes=8000000",
    ];
    let mut harness = Harness::with_directories(2, &settings);
    harness.create_topic("t", 1, &[]);
    assert_eq!(harness.produce("t", 0, &numbered(0)), Ok(0));
    assert_eq!(ask(&mut harness, "data-1", "t"), 0);
    let value = "x".repeat(2_000_000);
    let large = idempotent(PRODUCER, 0, 1, &[&value]);
    let request = produce_request("t", 0, &large, -1);
    let token = sent(harness.send(ApiKey::Produce, 9, &request));
    // No time passes: the request waits for its batch, and its batch for the disk.
    for _ in 0..100 {
        harness.settle();
        harness.broker.move_step(harness.now);
    }
    assert_eq!(places(&mut harness, "t"), only_in("data-1"));
    let mut answer = None;
    for _ in 0..1_000 {
        for directory in &harness.directories {
            directory.log_dir.flush_step(harness.now);
        }
        harness.pass(Duration::from_millis(5));
        answer = produced(&mut harness, token);
        if answer.is_some() {
            break;
        }
    }
    assert_eq!(answer, Some((0, 1)));
    let mut harness = harness.restart();
    let fetched = harness.fetch("t", 0, 1).expect("readable");
    assert_eq!(fetched.len(), 1);
    assert!(fetched[0].1 == value);
    assert_eq!(harness.produce("t", 0, &numbered(2)), Ok(2));
}

#[test]
fn large_and_cold_batches_move_too() {
    let settings = [
        "ottla.memory.tails.bytes=1048576",
        "message.max.bytes=8000000",
    ];
    let mut harness = Harness::with_directories(2, &settings);
    harness.create_topic("t", 1, &[]);
    let value = "x".repeat(2_000_000);
    let values = ["small", &value, "cold", &value, "end"];
    for value in values {
        let bytes = batch(&[value]);
        let request = produce_request("t", 0, &bytes, -1);
        let token = sent(harness.send(ApiKey::Produce, 9, &request));
        let mut answer = None;
        for _ in 0..1_000 {
            for directory in &harness.directories {
                directory.log_dir.flush_step(harness.now);
            }
            harness.pass(Duration::from_millis(5));
            answer = produced(&mut harness, token);
            if answer.is_some() {
                break;
            }
        }
        assert_eq!(answer.map(|(code, _)| code), Some(0));
    }
    harness.flush();
    let mut harness = harness.restart();
    assert_eq!(ask(&mut harness, "data-1", "t"), 0);
    harness.settle_moves();
    let mut harness = harness.restart();
    assert_eq!(places(&mut harness, "t"), only_in("data-1"));
    for (offset, value) in (0i64..).zip(values) {
        let fetched = harness.fetch("t", 0, offset).expect("readable");
        assert_eq!(fetched[0].0, offset);
        assert!(fetched[0].1 == value);
    }
}
