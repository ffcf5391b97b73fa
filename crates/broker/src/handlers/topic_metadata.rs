use ottla_metadata::{Image, Partition};
use ottla_types::{BrokerId, ErrorCode};

/// Kafka's "not asked for" in fields of authorized operations.
pub(super) const OPERATIONS_UNKNOWN: i32 = i32::MIN;

/// Operations on a topic: READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS,
/// as bits of Kafka's `AclOperation` numbers. Without an authorizer everybody may do all.
pub(super) const TOPIC_OPERATIONS: i32 =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;

/// Operations on a cluster: CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS,
/// IDEMPOTENT_WRITE.
pub(super) const CLUSTER_OPERATIONS: i32 =
    1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

/// A partition as metadata answers show it.
pub(super) struct PartitionMetadata {
    pub(super) error: ErrorCode,
    /// -1 for nobody.
    pub(super) leader_id: i32,
    pub(super) leader_epoch: i32,
    pub(super) replicas: Vec<i32>,
    pub(super) isr: Vec<i32>,
    pub(super) offline: Vec<i32>,
}

/// What clients of `listener` are told of a partition.
pub(super) fn partition_metadata(
    image: &Image,
    partition: &Partition,
    listener: &str,
) -> PartitionMetadata {
    let ids = |brokers: &[BrokerId]| brokers.iter().map(|id| id.get()).collect::<Vec<i32>>();
    let is_alive = |id: BrokerId| image.broker(id).is_some_and(|broker| broker.is_active());
    let leader = partition.leader.filter(|leader| is_alive(*leader));
    let has_listener = |id: BrokerId| {
        image
            .broker(id)
            .is_some_and(|broker| broker.endpoint(listener).is_some())
    };
    let (error, leader_id) = match leader {
        None => (ErrorCode::LeaderNotAvailable, -1),
        Some(leader) if !has_listener(leader) => (ErrorCode::ListenerNotFound, -1),
        Some(leader) => (ErrorCode::None, leader.get()),
    };
    let replicas = partition.replicas.iter().copied();
    let offline = replicas.filter(|id| !image.may_lead(partition, *id));
    PartitionMetadata {
        error,
        leader_id,
        leader_epoch: partition.leader_epoch.get(),
        replicas: ids(&partition.replicas),
        isr: ids(&partition.isr),
        offline: offline.map(|id| id.get()).collect(),
    }
}
