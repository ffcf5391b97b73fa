//! Files written by the first version are read for ever, and are still written the same way.
//!
//! `UPDATE_EXPECT=1` writes them anew: only together with a new format version.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

use bytes::Bytes;
use ottla_storage::checkpoint::{CheckpointProgress, CheckpointStore};
use ottla_storage::disk::{Disk, OpenMode};
use ottla_storage::marker::Markers;
use ottla_storage::memory_disk::MemoryDisk;
use ottla_storage::raft_log::{
    RaftBatch, RaftEntry, RaftIdentity, RaftLog, RaftLogId, RaftLogOptions, RaftOpen, RaftSnapshot,
};
use ottla_storage::wal::{
    CommitStep, DurabilityClass, Entry, EntryHeader, EntryKind, Replayed, Wal, WalOptions,
};
use ottla_types::{
    BrokerId, DirectoryId, Lsn, Now, Offset, PartitionId, TopicId, TopicPartition, Uuid,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FILES: [&str; 6] = [
    "wal/ring-000001.wal",
    "wal/run",
    "checkpoints/checkpoint-00000000000000000001",
    "raft/raft-log-1",
    "raft/raft-log-2",
    "raft/snapshot-00000000000000000001-00000000000000000002",
];

fn wal_options() -> WalOptions {
    WalOptions {
        first_file_size: 16 << 10,
        file_size_max: 16 << 10,
        ring_size_max: 32 << 10,
        entry_size_max: 4 << 10,
        ..WalOptions::tiny()
    }
}

fn raft_options() -> RaftLogOptions {
    RaftLogOptions {
        file_size: 16 << 10,
        ..RaftLogOptions::default()
    }
}

fn partition() -> TopicPartition {
    TopicPartition {
        topic_id: TopicId::new(Uuid::from_bytes(*b"a topic's own id")),
        partition: PartitionId::new(3),
    }
}

fn open_wal(disk: &MemoryDisk, visitor: &mut dyn FnMut(Replayed)) -> Wal {
    let disk = Arc::new(disk.clone());
    let markers = Arc::new(Markers::new());
    Wal::open(
        disk,
        Path::new("wal"),
        wal_options(),
        markers,
        None,
        visitor,
    )
    .unwrap()
    .0
}

fn put(wal: &Wal, kind: EntryKind, number: i64, body: &'static [u8]) {
    let header = EntryHeader {
        kind,
        topic_partition: partition(),
        base_offset: Offset::new(number),
        end_offset: Offset::new(number + 2),
        argument: 77,
    };
    wal.enqueue(Entry::new(
        header,
        DurabilityClass::Fsync,
        Bytes::from_static(body),
    ))
    .unwrap();
}

fn close(wal: &Wal) {
    wal.begin_shutdown();
    while !wal.is_clean() {
        assert!(!matches!(
            wal.commit_step(Now::default()),
            CommitStep::Failed(_)
        ));
    }
}

/// A directory of each kind, written by two runs.
fn write_all() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let wal = open_wal(&disk, &mut |_| {});
    put(&wal, EntryKind::Append, 0, b"first");
    put(&wal, EntryKind::Segments, 2, b"");
    close(&wal);
    let wal = open_wal(&disk, &mut |_| {});
    put(&wal, EntryKind::Tail, 4, b"second run");
    close(&wal);

    let dir = Path::new("checkpoints");
    disk.create_dir(dir).unwrap();
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (store, ..) = CheckpointStore::open(shared.clone(), dir, &Markers::new()).unwrap();
    let mut write = store.begin(wal.position_for_checkpoint(Lsn::new(1)));
    write.add(partition(), Lsn::new(2), &[b"pay", b"load"]);
    loop {
        match write.step().unwrap() {
            CheckpointProgress::WantsRecords => write.finish(wal.durable_lsn()),
            CheckpointProgress::More => {}
            CheckpointProgress::Done => break,
        }
    }

    let identity = RaftIdentity {
        cluster_id: "golden".to_owned(),
        node_id: BrokerId::new(4),
        directory_id: DirectoryId::new(Uuid::from_bytes(*b"a directory's id")),
    };
    let first = RaftBatch {
        vote: Some(Bytes::from_static(b"vote")),
        entries: vec![raft_entry(0), raft_entry(1), raft_entry(2)],
        ..RaftBatch::default()
    };
    let markers = Arc::new(Markers::new());
    let options = raft_options();
    let mut log =
        RaftLog::create(shared, Path::new("raft"), options, markers, identity, first).unwrap();
    let snapshot = RaftSnapshot {
        last: raft_id(1),
        meta: Bytes::from_static(b"voters"),
        data: Bytes::from_static(b"image"),
    };
    log.save_snapshot(snapshot).unwrap();
    log.append(RaftBatch {
        purge_to: Some(raft_id(1)),
        ..RaftBatch::default()
    })
    .unwrap();
    log.append(RaftBatch {
        truncate_from: Some(2),
        ..RaftBatch::default()
    })
    .unwrap();
    log.append(RaftBatch {
        entries: vec![raft_entry(2)],
        ..RaftBatch::default()
    })
    .unwrap();
    log.prove().unwrap();
    disk
}

fn raft_id(index: u64) -> RaftLogId {
    RaftLogId {
        term: 2,
        node_id: 4,
        index,
    }
}

fn raft_entry(index: u64) -> RaftEntry {
    RaftEntry {
        id: raft_id(index),
        payload: Bytes::from(format!("entry {index}")),
    }
}

fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata/v1")
        .join(name)
}

fn read_all(disk: &MemoryDisk, name: &str) -> Vec<u8> {
    let file = disk.open(Path::new(name), OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.size().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn what_is_written_today_is_what_was_written_first() {
    let disk = write_all();
    for name in FILES {
        let bytes = read_all(&disk, name);
        let path = golden_path(name);
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &bytes).unwrap();
        }
        let golden = std::fs::read(&path).unwrap();
        let differs = bytes.iter().zip(&golden).position(|(new, old)| new != old);
        assert_eq!((bytes.len(), differs), (golden.len(), None), "{name}");
    }
}

#[test]
fn what_was_written_first_is_read() {
    let disk = MemoryDisk::new();
    for dir in ["wal", "checkpoints", "raft"] {
        disk.create_dir(Path::new(dir)).unwrap();
    }
    for name in FILES {
        let golden = std::fs::read(golden_path(name)).unwrap();
        let file = disk.open(Path::new(name), OpenMode::CreateNew).unwrap();
        file.write_at(0, &[&golden]).unwrap();
    }
    let mut entries = Vec::new();
    open_wal(&disk, &mut |it| match it {
        Replayed::Entry(it) => {
            assert_eq!(it.header.topic_partition, partition());
            assert_eq!((it.header.argument, it.class), (77, DurabilityClass::Fsync));
            entries.push((
                it.lsn.get(),
                it.header.kind,
                it.header.base_offset.get(),
                it.body,
            ));
        }
        Replayed::Damage(damage) => panic!("{damage:?}"),
    });
    let expected = [
        (1, EntryKind::Append, 0, Bytes::from_static(b"first")),
        (2, EntryKind::Segments, 2, Bytes::new()),
        (3, EntryKind::Tail, 4, Bytes::from_static(b"second run")),
    ];
    assert_eq!(entries, expected);

    let shared: Arc<dyn Disk> = Arc::new(disk);
    let dir = Path::new("checkpoints");
    let (_, checkpoint, skipped) =
        CheckpointStore::open(shared.clone(), dir, &Markers::new()).unwrap();
    let checkpoint = checkpoint.unwrap();
    assert!(skipped.is_empty());
    assert_eq!(checkpoint.wal_start().durable, Lsn::new(3));
    assert_eq!(checkpoint.wal_start().position.frame_seq, 1);
    let records: Vec<_> = checkpoint.records().collect();
    assert_eq!((records.len(), records[0].state_lsn), (1, Lsn::new(2)));
    assert_eq!(
        (records[0].topic_partition, &records[0].payload[..]),
        (partition(), &b"payload"[..])
    );

    let markers = Arc::new(Markers::new());
    match RaftLog::open(shared, Path::new("raft"), raft_options(), markers).unwrap() {
        RaftOpen::Found(log, _) => {
            assert_eq!(log.state().identity.cluster_id, "golden");
            assert_eq!(log.state().vote.as_deref(), Some(&b"vote"[..]));
            assert_eq!(log.state().purged, Some(raft_id(1)));
            assert_eq!(log.state().entries, [raft_entry(2)]);
            assert_eq!(log.snapshot().unwrap().data, "image");
        }
        RaftOpen::Empty => panic!("empty"),
        RaftOpen::Damaged(damage) => panic!("{:?}", damage.kind),
    }
}
