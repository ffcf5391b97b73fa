//! After a cut the producers are known as the log that is left knows them: at once, after a kill, and from a checkpoint.

use super::harness::*;
use crate::log_dir::LogDirOptions;
use crate::partition::LogConfig;
use ottla_records::BatchView;
use ottla_types::{Offset, PartitionSlot, ProducerId};
use std::collections::BTreeMap;

/// Of each producer: its epoch, and last sequence and last offset of each batch that is remembered.
type Known = BTreeMap<ProducerId, (i16, Vec<(i32, i64)>)>;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 2_000,
        ..LogConfig::default()
    }
}

/// What a replay of these batches, one record each, knows.
fn replayed(log: &[Vec<u8>]) -> Known {
    let mut known = Known::new();
    for (offset, bytes) in log.iter().enumerate() {
        let view = BatchView::parse(bytes).expect("a batch");
        let producer = view.producer().expect("of a producer");
        let (epoch, batches) = known.entry(producer.id).or_default();
        if *epoch != producer.epoch.get() {
            *epoch = producer.epoch.get();
            batches.clear();
        }
        batches.push((producer.last_sequence.get(), offset as i64));
        batches.drain(..batches.len().saturating_sub(5));
    }
    known
}

impl Harness {
    fn known(&self, slot: PartitionSlot) -> Known {
        let partition = self.dir.partition(slot).expect("there");
        let loaded = self.dir.load_snapshot(&partition, self.now.wall);
        loaded.expect("readable");
        let mut known = Known::new();
        for entry in self.dir.producers(slot) {
            let batches = entry.batches().iter();
            let batches = batches.map(|it| (it.last_sequence.get(), it.last_offset.get()));
            known.insert(entry.id(), (entry.epoch().get(), batches.collect()));
        }
        known
    }
}

/// A busy producer, one that says something now and then, and one that bumps its epoch. `count` batches of one record.
fn log_of(count: i32) -> Vec<Vec<u8>> {
    let mut next = BTreeMap::new();
    let batches = (0..count).map(|index| {
        let (id, epoch) = match index % 10 {
            3 => (2, 0),
            4..=6 => (3, (index / 20) as i16),
            _ => (1, 0),
        };
        let sequence = next.entry((id, epoch)).or_insert(0);
        *sequence += 1;
        batch(Some((id, epoch, *sequence - 1)), &[1], &[7; 50])
    });
    batches.collect()
}

#[test]
fn producers_are_known_as_the_log_that_is_left_knows_them() {
    const COUNT: usize = 120;
    let log = log_of(COUNT as i32);
    for written in [0, COUNT / 2, COUNT] {
        for cuts in [&[117, 96, 61, 60, 33, 12, 0][..], &[40, 7], &[3], &[0]] {
            let mut h = Harness::new(small_options());
            let mut slot = h.create(1, config());
            for (index, bytes) in log.iter().enumerate() {
                h.append(slot, bytes);
                if index + 1 == written {
                    h.flush(slot);
                }
            }
            for (turn, end) in cuts.iter().enumerate() {
                let why = format!("{written} written, {cuts:?}, cut at {end}");
                let left = replayed(&log[..*end]);
                h.cut(slot, *end as i64).expect("in range");
                assert_eq!(h.known(slot), left, "{why}");
                if turn % 3 == 1 {
                    h.settle();
                    h.checkpoint();
                }
                h = h.restart();
                assert_eq!(h.report.damaged, []);
                slot = h.create(1, config());
                assert_eq!(h.known(slot), left, "{why}, after a kill");
                if turn % 3 == 2 {
                    h.checkpoint();
                    h = h.restart();
                    slot = h.create(1, config());
                    assert_eq!(h.known(slot), left, "{why}, from a checkpoint");
                }
            }
            // They go on where the log goes on.
            let end = *cuts.last().expect("there are some");
            for bytes in &log[end..] {
                assert!(!h.append(slot, bytes).duplicate);
            }
            assert_eq!(h.known(slot), replayed(&log));
        }
    }
}

/// The entry of a cut names a bounded number of producers: with more, the log is cut step by step.
#[test]
fn a_cut_that_concerns_many_producers_is_made_in_steps() {
    const COUNT: i64 = 900;
    let mut h = Harness::new(LogDirOptions {
        snapshot_producers: 10_000,
        ..small_options()
    });
    let config = LogConfig {
        segment_bytes: 1 << 20,
        ..LogConfig::default()
    };
    let slot = h.create(1, config);
    let all: Vec<Vec<u8>> = (0..3)
        .flat_map(|sequence| (0..COUNT).map(move |id| (id, 0, sequence)))
        .map(|producer| batch(Some(producer), &[1], b""))
        .collect();
    for bytes in &all {
        h.append(slot, bytes);
    }
    h.commit();
    let first = h.dir.truncate(slot, Offset::new(COUNT));
    assert!(first.is_err(), "{first:?}");
    let between = h.dir.ends(slot).expect("there").appended_end.get();
    assert!((COUNT + 1..3 * COUNT).contains(&between), "{between}");
    h.cut(slot, COUNT).expect("in range");
    let left = replayed(&all[..COUNT as usize]);
    assert_eq!(h.known(slot), left);
    let h = h.restart();
    let slot = h.create(1, config);
    assert_eq!(h.known(slot), left);
}

/// A checkpoint knows a producer as it is where the log is durable, however much of it is not.
#[test]
fn what_is_not_durable_hides_nothing_from_a_checkpoint() {
    let log = log_of(80);
    let mut h = Harness::new(small_options());
    let slot = h.create(1, config());
    for (index, bytes) in log.iter().enumerate() {
        h.append(slot, bytes);
        if index == 39 {
            h.commit();
        }
    }
    h.checkpoint();
    let h = h.restart();
    let slot = h.create(1, config());
    assert_eq!(h.dir.ends(slot).expect("there").appended_end.get(), 40);
    assert_eq!(h.known(slot), replayed(&log[..40]));
}
