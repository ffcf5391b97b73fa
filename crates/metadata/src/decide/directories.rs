//! Log directories that fail or come back, and replicas that are in another one than was known (KIP-858).

use super::Decision;
use super::leadership::{Change, is_online, lead_again, lose};
use crate::broker_registration::BrokerRegistration;
use crate::command::Reply;
use crate::controller_error::ControllerError;
use crate::image::Image;
use crate::record::{PartitionChange, Record};
use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, TopicPartition};

/// The broker's directories that are online are `directories` from now on, and `cordoned` get nothing new: what lies in others is led by
/// another in-sync replica or by nobody, what is back is led again
/// (`ReplicationControlManager.handleDirectoriesOffline`).
pub(super) fn update(
    broker: BrokerId,
    broker_epoch: BrokerEpoch,
    directories: &[DirectoryId],
    cordoned: &[DirectoryId],
    image: &Image,
) -> Result<Decision, ControllerError> {
    let registered = registered(broker, broker_epoch, image)?;
    if directories.is_empty() {
        return Err(ControllerError::InvalidRegistration {
            message: "No directories specified in request".to_owned(),
        });
    }
    let reply = Reply::DirectoriesUpdated;
    if registered.directories == directories && registered.cordoned == cordoned {
        let records = Vec::new();
        return Ok(Decision { records, reply });
    }
    let mut records = vec![Record::BrokerRegistrationChange {
        broker,
        epoch: broker_epoch,
        fencing: None,
        directories: Some(directories.to_vec()),
        // A binary that knows of no cordons can read the log as long as none is set or lifted.
        cordoned: (registered.cordoned != cordoned).then(|| cordoned.to_vec()),
    }];
    if registered.directories == directories {
        return Ok(Decision { records, reply });
    }
    for topic in image.topics() {
        for (number, partition) in topic.numbered() {
            let Some(directory) = partition.directory_of(broker) else {
                continue;
            };
            let change: Option<Change> = match is_online(directory, directories) {
                false => lose(partition, broker, image),
                true if partition.leader.is_none() => lead_again(partition, broker),
                true => None,
            };
            records.extend(change.map(|change| change.of(topic.id, number)));
        }
    }
    Ok(Decision { records, reply })
}

/// Replicas of `broker` are in these directories: it moved them, or found them there. A partition that
/// nobody led because its directory was not there is led again
/// (`ReplicationControlManager.handleAssignReplicasToDirs`). Partitions that are gone are left out.
pub(super) fn assign(
    broker: BrokerId,
    broker_epoch: BrokerEpoch,
    assignments: &[(TopicPartition, DirectoryId)],
    image: &Image,
) -> Result<Decision, ControllerError> {
    let registered = registered(broker, broker_epoch, image)?;
    let mut records = Vec::new();
    for (id, directory) in assignments {
        let Some(partition) = image.partition(*id) else {
            continue;
        };
        let Some(replica) = partition.replicas.iter().position(|id| *id == broker) else {
            continue;
        };
        if partition.directories[replica] == *directory {
            continue;
        }
        let mut directories = partition.directories.clone();
        directories[replica] = *directory;
        let is_led_again = partition.leader.is_none()
            && partition.isr.contains(&broker)
            && registered.is_active()
            && registered.has_online(*directory);
        records.push(Record::PartitionChange(PartitionChange {
            topic_id: id.topic_id,
            partition: id.partition,
            directories: Some(directories),
            leader: is_led_again.then_some(Some(broker)),
            ..PartitionChange::default()
        }));
    }
    Ok(Decision {
        records,
        reply: Reply::DirectoriesAssigned,
    })
}

fn registered(
    broker: BrokerId,
    broker_epoch: BrokerEpoch,
    image: &Image,
) -> Result<&BrokerRegistration, ControllerError> {
    let registered = image
        .broker(broker)
        .ok_or(ControllerError::UnknownBroker { broker })?;
    if registered.epoch != broker_epoch {
        return Err(ControllerError::StaleBrokerEpoch {
            expected: registered.epoch.get(),
            actual: broker_epoch.get(),
        });
    }
    Ok(registered)
}
