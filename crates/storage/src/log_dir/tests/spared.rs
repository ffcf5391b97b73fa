//! A partition that lost something: nothing is done to what may be all that is left of it.

use super::damage::{produce, value};
use super::harness::*;
use crate::disk::Disk;
use crate::marker::Marker;
use crate::partition::LogConfig;
use ottla_types::Offset;
use std::path::{Path, PathBuf};

const LOG: &str = "topic1-1/00000000000000000000.log";

impl Harness {
    fn content(&self, path: &Path) -> Vec<u8> {
        content(&self.disk, path)
    }

    fn spared(&self) -> Vec<PathBuf> {
        let entries = self.disk.list(Path::new("topic1-1")).expect("listed");
        let names = entries.into_iter().map(|entry| entry.name);
        let spared = names.filter(|name| name.contains(".log.") && name.ends_with(".spared"));
        spared
            .map(|name| Path::new("topic1-1").join(name))
            .collect()
    }
}

/// Five records in the journal and in a file; the third is unreadable in both. `synced` of them are known to be in the
/// file.
fn hurt(synced: i32) -> Harness {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    for number in 0..5 {
        produce(&mut h, slot, number);
        if number + 1 == synced {
            h.flush(slot);
            h.checkpoint();
        }
    }
    h.flush(slot);
    h.prove();
    h.flip_in_journal(&value(2));
    let size = h.content(Path::new(LOG)).len() as u64;
    h.flip_at(Path::new(LOG), size / 2);
    let h = h.restart();
    assert_eq!(h.report.damaged.len(), 1);
    h
}

#[test]
fn the_file_of_a_damaged_segment_is_not_cut() {
    for synced in [0, 1] {
        let mut h = hurt(synced);
        let slot = h.create(1, LogConfig::default());
        let whole = h.content(Path::new(LOG));
        let before = h.read_all(slot, 0, 1 << 20);
        assert_eq!(before.len(), 2);
        h.flush(slot);
        let ends = h.dir.ends(slot).expect("there");
        assert_eq!(
            ends.synced_end,
            Offset::new(2),
            "nothing is left for the journal"
        );
        assert_eq!(h.read_all(slot, 0, 1 << 20), before);
        match synced {
            0 => {
                let spared = h.spared();
                assert_eq!(spared.len(), 1, "{spared:?}");
                assert_eq!(h.content(&spared[0]), whole);
            }
            _ => {
                assert_eq!(h.content(Path::new(LOG)), whole);
                assert_eq!(h.dir.markers().count(Marker::SegmentSplit), 1);
            }
        }
        h.dir.scrub_now();
        for _ in 0..1_000 {
            h.dir.scrub_step(h.now);
            h.pass(10);
        }
        let spared = h.spared();
        let h = h.restart();
        assert_eq!(h.spared(), spared);
        let slot = h.create(1, LogConfig::default());
        assert_eq!(h.read_all(slot, 0, 1 << 20), before);
    }
}

#[test]
fn a_damaged_partition_whose_drop_is_forgotten_is_still_damaged() {
    let mut h = hurt(0);
    let slot = h.create(1, LogConfig::default());
    h.prove();
    let reason = h.dir.damage(slot).expect("it is damaged");
    h.dir.drop_partition(slot, h.now).expect("there");
    h.checkpoint();
    h.checkpoint();
    let h = h.restart();
    let slot = h.create(1, LogConfig::default());
    assert_eq!(h.dir.damage(slot), Some(reason));
}
