//! Where replicas live.

use super::directory_loads::DirectoryLoads;
use crate::controller_error::ControllerError;
use crate::image::Image;
use crate::partition::{BrokerIds, Partition};
use ottla_types::{BrokerId, DirectoryId, PartitionId, Prng};
use smallvec::SmallVec;

/// Partitions `0..count`, their replicas spread over the brokers from a random one on.
///
/// Brokers that may lead come first in the stripe, so that as few leaders as possible are missing.
pub(super) fn place(
    count: usize,
    replication_factor: i16,
    image: &Image,
    loads: &mut DirectoryLoads<'_>,
    prng: &mut Prng,
) -> Result<Vec<Partition>, ControllerError> {
    let is_active = |broker: &BrokerId| image.broker(*broker).is_some_and(|b| b.is_active());
    let usable = image.brokers().filter(|broker| !broker.is_cordoned());
    let brokers: Vec<BrokerId> = usable.map(|broker| broker.id).collect();
    let (active, fenced): (Vec<_>, Vec<_>) = brokers.iter().copied().partition(is_active);
    let replicas_count = usize::try_from(replication_factor).unwrap_or(0);
    if replicas_count == 0 {
        return Err(ControllerError::NonPositiveReplicationFactor { replication_factor });
    }
    if active.is_empty() {
        return Err(ControllerError::AllBrokersFenced { replication_factor });
    }
    if brokers.len() < replicas_count {
        return Err(ControllerError::TooFewBrokers {
            replication_factor,
            brokers: brokers.len(),
        });
    }
    let start = prng.below(active.len() as u64) as usize;
    // Consecutive partitions have consecutive leaders; followers move on by one more each round,
    // so that the partitions of a broken leader do not all go to its neighbour.
    let partitions = (0..count).map(|partition| {
        let first = (start + partition) % active.len();
        let mut others: Vec<BrokerId> = active[first + 1..].to_vec();
        others.extend(&active[..first]);
        if !others.is_empty() {
            let round = partition / active.len();
            let turn = round % others.len();
            others.rotate_left(turn);
        }
        others.extend(&fenced);
        let replicas: BrokerIds = std::iter::once(active[first])
            .chain(others)
            .take(replicas_count)
            .collect();
        new_partition(replicas, image, loads).expect("its first replica is active")
    });
    Ok(partitions.collect())
}

/// A partition with replicas that the client chose.
pub(super) fn place_as_told(
    partition: PartitionId,
    brokers: &[BrokerId],
    expected_replicas: Option<usize>,
    image: &Image,
    loads: &mut DirectoryLoads<'_>,
) -> Result<Partition, ControllerError> {
    let numbers: Vec<i32> = brokers.iter().map(|broker| broker.get()).collect();
    check_brokers(&numbers, image)?;
    let is_cordoned = |id: &&BrokerId| image.broker(**id).is_some_and(|b| b.is_cordoned());
    if let Some(broker) = brokers.iter().find(is_cordoned) {
        return Err(ControllerError::AssignedToCordonedBroker { broker: *broker });
    }
    if let Some(expected) = expected_replicas
        && expected != brokers.len()
    {
        return Err(ControllerError::UnevenAssignments {
            replicas: brokers.len(),
            expected,
        });
    }
    new_partition(BrokerIds::from_slice(brokers), image, loads)
        .ok_or(ControllerError::AssignedToFencedBrokers { partition })
}

/// Whether brokers a client names, by number as sent, are some, registered, and named once.
pub(super) fn check_brokers(brokers: &[i32], image: &Image) -> Result<(), ControllerError> {
    if brokers.is_empty() {
        return Err(ControllerError::EmptyAssignment);
    }
    let mut sorted = brokers.to_vec();
    sorted.sort_unstable();
    let mut before = None;
    for number in sorted {
        let broker = BrokerId::from_wire(number).filter(|id| image.broker(*id).is_some());
        let broker = broker.ok_or(ControllerError::AssignedToUnknownBroker { broker: number })?;
        if before == Some(broker) {
            return Err(ControllerError::AssignedTwiceToBroker { broker });
        }
        before = Some(broker);
    }
    Ok(())
}

/// In sync from the start are the replicas on active brokers; `None` without one.
fn new_partition(
    replicas: BrokerIds,
    image: &Image,
    loads: &mut DirectoryLoads<'_>,
) -> Option<Partition> {
    let isr: BrokerIds = replicas
        .iter()
        .copied()
        .filter(|broker| image.broker(*broker).is_some_and(|b| b.is_active()))
        .collect();
    if isr.is_empty() {
        return None;
    }
    let directories: SmallVec<[DirectoryId; 1]> =
        replicas.iter().map(|broker| loads.take(*broker)).collect();
    Some(Partition::new(replicas, directories, isr))
}
