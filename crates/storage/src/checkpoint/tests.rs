use super::*;
use crate::disk::{Disk, OpenMode};
use crate::marker::Markers;
use crate::memory_disk::MemoryDisk;
use crate::wal::WalPosition;
use ottla_types::{Lsn, PartitionId, TopicId, TopicPartition, Uuid};
use std::path::Path;
use std::sync::Arc;

fn partition(number: i32) -> TopicPartition {
    TopicPartition {
        topic_id: TopicId::new(Uuid::from_bytes([7; 16])),
        partition: PartitionId::new(number),
    }
}

fn position(frame_seq: u64) -> WalPosition {
    WalPosition {
        file_number: 3,
        position: 8192,
        frame_seq,
        lsn: Lsn::new(frame_seq * 2),
        ring_epoch: 5,
    }
}

fn open(disk: &MemoryDisk) -> (CheckpointStore, Option<Checkpoint>, usize) {
    let (store, checkpoint, skipped) =
        CheckpointStore::open(Arc::new(disk.clone()), Path::new(""), &Markers::new()).unwrap();
    (store, checkpoint, skipped.len())
}

/// Writes a checkpoint of `count` partitions with payloads of `size` bytes; returns the number of steps.
fn write(store: &mut CheckpointStore, frame_seq: u64, count: i32, size: usize) -> usize {
    let mut write = store.begin(position(frame_seq));
    let mut next = 0;
    let mut steps = 0;
    loop {
        while write.wants_records() && next < count {
            let payload = vec![next as u8; size];
            let (first, second) = payload.split_at(size / 2);
            write.add(partition(next), Lsn::new(next as u64), &[first, second]);
            next += 1;
        }
        steps += 1;
        match write.step().unwrap() {
            CheckpointProgress::WantsRecords => write.finish(Lsn::new(1_000_000)),
            CheckpointProgress::More => {}
            CheckpointProgress::Done => break,
        }
    }
    store.installed(&write);
    steps
}

fn check(checkpoint: &Checkpoint, count: i32, size: usize) {
    assert_eq!(checkpoint.records_count(), count as u64);
    let mut next = 0;
    for record in checkpoint.records() {
        assert_eq!(record.topic_partition, partition(next));
        assert_eq!(record.state_lsn, Lsn::new(next as u64));
        assert_eq!(record.payload, vec![next as u8; size]);
        next += 1;
    }
    assert_eq!(next, count);
}

#[test]
fn what_is_written_is_read_back_whatever_its_size() {
    for (count, size) in [
        (0, 0),
        (1, 0),
        (10_000, 100),
        (3, 1 << 20),
        (2, (1 << 20) - 32),
        (1, 5 << 20),
    ] {
        let disk = MemoryDisk::new();
        let (mut store, none, _) = open(&disk);
        assert!(none.is_none() && store.positions().is_none());
        write(&mut store, 1, count, size);
        let (_, checkpoint, _) = open(&disk);
        let checkpoint = checkpoint.unwrap();
        check(&checkpoint, count, size);
        assert_eq!(checkpoint.wal_start().position, position(1));
        assert_eq!(checkpoint.wal_start().durable, Lsn::new(1_000_000));
    }
}

#[test]
fn steps_stay_small_and_two_are_kept() {
    let disk = MemoryDisk::new();
    let (mut store, ..) = open(&disk);
    let steps = write(&mut store, 1, 10_000, 1000);
    assert!((10..30).contains(&steps), "{steps}");
    for frame_seq in 2..6 {
        write(&mut store, frame_seq, 5, 5);
        let positions = store.positions().unwrap();
        assert_eq!(positions.newest, position(frame_seq));
        assert_eq!(positions.kept, position(frame_seq - 1));
    }
    let names: Vec<String> = disk
        .list(Path::new(""))
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    assert_eq!(
        names,
        [
            "checkpoint-00000000000000000004",
            "checkpoint-00000000000000000005"
        ]
    );
    assert_eq!(open(&disk).0.positions(), store.positions());
}

#[test]
fn every_flipped_bit_makes_the_one_before_the_newest() {
    let disk = MemoryDisk::new();
    let (mut store, ..) = open(&disk);
    write(&mut store, 1, 3, 5);
    write(&mut store, 2, 4, 6);
    let path = Path::new("checkpoint-00000000000000000002");
    let file = disk.open(path, OpenMode::ReadWrite).unwrap();
    let mut bytes = vec![0; file.size().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        file.write_at(0, &[&flipped]).unwrap();
        let (store, checkpoint, skipped) = open(&disk);
        assert_eq!((checkpoint.unwrap().number(), skipped), (1, 1), "bit {bit}");
        assert_eq!(store.positions().unwrap().kept, position(1));
    }
    // Cut anywhere, too.
    for size in 0..bytes.len() {
        file.write_at(0, &[&bytes]).unwrap();
        file.set_len(size as u64).unwrap();
        assert_eq!(open(&disk).1.unwrap().number(), 1, "cut at {size}");
    }
    // The next one does not reuse the damaged one's number, and removes it.
    let (mut store, ..) = open(&disk);
    write(&mut store, 3, 1, 1);
    let names: Vec<String> = disk
        .list(Path::new(""))
        .unwrap()
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    assert_eq!(
        names,
        [
            "checkpoint-00000000000000000001",
            "checkpoint-00000000000000000003"
        ]
    );
}

#[test]
fn a_full_disk_gives_a_checkpoint_up_and_nothing_else() {
    let disk = MemoryDisk::with_size(4000);
    let (mut store, ..) = open(&disk);
    write(&mut store, 1, 3, 5);
    let mut second = store.begin(position(2));
    second.step().unwrap();
    second.add(partition(0), Lsn::ZERO, &[&[0; 10_000]]);
    second.finish(Lsn::ZERO);
    let error = loop {
        match second.step() {
            Ok(_) => {}
            Err(CheckpointError::Disk(error)) => break error,
            Err(other) => panic!("{other}"),
        }
    };
    assert!(error.is_full());
    second.abandon().unwrap();
    assert_eq!(disk.list(Path::new("")).unwrap().len(), 1);
    write(&mut store, 3, 2, 2);
    check(&open(&disk).1.unwrap(), 2, 2);
}
