use crate::harness::{Called, Harness, START, batch, batch_with, body, produce_request, read};
use ottla_protocol::ApiKey;
use ottla_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use ottla_protocol::messages::init_producer_id_response::InitProducerIdResponse;
use ottla_protocol::messages::produce_request::ProduceRequest;
use ottla_protocol::messages::produce_response::{PartitionProduceResponse, ProduceResponse};
use ottla_records::{BatchBuilder, Codec, Compressor};
use ottla_types::{ProducerEpoch, ProducerId, Sequence, Timestamp, Uuid};
use std::time::Duration;

fn produce_with<T>(
    harness: &mut Harness,
    version: i16,
    request: &ProduceRequest<'_>,
    with: impl FnOnce(&PartitionProduceResponse<'_>) -> T,
) -> T {
    harness.call(ApiKey::Produce, version, request, |body| {
        let response: ProduceResponse<'_> = read(body, version);
        with(&response.responses[0].partition_responses[0])
    })
}

pub fn idempotent(id: i64, epoch: i16, sequence: i32, values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    for value in values {
        builder.push(
            Timestamp::from_millis(START),
            None,
            Some(value.as_bytes()),
            &[],
        );
    }
    builder.set_producer(
        ProducerId::new(id),
        ProducerEpoch::new(epoch),
        Sequence::new(sequence),
    );
    builder.finish(&mut Compressor::default())
}

#[test]
fn every_version_appends() {
    let mut harness = Harness::new();
    let id = harness.create_topic("t", 1, &[]);
    for version in 3..=13 {
        let bytes = batch(&["x", "y"]);
        let mut request = produce_request("t", 0, &bytes, -1);
        if version == 13 {
            request.topic_data[0].name = "".into();
            request.topic_data[0].topic_id = id;
        }
        let base_offset = produce_with(&mut harness, version, &request, |partition| {
            assert_eq!(partition.error_code, 0);
            assert_eq!(partition.log_append_time_ms, -1);
            if 5 <= version {
                assert_eq!(partition.log_start_offset, 0);
            }
            if 10 <= version {
                assert_eq!(
                    partition.current_leader.leader_id, -1,
                    "no hint without an error"
                );
            }
            partition.base_offset
        });
        assert_eq!(base_offset, i64::from(version - 3) * 2);
    }
    let read = harness.fetch("t", 0, 21).expect("readable");
    assert_eq!(
        read,
        [(20, "x".to_owned()), (21, "y".to_owned())],
        "whole batches"
    );
    assert_eq!(
        harness
            .broker
            .metrics()
            .produced_records
            .load(std::sync::atomic::Ordering::Relaxed),
        22
    );
}

#[test]
fn an_answer_waits_for_the_disk() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let bytes = batch(&["x"]);
    for acks in [-1, 1] {
        let request = produce_request("t", 0, &bytes, acks);
        let Called::Waiting(token) = harness.send(ApiKey::Produce, 9, &request) else {
            panic!("nothing is durable yet");
        };
        harness.collect();
        assert!(harness.take(token).is_none(), "nothing is durable yet");
        harness.settle();
        assert!(harness.take(token).is_some());
    }
}

#[test]
fn a_core_is_woken_once_for_everything_that_became_durable() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let bytes = batch(&["x"]);
    let request = produce_request("t", 0, &bytes, -1);
    let tokens = [(); 3].map(|()| match harness.send(ApiKey::Produce, 9, &request) {
        Called::Waiting(token) => token,
        _ => panic!("nothing is durable yet"),
    });
    let woken = |harness: &Harness| harness.wake.wakes.load(std::sync::atomic::Ordering::SeqCst);
    let before = woken(&harness);
    while harness.commit_once() {}
    assert_eq!(woken(&harness), before + 1);
    harness.collect();
    assert!(
        tokens
            .into_iter()
            .all(|token| harness.take(token).is_some())
    );
}

#[test]
fn a_topic_in_the_page_cache_waits_for_the_write_only() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[("ottla.durability", "os")]);
    let bytes = batch(&["x"]);
    let Called::Waiting(token) =
        harness.send(ApiKey::Produce, 9, &produce_request("t", 0, &bytes, -1))
    else {
        panic!("nothing is written yet");
    };
    let durable = harness.log_dir.durable_lsn();
    while harness.take(token).is_none() {
        assert!(harness.commit_once(), "the journal has something to do");
        harness.collect();
    }
    assert_eq!(
        harness.log_dir.durable_lsn(),
        durable,
        "answered before the sync"
    );
}

#[test]
fn without_acks_there_is_no_answer_and_a_failure_closes() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let bytes = batch(&["x"]);
    let sent = harness.send(ApiKey::Produce, 9, &produce_request("t", 0, &bytes, 0));
    assert!(matches!(sent, Called::NoReply));
    harness.settle();
    assert_eq!(harness.fetch("t", 0, 0).expect("readable").len(), 1);
    let failed = harness.send(
        ApiKey::Produce,
        9,
        &produce_request("missing", 0, &bytes, 0),
    );
    assert_eq!(
        failed.closed().to_string(),
        "a produce request with acks=0 failed"
    );
}

#[test]
fn requests_that_cannot_be_carried_out_are_refused_partition_by_partition() {
    let mut harness = Harness::with(&["message.max.bytes=300"]);
    harness.create_topic("t", 1, &[]);
    let good = batch(&["x"]);
    let mut flipped = good.clone();
    *flipped.last_mut().expect("not empty") ^= 1;
    let mut old = good.clone();
    old[16] = 1;
    let mut two = good.clone();
    two.extend_from_slice(&good);
    let large = batch(&["x".repeat(400).as_str()]);
    let late = batch_with(Codec::None, &["x"], START + 3_600_001);
    for (topic, bytes, acks, code) in [
        ("missing", &good, -1, 3),
        ("t", &flipped, -1, 2),
        ("t", &old, -1, 87),
        ("t", &two, -1, 87),
        ("t", &Vec::new(), -1, 87),
        ("t", &large, -1, 10),
        ("t", &good, 2, 21),
    ] {
        let request = produce_request(topic, 0, bytes, acks);
        let error = produce_with(&mut harness, 9, &request, |partition| {
            assert_eq!(partition.base_offset, -1);
            partition.error_code
        });
        assert_eq!(error, code, "{topic} {acks}");
    }
    let request = produce_request("t", 0, &late, -1);
    produce_with(&mut harness, 9, &request, |partition| {
        assert_eq!(partition.error_code, 32);
        let [error] = &partition.record_errors[..] else {
            panic!("one record")
        };
        assert_eq!(error.batch_index, 0);
        let text = error.batch_index_error_message.as_deref().expect("a text");
        assert!(
            text.starts_with("Timestamp 1790003600001 of message with offset 0 is out of range")
        );
    });
    assert_eq!(harness.fetch("t", 0, 0), Ok(vec![]), "nothing was appended");
}

#[test]
fn zstd_needs_version_7() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let bytes = batch_with(Codec::Zstd, &["x"], START);
    let request = produce_request("t", 0, &bytes, -1);
    assert_eq!(
        produce_with(&mut harness, 6, &request, |p| p.error_code),
        76
    );
    assert_eq!(produce_with(&mut harness, 7, &request, |p| p.error_code), 0);
}

#[test]
fn unknown_ids_and_internal_topics_have_their_own_errors() {
    let mut harness = Harness::new();
    let bytes = batch(&["x"]);
    let mut request = produce_request("", 0, &bytes, -1);
    request.topic_data[0].topic_id = Uuid::from_bytes([9; 16]);
    assert_eq!(
        produce_with(&mut harness, 13, &request, |p| p.error_code),
        100
    );
    harness.create_topic("__consumer_offsets", 1, &[]);
    let request = produce_request("__consumer_offsets", 0, &bytes, -1);
    assert_eq!(
        produce_with(&mut harness, 9, &request, |p| p.error_code),
        17
    );
}

#[test]
fn transactions_fail_for_good() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let bytes = batch(&["x"]);
    let mut request = produce_request("t", 0, &bytes, -1);
    request.transactional_id = Some("tx".into());
    assert_eq!(
        produce_with(&mut harness, 9, &request, |p| p.error_code),
        53
    );
    let request = InitProducerIdRequest {
        transactional_id: Some("tx".into()),
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    };
    harness.call(ApiKey::InitProducerId, 4, &request, |body| {
        let response: InitProducerIdResponse = read(body, 4);
        assert_eq!((response.error_code, response.producer_id), (53, -1));
    });
}

#[test]
fn log_append_time_is_the_brokers() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let bytes = batch_with(Codec::None, &["x"], 5);
    harness.pass(Duration::from_millis(7));
    let request = produce_request("t", 0, &bytes, -1);
    let time = produce_with(&mut harness, 9, &request, |p| p.log_append_time_ms);
    assert_eq!(time, START + 7);
    assert_eq!(harness.fetch("t", 0, 0), Ok(vec![(0, "x".to_owned())]));
}

#[test]
fn producer_ids_are_never_given_twice() {
    let mut harness = Harness::new();
    let mut ids = Vec::new();
    let request = InitProducerIdRequest {
        transactional_id: None,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequest::default()
    };
    for round in 0..3 {
        for version in (0..=5).cycle().take(1100) {
            let id = harness.call(ApiKey::InitProducerId, version, &request, |body| {
                let response: InitProducerIdResponse = read(body, version);
                assert_eq!(
                    (response.error_code, response.producer_epoch),
                    (0, 0),
                    "round {round}"
                );
                response.producer_id
            });
            ids.push(id);
        }
        harness = harness.restart();
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[test]
fn batches_sent_again_are_acknowledged_as_before() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    for sequence in 0..7 {
        let bytes = idempotent(5, 0, sequence, &["x"]);
        assert_eq!(harness.produce("t", 0, &bytes), Ok(i64::from(sequence)));
    }
    for sequence in 2..7 {
        let bytes = idempotent(5, 0, sequence, &["x"]);
        assert_eq!(
            harness.produce("t", 0, &bytes),
            Ok(i64::from(sequence)),
            "one of the last five"
        );
    }
    assert_eq!(
        harness.produce("t", 0, &idempotent(5, 0, 1, &["x"])),
        Err(45),
        "too long ago"
    );
    assert_eq!(
        harness.produce("t", 0, &idempotent(5, 0, 9, &["x"])),
        Err(45),
        "a gap"
    );
    assert_eq!(
        harness.produce("t", 0, &idempotent(5, 1, 3, &["x"])),
        Err(45),
        "an epoch begins with 0"
    );
    assert_eq!(harness.produce("t", 0, &idempotent(5, 1, 0, &["x"])), Ok(7));
    assert_eq!(
        harness.produce("t", 0, &idempotent(5, 0, 7, &["x"])),
        Err(47),
        "an old epoch"
    );
    assert_eq!(
        harness.produce("t", 0, &idempotent(6, 0, 40, &["x"])),
        Ok(8),
        "an unknown producer"
    );

    let mut harness = harness.restart();
    assert_eq!(
        harness.produce("t", 0, &idempotent(5, 1, 0, &["x"])),
        Ok(7),
        "after a restart too"
    );
    assert_eq!(
        harness.produce("t", 0, &idempotent(6, 0, 41, &["x"])),
        Ok(9)
    );
    assert_eq!(harness.fetch("t", 0, 0).expect("readable").len(), 10);
}

#[test]
fn a_duplicate_waits_for_its_original() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let bytes = idempotent(5, 0, 0, &["x"]);
    let request = produce_request("t", 0, &bytes, -1);
    let Called::Waiting(first) = harness.send(ApiKey::Produce, 9, &request) else {
        panic!()
    };
    let Called::Waiting(second) = harness.send(ApiKey::Produce, 9, &request) else {
        panic!()
    };
    let gap = idempotent(5, 0, 7, &["x"]);
    let refused = harness.send(ApiKey::Produce, 9, &produce_request("t", 0, &gap, -1));
    let Called::Waiting(third) = refused else {
        panic!("a refusal reveals what is not durable")
    };
    harness.settle();
    let codes = [first, second, third].map(|token| {
        let frame = harness.take(token).expect("durable now");
        let correlation_id = i32::from_be_bytes(frame[4..8].try_into().expect("four bytes"));
        let response: ProduceResponse<'_> =
            read(body(&frame, ApiKey::Produce, 9, correlation_id), 9);
        let partition = &response.responses[0].partition_responses[0];
        (partition.error_code, partition.base_offset)
    });
    assert_eq!(codes, [(0, 0), (0, 0), (45, -1)]);
}

#[test]
fn a_journal_that_stalls_is_a_timeout() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let bytes = batch(&["x"]);
    let mut request = produce_request("t", 0, &bytes, -1);
    request.timeout_ms = 1100;
    let Called::Waiting(token) = harness.send(ApiKey::Produce, 9, &request) else {
        panic!()
    };
    harness.now.mono = harness.now.mono.plus(Duration::from_millis(1100));
    harness.collect();
    let frame = harness.take(token).expect("its time is up");
    let correlation_id = i32::from_be_bytes(frame[4..8].try_into().expect("four bytes"));
    let response: ProduceResponse<'_> = read(body(&frame, ApiKey::Produce, 9, correlation_id), 9);
    assert_eq!(response.responses[0].partition_responses[0].error_code, 7);
    harness.settle();
    assert_eq!(
        harness.fetch("t", 0, 0).expect("readable").len(),
        1,
        "the data stays"
    );
}

#[test]
fn producers_wait_while_memory_is_full() {
    let mut harness = Harness::with(&["ottla.memory.tails.bytes=1048576"]);
    harness.create_topic("t", 1, &[]);
    let large = batch(&["x".repeat(700_000).as_str()]);
    let request = produce_request("t", 0, &large, 1);
    let Called::Waiting(first) = harness.send(ApiKey::Produce, 9, &request) else {
        panic!()
    };
    let small = batch(&["y"]);
    let request = produce_request("t", 0, &small, -1);
    let Called::Waiting(second) = harness.send(ApiKey::Produce, 9, &request) else {
        panic!()
    };
    let silent = harness.connect(1);
    let mut silent = silent;
    let request = produce_request("t", 0, &small, 0);
    let Called::Waiting(third) = harness.send_on(&mut silent, ApiKey::Produce, 9, &request) else {
        panic!("held although nobody waits for the answer")
    };
    let held = &harness.broker.metrics().held_requests;
    assert_eq!(held.load(std::sync::atomic::Ordering::Relaxed), 2);
    let held_bytes = harness.broker.held_bytes();
    let held_bytes = || held_bytes.load(std::sync::atomic::Ordering::Relaxed);
    assert!(2 * small.len() < held_bytes(), "whole requests");
    harness.pass(Duration::from_millis(5));
    harness.pass(Duration::from_millis(5));
    assert!(harness.take(first).is_some());
    assert!(harness.take(second).is_some(), "the journal has caught up");
    assert!(harness.take_silent(third));
    assert_eq!(held_bytes(), 0);
    let records = harness.fetch("t", 0, 1).expect("readable");
    assert_eq!(records.len(), 2, "nothing was lost and nothing came twice");
    assert!(harness.broker.is_drained());
}

/// The error of the answer with this token, if it has come.
fn taken(harness: &mut Harness, token: ottla_broker::Token) -> Option<i16> {
    let frame = harness.take(token)?;
    let correlation_id = i32::from_be_bytes(frame[4..8].try_into().expect("four bytes"));
    let response: ProduceResponse<'_> = read(body(&frame, ApiKey::Produce, 9, correlation_id), 9);
    Some(response.responses[0].partition_responses[0].error_code)
}

/// Fills memory so that the next producer is held.
fn fill_memory() -> Harness {
    let mut harness = Harness::with(&["ottla.memory.tails.bytes=1048576"]);
    harness.create_topic("t", 1, &[]);
    let large = batch(&["x".repeat(700_000).as_str()]);
    let request = produce_request("t", 0, &large, 1);
    let called = harness.send(ApiKey::Produce, 9, &request);
    assert!(matches!(called, Called::Waiting(_)));
    harness
}

#[test]
fn a_directory_that_failed_holds_nobody_back() {
    let mut harness = fill_memory();
    let small = batch(&["y"]);
    let request = produce_request("t", 0, &small, -1);
    let Called::Waiting(held) = harness.send(ApiKey::Produce, 9, &request) else {
        panic!("there is no room")
    };
    harness
        .is_broken
        .store(true, std::sync::atomic::Ordering::SeqCst);
    harness.settle();
    harness.pass(Duration::from_millis(5));
    assert_eq!(taken(&mut harness, held), Some(56), "a storage error");
    assert_eq!(harness.produce("t", 0, &small), Err(56));
    assert!(harness.broker.is_drained());
}

#[test]
fn who_is_held_hears_in_time_that_there_was_no_room() {
    let mut harness = fill_memory();
    let small = batch(&["y"]);
    let mut request = produce_request("t", 0, &small, -1);
    request.timeout_ms = 1500;
    let Called::Waiting(held) = harness.send(ApiKey::Produce, 9, &request) else {
        panic!("there is no room")
    };
    request.acks = 0;
    let mut silent = harness.connect(1);
    let Called::Waiting(unanswered) = harness.send_on(&mut silent, ApiKey::Produce, 9, &request)
    else {
        panic!("there is no room")
    };
    let stall = |harness: &mut Harness, millis| {
        // The journal does nothing.
        harness.now.mono = harness.now.mono.plus(Duration::from_millis(millis));
        harness.collect();
    };
    stall(&mut harness, 1499);
    assert_eq!(taken(&mut harness, held), None);
    stall(&mut harness, 5);
    assert_eq!(taken(&mut harness, held), Some(7), "a timeout");
    assert!(harness.take_closed(unanswered), "how acks=0 hears of it");
    let held_bytes = harness.broker.held_bytes();
    assert_eq!(held_bytes.load(std::sync::atomic::Ordering::Relaxed), 0);
    harness.settle();
    let records = harness.fetch("t", 0, 0).expect("readable");
    assert_eq!(records.len(), 1, "what was refused is not appended later");
}

#[test]
fn what_was_held_for_a_client_that_has_gone_is_dropped_if_an_answer_was_wanted() {
    let mut harness = fill_memory();
    let small = batch(&["y"]);
    for acks in [-1, 0] {
        let mut connection = harness.connect(0);
        let request = produce_request("t", 0, &small, acks);
        let called = harness.send_on(&mut connection, ApiKey::Produce, 9, &request);
        assert!(matches!(called, Called::Waiting(_)));
        harness.broker.disconnect(connection);
    }
    harness.pass(Duration::from_millis(5));
    harness.pass(Duration::from_millis(5));
    assert!(harness.broker.is_drained());
    let records = harness.fetch("t", 0, 1).expect("readable");
    assert_eq!(records, [(1, "y".to_owned())], "the one with acks=0");
}

#[test]
fn a_batch_too_large_for_the_journal_is_written_first() {
    let mut harness = Harness::with(&[
        "ottla.memory.tails.bytes=1048576",
        "message.max.bytes=2000000",
    ]);
    harness.create_topic("t", 2, &[]);
    let text = "x".repeat(1_100_000);
    let large = batch(&[text.as_str()]);
    let small = batch(&["y"]);
    let request = produce_request("t", 0, &large, -1);
    let Called::Waiting(token) = harness.send(ApiKey::Produce, 9, &request) else {
        panic!("nothing has written it yet")
    };
    // Nobody else waits for it, whatever the partition.
    let mut other = harness.connect(1);
    for partition in [0, 1] {
        let request = produce_request("t", partition, &small, -1);
        let called = harness.send_on(&mut other, ApiKey::Produce, 9, &request);
        let Called::Waiting(small) = called else {
            panic!("for the journal")
        };
        harness.settle();
        assert_eq!(taken(&mut harness, small), Some(0));
    }
    assert_eq!(taken(&mut harness, token), None);
    harness.flush();
    harness.pass(Duration::from_millis(5));
    harness.settle();
    assert_eq!(taken(&mut harness, token), Some(0));
    let mut harness = harness.restart();
    let records = harness.fetch("t", 0, 1).expect("readable");
    assert!(
        records == [(1, text)],
        "it is there, whole, behind the other"
    );
}

#[test]
fn a_large_batch_that_is_refused_is_not_written() {
    let mut harness = Harness::with(&["ottla.memory.tails.bytes=1048576"]);
    harness.create_topic("t", 1, &[("max.message.bytes", "280000")]);
    let large = batch(&["x".repeat(1_100_000).as_str()]);
    let request = produce_request("t", 0, &large, -1);
    let code = produce_with(&mut harness, 9, &request, |answer| answer.error_code);
    assert_eq!(code, 10);
    assert_eq!(harness.log_dir.stats().large_bytes, 0);
}

/// What is small on the wire may be too large for the journal as the topic stores it.
#[test]
fn a_batch_that_the_broker_makes_large_lies_beside_the_journal() {
    let mut harness = Harness::with(&["ottla.memory.tails.bytes=1048576"]);
    let configs = [
        ("compression.type", "uncompressed"),
        ("max.message.bytes", "8000000"),
    ];
    harness.create_topic("t", 1, &configs);
    let value = "x".repeat(2_000_000);
    let sent = batch_with(Codec::Gzip, &[value.as_str()], START);
    assert!(sent.len() < 100_000, "{} bytes", sent.len());
    let request = produce_request("t", 0, &sent, -1);
    let Called::Waiting(held) = harness.send(ApiKey::Produce, 9, &request) else {
        panic!("it is written before it is appended")
    };
    let mut answer = None;
    for _ in 0..1_000 {
        let log_dir = std::sync::Arc::clone(&harness.log_dir);
        log_dir.flush_step(harness.now);
        harness.pass(Duration::from_millis(5));
        answer = taken(&mut harness, held);
        if answer.is_some() {
            break;
        }
    }
    assert_eq!(answer, Some(0));
    let records = harness.fetch("t", 0, 0).expect("readable");
    assert_eq!(records.len(), 1);
    assert!(records[0].1 == value);
    harness.flush(); // It fills memory.
    // What stays small waits for nothing but the journal, and is not made twice to see that.
    let made = |harness: &Harness| {
        let made = &harness.broker.metrics().recompressed_batches;
        made.load(std::sync::atomic::Ordering::Relaxed)
    };
    assert_eq!(made(&harness), 1);
    let small = batch_with(Codec::Gzip, &["y"], START);
    assert_eq!(harness.produce("t", 0, &small), Ok(1));
    assert_eq!(made(&harness), 2);
}

/// A small request must not fill memory with what its batches become.
#[test]
fn of_many_batches_that_become_large_one_after_the_other_is_made() {
    use ottla_protocol::messages::produce_request::PartitionProduceData;
    const PARTITIONS: i32 = 5;
    let mut harness = Harness::with(&["ottla.memory.tails.bytes=1048576"]);
    let configs = [
        ("compression.type", "uncompressed"),
        ("max.message.bytes", "8000000"),
    ];
    harness.create_topic("t", PARTITIONS, &configs);
    let value = "x".repeat(2_000_000);
    let sent = batch_with(Codec::Gzip, &[value.as_str()], START);
    let mut request = produce_request("t", 0, &sent, -1);
    let records = Some(ottla_protocol::Records::Slice(&sent));
    request.topic_data[0].partition_data = (0..PARTITIONS)
        .map(|index| PartitionProduceData { index, records })
        .collect();
    let Called::Waiting(held) = harness.send(ApiKey::Produce, 9, &request) else {
        panic!("the first one is written before it is appended")
    };
    let mut frame = None;
    for _ in 0..1_000 {
        let log_dir = std::sync::Arc::clone(&harness.log_dir);
        log_dir.flush_step(harness.now);
        harness.pass(Duration::from_millis(5));
        frame = harness.take(held);
        if frame.is_some() {
            break;
        }
    }
    let frame = frame.expect("an answer");
    let correlation_id = i32::from_be_bytes(frame[4..8].try_into().expect("four bytes"));
    let answer: ProduceResponse<'_> = read(body(&frame, ApiKey::Produce, 9, correlation_id), 9);
    let partitions = answer.responses[0].partition_responses.iter();
    let codes: Vec<i16> = partitions.map(|partition| partition.error_code).collect();
    assert_eq!(codes, [0, 6, 6, 6, 6]);
}
