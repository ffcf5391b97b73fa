use super::*;
use crate::memory_disk::MemoryDisk;
use ottla_types::{BrokerId, DirectoryId, Uuid};

fn dir() -> &'static Path {
    Path::new("raft")
}

fn identity() -> RaftIdentity {
    RaftIdentity {
        cluster_id: "a-cluster".to_owned(),
        node_id: BrokerId::new(3),
        directory_id: DirectoryId::new(Uuid::from_bytes([5; 16])),
    }
}

fn id(index: u64, term: u64) -> RaftLogId {
    RaftLogId {
        term,
        node_id: 3,
        index,
    }
}

fn entry(index: u64, term: u64, size: usize) -> RaftEntry {
    RaftEntry {
        id: id(index, term),
        payload: vec![index as u8; size].into(),
    }
}

fn vote(text: &'static str) -> Option<Bytes> {
    Some(Bytes::from_static(text.as_bytes()))
}

fn options() -> RaftLogOptions {
    RaftLogOptions {
        file_size: 64 << 10,
        ..RaftLogOptions::default()
    }
}

fn create(disk: &MemoryDisk) -> RaftLog {
    let first = RaftBatch {
        vote: vote("t1"),
        entries: vec![entry(0, 0, 10), entry(1, 1, 100)],
        ..RaftBatch::default()
    };
    let markers = Arc::new(Markers::new());
    let disk = Arc::new(disk.clone());
    RaftLog::create(disk, dir(), options(), markers, identity(), first).unwrap()
}

fn open(disk: &MemoryDisk) -> RaftOpen {
    RaftLog::open(
        Arc::new(disk.clone()),
        dir(),
        options(),
        Arc::new(Markers::new()),
    )
    .unwrap()
}

fn found(disk: &MemoryDisk) -> (RaftLog, RaftRecovery) {
    match open(&disk.copy()) {
        RaftOpen::Found(log, recovery) => (*log, recovery),
        RaftOpen::Empty => panic!("empty"),
        RaftOpen::Damaged(damage) => panic!("{:?}", damage.kind),
    }
}

fn damage(disk: &MemoryDisk) -> RaftDamageKind {
    match open(&disk.copy()) {
        RaftOpen::Damaged(damage) => damage.kind,
        RaftOpen::Empty => panic!("empty"),
        RaftOpen::Found(..) => panic!("found"),
    }
}

/// The log's state in one line: vote, purged index, and the entries' indexes with their terms.
fn story(log: &RaftLog) -> String {
    let state = log.state();
    let vote = state
        .vote
        .as_deref()
        .map_or("-", |vote| std::str::from_utf8(vote).unwrap());
    let purged = state
        .purged
        .map_or("-".to_owned(), |id| id.index.to_string());
    let entries: Vec<String> = state
        .entries
        .iter()
        .map(|it| format!("{}/{}", it.id.index, it.id.term))
        .collect();
    format!("{vote} {purged} [{}]", entries.join(" "))
}

fn overwrite(disk: &MemoryDisk, number: u32, position: u64, bytes: &[u8]) {
    let file = disk
        .open(&file_path(dir(), number), OpenMode::ReadWrite)
        .unwrap();
    file.write_at(position, &[bytes]).unwrap();
}

#[test]
fn the_first_batch_and_all_that_follows_are_found_again() {
    let disk = MemoryDisk::new();
    assert!(matches!(open(&disk), RaftOpen::Empty));
    let mut log = create(&disk);
    assert_eq!(story(&found(&disk).0), "t1 - [0/0 1/1]");
    log.append(RaftBatch {
        vote: vote("t2"),
        ..RaftBatch::default()
    })
    .unwrap();
    log.append(RaftBatch {
        entries: vec![entry(2, 2, 5000)],
        ..RaftBatch::default()
    })
    .unwrap();
    log.append(RaftBatch {
        truncate_from: Some(1),
        entries: vec![entry(1, 3, 1), entry(2, 3, 1), entry(3, 3, 1)],
        ..RaftBatch::default()
    })
    .unwrap();
    log.append(RaftBatch::default()).unwrap();
    let (again, recovery) = found(&disk);
    assert_eq!(story(&again), "t2 - [0/0 1/3 2/3 3/3]");
    assert_eq!(again.state().identity, identity());
    assert!(recovery.is_rewritten && !recovery.is_torn);
    assert_eq!(again.state().entry(2).unwrap().payload, vec![2]);
    assert_eq!(again.state().entries(1, 3).count(), 2);
    assert_eq!(again.state().entries(9, 12).count(), 0);
    assert_eq!(again.state().last_log_id(), Some(id(3, 3)));

    assert!(log.prove().unwrap());
    assert!(!log.prove().unwrap());
    let (_, recovery) = found(&disk);
    assert_eq!((recovery.is_rewritten, recovery.is_torn), (false, false));
}

#[test]
fn snapshots_bound_the_log_and_must_cover_what_is_purged() {
    let disk = MemoryDisk::new();
    let mut log = create(&disk);
    for index in 2..20 {
        log.append(RaftBatch {
            entries: vec![entry(index, 1, 10)],
            ..RaftBatch::default()
        })
        .unwrap();
    }
    for index in [5, 9, 12] {
        let snapshot = RaftSnapshot {
            last: id(index, 1),
            meta: Bytes::from_static(b"voters"),
            data: vec![index as u8; 3000].into(),
        };
        log.save_snapshot(snapshot.clone()).unwrap();
        log.append(RaftBatch {
            purge_to: Some(id(index, 1)),
            ..RaftBatch::default()
        })
        .unwrap();
        assert_eq!(found(&disk).0.snapshot(), Some(&snapshot));
    }
    let (again, _) = found(&disk);
    assert_eq!(story(&again), "t1 12 [13/1 14/1 15/1 16/1 17/1 18/1 19/1]");
    let snapshots = snapshot::list(&disk, dir()).unwrap();
    assert_eq!(snapshots.iter().map(|it| it.0).collect::<Vec<_>>(), [9, 12]);
    // The newest one is damaged, and the one before does not reach up to what was purged.
    let file = disk.open(&snapshots[1].1, OpenMode::ReadWrite).unwrap();
    file.write_at(1000, &[b"x"]).unwrap();
    assert_eq!(
        damage(&disk),
        RaftDamageKind::SnapshotMissing { purged: id(12, 1) }
    );
}

#[test]
fn it_moves_between_two_files_and_grows_when_nothing_is_purged() {
    let disk = MemoryDisk::new();
    let mut log = create(&disk);
    for index in 2..200 {
        let vote = Some(Bytes::from(format!("t{index}")));
        let entries = vec![entry(index, 1, 1000)];
        log.append(RaftBatch {
            vote,
            entries,
            ..RaftBatch::default()
        })
        .unwrap();
        if index % 7 == 0 {
            log.prove().unwrap();
        }
        let (again, _) = found(&disk);
        assert_eq!(story(&again), story(&log));
        assert_eq!(again.state().entries, log.state().entries);
    }
    assert!(2 < log.markers.count(Marker::RaftLogSwitched));
    assert!((64 << 10) < log.active.size);
}

#[test]
fn a_torn_end_is_cut_and_damage_is_not_opened() {
    let disk = MemoryDisk::new();
    let mut log = create(&disk);
    for index in 2..5 {
        log.append(RaftBatch {
            entries: vec![entry(index, 1, 10)],
            ..RaftBatch::default()
        })
        .unwrap();
    }
    // Pages: header, first batch, entries 2, 3 and 4.
    let torn = disk.copy();
    overwrite(&torn, 1, 4 * PAGE_SIZE + 155, b"x");
    let (mut again, recovery) = found(&torn);
    assert!(recovery.is_torn);
    assert_eq!(story(&again), "t1 - [0/0 1/1 2/1 3/1]");
    again
        .append(RaftBatch {
            entries: vec![entry(4, 2, 10)],
            ..RaftBatch::default()
        })
        .unwrap();

    // Once it is proven, the same is damage.
    log.prove().unwrap();
    for page in 2..=4 {
        let damaged = disk.copy();
        overwrite(&damaged, 1, page * PAGE_SIZE + 155, b"x");
        let expected = RaftDamageKind::Frame {
            path: file_path(dir(), 1),
            position: page * PAGE_SIZE,
            frame_seq: page,
        };
        assert_eq!(damage(&damaged), expected);
    }
    let damaged = disk.copy();
    overwrite(&damaged, 1, PAGE_SIZE + 300, b"x");
    assert_eq!(damage(&damaged), RaftDamageKind::NoStart);
}

#[test]
fn a_creation_that_did_not_finish_leaves_nothing() {
    let disk = MemoryDisk::new();
    create(&disk);
    overwrite(&disk, 1, PAGE_SIZE + 300, b"x");
    assert!(matches!(open(&disk), RaftOpen::Empty));
    create(&disk);
    assert_eq!(story(&found(&disk).0), "t1 - [0/0 1/1]");
}

#[test]
fn a_file_put_back_or_lost_after_a_move_is_noticed() {
    let disk = MemoryDisk::new();
    let mut log = create(&disk);
    let mut index = 2;
    while log.active.number == 1 {
        log.append(RaftBatch {
            entries: vec![entry(index, 1, 900)],
            ..RaftBatch::default()
        })
        .unwrap();
        index += 1;
    }
    let lost = disk.copy();
    lost.remove_file(&file_path(dir(), 2)).unwrap();
    assert_eq!(
        damage(&lost),
        RaftDamageKind::FileMissing {
            path: file_path(dir(), 1)
        }
    );
    let torn = disk.copy();
    overwrite(&torn, 2, PAGE_SIZE + 155, b"x");
    assert_eq!(
        damage(&torn),
        RaftDamageKind::FileMissing {
            path: file_path(dir(), 1)
        }
    );
    // The old file is not needed any more.
    let lost = disk.copy();
    lost.remove_file(&file_path(dir(), 1)).unwrap();
    assert_eq!(story(&found(&lost).0), story(&log));
}

#[test]
fn a_full_disk_refuses_an_append_and_loses_nothing() {
    // Room for one file and a half.
    let disk = MemoryDisk::with_size(96 << 10);
    let mut log = create(&disk);
    let mut index = 2;
    let error = loop {
        match log.append(RaftBatch {
            entries: vec![entry(index, 1, 900)],
            ..RaftBatch::default()
        }) {
            Ok(()) => index += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, RaftLogError::Full(_)), "{error}");
    assert_eq!(log.state().last_log_id(), Some(id(index - 1, 1)));
    assert_eq!(story(&found(&disk).0), story(&log));
}

#[test]
fn a_full_disk_does_not_stop_a_log_that_prepared_its_other_file() {
    let disk = MemoryDisk::with_size(200 << 10);
    let mut log = create(&disk);
    log.prove().unwrap();
    let filler = disk.open(Path::new("filler"), OpenMode::Create).unwrap();
    filler.set_len(disk.space().unwrap().free_bytes).unwrap();
    for round in 0..100 {
        let entries = vec![entry(2, round, 5000), entry(3, round, 10)];
        log.append(RaftBatch {
            truncate_from: Some(2),
            entries,
            ..RaftBatch::default()
        })
        .unwrap();
    }
    assert!(2 < log.markers.count(Marker::RaftLogSwitched));
    assert_eq!(story(&found(&disk).0), story(&log));
}
