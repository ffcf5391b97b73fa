//! The fetcher against a model of a cluster with strict fetch sessions whose leaders move.

mod model;

use super::*;
use crate::core::call::IsolationLevel;
use crate::core::consumed::ConsumedRecord;
use model::Cluster;
use ottla_records::Decompressor;
use ottla_types::Timestamp;

const PARTITIONS: usize = 5;

fn config() -> FetcherConfig {
    FetcherConfig {
        partition_bytes_max: 600,
        fetch_bytes_max: 2_000,
        buffer_bytes_max: 3_000,
        fetch_wait_max: Duration::from_millis(100),
        request_timeout: Duration::from_secs(2),
        ..FetcherConfig::default()
    }
}

struct World {
    core: FetcherCore,
    cluster: Cluster,
    prng: Prng,
    now: Mono,
    decompressor: Decompressor,
    /// The next offset that must come, by partition; `None` as long as anything may come.
    next: BTreeMap<PartitionKey, Option<i64>>,
    read: u64,
    faults: Vec<FetchFault>,
}

impl World {
    fn new(seed: u64, config: FetcherConfig) -> World {
        let mut prng = Prng::new(seed);
        World {
            core: FetcherCore::new(FetcherConfig { seed, ..config }),
            cluster: Cluster::new(PARTITIONS, prng.fork()),
            prng,
            now: Mono::from_millis(1_000),
            decompressor: Decompressor::default(),
            next: BTreeMap::new(),
            read: 0,
            faults: Vec::new(),
        }
    }

    fn key(partition: usize) -> PartitionKey {
        PartitionKey::new("t", partition as i32)
    }

    fn assign(&mut self, partition: usize, start: StartOffset) {
        let key = World::key(partition);
        let next = match start {
            StartOffset::At(offset) => Some(offset.get()),
            _ => None,
        };
        self.next.insert(key.clone(), next);
        self.core.assign(key, start, self.now);
    }

    fn poll(&mut self) {
        let mut calls = Vec::new();
        self.core.poll(self.now, &mut calls);
        for call in calls {
            self.cluster.take_call(call);
        }
    }

    fn answer(&mut self) {
        for (id, answer) in self.cluster.respond_one() {
            self.core.on_answer(id, answer, self.now);
        }
    }

    fn take(&mut self) {
        if let Some(chunk) = self.core.take_chunk() {
            let mut records: Vec<ConsumedRecord> = Vec::new();
            chunk
                .records(
                    IsolationLevel::ReadUncommitted,
                    &mut self.decompressor,
                    &mut records,
                )
                .expect("the model's batches are good");
            for record in records {
                let next = self
                    .next
                    .get_mut(&record.partition)
                    .expect("only what is assigned");
                let offset = record.offset.get();
                assert!(
                    next.is_none_or(|next| next == offset),
                    "{next:?} must come, not {offset}"
                );
                *next = Some(offset + 1);
                let value = format!("{}", record.offset);
                assert_eq!(record.value.as_deref(), Some(value.as_bytes()));
                self.read += 1;
            }
            let progress = self
                .core
                .progress(&chunk.partition)
                .expect("it is assigned");
            assert_eq!(progress.position, Some(chunk.end_offset));
        }
        while let Some(fault) = self.core.take_fault() {
            self.faults.push(fault);
        }
        assert!(
            self.core.buffered_bytes < 3_000 + 2_000 * 2,
            "{}",
            self.core.buffered_bytes
        );
    }

    fn step(&mut self) {
        match self.prng.below(14) {
            0..3 => self.poll(),
            3..5 => self.cluster.execute_one(),
            5..7 => self.answer(),
            7..9 => self.take(),
            9 => self.now = self.now.plus(Duration::from_millis(self.prng.below(200))),
            10 => self.cluster.append(),
            11 => self.cluster.disturb(),
            12 => {
                let partition = self.prng.below(PARTITIONS as u64) as usize;
                if self.prng.chance(1, 10) {
                    let start = self.cluster.some_offset(partition);
                    self.assign(partition, StartOffset::At(start));
                } else if self.prng.chance(1, 10) {
                    let time = Timestamp::from_millis(self.prng.below(50) as i64);
                    let start = [
                        StartOffset::Earliest,
                        StartOffset::Latest,
                        StartOffset::Time(time),
                    ];
                    let start = *self.prng.pick(&start);
                    self.assign(partition, start);
                }
            }
            _ => {
                let key = World::key(self.prng.below(PARTITIONS as u64) as usize);
                match self.prng.below(10) {
                    0 => self.core.pause(&key),
                    1 => {
                        self.core.unassign(&key);
                        self.next.remove(&key);
                    }
                    _ => self.core.resume(&key),
                }
            }
        }
    }

    /// Without disturbance everything is read to its end.
    fn settle(&mut self) {
        for partition in 0..PARTITIONS {
            self.core.resume(&World::key(partition));
        }
        for _ in 0..3_000 {
            self.poll();
            while self.cluster.has_work() {
                self.cluster.execute_one();
                self.answer();
            }
            self.take();
            self.now = self.now.plus(Duration::from_millis(200));
            if self.is_at_end() {
                return;
            }
        }
        panic!("not read to the end: {:?}", self.core);
    }

    fn is_at_end(&self) -> bool {
        self.core.assignment().all(|key| {
            let end = self.cluster.end_offset(key.partition as usize);
            self.core
                .progress(key)
                .is_some_and(|progress| progress.position == Some(end))
        })
    }
}

#[test]
fn every_record_comes_once_and_in_order_whatever_the_cluster_does() {
    let (mut read, mut sessions, mut evictions) = (0, 0, 0);
    for seed in 0..300u64 {
        let with_sessions = !seed.is_multiple_of(4);
        let mut world = World::new(
            seed,
            FetcherConfig {
                sessions: with_sessions,
                ..config()
            },
        );
        for partition in 0..PARTITIONS {
            world.assign(partition, StartOffset::Earliest);
        }
        for _ in 0..1_500 {
            world.step();
        }
        world.settle();
        assert_eq!(world.faults, [], "seed {seed}");
        read += world.read;
        sessions += world.cluster.incremental_fetches;
        evictions += world.cluster.evictions;
        assert!(with_sessions || world.cluster.incremental_fetches == 0);
    }
    assert!(
        read > 10_000 && sessions > 5_000 && evictions > 300,
        "{read} {sessions} {evictions}"
    );
}

#[test]
fn a_position_that_is_gone_is_reported_or_moved() {
    for (reset, moved_to) in [
        (OffsetReset::Fail, None),
        (OffsetReset::Earliest, Some(20)),
        (OffsetReset::Latest, Some(40)),
    ] {
        let mut world = World::new(
            1,
            FetcherConfig {
                offset_reset: reset,
                ..config()
            },
        );
        world.cluster.fill(0, 40);
        world.cluster.delete_below(0, 20);
        world.assign(0, StartOffset::At(Offset::new(5)));
        world.next.insert(World::key(0), moved_to);
        for _ in 0..50 {
            world.poll();
            world.cluster.execute_one();
            world.answer();
            world.take();
            world.now = world.now.plus(Duration::from_millis(100));
        }
        let progress = world.core.progress(&World::key(0)).unwrap();
        match moved_to {
            None => {
                let kind = FetchFaultKind::OutOfRange {
                    position: Offset::new(5),
                };
                assert_eq!(
                    world.faults,
                    [FetchFault {
                        partition: World::key(0),
                        kind
                    }]
                );
                // A seek makes it go on.
                world.assign(0, StartOffset::At(Offset::new(30)));
                world.settle();
                assert_eq!(world.read, 10);
            }
            Some(first) => {
                assert_eq!(progress.position, Some(Offset::new(40)));
                assert_eq!(world.read, 40 - first as u64);
                assert_eq!(world.faults, []);
            }
        }
    }
}

#[test]
fn what_was_asked_before_a_seek_is_not_given_out() {
    let mut world = World::new(1, config());
    world.cluster.fill(0, 40);
    world.assign(0, StartOffset::At(Offset::new(0)));
    for _ in 0..20 {
        world.poll();
        world.cluster.execute_one();
        world.answer();
        world.now = world.now.plus(Duration::from_millis(100));
    }
    assert!(world.core.buffered_bytes > 0);
    world.assign(0, StartOffset::At(Offset::new(33)));
    assert_eq!(world.core.buffered_bytes, 0);
    world.settle();
    assert_eq!(world.read, 7);
}

#[test]
fn an_unreadable_batch_stops_its_partition_only() {
    let mut world = World::new(1, config());
    world.cluster.fill(0, 5);
    world.cluster.fill(1, 5);
    world.cluster.corrupt(0);
    world.assign(0, StartOffset::At(Offset::new(0)));
    world.assign(1, StartOffset::At(Offset::new(0)));
    for _ in 0..30 {
        world.poll();
        world.cluster.execute_one();
        world.answer();
        world.take();
        world.now = world.now.plus(Duration::from_millis(100));
    }
    assert_eq!(world.faults.len(), 1);
    assert!(matches!(
        world.faults[0].kind,
        FetchFaultKind::Unreadable { .. }
    ));
    assert_eq!(
        world.core.progress(&World::key(1)).unwrap().position,
        Some(Offset::new(5))
    );
}

#[test]
fn a_fetch_that_is_lost_is_told_until_one_succeeds() {
    let mut world = World::new(1, config());
    world.cluster.fill(0, 10);
    world.assign(0, StartOffset::At(Offset::new(0)));
    let mut told = false;
    for _ in 0..200 {
        world.poll();
        world.cluster.disturb();
        world.answer();
        told |= world.core.waiting_for() == Some("broken");
        world.now = world.now.plus(Duration::from_millis(100));
    }
    assert!(told);
    world.settle();
    assert_eq!(world.read, 10);
    assert_eq!(world.core.waiting_for(), None);
}
