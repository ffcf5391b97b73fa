use crate::harness::{Called, Harness, batch, body, produce_request, read, records, records_of};
use ottla_broker::Token;
use ottla_protocol::ApiKey;
use ottla_protocol::messages::fetch_request::{
    FetchPartition, FetchRequest, FetchTopic, ForgottenTopic,
};
use ottla_protocol::messages::fetch_response::FetchResponse;
use ottla_types::Uuid;
use std::time::Duration;

const VERSION: i16 = 13;

/// What a fetch of a session was answered.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    error: i16,
    session_id: i32,
    /// `(partition, error, records)`.
    partitions: Vec<(i32, i16, usize)>,
}

/// A consumer that fetches by a session, as the Java client does.
struct Consumer {
    topic: Uuid,
    session_id: i32,
    epoch: i32,
}

impl Consumer {
    fn new(topic: Uuid) -> Consumer {
        Consumer {
            topic,
            session_id: 0,
            epoch: 0,
        }
    }

    fn request(
        &self,
        positions: &[(i32, i64)],
        forgotten: &[i32],
        max_wait_ms: i32,
    ) -> FetchRequest<'static> {
        let partitions = positions
            .iter()
            .map(|(partition, fetch_offset)| FetchPartition {
                partition: *partition,
                fetch_offset: *fetch_offset,
                partition_max_bytes: 1 << 20,
                ..FetchPartition::default()
            });
        let partitions: Vec<FetchPartition> = partitions.collect();
        let topics = match partitions.is_empty() {
            true => Vec::new(),
            false => vec![FetchTopic {
                topic_id: self.topic,
                partitions,
                ..FetchTopic::default()
            }],
        };
        let forgotten_topics_data = match forgotten.is_empty() {
            true => Vec::new(),
            false => vec![ForgottenTopic {
                topic_id: self.topic,
                partitions: forgotten.to_vec(),
                ..ForgottenTopic::default()
            }],
        };
        FetchRequest {
            max_wait_ms,
            min_bytes: 1,
            max_bytes: 1 << 20,
            session_id: self.session_id,
            session_epoch: self.epoch,
            topics,
            forgotten_topics_data,
            ..FetchRequest::default()
        }
    }

    fn fetch(
        &mut self,
        harness: &mut Harness,
        positions: &[(i32, i64)],
        forgotten: &[i32],
    ) -> Answer {
        let request = self.request(positions, forgotten, 0);
        let answer = harness.call(ApiKey::Fetch, VERSION, &request, answer);
        self.took(&answer);
        answer
    }

    fn park(&mut self, harness: &mut Harness, positions: &[(i32, i64)]) -> Token {
        let request = self.request(positions, &[], 500);
        match harness.send(ApiKey::Fetch, VERSION, &request) {
            Called::Waiting(token) => token,
            _ => panic!("there is nothing to say"),
        }
    }

    fn taken(&mut self, harness: &mut Harness, token: Token) -> Option<Answer> {
        let frame = harness.take(token)?;
        let correlation_id = i32::from_be_bytes(frame[4..8].try_into().expect("four bytes"));
        let answer = answer(body(&frame, ApiKey::Fetch, VERSION, correlation_id));
        self.took(&answer);
        Some(answer)
    }

    fn took(&mut self, answer: &Answer) {
        if answer.error == 0 && answer.session_id != 0 {
            self.session_id = answer.session_id;
            self.epoch += 1;
        }
    }
}

fn answer(body: &[u8]) -> Answer {
    let response: FetchResponse<'_> = read(body, VERSION);
    let partitions = response
        .responses
        .iter()
        .flat_map(|topic| &topic.partitions);
    Answer {
        error: response.error_code,
        session_id: response.session_id,
        partitions: partitions
            .map(|data| {
                (
                    data.partition_index,
                    data.error_code,
                    records(records_of(data)).len(),
                )
            })
            .collect(),
    }
}

fn topic(harness: &mut Harness, partitions: i32) -> (Uuid, Consumer) {
    let id = harness.create_topic("t", partitions, &[]);
    (id, Consumer::new(id))
}

#[test]
fn a_session_answers_with_what_changed() {
    let mut harness = Harness::new();
    let (_, mut consumer) = topic(&mut harness, 3);
    let first = consumer.fetch(&mut harness, &[(0, 0), (1, 0), (2, 0)], &[]);
    assert_eq!(
        first.partitions,
        [(0, 0, 0), (1, 0, 0), (2, 0, 0)],
        "a full answer names all"
    );
    assert_ne!(first.session_id, 0);
    assert_eq!(harness.broker.fetch_sessions_count(), 1);
    let quiet = consumer.fetch(&mut harness, &[], &[]);
    assert_eq!((quiet.error, quiet.partitions), (0, vec![]));

    harness
        .produce("t", 1, &batch(&["a", "b"]))
        .expect("appended");
    assert_eq!(
        consumer.fetch(&mut harness, &[], &[]).partitions,
        [(1, 0, 2)]
    );
    assert_eq!(
        consumer.fetch(&mut harness, &[], &[]).partitions,
        [(1, 0, 2)],
        "it did not move on"
    );
    assert_eq!(consumer.fetch(&mut harness, &[(1, 2)], &[]).partitions, []);
    harness.produce("t", 2, &batch(&["c"])).expect("appended");
    assert_eq!(
        consumer.fetch(&mut harness, &[], &[2]).partitions,
        [],
        "forgotten"
    );
    harness.produce("t", 2, &batch(&["c"])).expect("appended");
    assert_eq!(consumer.fetch(&mut harness, &[], &[]).partitions, []);
    assert_eq!(
        consumer.fetch(&mut harness, &[(2, 1)], &[]).partitions,
        [(2, 0, 1)],
        "added again"
    );
    assert_eq!(
        consumer.fetch(&mut harness, &[(2, 0)], &[2]).partitions,
        [],
        "forgotten, whatever else is said of it"
    );
}

#[test]
fn a_parked_session_is_woken_by_any_of_its_partitions() {
    let mut harness = Harness::new();
    let (_, mut consumer) = topic(&mut harness, 50);
    let all: Vec<(i32, i64)> = (0..50).map(|partition| (partition, 0)).collect();
    consumer.fetch(&mut harness, &all, &[]);
    let mut producer = harness.connect(1);
    let bytes = batch(&["x"]);
    for partition in [49, 0, 17] {
        let token = consumer.park(&mut harness, &[]);
        harness.settle();
        assert!(consumer.taken(&mut harness, token).is_none());
        let request = produce_request("t", partition, &bytes, 1);
        harness.send_on(&mut producer, ApiKey::Produce, 9, &request);
        harness.settle();
        let answer = consumer.taken(&mut harness, token).expect("woken");
        assert_eq!(answer.partitions, [(partition, 0, 1)]);
        let moved = consumer.fetch(&mut harness, &[(partition, 1)], &[]);
        assert_eq!(moved.partitions, []);
    }
    let token = consumer.park(&mut harness, &[]);
    harness.pass(Duration::from_millis(500));
    let answer = consumer.taken(&mut harness, token).expect("its time is up");
    assert_eq!((answer.error, answer.partitions), (0, vec![]));
}

#[test]
fn what_moves_between_two_fetches_is_not_missed() {
    let mut harness = Harness::new();
    let (_, mut consumer) = topic(&mut harness, 2);
    consumer.fetch(&mut harness, &[(0, 0)], &[]);
    // A partition that is added later is watched as well.
    assert_eq!(
        consumer.fetch(&mut harness, &[(1, 0)], &[]).partitions,
        [(1, 0, 0)]
    );
    harness.produce("t", 1, &batch(&["x"])).expect("appended");
    assert_eq!(
        consumer.fetch(&mut harness, &[], &[]).partitions,
        [(1, 0, 1)]
    );
}

#[test]
fn epochs_and_ids_of_sessions_are_checked() {
    let mut harness = Harness::new();
    let (_, mut consumer) = topic(&mut harness, 1);
    consumer.fetch(&mut harness, &[(0, 0)], &[]);
    let (session_id, epoch) = (consumer.session_id, consumer.epoch);
    consumer.epoch = epoch + 1;
    assert_eq!(consumer.fetch(&mut harness, &[], &[]).error, 71);
    consumer.session_id = session_id ^ 1;
    consumer.epoch = epoch;
    assert_eq!(consumer.fetch(&mut harness, &[], &[]).error, 70);
    consumer.session_id = session_id;
    let mut by_name = consumer.request(&[], &[], 0);
    by_name.replica_id = -1;
    let error = harness.call(ApiKey::Fetch, 12, &by_name, |body| {
        let response: FetchResponse<'_> = read(body, 12);
        response.error_code
    });
    assert_eq!(error, 106);

    // A full request with the session's id ends it, and begins another.
    consumer.epoch = 0;
    let again = consumer.fetch(&mut harness, &[(0, 0)], &[]);
    assert_ne!(again.session_id, session_id);
    assert_eq!(harness.broker.fetch_sessions_count(), 1);
    // Forgetting everything ends it too.
    let empty = consumer.fetch(&mut harness, &[], &[0]);
    assert_eq!((empty.error, empty.session_id), (0, 0));
    assert_eq!(harness.broker.fetch_sessions_count(), 0);
}

#[test]
fn a_consumer_that_says_goodbye_ends_its_session() {
    let mut harness = Harness::new();
    let (_, mut consumer) = topic(&mut harness, 1);
    consumer.fetch(&mut harness, &[(0, 0)], &[]);
    consumer.epoch = -1;
    let last = consumer.fetch(&mut harness, &[(0, 0)], &[]);
    assert_eq!((last.session_id, last.partitions.len()), (0, 1));
    assert_eq!(harness.broker.fetch_sessions_count(), 0);
}

#[test]
fn without_room_there_is_no_session_and_all_is_answered() {
    let mut harness = Harness::with(&["max.incremental.fetch.session.cache.slots=1"]);
    let (id, mut consumer) = topic(&mut harness, 1);
    consumer.fetch(&mut harness, &[(0, 0)], &[]);
    let mut other = Consumer::new(id);
    let answer = other.fetch(&mut harness, &[(0, 0)], &[]);
    assert_eq!(
        (answer.error, answer.session_id, answer.partitions.len()),
        (0, 0, 1)
    );
    harness.pass(Duration::from_secs(121));
    let answer = other.fetch(&mut harness, &[(0, 0)], &[]);
    assert_ne!(answer.session_id, 0, "the idle one made room");
    assert_eq!(consumer.fetch(&mut harness, &[], &[]).error, 70);
}

#[test]
fn a_topic_made_again_is_not_the_one_of_the_session() {
    let mut harness = Harness::new();
    let (_, mut consumer) = topic(&mut harness, 1);
    consumer.fetch(&mut harness, &[(0, 0)], &[]);
    let token = consumer.park(&mut harness, &[]);
    crate::admin::delete_topic(&mut harness, "t");
    let gone = consumer
        .taken(&mut harness, token)
        .expect("its partition is gone");
    assert_eq!(gone.partitions, [(0, 3, 0)]);
    harness.create_topic("t", 1, &[]);
    let stale = consumer.fetch(&mut harness, &[], &[]);
    assert_eq!(stale.partitions, [(0, 103, 0)]);
}

#[test]
fn records_that_are_deleted_are_news() {
    let mut harness = Harness::new();
    let (_, mut consumer) = topic(&mut harness, 1);
    harness.produce("t", 0, &batch(&["x"])).expect("appended");
    consumer.fetch(&mut harness, &[(0, 1)], &[]);
    assert_eq!(consumer.fetch(&mut harness, &[], &[]).partitions, []);
    crate::admin::delete_all_records(&mut harness, "t");
    assert_eq!(
        consumer.fetch(&mut harness, &[], &[]).partitions,
        [(0, 0, 0)],
        "the log start moved"
    );
    assert_eq!(consumer.fetch(&mut harness, &[], &[]).partitions, []);
}

#[test]
fn a_request_that_is_superseded_in_its_session_leaves_at_once_and_takes_no_wake_along() {
    let mut harness = Harness::new();
    let topic = harness.create_topic("t", 1, &[]);
    let mut consumer = Consumer::new(topic);
    consumer.fetch(&mut harness, &[(0, 0)], &[]);
    let older = consumer.park(&mut harness, &[]);
    consumer.epoch += 1;
    let newer = consumer.park(&mut harness, &[]);
    harness.collect();
    let answer = consumer.taken(&mut harness, older).expect("at once");
    assert_eq!((answer.error, answer.session_id), (71, 0));
    assert_eq!(consumer.taken(&mut harness, newer), None);
    harness.produce("t", 0, &batch(&["x"])).expect("appended");
    let answer = consumer.taken(&mut harness, newer).expect("woken");
    assert_eq!((answer.error, answer.partitions.len()), (0, 1));
}
