//! Compacted logs: what is left of them, whatever happens meanwhile.

use super::harness::*;
use super::keyed_log::*;
use crate::disk::Disk;
use crate::log_dir::{LogDirOptions, ReadLimit};
use crate::partition::LogConfig;
use crate::segment::Access;
use ottla_records::batches;
use ottla_types::Offset;
use std::path::Path;

fn config() -> LogConfig {
    LogConfig {
        compacts: true,
        deletes: false,
        segment_bytes: 2_000,
        min_cleanable_ppm: 10_000,
        delete_retention_ms: 50_000,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    }
}

impl Harness {
    fn bytes_on_disk(&self) -> u64 {
        let files = self.disk.list(Path::new("topic1-1")).expect("a directory");
        files.iter().map(|file| file.size).sum()
    }

    fn names(&self) -> Vec<String> {
        let files = self.disk.list(Path::new("topic1-1")).expect("a directory");
        files.into_iter().map(|file| file.name).collect()
    }
}

#[test]
fn only_the_newest_record_of_each_key_is_left() {
    for restarts in [false, true] {
        let mut h = Harness::new(cleaner_options());
        let slot = h.create(1, config());
        overwrite(&mut h, slot, 7, 300, "a");
        let before = h.latest(slot);
        let end = h.dir.ends(slot).expect("there").appended_end;
        h.clean();
        if restarts {
            h = h.restart();
        }
        let slot = h.create(1, config());
        assert_eq!(h.latest(slot), before);
        assert_eq!(h.dir.ends(slot).expect("there").appended_end, end);
        let records = h.records(slot);
        assert!(records.len() < 40, "{} records", records.len());
        assert!(h.names().iter().all(|name| !name.ends_with(".cleaned")));
        assert_eq!(h.dir.findings().count(), 0);
        // Only the active segment and what it left are there.
        let sizes = h.dir.sizes(slot).expect("there");
        assert!(sizes.segments_count <= 3, "{sizes:?}");
    }
}

#[test]
fn the_same_keys_for_ever_need_the_same_room_for_ever() {
    let mut h = Harness::new(cleaner_options());
    let slot = h.create(1, config());
    let mut largest = 0;
    for round in 0..40 {
        overwrite(&mut h, slot, 10, 100, &format!("r{round}"));
        h.clean();
        largest = largest.max(h.bytes_on_disk());
    }
    assert_eq!(h.latest(slot).len(), 10);
    assert!(largest < 20_000, "{largest} bytes for 10 keys");
    assert!(h.dir.ends(slot).expect("there").appended_end == Offset::new(4_000));
    let stats = h.dir.cleaner_stats();
    assert!(stats.records_removed > 3_800, "{stats:?}");
    h.dir.scrub_now();
    for _ in 0..5_000 {
        h.dir.scrub_step(h.now);
        h.pass(10);
    }
    assert!(h.dir.scrub_stats().passes_count > 0);
    assert_eq!(
        h.dir.findings().count(),
        0,
        "{:?}",
        h.dir.findings().since(0)
    );
}

#[test]
fn a_topic_that_is_not_compacted_is_left_alone() {
    let mut h = Harness::new(cleaner_options());
    let plain = LogConfig {
        compacts: false,
        ..config()
    };
    let slot = h.create(1, plain);
    overwrite(&mut h, slot, 3, 100, "a");
    h.clean();
    assert_eq!(h.records(slot).len(), 100);
    // It becomes compacted, and is no more later.
    h.dir.set_config(slot, config());
    h.clean();
    let left = h.records(slot).len();
    assert!(left < 40, "{left}");
    h.dir.set_config(slot, plain);
    overwrite(&mut h, slot, 3, 100, "b");
    h.clean();
    assert_eq!(h.records(slot).len(), left + 100);
}

#[test]
fn tombstones_stay_for_their_time_and_then_go_with_their_keys() {
    let mut h = Harness::new(cleaner_options());
    let slot = h.create(1, config());
    overwrite(&mut h, slot, 2, 40, "a");
    h.put(slot, "key-0", None);
    overwrite(&mut h, slot, 1, 0, "");
    for _ in 0..30 {
        h.put(slot, "other", Some(&"y".repeat(80)));
    }
    h.clean();
    assert_eq!(
        h.latest(slot)["key-0"].1,
        None,
        "the deletion is still told"
    );
    assert_eq!(
        h.records(slot).iter().filter(|it| it.1 == "key-0").count(),
        1
    );
    h.pass(30_000);
    overwrite(&mut h, slot, 1, 0, "");
    for _ in 0..30 {
        h.put(slot, "other", Some(&"z".repeat(80)));
    }
    h.clean();
    assert!(h.latest(slot).contains_key("key-0"));
    h.pass(30_000);
    for _ in 0..30 {
        h.put(slot, "other", Some(&"w".repeat(80)));
    }
    h.clean();
    assert!(
        !h.latest(slot).contains_key("key-0"),
        "{:?}",
        h.records(slot)
    );
    assert!(h.latest(slot).contains_key("key-1"));
}

#[test]
fn nothing_above_the_high_watermark_or_younger_than_the_lag_is_touched() {
    let mut h = Harness::new(cleaner_options());
    let lagging = LogConfig {
        min_compaction_lag_ms: 10_000,
        ..config()
    };
    let slot = h.create(1, lagging);
    overwrite(&mut h, slot, 3, 100, "a");
    h.clean();
    assert_eq!(h.records(slot).len(), 100, "too young");
    h.pass(10_001);
    h.dir.set_high_watermark(slot, Offset::new(50));
    h.clean();
    let records = h.records(slot);
    let above = records.iter().filter(|it| 50 <= it.0).count();
    assert_eq!(above, 50);
    assert!(records.len() < 75, "{} records", records.len());
    h.dir.set_high_watermark(slot, Offset::new(100));
    h.clean();
    assert!(h.records(slot).len() < 25);
}

#[test]
fn a_log_is_compacted_when_it_is_dirty_enough_or_has_waited_long_enough() {
    let mut h = Harness::new(cleaner_options());
    let patient = LogConfig {
        min_cleanable_ppm: 900_000,
        max_compaction_lag_ms: 60_000,
        ..config()
    };
    let slot = h.create(1, patient);
    for index in 0..60 {
        h.put(slot, &format!("unique-{index}"), Some(&"u".repeat(60)));
    }
    h.clean();
    let clean = h.dir.cleaner_stats().rounds_count;
    assert_eq!(clean, 1, "all of it was dirty");
    overwrite(&mut h, slot, 1, 60, "a");
    h.clean();
    assert_eq!(h.dir.cleaner_stats().rounds_count, 1, "half of it is dirty");
    h.pass(61_000);
    h.clean();
    assert_eq!(h.dir.cleaner_stats().rounds_count, 2);
    assert!(h.records(slot).len() < 85);
}

#[test]
fn readers_keep_what_they_began_with() {
    let mut h = Harness::new(LogDirOptions {
        open_files_max: 1,
        ..cleaner_options()
    });
    let slot = h.create(1, config());
    overwrite(&mut h, slot, 3, 100, "a");
    h.flush(slot);
    let limit = ReadLimit {
        end: Offset::new(100),
        bytes_max: 1_500,
        at_least_one_batch: true,
    };
    let mut plans = Vec::new();
    let mut at = Offset::ZERO;
    while at < Offset::new(100) {
        let plan = h
            .dir
            .read_with(slot, at, limit, Access::Wait)
            .expect("readable");
        at = plan.next_offset;
        plans.push(plan);
    }
    let before: Vec<Vec<u8>> = plans.iter().map(Harness::load).collect();
    h.clean();
    assert!(h.records(slot).len() < 25);
    let after: Vec<Vec<u8>> = plans.iter().map(Harness::load).collect();
    assert_eq!(after, before);
}

#[test]
fn sequences_survive_their_records() {
    let mut h = Harness::new(cleaner_options());
    let slot = h.create(1, config());
    let at = h.now.wall.as_millis();
    for sequence in 0..3 {
        h.append(slot, &keyed("p", Some("v"), Some((9, 0, sequence)), at));
    }
    overwrite(&mut h, slot, 1, 1, "a");
    for _ in 0..60 {
        h.put(slot, "p", Some(&"q".repeat(60)));
    }
    h.clean();
    assert!(h.records(slot).iter().filter(|it| it.1 == "p").count() < 30);
    let h = &mut h;
    let again = h.append(slot, &keyed("p", Some("v"), Some((9, 0, 2)), at));
    assert!(again.duplicate);
    let empty: Vec<i64> = h
        .read_all(slot, 0, 10_000)
        .iter()
        .filter_map(|(base, _, bytes)| {
            let batch = batches(bytes).next()?.ok()?;
            (batch.records_count() == 0 && batch.producer().is_some()).then_some(*base)
        })
        .collect();
    assert_eq!(empty, [2], "the producer's last batch keeps its header");
}

#[test]
fn a_crash_at_any_moment_of_a_round_leaves_one_of_both() {
    for steps in 0..80 {
        let mut h = Harness::new(cleaner_options());
        let slot = h.create(1, config());
        overwrite(&mut h, slot, 5, 80, "a");
        let before = h.latest(slot);
        h.flush(slot);
        h.dir.clean_now();
        for step in 0..steps {
            h.dir.clean_step(h.now);
            // The others get on as well, at another pace.
            if step % 3 == 0 {
                h.dir.commit_step(h.now);
            }
            if step % 2 == 0 {
                h.dir.flush_step(h.now);
            }
            h.pass(2);
        }
        h.commit();
        let mut h = h.restart();
        assert!(
            h.report.damaged.is_empty(),
            "after {steps} steps: {:?}",
            h.report
        );
        let slot = h.create(1, config());
        assert_eq!(h.latest(slot), before, "after {steps} steps");
        overwrite(&mut h, slot, 5, 80, "b");
        let before = h.latest(slot);
        h.clean();
        assert_eq!(h.latest(slot), before, "after {steps} steps");
        assert!(h.records(slot).len() < 30, "after {steps} steps");
        h.dir.scrub_now();
        for _ in 0..1_000 {
            h.dir.scrub_step(h.now);
            h.pass(10);
        }
        assert!(h.names().iter().all(|name| !name.ends_with(".cleaned")));
        assert_eq!(h.dir.findings().damage_count(), 0);
    }
}

#[test]
fn a_log_that_cannot_be_read_is_left_alone_and_others_go_on() {
    let mut h = Harness::new(cleaner_options());
    let (one, other) = (h.create(1, config()), h.create(2, config()));
    overwrite(&mut h, one, 3, 100, "a");
    overwrite(&mut h, other, 3, 80, "a");
    h.flush(one);
    h.flush(other);
    let mut h = h.restart();
    let (one, other) = (h.create(1, config()), h.create(2, config()));
    let path = Path::new("topic1-1/00000000000000000000.log");
    let file = h
        .disk
        .open(path, crate::disk::OpenMode::ReadWrite)
        .expect("there");
    let mut byte = [0];
    file.read_at(200, &mut byte).expect("readable");
    file.write_at(200, &[&[byte[0] ^ 1]]).expect("writable");
    h.clean();
    h.clean();
    assert_eq!(h.dir.cleaner_stats().uncleanable_count, 1);
    let told = h.dir.findings().since(0);
    assert!(
        told.iter()
            .any(|it| matches!(it, crate::findings::Finding::Uncleanable { .. })),
        "{told:?}"
    );
    assert!(h.records(other).len() < 25);
    assert!(h.dir.sizes(one).expect("there").segments_count > 3);
    assert!(h.names().iter().all(|name| !name.ends_with(".cleaned")));
}
