//! The two small text files of a partition directory, in Kafka's formats.

use crate::leader_epochs::EpochStart;
use ottla_types::TopicId;
#[cfg(test)]
use ottla_types::{LeaderEpoch, Offset};
use std::fmt::Write as _;

/// `partition.metadata`: which topic the directory belongs to.
pub(crate) const PARTITION_METADATA: &str = "partition.metadata";
/// `leader-epoch-checkpoint`: which leader epochs begin where.
pub(crate) const LEADER_EPOCH_CHECKPOINT: &str = "leader-epoch-checkpoint";

/// The text of `partition.metadata`.
pub(crate) fn partition_metadata(topic_id: TopicId) -> String {
    format!("version: 0\ntopic_id: {topic_id}")
}

/// The topic a `partition.metadata` names.
pub(crate) fn parse_partition_metadata(text: &str) -> Option<TopicId> {
    let mut lines = text.lines().map(|line| line.split_once(": "));
    if lines.next()?? != ("version", "0") {
        return None;
    }
    let (name, value) = lines.next()??;
    let uuid = value.trim().parse().ok()?;
    (name == "topic_id").then_some(TopicId::new(uuid))
}

/// The text of `leader-epoch-checkpoint`.
pub(crate) fn leader_epoch_checkpoint(entries: &[EpochStart]) -> String {
    let mut text = format!("0\n{}\n", entries.len());
    for entry in entries {
        let _ = writeln!(text, "{} {}", entry.epoch, entry.start_offset);
    }
    text
}

/// The entries of a `leader-epoch-checkpoint`.
#[cfg(test)]
pub(crate) fn parse_leader_epoch_checkpoint(text: &str) -> Option<Vec<EpochStart>> {
    let mut lines = text.lines();
    if lines.next()? != "0" {
        return None;
    }
    let count: usize = lines.next()?.parse().ok()?;
    let entries: Option<Vec<EpochStart>> = lines.map(parse_epoch).collect();
    entries.filter(|entries| entries.len() == count)
}

#[cfg(test)]
fn parse_epoch(line: &str) -> Option<EpochStart> {
    let (epoch, start) = line.split_once(' ')?;
    Some(EpochStart {
        epoch: LeaderEpoch::from_wire(epoch.parse().ok()?)?,
        start_offset: Offset::from_wire(start.parse().ok()?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_types::Uuid;

    #[test]
    fn both_files_come_back() {
        let topic_id = TopicId::new(Uuid::from_random([9; 16]));
        let text = partition_metadata(topic_id);
        assert_eq!(parse_partition_metadata(&text), Some(topic_id));
        assert_eq!(parse_partition_metadata("version: 1\ntopic_id: x"), None);
        let entries = vec![
            EpochStart {
                epoch: LeaderEpoch::new(0),
                start_offset: Offset::new(0),
            },
            EpochStart {
                epoch: LeaderEpoch::new(3),
                start_offset: Offset::new(71),
            },
        ];
        let text = leader_epoch_checkpoint(&entries);
        assert_eq!(text, "0\n2\n0 0\n3 71\n");
        assert_eq!(parse_leader_epoch_checkpoint(&text), Some(entries));
        assert_eq!(parse_leader_epoch_checkpoint("0\n2\n0 0\n"), None);
    }
}
