//! What is bounded: disks without room, and memory; and what goes on all the same.

use super::harness::*;
use crate::disk::{Disk, OpenMode};
use crate::log_dir::{AppendError, AppendOrigin, DirHealth, ReadLimit};
use crate::marker::Marker;
use crate::memory_disk::MemoryDisk;
use crate::partition::LogConfig;
use crate::segment::Access;
use crate::wal::CommitStep;
use ottla_types::{Offset, PartitionSlot};
use std::path::Path;

/// A full disk, an empty partition, and one whose files take most of the room.
fn without_room() -> (Harness, PartitionSlot, PartitionSlot) {
    let mut h = Harness::on(MemoryDisk::with_size(1 << 20), small_options());
    let slot = h.create(1, LogConfig::default());
    let doomed = h.create(2, LogConfig::default());
    for _ in 0..20 {
        h.append(doomed, &batch(None, &[1], &[7; 15_000]));
        h.flush(doomed);
    }
    let ballast = h.disk.open(Path::new("ballast"), OpenMode::Create);
    let free = h.disk.space().expect("asked").free_bytes;
    let taken = ballast.and_then(|ballast| ballast.set_len(free));
    taken.expect("there is room");
    (h, slot, doomed)
}

/// The journal takes the drop of `doomed`, and what that frees lets everything go on. `count` batches are in `slot`.
fn assert_room_after_drop(
    mut h: Harness,
    slot: PartitionSlot,
    doomed: PartitionSlot,
    count: usize,
) {
    let dropped = h.dir.drop_partition(doomed, h.now).expect("there");
    h.commit();
    assert!(dropped <= h.dir.durable_lsn());
    for _ in 0..10 {
        h.pass(1_000);
        h.settle();
    }
    assert_eq!(h.dir.health(), DirHealth::Online);
    h.append(slot, &batch(None, &[1], &[1; 1_000]));
    h.settle();
    let h = h.restart();
    assert_eq!(h.read_all(slot, 0, 1 << 20).len(), count + 1);
}

#[test]
fn a_journal_without_room_refuses_records_until_there_is_some() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    let doomed = h.create(2, LogConfig::default());
    h.append(slot, &batch(None, &[1], b"before"));
    h.append(doomed, &batch(None, &[1], b"deleted"));
    h.flush(doomed);
    h.commit();
    h.disk.fill(true);
    let waiting = h.append(slot, &batch(None, &[1], b"waits for room"));
    assert!(matches!(h.dir.commit_step(h.now), CommitStep::Full { .. }));
    assert_eq!(h.dir.health(), DirHealth::Full);
    let refused = batch(None, &[1], b"refused");
    for _ in 0..3 {
        // The disk says that it has room.
        h.pass(1_000);
        h.settle();
        assert_eq!(h.dir.health(), DirHealth::Full);
        assert_eq!(h.try_append(slot, &refused), Err(AppendError::Full));
        assert_eq!(
            h.dir.admit(AppendOrigin::Coordinator),
            Err(AppendError::Full)
        );
        assert!(!h.dir.is_congested(), "the refusal is the answer");
    }
    assert!(!h.dir.is_durable(slot, waiting.durability));
    assert_eq!(h.read_all(slot, 0, 1 << 20).len(), 2);
    let dropped = h.dir.drop_partition(doomed, h.now).expect("there");

    h.disk.fill(false);
    h.pass(1_000);
    h.settle();
    assert!(h.dir.is_durable(slot, waiting.durability));
    assert!(dropped <= h.dir.durable_lsn());
    let names = h.disk.list(Path::new("")).expect("listed");
    assert!(
        names
            .iter()
            .all(|entry| !entry.name.starts_with("topic2-2"))
    );
    h.pass(1_000);
    h.settle();
    assert_eq!(h.dir.health(), DirHealth::Online);
    h.append(slot, &batch(None, &[1], b"after"));
    h.commit();
    assert_eq!(h.dir.markers().count(Marker::WalOffline), 0);
    let h = h.restart();
    let slot = h.dir.slot(partition(1)).expect("recovered");
    assert_eq!(h.read_all(slot, 0, 1 << 20).len(), 3);
}

/// The ring cannot grow and tails cannot be flushed: what is left of the ring is kept for the deletion that makes room.
#[test]
fn a_deletion_is_journaled_when_nothing_else_has_room() {
    let (mut h, slot, doomed) = without_room();
    let mut count = 0;
    while let Ok(appended) = h.try_append(slot, &batch(None, &[1], &[1; 1_000])) {
        h.commit();
        assert!(h.dir.is_durable(slot, appended.durability));
        count += 1;
        assert!(count < 1_000, "the ring never ends");
    }
    assert_eq!(h.dir.health(), DirHealth::Full);
    assert!(0 < h.dir.markers().count(Marker::RingGrowthRefused));

    assert_room_after_drop(h, slot, doomed, count);
}

/// The ring cannot grow, and a burst is queued before any of it is written: it ends where the half for deletions begins.
#[test]
fn a_burst_leaves_deletions_their_half_of_the_ring() {
    let (mut h, slot, doomed) = without_room();
    let mut count = 0;
    while h.dir.markers().count(Marker::RingGrowthRefused) == 0 {
        h.append(slot, &batch(None, &[1], &[1; 1_000]));
        h.commit();
        count += 1;
    }
    // Nobody looks at the disk, nor at the journal, meanwhile.
    while h.try_append(slot, &batch(None, &[1], &[1; 1_000])) != Err(AppendError::Full) {
        count += 1;
        assert!(count < 1_000, "the ring never ends");
    }
    h.commit();
    assert_eq!(h.dir.markers().count(Marker::RingStalled), 0);
    assert_room_after_drop(h, slot, doomed, count);
}

/// What each batch takes beside its bytes counts: tails of tiny ones are flushed long before their bytes reach the limit.
#[test]
fn a_million_tiny_batches_do_not_outgrow_the_limit() {
    let mut options = small_options();
    options.tail_bytes_max = 512 << 10;
    let mut h = Harness::new(options);
    let slot = h.create(1, LogConfig::default());
    let tiny = batch(None, &[1], b"");
    let overhead = crate::partition::BATCH_OVERHEAD;
    assert!(tiny.len() < overhead);
    let count = (512 << 10) / (tiny.len() + overhead) + 1;
    for number in 0..count {
        assert_eq!(h.dir.ends(slot).expect("there").written_end.get(), 0);
        h.append(slot, &tiny);
        assert_eq!(
            h.dir.stats().tail_bytes,
            (number + 1) * (tiny.len() + overhead)
        );
    }
    for _ in 0..1_000 {
        h.dir.flush_step(h.now);
    }
    assert!(0 < h.dir.ends(slot).expect("there").written_end.get());
    h.flush(slot);
    assert_eq!(h.dir.stats().tail_bytes, 0);
}

/// Readers that do not take what they are given get little of what is in memory, until they do.
#[test]
fn what_slow_readers_hold_is_counted_and_bounded() {
    let mut options = small_options();
    options.reader_bytes_max = 10_000;
    options.tail_bytes_max = 1 << 20;
    let mut h = Harness::new(options);
    let slot = h.create(1, LogConfig::default());
    for number in 0..20 {
        h.append(slot, &batch(None, &[1], &vec![number; 3_000]));
    }
    h.commit();
    let end = h.dir.ends(slot).expect("there").durable_end;
    let limit = ReadLimit {
        end,
        bytes_max: 6_500,
        at_least_one_batch: true,
    };
    let read = |h: &Harness, limit| h.dir.read(slot, Offset::ZERO, limit).expect("in memory");
    let held = |h: &Harness| h.dir.stats().reader_bytes;
    let mut plans = vec![read(&h, limit), read(&h, limit)];
    assert_eq!(plans[1].next_offset, Offset::new(2));
    assert_eq!(held(&h), 2 * plans[0].size);
    // The limit is passed by then; everybody still gets on.
    let little = read(&h, limit);
    assert_eq!(little.next_offset, Offset::new(1));
    let nothing = ReadLimit {
        at_least_one_batch: false,
        ..limit
    };
    assert_eq!(read(&h, nothing).size, 0);
    // A flush takes the batches out of the tail, not out of the readers' hands.
    h.flush(slot);
    assert_eq!(h.dir.stats().tail_bytes, 0);
    assert_eq!(held(&h), 2 * plans[0].size + little.size);
    // From the file whoever comes gets what was asked for, and holds nothing.
    let from_file = h.dir.read_with(slot, Offset::ZERO, limit, Access::Wait);
    assert_eq!(from_file.expect("whole").size, plans[0].size);
    plans.clear();
    drop(little);
    assert_eq!(held(&h), 0);
}
