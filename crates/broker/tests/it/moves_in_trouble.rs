//! Logs that move while brokers die, directories fail and logs are damaged: nothing acknowledged is lost.

use crate::harness::*;
use crate::log_directories::FETCH_STORAGE_ERROR;
use crate::moves::{
    append, ask, check, driven, found, numbered, only_in, partition_of, pass_twice, places,
    started, step_until_held, wish,
};
use ottla_protocol::ApiKey;
use ottla_protocol::messages::alter_replica_log_dirs_response::AlterReplicaLogDirsResponse;
use ottla_protocol::messages::produce_response::ProduceResponse;
use ottla_types::Prng;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Ends the broker after each of the steps of a move, before and behind every journal and metadata write, and begins again.
#[test]
fn a_kill_at_any_step_loses_nothing_and_the_move_goes_on() {
    let mut steps = 0;
    loop {
        let mut harness = started(5);
        assert_eq!(ask(&mut harness, "data-1", "t"), 0);
        let mut records = 5;
        for step in 0..steps {
            match step % 4 {
                0 => {
                    harness.broker.move_step(harness.now);
                }
                1 => {
                    harness.step_quorum();
                }
                2 => {
                    harness.commit_once();
                }
                _ if step == 3 => {
                    append(&mut harness, records);
                    records += 1;
                }
                _ => harness.now.mono = harness.now.mono.plus(Duration::from_millis(5)),
            }
        }
        let is_over = harness.broker.moving_count() == 0;
        // Without the target the log is all there, or not there at all.
        let mut harness = harness.restart_on(&[0, 2]);
        let last = i64::from(records) - 1;
        match harness.fetch("t", 0, last) {
            Ok(fetched) => assert_eq!(fetched, [(last, format!("record {last}"))], "{steps}"),
            Err(code) => assert_eq!(code, FETCH_STORAGE_ERROR, "{steps}"),
        }
        let mut harness = harness.restart_on(&[0, 1, 2]);
        check(&mut harness, records);
        append(&mut harness, records);
        harness.settle_moves();
        assert_eq!(places(&mut harness, "t"), only_in("data-1"), "{steps}");
        assert_eq!(found(&harness, "t"), [false, true, false], "{steps}");
        check(&mut harness, records + 1);
        let mut harness = harness.restart();
        check(&mut harness, records + 1);
        assert_eq!(found(&harness, "t"), [false, true, false], "{steps}");
        if is_over {
            break;
        }
        steps += 1;
        assert!(steps < 500, "the move never ends");
    }
    assert!(12 < steps, "{steps} steps");
}

#[test]
fn a_target_that_fails_leaves_the_log_where_it_was() {
    for is_held in [false, true] {
        let mut harness = started(10);
        assert_eq!(ask(&mut harness, "data-1", "t"), 0);
        match is_held {
            true => step_until_held(&mut harness),
            false => {
                harness.broker.move_step(harness.now);
            }
        }
        harness.directories[1]
            .is_broken
            .store(true, Ordering::SeqCst);
        // The next write to it fails.
        harness.create_topic("u", 3, &[]);
        for partition in 0..3 {
            let _ = harness.produce("u", partition, &batch(&["x"]));
        }
        harness.settle_moves();
        pass_twice(&mut harness);
        assert_eq!(places(&mut harness, "t"), only_in("data"));
        check(&mut harness, 10);
        append(&mut harness, 10);
        let failed = &harness.broker.metrics().moves_failed;
        assert_eq!(failed.load(Ordering::Relaxed), 1);
        // The wish was granted: with the directory back it goes on.
        let mut harness = harness.restart();
        check(&mut harness, 11);
        harness.settle_moves();
        assert_eq!(places(&mut harness, "t"), only_in("data-1"));
        check(&mut harness, 11);
    }
}

#[test]
fn a_start_without_the_source_does_not_serve_the_copy() {
    let mut harness = started(10);
    assert_eq!(ask(&mut harness, "data-1", "t"), 0);
    harness.broker.move_step(harness.now);
    harness.settle();
    // The metadata is in `data`: the log is moved out of another one.
    harness.settle_moves();
    assert_eq!(ask(&mut harness, "data-2", "t"), 0);
    harness.broker.move_step(harness.now);
    harness.settle();
    let mut harness = harness.restart_on(&[0, 2]);
    let refused = harness.produce("t", 0, &numbered(10));
    assert_eq!(refused, Err(56));
    let mut harness = harness.restart_on(&[0, 1, 2]);
    check(&mut harness, 10);
    harness.settle_moves();
    assert_eq!(places(&mut harness, "t"), only_in("data-2"));
    check(&mut harness, 10);
}

/// A log that a random history of appends, deletions, moves and kills works on.
struct History {
    harness: Harness,
    prng: Prng,
    records: i32,
    log_start: i64,
    wished: usize,
}

const PATHS: [&str; 3] = ["data", "data-1", "data-2"];

impl History {
    fn send<'m, Q: ottla_protocol::Message<'m>>(
        &mut self,
        key: ApiKey,
        version: i16,
        request: &Q,
    ) -> Vec<u8> {
        match self.harness.send(key, version, request) {
            Called::Waiting(token) => driven(&mut self.harness, token),
            called => called.answered(),
        }
    }

    fn append(&mut self) {
        // Sent twice at times, as a client does that lost its connection.
        for _ in 0..=self.prng.below(2) {
            let bytes = numbered(self.records);
            let request = produce_request("t", 0, &bytes, -1);
            let frame = self.send(ApiKey::Produce, 9, &request);
            let correlation_id = i32::from_be_bytes(frame[4..8].try_into().expect("four bytes"));
            let response: ProduceResponse<'_> =
                read(body(&frame, ApiKey::Produce, 9, correlation_id), 9);
            let partition = &response.responses[0].partition_responses[0];
            let answer = (partition.error_code, partition.base_offset);
            assert_eq!(answer, (0, i64::from(self.records)));
        }
        self.records += 1;
    }

    fn delete_records(&mut self) {
        use ottla_protocol::messages::delete_records_request::*;
        let span = i64::from(self.records) - self.log_start;
        let to = self.log_start + self.prng.below(span as u64 / 4 + 1) as i64;
        let request = DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: "t".into(),
                partitions: vec![DeleteRecordsPartition {
                    partition_index: 0,
                    offset: to,
                }],
            }],
            timeout_ms: 30_000,
        };
        self.send(ApiKey::DeleteRecords, 2, &request);
        self.log_start = to;
    }

    fn wish(&mut self) {
        self.wished = self.prng.below(3) as usize;
        let request = wish(PATHS[self.wished], "t", &[0]);
        let frame = self.send(ApiKey::AlterReplicaLogDirs, 2, &request);
        let correlation_id = i32::from_be_bytes(frame[4..8].try_into().expect("four bytes"));
        let key = ApiKey::AlterReplicaLogDirs;
        let response: AlterReplicaLogDirsResponse<'_> =
            read(body(&frame, key, 2, correlation_id), 2);
        assert_eq!(response.results[0].partitions[0].error_code, 0);
    }

    /// Small things happen that nobody waits for.
    fn stir(&mut self) {
        for _ in 0..self.prng.below(8) {
            match self.prng.below(4) {
                0 | 1 => {
                    self.harness.broker.move_step(self.harness.now);
                }
                2 => {
                    self.harness.commit_once();
                }
                _ => {
                    self.harness.step_quorum();
                }
            }
        }
    }

    fn check(&mut self) {
        let log_start = self.log_start;
        let mut at = log_start;
        while at < i64::from(self.records) {
            let fetched = self.harness.fetch("t", 0, at).expect("readable");
            assert!(!fetched.is_empty(), "it ends at {at}");
            for (offset, value) in fetched {
                assert_eq!((offset, value), (at, format!("record {at}")));
                at += 1;
            }
        }
        if 0 < log_start {
            assert_eq!(self.harness.fetch("t", 0, log_start - 1), Err(1));
        }
    }

    fn run(seed: u64) {
        let mut history = History {
            harness: started(3),
            prng: Prng::new(seed),
            records: 3,
            log_start: 0,
            wished: 0,
        };
        for _ in 0..history.prng.range(10, 60) {
            match history.prng.below(12) {
                0..4 => history.append(),
                4..8 => history.stir(),
                8 => history.wish(),
                9 => history.delete_records(),
                10 => history.harness.flush(),
                _ => {
                    history.harness = history.harness.restart();
                    history.check();
                }
            }
        }
        history.harness.settle_moves();
        history.check();
        let mut history = History {
            harness: history.harness.restart(),
            ..history
        };
        history.harness.settle_moves();
        history.check();
        history.append();
        let wished = PATHS[history.wished];
        assert_eq!(places(&mut history.harness, "t"), only_in(wished), "{seed}");
        let expected = PATHS.map(|path| path == wished);
        assert_eq!(found(&history.harness, "t"), expected, "{seed}");
    }
}

#[test]
fn random_histories_of_moves_lose_nothing() {
    // SEEDS=n runs more of them.
    let seeds = std::env::var("SEEDS").ok();
    let seeds = seeds.map_or(60, |text| text.parse().expect("a number"));
    for seed in 0..seeds {
        History::run(seed);
    }
}

/// Spoils a record of the copy in `data-1`.
fn spoil_copy(harness: &mut Harness) {
    // What is damaged is told from what was never written by what follows.
    harness.create_topic("u", 6, &[]);
    for partition in 0..6 {
        let produced = harness.produce("u", partition, &batch(&["x"]));
        assert_eq!(produced, Ok(0));
    }
    harness.spoil_journal(1, "record 10");
}

#[test]
fn a_log_that_has_lost_something_does_not_move() {
    let harness = started(20);
    harness.spoil_journal(0, "record 10");
    let mut harness = harness.restart();
    let refused = harness.produce("t", 0, &numbered(20));
    assert_eq!(refused, Err(56), "it is damaged");
    assert_eq!(ask(&mut harness, "data-1", "t"), 56);
    assert_eq!(harness.broker.moving_count(), 0);
    assert_eq!(places(&mut harness, "t"), only_in("data"));
}

#[test]
fn a_copy_that_has_lost_something_is_made_anew() {
    let mut harness = started(20);
    assert_eq!(ask(&mut harness, "data-1", "t"), 0);
    harness.broker.move_step(harness.now);
    harness.settle();
    spoil_copy(&mut harness);
    let mut harness = harness.restart();
    check(&mut harness, 20);
    harness.settle_moves();
    assert_eq!(places(&mut harness, "t"), only_in("data-1"));
    check(&mut harness, 20);
    let mut harness = harness.restart();
    check(&mut harness, 20);
}

#[test]
fn a_log_that_is_damaged_where_it_came_to_keeps_the_one_that_it_came_from() {
    let mut harness = started(20);
    assert_eq!(ask(&mut harness, "data-1", "t"), 0);
    // Up to where the metadata names the target, and no further.
    let id = partition_of(&harness, "t");
    for _ in 0..100 {
        harness.settle();
        let image = harness.broker.image();
        if image.partition(id).expect("made").directories[0] == directory_id(1) {
            break;
        }
        harness.broker.move_step(harness.now);
    }
    assert_eq!(found(&harness, "t"), [true, true, false]);
    spoil_copy(&mut harness);
    let mut harness = harness.restart();
    for _ in 0..50 {
        harness.settle();
        harness.broker.move_step(harness.now);
    }
    let refused = harness.produce("t", 0, &numbered(20));
    assert_eq!(refused, Err(56), "it is damaged");
    assert_eq!(found(&harness, "t"), [true, true, false]);
}
