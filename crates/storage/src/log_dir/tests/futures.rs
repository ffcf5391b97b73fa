//! Future logs: begun, filled, promoted, dropped, and begun again where one was dropped before.

use super::harness::*;
use crate::disk::{Disk, OpenMode};
use crate::log_dir::{
    AppendBatch, AppendError, AppendOrigin, Appended, LogDirOptions, PumpStep, StorageError,
    Verdict,
};
use crate::memory_disk::MemoryDisk;
use crate::partition::LogConfig;
use crate::producer_state::ProducerEntry;
use crate::testing::batch_at;
use ottla_records::{BatchView, ValidBatch, stamp};
use ottla_types::{LeaderEpoch, Offset, PartitionSlot, TopicPartition};
use std::path::Path;
use std::sync::Arc;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 2_000,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

impl Harness {
    fn begin(&self, number: u8, log_start: i64) -> Result<PartitionSlot, StorageError> {
        let name = format!("topic{number}");
        let start = Offset::new(log_start);
        let begun = self
            .dir
            .begin_future(partition(number), &name, config(), start);
        begun.map(|(slot, _)| slot)
    }

    /// Runs the pumps until a future log can be begun where one was dropped.
    pub(super) fn begin_soon(
        &mut self,
        id: TopicPartition,
        topic_name: &str,
        config: LogConfig,
        log_start: i64,
    ) -> PartitionSlot {
        let start = Offset::new(log_start);
        for _ in 0..10_000 {
            match self.dir.begin_future(id, topic_name, config, start) {
                Ok((slot, _)) => return slot,
                Err(StorageError::Undurable { .. } | StorageError::BeingRemoved) => {}
                Err(error) => panic!("{error}"),
            }
            self.dir.commit_step(self.now);
            self.dir.flush_step(self.now);
            self.dir.zero_step(self.now);
            self.pass(1);
        }
        panic!("the former log does not go: {:?}", self.dir.stats());
    }

    fn begin_again(&mut self, number: u8, log_start: i64) -> PartitionSlot {
        let name = format!("topic{number}");
        self.begin_soon(partition(number), &name, config(), log_start)
    }

    pub(super) fn try_copy(
        &self,
        slot: PartitionSlot,
        bytes: &[u8],
    ) -> Result<Appended, AppendError> {
        let view = BatchView::parse(bytes).expect("a header");
        let facts = ValidBatch::from_header(&view).expect("a known codec");
        let batch = AppendBatch {
            bytes,
            facts: &facts,
            origin: AppendOrigin::Replica,
        };
        self.dir.append(slot, LeaderEpoch::new(9), batch, self.now)
    }

    fn copy(&self, slot: PartitionSlot, bytes: &[u8]) -> Appended {
        self.try_copy(slot, bytes).expect("copied")
    }

    fn recovered(&self, number: u8) -> PartitionSlot {
        self.dir.slot(partition(number)).expect("recovered")
    }

    /// Base and last offsets of all batches.
    fn offsets(&self, slot: PartitionSlot) -> Vec<(i64, i64)> {
        let start = self.dir.ends(slot).expect("there").log_start.get();
        let all = self.read_all(slot, start, 500);
        all.into_iter()
            .map(|(base, last, _)| (base, last))
            .collect()
    }

    fn bounds(&self, slot: PartitionSlot) -> (i64, i64) {
        let ends = self.dir.ends(slot).expect("there");
        (ends.log_start.get(), ends.appended_end.get())
    }

    fn damage_checkpoints(&self) {
        let dir = Path::new("checkpoints");
        for entry in self.disk.list(dir).expect("listed") {
            self.flip_at(&dir.join(entry.name), 20);
        }
    }
}

fn produced(base: i64, producer: Producer, size: usize) -> Vec<u8> {
    let mut bytes = batch(Some(producer), &[1_000], &vec![7; size]);
    stamp(&mut bytes, Offset::new(base), LeaderEpoch::new(2));
    bytes
}

/// What a restart may begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    Checkpoint,
    Flush,
    FlushAndCheckpoint,
    ShutDown,
    Rebuild,
}

const BEFORE: [Before; 6] = [
    Before::Nothing,
    Before::Checkpoint,
    Before::Flush,
    Before::FlushAndCheckpoint,
    Before::ShutDown,
    Before::Rebuild,
];

impl Harness {
    fn restart_after(mut self, before: Before, slot: PartitionSlot) -> Harness {
        self.commit();
        match before {
            Before::Nothing => {}
            Before::Checkpoint => self.checkpoint(),
            Before::Flush => self.flush(slot),
            Before::FlushAndCheckpoint => {
                self.flush(slot);
                self.checkpoint();
            }
            Before::ShutDown => return self.shut_down(),
            Before::Rebuild => {
                self.flush(slot);
                self.checkpoint();
                self.damage_checkpoints();
            }
        }
        let h = self.restart();
        assert_eq!(h.report.was_rebuilt, before == Before::Rebuild);
        assert_eq!(h.report.damaged, [], "{before:?}");
        h
    }
}

#[test]
fn a_future_log_is_one_until_it_is_promoted() {
    for before in BEFORE {
        for has_batches in [false, true] {
            let h = Harness::new(small_options());
            let slot = h.begin(1, 40).expect("begun");
            if has_batches {
                h.copy(slot, &batch_at(40, 3, 2));
            }
            let h = h.restart_after(before, slot);
            let slot = h.recovered(1);
            assert!(h.dir.is_future(slot), "{before:?} {has_batches}");
            assert_eq!(h.bounds(slot), (40, if has_batches { 43 } else { 40 }));
            assert_eq!(h.dir.partitions()[0].2, "topic1");
            h.dir.promote(slot).expect("there");
            assert!(!h.dir.is_future(slot));
            let h = h.restart_after(before, slot);
            let slot = h.recovered(1);
            assert!(!h.dir.is_future(slot), "{before:?} {has_batches}");
            assert_eq!(h.bounds(slot), (40, if has_batches { 43 } else { 40 }));
        }
    }
}

/// Retention and compaction have taken batches from the source: the copy cannot know of them what the source does.
#[test]
fn what_the_source_remembers_is_remembered_by_its_copy() {
    for before in BEFORE {
        let mut source = Harness::new(small_options());
        let from = source.create(1, config());
        for index in 0..40 {
            let epoch = LeaderEpoch::new(index / 10);
            source.dir.bump_leader_epoch(from, epoch).expect("there");
            let producer = (i64::from(index % 20), 0, index / 20);
            source.append_in(from, epoch, &batch(Some(producer), &[1_000], &[7; 300]));
        }
        let last = LeaderEpoch::new(8);
        source.dir.bump_leader_epoch(from, last).expect("there");
        source.commit();
        source
            .dir
            .delete_records(from, Offset::new(25))
            .expect("in range");
        let source = source.shut_down();
        let from = source.recovered(1);
        let remembered = source.dir.remembered(from, source.now).expect("readable");
        assert_eq!(remembered.producers.len(), 20);
        assert_eq!(remembered.epochs.len(), 2);

        let mut h = Harness::new(small_options());
        h.now = source.now;
        let slot = h.begin(1, 25).expect("begun");
        // One that the source has forgotten: its sequence is not asked for any more.
        h.copy(slot, &produced(25, (99, 0, 7), 100));
        for (base, _, bytes) in source.read_all(from, 25, 1 << 20) {
            if 25 < base {
                h.copy(slot, &bytes);
            }
        }
        h.flush(slot);
        let lsn = h.dir.remember(slot, &remembered, h.now).expect("there");
        assert!(h.dir.durable_lsn() < lsn);
        let again = h.dir.remember(slot, &remembered, h.now).expect("there");
        assert_eq!(again, lsn, "nothing is new");
        let h = h.restart_after(before, slot);
        let slot = h.recovered(1);
        let mut known = h.dir.remembered(slot, h.now).expect("readable");
        if before == Before::Rebuild {
            // What was copied cannot be told from what came later.
            known.producers.retain(|entry| entry.id().get() != 99);
        }
        let facts = |entry: &ProducerEntry| {
            let batches = entry.batches().to_vec();
            (entry.id(), entry.epoch(), batches)
        };
        let expected = remembered.producers.iter().map(facts);
        assert!(known.producers.iter().map(facts).eq(expected), "{before:?}");
        h.dir.promote(slot).expect("there");
        let h = &mut h.restart_after(before, slot);
        let slot = h.recovered(1);
        for id in 0..20 {
            let again = batch(Some((id, 0, 1)), &[1_000], &[7; 300]);
            let again = h.append_in(slot, last, &again);
            assert!(again.duplicate, "{before:?} {id}");
            let next = batch(Some((id, 0, 2)), &[1_000], &[7; 300]);
            assert!(!h.append_in(slot, last, &next).duplicate);
        }
        if before != Before::Rebuild {
            assert_eq!(h.dir.latest_epoch(slot), Some(last));
            let unknown = batch(Some((99, 0, 3)), &[1_000], &[7; 300]);
            assert!(!h.append_in(slot, last, &unknown).duplicate, "{before:?}");
        }
    }
}

impl Harness {
    fn append_in(&self, slot: PartitionSlot, epoch: LeaderEpoch, bytes: &[u8]) -> Appended {
        let view = BatchView::parse(bytes).expect("a header");
        let facts = ValidBatch::from_header(&view).expect("a known codec");
        let batch = AppendBatch {
            bytes,
            facts: &facts,
            origin: AppendOrigin::Client,
        };
        let appended = self.dir.append(slot, epoch, batch, self.now);
        appended.expect("appended")
    }
}

#[test]
fn a_promotion_that_a_crash_forgets_is_forgotten_by_checkpoints_too() {
    let mut h = Harness::new(small_options());
    let slot = h.begin(1, 0).expect("begun");
    h.commit();
    h.dir.promote(slot).expect("there");
    h.checkpoint();
    let h = h.restart();
    assert!(h.dir.is_future(h.recovered(1)));
}

#[test]
fn a_beginning_that_a_crash_forgets_is_forgotten_by_checkpoints_too() {
    let h = Harness::new(small_options());
    h.begin(1, 0).expect("begun");
    h.checkpoint();
    let h = h.restart();
    assert_eq!(h.dir.slot(partition(1)), None);
}

/// What compaction leaves of a log: single batches with wide gaps, before the first one and behind each.
#[test]
fn gaps_are_kept_by_every_kind_of_restart() {
    let batches: Vec<Vec<u8>> = (0..12)
        .map(|index| produced(25 + index * 10, (7, 0, index as i32), 300))
        .collect();
    let expected: Vec<(i64, i64)> = (0..12).map(|i| (25 + i * 10, 25 + i * 10)).collect();
    for before in BEFORE {
        for stop in [0, 1, 5, 12] {
            let mut h = Harness::new(small_options());
            let slot = h.begin(1, 20).expect("begun");
            for (index, bytes) in batches[..stop].iter().enumerate() {
                let copied = h.copy(slot, bytes);
                assert_eq!(copied.base_offset.get(), expected[index].0);
                if index == 3 {
                    h.flush(slot);
                }
            }
            h = h.restart_after(before, slot);
            let slot = h.recovered(1);
            assert_eq!(h.offsets(slot), expected[..stop], "{before:?} {stop}");
            for bytes in &batches[stop..] {
                h.copy(slot, bytes);
            }
            assert_eq!(h.offsets(slot), expected, "{before:?} {stop}");
            let mut h = h.restart_after(before, slot);
            let slot = h.recovered(1);
            assert_eq!(h.offsets(slot), expected, "{before:?} {stop}");
            let read = h.read_all(slot, 20, 1 << 20);
            assert!(read.iter().map(|it| &it.2).eq(&batches));
            h.flush(slot);
            assert_eq!(h.offsets(slot), expected);
            assert_eq!(h.dir.findings().damage_count(), 0);
            // Producers and epochs follow from the batches.
            let known = h.dir.remembered(slot, h.now).expect("readable");
            assert_eq!(
                known.producers[0].last().expect("known").last_offset.get(),
                135
            );
            assert_eq!(known.leader_epoch, Some(LeaderEpoch::new(2)));
        }
    }
}

#[test]
fn gaps_that_no_segment_can_hold_begin_another_one() {
    let few = [5, 3_000_000_000, 3_000_000_001, 9_000_000_000];
    let far = [4_000_000_000, 4_000_000_001, 4_000_000_005, 8_000_000_000];
    for (before, bases) in BEFORE.iter().flat_map(|it| [(*it, few), (*it, far)]) {
        for stop in 0..=4 {
            let mut h = Harness::new(small_options());
            let slot = h.begin(1, 0).expect("begun");
            for base in &bases[..stop] {
                h.copy(slot, &batch_at(*base, 1, 2));
            }
            h = h.restart_after(before, slot);
            let slot = h.recovered(1);
            for base in &bases[stop..] {
                h.copy(slot, &batch_at(*base, 1, 2));
            }
            let mut h = h.restart_after(before, slot);
            let slot = h.recovered(1);
            let expected: Vec<_> = bases.iter().map(|base| (*base, *base)).collect();
            assert_eq!(h.offsets(slot), expected, "{before:?} {stop}");
            h.flush(slot);
            assert_eq!(h.offsets(slot), expected, "{before:?} {stop}");
        }
    }
}

/// An empty segment is where such a gap is first, and nothing is in it.
#[test]
fn a_gap_before_the_first_batch_may_be_that_wide() {
    for before in BEFORE {
        let h = Harness::new(small_options());
        let slot = h.begin(1, 0).expect("begun");
        h.copy(slot, &batch_at(0, 1, 2));
        h.dir.truncate(slot, Offset::ZERO).expect_err("not durable");
        let mut h = h.restart_after(before, slot);
        let slot = h.recovered(1);
        h.commit();
        h.dir.truncate(slot, Offset::ZERO).expect("durable");
        h.copy(slot, &batch_at(5_000_000_000, 1, 2));
        let mut h = h.restart_after(before, slot);
        let slot = h.recovered(1);
        let expected = [(5_000_000_000, 5_000_000_000)];
        assert_eq!(h.offsets(slot), expected, "{before:?}");
        h.flush(slot);
        assert_eq!(h.offsets(slot), expected, "{before:?}");
        assert_eq!(h.dir.findings().damage_count(), 0);
    }
}

#[test]
fn what_is_no_batch_of_a_leader_is_refused() {
    let h = Harness::new(small_options());
    let slot = h.begin(1, 10).expect("begun");
    h.copy(slot, &batch_at(10, 5, 3));
    for base in [9, 12, 14] {
        let refused = h.try_copy(slot, &batch_at(base, 1, 3));
        assert_eq!(
            refused,
            Err(AppendError::Overlaps {
                base_offset: Offset::new(base),
                appended_end: Offset::new(15),
            })
        );
    }
    let good = batch_at(15, 2, 3);
    let mut flipped = good.clone();
    *flipped.last_mut().expect("a byte") ^= 1;
    let mut two = good.clone();
    two.extend_from_slice(&batch_at(17, 1, 3));
    let mut unstamped = good.clone();
    unstamped[12..16].copy_from_slice(&(-1i32).to_be_bytes());
    let older = batch_at(15, 2, 2);
    for bytes in [flipped, two, unstamped, older] {
        let refused = h.try_copy(slot, &bytes);
        let is_named = matches!(refused, Err(AppendError::Malformed { .. }));
        assert!(is_named, "{refused:?}");
    }
    assert_eq!(h.bounds(slot), (10, 15));
    h.copy(slot, &good);
    assert_eq!(h.bounds(slot), (10, 17));
}

/// `segment.bytes` may be smaller by now than what is in the log already.
#[test]
fn a_batch_that_fits_no_segment_any_more_is_copied_all_the_same() {
    let mut h = Harness::new(small_options());
    let slot = h.begin(1, 0).expect("begun");
    h.copy(slot, &batch_at(0, 1, 2));
    h.copy(slot, &produced(1, (7, 0, 0), 5_000));
    h.copy(slot, &batch_at(2, 1, 2));
    h.flush(slot);
    assert_eq!(h.offsets(slot), [(0, 0), (1, 1), (2, 2)]);
    assert_eq!(h.dir.sizes(slot).expect("there").segments_count, 3);
}

#[test]
fn a_start_that_is_moved_past_the_end_leaves_an_empty_log_there() {
    for before in BEFORE {
        for (written, synced) in [(0, 0), (2, 0), (2, 1), (2, 2)] {
            let mut h = Harness::new(small_options());
            let slot = h.begin(1, 0).expect("begun");
            for index in 0..written {
                h.copy(slot, &batch_at(index * 10, 3, 2));
                if index < synced {
                    h.flush(slot);
                }
            }
            h.dir.delete_records(slot, Offset::new(70)).expect("future");
            assert_eq!(h.bounds(slot), (70, 70));
            let h = h.restart_after(before, slot);
            let slot = h.recovered(1);
            assert_eq!(h.bounds(slot), (70, 70), "{before:?} {written} {synced}");
            h.copy(slot, &batch_at(75, 3, 2));
            h.dir.delete_records(slot, Offset::new(80)).expect("future");
            h.dir.delete_records(slot, Offset::new(90)).expect("future");
            h.copy(slot, &batch_at(95, 3, 2));
            let mut h = h.restart_after(before, slot);
            let slot = h.recovered(1);
            assert_eq!(h.bounds(slot), (90, 98), "{before:?} {written} {synced}");
            assert_eq!(h.offsets(slot), [(95, 97)], "{before:?} {written} {synced}");
            h.dir.promote(slot).expect("there");
            let refused = h.dir.delete_records(slot, Offset::new(99));
            assert!(matches!(refused, Err(StorageError::OutOfRange { .. })));
            h.flush(slot);
            h.remove_what_retention_may();
            assert_eq!(h.dir.sizes(slot).expect("there").segments_count, 1);
            assert_eq!(h.offsets(slot), [(95, 97)], "{before:?} {written} {synced}");
        }
    }
}

impl Harness {
    fn remove_what_retention_may(&mut self) {
        for _ in 0..4 {
            self.dir.retention_now();
            while self.dir.retention_step(self.now) == PumpStep::Worked {}
            self.settle();
        }
    }
}

#[test]
fn retention_leaves_a_future_log_alone() {
    let mut h = Harness::new(small_options());
    let slot = h.begin(1, 0).expect("begun");
    let config = LogConfig {
        retention_ms: Some(1),
        retention_bytes: Some(1),
        ..config()
    };
    h.dir.set_config(slot, config);
    for index in 0..12 {
        h.copy(slot, &produced(index, (7, 0, index as i32), 500));
    }
    h.flush(slot);
    let count = h.dir.sizes(slot).expect("there").segments_count;
    h.remove_what_retention_may();
    assert_eq!(h.bounds(slot), (0, 12));
    assert_eq!(h.dir.sizes(slot).expect("there").segments_count, count);
    // What its source removed goes.
    h.dir
        .delete_records(slot, Offset::new(7))
        .expect("in range");
    h.commit();
    h.remove_what_retention_may();
    assert_eq!(h.bounds(slot), (7, 12));
    assert!(h.dir.sizes(slot).expect("there").segments_count < count);
    h.dir.promote(slot).expect("there");
    h.commit();
    h.remove_what_retention_may();
    assert_eq!(h.bounds(slot), (12, 12));
}

#[test]
fn a_log_that_is_not_gone_does_not_begin_again() {
    let mut h = Harness::new(small_options());
    let slot = h.begin(1, 0).expect("begun");
    assert_eq!(h.begin(1, 0), Err(StorageError::AlreadyThere));
    for index in 0..9 {
        h.copy(slot, &produced(index, (7, 0, index as i32), 500));
    }
    h.flush(slot);
    let durability = h.dir.drop_partition(slot, h.now).expect("there");
    let refused = Err(StorageError::Undurable { durability });
    assert_eq!(h.begin(1, 0), refused);
    let created = h.dir.create_partition(partition(1), "topic1", config());
    assert_eq!(created, refused);
    h.commit();
    let deleted = format!("topic1-1.{}-delete", partition(1).topic_id);
    let is_renamed = |h: &Harness| {
        let entries = h.disk.list(Path::new("")).expect("listed");
        entries.iter().any(|entry| entry.name == deleted)
    };
    while !is_renamed(&h) {
        assert_eq!(h.begin(1, 0), Err(StorageError::BeingRemoved));
        let created = h.dir.create_partition(partition(1), "topic1", config());
        assert_eq!(created, Err(StorageError::BeingRemoved));
        h.dir.flush_step(h.now);
    }
    assert_eq!(h.begin(1, 0), Err(StorageError::BeingRemoved), "not synced");
    h.dir.flush_step(h.now);
    let slot = h.begin(1, 4).expect("the name is free");
    h.copy(slot, &batch_at(4, 3, 2));
    h.flush(slot);
    h.settle();
    assert_eq!(h.offsets(slot), [(4, 6)]);
    let h = h.restart();
    assert_eq!(h.offsets(h.recovered(1)), [(4, 6)]);
    assert!(!is_renamed(&h));
}

/// There and back again, and once more: with a restart of every kind after each change.
#[test]
fn a_log_comes_and_goes_any_number_of_times() {
    for before in BEFORE {
        for is_restarted_when_gone in [false, true] {
            let mut h = Harness::new(small_options());
            for round in 0..4 {
                let start = round * 100;
                let slot = h.begin_again(1, start);
                for index in 0..7 {
                    let bytes = produced(start + index, (7, 0, (start + index) as i32), 500);
                    h.copy(slot, &bytes);
                    if index == 4 {
                        h.flush(slot);
                    }
                }
                h = h.restart_after(before, slot);
                let slot = h.recovered(1);
                assert_eq!(h.bounds(slot), (start, start + 7), "{before:?} {round}");
                assert_eq!(h.offsets(slot).len(), 7, "{before:?} {round}");
                assert!(h.dir.is_future(slot));
                h.dir.promote(slot).expect("there");
                h = h.restart_after(before, slot);
                let slot = h.recovered(1);
                assert_eq!(h.offsets(slot).len(), 7, "{before:?} {round}");
                assert!(!h.dir.is_future(slot));
                assert_eq!(h.dir.findings().damage_count(), 0);
                h.dir.drop_partition(slot, h.now).expect("there");
                h.commit();
                if is_restarted_when_gone {
                    h = h.restart();
                    assert_eq!(h.dir.slot(partition(1)), None);
                }
            }
            h.settle();
            let names = h.disk.list(Path::new("")).expect("listed");
            let is_left = |name: &str| name.starts_with("topic1");
            assert!(!names.iter().any(|entry| is_left(&entry.name)));
        }
    }
}

/// A kill after any number of steps of the pumps, with the log that was there before, without one, or with the new one.
#[test]
fn a_kill_at_any_moment_between_two_logs_leaves_one_of_them() {
    for steps in 0..60 {
        let mut h = Harness::new(small_options());
        let slot = h.begin_again(1, 0);
        for index in 0..5 {
            h.copy(slot, &produced(index, (7, 0, index as i32), 600));
        }
        h.flush(slot);
        h.checkpoint();
        h.copy(slot, &produced(5, (7, 0, 5), 600));
        h.commit();
        h.dir.drop_partition(slot, h.now).expect("there");
        let mut next = None;
        for step in 0..steps {
            if next.is_none() {
                next = h.begin(1, 50).ok();
                for index in 0..next.map_or(0, |_| 3) {
                    let slot = next.expect("begun");
                    h.copy(slot, &produced(50 + index, (7, 0, index as i32), 600));
                }
                if let Some(slot) = next {
                    h.dir.request_flush(slot, true);
                }
            }
            h.dir.flush_step(h.now);
            if step % 2 == 0 {
                h.dir.commit_step(h.now);
            }
            if step % 13 == 12 {
                h.checkpoint();
            }
            h.pass(1);
        }
        let mut h = h.restart();
        assert_ne!(h.report.verdict, Verdict::Lossy, "after {steps} steps");
        let found = h.dir.slot(partition(1)).map(|slot| h.bounds(slot));
        let is_old = found == Some((0, 6));
        let is_new = found.is_some_and(|(start, end)| start == 50 && (50..=53).contains(&end));
        assert!(is_old || is_new || found.is_none(), "{steps}: {found:?}");
        if let Some(slot) = h.dir.slot(partition(1)) {
            let count = if is_old { 6 } else { h.bounds(slot).1 - 50 };
            assert_eq!(h.offsets(slot).len() as i64, count, "after {steps} steps");
            h.dir.drop_partition(slot, h.now).expect("there");
        }
        let slot = h.begin_again(1, 80);
        h.copy(slot, &produced(80, (7, 0, 0), 600));
        h.flush(slot);
        h.settle();
        let h = h.restart();
        assert_eq!(h.offsets(h.recovered(1)), [(80, 80)], "after {steps} steps");
        assert_eq!(h.dir.findings().damage_count(), 0);
    }
}

#[test]
fn readers_of_a_dropped_log_do_not_get_the_next_one() {
    let mut h = Harness::new(small_options());
    let slot = h.begin(1, 0).expect("begun");
    for index in 0..3 {
        h.copy(slot, &produced(index, (7, 0, index as i32), 500));
    }
    h.flush(slot);
    let limit = crate::log_dir::ReadLimit {
        end: Offset::new(3),
        bytes_max: 1 << 20,
        at_least_one_batch: true,
    };
    let plan = h
        .dir
        .read_with(slot, Offset::ZERO, limit, crate::segment::Access::Wait)
        .expect("readable");
    let file = {
        let partition = h.dir.partition(slot).expect("there");
        let mut state = partition.lock();
        state.segment_file(partition.id(), 0)
    };
    h.dir.drop_partition(slot, h.now).expect("there");
    let slot = h.begin_again(1, 0);
    for index in 0..3 {
        h.copy(slot, &produced(index, (8, 0, index as i32), 400));
    }
    h.flush(slot);
    while !file.cool_down() {}
    let crate::log_dir::Part::File(range) = &plan.parts[0] else {
        panic!("it is on disk")
    };
    range.load_all().expect_err("it was closed, and is gone");
    assert_eq!(h.dir.findings().damage_count(), 0);
}

#[test]
fn compaction_leaves_a_future_log_alone() {
    let mut h = Harness::new(small_options());
    let slot = h.begin(1, 0).expect("begun");
    let config = LogConfig {
        compacts: true,
        deletes: false,
        min_cleanable_ppm: 0,
        ..config()
    };
    h.dir.set_config(slot, config);
    for index in 0..20 {
        h.copy(slot, &produced(index, (7, 0, index as i32), 500));
    }
    h.flush(slot);
    h.clean();
    assert_eq!(h.offsets(slot).len(), 20);
    h.dir.promote(slot).expect("there");
    h.clean();
    assert!(h.offsets(slot).len() < 20, "one key is in all of them");
}

/// What comes from another directory may be too large for the journal.
#[test]
fn large_batches_are_copied_beside_the_journal() {
    for before in BEFORE {
        let mut h = Harness::new(LogDirOptions {
            around_bytes: 4_000,
            ..small_options()
        });
        let slot = h.begin(1, 0).expect("begun");
        let bytes = produced(7, (7, 0, 0), 6_000);
        let refused = h.try_copy(slot, &bytes);
        assert_eq!(refused, Err(AppendError::Large));
        let large = h.dir.write_large(&bytes).expect("room");
        h.write_out(&large);
        let view = BatchView::parse(&bytes).expect("a header");
        let facts = ValidBatch::from_header(&view).expect("a known codec");
        let batch = AppendBatch {
            bytes: &bytes,
            facts: &facts,
            origin: AppendOrigin::Replica,
        };
        let copied = h.dir.append_large(slot, EPOCH, batch, &large, h.now);
        assert_eq!(copied.expect("copied").base_offset, Offset::new(7));
        let h = h.restart_after(before, slot);
        let slot = h.recovered(1);
        let read = h.read_all(slot, 0, 1 << 20);
        assert_eq!(read, [(7, 7, bytes)], "{before:?}");
    }
}

/// An unreadable entry on the way of a log that goes and comes: whichever it is, the one that is there afterwards is
/// the last one, and says when something of it is lost.
#[test]
fn damage_in_the_journal_mixes_no_two_logs() {
    let mut h = Harness::new(small_options());
    let slot = h.begin(1, 0).expect("begun");
    for index in 0..3 {
        h.copy(slot, &produced(index, (7, 0, index as i32), 300));
        h.commit();
    }
    h.dir.drop_partition(slot, h.now).expect("there");
    let slot = h.begin_again(1, 50);
    h.commit();
    for index in 0..3 {
        h.copy(slot, &produced(50 + index, (7, 0, index as i32), 300));
        h.commit();
    }
    h.pass(5_000);
    h.commit();
    let journal = Path::new("wal/ring-000001.wal");
    let open = |disk: &MemoryDisk| disk.open(journal, OpenMode::ReadWrite).expect("there");
    let size = open(&h.disk).size().expect("a size");
    for at in (4_096 + 20..size).step_by(97) {
        let disk = h.disk.copy();
        let mut byte = [0];
        open(&disk).read_at(at, &mut byte).expect("readable");
        open(&disk)
            .write_at(at, &[&[byte[0] ^ 4]])
            .expect("writable");
        let through = Arc::new(disk.clone());
        let h = Harness::open(disk, through, small_options(), h.now);
        let is_told = h.report.verdict == Verdict::Lossy;
        let found = h.dir.slot(partition(1)).map(|slot| h.bounds(slot));
        assert!(found == Some((50, 53)) || is_told, "byte {at}: {found:?}");
    }
}

/// A log that lost something does not know what it knew: neither is it copied, nor does it take the place of another.
#[test]
fn nothing_is_taken_over_from_a_damaged_log_nor_by_one() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, config());
    for id in 0..6 {
        h.append(slot, &batch(Some((id, 0, 0)), &[1_000], &[7; 300]));
    }
    h.flush(slot);
    let h = h.shut_down();
    let slot = h.recovered(1);
    let told = h.dir.remembered(slot, h.now).expect("readable");
    assert_eq!(told.producers.len(), 6);
    let h = h.restart();
    let slot = h.recovered(1);
    let dir = Path::new("topic1-1");
    let entries = h.disk.list(dir).expect("listed");
    let snapshot = entries.iter().find(|it| it.name.ends_with(".snapshot"));
    h.flip_at(&dir.join(&snapshot.expect("written").name), 20);
    let refused = h.dir.remembered(slot, h.now);
    let is_told = matches!(refused, Err(StorageError::Damaged { .. }));
    assert!(is_told, "{refused:?}");
    assert!(h.dir.damage(slot).is_some());
    let refused = h.dir.remember(slot, &told, h.now);
    assert!(matches!(refused, Err(StorageError::Damaged { .. })));
}
