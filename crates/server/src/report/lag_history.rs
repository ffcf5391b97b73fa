use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ottla_broker::GroupReport;
use ottla_types::{Mono, Timestamp};

/// Samples of a partition that are looked back on, at most.
const SAMPLES_MAX: usize = 10;
/// Samples are at least so far apart, however often somebody looks.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// Older samples say nothing about now.
const SAMPLE_AGE_MAX: Duration = Duration::from_secs(600);
/// With fewer samples nobody is accused of standing still or falling behind.
const SAMPLES_MIN: usize = 3;

/// How a group gets on, in Burrow's words. The later ones are worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupStatus {
    /// It keeps up, or catches up.
    Ok,
    /// It commits, and falls behind all the same.
    Warn,
    /// It commits the same offset again and again, and there is more to read.
    Stalled,
    /// There is more to read, and it commits nothing, or nobody is there.
    Stopped,
    /// It commits offsets below those it committed before.
    Rewinding,
}

impl GroupStatus {
    /// All of them.
    pub const ALL: [GroupStatus; 5] = [
        GroupStatus::Ok,
        GroupStatus::Warn,
        GroupStatus::Stalled,
        GroupStatus::Stopped,
        GroupStatus::Rewinding,
    ];

    /// As a label's value.
    pub const fn name(self) -> &'static str {
        match self {
            GroupStatus::Ok => "ok",
            GroupStatus::Warn => "warn",
            GroupStatus::Stalled => "stalled",
            GroupStatus::Stopped => "stopped",
            GroupStatus::Rewinding => "rewinding",
        }
    }
}

/// What groups had committed and how far they were behind when somebody looked.
#[derive(Debug, Default)]
pub struct LagHistory {
    groups: BTreeMap<String, Partitions>,
}

/// The samples of one group, by topic and number of the partition.
type Partitions = BTreeMap<(Arc<str>, i32), VecDeque<Sample>>;

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Mono,
    committed: i64,
    committed_at: Timestamp,
    lag: u64,
}

impl LagHistory {
    /// Takes in what groups are like now, and forgets groups that are gone; a status for each report.
    pub fn look(&mut self, reports: &[GroupReport], now: Mono) -> Vec<GroupStatus> {
        let is_there = |group: &String| reports.binary_search_by(|it| it.group.cmp(group)).is_ok();
        self.groups.retain(|group, _| is_there(group));
        reports.iter().map(|it| self.look_at(it, now)).collect()
    }

    fn look_at(&mut self, report: &GroupReport, now: Mono) -> GroupStatus {
        let before = self.groups.remove(&report.group).unwrap_or_default();
        let mut after = Partitions::new();
        let mut worst = GroupStatus::Ok;
        for lag in &report.lags {
            let key = (Arc::clone(&lag.topic), lag.partition);
            let mut samples = before.get(&key).cloned().unwrap_or_default();
            let sample = Sample {
                at: now,
                committed: lag.committed,
                committed_at: lag.committed_at,
                lag: lag.records,
            };
            let is_due = samples
                .back()
                .is_none_or(|last| SAMPLE_EVERY <= now.since(last.at));
            samples.retain(|sample| now.since(sample.at) <= SAMPLE_AGE_MAX);
            samples.push_back(sample);
            worst = worst.max(status(&samples, report.members_count));
            if !is_due {
                samples.pop_back();
            } else if SAMPLES_MAX < samples.len() {
                samples.pop_front();
            }
            after.insert(key, samples);
        }
        self.groups.insert(report.group.clone(), after);
        worst
    }
}

/// How a partition of a group gets on.
///
/// | lag            | committed offset | commits     | status    |
/// |----------------|------------------|-------------|-----------|
/// | 0 now          | any              | any         | ok        |
/// | above 0        | lower at last    | any         | rewinding |
/// | above 0        | no member        | any         | stopped   |
/// | above 0 always | the same         | none        | stopped   |
/// | above 0 always | the same         | some        | stalled   |
/// | grows always   | rises            | any         | warn      |
/// | otherwise      |                  |             | ok        |
fn status(samples: &VecDeque<Sample>, members: usize) -> GroupStatus {
    let (Some(first), Some(last)) = (samples.front(), samples.back()) else {
        return GroupStatus::Ok;
    };
    let steps = || samples.iter().zip(samples.iter().skip(1));
    if last.lag == 0 {
        return GroupStatus::Ok;
    }
    if steps().any(|(a, b)| b.committed < a.committed) {
        return GroupStatus::Rewinding;
    }
    if members == 0 {
        return GroupStatus::Stopped;
    }
    let was_always_behind = samples.iter().all(|sample| 0 < sample.lag);
    if samples.len() < SAMPLES_MIN || !was_always_behind {
        return GroupStatus::Ok;
    }
    if last.committed == first.committed {
        return match last.committed_at == first.committed_at {
            true => GroupStatus::Stopped,
            false => GroupStatus::Stalled,
        };
    }
    let never_shrinks = steps().all(|(a, b)| a.lag <= b.lag);
    match never_shrinks && first.lag < last.lag {
        true => GroupStatus::Warn,
        false => GroupStatus::Ok,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_broker::PartitionLag;

    /// A group with one partition.
    fn report(members: usize, committed: i64, committed_at: i64, lag: u64) -> GroupReport {
        GroupReport {
            group: "g".to_owned(),
            state: "Stable",
            members_count: members,
            generation: 1,
            rebalances: Default::default(),
            commits: 0,
            lags: vec![PartitionLag {
                topic: "t".into(),
                partition: 0,
                committed,
                committed_at: Timestamp::from_millis(committed_at),
                records: lag,
                seconds: None,
            }],
        }
    }

    /// The status after looks ten seconds apart: what was committed, when, and the lag.
    fn after(members: usize, looks: &[(i64, i64, u64)]) -> GroupStatus {
        let mut history = LagHistory::default();
        let mut status = Vec::new();
        for (number, (committed, committed_at, lag)) in looks.iter().enumerate() {
            let now = Mono::from_millis(10_000 * number as u64);
            let report = report(members, *committed, *committed_at, *lag);
            status = history.look(&[report], now);
        }
        status[0]
    }

    #[test]
    fn groups_are_judged_by_what_they_did_lately() {
        for (members, looks, expected) in [
            (1, &[(5, 1, 0)][..], GroupStatus::Ok),
            (0, &[(5, 1, 0)], GroupStatus::Ok),
            (0, &[(5, 1, 3)], GroupStatus::Stopped),
            (1, &[(5, 1, 3)], GroupStatus::Ok),
            (1, &[(5, 1, 3), (5, 1, 3), (5, 1, 4)], GroupStatus::Stopped),
            (1, &[(5, 1, 3), (5, 2, 3), (5, 3, 4)], GroupStatus::Stalled),
            (1, &[(5, 1, 0), (5, 2, 3), (5, 3, 4)], GroupStatus::Ok),
            (1, &[(5, 1, 3), (6, 2, 4), (7, 3, 4)], GroupStatus::Warn),
            (1, &[(5, 1, 3), (6, 2, 4), (9, 3, 1)], GroupStatus::Ok),
            (
                1,
                &[(5, 1, 3), (6, 2, 2), (4, 3, 4)],
                GroupStatus::Rewinding,
            ),
            (1, &[(5, 1, 3), (4, 2, 4), (9, 3, 0)], GroupStatus::Ok),
        ] {
            assert_eq!(after(members, looks), expected, "{looks:?}");
        }
    }

    #[test]
    fn looks_that_follow_each_other_closely_are_one() {
        let mut history = LagHistory::default();
        let stands = [report(1, 5, 1, 3)];
        for millis in 0..100 {
            let status = history.look(&stands, Mono::from_millis(millis));
            assert_eq!(status, [GroupStatus::Ok]);
        }
        let later = Mono::from_millis(20_000);
        assert_eq!(history.look(&stands, later), [GroupStatus::Ok]);
        let later = Mono::from_millis(40_000);
        assert_eq!(history.look(&stands, later), [GroupStatus::Stopped]);
        // Samples of long ago do not count, nor those of a group that was deleted meanwhile.
        let later = Mono::from_millis(1_000_000);
        assert_eq!(history.look(&stands, later), [GroupStatus::Ok]);
        assert_eq!(history.look(&[], later), []);
        assert!(history.groups.is_empty());
    }
}
