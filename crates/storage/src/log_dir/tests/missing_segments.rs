//! Files of segments are missing, and there is no checkpoint that knows of them.

use super::harness::*;
use super::keyed_log::*;
use crate::disk::Disk;
use crate::log_dir::AppendError;
use crate::partition::LogConfig;
use ottla_types::PartitionSlot;
use std::path::Path;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 5_000,
        ..LogConfig::default()
    }
}

/// Twenty records, five in each segment.
fn four_segments() -> (Harness, PartitionSlot) {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, config());
    h.append_numbered(slot, 0..20);
    h.flush(slot);
    (h, slot)
}

impl Harness {
    fn remove_segment(&self, base: u64) {
        let named = format!("{base:020}.");
        let files = self.disk.list(Path::new("topic1-1")).expect("listed");
        for file in files.iter().filter(|file| file.name.starts_with(&named)) {
            let path = Path::new("topic1-1").join(&file.name);
            self.disk.remove_file(&path).expect("there");
        }
    }
}

#[test]
fn a_segment_that_is_missing_between_others_is_a_loss() {
    for removed in [&[5][..], &[10], &[5, 10]] {
        let (mut h, slot) = four_segments();
        let before = h.read_all(slot, 0, 1 << 20);
        h.forget_journal();
        removed.iter().for_each(|base| h.remove_segment(*base));
        let mut h = h.lose_checkpoints();
        let [(id, reason)] = &h.report.damaged[..] else {
            panic!("{:?}", h.report);
        };
        assert_eq!(*id, partition(1));
        let (first, end) = (removed[0], removed[removed.len() - 1] + 5);
        let named = format!("the segment with offsets {first}..{end} is missing");
        assert!(reason.contains(&named), "{reason}");
        let lost = format!("offsets {first}..20 are lost");
        assert!(reason.contains(&lost), "{reason}");
        let slot = h.create(1, config());
        assert_eq!(h.read_all(slot, 0, 1 << 20), before[..first as usize]);
        let refused = h.try_append(slot, &batch(None, &[1], b"x"));
        assert!(matches!(refused, Err(AppendError::Damaged { .. })));
    }
}

/// The journal still has what was in it: nothing is lost.
#[test]
fn the_journal_fills_the_place_of_a_missing_segment() {
    for removed in [5, 10] {
        let (h, slot) = four_segments();
        let before = h.read_all(slot, 0, 1 << 20);
        h.remove_segment(removed);
        let mut h = h.lose_checkpoints();
        assert_eq!(h.report.damaged, []);
        let slot = h.create(1, config());
        assert_eq!(h.read_all(slot, 0, 1 << 20), before);
        h.flush(slot);
        let h = h.restart();
        let slot = h.create(1, config());
        assert_eq!(h.read_all(slot, 0, 1 << 20), before);
    }
}

/// Where a log begins only the journal can tell, if it still knows the segment.
#[test]
fn a_first_segment_that_is_missing_is_a_loss_if_the_journal_knows_it() {
    for forgets in [true, false] {
        let (mut h, slot) = four_segments();
        let before = h.read_all(slot, 0, 1 << 20);
        if forgets {
            h.forget_journal();
        }
        h.remove_segment(0);
        let h = h.lose_checkpoints();
        match (&h.report.damaged[..], forgets) {
            ([], true) => {}
            ([(_, reason)], false) => {
                assert_eq!(reason, "a segment before offset 5 is missing");
            }
            (damaged, _) => panic!("{damaged:?}"),
        }
        let slot = h.create(1, config());
        assert_eq!(h.read_all(slot, 5, 1 << 20), before[5..]);
    }
}

/// Where the last batch of a segment is compacted away nothing is missing: its header stays.
#[test]
fn what_compaction_takes_from_the_end_of_a_segment_is_no_missing_segment() {
    let mut h = Harness::new(cleaner_options());
    let config = LogConfig {
        compacts: true,
        deletes: false,
        segment_bytes: 2_000,
        min_cleanable_ppm: 10_000,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    };
    let slot = h.create(1, config);
    for segment in 0..5 {
        for key in 0..4 {
            h.put(slot, &format!("{segment}-{key}"), Some(&"x".repeat(300)));
        }
        h.put(slot, "again", Some(&"x".repeat(300)));
    }
    let before = h.latest(slot);
    h.clean();
    assert_eq!(h.dir.cleaner_stats().records_removed, 3);
    for bytes_of_journal in ["kept", "gone"] {
        if bytes_of_journal == "gone" {
            h.forget_journal();
        }
        h = h.lose_checkpoints();
        assert_eq!(h.report.damaged, [], "journal {bytes_of_journal}");
        let slot = h.create(1, config);
        assert_eq!(h.latest(slot), before);
    }
}
