use super::link::Frame;
use bytes::Bytes;
use ottla_client::core::{
    Answer, Backoff, BatchId, BatchOutcome, Call, CallFailure, CallId, ConsumerConfig,
    ConsumerCore, FetcherConfig, GroupConfig, GroupEvent, OffsetReset, PartitionKey,
    ProducerConfig, ProducerCore, StartOffset,
};
use ottla_types::{Mono, Now, Prng};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const GROUP: &str = "team";
/// Waits before repetitions, short enough for a run.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_millis(10),
    max: Duration::from_millis(200),
};
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// A machine of the client crate, and its connection.
pub(super) struct RealClient {
    pub(super) machine: Machine,
    /// Calls on their way, by the number of their request.
    waiting: BTreeMap<i32, Waiting>,
}

pub(super) enum Machine {
    Producer(Box<RealProducer>),
    Consumer(Box<RealConsumer>),
}

pub(super) struct RealProducer {
    pub(super) core: ProducerCore,
    /// What is in batches that have no outcome, or not for all of their records.
    pub(super) batches: BTreeMap<BatchId, BatchRecords>,
}

#[derive(Default)]
pub(super) struct BatchRecords {
    pub(super) values: Vec<u64>,
    settled_count: usize,
}

pub(super) struct RealConsumer {
    pub(super) core: ConsumerCore,
    /// The next offset that each partition has to give, unless it is a member's that has not begun with it.
    pub(super) positions: BTreeMap<i32, i64>,
    /// A group says what it reads.
    pub(super) is_member: bool,
}

struct Waiting {
    call: CallId,
    version: i16,
    overdue_at: Mono,
}

impl RealClient {
    /// A producer that nothing is sent with yet.
    pub(super) fn producer(prng: &mut Prng) -> RealClient {
        let config = ProducerConfig {
            linger: Duration::from_millis(*prng.pick(&[0, 5, 50])),
            batch_bytes: *prng.pick(&[200, 2_000, 16_000]),
            in_flight_max: *prng.pick(&[1, 5, 5]),
            delivery_timeout: Duration::from_secs(*prng.pick(&[5, 120])),
            request_timeout: REQUEST_TIMEOUT,
            backoff: BACKOFF,
            metadata_age_max: Duration::from_secs(5),
            allow_auto_topic_creation: false,
            seed: prng.next_u64(),
            ..ProducerConfig::default()
        };
        RealClient::new(Machine::Producer(Box::new(RealProducer {
            core: ProducerCore::new(config),
            batches: BTreeMap::new(),
        })))
    }

    /// A consumer of every partition of `topic`, from the start.
    pub(super) fn consumer(
        prng: &mut Prng,
        topic: &Arc<str>,
        partitions: i32,
        now: Mono,
    ) -> RealClient {
        let mut core = ConsumerCore::new(consumer_config(prng, None));
        core.want_topic(topic, now);
        for partition in 0..partitions {
            let key = PartitionKey {
                topic: Arc::clone(topic),
                partition,
            };
            core.assign(key, StartOffset::Earliest, now);
        }
        RealClient::new(Machine::Consumer(Box::new(RealConsumer {
            core,
            positions: (0..partitions).map(|partition| (partition, 0)).collect(),
            is_member: false,
        })))
    }

    /// A member of the group that reads `topic`.
    pub(super) fn member(prng: &mut Prng, topic: &Arc<str>, now: Mono) -> RealClient {
        let group = GroupConfig {
            session_timeout: Duration::from_secs(10),
            heartbeat_interval: Duration::from_secs(1),
            request_timeout: REQUEST_TIMEOUT,
            backoff: BACKOFF,
            seed: prng.next_u64(),
            ..GroupConfig::new(GROUP)
        };
        let mut core = ConsumerCore::new(consumer_config(prng, Some(group)));
        core.subscribe(BTreeSet::from([Arc::clone(topic)]), now);
        RealClient::new(Machine::Consumer(Box::new(RealConsumer {
            core,
            positions: BTreeMap::new(),
            is_member: true,
        })))
    }

    fn new(machine: Machine) -> RealClient {
        RealClient {
            machine,
            waiting: BTreeMap::new(),
        }
    }

    /// The calls it wants made now.
    pub(super) fn calls(&mut self, now: Now) -> Vec<Call> {
        let mut calls = Vec::new();
        match &mut self.machine {
            Machine::Producer(producer) => producer.core.poll(now, &mut calls),
            Machine::Consumer(consumer) => consumer.core.poll(now.mono, &mut calls),
        }
        calls
    }

    /// The frame of a call, which waits for its answer from now on.
    pub(super) fn frame(&mut self, call: &Call, correlation: i32, now: Mono) -> Frame {
        let key = call.request.api_key();
        let ours = *key.versions().end();
        let version = ours.min(*call.request.versions().end());
        let waiting = Waiting {
            call: call.id,
            version,
            overdue_at: now.plus(call.timeout),
        };
        self.waiting.insert(correlation, waiting);
        Frame::of_body(key, version, correlation, |writer| {
            call.request.encode(writer, version)
        })
    }

    /// An answer came.
    pub(super) fn answered(&mut self, correlation: i32, body: &[u8], now: Now) {
        if let Some(waiting) = self.waiting.remove(&correlation) {
            let answer = Answer::Response {
                version: waiting.version,
                body: Bytes::copy_from_slice(body),
            };
            self.take_in(waiting.call, answer, now);
        }
    }

    /// The connection is gone: nobody knows what became of its calls.
    pub(super) fn disconnected(&mut self, now: Now) {
        for waiting in std::mem::take(&mut self.waiting).into_values() {
            let failure = CallFailure::Lost {
                reason: "the connection broke".to_owned(),
            };
            self.take_in(waiting.call, Answer::Failed(failure), now);
        }
    }

    /// Whether a call has waited for too long: then the connection is given up.
    pub(super) fn is_overdue(&self, now: Mono) -> bool {
        self.waiting.values().any(|call| call.overdue_at <= now)
    }

    fn take_in(&mut self, call: CallId, answer: Answer, now: Now) {
        match &mut self.machine {
            Machine::Producer(producer) => producer.core.on_answer(call, answer, now),
            Machine::Consumer(consumer) => consumer.core.on_answer(call, answer, now.mono),
        }
    }
}

/// What a consumer is configured to, in or outside of a group.
fn consumer_config(prng: &mut Prng, group: Option<GroupConfig>) -> ConsumerConfig {
    let fetcher = FetcherConfig {
        offset_reset: match group.is_some() {
            true => OffsetReset::Earliest,
            false => OffsetReset::Fail,
        },
        partition_bytes_max: *prng.pick(&[500, 20_000]),
        fetch_wait_max: Duration::from_millis(*prng.pick(&[0, 100, 500])),
        sessions: prng.chance(2, 3),
        request_timeout: REQUEST_TIMEOUT,
        backoff: BACKOFF,
        metadata_age_max: Duration::from_secs(5),
        seed: prng.next_u64(),
        ..FetcherConfig::default()
    };
    ConsumerConfig {
        fetcher,
        auto_commit_interval: group.as_ref().map(|_| Duration::from_millis(100)),
        group,
        operation_timeout: REQUEST_TIMEOUT,
        batch_bytes_max: 1 << 20,
    }
}

impl RealConsumer {
    /// The application agrees to everything that the group wants.
    pub(super) fn agree(&mut self) {
        while let Some(event) = self.core.app_event() {
            match &event {
                GroupEvent::Revoked(keys) | GroupEvent::Lost(keys) | GroupEvent::Assigned(keys) => {
                    for key in keys {
                        self.positions.remove(&key.partition);
                    }
                }
            }
            self.core.app_event_done();
        }
    }
}

impl RealProducer {
    /// Batches that came to an end, with what was in them.
    pub(super) fn outcomes(&mut self) -> Vec<(BatchOutcome, Vec<u64>)> {
        let mut outcomes = Vec::new();
        self.core.take_outcomes(&mut outcomes);
        let with_values = outcomes.into_iter().map(|outcome| {
            let values = self.settled(&outcome);
            (outcome, values)
        });
        with_values.collect()
    }

    /// The records that an outcome is about. A batch that was split has several.
    fn settled(&mut self, outcome: &BatchOutcome) -> Vec<u64> {
        let batch = self.batches.get_mut(&outcome.batch);
        let batch = batch.expect("an outcome is for records that were appended");
        let first = outcome.first_index as usize;
        let count = outcome.records_count as usize;
        let values = batch.values[first..first + count].to_vec();
        batch.settled_count += count;
        if batch.settled_count == batch.values.len() {
            self.batches.remove(&outcome.batch);
        }
        values
    }
}
