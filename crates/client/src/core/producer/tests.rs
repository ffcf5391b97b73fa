//! The producer against a model of a cluster that loses requests and responses, executes them late,
//! moves leaders and refuses batches.

mod model;

use super::*;
use crate::core::call::{Answer, CallFailure};
use model::{Cluster, Fault};
use std::time::Duration;

const TOPIC: &str = "t";

fn config() -> ProducerConfig {
    ProducerConfig {
        batch_bytes: 300,
        request_bytes_max: 2_000,
        linger: Duration::from_millis(5),
        delivery_timeout: Duration::from_secs(20),
        request_timeout: Duration::from_secs(3),
        ..ProducerConfig::default()
    }
}

/// A producer, a cluster, and a clock.
struct World {
    core: ProducerCore,
    cluster: Cluster,
    prng: Prng,
    now: Now,
    topic: Arc<str>,
    next_record: u64,
    /// Records by number, in the order in which they were taken.
    taken: Vec<(u64, Appended)>,
    outcomes: BTreeMap<BatchId, Vec<BatchOutcome>>,
}

impl World {
    fn new(seed: u64, config: ProducerConfig) -> World {
        let mut prng = Prng::new(seed);
        World {
            core: ProducerCore::new(ProducerConfig { seed, ..config }),
            cluster: Cluster::new(
                TOPIC,
                3,
                prng.fork(),
                if prng.chance(1, 3) { 160 } else { 4_000 },
            ),
            prng,
            now: Now {
                mono: Mono::from_millis(1_000),
                wall: Timestamp::from_millis(1_700_000_000_000),
            },
            topic: Arc::from(TOPIC),
            next_record: 0,
            taken: Vec::new(),
            outcomes: BTreeMap::new(),
        }
    }

    fn advance(&mut self, millis: u64) {
        self.now.mono = self.now.mono.plus(Duration::from_millis(millis));
        self.now.wall = Timestamp::from_millis(self.now.wall.as_millis() + millis as i64);
    }

    fn append(&mut self) -> Result<Appended, AppendError> {
        let number = self.next_record;
        let partition = self.prng.chance(1, 2).then(|| self.prng.below(3) as i32);
        let key = number.to_string();
        let key = (partition.is_none() && self.prng.chance(1, 2)).then_some(key.as_bytes());
        let value = number.to_be_bytes();
        let appended = self.core.append(
            &self.topic,
            partition,
            None,
            key,
            Some(&value),
            &[],
            self.now,
        )?;
        self.next_record += 1;
        self.taken.push((number, appended));
        Ok(appended)
    }

    /// Makes the calls that are due, collects outcomes.
    fn poll(&mut self) {
        let mut calls = Vec::new();
        self.core.poll(self.now, &mut calls);
        for call in calls {
            self.cluster.take_call(call, self.now.mono);
        }
        let mut outcomes = Vec::new();
        self.core.take_outcomes(&mut outcomes);
        for outcome in outcomes {
            self.outcomes
                .entry(outcome.batch)
                .or_default()
                .push(outcome);
        }
    }

    /// The one outcome of a record.
    fn outcome(&self, appended: &Appended) -> &BatchOutcome {
        let covers = |outcome: &&BatchOutcome| {
            let indices = outcome.first_index..outcome.first_index + outcome.records_count;
            indices.contains(&appended.index)
        };
        let mut outcomes = self.outcomes[&appended.batch].iter().filter(covers);
        let outcome = outcomes.next().expect("every record has an outcome");
        assert!(outcomes.next().is_none(), "one outcome per record");
        outcome
    }

    fn answer(&mut self, answers: Vec<(CallId, Answer)>) {
        for (id, answer) in answers {
            self.core.on_answer(id, answer, self.now);
        }
    }

    fn step(&mut self, faults: bool) {
        match self.prng.below(if faults { 12 } else { 8 }) {
            0 | 1 => {
                // A topic that is not known yet refuses; that costs nothing.
                let _ = self.append();
            }
            2 | 3 => self.cluster.execute_one(),
            4 | 5 => {
                let answers = self.cluster.respond_one();
                self.answer(answers);
            }
            6 => {
                let millis = self.prng.below(20);
                self.advance(millis);
                let answers = self.cluster.overdue(self.now.mono);
                self.answer(answers);
            }
            7 => self.poll(),
            8 => {
                if self.prng.chance(1, 4) {
                    let answers = self.cluster.break_connection();
                    self.answer(answers);
                }
            }
            9 => self.cluster.move_leader(),
            10 => {
                let fault = *self.prng.pick(&Fault::ALL);
                if self.prng.chance(1, 6) {
                    self.cluster.next_fault = Some(fault);
                }
            }
            _ => {
                if self.prng.chance(1, 300) {
                    self.advance(21_000);
                }
            }
        }
    }

    /// Without faults everything comes to its end.
    fn settle(&mut self) {
        self.cluster.next_fault = None;
        let end = self.core.flush();
        for _ in 0..20_000 {
            self.poll();
            while self.cluster.has_work() {
                self.cluster.execute_one();
                let answers = self.cluster.respond_one();
                self.answer(answers);
            }
            if self.core.is_flushed(end) {
                self.poll();
                return;
            }
            let deadline = self
                .core
                .next_deadline(self.now.mono)
                .expect("something is to come");
            let wait = deadline.since(self.now.mono).as_millis() as u64;
            self.advance(wait + 1);
        }
        panic!("not settled: {:?}", self.core);
    }

    /// Takes a record as soon as the topic is known.
    fn append_at_last(&mut self) -> Appended {
        for _ in 0..100 {
            if let Ok(appended) = self.append() {
                return appended;
            }
            self.settle();
            while self.cluster.has_work() {
                self.cluster
                    .execute_and_respond_all(&mut self.core, self.now);
            }
            self.advance(1_000);
        }
        panic!("the topic does not become known");
    }

    /// What was told is true, and nothing is in the log twice or out of order.
    fn check(&self, exactly_once: bool) -> (usize, usize, usize) {
        let (mut delivered, mut refused, mut unknown) = (0, 0, 0);
        for (number, appended) in &self.taken {
            let outcome = self.outcome(appended);
            assert_eq!(outcome.key.partition, appended.partition);
            let places = self.cluster.places(appended.partition, *number);
            match &outcome.result {
                Ok(delivery) => {
                    delivered += 1;
                    let base = delivery.base_offset.expect("acks are asked for");
                    let offset = base
                        .plus(i64::from(appended.index - outcome.first_index))
                        .get() as usize;
                    assert!(
                        places.contains(&offset),
                        "record {number} is not where it was told"
                    );
                }
                Err(fault) if fault.possibly_written => unknown += 1,
                Err(_) => {
                    refused += 1;
                    assert_eq!(places, Vec::<usize>::new(), "record {number} was refused");
                }
            }
            if exactly_once {
                assert!(
                    places.len() <= 1,
                    "record {number} is there {} times",
                    places.len()
                );
            }
        }
        if exactly_once {
            // A batch of unknown outcome may come late, under a producer id that is no longer used.
            let acknowledged: BTreeSet<u64> = self
                .taken
                .iter()
                .filter(|(_, appended)| self.outcome(appended).result.is_ok())
                .map(|(number, _)| *number)
                .collect();
            for log in self.cluster.logs() {
                let log: Vec<&u64> = log.iter().filter(|n| acknowledged.contains(n)).collect();
                assert!(log.is_sorted(), "records overtook each other: {log:?}");
            }
        }
        (delivered, refused, unknown)
    }
}

/// One run: chaos, then calm.
fn run(
    seed: u64,
    config: ProducerConfig,
    exactly_once: bool,
) -> (ProducerStats, (usize, usize, usize)) {
    let mut world = World::new(seed, config);
    for _ in 0..1_500 {
        world.step(true);
    }
    world.settle();
    let counts = world.check(exactly_once);
    // It still works afterwards.
    let appended = world.append_at_last();
    world.settle();
    assert!(world.outcome(&appended).result.is_ok(), "seed {seed}");
    (world.core.stats(), counts)
}

#[test]
fn nothing_is_lost_doubled_or_reordered_whatever_the_network_does() {
    let mut total = ProducerStats::default();
    let (mut delivered, mut refused, mut unknown) = (0, 0, 0);
    for seed in 0..400 {
        let (stats, counts) = run(seed, config(), true);
        total.retries += stats.retries;
        total.splits += stats.splits;
        total.sequence_resets += stats.sequence_resets;
        assert_eq!(
            stats.gaps_found, 0,
            "the broker forgot nothing in seed {seed}"
        );
        delivered += counts.0;
        refused += counts.1;
        unknown += counts.2;
    }
    // The runs must have reached what they are about.
    assert!(delivered > 20_000, "{delivered}");
    assert!(refused > 100 && unknown > 100, "{refused} {unknown}");
    assert!(
        total.retries > 5_000 && total.sequence_resets > 300,
        "{total:?}"
    );
}

#[test]
fn same_seed_same_run() {
    assert_eq!(run(17, config(), true), run(17, config(), true));
}

#[test]
fn without_idempotence_nothing_told_is_untrue() {
    for seed in 0..100 {
        run(
            seed,
            ProducerConfig {
                idempotent: false,
                ..config()
            },
            false,
        );
    }
}

#[test]
fn records_linger_until_the_batch_is_full_or_its_time_has_come() {
    let mut world = World::new(1, config());
    assert!(matches!(
        world.append(),
        Err(AppendError::TopicUnknown { .. })
    ));
    world.settle();
    let topic = world.topic.clone();
    let first = world
        .core
        .append(&topic, Some(0), None, None, Some(b"v"), &[], world.now)
        .unwrap();
    assert!(first.wake);
    let second = world
        .core
        .append(&topic, Some(0), None, None, Some(b"v"), &[], world.now)
        .unwrap();
    assert_eq!(
        (second.batch, second.index, second.wake),
        (first.batch, 1, false)
    );
    world.poll();
    world
        .cluster
        .execute_and_respond_all(&mut world.core, world.now);
    let sent = world.core.stats().batches;
    let deadline = world.core.next_deadline(world.now.mono).unwrap();
    assert_eq!(deadline, world.now.mono.plus(Duration::from_millis(5)));
    world.now.mono = deadline;
    world.poll();
    assert_eq!(world.core.stats().batches, sent + 1);
    // A full batch does not wait.
    let mut wake = false;
    for _ in 0..20 {
        let value = [0; 50];
        let full = world
            .core
            .append(&topic, Some(1), None, None, Some(&value), &[], world.now);
        wake |= full.unwrap().wake;
    }
    assert!(wake);
    world.poll();
    assert!(world.core.stats().batches > sent + 1);
}

#[test]
fn a_batch_that_the_broker_finds_too_large_is_halved_until_it_fits() {
    let mut world = World::new(1, config());
    world.cluster.batch_bytes_max = 150;
    world.append_at_last();
    world.settle();
    let topic = world.topic.clone();
    let mut all = Vec::new();
    for number in 100..116u64 {
        let value = number.to_be_bytes();
        let (now, core) = (world.now, &mut world.core);
        all.push(
            core.append(&topic, Some(2), None, None, Some(&value), &[], now)
                .unwrap(),
        );
    }
    assert_eq!(all[0].batch, all[9].batch, "several records share a batch");
    world.settle();
    for (number, appended) in (100..116).zip(&all) {
        let outcome = world.outcome(appended);
        let base = outcome.result.as_ref().unwrap().base_offset.unwrap();
        let offset = base.get() as usize + (appended.index - outcome.first_index) as usize;
        assert_eq!(world.cluster.places(2, number), [offset]);
    }
    let stats = world.core.stats();
    assert!(stats.splits >= 3 && stats.sequence_resets == 0, "{stats:?}");
    // Batches are smaller from now on.
    for number in 200..210u64 {
        let value = number.to_be_bytes();
        let (now, core) = (world.now, &mut world.core);
        core.append(&topic, Some(2), None, None, Some(&value), &[], now)
            .unwrap();
    }
    world.settle();
    assert_eq!(world.core.stats().splits, stats.splits);
}

#[test]
fn impossible_records_are_not_taken() {
    let mut world = World::new(1, config());
    let _ = world.append();
    world.settle();
    let topic = world.topic.clone();
    let mut append = |partition, value: &[u8]| {
        world
            .core
            .append(&topic, partition, None, None, Some(value), &[], world.now)
            .unwrap_err()
    };
    let unknown = AppendError::PartitionUnknown {
        topic: Arc::from(TOPIC),
        partition: 3,
        count: 3,
    };
    assert_eq!(append(Some(3), b""), unknown);
    assert!(matches!(
        append(Some(-1), b""),
        AppendError::PartitionUnknown { .. }
    ));
    assert!(matches!(
        append(None, &[0; 2_000]),
        AppendError::TooLarge { max: 2_000, .. }
    ));
}

#[test]
fn a_batch_that_cannot_be_sent_says_what_stood_in_the_way() {
    let mut world = World::new(1, config());
    let _ = world.append();
    world.settle();
    let appended = world.append().unwrap();
    world.advance(10);
    let mut calls = Vec::new();
    let mut waiting_for = None;
    for _ in 0..100 {
        world.core.poll(world.now, &mut calls);
        for call in calls.drain(..) {
            let reason = "127.0.0.1:1: nobody listens there".to_owned();
            let answer = Answer::Failed(CallFailure::NotSent { reason });
            world.core.on_answer(call.id, answer, world.now);
        }
        world.advance(500);
        waiting_for = waiting_for.or(world.core.waiting_for());
    }
    world.poll();
    let fault = world.outcome(&appended).result.clone().unwrap_err();
    assert!(!fault.possibly_written);
    assert!(
        fault.to_string().contains("nobody listens there"),
        "{fault}"
    );
}
