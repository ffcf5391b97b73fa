use super::harness::*;
use crate::log_dir::Verdict;
use crate::partition::LogConfig;
use ottla_types::{LeaderEpoch, Offset};

#[test]
fn everything_committed_comes_back() {
    let mut h = Harness::new(small_options());
    let slot = h.create(
        1,
        LogConfig {
            segment_bytes: 2_000,
            ..LogConfig::default()
        },
    );
    for index in 0..9 {
        h.append(
            slot,
            &batch(Some((7, 0, index)), &[1_000], &[index as u8; 500]),
        );
        if index == 4 {
            h.flush(slot);
        }
    }
    h.dir
        .delete_records(slot, Offset::new(2))
        .expect("in range");
    h.commit();
    let before = h.read_all(slot, 2, 1 << 20);
    let h = h.restart();
    let mut h = h.restart();
    assert_ne!(h.report.verdict, Verdict::Lossy);
    assert_eq!(h.dir.partitions()[0].2, "topic1");
    let slot = h.dir.slot(partition(1)).expect("recovered");
    let ends = h.dir.ends(slot).expect("there");
    assert_eq!(ends.log_start, Offset::new(2));
    assert_eq!(ends.appended_end, Offset::new(9));
    assert_eq!(ends.durable_end, Offset::new(9));
    assert_eq!(ends.synced_end, Offset::new(5));
    assert_eq!(h.read_all(slot, 2, 1 << 20), before);
    assert_eq!(h.dir.latest_epoch(slot), Some(LeaderEpoch::new(1)));
    for index in 4..9 {
        let again = h.append(
            slot,
            &batch(Some((7, 0, index)), &[1_000], &[index as u8; 500]),
        );
        assert!(again.duplicate);
        assert_eq!(again.base_offset, Offset::new(i64::from(index)));
    }
    let next = h.append(slot, &batch(Some((7, 0, 9)), &[1_000], b"next"));
    assert_eq!(next.base_offset, Offset::new(9));
    h.flush(slot);
    assert_eq!(h.read_all(slot, 2, 1 << 20)[..before.len()], before[..]);
}

#[test]
fn nobody_waits_for_what_a_replay_left_in_memory() {
    let mut options = small_options();
    let mut h = Harness::new(options.clone());
    let slot = h.create(1, LogConfig::default());
    for _ in 0..20 {
        h.append(slot, &batch(None, &[1], &[7; 2_000]));
    }
    h.commit();
    // The next process may hold less: to it the replay is far too much.
    options.tail_bytes_max = 8 << 10;
    h.options = options;
    let mut h = h.restart();
    assert!(
        !h.dir.is_congested(),
        "40 KB were replayed, 12 KB are the limit"
    );
    let slot = h.create(1, LogConfig::default());
    let append_and_commit = |h: &mut Harness| {
        h.append(slot, &batch(None, &[1], &[7; 3_500]));
        h.commit();
    };
    append_and_commit(&mut h);
    assert!(!h.dir.is_congested());
    append_and_commit(&mut h);
    assert!(h.dir.is_congested(), "what comes on top is limited");
    h.flush(slot);
    for _ in 0..4 {
        assert!(!h.dir.is_congested());
        append_and_commit(&mut h);
    }
    assert!(h.dir.is_congested(), "the usual limit again");
}

#[test]
fn what_was_not_committed_is_gone_as_a_whole() {
    let mut h = Harness::new(small_options());
    let slot = h.create(1, LogConfig::default());
    h.append(slot, &batch(Some((7, 0, 0)), &[1], b"a"));
    h.commit();
    h.append(slot, &batch(Some((7, 0, 1)), &[1], b"b"));
    let mut h = h.restart();
    let slot = h.create(1, LogConfig::default());
    assert_eq!(
        h.dir.ends(slot).expect("there").appended_end,
        Offset::new(1)
    );
    let again = h.append(slot, &batch(Some((7, 0, 1)), &[1], b"b"));
    assert!(!again.duplicate);
}

#[test]
fn truncations_are_redone() {
    for is_flushed in [false, true] {
        let mut h = Harness::new(small_options());
        let slot = h.create(
            1,
            LogConfig {
                segment_bytes: 1_500,
                ..LogConfig::default()
            },
        );
        for index in 0..6 {
            h.append(slot, &batch(Some((7, 0, index)), &[1], &[index as u8; 500]));
        }
        if is_flushed {
            h.flush(slot);
        }
        h.commit();
        h.pass(2_000);
        h.commit();
        h.dir.truncate(slot, Offset::new(3)).expect("in range");
        assert_eq!(h.read_all(slot, 0, 1 << 20).len(), 3);
        let next = h.append(slot, &batch(Some((7, 0, 3)), &[1], b"other"));
        assert_eq!(next.base_offset, Offset::new(3));
        h.commit();
        let before = h.read_all(slot, 0, 1 << 20);
        let mut h = h.restart();
        let slot = h.create(1, LogConfig::default());
        assert_eq!(h.read_all(slot, 0, 1 << 20), before);
        h.flush(slot);
        let mut h = h.restart();
        let slot = h.create(1, LogConfig::default());
        assert_eq!(
            h.read_all(slot, 0, 1 << 20),
            before,
            "flushed before: {is_flushed}"
        );
        h.append(slot, &batch(Some((7, 0, 4)), &[1], b"on"));
    }
}
