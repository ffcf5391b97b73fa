//! No checkpoint is left: the files, and what the journal still has, are all there is.

use super::harness::*;
use super::keyed_log::*;
use crate::disk::{Disk, OpenMode};
use crate::log_dir::{AppendError, PumpStep, Verdict};
use crate::partition::LogConfig;
use ottla_types::{Offset, PartitionSlot};
use std::path::Path;

fn compacted() -> LogConfig {
    LogConfig {
        compacts: true,
        deletes: false,
        segment_bytes: 2_000,
        min_cleanable_ppm: 10_000,
        delete_retention_ms: 0,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

impl Harness {
    /// The process ends, and every checkpoint is unreadable.
    pub(super) fn lose_checkpoints(mut self) -> Harness {
        self.commit();
        let mut checkpoints = self.checkpoints();
        if checkpoints.is_empty() {
            self.checkpoint();
            checkpoints = self.checkpoints();
        }
        for path in checkpoints {
            self.flip_at(&path, 100);
        }
        let h = self.restart();
        assert!(h.report.was_rebuilt);
        assert_eq!(h.report.verdict, Verdict::Lossy);
        h
    }

    /// The journal has nothing of what was there before.
    pub(super) fn forget_journal(&mut self) {
        let other = self.create(200, LogConfig::default());
        self.settle();
        for _ in 0..1_200 {
            self.append(other, &batch(None, &[1_000], &[7; 900]));
            self.settle();
        }
        self.flush(other);
        self.checkpoint();
        self.checkpoint();
    }

    fn forgetful(&mut self, forgets: bool) {
        if forgets {
            self.forget_journal();
        }
    }

    fn end(&self, slot: PartitionSlot) -> Offset {
        self.dir.ends(slot).expect("there").appended_end
    }

    fn sizes_in(&self, dir: &str) -> Vec<(String, u64)> {
        let files = self.disk.list(Path::new(dir)).expect("a directory");
        files.into_iter().map(|it| (it.name, it.size)).collect()
    }
}

/// Synced records behind a flipped bit are lost, and their offsets are not given out again.
#[test]
fn a_flip_in_the_last_segment_is_a_loss_and_not_the_end() {
    for forgets in [true, false] {
        for (segment, at) in [(0, 100), (0, 3_000), (5, 700), (5, 2_900)] {
            let mut h = Harness::new(cleaner_options());
            let config = LogConfig {
                segment_bytes: 5_000,
                ..LogConfig::default()
            };
            let slot = h.create(1, config);
            h.append_numbered(slot, 0..8);
            h.flush(slot);
            let before = h.read_all(slot, 0, 1 << 20);
            h.forgetful(forgets);
            let log = format!("topic1-1/{segment:020}.log");
            h.flip_at(Path::new(&log), at);
            let whole = h.sizes_in("topic1-1");
            let mut h = h.lose_checkpoints();
            let slot = h.create(1, config);
            if !forgets {
                // The journal has it all, and the file is written again.
                assert_eq!(h.report.damaged, []);
                assert_eq!(h.read_all(slot, 0, 1 << 20), before);
                h.flush(slot);
                assert_eq!(h.read_all(slot, 0, 1 << 20), before);
                continue;
            }
            let [(id, reason)] = &h.report.damaged[..] else {
                panic!("{:?}", h.report);
            };
            assert_eq!(*id, partition(1));
            let named = format!("segment {segment} is broken at position");
            assert!(reason.contains(&named), "{reason}");
            assert!(reason.contains("..8 are lost"), "{reason}");
            let end = h.end(slot).get();
            assert_eq!(end, segment + at as i64 / 1_000, "{reason}");
            assert_eq!(h.read_all(slot, 0, 1 << 20), before[..end as usize]);
            let refused = h.try_append(slot, &batch(None, &[1], b"x"));
            assert!(
                matches!(refused, Err(AppendError::Damaged { .. })),
                "{refused:?}"
            );
            h.flush(slot);
            h.settle();
            assert_eq!(h.sizes_in("topic1-1"), whole, "nothing is cut");
        }
    }
}

/// Bytes that were only in the page cache are not taken for synced ones.
#[test]
fn what_is_read_is_synced() {
    let mut h = Harness::new(cleaner_options());
    let slot = h.create(1, LogConfig::default());
    h.append(slot, &batch(None, &[1_000], b"only written"));
    h.commit();
    h.dir.request_flush(slot, false);
    h.settle();
    h.checkpoint();
    for path in h.checkpoints() {
        h.flip_at(&path, 100);
    }
    let (h, disk) = h.interrupted();
    assert!(h.report.was_rebuilt);
    assert!(disk.has_synced("topic1-1/00000000000000000000.log"));
}

/// What was never synced is torn by a crash, and the journal has it.
#[test]
fn a_torn_end_is_no_loss() {
    let mut h = Harness::new(cleaner_options());
    let slot = h.create(1, LogConfig::default());
    h.append_numbered(slot, 0..6);
    let before = h.read_all(slot, 0, 1 << 20);
    h.commit();
    h.dir.request_flush(slot, false);
    h.settle();
    let log = h
        .disk
        .open(
            Path::new("topic1-1/00000000000000000000.log"),
            OpenMode::ReadWrite,
        )
        .expect("there");
    log.set_len(2_500).expect("cut");
    let mut h = h.lose_checkpoints();
    assert_eq!(h.report.damaged, []);
    let slot = h.create(1, LogConfig::default());
    assert_eq!(h.read_all(slot, 0, 1 << 20), before);
    h.append(slot, &batch(None, &[1_000], b"more"));
    h.flush(slot);
    let h = h.restart();
    let slot = h.create(1, LogConfig::default());
    assert_eq!(h.read_all(slot, 0, 1 << 20).len(), 7);
}

#[test]
fn a_compacted_log_comes_back_as_it_was() {
    for forgets in [true, false] {
        let mut h = Harness::new(cleaner_options());
        let slot = h.create(1, compacted());
        overwrite(&mut h, slot, 5, 90, "a");
        // Of the last records of a segment nothing is left.
        for _ in 0..40 {
            h.put(slot, "gone", Some(&"y".repeat(80)));
        }
        h.put(slot, "gone", None);
        overwrite(&mut h, slot, 5, 60, "b");
        h.clean();
        h.pass(1_000);
        overwrite(&mut h, slot, 2, 30, "c");
        h.clean();
        let (before, end) = (h.latest(slot), h.end(slot));
        assert!(h.dir.cleaner_stats().records_removed > 100);
        h.forgetful(forgets);
        let mut h = h.lose_checkpoints();
        assert_eq!(h.report.damaged, [], "{forgets}");
        let slot = h.create(1, compacted());
        assert_eq!(h.end(slot), end);
        assert_eq!(h.latest(slot), before);
        overwrite(&mut h, slot, 5, 60, "d");
        let before = h.latest(slot);
        h.clean();
        assert_eq!(h.latest(slot), before);
        let h = h.lose_checkpoints();
        assert_eq!(h.report.damaged, []);
        let slot = h.create(1, compacted());
        assert_eq!(h.latest(slot), before);
    }
}

/// New files may have their names or not, and old ones may be there or not.
#[test]
fn a_swap_that_was_under_way_is_finished_or_forgotten() {
    for steps in 0..90 {
        let mut h = Harness::new(cleaner_options());
        let slot = h.create(1, compacted());
        overwrite(&mut h, slot, 5, 80, "a");
        let (before, end) = (h.latest(slot), h.end(slot));
        h.flush(slot);
        h.dir.clean_now();
        for step in 0..steps {
            h.dir.clean_step(h.now);
            if step % 3 == 0 {
                h.dir.commit_step(h.now);
            }
            if step % 2 == 0 {
                h.dir.flush_step(h.now);
            }
            h.pass(2);
        }
        let mut h = h.lose_checkpoints();
        assert_eq!(h.report.damaged, [], "after {steps} steps");
        let slot = h.create(1, compacted());
        assert_eq!(h.latest(slot), before, "after {steps} steps");
        assert_eq!(h.end(slot), end);
        overwrite(&mut h, slot, 5, 80, "b");
        let before = h.latest(slot);
        h.clean();
        assert_eq!(h.latest(slot), before, "after {steps} steps");
        let h = h.restart();
        assert_eq!(h.report.damaged, []);
        let slot = h.create(1, compacted());
        assert_eq!(h.latest(slot), before, "after {steps} steps");
    }
}

/// The offsets of records that retention removed are not given out again.
#[test]
fn a_log_that_retention_emptied_goes_on_where_it_was() {
    for forgets in [true, false] {
        let mut h = Harness::new(cleaner_options());
        let config = LogConfig {
            retention_ms: Some(1_000),
            file_delete_delay_ms: 0,
            ..LogConfig::default()
        };
        let slot = h.create(1, config);
        for number in 0..6u8 {
            let at = h.now.wall.as_millis();
            h.append(slot, &batch(None, &[at], &[number; 900]));
        }
        h.flush(slot);
        h.pass(5_000);
        h.dir.retention_now();
        for _ in 0..5 {
            while h.dir.retention_step(h.now) == PumpStep::Worked {}
            h.settle();
            h.pass(400_000);
        }
        assert_eq!(h.dir.ends(slot).expect("there").log_start, Offset::new(6));
        h.settle();
        h.forgetful(forgets);
        let mut h = h.lose_checkpoints();
        assert_eq!(h.report.damaged, []);
        let slot = h.create(1, config);
        let ends = h.dir.ends(slot).expect("there");
        assert_eq!(
            (ends.log_start, ends.appended_end),
            (Offset::new(6), Offset::new(6))
        );
        let appended = h.append(slot, &batch(None, &[h.now.wall.as_millis()], b"next"));
        assert_eq!(appended.base_offset, Offset::new(6));
        h.flush(slot);
        assert_eq!(h.read_all(slot, 6, 1 << 20).len(), 1);
    }
}

/// The journal speaks of positions in files that compaction or later writes have changed.
#[test]
fn a_truncated_log_comes_back_as_it_was() {
    for (cut, flushes) in [(3, true), (3, false), (7, true), (7, false)] {
        let mut h = Harness::new(cleaner_options());
        let config = LogConfig {
            segment_bytes: 5_000,
            ..LogConfig::default()
        };
        let slot = h.create(1, config);
        for number in 0..8u8 {
            h.append(slot, &batch(None, &[1_000], &[number; 900]));
            if number == 5 && flushes {
                h.flush(slot);
            }
        }
        h.settle();
        h.pass(2_000);
        h.commit();
        h.dir.truncate(slot, Offset::new(cut)).expect("durable");
        h.commit();
        for number in 20..26u8 {
            h.append(slot, &batch(None, &[2_000], &[number; 900]));
        }
        h.flush(slot);
        let before = h.read_all(slot, 0, 1 << 20);
        let mut h = h.lose_checkpoints();
        assert_eq!(h.report.damaged, []);
        let slot = h.create(1, config);
        assert_eq!(h.read_all(slot, 0, 1 << 20), before);
        h.flush(slot);
        assert_eq!(h.read_all(slot, 0, 1 << 20), before);
        let h = h.restart();
        let slot = h.create(1, config);
        assert_eq!(h.read_all(slot, 0, 1 << 20), before);
    }
}

/// What a truncation cut off goes, also when nothing is written over it because the log goes on in another segment.
#[test]
fn nothing_stays_behind_the_end_of_a_full_segment_that_was_cut() {
    for (is_trimmed, forgets) in [(true, true), (true, false), (false, false)] {
        let mut h = Harness::new(cleaner_options());
        let config = LogConfig {
            segment_bytes: 5_000,
            ..LogConfig::default()
        };
        let slot = h.create(1, config);
        h.append_numbered(slot, 0..5);
        h.flush(slot);
        h.settle();
        h.pass(2_000);
        h.commit();
        h.dir.truncate(slot, Offset::new(3)).expect("durable");
        h.commit();
        h.append(slot, &batch(None, &[2_000], &[9; 4_000]));
        assert_eq!(h.dir.sizes(slot).expect("there").segments_count, 2);
        h.commit();
        h.dir.request_flush(slot, is_trimmed);
        h.settle();
        let before = h.read_all(slot, 0, 1 << 20);
        let bases: Vec<_> = before.iter().map(|(base, ..)| *base).collect();
        assert_eq!(bases, [0, 1, 2, 3]);
        let first = "00000000000000000000.log".to_owned();
        let below: usize = before[..3].iter().map(|(.., bytes)| bytes.len()).sum();
        let is_cut = h.sizes_in("topic1-1").contains(&(first, below as u64));
        assert_eq!(is_cut, is_trimmed);
        h.forgetful(forgets);
        let mut h = h.lose_checkpoints();
        assert_eq!(h.report.damaged, []);
        let slot = h.create(1, config);
        assert_eq!(h.read_all(slot, 0, 1 << 20), before);
        h.flush(slot);
        assert_eq!(h.read_all(slot, 0, 1 << 20), before);
        assert_eq!(h.scrub(), []);
    }
}

/// The last batch has none behind it that would contradict a base offset that is too large.
#[test]
fn a_bent_offset_of_the_last_batch_is_not_believed() {
    for forgets in [true, false] {
        let mut h = Harness::new(cleaner_options());
        let slot = h.create(1, LogConfig::default());
        h.append_numbered(slot, 0..4);
        h.flush(slot);
        let before = h.read_all(slot, 0, 1 << 20);
        h.forgetful(forgets);
        let below: usize = before[..3].iter().map(|(.., bytes)| bytes.len()).sum();
        let log = Path::new("topic1-1/00000000000000000000.log");
        h.flip_at(log, below as u64 + 7);
        let mut h = h.lose_checkpoints();
        let slot = h.create(1, LogConfig::default());
        if forgets {
            let [(_, reason)] = &h.report.damaged[..] else {
                panic!("{:?}", h.report);
            };
            assert!(reason.contains("offsets 3..4 are lost"), "{reason}");
            assert_eq!(h.read_all(slot, 0, 1 << 20), before[..3]);
            continue;
        }
        assert_eq!(h.report.damaged, []);
        h.flush(slot);
        assert_eq!(h.read_all(slot, 0, 1 << 20), before);
    }
}
