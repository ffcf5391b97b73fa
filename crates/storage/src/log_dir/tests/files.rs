use super::harness::*;
use crate::disk::{Disk, OpenMode};
use crate::findings::Finding;
use crate::log_dir::{DirHealth, PumpStep, ReadError, ReadLimit};
use crate::partition::LogConfig;
use crate::segment::{Access, ReadFault};
use crate::wal::CommitStep;
use ottla_types::{Lsn, Offset, PartitionId, PartitionSlot, TopicPartition};
use std::path::{Path, PathBuf};

fn read(h: &Harness, path: &str) -> Vec<u8> {
    content(&h.disk, Path::new(path))
}

impl Harness {
    /// Another topic with the name of the first one.
    fn create_successor(&self) -> (TopicPartition, PartitionSlot) {
        let mut other = partition(1);
        other.topic_id = partition(2).topic_id;
        let config = LogConfig::default();
        let created = self.dir.create_partition(other, "topic1", config);
        (other, created.expect("online"))
    }
}

#[test]
fn segment_files_are_exactly_the_batches() {
    let mut h = Harness::new(small_options());
    let slot = h.create(
        1,
        LogConfig {
            segment_bytes: 3_000,
            ..LogConfig::default()
        },
    );
    for index in 0..8 {
        h.append(slot, &batch(None, &[1_000 + index], &[index as u8; 900]));
    }
    let before = h.read_all(slot, 0, 1 << 20);
    h.flush(slot);
    assert_eq!(h.read_all(slot, 0, 1 << 20), before);
    let mut log = read(&h, "topic1-1/00000000000000000000.log");
    log.extend(read(&h, "topic1-1/00000000000000000003.log"));
    log.extend(read(&h, "topic1-1/00000000000000000006.log"));
    let expected: Vec<u8> = before.into_iter().flat_map(|(_, _, bytes)| bytes).collect();
    assert!(log == expected);
    let metadata = String::from_utf8(read(&h, "topic1-1/partition.metadata")).expect("text");
    assert_eq!(
        metadata,
        format!("version: 0\ntopic_id: {}", partition(1).topic_id)
    );
    let epochs = read(&h, "topic1-1/leader-epoch-checkpoint");
    assert_eq!(epochs, b"0\n1\n1 0\n");
}

#[test]
fn a_flipped_bit_is_named_and_never_served() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    for index in 0..4 {
        h.append(slot, &batch(None, &[1_000 + index], &[index as u8; 30_000]));
        h.flush(slot);
    }
    let h = h.restart();
    let slot = h.create(1, LogConfig::default());
    let path = Path::new("topic1-1/00000000000000000000.log");
    let file = h.disk.open(path, OpenMode::ReadWrite).expect("there");
    // Inside the leader epoch of the third batch, which Kafka's checksum does not cover.
    let size = file.size().expect("a size") / 4;
    let at = 2 * size + 15;
    let mut byte = [0];
    file.read_at(at, &mut byte).expect("readable");
    file.write_at(at, &[&[byte[0] ^ 4]]).expect("writable");
    let limit = ReadLimit {
        end: Offset::new(4),
        bytes_max: 1 << 20,
        at_least_one_batch: true,
    };
    let plan = h
        .dir
        .read_with(slot, Offset::new(0), limit, Access::Wait)
        .expect("planned");
    let crate::log_dir::Part::File(range) = &plan.parts[0] else {
        panic!("it is on disk")
    };
    let fault = range.load_all().expect_err("corrupt");
    let position = 2 * size as u32;
    let expected = ReadFault::Corrupt {
        partition: partition(1),
        base_offset: Offset::ZERO,
        position,
    };
    assert_eq!(fault, expected);
    // From now on reads end before it, one that begins there is refused, and the rest is served.
    let plan = h
        .dir
        .read_with(slot, Offset::new(0), limit, Access::Wait)
        .expect("planned");
    assert_eq!(plan.next_offset, Offset::new(2));
    let refused = h.dir.read_with(slot, Offset::new(2), limit, Access::Wait);
    assert_eq!(refused.expect_err("corrupt"), ReadError::Fault(expected));
    let plan = h
        .dir
        .read_with(slot, Offset::new(3), limit, Access::Wait)
        .expect("planned");
    assert_eq!(plan.next_offset, Offset::new(4));
}

#[test]
fn a_missing_sidecar_is_made_again() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    for index in 0..20 {
        h.append(slot, &batch(None, &[1_000 + index], &[index as u8; 10_000]));
        if index % 6 == 0 {
            h.flush(slot);
        }
    }
    h.flush(slot);
    let before = h.read_all(slot, 0, 1 << 20);
    let sums = Path::new("topic1-1/00000000000000000000.sums");
    for kept in [0u64, 10, 40, 100, 125] {
        let size = h.disk.open(sums, OpenMode::ReadWrite).expect("there");
        size.set_len(kept).expect("writable");
        h = h.restart();
        let slot = h.create(1, LogConfig::default());
        let all = h.read_all(slot, 0, 1 << 20);
        assert!(all[..before.len()] == before[..], "kept {kept}");
        // The next write mends the file.
        h.append(slot, &batch(None, &[2_000], b"x"));
        h.flush(slot);
        let end = h.dir.ends(slot).expect("there").appended_end;
        h = h.restart();
        let slot = h.create(1, LogConfig::default());
        assert_eq!(h.dir.ends(slot).expect("there").synced_end, end);
        assert!(h.read_all(slot, 0, 1 << 20)[..before.len()] == before[..]);
    }
}

#[test]
fn a_batch_in_pieces_is_read_as_one() {
    let mut options = small_options();
    options.wal = crate::wal::WalOptions::default();
    options.tail_bytes_max = 64 << 20;
    let mut h = Harness::new(options);
    let slot = h.create(1, LogConfig::default());
    h.append(slot, &batch(None, &[1], b"before"));
    h.append(slot, &batch(None, &[2, 3], &vec![7; 1_500_000]));
    h.append(slot, &batch(None, &[4], b"after"));
    let before = h.read_all(slot, 0, 1 << 20);
    h.flush(slot);
    let h = h.restart();
    let slot = h.create(1, LogConfig::default());
    for from in 0..4 {
        let expected: Vec<_> = before
            .iter()
            .filter(|(_, last, _)| from <= *last)
            .cloned()
            .collect();
        assert!(h.read_all(slot, from, 1 << 20) == expected, "from {from}");
    }
    let limit = ReadLimit {
        end: Offset::new(4),
        bytes_max: 100,
        at_least_one_batch: false,
    };
    let plan = h
        .dir
        .read_with(slot, Offset::new(1), limit, Access::Wait)
        .expect("planned");
    assert_eq!(plan.size, 0);
}

#[test]
fn idle_tails_are_flushed_one_by_one_and_slower_beside_commits() {
    const COUNT: u8 = 12;
    let mut h = Harness::new(small_options());
    let slots: Vec<_> = (1..=COUNT)
        .map(|number| h.create(number, LogConfig::default()))
        .collect();
    for slot in &slots {
        h.append(*slot, &batch(None, &[1], b"value"));
    }
    h.settle();
    let dirty = |h: &Harness| h.dir.stats().dirty_partitions_count;
    assert_eq!(dirty(&h), COUNT.into());
    h.pass(h.options.tail_idle.as_millis() as u64);
    let busy = h.create(COUNT + 1, LogConfig::default());
    h.append(busy, &batch(None, &[1], b"value"));
    h.commit();
    // Without the harness's pumps, in which time goes on.
    let flush = |h: &Harness| while h.dir.flush_step(h.now) == PumpStep::Worked {};
    for flushed in 1..=3 {
        flush(&h);
        assert_eq!(dirty(&h), usize::from(COUNT) + 1 - flushed, "one each time");
        h.pass(10);
        flush(&h);
        assert_eq!(dirty(&h), usize::from(COUNT) + 1 - flushed, "not so soon");
        h.pass(10);
    }
    // Nobody waits for commits any more.
    h.pass(100);
    for flushed in 4..=COUNT {
        flush(&h);
        assert_eq!(dirty(&h), usize::from(COUNT + 1 - flushed));
        h.pass(1_000 / u64::from(h.options.idle_flushes_per_second));
    }
    assert_eq!(dirty(&h), 1, "only the busy one");
}

#[test]
fn dropped_partitions_leave_nothing_and_names_can_be_used_again() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    h.append(slot, &batch(None, &[1], b"old"));
    h.flush(slot);
    h.append(slot, &batch(None, &[1], b"tail"));
    let lsn = h.dir.drop_partition(slot, h.now).expect("there");
    assert_eq!(h.dir.slot(partition(1)), None);
    // Another topic of the same name, before anything of the old one is gone.
    let (other, successor) = h.create_successor();
    h.append(successor, &batch(None, &[1], b"new"));
    h.dir.request_flush(successor, true);
    h.settle();
    assert!(h.dir.is_durable(successor, lsn));
    h.flush(successor);
    let names: Vec<_> = h.disk.list(Path::new("")).expect("listed");
    let dirs: Vec<_> = names
        .iter()
        .filter(|entry| entry.name.starts_with("topic"))
        .collect();
    assert_eq!(dirs.len(), 1, "{dirs:?}");
    let metadata = String::from_utf8(read(&h, "topic1-1/partition.metadata")).expect("text");
    assert!(metadata.contains(&other.topic_id.to_string()));
    assert_eq!(h.read_all(successor, 0, 1 << 20).len(), 1);
    let h = h.restart();
    assert_eq!(h.dir.slot(partition(1)), None);
    let successor = h.dir.slot(other).expect("recovered");
    assert_eq!(h.read_all(successor, 0, 1 << 20).len(), 1);
}

#[test]
fn all_partitions_of_a_topic_with_the_longest_name_can_be_deleted() {
    let mut h = Harness::new(small_options());
    let name = "x".repeat(249);
    let id = |number| TopicPartition {
        topic_id: partition(1).topic_id,
        partition: PartitionId::new(number),
    };
    let slots: Vec<_> = (0..12)
        .map(|number| {
            let slot = h
                .dir
                .create_partition(id(number), &name, LogConfig::default());
            slot.expect("online")
        })
        .collect();
    for slot in &slots {
        h.append(*slot, &batch(None, &[1], b"old"));
        h.flush(*slot);
    }
    for slot in slots {
        h.dir.drop_partition(slot, h.now).expect("there");
    }
    h.settle();
    assert_eq!(h.dir.health(), DirHealth::Online);
    assert_eq!(topic_dirs(&h), Vec::<String>::new());
}

fn topic_dirs(h: &Harness) -> Vec<String> {
    let names = h.disk.list(Path::new("")).expect("listed").into_iter();
    let own = ["wal", "checkpoints"];
    names
        .filter(|entry| entry.is_dir && !own.contains(&entry.name.as_str()))
        .map(|entry| entry.name)
        .collect()
}

#[test]
fn what_others_keep_in_the_directory_of_a_deleted_topic_stays_and_does_no_harm() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    h.append(slot, &batch(None, &[1], b"old"));
    h.flush(slot);
    h.disk.create_dir(Path::new("topic1-1/mine")).expect("made");
    h.dir.drop_partition(slot, h.now).expect("there");
    h.settle();
    assert_eq!(h.dir.health(), DirHealth::Online);
    let [kept] = &topic_dirs(&h)[..] else {
        panic!("{:?}", topic_dirs(&h));
    };
    let inside = h.disk.list(Path::new(kept)).expect("listed");
    assert_eq!(inside.len(), 1, "{inside:?}");
    let expected = Finding::Foreign {
        path: Path::new(kept).join("mine"),
    };
    assert_eq!(h.dir.findings().since(0), [expected]);
}

#[test]
fn a_directory_that_cannot_be_renamed_is_emptied_where_it_is() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    h.append(slot, &batch(None, &[1], b"old"));
    h.flush(slot);
    let id = partition(1).topic_id;
    let taken = PathBuf::from(format!("topic1-1.{id}-delete"));
    h.disk.create_dir(&taken).expect("made");
    h.disk.create_dir(&taken.join("mine")).expect("made");
    h.dir.drop_partition(slot, h.now).expect("there");
    let (other, successor) = h.create_successor();
    h.append(successor, &batch(None, &[1], b"new"));
    h.settle();
    h.flush(successor);
    assert_eq!(h.dir.health(), DirHealth::Online);
    let metadata = String::from_utf8(read(&h, "topic1-1/partition.metadata")).expect("text");
    assert!(metadata.contains(&other.topic_id.to_string()));
    let log = read(&h, "topic1-1/00000000000000000000.log");
    let only: Vec<u8> = h.read_all(successor, 0, 1 << 20).remove(0).2;
    assert_eq!(log, only);
}

impl Harness {
    /// How many steps a pump makes at one time until it has to wait.
    fn steps_at_once(&self, step: impl Fn(&Harness) -> PumpStep) -> usize {
        let busy = |_: &usize| step(self) == PumpStep::Worked;
        (0..2_000).take_while(busy).count()
    }
}

#[test]
fn a_checkpoint_that_a_full_disk_refuses_is_tried_again_after_a_while() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    h.append(slot, &batch(None, &[1], b"old"));
    h.flush(slot);
    let (mut h, disk) = h.interrupted();
    disk.fill(Some(Path::new("checkpoints")));
    h.commit();
    for _ in 0..3 {
        let steps = h.steps_at_once(|h| h.dir.shutdown_step(h.now));
        assert!(steps < 2_000);
        h.commit();
        h.pass(1_000);
    }
    let count = |h: &Harness| {
        let listed = h.disk.list(Path::new("checkpoints"));
        listed.expect("listed").len()
    };
    assert_eq!(count(&h), 0);
    disk.fill(None);
    let steps = h.steps_at_once(|h| h.dir.shutdown_step(h.now));
    assert!(steps < 2_000, "one is enough");
    assert_eq!(count(&h), 1);
}

#[test]
fn a_renaming_that_a_full_disk_refuses_holds_nobody_up() {
    let (mut h, disk) = Harness::new(small_options()).interrupted();
    let slot = h.create(1, LogConfig::default());
    let other = h.create(2, LogConfig::default());
    for slot in [slot, other] {
        h.append(slot, &batch(None, &[1], b"old"));
        h.flush(slot);
    }
    let id = partition(1).topic_id;
    disk.fill(Some(Path::new(&format!("topic1-1.{id}-delete"))));
    h.dir.drop_partition(slot, h.now).expect("there");
    h.dir.drop_partition(other, h.now).expect("there");
    h.commit();
    for _ in 0..3 {
        assert!(h.steps_at_once(|h| h.dir.flush_step(h.now)) < 2_000);
        h.pass(1_000);
        h.commit();
    }
    assert_eq!(topic_dirs(&h), ["topic1-1"]);
    disk.fill(None);
    h.settle();
    assert_eq!(topic_dirs(&h), Vec::<String>::new());
}

/// Appends until the journal cannot go on: every ring file is full of what this partition alone holds.
fn stall(h: &mut Harness, slot: PartitionSlot) {
    for _ in 0..10_000 {
        h.append(slot, &batch(None, &[1], &[7; 4000]));
        for _ in 0..20 {
            while h.dir.zero_step(h.now).is_work() {}
            h.pass(1);
            if let CommitStep::Stalled { .. } = h.dir.commit_step(h.now) {
                return;
            }
        }
    }
    panic!("the ring never fills up");
}

/// A truncation waits for the full ring, and the tail behind it, which is more than memory should hold, for the
/// truncation: work on that tail does nothing, and must not keep the checkpoint away that the ring waits for.
#[test]
fn a_stalled_ring_does_not_wait_for_memory_behind_a_truncation() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    let files_max = h.options.wal.ring_size_max / h.options.wal.file_size_max;
    let mut end = 0;
    while (h.dir.stats().wal.live_files_count as u64) < files_max {
        h.append(slot, &batch(None, &[1], &[7; 4000]));
        end += 1;
        h.commit();
    }
    // What is left of the last file goes to truncations, which are durable one after the other.
    loop {
        end -= 1;
        let lsn = h.dir.truncate(slot, Offset::new(end)).expect("in range");
        if !commits(&mut h, lsn) {
            break;
        }
    }
    let tail_bytes_max = h.options.tail_bytes_max;
    for _ in 0..=tail_bytes_max / 4000 {
        h.append(slot, &batch(None, &[1], &[8; 4000]));
    }
    let last = h.append(slot, &batch(None, &[1], b"last"));
    for _ in 0..2_000 {
        h.dir.flush_step(h.now);
        commits(&mut h, last.durability);
    }
    assert!(last.durability <= h.dir.durable_lsn());
}

/// Runs the journal alone until `lsn` is durable: false when that does not come.
fn commits(h: &mut Harness, lsn: Lsn) -> bool {
    loop {
        if lsn <= h.dir.durable_lsn() {
            return true;
        }
        h.pass(1);
        if let CommitStep::Stalled { .. } = h.dir.commit_step(h.now) {
            return false;
        }
    }
}

/// The drop waits for the ring, and the ring for the tail of what is dropped: that may still be written.
#[test]
fn a_stalled_ring_and_the_drop_of_what_stalls_it_do_not_wait_for_each_other() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    stall(&mut h, slot);
    let lsn = h.dir.drop_partition(slot, h.now).expect("there");
    let mut other = partition(1);
    other.topic_id = partition(2).topic_id;
    let config = LogConfig::default();
    let successor = h.dir.create_partition(other, "topic1", config);
    let successor = successor.expect("online");
    h.append(successor, &batch(None, &[1], b"new"));
    h.settle();
    assert!(lsn <= h.dir.durable_lsn());
    h.flush(successor);
    let metadata = String::from_utf8(read(&h, "topic1-1/partition.metadata")).expect("text");
    assert!(metadata.contains(&other.topic_id.to_string()));
    assert_eq!(h.read_all(successor, 0, 1 << 20).len(), 1);
}

/// After a crash two partitions may have one name, because the drop of the first was lost. That one has no
/// directory and holds nothing: its drop need not be durable for the other to be flushed.
#[test]
fn an_empty_partition_on_its_way_out_does_not_keep_its_name_from_others() {
    let mut h = Harness::new(small_options());
    let mut other = partition(1);
    other.topic_id = partition(2).topic_id;
    let config = LogConfig::default();
    let empty = h.dir.create_partition(other, "topic1", config);
    let empty = empty.expect("online");
    let slot = h.create(1, config);
    stall(&mut h, slot);
    h.dir.drop_partition(empty, h.now).expect("there");
    let lsn = h.dir.drop_partition(slot, h.now).expect("there");
    h.settle();
    assert!(lsn <= h.dir.durable_lsn());
}

/// A process cut the sidecar and died before the sync. To the next one it looks right; a power cut brings back what was cut
/// off, unless that one syncs it before it writes.
#[test]
fn what_a_process_cut_from_a_sidecar_before_it_died_stays_away() {
    const SUMS: &str = "topic1-1/00000000000000000000.sums";
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    for value in [1, 2] {
        h.append(slot, &batch(None, &[1], &[value; 500]));
        h.flush(slot);
    }
    let stale = read(&h, SUMS);

    let (mut h, disk) = h.interrupted();
    let slot = h.create(1, LogConfig::default());
    h.dir.truncate(slot, Offset::new(1)).expect("durable");
    h.append(slot, &batch(None, &[1], &[3; 500]));
    disk.fail_sync_of(SUMS);
    h.flush(slot);
    assert!(matches!(h.dir.health(), DirHealth::Offline { .. }));
    assert!(read(&h, SUMS).len() < stale.len());

    let (mut h, disk) = h.interrupted();
    disk.on_device(SUMS, stale.clone());
    let slot = h.create(1, LogConfig::default());
    let before = h.read_all(slot, 0, 1 << 20);
    assert_eq!(before.len(), 2);
    h.flush(slot);
    assert_eq!(h.dir.ends(slot).expect("there").synced_end, Offset::new(2));
    assert_eq!(read(&h, SUMS).len(), stale.len());
    disk.cut_power(&h.disk);
    let h = h.restart();
    let slot = h.create(1, LogConfig::default());
    assert_eq!(h.dir.ends(slot).expect("there").written_end, Offset::new(2));
    assert_eq!(h.read_all(slot, 0, 1 << 20), before);
}
