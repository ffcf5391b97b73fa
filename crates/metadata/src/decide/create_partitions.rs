use super::directory_loads::DirectoryLoads;
use super::placement::{place, place_as_told};
use super::{Decision, PARTITIONS_PER_REQUEST_MAX};
use crate::command::{Mode, MorePartitions, Reply};
use crate::controller_error::ControllerError;
use crate::image::Image;
use crate::partition::Partition;
use crate::record::Record;
use crate::topic::Topic;
use ottla_types::{PartitionId, Prng};
use std::collections::BTreeMap;

/// Adds partitions to topics; each is refused or grows on its own
/// (`ReplicationControlManager.createPartitions`).
pub(super) fn create_partitions(
    topics: &[MorePartitions],
    mode: Mode,
    image: &Image,
    prng: &mut Prng,
) -> Result<Decision, ControllerError> {
    let mut names_count = BTreeMap::<&str, usize>::new();
    for topic in topics {
        *names_count.entry(&topic.name).or_default() += 1;
    }
    // What is named twice is refused for that, and adds nothing.
    let once = |topic: &&MorePartitions| names_count[topic.name.as_str()] == 1;
    let added = topics.iter().filter(once).map(|topic| {
        let existing = image.topic_by_name(&topic.name);
        let existing = existing.map_or(0, |existing| existing.partitions.len());
        let count = usize::try_from(topic.count).unwrap_or(0);
        count.saturating_sub(existing)
    });
    if PARTITIONS_PER_REQUEST_MAX < added.fold(0, usize::saturating_add) {
        return Err(ControllerError::TooManyMorePartitions);
    }

    let mut records = Vec::new();
    let mut loads = DirectoryLoads::of(image);
    let results = topics
        .iter()
        .map(|more| {
            if 1 < names_count[more.name.as_str()] {
                return Err(ControllerError::DuplicateTopicName);
            }
            let topic = image
                .topic_by_name(&more.name)
                .ok_or(ControllerError::UnknownTopicName)?;
            let partitions = grow(topic, more, image, &mut loads, prng)?;
            let numbers = (topic.partitions.len() as i32..).map(PartitionId::new);
            if mode == Mode::Commit {
                records.extend(numbers.zip(partitions).map(|(partition, state)| {
                    Record::Partition {
                        topic_id: topic.id,
                        partition,
                        state,
                    }
                }));
            }
            Ok(())
        })
        .collect();
    Ok(Decision {
        records,
        reply: Reply::PartitionsCreated(results),
    })
}

/// The new partitions of `topic`.
fn grow(
    topic: &Topic,
    more: &MorePartitions,
    image: &Image,
    loads: &mut DirectoryLoads<'_>,
    prng: &mut Prng,
) -> Result<Vec<Partition>, ControllerError> {
    let current = topic.partitions.len();
    let wanted = usize::try_from(more.count).unwrap_or(0);
    if wanted == current {
        return Err(ControllerError::PartitionsExist { count: current });
    }
    if wanted < current {
        return Err(ControllerError::FewerPartitions {
            name: more.name.clone(),
            current,
            requested: more.count,
        });
    }
    let additional = wanted - current;
    let replicas_count = topic
        .partitions
        .first()
        .map_or(1, |partition| partition.replicas.len());
    let Some(assignments) = &more.assignments else {
        return place(additional, replicas_count as i16, image, loads, prng);
    };
    if assignments.len() != additional {
        return Err(ControllerError::AssignmentsCount {
            additional,
            assignments: assignments.len(),
        });
    }
    let numbers = (current as i32..).map(PartitionId::new);
    numbers
        .zip(assignments)
        .map(|(partition, brokers)| {
            place_as_told(partition, brokers, Some(replicas_count), image, loads)
        })
        .collect()
}
