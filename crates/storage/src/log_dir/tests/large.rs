//! Batches that are too large for the journal.

use super::harness::*;
use crate::disk::{Disk, OpenMode};
use crate::log_dir::{AppendError, DirHealth, LogDirOptions, Verdict};
use crate::marker::Marker;
use crate::memory_disk::MemoryDisk;
use crate::partition::LogConfig;
use ottla_types::Offset;
use std::path::{Path, PathBuf};

fn options() -> LogDirOptions {
    LogDirOptions {
        around_bytes: 10_000,
        ..small_options()
    }
}

fn producer(sequence: i32) -> Option<Producer> {
    Some((7, 0, sequence))
}

impl Harness {
    /// The files of large batches.
    fn large_files(&self) -> Vec<PathBuf> {
        let dir = Path::new("large");
        match self.disk.list(dir) {
            Ok(entries) => entries.iter().map(|it| dir.join(&it.name)).collect(),
            Err(error) if error.is_not_found() => Vec::new(),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_batch_of_any_size_is_appended_read_and_recovered() {
    let mut h = Harness::new(options());
    let slot = h.create(1, LogConfig::default());
    // Larger than an entry, a frame, a ring file, the whole ring.
    let sizes = [100, 40_000, 100, 3 << 20, 9_000, 10_001];
    for (sequence, size) in sizes.into_iter().enumerate() {
        let value = vec![sequence as u8; size];
        let appended = h.append(slot, &batch(producer(sequence as i32), &[1_000], &value));
        assert_eq!(appended.base_offset, Offset::new(sequence as i64));
    }
    h.commit();
    let before = h.read_all(slot, 0, 1 << 20);
    assert_eq!(before.len(), 6);
    let mut h = h.restart();
    assert_eq!(h.report.damaged, vec![]);
    assert_eq!(h.dir.markers().count(Marker::LargeBatchReplayed), 3);
    let slot = h.dir.slot(partition(1)).expect("recovered");
    assert_eq!(h.read_all(slot, 0, 1 << 20), before);
    let again = h.append(slot, &batch(producer(5), &[1_000], &vec![5; 10_001]));
    assert!(again.duplicate, "its producer is known");
    assert_eq!(again.base_offset, Offset::new(5));
    h.append(slot, &batch(producer(6), &[1_000], b"behind"));
    h.flush(slot);
    let h = h.restart();
    let slot = h.dir.slot(partition(1)).expect("recovered");
    assert_eq!(h.read_all(slot, 0, 1 << 20)[..6], before[..]);
}

#[test]
fn nobody_waits_for_it_and_it_comes_when_it_is_written() {
    let mut h = Harness::new(options());
    let (slot, other) = (
        h.create(1, LogConfig::default()),
        h.create(2, LogConfig::default()),
    );
    let bytes = batch(None, &[1], &[1; 20_000]);
    let large = h.dir.write_large(&bytes).expect("room");
    let meanwhile = [
        h.append(slot, &batch(None, &[1], b"meanwhile")),
        h.append(other, &batch(None, &[1], b"meanwhile")),
    ];
    h.commit();
    for (slot, appended) in [slot, other].into_iter().zip(meanwhile) {
        assert_eq!(appended.base_offset, Offset::ZERO);
        assert!(h.dir.is_durable(slot, appended.durability));
    }
    assert!(!large.is_settled(), "nobody has written it");
    h.write_out(&large);
    let appended = h.append_written(slot, &bytes, &large).expect("written");
    assert_eq!(appended.base_offset, Offset::new(1));
    assert!(!h.dir.is_durable(slot, appended.durability));
    h.commit();
    assert!(h.dir.is_durable(slot, appended.durability));
}

#[test]
fn it_is_not_appended_unwritten() {
    let mut h = Harness::new(options());
    let slot = h.create(1, LogConfig::default());
    let bytes = batch(None, &[1], &[1; 20_000]);
    let direct = h.append_in_journal(slot, &bytes);
    assert_eq!(direct, Err(AppendError::Large));
    let large = h.dir.write_large(&bytes).expect("room");
    let early = h.append_written(slot, &bytes, &large);
    assert_eq!(early, Err(AppendError::Large));
    h.write_out(&large);
    h.append_written(slot, &bytes, &large).expect("written");
    let twice = h.append_written(slot, &bytes, &large);
    assert_eq!(twice, Err(AppendError::Large));
}

#[test]
fn a_kill_at_any_step_loses_nothing_acknowledged_and_leaves_nothing_half() {
    for steps in 0.. {
        let mut h = Harness::new(options());
        let slot = h.create(1, LogConfig::default());
        let sizes = [100, 20_000, 100, 50_000, 100];
        let batches = sizes.map(|size| batch(None, &[1], &vec![9; size]));
        let (mut lsns, mut large) = (Vec::new(), None);
        for step in 0..steps {
            // A client that sends one after the other; the journal and the flusher take turns with it.
            match (step % 3, batches.get(lsns.len())) {
                (0, Some(bytes)) if h.dir.is_large(bytes.len()) => match large.take() {
                    None => large = Some(h.dir.write_large(bytes).expect("room")),
                    Some(written) if written.is_settled() => {
                        let appended = h.append_written(slot, bytes, &written);
                        lsns.push(appended.expect("written").durability);
                    }
                    Some(waiting) => large = Some(waiting),
                },
                (0, Some(bytes)) => lsns.push(h.append(slot, bytes).durability),
                (1, _) => drop(h.dir.commit_step(h.now)),
                _ => drop(h.dir.flush_step(h.now)),
            }
            h.pass(1);
        }
        let is_durable = |lsn: &&_| h.dir.is_durable(slot, **lsn);
        let acknowledged = lsns.iter().take_while(is_durable).count();
        drop(large);
        let h = h.restart().restart();
        assert_ne!(h.report.verdict, Verdict::Lossy, "after {steps} steps");
        assert_eq!(h.report.damaged, vec![], "after {steps} steps");
        let found = match h.dir.slot(partition(1)) {
            Some(slot) => h.read_all(slot, 0, 1 << 20),
            None => Vec::new(),
        };
        assert!(acknowledged <= found.len(), "after {steps} steps");
        for ((_, _, bytes), sent) in found.iter().zip(&batches) {
            assert_eq!(bytes[21..], sent[21..], "after {steps} steps");
        }
        if acknowledged == batches.len() {
            return;
        }
    }
}

#[test]
fn what_is_not_appended_leaves_no_file() {
    let mut h = Harness::new(options());
    let slot = h.create(1, LogConfig::default());
    let bytes = batch(producer(0), &[1], &[1; 20_000]);
    let large = h.dir.write_large(&bytes).expect("room");
    drop(large);
    h.settle();
    assert_eq!(h.large_files(), Vec::<PathBuf>::new(), "never begun");
    let large = h.dir.write_large(&bytes).expect("room");
    while h.large_files().is_empty() {
        h.dir.flush_step(h.now);
    }
    drop(large);
    h.settle();
    assert_eq!(h.large_files(), Vec::<PathBuf>::new(), "given up half way");
    assert!(!h.append(slot, &bytes).duplicate);
    assert!(h.append(slot, &bytes).duplicate);
    h.settle();
    assert_eq!(h.large_files().len(), 1, "a duplicate needs none");
}

#[test]
fn files_go_when_no_checkpoint_leads_to_them() {
    let mut h = Harness::new(LogDirOptions {
        large_bytes_max: 100_000,
        ..options()
    });
    let (slot, idle) = (
        h.create(1, LogConfig::default()),
        h.create(2, LogConfig::default()),
    );
    h.append(idle, &batch(None, &[1], b"pins the journal"));
    let mut most = 0;
    for number in 0..50 {
        h.append(slot, &batch(None, &[number], &[number as u8; 20_000]));
        h.settle();
        most = most.max(h.large_files().len());
    }
    assert!((3..=15).contains(&most), "{most} files of 20 kB");
    let before = h.read_all(slot, 0, 1 << 20);
    assert_eq!(before.len(), 50);
    let h = h.restart();
    assert_eq!(h.report.damaged, vec![]);
    let slot = h.dir.slot(partition(1)).expect("recovered");
    assert_eq!(h.read_all(slot, 0, 1 << 20), before);
}

#[test]
fn files_that_a_crash_left_go_with_the_others() {
    let mut h = Harness::new(LogDirOptions {
        large_bytes_max: 100_000,
        ..options()
    });
    let slot = h.create(1, LogConfig::default());
    h.append(slot, &batch(None, &[1], b"before"));
    h.commit();
    let large = h.dir.write_large(&batch(None, &[1], &[1; 20_000]));
    h.write_out(large.as_ref().expect("room"));
    let left = h.large_files();
    assert_eq!(left.len(), 1);
    std::mem::forget(large); // The process ends here.
    let mut h = h.restart();
    assert_eq!(h.large_files(), left, "an older checkpoint may name it");
    let slot = h.dir.slot(partition(1)).expect("recovered");
    for number in 0..20 {
        h.append(slot, &batch(None, &[number], &[1; 20_000]));
        h.settle();
    }
    assert!(!h.large_files().contains(&left[0]));
}

#[test]
fn a_file_that_is_lost_is_damage_unless_a_segment_has_it() {
    for is_flushed in [false, true] {
        let mut h = Harness::new(options());
        let slot = h.create(1, LogConfig::default());
        h.append(slot, &batch(None, &[1], b"before"));
        h.append(slot, &batch(None, &[1], &[1; 20_000]));
        h.append(slot, &batch(None, &[1], b"behind"));
        h.commit();
        if is_flushed {
            h.flush(slot);
        }
        for path in h.large_files() {
            h.disk.remove_file(&path).expect("removed");
        }
        let h = h.restart();
        let slot = h.dir.slot(partition(1)).expect("recovered");
        let found = h.read_all(slot, 0, 1 << 20).len();
        if is_flushed {
            assert_eq!((found, h.report.damaged.len()), (3, 0));
        } else {
            assert_eq!((found, h.report.damaged.len()), (1, 1));
            assert_eq!(h.report.verdict, Verdict::Lossy);
        }
    }
}

#[test]
fn a_flipped_bit_in_its_file_is_damage() {
    let mut h = Harness::new(options());
    let slot = h.create(1, LogConfig::default());
    h.append(slot, &batch(None, &[1], &[1; 20_000]));
    h.commit();
    let path = h.large_files().remove(0);
    h.flip_at(&path, 10_000);
    let h = h.restart();
    assert_eq!(h.report.damaged.len(), 1);
    let slot = h.dir.slot(partition(1)).expect("recovered");
    assert_eq!(h.read_all(slot, 0, 1 << 20).len(), 0);
}

#[test]
fn the_memory_of_those_under_way_is_bounded() {
    let h = Harness::new(options());
    let bytes = batch(None, &[1], &[1; 40_000]);
    assert!(h.dir.takes_large(1 << 30), "a lone one may have any size");
    let first = h.dir.write_large(&bytes).expect("room");
    assert!(h.dir.takes_large(20_000));
    assert!(!h.dir.takes_large(40_000));
    drop(first);
    assert!(h.dir.takes_large(40_000));
}

#[test]
fn a_full_disk_refuses_it_and_takes_it_later() {
    let mut h = Harness::on(MemoryDisk::with_size(1 << 20), options());
    let slot = h.create(1, LogConfig::default());
    let bytes = batch(None, &[1], &[1; 20_000]);
    let ballast = Path::new("ballast");
    let file = h.disk.open(ballast, OpenMode::Create).expect("made");
    let free = h.disk.space().expect("known").free_bytes as usize;
    file.write_at(0, &[&vec![0; free - 10_000]]).expect("room");
    assert_eq!(h.try_append(slot, &bytes), Err(AppendError::Full));
    assert_eq!(h.dir.health(), DirHealth::Full);
    file.set_len(0).expect("cut");
    h.pass(5_000);
    h.settle();
    assert_eq!(h.dir.health(), DirHealth::Online);
    assert_eq!(h.append(slot, &bytes).base_offset, Offset::ZERO);
    h.settle();
    assert_eq!(h.large_files().len(), 1);
}
