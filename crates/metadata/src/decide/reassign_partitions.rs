use super::Decision;
use super::placement::check_brokers;
use crate::command::{Reassignment, Reply};
use crate::controller_error::ControllerError;
use crate::image::Image;
use ottla_types::PartitionId;

/// Moves replicas to other brokers; each partition is refused or decided on its own
/// (`ReplicationControlManager.alterPartitionReassignments`).
///
/// Only one broker can be registered so far, so the one place a partition can be moved to is where
/// it is: nothing is ever under way, and there is nothing to cancel.
pub(super) fn reassign_partitions(reassignments: &[Reassignment], image: &Image) -> Decision {
    let results = reassignments
        .iter()
        .map(|reassignment| reassign(reassignment, image));
    Decision {
        records: Vec::new(),
        reply: Reply::PartitionsReassigned(results.collect()),
    }
}

fn reassign(reassignment: &Reassignment, image: &Image) -> Result<(), ControllerError> {
    let name = &reassignment.topic;
    let topic = image
        .topic_by_name(name)
        .ok_or_else(|| ControllerError::NoTopicToReassign { name: name.clone() })?;
    let number = reassignment.partition;
    let partition = PartitionId::from_wire(number)
        .and_then(|number| topic.partition(number))
        .ok_or_else(|| ControllerError::NoPartitionToReassign {
            name: name.clone(),
            partition: number,
        })?;
    let Some(replicas) = &reassignment.replicas else {
        return Err(ControllerError::NoReassignmentInProgress);
    };
    check_brokers(replicas, image)?;
    let current = partition.replicas.iter().map(|id| id.get());
    if replicas.iter().copied().eq(current) {
        return Ok(());
    }
    Err(ControllerError::InvalidRequest {
        message: "Moving partitions between brokers comes with clusters of several nodes."
            .to_owned(),
    })
}
