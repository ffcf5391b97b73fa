use super::harness::*;
use crate::disk::{Disk, OpenMode};
use crate::log_dir::{AppendBatch, AppendError, AppendOrigin, DirHealth, ReadError, ReadLimit};
use crate::partition::{Durability, LogConfig};
use crate::segment::Access;
use ottla_records::{BatchView, TimestampType, ValidBatch};
use ottla_types::{LeaderEpoch, Lsn, Offset, Sequence, Timestamp};
use std::path::Path;

#[test]
fn offsets_are_given_in_order_and_durable_when_the_journal_says_so() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    let first = h.append(slot, &batch(None, &[1, 2, 3], b"a"));
    let second = h.append(slot, &batch(None, &[4], b"b"));
    assert_eq!(
        (first.base_offset, first.last_offset),
        (Offset::new(0), Offset::new(2))
    );
    assert_eq!(second.base_offset, Offset::new(3));
    assert!(!h.dir.is_durable(slot, first.durability));
    assert_eq!(h.dir.ends(slot).expect("there").durable_end, Offset::ZERO);
    h.commit();
    assert!(h.dir.is_durable(slot, second.durability));
    let ends = h.dir.ends(slot).expect("there");
    assert_eq!(ends.durable_end, Offset::new(4));
    assert_eq!(ends.written_end, Offset::ZERO);
    let all = h.read_all(slot, 0, 1 << 20);
    assert_eq!(all.len(), 2);
    let view = BatchView::parse(&all[1].2).expect("a batch");
    assert_eq!(view.leader_epoch(), Some(EPOCH));
}

#[test]
fn old_leader_epochs_are_fenced() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    h.dir
        .bump_leader_epoch(slot, LeaderEpoch::new(4))
        .expect("there");
    let refused = h.try_append(slot, &batch(None, &[1], b"a"));
    let expected = AppendError::FencedLeaderEpoch {
        given: EPOCH,
        current: LeaderEpoch::new(4),
    };
    assert_eq!(refused, Err(expected));
    assert_eq!(h.dir.latest_epoch(slot), Some(LeaderEpoch::new(4)));
}

#[test]
fn duplicates_wait_for_their_original() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    let original = h.append(slot, &batch(Some((7, 0, 0)), &[1, 2], b"a"));
    let again = h.append(slot, &batch(Some((7, 0, 0)), &[1, 2], b"a"));
    assert!(again.duplicate);
    assert_eq!(again.base_offset, original.base_offset);
    assert_eq!(again.durability, original.durability);
    let refused = h.try_append(slot, &batch(Some((7, 0, 5)), &[1], b"a"));
    let expected = AppendError::OutOfOrderSequence {
        base_sequence: Sequence::new(5),
        last_sequence: Some(Sequence::new(1)),
        durability: original.durability,
    };
    assert_eq!(refused, Err(expected));
    h.commit();
    let again = h.append(slot, &batch(Some((7, 0, 0)), &[1, 2], b"a"));
    assert!(h.dir.is_durable(slot, again.durability));
    assert_eq!(
        h.dir.ends(slot).expect("there").appended_end,
        Offset::new(2)
    );
}

#[test]
fn log_append_time_is_the_brokers() {
    let mut h = Harness::new(small_options());
    let config = LogConfig {
        timestamp_type: TimestampType::LogAppendTime,
        ..LogConfig::default()
    };
    let slot = h.create(1, config);
    let appended = h.append(slot, &batch(Some((7, 0, 0)), &[5, 6], b"a"));
    assert_eq!(appended.log_append_time, Some(h.now.wall));
    let all = h.read_all(slot, 0, 1 << 20);
    let view = BatchView::parse(&all[0].2).expect("a batch");
    assert_eq!(view.max_timestamp(), h.now.wall);
    let was = h.now.wall;
    h.pass(1_000);
    let again = h.append(slot, &batch(Some((7, 0, 0)), &[5, 6], b"a"));
    assert_eq!(again.log_append_time, Some(was));
}

#[test]
fn os_topics_are_durable_when_written() {
    let mut h = Harness::new(small_options());
    let config = LogConfig {
        durability: Durability::Os,
        ..LogConfig::default()
    };
    let slot = h.create(1, config);
    let appended = h.append(slot, &batch(None, &[1], b"a"));
    while !h.dir.is_durable(slot, appended.durability) {
        assert!(h.dir.written_lsn() < appended.durability);
        h.pass(1);
        h.dir.commit_step(h.now);
    }
    assert!(h.dir.durable_lsn() < appended.durability);
    assert_eq!(h.dir.ends(slot).expect("there").durable_end, Offset::new(1));
    // Becoming durable takes nothing back.
    h.dir.set_config(slot, LogConfig::default());
    assert_eq!(h.dir.ends(slot).expect("there").durable_end, Offset::new(1));
    h.commit();
    assert_eq!(h.dir.durability(slot), Some(Durability::Fsync));
}

#[test]
fn segments_roll_by_size_and_by_record_time() {
    let mut h = Harness::new(small_options());
    let config = LogConfig {
        segment_bytes: 1_000,
        segment_ms: 100,
        ..LogConfig::default()
    };
    let slot = h.create(1, config);
    let too_large = h.try_append(slot, &batch(None, &[1], &[0; 2_000]));
    assert!(matches!(
        too_large,
        Err(AppendError::RecordListTooLarge { .. })
    ));
    for _ in 0..3 {
        h.append(slot, &batch(None, &[1_000], &[0; 400]));
    }
    assert_eq!(h.dir.sizes(slot).expect("there").segments_count, 2);
    h.append(slot, &batch(None, &[1_100], &[0; 10]));
    assert_eq!(h.dir.sizes(slot).expect("there").segments_count, 2);
    h.append(slot, &batch(None, &[1_101], &[0; 10]));
    assert_eq!(h.dir.sizes(slot).expect("there").segments_count, 3);
}

#[test]
fn reads_keep_to_their_limits() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    for _ in 0..10 {
        h.append(slot, &batch(None, &[1, 2, 3], &[0; 1_000]));
    }
    let read = |h: &Harness, from: i64, end: i64, bytes_max: usize, at_least_one_batch: bool| {
        let limit = ReadLimit {
            end: Offset::new(end),
            bytes_max,
            at_least_one_batch,
        };
        let plan = h
            .dir
            .read_with(slot, Offset::new(from), limit, Access::Wait);
        plan.map(|plan| {
            let bytes = Harness::load(&plan);
            let count = ottla_records::batches(&bytes).count();
            let first = ottla_records::batches(&bytes).flatten().next();
            (first.map(|batch| batch.base_offset().get()), count)
        })
    };
    for is_flushed in [false, true] {
        if is_flushed {
            h.flush(slot);
            assert_eq!(h.dir.ends(slot).expect("there").synced_end, Offset::new(30));
        }
        assert_eq!(read(&h, 0, 30, 1 << 20, false), Ok((Some(0), 10)));
        // An offset inside a batch gives that batch.
        assert_eq!(read(&h, 4, 30, 1 << 20, false), Ok((Some(3), 9)));
        // Only whole batches below the end.
        assert_eq!(read(&h, 0, 8, 1 << 20, false), Ok((Some(0), 2)));
        assert_eq!(read(&h, 0, 2, 1 << 20, true), Ok((None, 0)));
        // As many as fit; one at least, if asked for.
        assert_eq!(read(&h, 0, 30, 7_000, false), Ok((Some(0), 2)));
        assert_eq!(read(&h, 0, 30, 10, false), Ok((None, 0)));
        assert_eq!(read(&h, 3, 30, 10, true), Ok((Some(3), 1)));
        assert_eq!(read(&h, 30, 30, 10, true), Ok((None, 0)));
        let (log_start, end) = (Offset::ZERO, Offset::new(30));
        assert_eq!(
            read(&h, 31, 30, 10, true),
            Err(ReadError::OutOfRange { log_start, end })
        );
    }
}

#[test]
fn records_are_found_by_time() {
    let mut h = Harness::new(small_options());
    let config = LogConfig {
        segment_bytes: 4_000,
        ..LogConfig::default()
    };
    let slot = h.create(1, config);
    for base in 0..10 {
        let at = 1_000 + base * 10;
        h.append(slot, &batch(None, &[at, at + 5, at - 100], &[0; 300]));
    }
    for is_flushed in [false, true] {
        if is_flushed {
            h.flush(slot);
        }
        let find = |target: i64| {
            let found =
                h.dir
                    .offset_for_timestamp(slot, Timestamp::from_millis(target), Access::Wait);
            found
                .expect("readable")
                .map(|found| (found.offset.get(), found.timestamp.as_millis()))
        };
        assert_eq!(find(0), Some((0, 1_000)));
        assert_eq!(find(1_001), Some((1, 1_005)));
        assert_eq!(find(1_006), Some((3, 1_010)));
        assert_eq!(find(1_095), Some((28, 1_095)));
        assert_eq!(find(1_096), None);
        let largest = h.dir.max_timestamp(slot, Access::Wait).expect("readable");
        let largest = largest.expect("there are records");
        assert_eq!(
            (largest.offset.get(), largest.timestamp.as_millis()),
            (28, 1_095)
        );
    }
}

#[test]
fn a_full_disk_refuses_producers_and_recovers() {
    let disk = crate::memory_disk::MemoryDisk::with_size(24 << 20);
    let mut options = small_options();
    options.reserve_bytes = 1 << 20;
    options.wal.ring_size_max = 16 << 20;
    options.wal.file_size_max = 8 << 20;
    options.wal.span_max = 16 << 20;
    let mut h = Harness::on(disk, options);
    let config = LogConfig {
        segment_bytes: 100_000,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    };
    let slot = h.create(1, config);
    let mut appended = 0;
    while h.dir.health() == DirHealth::Online {
        h.append(slot, &batch(None, &[1], &[0; 20_000]));
        appended += 1;
        assert!(appended < 1_000, "the disk never fills");
        h.flush(slot);
        h.pass(1_000);
        h.settle();
    }
    assert_eq!(
        h.try_append(slot, &batch(None, &[1], b"a")),
        Err(AppendError::Full)
    );
    assert_eq!(h.read_all(slot, 0, 1 << 20).len(), appended);
    // What frees space works.
    let end = h.dir.ends(slot).expect("there").appended_end;
    h.dir.delete_records(slot, end).expect("allowed");
    for _ in 0..3 {
        // The new start becomes durable, then segments go, then space comes back.
        h.dir.retention_now();
        while h.dir.retention_step(h.now) == crate::log_dir::PumpStep::Worked {}
        h.settle();
        h.pass(1_000);
    }
    h.settle();
    assert_eq!(h.dir.health(), DirHealth::Online);
    assert_eq!(h.append(slot, &batch(None, &[1], b"a")).base_offset, end);
    assert_eq!(h.dir.ends(slot).expect("there").log_start, end);
    let _ = Lsn::ZERO;
}

#[test]
fn coordinators_go_on_into_half_of_the_reserve() {
    let disk = crate::memory_disk::MemoryDisk::with_size(64 << 20);
    let mut options = small_options();
    options.reserve_bytes = 4 << 20;
    let mut h = Harness::on(disk, options);
    let slot = h.create(1, LogConfig::default());
    let leave = |h: &mut Harness, wanted: u64| {
        let ballast = h.disk.open(Path::new("ballast"), OpenMode::Create);
        let ballast = ballast.expect("made");
        let free = h.disk.space().expect("asked").free_bytes;
        let size = ballast.size().expect("a size") + free - wanted;
        ballast.set_len(size).expect("there is room");
        h.pass(1_000);
        h.settle();
    };
    let origins = [
        AppendOrigin::Client,
        AppendOrigin::Replica,
        AppendOrigin::Coordinator,
    ];
    let admitted = |h: &Harness| origins.map(|origin| h.dir.admit(origin).is_ok());
    leave(&mut h, 8 << 20);
    assert_eq!(admitted(&h), [true, true, true]);
    leave(&mut h, 3 << 20);
    assert_eq!(h.dir.health(), DirHealth::Full);
    assert_eq!(admitted(&h), [false, false, true]);
    let bytes = batch(None, &[1], b"offsets");
    assert_eq!(h.try_append(slot, &bytes), Err(AppendError::Full));
    let view = BatchView::parse(&bytes).expect("a batch");
    let facts = ValidBatch::from_header(&view).expect("a known codec");
    let commit = AppendBatch {
        bytes: &bytes,
        facts: &facts,
        origin: AppendOrigin::Coordinator,
    };
    h.dir
        .append(slot, EPOCH, commit, h.now)
        .expect("there is room");
    h.commit();
    leave(&mut h, 1 << 20);
    assert_eq!(admitted(&h), [false, false, false]);
    leave(&mut h, 8 << 20);
    assert_eq!(admitted(&h), [true, true, true]);
}
