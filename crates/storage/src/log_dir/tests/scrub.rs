//! What the scrub finds, tells, mends and leaves alone.

use super::harness::*;
use crate::disk::{Disk, OpenMode};
use crate::findings::Finding;
use crate::log_dir::{DirHealth, PumpStep, ReadLimit};
use crate::partition::LogConfig;
use crate::segment::Access;
use ottla_types::{Offset, PartitionSlot};
use std::path::{Path, PathBuf};

const FIRST: &str = "topic1-1/00000000000000000000.log";

fn small_segments() -> LogConfig {
    LogConfig {
        segment_bytes: 3_000,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

/// Three segments of three batches each, synced.
fn filled() -> (Harness, PartitionSlot) {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, small_segments());
    for index in 0..8 {
        h.append(slot, &batch(None, &[1_000 + index], &[index as u8; 900]));
    }
    h.flush(slot);
    assert_eq!(h.dir.sizes(slot).expect("there").segments_count, 3);
    (h, slot)
}

impl Harness {
    /// One whole pass.
    pub(super) fn scrub(&mut self) -> Vec<Finding> {
        let passes = self.dir.scrub_stats().passes_count;
        self.dir.scrub_now();
        while self.dir.scrub_stats().passes_count == passes {
            let before = self.dir.scrub_stats().bytes_read;
            let step = self.dir.scrub_step(self.now);
            assert!(self.dir.scrub_stats().bytes_read - before <= 1 << 20);
            if let PumpStep::Waiting { until } = step {
                let wait = until.since(self.now.mono).as_millis() as u64;
                self.pass(wait + 1);
            }
        }
        self.dir.findings().since(0)
    }

    fn flip(&self, path: &str, at: u64) {
        let file = self
            .disk
            .open(Path::new(path), OpenMode::ReadWrite)
            .expect("there");
        let mut byte = [0];
        file.read_at(at, &mut byte).expect("readable");
        file.write_at(at, &[&[byte[0] ^ 4]]).expect("writable");
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let file = self
            .disk
            .open(Path::new(path), OpenMode::Create)
            .expect("made");
        file.write_at(0, &[bytes]).expect("written");
    }

    fn exists(&self, path: &str) -> bool {
        self.disk.open(Path::new(path), OpenMode::Read).is_ok()
    }
}

#[test]
fn a_healthy_directory_has_no_findings() {
    let (mut h, slot) = filled();
    assert_eq!(h.scrub(), []);
    let synced: u64 = h.dir.sizes(slot).expect("there").bytes;
    assert_eq!(h.dir.scrub_stats().bytes_read, synced);
    let mut h = h.restart();
    assert_eq!(h.scrub(), []);
}

#[test]
fn a_flipped_bit_is_found_told_once_and_never_served() {
    let (h, _) = filled();
    let mut h = h.restart();
    let slot = h.create(1, small_segments());
    h.flip("topic1-1/00000000000000000003.log", 15);
    let findings = h.scrub();
    let expected = Finding::Corrupt {
        partition: partition(1),
        file: PathBuf::from("topic1-1/00000000000000000003.log"),
        position: 0,
        offsets: Some((Offset::new(3), Offset::new(5))),
    };
    assert_eq!(findings, [expected]);
    assert_eq!(h.dir.findings().damage_count(), 1);
    let text = findings[0].to_string();
    for part in ["00000000000000000003.log", "position 0", "offsets 3 to 5"] {
        assert!(text.contains(part), "{text}");
    }
    let limit = ReadLimit {
        end: Offset::new(8),
        bytes_max: 1 << 20,
        at_least_one_batch: true,
    };
    let read = |from| {
        let from = Offset::new(from);
        h.dir.read_with(slot, from, limit, Access::Wait)
    };
    assert!(read(3).is_err());
    assert_eq!(read(0).expect("whole").next_offset, Offset::new(3));
    assert_eq!(read(6).expect("whole").next_offset, Offset::new(8));
    // Neither another pass nor a reader tells it again.
    assert_eq!(h.scrub().len(), 1);
}

#[test]
fn look_ups_of_readers_tell_damage_like_the_scrub() {
    let (h, _) = filled();
    let h = h.restart();
    let slot = h.create(1, small_segments());
    h.flip(FIRST, 20);
    let found = h.dir.offset_for_timestamp(
        slot,
        ottla_types::Timestamp::from_millis(1_001),
        Access::Wait,
    );
    assert!(found.is_err());
    let findings = h.dir.findings().since(0);
    let Finding::Corrupt {
        file,
        position,
        offsets,
        ..
    } = &findings[0]
    else {
        panic!("{findings:?}");
    };
    assert_eq!((file.as_path(), *position), (Path::new(FIRST), 0));
    assert_eq!(*offsets, Some((Offset::new(0), Offset::new(2))));
    assert_eq!(findings.len(), 1);
}

#[test]
fn missing_and_short_files_are_named() {
    let (h, _) = filled();
    let mut h = h.restart();
    h.disk.remove_file(Path::new(FIRST)).expect("removed");
    let third = Path::new("topic1-1/00000000000000000003.log");
    let short = h.disk.open(third, OpenMode::ReadWrite).expect("there");
    let size = short.size().expect("a size");
    short.set_len(size - 1).expect("cut");
    let findings = h.scrub();
    assert!(
        findings.contains(&Finding::Missing {
            partition: partition(1),
            file: PathBuf::from(FIRST),
            base_offset: Offset::ZERO,
            end_offset: Some(Offset::new(3)),
        }),
        "{findings:?}"
    );
    assert!(findings.contains(&Finding::TooShort {
        partition: partition(1),
        file: third.to_owned(),
        size: size - 1,
        synced_size: size as u32,
    }));
}

#[test]
fn what_is_not_ours_is_named_and_stays() {
    let (mut h, _) = filled();
    h.write("notes.txt", b"mine");
    h.write("topic1-1/core.1234", b"theirs");
    h.disk.create_dir(Path::new("lost+found")).expect("made");
    let mut findings = h.scrub();
    findings.sort_by_key(ToString::to_string);
    let foreign = |path: &str| Finding::Foreign {
        path: PathBuf::from(path),
    };
    let expected = ["lost+found", "notes.txt", "topic1-1/core.1234"].map(foreign);
    assert_eq!(findings, expected);
    assert!(h.exists("notes.txt") && h.exists("topic1-1/core.1234"));
}

#[test]
fn what_nobody_may_look_at_is_named_and_the_rest_goes_on() {
    for (forbidden, touched) in [
        ("backup-2024", "backup-2024/partition.metadata"),
        ("topic1-1", "topic1-1"),
        (FIRST, FIRST),
    ] {
        let (h, _) = filled();
        let (mut h, disk) = h.interrupted();
        h.disk.create_dir(Path::new("backup-2024")).expect("made");
        disk.forbid(touched);
        let findings = h.scrub();
        assert_eq!(h.dir.health(), DirHealth::Online, "{forbidden}");
        let is_named = |it: &Finding| it.to_string().contains(forbidden);
        assert!(findings.iter().any(is_named), "{findings:?}");
        // The contents of the other segments were looked at.
        assert!(h.dir.scrub_stats().bytes_read > 0, "{forbidden}");
    }
}

#[test]
fn a_directory_of_an_unknown_partition_is_kept() {
    let (mut h, _) = filled();
    h.disk.create_dir(Path::new("other-9")).expect("made");
    let id = partition(9);
    let text = format!("version: 0\ntopic_id: {}", id.topic_id);
    h.write("other-9/partition.metadata", text.as_bytes());
    let expected = Finding::Stray {
        partition: id,
        path: PathBuf::from("other-9"),
    };
    assert_eq!(h.scrub(), [expected]);
    assert!(h.exists("other-9/partition.metadata"));
}

#[test]
fn leftovers_of_interrupted_operations_go() {
    let (mut h, slot) = filled();
    // A removal of a dropped partition, a removal by retention, and a snapshot were cut short.
    let deleted = format!("gone-4.{}-delete", partition(4).topic_id);
    h.disk.create_dir(Path::new(&deleted)).expect("made");
    h.write(&format!("{deleted}/00000000000000000000.log"), b"x");
    let orphan = "topic1-1/00000000000000000007.log";
    h.write(orphan, b"x");
    h.write("topic1-1/00000000000000000008.snapshot.tmp", b"x");
    let before = h.read_all(slot, 0, 1 << 20);
    let findings = h.scrub();
    assert_eq!(findings.len(), 3, "{findings:?}");
    assert!(
        findings
            .iter()
            .all(|it| matches!(it, Finding::Leftover { .. }))
    );
    assert!(!h.exists(orphan) && !h.exists("topic1-1/00000000000000000008.snapshot.tmp"));
    assert!(h.disk.list(Path::new(&deleted)).is_err());
    assert_eq!(h.read_all(slot, 0, 1 << 20), before);
    // The partition is not set aside for ever.
    h.append(slot, &batch(None, &[1], b"on"));
    h.flush(slot);
    assert_eq!(h.dir.ends(slot).expect("there").synced_end, Offset::new(9));
}

#[test]
fn a_deleted_directory_with_foreign_files_is_left_alone() {
    let (mut h, _) = filled();
    let deleted = format!("gone-4.{}-delete", partition(4).topic_id);
    h.disk.create_dir(Path::new(&deleted)).expect("made");
    h.write(&format!("{deleted}/00000000000000000000.log"), b"x");
    h.write(&format!("{deleted}/thesis.tex"), b"x");
    let findings = h.scrub();
    assert!(
        matches!(&findings[..], [Finding::Foreign { .. }]),
        "{findings:?}"
    );
    assert!(h.exists(&format!("{deleted}/00000000000000000000.log")));
}

#[test]
fn files_that_wait_for_their_removal_are_no_leftovers() {
    let (mut h, slot) = filled();
    h.dir.set_config(
        slot,
        LogConfig {
            file_delete_delay_ms: 60_000_000,
            ..small_segments()
        },
    );
    h.dir
        .delete_records(slot, Offset::new(6))
        .expect("in range");
    h.commit();
    h.dir.retention_now();
    while h.dir.retention_step(h.now) == PumpStep::Worked {}
    h.commit();
    assert_eq!(h.dir.sizes(slot).expect("there").segments_count, 1);
    assert_eq!(h.scrub(), []);
    assert!(h.exists(FIRST));
    // Their removal is forgotten by a crash, and taken up by the scrub of the next process.
    let mut h = h.restart();
    assert_eq!(h.scrub().len(), 8);
    assert!(!h.exists(FIRST));
}

#[test]
fn segments_that_a_loss_cut_off_are_named_and_stay() {
    let (mut h, _) = filled();
    h.forget_journal();
    let h = h.shut_down();
    let last = "topic1-1/00000000000000000006.log";
    for path in h.checkpoints() {
        h.flip_at(&path, 100);
    }
    h.flip("topic1-1/00000000000000000003.log", 30);
    let mut h = h.restart();
    assert_eq!(h.report.damaged.len(), 1, "{:?}", h.report);
    let slot = h.create(1, small_segments());
    assert_eq!(h.read_all(slot, 0, 1 << 20).len(), 3);
    let findings = h.scrub();
    let expected = Finding::CutOff {
        partition: partition(1),
        path: PathBuf::from(last),
    };
    assert_eq!(findings, [expected]);
    assert!(findings[0].is_damage());
    for kind in ["log", "sums", "index", "timeindex"] {
        assert!(h.exists(&last.replace("log", kind)), "{kind}");
    }
}

#[test]
fn files_for_tools_and_sidecars_are_made_again() {
    let (h, _) = filled();
    let kinds = ["sums", "index", "timeindex"];
    let paths: Vec<String> = kinds
        .map(|it| format!("topic1-1/00000000000000000003.{it}"))
        .into();
    let read = |h: &Harness, path: &str| {
        let file = h.disk.open(Path::new(path), OpenMode::Read).expect("there");
        let mut bytes = vec![0; file.size().expect("a size") as usize];
        file.read_at(0, &mut bytes).expect("readable");
        bytes
    };
    let before: Vec<Vec<u8>> = paths.iter().map(|path| read(&h, path)).collect();
    let mut h = h.restart();
    h.disk.remove_file(Path::new(&paths[0])).expect("removed");
    h.disk.remove_file(Path::new(&paths[1])).expect("removed");
    h.flip(&paths[2], 3);
    let findings = h.scrub();
    assert_eq!(findings.len(), 3, "{findings:?}");
    assert!(
        findings
            .iter()
            .all(|it| matches!(it, Finding::Mended { .. }))
    );
    assert_eq!(h.dir.findings().damage_count(), 0);
    let after: Vec<Vec<u8>> = paths.iter().map(|path| read(&h, path)).collect();
    assert_eq!(before, after);
}

/// A power cut may take a sidecar along, which was the only one to know the bytes that Kafka's checksum leaves out. The
/// ends of the chain of batches are known to the partition.
#[test]
fn a_bent_end_of_a_segment_without_sidecar_is_not_taken_for_good() {
    let batch_size = {
        let (h, slot) = filled();
        h.read_all(slot, 0, 1)[0].2.len() as u64
    };
    let (offset_byte, epoch_byte) = (7, 15);
    // The first batch's epoch, 1, becomes 0; the last one's becomes 3, or its offset 6 more.
    let flips = [
        (epoch_byte, 1),
        (2 * batch_size + epoch_byte, 2),
        (2 * batch_size + offset_byte, 4),
    ];
    for (at, bit) in flips {
        let (h, _) = filled();
        let mut h = h.restart();
        let sums = Path::new(FIRST).with_extension("sums");
        h.disk.remove_file(&sums).expect("removed");
        let file = h.disk.open(Path::new(FIRST), OpenMode::ReadWrite);
        let file = file.expect("there");
        let mut byte = [0];
        file.read_at(at, &mut byte).expect("readable");
        file.write_at(at, &[&[byte[0] ^ bit]]).expect("writable");
        let findings = h.scrub();
        let is_found = |it: &Finding| matches!(it, Finding::Corrupt { .. });
        assert!(findings.iter().any(is_found), "{at}: {findings:?}");
        assert!(
            h.disk.open(&sums, OpenMode::Read).is_err(),
            "nothing vouches for it"
        );
    }
}

#[test]
fn the_rate_is_kept() {
    let mut options = small_options();
    options.scrub_bytes_per_second = 1_000;
    let mut h = Harness::new(options);
    let slot = h.create(1, small_segments());
    for index in 0..8 {
        h.append(slot, &batch(None, &[1_000 + index], &[index as u8; 900]));
    }
    h.flush(slot);
    let begun = h.now.mono;
    h.scrub();
    let bytes = h.dir.scrub_stats().bytes_read;
    assert!(7_000 < bytes);
    let took = h.now.mono.since(begun).as_millis() as u64;
    // A pass is rested for an hour afterwards, which is part of the last step here.
    let rest = h.options.scrub_interval.as_millis() as u64;
    assert!(
        (bytes..bytes + rest + 2_000).contains(&took),
        "{bytes} bytes in {took} ms"
    );
}

/// A segment that somebody removed is a loss of that segment, and of nothing else.
#[test]
fn a_missing_segment_keeps_nobody_from_working() {
    let (h, _) = filled();
    let mut h = h.restart();
    let slot = h.create(1, small_segments());
    let last = "topic1-1/00000000000000000006.log";
    h.disk.remove_file(Path::new(last)).expect("there");
    // It does not fit into the last one, which is full from now on.
    let appended = h.append(slot, &batch(None, &[2_000], &[9; 2_500]));
    assert_eq!(appended.base_offset, Offset::new(8));
    h.flush(slot);
    assert_eq!(h.dir.health(), DirHealth::Online);
    assert_eq!(h.dir.ends(slot).expect("there").synced_end, Offset::new(9));
    assert_eq!(h.read_all(slot, 8, 1 << 20).len(), 1);
    h.scrub();
    assert_eq!(h.dir.health(), DirHealth::Online);
    assert!(!h.exists(last), "nobody makes an empty one of it");
}
