//! When segments roll, and when they go.

use super::harness::*;
use crate::log_dir::{LogDirOptions, PumpStep};
use crate::partition::LogConfig;
use crate::wal::WalOptions;
use ottla_types::{Offset, PartitionSlot};

const DAY: u64 = 86_400_000;

impl Harness {
    fn retain(&mut self) {
        self.dir.retention_now();
        while self.dir.retention_step(self.now) == PumpStep::Worked {}
        self.settle();
    }

    fn start_after_retention(&mut self, slot: PartitionSlot) -> i64 {
        self.retain();
        self.dir.ends(slot).expect("there").log_start.get()
    }

    fn segments(&self, slot: PartitionSlot) -> usize {
        self.dir.sizes(slot).expect("there").segments_count
    }
}

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 2_000,
        retention_ms: Some(DAY as i64),
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

/// Three segments with two batches each, appended an hour apart; `timestamp` gives each record's.
fn three_segments(h: &mut Harness, slot: PartitionSlot, timestamp: impl Fn(&Harness) -> i64) {
    for index in 0..6 {
        let at = timestamp(h);
        h.append(slot, &batch(None, &[at], &[index; 900]));
        if index % 2 == 1 {
            h.pass(3_600_000);
        }
    }
    h.flush(slot);
    assert_eq!(h.segments(slot), 3);
}

#[test]
fn segments_without_timestamps_age_by_their_last_append() {
    for restarts in [false, true] {
        let mut h = Harness::new(small_options());
        let slot = h.create(1, config());
        three_segments(&mut h, slot, |_| -1);
        if restarts {
            h = h.restart();
        }
        let slot = h.create(1, config());
        h.pass(DAY - 3 * 3_600_000 - 60_000);
        assert_eq!(h.start_after_retention(slot), 0);
        h.pass(60_001);
        assert_eq!(h.start_after_retention(slot), 2);
        h.retain();
        assert_eq!(h.segments(slot), 2);
        h.pass(DAY);
        assert_eq!(h.start_after_retention(slot), 6);
    }
}

#[test]
fn the_ages_of_segments_survive_a_checkpoint() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, config());
    three_segments(&mut h, slot, |_| -1);
    for _ in 0..20_000 {
        h.dir.shutdown_step(h.now);
        h.dir.commit_step(h.now);
        h.pass(1);
        if h.dir.is_drained() {
            break;
        }
    }
    assert!(h.dir.is_drained());
    let mut h = h.restart();
    assert_eq!(h.report.entries_count, 0, "the checkpoint knows everything");
    let slot = h.create(1, config());
    h.pass(DAY - 2 * 3_600_000 - 60_000);
    assert_eq!(h.start_after_retention(slot), 2);
    h.pass(3_600_000);
    assert_eq!(h.start_after_retention(slot), 4);
}

#[test]
fn segments_without_timestamps_roll_by_the_time_of_their_first_append() {
    let hour = LogConfig {
        segment_ms: 3_600_000,
        ..LogConfig::default()
    };
    let mut h = Harness::new(small_options());
    h.pass(20 * DAY);
    let slot = h.create(1, hour);
    h.append(slot, &batch(None, &[-1], b"a"));
    h.pass(3_600_000);
    h.append(slot, &batch(None, &[-1], b"b"));
    assert_eq!(h.segments(slot), 1);
    let mut h = {
        h.commit();
        h.restart()
    };
    let slot = h.create(1, hour);
    h.pass(1);
    h.append(slot, &batch(None, &[-1], b"c"));
    assert_eq!(h.segments(slot), 2);
    // Timestamps count from one record to the other, whatever the clock says.
    let at = h.now.wall.as_millis() - 10 * DAY as i64;
    h.pass(DAY);
    h.append(slot, &batch(None, &[at], b"d"));
    assert_eq!(h.segments(slot), 3);
    h.pass(DAY);
    h.append(slot, &batch(None, &[at + 3_600_000], b"e"));
    h.append(slot, &batch(None, &[-1], b"f"));
    assert_eq!(h.segments(slot), 3);
    h.append(slot, &batch(None, &[at + 3_600_001], b"g"));
    assert_eq!(h.segments(slot), 4);
}

#[test]
fn a_record_from_the_future_keeps_its_segment() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, config());
    three_segments(&mut h, slot, |h| h.now.wall.as_millis() + 5 * DAY as i64);
    h.pass(3 * DAY);
    assert_eq!(h.start_after_retention(slot), 0);
    h.pass(4 * DAY);
    assert_eq!(h.start_after_retention(slot), 6);
}

#[test]
fn retention_goes_no_further_than_the_high_watermark() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, config());
    three_segments(&mut h, slot, |h| h.now.wall.as_millis());
    h.pass(10 * DAY);
    for (high_watermark, start) in [(0, 0), (1, 0), (2, 2), (5, 4), (6, 6)] {
        h.dir.set_high_watermark(slot, Offset::new(high_watermark));
        assert_eq!(
            h.start_after_retention(slot),
            start,
            "below {high_watermark}"
        );
    }
    let mut h = Harness::new(small_options());
    let slot = h.create(1, config());
    three_segments(&mut h, slot, |h| h.now.wall.as_millis());
    h.dir.set_config(
        slot,
        LogConfig {
            retention_bytes: Some(0),
            ..config()
        },
    );
    h.dir.set_high_watermark(slot, Offset::new(3));
    assert_eq!(h.start_after_retention(slot), 2);
}

#[test]
fn size_counts_whole_segments_above_the_limit() {
    for (kept, start) in [
        (6_000, 0),
        (3_885, 0),
        (3_884, 2),
        (2_000, 2),
        (1_900, 4),
        (0, 6),
    ] {
        let mut h = Harness::new(small_options());
        let slot = h.create(1, config());
        three_segments(&mut h, slot, |h| h.now.wall.as_millis());
        let bytes = h.dir.sizes(slot).expect("there").bytes;
        assert_eq!(bytes, 6 * 971, "each batch has 71 bytes beside its value");
        h.dir.set_config(
            slot,
            LogConfig {
                retention_bytes: Some(kept),
                ..config()
            },
        );
        assert_eq!(h.start_after_retention(slot), start, "{kept} bytes");
    }
}

#[test]
fn without_delete_nothing_goes_but_what_is_below_the_log_start() {
    for compacts in [false, true] {
        let mut h = Harness::new(small_options());
        let keeps = LogConfig {
            deletes: false,
            compacts,
            retention_bytes: Some(0),
            ..config()
        };
        let slot = h.create(1, keeps);
        three_segments(&mut h, slot, |h| h.now.wall.as_millis());
        h.pass(100 * DAY);
        assert_eq!(h.start_after_retention(slot), 0);
        assert_eq!(h.segments(slot), 3);
        h.dir
            .delete_records(slot, Offset::new(3))
            .expect("in range");
        h.settle();
        assert_eq!(h.start_after_retention(slot), 3);
        h.retain();
        assert_eq!(h.segments(slot), 2);
        // Together with `delete`, retention works as ever.
        h.dir.set_config(
            slot,
            LogConfig {
                compacts,
                ..config()
            },
        );
        assert_eq!(h.start_after_retention(slot), 6);
    }
}

/// Ten batches in a segment that takes no eleventh.
fn nearly_full_segment() -> (Harness, PartitionSlot) {
    let options = LogDirOptions {
        wal: WalOptions::default(),
        tail_bytes_max: 64 << 20,
        ..small_options()
    };
    let mut h = Harness::new(options);
    let slot = h.create(
        1,
        LogConfig {
            segment_bytes: 3 << 20,
            ..LogConfig::default()
        },
    );
    for index in 0..10 {
        h.append(slot, &batch(None, &[1], &vec![index; 300_000]));
        h.flush(slot);
    }
    (h, slot)
}

#[test]
fn full_segments_reserve_nothing_behind_their_end() {
    let (mut h, slot) = nearly_full_segment();
    assert_eq!(h.segments(slot), 1);
    assert!(
        h.disk.reserved_bytes() > 100_000,
        "room for what comes next"
    );
    h.append(slot, &batch(None, &[1], &vec![10; 300_000]));
    h.flush(slot);
    assert_eq!(h.segments(slot), 2);
    assert_eq!(h.disk.reserved_bytes(), 0);
}

/// What a process reserved and could not give back, the next one does: here it was killed between the roll and the
/// flush behind it.
#[test]
fn full_segments_of_a_process_that_died_reserve_nothing_either() {
    let (mut h, slot) = nearly_full_segment();
    h.append(slot, &batch(None, &[1], &vec![10; 300_000]));
    h.commit();
    assert_eq!(h.segments(slot), 2);
    let kept = h.read_all(slot, 0, 1 << 20);
    assert!(h.disk.reserved_bytes() > 100_000);
    let mut h = h.restart();
    let slot = h.dir.slot(partition(1)).expect("recovered");
    h.scrub();
    assert_eq!(h.disk.reserved_bytes(), 0, "nothing was appended");
    assert_eq!(h.read_all(slot, 0, 1 << 20), kept);
    assert_eq!(h.dir.findings().damage_count(), 0);
}

#[test]
fn producers_that_come_fast_push_out_the_oldest_between_two_sweeps() {
    let mut options = small_options();
    options.producers_max = 100;
    let mut h = Harness::new(options);
    let slot = h.create(1, config());
    for producer in 0..1_000 {
        h.pass(1);
        h.append(slot, &batch(Some((producer, 0, 0)), &[1_000], b"v"));
        if producer % 100 == 99 {
            h.settle();
        }
    }
    let count = h.dir.stats().producers_count;
    assert!((80..=205).contains(&count), "{count}");
    assert_eq!(h.dir.producers(slot).len(), count);
    // All of one time: they go as well.
    for producer in 1_000..1_300 {
        h.append(slot, &batch(Some((producer, 0, 0)), &[1_000], b"v"));
    }
    h.pass(200);
    h.settle();
    assert!(h.dir.stats().producers_count <= 105);
}
