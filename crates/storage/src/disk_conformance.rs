//! What every implementation of [`Disk`] must do, as checks that panic with what went wrong.
//!
//! The operating system's disk, the disk in memory and the disks that lose power all pass them.

use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, DiskError, DiskFile, OpenMode};

/// Everything that holds without a crash. `disk` must be empty and writable.
///
/// # Panics
/// When the disk does something else.
pub fn check(disk: &dyn Disk) {
    names_appear_and_go(disk);
    open_modes_mean_what_they_say(disk);
    reads_and_writes_agree(disk);
    past_the_cache_it_is_the_same(disk);
    handles_outlive_names(disk);
    rename_replaces_a_file_and_moves_a_directory(disk);
    size_and_holes(disk);
    allocation_keeps_the_size(disk);
    errors_name_what_is_wrong(disk);
    a_lock_excludes(disk);
    let space = disk.space().expect("space");
    assert!(space.free_bytes <= space.total_bytes, "{space:?}");
    assert!(
        disk.list(Path::new("")).expect("list").len() <= 1,
        "the checks clean up behind themselves, all but the lock"
    );
}

/// What holds over a power cut: what was synced is there. `cut` cuts the power and gives the disk
/// as it is found afterwards. What was not synced may be there or not, in any part.
///
/// # Panics
/// When something synced is gone or changed.
pub fn check_power_cut(disk: Arc<dyn Disk>, cut: &mut dyn FnMut(Arc<dyn Disk>) -> Arc<dyn Disk>) {
    let disk = synced_bytes_and_names_survive(disk, cut);
    let disk = a_synced_rename_survives_with_its_content(disk, cut);
    let disk = unsynced_names_never_show_a_mixture(disk, cut);
    synced_removals_stay_done(disk, cut);
}

fn path(text: &str) -> &Path {
    Path::new(text)
}

fn names(disk: &dyn Disk, dir: &str) -> Vec<String> {
    let entries = disk.list(path(dir)).expect("list");
    entries.into_iter().map(|entry| entry.name).collect()
}

fn create(disk: &dyn Disk, name: &str, content: &[u8]) -> Arc<dyn DiskFile> {
    let file = disk.open(path(name), OpenMode::Create).expect("create");
    file.write_at(0, &[content]).expect("write");
    file
}

fn content(disk: &dyn Disk, name: &str) -> Vec<u8> {
    let file = disk.open(path(name), OpenMode::Read).expect("open");
    let size = usize::try_from(file.size().expect("size")).expect("small");
    let mut bytes = vec![0; size + 10];
    let read = file.read_at(0, &mut bytes).expect("read");
    assert_eq!(read, size, "a read is short only at the end of {name}");
    bytes.truncate(read);
    bytes
}

fn names_appear_and_go(disk: &dyn Disk) {
    disk.create_dir(path("b")).expect("create_dir");
    disk.create_dir(path("b"))
        .expect("create_dir of one that exists");
    disk.create_dir(path("b/inner")).expect("create_dir");
    create(disk, "a", b"12345");
    create(disk, "c", b"");
    create(disk, "b/file", b"1");
    let entries = disk.list(path("")).expect("list");
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| (entry.name.as_str(), entry.is_dir, entry.size))
        .collect();
    assert_eq!(seen, [("a", false, 5), ("b", true, 0), ("c", false, 0)]);
    assert_eq!(names(disk, "b"), ["file", "inner"]);
    assert!(
        disk.remove_dir(path("b")).is_err(),
        "a directory that is not empty"
    );
    for (name, is_dir) in [("b/inner", true), ("b/file", false), ("b", true)] {
        if is_dir {
            disk.remove_dir(path(name)).expect("remove_dir");
        } else {
            disk.remove_file(path(name)).expect("remove_file");
        }
    }
    disk.remove_file(path("a")).expect("remove_file");
    disk.remove_file(path("c")).expect("remove_file");
    disk.sync_dir(path("")).expect("sync_dir");
    assert!(names(disk, "").is_empty());
}

fn open_modes_mean_what_they_say(disk: &dyn Disk) {
    for mode in [OpenMode::Read, OpenMode::ReadWrite] {
        let error = disk
            .open(path("f"), mode)
            .err()
            .expect("there is no such file");
        assert!(error.is_not_found(), "{mode:?}: {error}");
    }
    disk.open(path("f"), OpenMode::CreateNew).expect("new");
    let again = disk
        .open(path("f"), OpenMode::CreateNew)
        .err()
        .expect("not new");
    assert!(matches!(again, DiskError::AlreadyExists { .. }), "{again}");
    let file = disk
        .open(path("f"), OpenMode::Create)
        .expect("create or open");
    file.write_at(0, &[b"abc"]).expect("write");
    disk.open(path("f"), OpenMode::Create)
        .expect("opening keeps the content");
    let file = disk.open(path("f"), OpenMode::ReadWrite).expect("open");
    file.write_at(3, &[b"d"]).expect("write");
    assert_eq!(content(disk, "f"), b"abcd");
    let file = disk.open(path("f"), OpenMode::Read).expect("open");
    assert!(file.write_at(0, &[b"x"]).is_err(), "open for reading only");
    disk.remove_file(path("f")).expect("remove_file");
}

fn reads_and_writes_agree(disk: &dyn Disk) {
    let file = create(disk, "f", b"");
    let mut expected = Vec::new();
    // Many parts, empty ones among them, in one call, over page borders.
    let parts: Vec<Vec<u8>> = (0..300_usize)
        .map(|i| vec![i as u8; i * 7 % 1000])
        .collect();
    let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    file.write_at(0, &slices).expect("write");
    parts
        .iter()
        .for_each(|part| expected.extend_from_slice(part));
    file.write_at(5000, &[b"over", b"written"]).expect("write");
    expected[5000..5011].copy_from_slice(b"overwritten");
    assert!(content(disk, "f") == expected);

    let mut buf = [0; 100];
    let near_end = expected.len() - 30;
    assert_eq!(file.read_at(near_end as u64, &mut buf).expect("read"), 30);
    assert!(buf[..30] == expected[near_end..]);
    assert_eq!(
        file.read_at(expected.len() as u64, &mut buf).expect("read"),
        0
    );
    assert_eq!(file.read_at(1 << 40, &mut buf).expect("read"), 0);
    file.sync_data().expect("sync");
    // It may say "would block" as often as it likes, but never something wrong.
    for position in (0..expected.len()).step_by(999) {
        if let Some(read) = file
            .try_read_at(position as u64, &mut buf)
            .expect("try_read")
        {
            assert_eq!(read, (expected.len() - position).min(100), "at {position}");
            assert!(buf[..read] == expected[position..position + read]);
        }
    }
    file.write_at(10, &[]).expect("writing nothing");
    file.write_at(1 << 20, &[b""]).expect("writing nothing");
    assert_eq!(file.size().expect("size"), expected.len() as u64);
    disk.remove_file(path("f")).expect("remove_file");
}

fn past_the_cache_it_is_the_same(disk: &dyn Disk) {
    let file = create(disk, "f", b"");
    let mut expected = Vec::new();
    // Beginnings and ends inside of pages, on their borders, within one page, and over several large writes.
    for (round, size) in [
        1,
        4095,
        100,
        8192,
        4096 * 3 - 196,
        3_000_001,
        5_000,
        0,
        70_000,
    ]
    .into_iter()
    .enumerate()
    {
        let bytes: Vec<u8> = (0..size).map(|i| (i * 31 + round * 7) as u8).collect();
        let parts: Vec<&[u8]> = bytes.chunks(37_777).collect();
        let position = expected.len() as u64;
        if round % 3 == 2 {
            file.write_at(position, &parts).expect("write");
        } else {
            file.write_uncached(position, &parts).expect("write");
        }
        expected.extend_from_slice(&bytes);
        assert!(content(disk, "f") == expected, "round {round}");
    }
    file.write_uncached(6000, &[&[9; 1_500_000]])
        .expect("write");
    expected[6000..1_506_000].fill(9);
    assert!(content(disk, "f") == expected, "written over");
    for (position, size) in [
        (0, 1_600_000),
        (4096, 8192),
        (4097, 50_000),
        (8192, 4097),
        (1 << 22, 9),
    ] {
        // In memory on a block's border, and off it.
        let mut memory = vec![1; size + 8192];
        let border = memory.as_ptr().align_offset(4096);
        for start in [border, border + 1] {
            let buf = &mut memory[start..start + size];
            let count = file.read_uncached(position, buf).expect("read");
            let from = expected.len().min(position as usize);
            let there = &expected[from..expected.len().min(from + size)];
            assert!(buf[..count] == *there, "{size} bytes at {position}");
        }
    }
    file.sync_data().expect("sync");
    disk.remove_file(path("f")).expect("remove_file");
}

fn handles_outlive_names(disk: &dyn Disk) {
    let file = create(disk, "f", b"1");
    disk.rename(path("f"), path("g")).expect("rename");
    file.write_at(1, &[b"2"]).expect("write after a rename");
    assert_eq!(content(disk, "g"), b"12");
    disk.remove_file(path("g")).expect("remove_file");
    file.write_at(2, &[b"3"]).expect("write after the removal");
    file.sync_data().expect("sync after the removal");
    let mut buf = [0; 3];
    assert_eq!(file.read_at(0, &mut buf).expect("read"), 3);
    assert_eq!(&buf, b"123");
    create(disk, "g", b"other");
    assert_eq!(
        file.size().expect("size"),
        3,
        "a new file of the name is another file"
    );
    disk.remove_file(path("g")).expect("remove_file");
}

fn rename_replaces_a_file_and_moves_a_directory(disk: &dyn Disk) {
    create(disk, "new", b"new");
    let old = create(disk, "old", b"old one");
    disk.rename(path("new"), path("old")).expect("rename over");
    assert_eq!(names(disk, ""), ["old"]);
    assert_eq!(content(disk, "old"), b"new");
    assert_eq!(
        old.size().expect("size"),
        7,
        "who has the replaced file open keeps it"
    );
    disk.remove_file(path("old")).expect("remove_file");

    disk.create_dir(path("d")).expect("create_dir");
    let inside = create(disk, "d/f", b"1");
    disk.rename(path("d"), path("e"))
        .expect("rename a directory");
    inside.write_at(1, &[b"2"]).expect("write");
    assert_eq!(content(disk, "e/f"), b"12");
    assert!(disk.list(path("d")).expect_err("gone").is_not_found());
    disk.rename(path("e/f"), path("f"))
        .expect("rename across directories");
    assert_eq!(content(disk, "f"), b"12");
    disk.remove_file(path("f")).expect("remove_file");
    disk.remove_dir(path("e")).expect("remove_dir");
}

fn size_and_holes(disk: &dyn Disk) {
    let file = create(disk, "f", b"abcdef");
    file.write_at(10_000, &[b"end"])
        .expect("write past the end");
    let mut expected = b"abcdef".to_vec();
    expected.resize(10_000, 0);
    expected.extend_from_slice(b"end");
    assert!(content(disk, "f") == expected, "a hole reads as zeros");
    file.set_len(3).expect("cut");
    assert_eq!(content(disk, "f"), b"abc");
    file.set_len(8).expect("extend");
    assert_eq!(
        content(disk, "f"),
        b"abc\0\0\0\0\0",
        "cut bytes do not come back"
    );
    file.sync_data().expect("sync");
    file.set_len(0).expect("cut");
    file.set_len(5000).expect("extend");
    assert!(content(disk, "f") == vec![0; 5000]);
    disk.remove_file(path("f")).expect("remove_file");
}

fn allocation_keeps_the_size(disk: &dyn Disk) {
    let file = create(disk, "f", b"abc");
    file.allocate(3, 1 << 20).expect("allocate");
    assert_eq!(file.size().expect("size"), 3);
    file.write_at(3, &[b"d"]).expect("write");
    assert_eq!(content(disk, "f"), b"abcd");
    disk.remove_file(path("f")).expect("remove_file");
}

fn errors_name_what_is_wrong(disk: &dyn Disk) {
    let is_not_found = |result: Result<(), DiskError>| {
        let error = result.expect_err("there is nothing");
        assert!(error.is_not_found(), "{error}");
        assert!(error.to_string().contains("missing"), "no path in: {error}");
    };
    is_not_found(disk.create_dir(path("missing/d")));
    is_not_found(disk.open(path("missing/f"), OpenMode::Create).map(drop));
    is_not_found(disk.list(path("missing")).map(drop));
    is_not_found(disk.rename(path("missing"), path("to")));
    is_not_found(disk.remove_file(path("missing")));
    is_not_found(disk.remove_dir(path("missing")));
    is_not_found(disk.sync_dir(path("missing")));
}

fn a_lock_excludes(disk: &dyn Disk) {
    let lock = disk.lock(path("lock")).expect("lock");
    let second = disk.lock(path("lock")).expect_err("it is taken");
    assert!(
        matches!(second, DiskError::AlreadyLocked { .. }),
        "{second}"
    );
    drop(lock);
    drop(disk.lock(path("lock")).expect("free again"));
}

fn synced_bytes_and_names_survive(
    disk: Arc<dyn Disk>,
    cut: &mut dyn FnMut(Arc<dyn Disk>) -> Arc<dyn Disk>,
) -> Arc<dyn Disk> {
    disk.create_dir(path("d")).expect("create_dir");
    let file = create(&*disk, "d/f", &[1; 10_000]);
    file.sync_data().expect("sync");
    disk.sync_dir(path("d")).expect("sync_dir");
    disk.sync_dir(path("")).expect("sync_dir");
    file.write_at(10_000, &[&[2; 10_000]]).expect("write");
    file.write_at(0, &[&[3; 100]]).expect("write");
    drop(file);
    let disk = cut(disk);
    let found = content(&*disk, "d/f");
    assert!(found.len() >= 10_000, "the synced size is there");
    assert!(
        found[100..10_000].iter().all(|&b| b == 1),
        "synced bytes are there"
    );
    assert!(found[..100].iter().all(|&b| b == 1 || b == 3));
    assert!(found[10_000..].iter().all(|&b| b == 2 || b == 0));
    disk
}

fn a_synced_rename_survives_with_its_content(
    disk: Arc<dyn Disk>,
    cut: &mut dyn FnMut(Arc<dyn Disk>) -> Arc<dyn Disk>,
) -> Arc<dyn Disk> {
    let replaced = create(&*disk, "d/current", b"old");
    replaced.sync_data().expect("sync");
    disk.sync_dir(path("d")).expect("sync_dir");
    let replacement = create(&*disk, "d/next", b"new");
    replacement.sync_data().expect("sync");
    disk.rename(path("d/next"), path("d/current"))
        .expect("rename");
    disk.sync_dir(path("d")).expect("sync_dir");
    let disk = cut(disk);
    assert_eq!(content(&*disk, "d/current"), b"new");
    assert_eq!(names(&*disk, "d"), ["current", "f"]);
    disk
}

fn unsynced_names_never_show_a_mixture(
    disk: Arc<dyn Disk>,
    cut: &mut dyn FnMut(Arc<dyn Disk>) -> Arc<dyn Disk>,
) -> Arc<dyn Disk> {
    create(&*disk, "d/next", b"newer")
        .sync_data()
        .expect("sync");
    disk.sync_dir(path("d")).expect("sync_dir");
    disk.rename(path("d/next"), path("d/current"))
        .expect("rename");
    let disk = cut(disk);
    let found = (names(&*disk, "d"), content(&*disk, "d/current"));
    let before = (
        vec!["current".into(), "f".into(), "next".into()],
        b"new".to_vec(),
    );
    let after = (vec!["current".into(), "f".into()], b"newer".to_vec());
    assert!(found == before || found == after, "{found:?}");
    disk
}

fn synced_removals_stay_done(
    disk: Arc<dyn Disk>,
    cut: &mut dyn FnMut(Arc<dyn Disk>) -> Arc<dyn Disk>,
) {
    for name in names(&*disk, "d") {
        disk.remove_file(&path("d").join(name))
            .expect("remove_file");
    }
    disk.sync_dir(path("d")).expect("sync_dir");
    disk.remove_dir(path("d")).expect("remove_dir");
    disk.sync_dir(path("")).expect("sync_dir");
    let disk = cut(disk);
    assert!(disk.list(path("d")).is_err(), "the directory is back");
}
