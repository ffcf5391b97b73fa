use super::Decision;
use crate::broker_registration::BrokerRegistration;
use crate::command::{DirectoryVerdict, RegisterBroker, Reply};
use crate::controller_error::ControllerError;
use crate::image::Image;
use crate::partition::{BrokerIds, Partition};
use crate::record::{PartitionChange, Record};
use ottla_types::{BrokerEpoch, BrokerId, PartitionId, TopicId};

/// A new incarnation takes the place of the one before it, at once when it is the same directory.
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
        let is_same_directory = command
            .directories
            .iter()
            .any(|report| existing.directories.contains(&report.id));
        if existing.is_active() && !is_same_directory {
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
    let is_lossy = command
        .directories
        .iter()
        .any(|report| report.verdict == DirectoryVerdict::Lossy);
    let is_active = move |id: BrokerId| {
        id == command.broker || image.broker(id).is_some_and(|broker| broker.is_active())
    };
    image.topics().flat_map(move |topic| {
        topic.numbered().filter_map(move |(number, partition)| {
            let change = if is_lossy {
                leave_isr(partition, command.broker, is_active)
            } else {
                None
            };
            change
                .or_else(|| lead_again(partition, command.broker))
                .map(|change| change.of(topic.id, number))
        })
    })
}

/// A directory that may have lost what it had acknowledged is not in sync, unless nobody else is.
fn leave_isr(
    partition: &Partition,
    broker: BrokerId,
    is_active: impl Fn(BrokerId) -> bool,
) -> Option<Change> {
    if !partition.isr.contains(&broker) {
        return None;
    }
    let isr: BrokerIds = partition
        .isr
        .iter()
        .copied()
        .filter(|id| *id != broker)
        .collect();
    let next_leader = partition
        .replicas
        .iter()
        .copied()
        .find(|id| isr.contains(id) && is_active(*id))?;
    let leader = (partition.leader == Some(broker)).then_some(Some(next_leader));
    Some(Change {
        isr: Some(isr),
        leader,
    })
}

/// Leading goes on, in a new epoch; a leaderless partition is led again by who is in sync.
fn lead_again(partition: &Partition, broker: BrokerId) -> Option<Change> {
    let leads = partition.leader == Some(broker)
        || (partition.leader.is_none() && partition.isr.contains(&broker));
    leads.then_some(Change {
        isr: None,
        leader: Some(Some(broker)),
    })
}

struct Change {
    isr: Option<BrokerIds>,
    leader: Option<Option<BrokerId>>,
}

impl Change {
    fn of(self, topic_id: TopicId, partition: PartitionId) -> Record {
        Record::PartitionChange(PartitionChange {
            topic_id,
            partition,
            isr: self.isr,
            leader: self.leader,
            ..PartitionChange::default()
        })
    }
}

/// Takes a broker out; partitions it leads are led by another in-sync replica, or by nobody.
pub(super) fn unregister(broker: BrokerId, image: &Image) -> Result<Decision, ControllerError> {
    let registered = image
        .broker(broker)
        .ok_or(ControllerError::UnknownBroker { broker })?;
    let mut records = Vec::new();
    let is_active =
        |id: BrokerId| id != broker && image.broker(id).is_some_and(|broker| broker.is_active());
    for topic in image.topics() {
        for (number, partition) in topic.numbered() {
            let change = leave_isr(partition, broker, is_active).or_else(|| {
                (partition.leader == Some(broker)).then_some(Change {
                    isr: None,
                    leader: Some(None),
                })
            });
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
