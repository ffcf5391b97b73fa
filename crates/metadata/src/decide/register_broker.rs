use super::Decision;
use super::leadership::{is_online, lead_again, leave_isr, lose};
use crate::broker_registration::BrokerRegistration;
use crate::command::{DirectoryVerdict, RegisterBroker, Reply};
use crate::controller_error::ControllerError;
use crate::image::Image;
use crate::record::Record;
use ottla_types::{BrokerEpoch, BrokerId, DirectoryId};

/// A new incarnation takes the place of the one before it, at once when it has a directory of it.
///
/// In the same batch the leader epoch of every partition it leads rises, so that it never appends in
/// an epoch it inherited: (topic id, partition, offset, leader epoch) has one value for ever.
pub(super) fn register(
    command: &RegisterBroker,
    image: &Image,
) -> Result<Decision, ControllerError> {
    check(command, image)?;
    if let Some(existing) = image.broker(command.broker) {
        if existing.incarnation == command.incarnation {
            // The answer was lost and the broker asks again.
            return Ok(Decision {
                records: Vec::new(),
                reply: Reply::Registered {
                    epoch: existing.epoch,
                },
            });
        }
        let directories = command.directory_ids();
        let is_same_directory = directories
            .iter()
            .any(|id| existing.directories.contains(id));
        // One that failed in the last incarnation is not registered, and may be the one that is back.
        let is_known = is_same_directory || holds_replicas(command.broker, &directories, image);
        if existing.is_active() && !is_known {
            return Err(ControllerError::DuplicateBroker {
                broker: command.broker,
            });
        }
    }
    let registration = registration(command, image.next_broker_epoch());
    let reply = Reply::Registered {
        epoch: registration.epoch,
    };
    let mut records = vec![Record::RegisterBroker(registration)];
    records.extend(partition_changes(command, image));
    Ok(Decision { records, reply })
}

/// A registration without a cluster before it: what the first batch of a new cluster holds.
pub(crate) fn first_registration(command: &RegisterBroker) -> (Record, BrokerEpoch) {
    let registration = registration(command, Image::empty().next_broker_epoch());
    let epoch = registration.epoch;
    (Record::RegisterBroker(registration), epoch)
}

fn registration(command: &RegisterBroker, epoch: BrokerEpoch) -> BrokerRegistration {
    BrokerRegistration {
        id: command.broker,
        epoch,
        incarnation: command.incarnation,
        endpoints: command.endpoints.clone(),
        features: command.features.clone(),
        rack: command.rack.clone(),
        fencing: command.fencing,
        directories: command.directory_ids(),
        cordoned: command.cordoned.clone(),
    }
}

fn check(command: &RegisterBroker, image: &Image) -> Result<(), ControllerError> {
    if let (Some(expected), Some(actual)) = (image.cluster_id(), &command.cluster_id)
        && expected != actual
    {
        return Err(ControllerError::InconsistentClusterId {
            expected: expected.to_owned(),
            actual: actual.clone(),
        });
    }
    let invalid = |message: &str| {
        Err(ControllerError::InvalidRegistration {
            message: message.to_owned(),
        })
    };
    if command.directories.is_empty() {
        return invalid("No directories specified in request");
    }
    let directories = command.directory_ids();
    for (index, id) in directories.iter().enumerate() {
        if directories[..index].contains(id) {
            return invalid("Duplicate directory ID specified in request");
        }
        let is_owned_by_another = image
            .brokers()
            .any(|other| other.id != command.broker && other.directories.contains(id));
        if is_owned_by_another {
            return invalid("The same log directory is registered by another broker");
        }
    }
    for (index, endpoint) in command.endpoints.iter().enumerate() {
        let is_same = |other: &crate::Endpoint| other.listener == endpoint.listener;
        if command.endpoints[..index].iter().any(is_same) {
            return invalid("Two endpoints have the same listener name");
        }
    }
    for (feature, level) in image.features() {
        let range = command.features.get(feature);
        let (min, max) = range.map_or((0, 0), |range| (range.min, range.max));
        if *level < min || max < *level {
            return Err(ControllerError::UnsupportedFeature {
                feature: feature.clone(),
                level: *level,
                min,
                max,
            });
        }
    }
    Ok(())
}

/// What the registration does to the partitions the broker holds. Walks all of them, once per start
/// of a broker.
fn partition_changes<'a>(
    command: &'a RegisterBroker,
    image: &'a Image,
) -> impl Iterator<Item = Record> + 'a {
    let broker = command.broker;
    let directories = command.directory_ids();
    image.topics().flat_map(move |topic| {
        let changes = topic.numbered().filter_map(|(number, partition)| {
            let directory = partition.directory_of(broker)?;
            let change = if !is_online(directory, &directories) {
                lose(partition, broker, image)
            } else if is_lossy(command, directory) {
                leave_isr(partition, broker, image).or_else(|| lead_again(partition, broker))
            } else {
                lead_again(partition, broker)
            };
            change.map(|change| change.of(topic.id, number))
        });
        changes.collect::<Vec<_>>()
    })
}

/// Whether replicas of `broker` are in one of these directories, as far as the metadata knows.
fn holds_replicas(broker: BrokerId, directories: &[DirectoryId], image: &Image) -> bool {
    let mut partitions = image.topics().flat_map(|topic| &topic.partitions);
    partitions.any(|partition| {
        let directory = partition.directory_of(broker);
        directory.is_some_and(|id| directories.contains(&id))
    })
}

/// Whether what was acknowledged may be missing in `directory`.
fn is_lossy(command: &RegisterBroker, directory: DirectoryId) -> bool {
    let mut reports = command.directories.iter();
    reports.any(|report| {
        let is_meant = directory == DirectoryId::default() || report.id == directory;
        is_meant && report.verdict == DirectoryVerdict::Lossy
    })
}

/// Takes a broker out; partitions it leads are led by another in-sync replica, or by nobody.
pub(super) fn unregister(broker: BrokerId, image: &Image) -> Result<Decision, ControllerError> {
    let registered = image
        .broker(broker)
        .ok_or(ControllerError::UnknownBroker { broker })?;
    let mut records = Vec::new();
    for topic in image.topics() {
        for (number, partition) in topic.numbered() {
            let change = lose(partition, broker, image);
            records.extend(change.map(|change| change.of(topic.id, number)));
        }
    }
    records.push(Record::UnregisterBroker {
        broker,
        epoch: registered.epoch,
    });
    Ok(Decision {
        records,
        reply: Reply::Unregistered,
    })
}
