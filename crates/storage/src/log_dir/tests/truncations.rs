//! Logs are cut: between batches and in one, in files and in tails, with what is known of them.

use super::harness::*;
use crate::log_dir::{LogDirOptions, StorageError};
use crate::partition::LogConfig;
use crate::segment::Access;
use ottla_types::{Offset, PartitionSlot, Timestamp};

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 5_000,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

impl Harness {
    /// As a follower does: waits, cuts, waits.
    pub(super) fn cut(&mut self, slot: PartitionSlot, to: i64) -> Result<(), StorageError> {
        for _ in 0..100 {
            match self.dir.truncate(slot, Offset::new(to)) {
                Ok(_) => {
                    self.commit();
                    return Ok(());
                }
                Err(StorageError::Undurable { durability }) => {
                    assert!(self.dir.durable_lsn() < durability);
                    self.settle();
                    self.pass(1_000);
                    self.commit();
                }
                Err(error) => return Err(error),
            }
        }
        panic!("the journal does not get on");
    }

    fn largest(&self, slot: PartitionSlot) -> Option<(i64, i64)> {
        let largest = self
            .dir
            .max_timestamp(slot, Access::Wait)
            .expect("readable");
        largest.map(|it| (it.offset.get(), it.timestamp.as_millis()))
    }

    fn end_of(&self, slot: PartitionSlot) -> i64 {
        self.dir.ends(slot).expect("there").appended_end.get()
    }
}

/// In the tail, in files, and half of it in each.
const WRITTEN: [usize; 3] = [0, 6, 3];

#[test]
fn timestamps_of_what_is_cut_off_are_forgotten() {
    for written in WRITTEN {
        for restarts in [false, true] {
            let mut h = Harness::new(small_options());
            let slot = h.create(1, config());
            for (index, at) in [500, 700, 600, 300, 9_000, 400].into_iter().enumerate() {
                h.append(slot, &batch(None, &[at], &[7; 300]));
                if index + 1 == written {
                    h.flush(slot);
                }
            }
            assert_eq!(h.largest(slot), Some((4, 9_000)));
            h.cut(slot, 4).expect("in range");
            if restarts {
                h = h.restart();
            }
            let slot = h.create(1, config());
            assert_eq!(h.largest(slot), Some((1, 700)), "{written} written");
            h.cut(slot, 1).expect("in range");
            if restarts {
                h = h.restart();
            }
            let slot = h.create(1, config());
            assert_eq!(h.largest(slot), Some((0, 500)));
            let first = h
                .dir
                .offset_for_timestamp(slot, Timestamp::from_millis(501), Access::Wait);
            assert_eq!(first.expect("readable"), None);
            h.cut(slot, 0).expect("in range");
            assert_eq!(h.largest(slot), None);
            h.append(slot, &batch(None, &[3], b"new"));
            h.flush(slot);
            assert_eq!(h.largest(slot), Some((0, 3)));
        }
    }
}

#[test]
fn a_batch_goes_as_a_whole() {
    for written in WRITTEN {
        for size in [10, 300_000] {
            let mut h = Harness::new(LogDirOptions {
                around_bytes: 16 << 10,
                ..small_options()
            });
            let config = LogConfig {
                segment_bytes: 1 << 30,
                ..config()
            };
            let slot = h.create(1, config);
            for index in 0..6 {
                let value = vec![7; if index == 3 { size } else { 10 }];
                h.append(slot, &batch(None, &[1, 2, 3], &value));
                if index + 1 == written {
                    h.flush(slot);
                }
            }
            let before = h.read_all(slot, 0, 1 << 20);
            h.cut(slot, 11).expect("in range");
            assert_eq!(h.end_of(slot), 9, "{written} written, {size} bytes");
            let mut h = h.restart();
            assert_eq!(h.report.damaged, []);
            let slot = h.create(1, config);
            assert_eq!(h.end_of(slot), 9);
            assert_eq!(h.read_all(slot, 0, 1 << 20), before[..3]);
            h.append(slot, &batch(None, &[1], b"new"));
            h.flush(slot);
            let before = h.read_all(slot, 0, 1 << 20);
            assert_eq!(before.len(), 4);
            let h = h.restart();
            let slot = h.create(1, config);
            assert_eq!(h.read_all(slot, 0, 1 << 20), before);
        }
    }
}

#[test]
fn a_log_is_cut_below_its_first_segment() {
    for flushes in [false, true] {
        let mut h = Harness::new(small_options());
        let slot = h.create(1, config());
        for _ in 0..20 {
            h.append(slot, &batch(None, &[1_000], &[7; 900]));
        }
        h.flush(slot);
        h.dir
            .delete_records(slot, Offset::new(12))
            .expect("in range");
        h.commit();
        h.dir.retention_now();
        while h.dir.retention_step(h.now) == crate::log_dir::PumpStep::Worked {}
        h.settle();
        h.append(slot, &batch(None, &[1_000], &[7; 900]));
        h.cut(slot, 3).expect("in range");
        let ends = h.dir.ends(slot).expect("there");
        assert_eq!((ends.log_start.get(), ends.appended_end.get()), (3, 3));
        for _ in 0..15 {
            h.append(slot, &batch(None, &[1_000], &[8; 900]));
        }
        h.commit();
        if flushes {
            h.flush(slot);
        }
        let before = h.read_all(slot, 3, 1 << 20);
        assert_eq!(before.len(), 15);
        let mut h = h.restart();
        assert_eq!(h.report.damaged, []);
        let slot = h.create(1, config());
        assert_eq!(h.read_all(slot, 3, 1 << 20), before);
        h.flush(slot);
        assert_eq!(h.read_all(slot, 3, 1 << 20), before);
    }
}

#[test]
fn what_is_not_durable_is_not_cut() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, config());
    for _ in 0..4 {
        h.append(slot, &batch(None, &[1_000], &[7; 900]));
    }
    let refused = h.dir.truncate(slot, Offset::new(2));
    let Err(StorageError::Undurable { durability }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(h.end_of(slot), 4);
    h.commit();
    assert!(durability <= h.dir.durable_lsn());
    h.dir.truncate(slot, Offset::new(2)).expect("durable");
    // Nor is it cut again before that is durable.
    h.append(slot, &batch(None, &[1_000], &[7; 900]));
    let refused = h.dir.truncate(slot, Offset::new(1));
    assert!(matches!(refused, Err(StorageError::Undurable { .. })));
    h.cut(slot, 1).expect("in range");
    assert_eq!(h.end_of(slot), 1);
    h.dir.drop_partition(slot, h.now).expect("there");
    let refused = h.dir.truncate(slot, Offset::new(1));
    assert_eq!(refused, Err(StorageError::UnknownPartition));
}

/// What a failed directory has not made durable never will be: nobody waits for it.
#[test]
fn a_failed_directory_says_so() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, config());
    h.append(slot, &batch(None, &[1_000], b"never durable"));
    h.dir.health.fail("a test".to_owned());
    let refused = h.dir.truncate(slot, Offset::ZERO);
    assert_eq!(refused, Err(StorageError::Offline));
}
