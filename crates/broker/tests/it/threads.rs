//! Threads that park, append and commit at once: nobody sleeps through what they wait for. No time
//! passes here, so no deadline can hide a wake that was lost.

use crate::harness::{
    Called, Harness, batch, body, bytes, produce_request, read, records, records_of,
};
use ottla_broker::{Broker, Connection, CoreId, Outcome, Response};
use ottla_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use ottla_protocol::messages::fetch_response::FetchResponse;
use ottla_protocol::messages::produce_response::ProduceResponse;
use ottla_protocol::{ApiKey, Message, RequestHeader, Writer};
use ottla_storage::wal::CommitStep;
use ottla_types::{Now, Uuid};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const PARTITIONS_COUNT: i32 = 3;
const ROUNDS_COUNT: i32 = 6000;

struct Client<'a> {
    broker: &'a Broker,
    wake: &'a crate::harness::CountingWake,
    connection: Connection,
    core: usize,
    now: Now,
}

impl Client<'_> {
    fn call<'m, Q: Message<'m>>(&mut self, key: ApiKey, version: i16, request: &Q) -> Vec<u8> {
        let header = RequestHeader {
            api_key: key as i16,
            api_version: version,
            correlation_id: 1,
            client_id: None,
        };
        let mut writer = Writer::new();
        header.encode(&mut writer).expect("well formed");
        request.encode(&mut writer, version).expect("well formed");
        let frame = writer.into_buf();
        match self.broker.handle(&mut self.connection, &frame, self.now) {
            Outcome::Reply(response) => bytes(&response),
            Outcome::Parked { token, .. } => loop {
                // Asleep first: the wake alone must be enough.
                self.wake.wait(self.core);
                let mut out = Vec::new();
                let core = CoreId::new(self.core as u16);
                self.broker.completions(core, self.now, &mut out);
                if let Some((answered, outcome)) = out.pop() {
                    assert!(out.is_empty() && answered == token);
                    break bytes(&reply(outcome));
                }
            },
            Outcome::NoReply | Outcome::Close(_) => panic!("it is answered"),
        }
    }
}

fn reply(outcome: Outcome) -> Response {
    match outcome {
        Outcome::Reply(response) => response,
        _ => panic!("it is answered"),
    }
}

fn produce_all(mut client: Client<'_>) {
    for round in 0..ROUNDS_COUNT {
        let value = round.to_string();
        let bytes = batch(&[&value]);
        let request = produce_request("t", round % PARTITIONS_COUNT, &bytes, -1);
        let frame = client.call(ApiKey::Produce, 9, &request);
        let response: ProduceResponse<'_> = read(body(&frame, ApiKey::Produce, 9, 1), 9);
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    }
}

fn consume_all(mut client: Client<'_>, topic_id: Uuid) -> Vec<String> {
    let mut positions = [0i64; PARTITIONS_COUNT as usize];
    let mut changed: Vec<usize> = (0..positions.len()).collect();
    let (mut session_id, mut session_epoch) = (0, 0);
    let mut seen = Vec::new();
    while seen.len() < ROUNDS_COUNT as usize {
        let partitions = changed.iter().map(|partition| FetchPartition {
            partition: *partition as i32,
            fetch_offset: positions[*partition],
            partition_max_bytes: 1 << 20,
            ..FetchPartition::default()
        });
        let partitions: Vec<FetchPartition> = partitions.collect();
        let topics = FetchTopic {
            topic_id,
            partitions,
            ..FetchTopic::default()
        };
        let request = FetchRequest {
            max_wait_ms: i32::MAX,
            min_bytes: 1,
            max_bytes: 1 << 20,
            session_id,
            session_epoch,
            topics: vec![topics],
            ..FetchRequest::default()
        };
        let frame = client.call(ApiKey::Fetch, 13, &request);
        let response: FetchResponse<'_> = read(body(&frame, ApiKey::Fetch, 13, 1), 13);
        assert_eq!(response.error_code, 0);
        session_id = response.session_id;
        session_epoch += 1;
        changed.clear();
        for data in response
            .responses
            .iter()
            .flat_map(|topic| &topic.partitions)
        {
            let found = records(records_of(data));
            if let Some((last, _)) = found.last() {
                let partition = data.partition_index as usize;
                assert_eq!(found[0].0, positions[partition], "in order, none left out");
                positions[partition] = last + 1;
                changed.push(partition);
            }
            seen.extend(found.into_iter().map(|(_, value)| value));
        }
    }
    seen
}

#[test]
fn nobody_sleeps_through_what_they_wait_for() {
    let mut harness = Harness::new();
    let topic_id = harness.create_topic("t", PARTITIONS_COUNT, &[]);
    let now = harness.now;
    let (producer, consumer) = (harness.connect(1), harness.connect(0));
    let (broker, wake) = (Arc::clone(&harness.broker), Arc::clone(&harness.wake));
    let log_dir = Arc::clone(&harness.log_dir);
    let is_done = AtomicBool::new(false);
    let mut seen = std::thread::scope(|scope| {
        let client = |connection, core| Client {
            broker: &broker,
            wake: &wake,
            connection,
            core,
            now,
        };
        let producing = client(producer, 1);
        let consuming = client(consumer, 0);
        scope.spawn(|| produce_all(producing));
        scope.spawn(|| {
            while !is_done.load(Ordering::SeqCst) {
                match log_dir.commit_step(now) {
                    // As the journal's thread does it: nobody is woken when nothing was done.
                    CommitStep::Wrote { .. } | CommitStep::Synced { .. } => broker.on_commit(now),
                    _ => std::thread::yield_now(),
                }
            }
        });
        let consumed = scope.spawn(|| consume_all(consuming, topic_id));
        let seen = consumed.join();
        is_done.store(true, Ordering::SeqCst);
        seen.expect("the consumer saw everything")
    });
    seen.sort_unstable();
    let mut expected: Vec<String> = (0..ROUNDS_COUNT).map(|round| round.to_string()).collect();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

/// The journal's thread is so fast that it is done before the append returns: then nobody will call
/// again, and who registers must look once more.
#[test]
fn a_commit_inside_the_append_is_not_missed() {
    let mut harness = Harness::new();
    harness.create_topic("t", 1, &[]);
    let fetch = crate::harness::fetch_request("t", 0, 0, 500);
    let Called::Waiting(token) = harness.send(ApiKey::Fetch, 11, &fetch) else {
        panic!("there is nothing yet");
    };
    harness.settle();
    let (log_dir, broker, now) = (
        Arc::clone(&harness.log_dir),
        Arc::clone(&harness.broker),
        harness.now,
    );
    harness.log_dir.wal().set_waker(Box::new(move || {
        while let CommitStep::Wrote { .. } | CommitStep::Synced { .. } | CommitStep::Prepared =
            log_dir.commit_step(now)
        {
            broker.on_commit(now);
        }
    }));
    let _ = (harness.wake.take(0), harness.wake.take(1));
    let mut producer = harness.connect(1);
    let bytes = batch(&["x"]);
    let answer = harness.send_on(
        &mut producer,
        ApiKey::Produce,
        9,
        &produce_request("t", 0, &bytes, -1),
    );
    assert!(
        matches!(answer, Called::Answered(_)),
        "it is durable already"
    );
    assert!(harness.wake.take(1), "the partition waits to be told");
    let mut out = Vec::new();
    harness.broker.completions(CoreId::new(1), now, &mut out);
    assert!(out.is_empty());
    assert!(harness.wake.take(0), "the consumer has something to read");
    harness.collect();
    assert!(harness.take(token).is_some());
}

#[test]
fn a_topic_that_is_being_deleted_is_never_somebody_elses() {
    let mut harness = Harness::new();
    let broker = Arc::clone(&harness.broker);
    let (mut connection, now) = (harness.connect(1), harness.now);
    let records = batch(&["x"]);
    let request = harness.frame(ApiKey::Produce, 9, &produce_request("t", 0, &records, -1));
    let is_done = AtomicBool::new(false);
    let codes = std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            let mut codes = std::collections::BTreeSet::new();
            while !is_done.load(Ordering::Relaxed) {
                let outcome = broker.handle(&mut connection, &request, now);
                if let Outcome::Reply(response) = outcome {
                    let frame = bytes(&response);
                    let response: ProduceResponse<'_> = read(&frame[9..], 9);
                    codes.insert(response.responses[0].partition_responses[0].error_code);
                }
            }
            codes
        });
        for _ in 0..400 {
            harness.create_topic("t", 1, &[]);
            crate::admin::delete_topic(&mut harness, "t");
        }
        is_done.store(true, Ordering::Relaxed);
        producer.join().expect("it ends")
    });
    let is_allowed = |code: &i16| matches!(code, 0 | 3);
    assert!(
        codes.contains(&3) && codes.iter().all(is_allowed),
        "{codes:?}"
    );
}
