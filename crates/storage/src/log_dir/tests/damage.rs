//! Bits that flip in the journal and in checkpoints: found, named, and the rest is served.

use super::harness::*;
use crate::disk::{DirEntry, Disk, OpenMode};
use crate::log_dir::work::TaskStep;
use crate::log_dir::{AppendError, LogDir, PumpStep, ReadError, ReadLimit, Verdict};
use crate::marker::Marker;
use crate::partition::LogConfig;
use crate::segment::Access;
use ottla_types::{Offset, PartitionSlot};
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Harness {
    /// Flips a bit in the middle of the journal's copies of `needle`.
    pub(super) fn flip_in_journal(&self, needle: &[u8]) {
        let mut found = 0;
        for entry in self.disk.list(Path::new("wal")).expect("listed") {
            let path = Path::new("wal").join(entry.name);
            let file = self.disk.open(&path, OpenMode::ReadWrite).expect("there");
            let mut bytes = vec![0; file.size().expect("a size") as usize];
            file.read_at(0, &mut bytes).expect("readable");
            let places = bytes.windows(needle.len()).enumerate();
            for (at, _) in places.filter(|(_, window)| *window == needle) {
                let at = at + needle.len() / 2;
                file.write_at(at as u64, &[&[bytes[at] ^ 1]])
                    .expect("written");
                found += 1;
            }
        }
        assert!(found > 0, "the journal holds it");
    }

    /// An idle journal proves its last frame.
    pub(super) fn prove(&mut self) {
        self.commit();
        self.pass(50);
        self.commit();
        self.pass(50);
        self.commit();
    }

    /// In order, with a checkpoint.
    pub(super) fn shut_down(mut self) -> Harness {
        for _ in 0..20_000 {
            self.dir.shutdown_step(self.now);
            self.dir.zero_step(self.now);
            self.dir.commit_step(self.now);
            self.pass(1);
            if self.dir.is_drained() {
                return self.restart();
            }
        }
        panic!("it does not come to an end: {:?}", self.dir.stats());
    }

    pub(super) fn checkpoints(&self) -> Vec<PathBuf> {
        let entries = self.disk.list(Path::new("checkpoints")).expect("listed");
        let paths = entries.into_iter();
        paths
            .map(|entry| Path::new("checkpoints").join(entry.name))
            .collect()
    }
}

pub(super) fn value(number: i32) -> Vec<u8> {
    format!("value number {number} of the test, ")
        .repeat(20)
        .into_bytes()
}

pub(super) fn produce(h: &mut Harness, slot: PartitionSlot, number: i32) {
    h.append(slot, &batch(Some((7, 0, number)), &[1_000], &value(number)));
    h.commit();
}

#[test]
fn a_lost_entry_ends_its_partition_and_no_other() {
    let mut h = Harness::new(small_options());
    let (hurt, other) = (
        h.create(1, LogConfig::default()),
        h.create(2, LogConfig::default()),
    );
    for number in 0..5 {
        produce(&mut h, hurt, number);
        produce(&mut h, other, 100 + number);
    }
    h.prove();
    h.flip_in_journal(&value(3));
    let mut h = h.restart();
    assert_eq!(h.report.verdict, Verdict::Lossy);
    let [(id, reason)] = &h.report.damaged[..] else {
        panic!("{:?}", h.report);
    };
    assert_eq!(*id, partition(1));
    assert!(reason.contains("journal entry"), "{reason}");
    let (hurt, other) = (
        h.create(1, LogConfig::default()),
        h.create(2, LogConfig::default()),
    );
    assert_eq!(h.read_all(hurt, 0, 1 << 20).len(), 3);
    assert_eq!(
        h.dir.ends(hurt).expect("there").appended_end,
        Offset::new(3)
    );
    let refused = h.try_append(hurt, &batch(Some((7, 0, 3)), &[1], b"x"));
    assert!(
        matches!(refused, Err(AppendError::Damaged { .. })),
        "{refused:?}"
    );
    assert_eq!(h.read_all(other, 0, 1 << 20).len(), 5);
    produce(&mut h, other, 105);
}

#[test]
fn a_lost_entry_that_is_in_a_segment_is_no_loss() {
    // The first entry, one in the middle, the last before the flush, and all of them.
    for lost in [vec![0], vec![2], vec![4], vec![0, 1, 2, 3, 4]] {
        for segment_bytes in [1 << 20, 1_500] {
            let mut h = Harness::new(small_options());
            let config = LogConfig {
                segment_bytes,
                ..LogConfig::default()
            };
            let slot = h.create(1, config);
            for number in 0..5 {
                produce(&mut h, slot, number);
            }
            h.flush(slot);
            produce(&mut h, slot, 5);
            let before = h.read_all(slot, 0, 1 << 20);
            h.prove();
            for number in &lost {
                h.flip_in_journal(&value(*number));
            }
            let mut h = h.restart();
            assert_eq!(
                h.report.damaged,
                [],
                "lost {lost:?}, segments of {segment_bytes}"
            );
            assert_eq!(h.report.verdict, Verdict::Recovered);
            assert!(h.dir.markers().count(Marker::LossHealed) > 0);
            let slot = h.create(1, config);
            assert_eq!(h.read_all(slot, 0, 1 << 20), before);
            // Producers are known as far as the records name them.
            let again = h.append(slot, &batch(Some((7, 0, 4)), &[1_000], &value(4)));
            assert!(again.duplicate);
            assert_eq!(again.base_offset, Offset::new(4));
            produce(&mut h, slot, 6);
            h.flush(slot);
            let after = h.read_all(slot, 0, 1 << 20);
            assert_eq!(after.len(), 7);
            let h = h.restart();
            let slot = h.create(1, config);
            assert_eq!(h.read_all(slot, 0, 1 << 20), after);
        }
    }
}

fn five_records() -> (Harness, PartitionSlot) {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    for number in 0..5 {
        produce(&mut h, slot, number);
    }
    (h, slot)
}

#[test]
fn a_lost_entry_that_was_cut_off_is_no_loss() {
    let (mut h, slot) = five_records();
    h.dir.truncate(slot, Offset::new(2)).expect("in range");
    h.commit();
    produce(&mut h, slot, 2);
    let before = h.read_all(slot, 0, 1 << 20);
    h.prove();
    h.flip_in_journal(&value(3));
    let h = h.restart();
    assert_eq!(h.report.damaged, []);
    let slot = h.create(1, LogConfig::default());
    assert_eq!(h.read_all(slot, 0, 1 << 20), before);
}

#[test]
fn a_lost_entry_in_a_segment_that_rotted_too_is_a_loss() {
    let (mut h, slot) = five_records();
    h.flush(slot);
    h.prove();
    h.flip_in_journal(&value(2));
    let log = Path::new("topic1-1/00000000000000000000.log");
    let size = h.disk.open(log, OpenMode::Read).expect("there");
    let at = size.size().expect("a size") / 2;
    h.flip_at(log, at);
    let h = h.restart();
    assert_eq!(h.report.damaged.len(), 1);
    let slot = h.create(1, LogConfig::default());
    assert_eq!(h.read_all(slot, 0, 1 << 20).len(), 2);
}

#[test]
fn one_bad_checkpoint_is_named_and_the_one_before_is_used() {
    let mut h = Harness::new(small_options());
    for round in 0..3 {
        let slot = h.create(1, LogConfig::default());
        produce(&mut h, slot, round);
        h = h.shut_down();
    }
    let slot = h.create(1, LogConfig::default());
    produce(&mut h, slot, 3);
    let before = h.read_all(slot, 0, 1 << 20);
    let newest = h.checkpoints().pop().expect("there are some");
    h.flip_at(&newest, 100);
    let h = h.restart();
    let [(path, part)] = &h.report.damaged_checkpoints[..] else {
        panic!("{:?}", h.report);
    };
    assert_eq!(*path, newest);
    assert!(!part.is_empty());
    assert!(!h.report.was_rebuilt);
    assert_eq!(h.report.damaged, []);
    let slot = h.create(1, LogConfig::default());
    assert_eq!(h.read_all(slot, 0, 1 << 20), before);
}

#[test]
fn without_any_checkpoint_everything_is_read_and_served() {
    for at in [8, 70, 100] {
        let mut h = Harness::new(small_options());
        for round in 0..3 {
            let slot = h.create(1, LogConfig::default());
            produce(&mut h, slot, round);
            h = h.shut_down();
        }
        let slot = h.create(1, LogConfig::default());
        produce(&mut h, slot, 3);
        let before = h.read_all(slot, 0, 1 << 20);
        let checkpoints = h.checkpoints();
        assert_eq!(checkpoints.len(), 2);
        for path in &checkpoints {
            h.flip_at(path, at);
        }
        let mut h = h.restart();
        let named: Vec<_> = h
            .report
            .damaged_checkpoints
            .iter()
            .map(|it| &it.0)
            .collect();
        assert!(
            checkpoints.iter().all(|path| named.contains(&path)),
            "{named:?}"
        );
        assert!(h.report.was_rebuilt);
        assert_eq!(h.report.verdict, Verdict::Lossy);
        let slot = h.create(1, LogConfig::default());
        assert_eq!(h.read_all(slot, 0, 1 << 20), before, "bit at {at}");
        let again = h.append(slot, &batch(Some((7, 0, 3)), &[1_000], &value(3)));
        assert!(again.duplicate);
        produce(&mut h, slot, 4);
    }
}

impl Harness {
    pub(super) fn checkpoint(&self) {
        let mut task = self.dir.checkpoint_at_once(self.now);
        while task.step(&self.dir).expect("written") == TaskStep::More {}
    }

    fn journal(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let read = |entry: DirEntry| {
            let path = Path::new("wal").join(entry.name);
            let file = self.disk.open(&path, OpenMode::Read).expect("there");
            let mut bytes = vec![0; file.size().expect("a size") as usize];
            file.read_at(0, &mut bytes).expect("readable");
            (path, bytes)
        };
        let entries = self.disk.list(Path::new("wal")).expect("listed");
        entries.into_iter().map(read).collect()
    }
}

#[test]
fn a_second_loss_in_a_damaged_partition_ends_it_earlier_and_stops_no_start() {
    let (mut h, slot) = five_records();
    h.dir
        .delete_records(slot, Offset::new(2))
        .expect("in range");
    h.prove();
    h.flip_in_journal(&value(4));
    let mut h = h.restart();
    let slot = h.create(1, LogConfig::default());
    let ends = h.dir.ends(slot).expect("there");
    assert_eq!(ends.appended_end, Offset::new(4), "{:?}", h.report);
    h.prove();
    h.checkpoint();
    h.flip_in_journal(&value(0));
    let h = h.restart();
    assert_eq!(h.report.damaged.len(), 1, "{:?}", h.report);
    let slot = h.create(1, LogConfig::default());
    let ends = h.dir.ends(slot).expect("there");
    assert_eq!(
        (ends.log_start, ends.appended_end),
        (Offset::ZERO, Offset::ZERO)
    );
}

#[test]
fn a_producer_snapshot_stays_while_a_checkpoint_that_may_be_used_names_it() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    let append = |h: &mut Harness, producers: std::ops::Range<i64>| {
        for producer in producers {
            h.append(slot, &batch(Some((producer, 0, 0)), &[1_000], b"v"));
        }
        h.flush(slot);
        h.prove();
    };
    append(&mut h, 0..6);
    let mut under_way = h.dir.checkpoint_at_once(h.now);
    under_way.step(&h.dir).expect("written");
    append(&mut h, 10..16);
    while under_way.step(&h.dir).expect("written") == TaskStep::More {}
    h.checkpoint();
    h.settle();
    let newest = h.checkpoints().pop().expect("there are two");
    h.flip_at(&newest, 100);
    let mut h = h.restart();
    assert_eq!(h.report.damaged_checkpoints.len(), 1, "{:?}", h.report);
    assert!(!h.report.was_rebuilt);
    let slot = h.create(1, LogConfig::default());
    for producer in [3, 13] {
        let again = h.append(slot, &batch(Some((producer, 0, 0)), &[1_000], b"v"));
        assert!(again.duplicate, "producer {producer}");
    }
}

#[test]
fn a_removal_whose_log_start_is_unreadable_moves_it_all_the_same() {
    let mut h = Harness::new(small_options());
    let config = LogConfig {
        segment_bytes: 1_500,
        ..LogConfig::default()
    };
    let slot = h.create(1, config);
    for number in 0..5 {
        produce(&mut h, slot, number);
    }
    h.flush(slot);
    h.prove();
    let before = h.journal();
    h.dir
        .delete_records(slot, Offset::new(4))
        .expect("in range");
    h.commit();
    let after = h.journal();
    h.dir.retention_now();
    while h.dir.retention_step(h.now) == PumpStep::Worked {}
    h.prove();
    assert_eq!(h.dir.sizes(slot).expect("there").segments_count, 1);
    let changed = before.iter().zip(&after).find_map(|(before, after)| {
        let pairs = before.1.iter().zip(&after.1);
        let at = pairs.enumerate().find(|(_, (a, b))| a != b)?.0;
        Some((before.0.clone(), at))
    });
    let (path, at) = changed.expect("the entry was written");
    h.flip_at(&path, at as u64 + 8);
    let h = h.restart();
    assert_eq!(h.report.verdict, Verdict::Lossy, "{:?}", h.report);
    let slot = h.create(1, config);
    assert_eq!(h.dir.ends(slot).expect("there").log_start, Offset::new(4));
    let limit = ReadLimit {
        end: Offset::new(5),
        bytes_max: 1 << 20,
        at_least_one_batch: true,
    };
    let read = h.dir.read_with(slot, Offset::ZERO, limit, Access::Wait);
    assert!(
        matches!(read, Err(ReadError::OutOfRange { .. })),
        "{read:?}"
    );
    assert_eq!(h.read_all(slot, 4, 1 << 20).len(), 1);
}

#[test]
fn two_directories_of_one_partition_are_not_guessed_between() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    produce(&mut h, slot, 0);
    let h = h.shut_down();
    h.disk
        .create_dir(Path::new("backup-topic1-1"))
        .expect("made");
    for entry in h.disk.list(Path::new("topic1-1")).expect("listed") {
        let from = Path::new("topic1-1").join(&entry.name);
        let from = h.disk.open(&from, OpenMode::Read).expect("there");
        let mut bytes = vec![0; entry.size as usize];
        from.read_at(0, &mut bytes).expect("readable");
        let to = Path::new("backup-topic1-1").join(&entry.name);
        let to = h.disk.open(&to, OpenMode::CreateNew).expect("made");
        to.write_at(0, &[&bytes]).expect("written");
    }
    for path in h.checkpoints() {
        h.flip_at(&path, 100);
    }
    let Harness {
        disk,
        dir,
        options,
        now,
        ..
    } = h;
    drop(dir);
    let opened = LogDir::open(Arc::new(disk), options, now).map(|_| ());
    let error = opened.expect_err("nobody knows which is right").to_string();
    for part in ["topic1-1", "backup-topic1-1", "move one"] {
        assert!(error.contains(part), "{error}");
    }
}

/// A checkpoint behind the last entry of a ring file, an idle frame behind it in the same file, and the next
/// entry in the next file: judged by LSNs, the file was never released, and commits stalled for ever.
#[test]
fn idle_frames_at_the_end_of_ring_files_do_not_keep_them() {
    for size in [3_000, 5_000, 7_000] {
        // The flushes, and with them the checkpoints, come at other places of the files each time.
        for flushed_every in 2..9 {
            let mut options = small_options();
            options.rewrite_bytes_max = 0;
            let mut h = Harness::new(options);
            let slot = h.create(1, LogConfig::default());
            for index in 0..200 {
                h.append(slot, &batch(None, &[1], &vec![index as u8; size]));
                h.prove();
                if index % flushed_every == 0 {
                    h.flush(slot);
                    h.prove();
                }
                let (durable, next) = (h.dir.durable_lsn(), h.dir.wal().next_lsn());
                assert_eq!(durable.next(), next, "size {size}, entry {index}");
            }
            assert!(h.dir.markers().count(Marker::RingReused) > 2);
        }
    }
}

/// What was appended behind a segment that is damaged, and whose sidecar is gone, is flushed to a segment of its own:
/// otherwise the journal would have to keep it for ever.
#[test]
fn a_tail_behind_a_damaged_segment_goes_to_a_new_one() {
    const LOG: &str = "topic1-1/00000000000000000000.log";
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    produce(&mut h, slot, 0);
    produce(&mut h, slot, 1);
    h.flush(slot);
    h.flip_at(Path::new(LOG), 100);
    h.disk
        .remove_file(&Path::new(LOG).with_extension("sums"))
        .expect("there");
    let mut h = h.restart();
    let slot = h.create(1, LogConfig::default());
    produce(&mut h, slot, 2);
    produce(&mut h, slot, 3);
    let before = h.read_all(slot, 2, 1 << 20);
    h.flush(slot);
    assert_eq!(h.dir.markers().count(Marker::SegmentSplit), 1);
    let ends = h.dir.ends(slot).expect("there");
    assert_eq!(
        ends.synced_end,
        Offset::new(4),
        "nothing is left for the journal"
    );
    assert_eq!(h.read_all(slot, 2, 1 << 20), before);
    produce(&mut h, slot, 4);
    // The journal alone tells it again, and so does a checkpoint.
    let h = h.restart();
    let slot = h.create(1, LogConfig::default());
    assert_eq!(h.read_all(slot, 2, 1 << 20).len(), 3);
    let h = h.shut_down();
    let slot = h.create(1, LogConfig::default());
    assert_eq!(h.read_all(slot, 2, 1 << 20).len(), 3);
}
