//! What threads may do to each other while one of them waits for the disk: the disk itself calls the other one.

use super::harness::*;
use crate::disk::Disk;
use crate::log_dir::{AppendError, DirHealth, LogDir, PumpStep};
use crate::partition::LogConfig;
use crate::segment::Access;
use ottla_types::{LeaderEpoch, Offset, PartitionSlot};
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Harness {
    /// A process in which an append of producer 3 has to read `snapshot`; `what` happens meanwhile.
    fn append_while_reading_a_snapshot(
        what: impl FnOnce(&LogDir, PartitionSlot) + Send + 'static,
    ) -> (Harness, PartitionSlot, AppendError) {
        let mut h = Harness::new(small_options());
        let slot = h.create(1, LogConfig::default());
        for producer in 0..6 {
            h.append(slot, &batch(Some((producer, 0, 0)), &[1_000], b"v"));
        }
        h.flush(slot);
        let (mut h, disk) = h.shut_down().interrupted();
        let slot = h.create(1, LogConfig::default());
        let dir = Arc::clone(&h.dir);
        let snapshot = h.file_of(".snapshot");
        disk.before_open(snapshot, move || what(&dir, slot));
        let refused = h.try_append(slot, &batch(Some((3, 0, 1)), &[1_000], b"w"));
        assert!(disk.is_past(), "the snapshot was read");
        (h, slot, refused.expect_err("things have changed"))
    }

    fn file_of(&self, suffix: &str) -> PathBuf {
        let dir = Path::new("topic1-1");
        let entries = self.disk.list(dir).expect("listed");
        let found = entries.iter().find(|entry| entry.name.ends_with(suffix));
        dir.join(&found.expect("there is one").name)
    }
}

#[test]
fn a_leader_that_waited_for_a_snapshot_is_fenced_by_the_next_one() {
    let (_, _, refused) = Harness::append_while_reading_a_snapshot(|dir, slot| {
        dir.bump_leader_epoch(slot, LeaderEpoch::new(9))
            .expect("there");
    });
    assert!(
        matches!(refused, AppendError::FencedLeaderEpoch { .. }),
        "{refused:?}"
    );
}

#[test]
fn nothing_is_appended_to_a_partition_that_was_dropped_meanwhile() {
    let (mut h, _, refused) = Harness::append_while_reading_a_snapshot(|dir, slot| {
        let now = ottla_types::Now {
            mono: ottla_types::Mono::from_millis(9_000_000),
            wall: ottla_types::Timestamp::from_millis(9_000_000),
        };
        let lsn = dir.drop_partition(slot, now).expect("there");
        while dir.durable_lsn() < lsn {
            dir.commit_step(now);
        }
        dir.finish_drops();
    });
    assert_eq!(refused, AppendError::UnknownPartition);
    h.settle();
    let stats = h.dir.stats();
    assert_eq!((stats.tail_bytes, stats.dirty_partitions_count), (0, 0));
    assert_eq!(stats.producers_count, 0);
}

#[test]
fn an_unreadable_snapshot_refuses_the_batch_that_asked_for_it() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    for producer in 0..6 {
        h.append(slot, &batch(Some((producer, 0, 0)), &[1_000], b"v"));
    }
    h.flush(slot);
    let mut h = h.shut_down();
    let slot = h.create(1, LogConfig::default());
    h.flip_at(&h.file_of(".snapshot"), 20);
    for _ in 0..2 {
        let refused = h.try_append(slot, &batch(Some((3, 0, 1)), &[1_000], b"w"));
        assert!(
            matches!(refused, Err(AppendError::Damaged { .. })),
            "{refused:?}"
        );
    }
    let ends = h.dir.ends(slot).expect("there");
    assert_eq!(ends.appended_end, Offset::new(6));
}

#[test]
fn a_reader_that_is_slower_than_the_flusher_hides_no_records() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    h.append(slot, &batch(None, &[1_000], &[1; 900]));
    h.flush(slot);
    let (mut h, disk) = h.interrupted();
    let slot = h.create(1, LogConfig::default());
    let file = {
        let partition = h.dir.partition(slot).expect("there");
        let mut state = partition.lock();
        state.segment_file(partition.id(), 0)
    };
    let short = {
        let partition = h.dir.partition(slot).expect("there");
        let state = partition.lock();
        state.segments[0].written_size
    };
    h.append(slot, &batch(None, &[1_000], &[2; 900]));
    h.flush(slot);
    // The cache is full of other files; then a reader goes on that looked before the flush.
    while !file.cool_down() {}
    let units = file.load_units(&*disk.disk, short, Access::Wait);
    assert!(units.expect("readable").is_some());
    assert_eq!(h.read_all(slot, 0, 1 << 20).len(), 2);
    assert_eq!(h.read_all(slot, 1, 1 << 20).len(), 1);
    // Nor does one that comes to its end when others have read more.
    while !file.cool_down() {}
    let (other, path) = (
        Arc::clone(&file),
        file.path(crate::segment::names::FileKind::Sums),
    );
    let long = {
        let partition = h.dir.partition(slot).expect("there");
        let state = partition.lock();
        state.segments[0].written_size
    };
    let through = Arc::clone(&disk);
    disk.before_open(path, move || {
        let units = other.load_units(&*through.disk, long, Access::Wait);
        assert!(units.expect("readable").is_some());
    });
    file.load_units(&*disk.disk, short, Access::Wait)
        .expect("readable");
    assert_eq!(file.units().expect("kept").end_position(), long);
    assert_eq!(h.read_all(slot, 1, 1 << 20).len(), 1);
    // The flusher goes on behind what is there, whatever that is.
    while !file.cool_down() {}
    file.load_units(&*disk.disk, short, Access::Wait)
        .expect("readable");
    h.append(slot, &batch(None, &[1_000], &[3; 900]));
    h.flush(slot);
    assert_eq!(h.read_all(slot, 0, 1 << 20).len(), 3);
}

/// What retention removed makes place for a partition's next segment, whose directory a drop takes away meanwhile.
#[test]
fn a_directory_that_a_drop_takes_away_does_no_harm_to_a_removal() {
    let config = LogConfig {
        retention_ms: Some(1_000),
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    };
    let mut h = Harness::new(small_options());
    let slot = h.create(1, config);
    let at = h.now.wall.as_millis();
    h.append(slot, &batch(None, &[at], b"old"));
    h.flush(slot);
    let (mut h, disk) = h.interrupted();
    let slot = h.create(1, config);
    let under = h.disk.clone();
    let next = PathBuf::from("topic1-1/00000000000000000001.log");
    disk.before_open(next, move || {
        let (from, to) = (Path::new("topic1-1"), Path::new("topic1-1-gone"));
        under.rename(from, to).expect("renamed");
    });
    h.pass(5_000);
    h.dir.retention_now();
    for _ in 0..5 {
        while h.dir.retention_step(h.now) == PumpStep::Worked {}
        h.settle();
        h.pass(400_000);
    }
    assert!(disk.is_past(), "the next segment was to be seen");
    assert_eq!(h.dir.ends(slot).expect("there").log_start, Offset::new(1));
    assert_eq!(h.dir.health(), DirHealth::Online);
}
