use crate::harness::{
    Called, Harness, START, batch, batch_with, body, fetch_request, produce_request, read, records,
    records_of,
};
use ottla_broker::BlockingWork;
use ottla_protocol::ApiKey;
use ottla_protocol::messages::fetch_request::{FetchPartition, FetchRequest};
use ottla_protocol::messages::fetch_response::{FetchResponse, PartitionData};
use ottla_records::Codec;
use ottla_storage::log_dir::ReadLimit;
use ottla_types::{Offset, Uuid};
use std::time::Duration;

fn first<T>(
    harness: &mut Harness,
    version: i16,
    request: &FetchRequest<'_>,
    with: impl FnOnce(&PartitionData<'_>) -> T,
) -> T {
    harness.call(ApiKey::Fetch, version, request, |body| {
        let response: FetchResponse<'_> = read(body, version);
        assert_eq!(response.error_code, 0);
        with(&response.responses[0].partitions[0])
    })
}

/// The records of the answer with this token, if it has come.
fn taken(
    harness: &mut Harness,
    token: ottla_broker::Token,
    version: i16,
) -> Option<Vec<(i64, String)>> {
    let frame = harness.take(token)?;
    let correlation_id = i32::from_be_bytes(frame[4..8].try_into().expect("four bytes"));
    let response: FetchResponse<'_> = read(
        body(&frame, ApiKey::Fetch, version, correlation_id),
        version,
    );
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions);
    Some(
        partitions
            .flat_map(|data| records(records_of(data)))
            .collect(),
    )
}

#[test]
fn every_version_reads() {
    let mut harness = Harness::new();
    let id = harness.create_topic("t", 1, &[]);
    for codec in [
        Codec::None,
        Codec::Gzip,
        Codec::Snappy,
        Codec::Lz4,
        Codec::Zstd,
    ] {
        harness
            .produce("t", 0, &batch_with(codec, &["a", "b"], START))
            .expect("appended");
    }
    for version in 4..=18 {
        let mut request = fetch_request("t", 0, 0, 0);
        if 13 <= version {
            request.topics[0].topic = "".into();
            request.topics[0].topic_id = id;
        }
        request.isolation_level = (version % 2) as i8;
        first(&mut harness, version, &request, |data| {
            assert_eq!(data.error_code, 0);
            assert_eq!((data.high_watermark, data.last_stable_offset), (10, 10));
            assert_eq!(records(records_of(data)).len(), 10);
            let aborted = data.aborted_transactions.as_ref().map(Vec::len);
            let expected = (version % 2 == 1).then_some(0);
            assert_eq!(
                aborted, expected,
                "a list for read_committed, null for the others"
            );
            if 12 <= version {
                assert_eq!(data.current_leader.leader_id, -1);
                assert_eq!(data.diverging_epoch.epoch, -1);
            }
        });
    }
}

#[test]
fn nobody_reads_what_a_crash_can_take_back() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let bytes = batch(&["x"]);
    harness.send(ApiKey::Produce, 9, &produce_request("t", 0, &bytes, 0));
    let seen = first(&mut harness, 4, &fetch_request("t", 0, 0, 0), |data| {
        (data.error_code, data.high_watermark, records_of(data).len())
    });
    assert_eq!(seen, (0, 0, 0), "appended, but not durable");
    harness.settle();
    assert_eq!(harness.fetch("t", 0, 0), Ok(vec![(0, "x".to_owned())]));
}

#[test]
fn offsets_are_checked_and_an_offset_inside_a_batch_gives_the_batch() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    harness
        .produce("t", 0, &batch(&["a", "b", "c"]))
        .expect("appended");
    let texts =
        |from: i64, harness: &mut Harness| harness.fetch("t", 0, from).map(|records| records.len());
    assert_eq!(texts(0, &mut harness), Ok(3));
    assert_eq!(texts(1, &mut harness), Ok(3), "the whole batch");
    assert_eq!(texts(3, &mut harness), Ok(0), "the end");
    assert_eq!(texts(4, &mut harness), Err(1));
    assert_eq!(texts(-1, &mut harness), Err(1));
    assert_eq!(harness.fetch("missing", 0, 0), Err(3));
    assert_eq!(harness.fetch("t", 1, 0), Err(3));
}

#[test]
fn epochs_of_clients_are_checked() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let mut harness = harness.restart(); // Raises the epoch to 1.
    harness.produce("t", 0, &batch(&["x"])).expect("appended");
    let with_epoch = |epoch| {
        let mut request = fetch_request("t", 0, 0, 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        request
    };
    for (epoch, code) in [(-1, 0), (0, 74), (1, 0), (2, 75)] {
        assert_eq!(
            first(&mut harness, 11, &with_epoch(epoch), |data| data.error_code),
            code
        );
    }
    let id = harness.broker.image().topic_id("t").expect("there").uuid();
    let mut request = with_epoch(0);
    request.topics[0].topic = "".into();
    request.topics[0].topic_id = id;
    harness.call(ApiKey::Fetch, 16, &request, |body| {
        let response: FetchResponse<'_> = read(body, 16);
        let leader = &response.responses[0].partitions[0].current_leader;
        assert_eq!((leader.leader_id, leader.leader_epoch), (1, 1));
        assert_eq!(
            (
                response.node_endpoints.len(),
                response.node_endpoints[0].port
            ),
            (1, 9092)
        );
    });
}

#[test]
fn a_log_that_diverged_is_told_where() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    harness
        .produce("t", 0, &batch(&["a", "b"]))
        .expect("appended");
    let mut harness = harness.restart();
    harness.produce("t", 0, &batch(&["c"])).expect("appended");
    let at = |offset, epoch| {
        let mut request = fetch_request("t", 0, offset, 0);
        request.topics[0].partitions[0].last_fetched_epoch = epoch;
        request
    };
    let seen = |harness: &mut Harness, request: &FetchRequest<'_>| {
        first(harness, 12, request, |data| {
            (
                data.error_code,
                data.diverging_epoch.epoch,
                data.diverging_epoch.end_offset,
            )
        })
    };
    assert_eq!(
        seen(&mut harness, &at(2, 0)),
        (0, -1, -1),
        "epoch 0 ended there"
    );
    assert_eq!(
        seen(&mut harness, &at(3, 0)),
        (0, 0, 2),
        "epoch 0 ended before"
    );
    assert_eq!(seen(&mut harness, &at(3, 1)), (0, -1, -1));
}

#[test]
fn limits_are_kept_except_for_the_first_batch() {
    let mut harness = Harness::new();
    harness.create_topic("t", 2, &[]);
    for partition in 0..2 {
        for _ in 0..3 {
            harness
                .produce("t", partition, &batch(&["x".repeat(1000).as_str()]))
                .expect("appended");
        }
    }
    let sizes = |harness: &mut Harness, max_bytes: i32, partition_max_bytes: i32| -> Vec<usize> {
        let mut request = fetch_request("t", 0, 0, 0);
        request.max_bytes = max_bytes;
        request.topics[0].partitions = (0..2)
            .map(|partition| FetchPartition {
                partition,
                partition_max_bytes,
                ..FetchPartition::default()
            })
            .collect();
        harness.call(ApiKey::Fetch, 4, &request, |body| {
            let response: FetchResponse<'_> = read(body, 4);
            let partitions = &response.responses[0].partitions;
            partitions
                .iter()
                .map(|data| records(records_of(data)).len())
                .collect()
        })
    };
    assert_eq!(sizes(&mut harness, 1 << 20, 1 << 20), [3, 3]);
    assert_eq!(
        sizes(&mut harness, 1, 1 << 20),
        [1, 0],
        "one batch always goes (KIP-74)"
    );
    assert_eq!(sizes(&mut harness, 1 << 20, 1), [1, 0]);
    assert_eq!(sizes(&mut harness, 4500, 2500), [2, 2]);
    assert_eq!(sizes(&mut harness, 3600, 1 << 20), [3, 0]);
}

#[test]
fn a_long_poll_ends_with_data() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let Called::Waiting(token) = harness.send(ApiKey::Fetch, 11, &fetch_request("t", 0, 0, 500))
    else {
        panic!("there is nothing yet");
    };
    harness.pass(Duration::from_millis(499));
    assert!(taken(&mut harness, token, 11).is_none());
    let mut other = harness.connect(1);
    let bytes = batch(&["x"]);
    harness.send_on(
        &mut other,
        ApiKey::Produce,
        9,
        &produce_request("t", 0, &bytes, 1),
    );
    harness.collect();
    assert!(taken(&mut harness, token, 11).is_none(), "not durable yet");
    harness.settle();
    assert_eq!(
        taken(&mut harness, token, 11),
        Some(vec![(0, "x".to_owned())])
    );
    assert!(harness.broker.is_drained());
}

#[test]
fn a_long_poll_ends_with_its_time() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let Called::Waiting(token) = harness.send(ApiKey::Fetch, 11, &fetch_request("t", 0, 0, 500))
    else {
        panic!("there is nothing yet");
    };
    let deadline = harness
        .broker
        .next_deadline(ottla_broker::CoreId::new(0))
        .expect("a deadline");
    assert_eq!(deadline, harness.now.mono.plus(Duration::from_millis(500)));
    harness.pass(Duration::from_millis(500));
    assert_eq!(taken(&mut harness, token, 11), Some(vec![]));
    assert_eq!(
        harness.broker.next_deadline(ottla_broker::CoreId::new(0)),
        None
    );
}

#[test]
fn a_long_poll_waits_for_enough() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let mut request = fetch_request("t", 0, 0, 500);
    request.min_bytes = 200;
    let Called::Waiting(token) = harness.send(ApiKey::Fetch, 11, &request) else {
        panic!("there is nothing yet");
    };
    harness.produce("t", 0, &batch(&["x"])).expect("appended");
    assert!(
        taken(&mut harness, token, 11).is_none(),
        "one batch has less than 200 bytes"
    );
    harness
        .produce("t", 0, &batch(&["y".repeat(200).as_str()]))
        .expect("appended");
    assert_eq!(
        taken(&mut harness, token, 11).map(|records| records.len()),
        Some(2)
    );
}

/// While slow readers hold too much memory an answer has one batch, and nobody waits for more than that.
#[test]
fn a_long_poll_does_not_wait_for_what_it_would_not_be_given() {
    let mut harness = Harness::with(&["ottla.memory.tails.bytes=1048576"]);
    harness.create_topic("t", 1, &[]);
    for _ in 0..2 {
        let large = batch(&["x".repeat(400_000).as_str()]);
        harness.produce("t", 0, &large).expect("appended");
    }
    let (slot, ..) = harness.log_dir.partitions()[0];
    let all = ReadLimit {
        end: Offset::new(2),
        bytes_max: 1 << 20,
        at_least_one_batch: true,
    };
    let read = || {
        harness
            .log_dir
            .read(slot, Offset::ZERO, all)
            .expect("readable")
    };
    let slow_readers = [read(), read()];
    let mut request = fetch_request("t", 0, 0, 500);
    request.min_bytes = 500_000;
    let answered = harness.send(ApiKey::Fetch, 11, &request);
    assert!(matches!(answered, Called::Answered(_)));
    drop((answered, slow_readers));
    // Without them it is waited for, and given.
    request.min_bytes = 900_000;
    let waiting = harness.send(ApiKey::Fetch, 11, &request);
    assert!(matches!(waiting, Called::Waiting(_)));
}

#[test]
fn an_error_is_not_waited_with() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let mut request = fetch_request("t", 0, 0, 500);
    request.topics[0].partitions.push(FetchPartition {
        partition: 7,
        ..FetchPartition::default()
    });
    let answered = harness.send(ApiKey::Fetch, 11, &request);
    assert!(matches!(answered, Called::Answered(_)));
    let nothing = FetchRequest {
        topics: Vec::new(),
        ..fetch_request("t", 0, 0, 500)
    };
    assert!(matches!(
        harness.send(ApiKey::Fetch, 11, &nothing),
        Called::Answered(_)
    ));
}

#[test]
fn a_deleted_topic_ends_the_poll() {
    let mut harness = Harness::new();
    let id = harness.create_topic("t", 1, &[]);
    let mut request = fetch_request("", 0, 0, 500);
    request.topics[0].topic_id = id;
    let Called::Waiting(token) = harness.send(ApiKey::Fetch, 13, &request) else {
        panic!("there is nothing yet");
    };
    crate::admin::delete_topic(&mut harness, "t");
    let frame = harness.take(token).expect("its partition is gone");
    let correlation_id = i32::from_be_bytes(frame[4..8].try_into().expect("four bytes"));
    let response: FetchResponse<'_> = read(body(&frame, ApiKey::Fetch, 13, correlation_id), 13);
    // The id was known when the poll began, so it is the partition that is missing.
    assert_eq!(response.responses[0].partitions[0].error_code, 3);
    let mut request = fetch_request("", 0, 0, 0);
    request.topics[0].topic_id = Uuid::from_bytes([3; 16]);
    assert_eq!(
        first(&mut harness, 13, &request, |data| data.error_code),
        100
    );
}

#[test]
fn a_shutdown_answers_polls_at_once() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let Called::Waiting(token) = harness.send(ApiKey::Fetch, 11, &fetch_request("t", 0, 0, 500))
    else {
        panic!("there is nothing yet");
    };
    harness.broker.begin_shutdown(harness.now);
    harness.collect();
    assert_eq!(taken(&mut harness, token, 11), Some(vec![]));
    assert!(harness.broker.is_drained());
    let answered = harness.send(ApiKey::Fetch, 11, &fetch_request("t", 0, 0, 500));
    assert!(matches!(answered, Called::Answered(_)));
}

/// Two partitions, of which the first has been read since the start and the second not.
fn warm_and_cold() -> Harness {
    let mut harness = Harness::new();
    harness.create_topic("t", 2, &[]);
    for partition in 0..2 {
        harness
            .produce("t", partition, &batch(&["x"]))
            .expect("appended");
    }
    harness.flush();
    let mut harness = harness.restart();
    assert_eq!(harness.fetch("t", 0, 0).expect("readable").len(), 1);
    *harness.wake.deferred.lock() = Some(Vec::new());
    harness
}

#[test]
fn a_fetch_that_may_not_wait_waits_for_a_cold_read_it_has_nothing_to_say_without() {
    let mut harness = warm_and_cold();
    let request = fetch_request("t", 1, 0, 0);
    let Called::Waiting(token) = harness.send(ApiKey::Fetch, 11, &request) else {
        panic!("an empty answer would come for ever");
    };
    let Called::Waiting(other) = harness.send(ApiKey::Fetch, 11, &request) else {
        panic!("it is not read yet");
    };
    harness.collect();
    assert_eq!(taken(&mut harness, token, 11), None);
    let reads = harness.deferred_reads();
    assert_eq!(reads.len(), 1, "both wait for the same read");
    reads.into_iter().for_each(BlockingWork::run);
    harness.collect();
    for token in [token, other] {
        let found = taken(&mut harness, token, 11);
        assert_eq!(found, Some(vec![(0, "x".to_owned())]));
    }
}

#[test]
fn a_cold_partition_is_read_while_a_warm_one_answers() {
    let mut harness = warm_and_cold();
    let mut request = fetch_request("t", 0, 0, 500);
    let mut cold = request.topics[0].partitions[0].clone();
    cold.partition = 1;
    request.topics[0].partitions.push(cold);
    let count = |harness: &mut Harness| {
        harness.call(ApiKey::Fetch, 11, &request, |body| {
            let response: FetchResponse<'_> = read(body, 11);
            let partitions = response.responses[0].partitions.iter();
            let counts = partitions.map(|data| records(records_of(data)).len());
            counts.collect::<Vec<usize>>()
        })
    };
    assert_eq!(count(&mut harness), [1, 0]);
    assert_eq!(count(&mut harness), [1, 0]);
    let reads = harness.deferred_reads();
    assert_eq!(
        reads.len(),
        1,
        "a read that is under way is not begun again"
    );
    reads.into_iter().for_each(BlockingWork::run);
    assert_eq!(count(&mut harness), [1, 1]);
    assert!(harness.deferred_reads().is_empty());
}

#[test]
fn a_cold_read_that_hangs_is_not_waited_for_for_ever() {
    let mut harness = warm_and_cold();
    let Called::Waiting(token) = harness.send(ApiKey::Fetch, 11, &fetch_request("t", 1, 0, 0))
    else {
        panic!("an empty answer would come for ever");
    };
    harness.pass(Duration::from_secs(5));
    assert_eq!(taken(&mut harness, token, 11), Some(vec![]));
    assert!(harness.broker.is_drained());
}
