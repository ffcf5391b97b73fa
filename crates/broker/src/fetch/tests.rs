use super::fetch_item::{FetchPosition, Look, Told, TopicKey};
use super::fetch_set::{Coverage, FetchLimits, FetchSetState};
use crate::response::ResponsePart;
use bytes::Bytes;
use ottla_types::{ErrorCode, Offset, Prng};
use std::collections::{BTreeMap, BTreeSet};

fn key() -> TopicKey {
    TopicKey::Name("t".into())
}

fn position(fetch_offset: i64) -> FetchPosition {
    FetchPosition {
        fetch_offset,
        bytes_max: 100,
        current_leader_epoch: None,
        last_fetched_epoch: None,
    }
}

fn told(high_watermark: i64) -> Told {
    Told {
        high_watermark: Offset::new(high_watermark),
        log_start_offset: Offset::ZERO,
    }
}

fn limits(coverage: Coverage, bytes_max: usize) -> FetchLimits {
    FetchLimits {
        bytes_max,
        bytes_min: 1,
        coverage,
    }
}

/// Partitions of which each record has one byte; `ends[n]` is the high watermark of partition n.
fn evaluate_and_commit(
    state: &mut FetchSetState,
    ends: &BTreeMap<i32, i64>,
    limits: FetchLimits,
) -> Vec<(i32, i64)> {
    let evaluation = state.evaluate(limits, &mut |_, item, budget| {
        let Some(end) = ends.get(&item.partition) else {
            return Look::error(ErrorCode::UnknownTopicOrPartition);
        };
        let there = (end - item.position.fetch_offset).max(0) as usize;
        let least = usize::from(budget.may_exceed);
        let size = there.min(budget.bytes.min(100).max(least));
        Look {
            size,
            is_withheld: size == 0 && 0 < there,
            records: vec![ResponsePart::Bytes(Bytes::from(vec![0; size]))],
            ..Look::empty(told(*end))
        }
    });
    state.check();
    state.commit(&evaluation);
    state.check();
    let answered = evaluation.looks.iter();
    answered
        .map(|(index, look)| (state.item(*index).partition, look.size as i64))
        .collect()
}

#[test]
fn nothing_that_moves_is_missed_and_nothing_else_is_looked_at() {
    for seed in 0..200 {
        let mut prng = Prng::new(seed);
        let mut state = FetchSetState::default();
        let mut ends = BTreeMap::new();
        let mut positions = BTreeMap::new();
        let count = prng.range(1, 12) as i32;
        let mut indexes = BTreeMap::new();
        for partition in 0..count {
            ends.insert(partition, 0);
            positions.insert(partition, 0);
            indexes.insert(partition, state.upsert(key(), partition, position(0)));
        }
        evaluate_and_commit(&mut state, &ends, limits(Coverage::Full, 1000));
        for _ in 0..300 {
            let mut moved = BTreeSet::new();
            for _ in 0..prng.below(4) {
                let partition = prng.below(count as u64) as i32;
                *ends.get_mut(&partition).expect("there") += prng.range(1, 30) as i64;
                state.moved_for_test(indexes[&partition]);
                moved.insert(partition);
            }
            let bytes_max = prng.range(1, 40) as usize;
            let answers =
                evaluate_and_commit(&mut state, &ends, limits(Coverage::Incremental, bytes_max));
            for (partition, size) in answers {
                let next = positions.get_mut(&partition).expect("there");
                let has_data = *next < ends[&partition];
                assert!(
                    has_data || moved.contains(&partition),
                    "seed {seed}: only news"
                );
                *next += size;
                if prng.chance(9, 10) || 0 < size {
                    state.upsert(key(), partition, position(*next));
                }
            }
        }
        // With nothing moving any more, everything comes out.
        for _ in 0..10_000 {
            let answers = evaluate_and_commit(&mut state, &ends, limits(Coverage::Incremental, 25));
            if answers.is_empty() {
                break;
            }
            for (partition, size) in answers {
                *positions.get_mut(&partition).expect("there") += size;
                state.upsert(key(), partition, position(positions[&partition]));
            }
        }
        assert_eq!(positions, ends, "seed {seed}");
    }
}

#[test]
fn partitions_with_more_than_fits_take_turns() {
    let mut state = FetchSetState::default();
    let ends: BTreeMap<i32, i64> = (0..5).map(|partition| (partition, 1000)).collect();
    for partition in 0..5 {
        state.upsert(key(), partition, position(0));
    }
    let mut served = Vec::new();
    for _ in 0..10 {
        let answers = evaluate_and_commit(&mut state, &ends, limits(Coverage::Incremental, 10));
        served.extend(answers.into_iter().map(|(partition, _)| partition));
    }
    assert_eq!(served, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
}

#[test]
fn a_full_answer_names_all_and_keeps_what_did_not_fit() {
    let mut state = FetchSetState::default();
    let ends: BTreeMap<i32, i64> = [(0, 50), (1, 50), (2, 0)].into();
    for partition in 0..3 {
        state.upsert(key(), partition, position(0));
    }
    let full = evaluate_and_commit(&mut state, &ends, limits(Coverage::Full, 50));
    assert_eq!(full, [(0, 50), (1, 0), (2, 0)]);
    state.upsert(key(), 0, position(50));
    let next = evaluate_and_commit(&mut state, &ends, limits(Coverage::Incremental, 50));
    assert_eq!(next, [(1, 50)]);
}

#[test]
fn errors_are_told_again_until_they_end() {
    let mut state = FetchSetState::default();
    let mut ends = BTreeMap::new();
    state.upsert(key(), 0, position(0));
    for _ in 0..3 {
        let evaluation = state.evaluate(limits(Coverage::Incremental, 10), &mut |_, _, _| {
            Look::error(ErrorCode::NotLeaderOrFollower)
        });
        assert!(evaluation.is_enough, "an error is not waited with");
        assert_eq!(evaluation.looks.len(), 1);
        state.commit(&evaluation);
        state.check();
    }
    ends.insert(0, 0);
    let answers = evaluate_and_commit(&mut state, &ends, limits(Coverage::Incremental, 10));
    assert_eq!(answers, [(0, 0)], "the client learns that all is well");
    let answers = evaluate_and_commit(&mut state, &ends, limits(Coverage::Incremental, 10));
    assert_eq!(answers, []);
}

#[test]
fn a_removed_partition_is_forgotten() {
    let mut state = FetchSetState::default();
    let ends: BTreeMap<i32, i64> = [(0, 5), (1, 5)].into();
    let index = state.upsert(key(), 0, position(0));
    state.upsert(key(), 1, position(0));
    assert_eq!(state.remove([(key(), 0), (key(), 7)]).len(), 1);
    assert!(state.remove([(key(), 0)]).is_empty());
    state.moved_for_test(index);
    state.check();
    let answers = evaluate_and_commit(&mut state, &ends, limits(Coverage::Incremental, 10));
    assert_eq!(answers, [(1, 5)]);
    assert_eq!(state.remove_all().len(), 1);
    state.check();
}
