use super::Decision;
use crate::command::{Election, ElectionScope, Reply};
use crate::controller_error::ControllerError;
use crate::image::Image;
use crate::partition::{BrokerIds, LeaderRecovery, Partition};
use crate::record::{PartitionChange, Record};
use ottla_types::{BrokerId, PartitionId, TopicId};

/// Lets partitions be led by whom an operator wants; each is refused or decided on its own
/// (`ReplicationControlManager.electLeaders`).
pub(super) fn elect_leaders(election: Election, scope: &ElectionScope, image: &Image) -> Decision {
    let mut records = Vec::new();
    let results = match scope {
        ElectionScope::All => Vec::new(),
        ElectionScope::Some(partitions) => partitions
            .iter()
            .map(|(topic, partition)| {
                records.push(elect_named(election, topic, *partition, image)?);
                Ok(())
            })
            .collect(),
    };
    if *scope == ElectionScope::All {
        // Partitions that need nothing are not spoken of.
        for topic in image.topics() {
            let elected = topic.numbered().filter_map(|(number, partition)| {
                elect(election, topic.id, number, partition, image).ok()
            });
            records.extend(elected);
        }
    }
    Decision {
        records,
        reply: Reply::LeadersElected(results),
    }
}

fn elect_named(
    election: Election,
    name: &str,
    number: i32,
    image: &Image,
) -> Result<Record, ControllerError> {
    let topic = image
        .topic_by_name(name)
        .ok_or_else(|| ControllerError::NoTopicToElectFor {
            name: name.to_owned(),
        })?;
    let partition = PartitionId::from_wire(number)
        .and_then(|number| Some((number, topic.partition(number)?)))
        .ok_or_else(|| ControllerError::NoPartitionToElectFor {
            name: name.to_owned(),
            partition: number,
        })?;
    elect(election, topic.id, partition.0, partition.1, image)
}

fn elect(
    election: Election,
    topic_id: TopicId,
    number: PartitionId,
    partition: &Partition,
    image: &Image,
) -> Result<Record, ControllerError> {
    let may_lead = |id: BrokerId| image.may_lead(partition, id);
    let mut change = PartitionChange {
        topic_id,
        partition: number,
        ..PartitionChange::default()
    };
    match election {
        Election::Preferred => {
            let preferred = partition.replicas[0];
            if partition.leader == Some(preferred) {
                return Err(ControllerError::ElectionNotNeeded);
            }
            if !partition.isr.contains(&preferred) || !may_lead(preferred) {
                return Err(ControllerError::PreferredLeaderNotAvailable);
            }
            change.leader = Some(Some(preferred));
        }
        Election::Unclean => {
            if partition.leader.is_some() {
                return Err(ControllerError::ElectionNotNeeded);
            }
            let alive = |id: &&BrokerId| may_lead(**id);
            let in_sync = partition.isr.iter().find(alive);
            let leader = in_sync.or_else(|| partition.replicas.iter().find(alive));
            let leader = *leader.ok_or(ControllerError::EligibleLeadersNotAvailable)?;
            change.leader = Some(Some(leader));
            if in_sync.is_none() {
                // What the others had and this one does not is given up: the operator said so.
                change.isr = Some(BrokerIds::from_slice(&[leader]));
                change.leader_recovery = Some(LeaderRecovery::Recovering);
            }
        }
    }
    Ok(Record::PartitionChange(change))
}
