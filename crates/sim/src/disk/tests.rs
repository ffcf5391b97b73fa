//! Each fault the disk is for is possible, and what must not happen does not.

use super::*;

const CAPACITY: u64 = 1 << 20;

fn disk(seed: u64) -> SimDisk {
    SimDisk::new(seed, CAPACITY, Trace::quiet())
}

fn path(text: &str) -> &Path {
    Path::new(text)
}

fn read_all(disk: &SimDisk, name: &str) -> Vec<u8> {
    let file = disk.open(path(name), OpenMode::Read).expect("it exists");
    let mut bytes = vec![0; file.size().expect("alive") as usize];
    assert_eq!(file.read_at(0, &mut bytes).expect("alive"), bytes.len());
    bytes
}

/// A synced file of `size` bytes of `fill` under a synced name.
fn synced(disk: &SimDisk, name: &str, fill: u8, size: usize) -> Arc<dyn DiskFile> {
    let file = disk.open(path(name), OpenMode::Create).expect("room");
    file.write_at(0, &[&vec![fill; size]]).expect("room");
    file.sync_data().expect("no faults");
    disk.sync_dir(path("")).expect("no faults");
    file
}

/// Over many seeds, both outcomes of `outcome` occur.
fn both_happen(outcome: impl Fn(u64) -> bool) {
    let yes = (0..64).filter(|&seed| outcome(seed)).count();
    assert!((1..64).contains(&yes), "{yes} of 64 seeds");
}

#[test]
fn synced_bytes_and_names_survive_everything() {
    for seed in 0..64 {
        let disk = disk(seed);
        synced(&disk, "a", 7, 5000);
        let next = disk.reboot(CrashKind::PowerLoss);
        assert!(disk.is_crashed() && !next.is_crashed());
        assert_eq!(read_all(&next, "a"), vec![7; 5000]);
        let next = next.reboot(CrashKind::ProcessKill);
        assert_eq!(read_all(&next, "a"), vec![7; 5000]);
    }
}

#[test]
fn a_kill_keeps_the_page_cache_and_names() {
    let disk = disk(1);
    disk.create_dir(path("d")).expect("room");
    let file = disk.open(path("d/a"), OpenMode::CreateNew).expect("room");
    file.write_at(0, &[b"hello ", b"world"]).expect("room");
    disk.rename(path("d/a"), path("d/b")).expect("it exists");
    let next = disk.reboot(CrashKind::ProcessKill);
    assert_eq!(read_all(&next, "d/b"), b"hello world");
    assert!(
        file.write_at(0, &[b"x"]).is_err(),
        "handles die with their life"
    );
    assert!(disk.list(path("")).is_err());
}

#[test]
fn power_loss_keeps_any_subset_of_unsynced_sectors() {
    let mut seen = BTreeSet::new();
    for seed in 0..400 {
        let disk = disk(seed);
        let file = synced(&disk, "a", 1, 3 * 512);
        file.write_at(0, &[&[2; 3 * 512]]).expect("room");
        let after = read_all(&disk.reboot(CrashKind::PowerLoss), "a");
        assert!(
            after
                .chunks(512)
                .all(|sector| sector.iter().all(|b| *b == sector[0]))
        );
        seen.insert((after[0], after[512], after[1024]));
    }
    assert_eq!(seen.len(), 8, "{seen:?}");
}

#[test]
fn an_older_version_of_a_sector_can_survive() {
    both_happen(|seed| {
        let disk = disk(seed);
        let file = synced(&disk, "a", 1, 512);
        file.write_at(0, &[&[2; 512]]).expect("room");
        file.write_at(0, &[&[3; 512]]).expect("room");
        read_all(&disk.reboot(CrashKind::PowerLoss), "a")[0] == 2
    });
}

#[test]
fn size_without_data_and_data_without_size() {
    let grown = |seed| {
        let disk = disk(seed);
        let file = synced(&disk, "a", 1, 512);
        file.write_at(512, &[&[2; 512]]).expect("room");
        read_all(&disk.reboot(CrashKind::PowerLoss), "a")
    };
    both_happen(|seed| grown(seed).len() == 512);
    both_happen(|seed| grown(seed).get(512) == Some(&0));
    both_happen(|seed| grown(seed).get(512) == Some(&2));
    let cut = |seed| {
        let disk = disk(seed);
        let file = synced(&disk, "a", 1, 1024);
        file.set_len(512).expect("alive");
        read_all(&disk.reboot(CrashKind::PowerLoss), "a").len()
    };
    both_happen(|seed| cut(seed) == 1024);
}

#[test]
fn a_file_cut_and_extended_again_never_shows_its_old_end_once_synced() {
    for seed in 0..64 {
        let disk = disk(seed);
        let file = synced(&disk, "a", 1, 2048);
        file.set_len(100).expect("alive");
        file.set_len(2048).expect("alive");
        file.sync_data().expect("no faults");
        let after = read_all(&disk.reboot(CrashKind::PowerLoss), "a");
        assert_eq!(after[..100], [1; 100]);
        assert_eq!(after[100..], [0; 1948]);
    }
}

#[test]
fn names_need_a_directory_sync() {
    both_happen(|seed| {
        let disk = disk(seed);
        let file = disk.open(path("a"), OpenMode::CreateNew).expect("room");
        file.sync_data().expect("no faults");
        let next = disk.reboot(CrashKind::PowerLoss);
        next.open(path("a"), OpenMode::Read).is_ok()
    });
    both_happen(|seed| {
        let disk = disk(seed);
        synced(&disk, "a", 1, 512);
        disk.remove_file(path("a")).expect("it exists");
        let next = disk.reboot(CrashKind::PowerLoss);
        next.open(path("a"), OpenMode::Read).is_ok()
    });
    both_happen(|seed| {
        let disk = disk(seed);
        synced(&disk, "a", 1, 512);
        synced(&disk, "b", 2, 512);
        disk.rename(path("a"), path("b")).expect("both exist");
        let next = disk.reboot(CrashKind::PowerLoss);
        let renamed = read_all(&next, "b")[0] == 1;
        assert_eq!(
            renamed,
            next.open(path("a"), OpenMode::Read).is_err(),
            "both or neither"
        );
        renamed
    });
}

#[test]
fn a_synced_name_in_an_unsynced_directory_can_be_lost_with_it() {
    both_happen(|seed| {
        let disk = disk(seed);
        disk.create_dir(path("d")).expect("room");
        disk.open(path("d/a"), OpenMode::CreateNew).expect("room");
        disk.sync_dir(path("d")).expect("no faults");
        disk.reboot(CrashKind::PowerLoss)
            .open(path("d/a"), OpenMode::Read)
            .is_ok()
    });
}

#[test]
fn unsynced_changes_of_names_can_survive_out_of_order() {
    both_happen(|seed| {
        let disk = disk(seed);
        disk.open(path("a"), OpenMode::CreateNew).expect("room");
        disk.open(path("b"), OpenMode::CreateNew).expect("room");
        let next = disk.reboot(CrashKind::PowerLoss);
        let names = next.list(path("")).expect("alive");
        names.len() == 1 && names[0].name == "b"
    });
}

#[test]
fn a_failed_sync_marks_pages_clean_that_are_not_there() {
    let after = |seed, kind| {
        let disk = disk(seed);
        let file = synced(&disk, "a", 1, 512);
        file.write_at(0, &[&[2; 512]]).expect("room");
        disk.fail_next(PlannedFailure {
            operation: DiskOperation::Sync,
            class: None,
            failure: Failure::Io,
        });
        assert!(file.sync_data().is_err());
        assert!(file.sync_data().is_ok(), "nothing is dirty any more");
        let mut first = [0];
        file.read_at(0, &mut first).expect("alive");
        (first[0], read_all(&disk.reboot(kind), "a")[0])
    };
    // Lost although a later sync succeeded, and although it looked written in between.
    both_happen(|seed| after(seed, CrashKind::PowerLoss) == (2, 1));
    both_happen(|seed| after(seed, CrashKind::PowerLoss) == (2, 2));
    both_happen(|seed| after(seed, CrashKind::ProcessKill) == (2, 2));
    both_happen(|seed| after(seed, CrashKind::ProcessKill) == (1, 1));
}

#[test]
fn a_full_disk_cuts_writes_short_and_has_room_again() {
    let disk = disk(3);
    let file = synced(&disk, "a", 1, 512);
    disk.set_ballast(CAPACITY - 1024);
    let error = file.write_at(512, &[&[2; 4096]]).expect_err("no room");
    assert!(error.is_full());
    assert!(file.size().expect("alive") <= 1024);
    assert!(disk.space().expect("alive").free_bytes <= 512);
    file.write_at(0, &[&[3; 512]])
        .expect("overwriting takes no room");
    assert!(file.allocate(0, 8192).is_err());
    disk.set_ballast(0);
    file.write_at(512, &[&[2; 4096]]).expect("room again");
}

#[test]
fn an_unlinked_file_keeps_its_room_while_it_is_open() {
    let disk = disk(3);
    let file = synced(&disk, "a", 1, 4096);
    let free = disk.space().expect("alive").free_bytes;
    disk.remove_file(path("a")).expect("it exists");
    assert_eq!(disk.space().expect("alive").free_bytes, free);
    let mut byte = [0];
    assert_eq!(file.read_at(0, &mut byte).expect("alive"), 1);
    drop(file);
    assert_eq!(disk.space().expect("alive").free_bytes, free + 4096);
}

#[test]
fn a_crash_inside_an_operation_leaves_part_of_it() {
    let written = |seed| {
        let disk = disk(seed);
        let file = synced(&disk, "a", 1, 1024);
        disk.crash_after(Some(0));
        assert!(file.write_at(0, &[&[2; 512], &[2; 512]]).is_err());
        assert!(disk.is_crashed());
        assert!(file.sync_data().is_err() && disk.space().is_err());
        let after = read_all(&disk.reboot(CrashKind::ProcessKill), "a");
        after.iter().filter(|byte| **byte == 2).count()
    };
    both_happen(|seed| written(seed) < 512);
    both_happen(|seed| written(seed) > 512);
}

#[test]
fn synced_data_can_be_damaged_on_demand() {
    let disk = disk(5);
    synced(&disk, "seg.log", 0, 4096);
    synced(&disk, "seg.index", 0, 4096);
    let (hit, at) = disk.flip(FileClass::Segment).expect("there is a segment");
    assert_eq!(hit, path("seg.log"));
    assert_eq!(read_all(&disk, "seg.log")[at as usize].count_ones(), 1);
    assert_eq!(read_all(&disk, "seg.index"), vec![0; 4096]);
    assert_eq!(disk.flip(FileClass::Wal), None);

    for (lost, misdirected) in [(1000, 0), (0, 1000)] {
        let file = disk
            .open(path("seg.log"), OpenMode::ReadWrite)
            .expect("it exists");
        disk.set_faults(DiskFaults {
            sync_damage: SyncDamage {
                lost_per_mille: lost,
                misdirected_per_mille: misdirected,
            },
            ..DiskFaults::default()
        });
        file.write_at(1024, &[&[9; 512]]).expect("room");
        file.sync_data().expect("the disk lies");
        let mut byte = [0];
        file.read_at(1024, &mut byte).expect("alive");
        assert_eq!(byte, [9], "the page cache still has it");
    }
    let after = read_all(&disk.reboot(CrashKind::PowerLoss), "seg.log");
    assert!(after[1024] != 9 || after.iter().filter(|byte| **byte == 9).count() > 512);
}

#[test]
fn recycled_files_keep_their_stale_bytes() {
    let disk = disk(5);
    let file = synced(&disk, "a", 1, 4096);
    file.write_at(0, &[&[2; 1024]]).expect("room");
    file.sync_data().expect("no faults");
    let after = read_all(&disk.reboot(CrashKind::PowerLoss), "a");
    assert_eq!((after[1023], after[1024]), (2, 1));
}

#[test]
fn slow_operations_take_virtual_time_and_reads_would_block() {
    let disk = disk(5);
    let file = synced(&disk, "a", 1, 4096);
    let usual = disk.take_elapsed_nanos();
    assert!(usual > 0);
    disk.set_faults(DiskFaults {
        would_block: 50_000,
        slow: 50_000,
        slow_nanos_max: 10_000_000_000,
        ..DiskFaults::default()
    });
    let answers: Vec<bool> = (0..50)
        .map(|_| file.try_read_at(0, &mut [0; 8]).expect("alive").is_some())
        .collect();
    assert!(answers.contains(&true) && answers.contains(&false));
    assert!(disk.take_elapsed_nanos() > 100 * usual);
}

#[test]
fn locks_end_with_their_holder_or_their_life() {
    let disk = disk(5);
    let held = disk.lock(path("lock")).expect("free");
    assert!(matches!(
        disk.lock(path("lock")),
        Err(DiskError::AlreadyLocked { .. })
    ));
    let next = disk.reboot(CrashKind::ProcessKill);
    let again = next.lock(path("lock")).expect("free after a crash");
    drop(held);
    assert!(
        next.lock(path("lock")).is_err(),
        "a lock of an older life frees nothing"
    );
    drop(again);
    assert!(next.lock(path("lock")).is_ok());
}

#[test]
fn same_seed_same_faults() {
    let run = |seed| {
        let trace = Trace::quiet();
        let disk = SimDisk::new(seed, CAPACITY, trace.clone());
        let file = synced(&disk, "a", 1, 9000);
        file.write_at(100, &[&[2; 7000]]).expect("room");
        let next = disk.reboot(CrashKind::PowerLoss);
        (read_all(&next, "a"), trace.hash())
    };
    assert_eq!(run(9), run(9));
    assert_ne!(run(9).0, run(10).0);
}

#[test]
fn disks_of_one_machine_crash_together_and_have_their_own_faults() {
    let first = disk(1);
    let second = first.beside(1, 2, CAPACITY);
    synced(&first, "a", 1, 100);
    synced(&second, "b", 2, 100);
    first.set_broken(true);
    assert!(first.open(path("a"), OpenMode::Read).is_err());
    assert_eq!(read_all(&second, "b"), vec![2; 100]);
    assert_eq!((first.strikes(), second.strikes()), (1, 0));

    second.crash_after(Some(0));
    assert!(second.create_dir(path("d")).is_err());
    assert!(first.is_crashed() && second.is_crashed());
    let first = first.reboot(CrashKind::PowerLoss);
    let second = second.reboot(CrashKind::PowerLoss);
    assert_eq!(read_all(&second, "b"), vec![2; 100]);
    assert!(first.open(path("a"), OpenMode::Read).is_err());
    first.set_broken(false);
    assert_eq!(read_all(&first, "a"), vec![1; 100]);
}
