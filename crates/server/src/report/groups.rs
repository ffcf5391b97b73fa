use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use ottla_broker::{GroupReport, PartitionLag, Rebalances};

use super::ServerReport;
use super::lag_history::GroupStatus;
use crate::metrics::Exposition;

impl ServerReport {
    /// The groups that are coordinated here.
    pub(super) fn groups(&self, text: &mut Exposition) {
        let failures = &self.broker.metrics().groups_load_failures;
        text.counter(
            "groups_load_failures_total",
            "Partitions of the offsets topic that could not be loaded.",
        );
        let count = failures.load(Ordering::Relaxed);
        text.count("groups_load_failures_total", &[], count);

        let now = self.clock.now();
        let groups = self.broker.group_reports(now);
        let mut states = BTreeMap::<&str, u64>::new();
        for group in &groups {
            *states.entry(group.state).or_default() += 1;
        }
        text.gauge("groups", "Groups coordinated here, by state.");
        for (state, count) in states {
            text.count("groups", &[("state", state)], count);
        }
        text.gauge("group_members", "Members of the group.");
        for group in &groups {
            let members = group.members_count as u64;
            text.count("group_members", &[("group", &group.group)], members);
        }
        text.gauge("group_state", "1 for the state the group is in.");
        for group in &groups {
            let labels = [("group", &*group.group), ("state", group.state)];
            text.count("group_state", &labels, 1);
        }
        let help = "Generations the group has had: each began with a rebalance.";
        text.counter("group_rebalances_total", help);
        for group in &groups {
            let generations = u64::try_from(group.generation).unwrap_or(0);
            let labels = [("group", &*group.group)];
            text.count("group_rebalances_total", &labels, generations);
        }
        let help = "Requests of the group that committed offsets, since its coordinator is here.";
        text.counter("group_commits_total", help);
        for group in &groups {
            let labels = [("group", &*group.group)];
            text.count("group_commits_total", &labels, group.commits);
        }
        let help = "Rebalances that came to an end, from the first member to come or go until \
                    everybody was at work.";
        text.summary("group_rebalance_seconds", help);
        for group in &groups {
            let labels = [("group", &*group.group)];
            let Rebalances { count, took } = group.rebalances;
            text.summed("group_rebalance_seconds", &labels, count, took);
        }
        let statuses = self.lag_history.lock().look(&groups, now.mono);
        let help = "1 for how the group gets on, by what metrics showed of it lately.";
        text.gauge("group_status", help);
        for (group, current) in groups.iter().zip(statuses) {
            for status in GroupStatus::ALL {
                let labels = [("group", &*group.group), ("status", status.name())];
                text.count("group_status", &labels, u64::from(status == current));
            }
        }
        lags(text, &groups, self.tells_partitions_apart());
    }
}

/// Lag by topic, or by partition: added up in records, the oldest in seconds.
fn lags(text: &mut Exposition, groups: &[GroupReport], tells_partitions_apart: bool) {
    type Key<'a> = (&'a str, &'a str, Option<String>);
    let mut records = BTreeMap::<Key<'_>, u64>::new();
    let mut seconds = BTreeMap::<Key<'_>, f64>::new();
    let mut most = BTreeMap::<&str, (u64, f64)>::new();
    for group in groups {
        for lag in &group.lags {
            let PartitionLag {
                topic, partition, ..
            } = lag;
            let partition = tells_partitions_apart.then(|| partition.to_string());
            let key = (&*group.group, &**topic, partition);
            *records.entry(key.clone()).or_default() += lag.records;
            let behind = lag.seconds.unwrap_or(0.0);
            let oldest = seconds.entry(key).or_default();
            *oldest = oldest.max(behind);
            let most = most.entry(&group.group).or_default();
            *most = (most.0.max(lag.records), most.1.max(behind));
        }
    }
    let write = |text: &mut Exposition, name: &str, (group, topic, partition): &Key<'_>, value| {
        let mut labels = vec![("group", *group), ("topic", *topic)];
        if let Some(partition) = partition {
            labels.push(("partition", partition));
        }
        text.value(name, &labels, value);
    };
    text.gauge(
        "group_lag_records",
        "Records readable and not committed as read.",
    );
    for (key, value) in &records {
        write(text, "group_lag_records", key, *value as f64);
    }
    let help = "Age of the oldest batch with records not committed as read.";
    text.gauge("group_lag_seconds", help);
    for (key, value) in &seconds {
        write(text, "group_lag_seconds", key, *value);
    }
    if tells_partitions_apart {
        committed(text, groups);
    }
    text.gauge("group_lag_max_records", "Largest lag of one partition.");
    for (group, (records, _)) in &most {
        text.count("group_lag_max_records", &[("group", group)], *records);
    }
    text.gauge("group_lag_max_seconds", "Largest lag of one partition.");
    for (group, (_, seconds)) in &most {
        text.value("group_lag_max_seconds", &[("group", group)], *seconds);
    }
}

fn committed(text: &mut Exposition, groups: &[GroupReport]) {
    let help = "The next offset that the group reads, as it committed.";
    text.gauge("group_committed_offset", help);
    for group in groups {
        for lag in &group.lags {
            let partition = lag.partition.to_string();
            let labels = [
                ("group", &*group.group),
                ("topic", &*lag.topic),
                ("partition", &*partition),
            ];
            text.value("group_committed_offset", &labels, lag.committed as f64);
        }
    }
}
