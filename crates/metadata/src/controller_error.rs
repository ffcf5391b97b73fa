use crate::config_resource::ConfigResource;
use ottla_types::{BrokerId, ErrorCode, PartitionId, TopicId, TopicNameError};
use std::sync::Arc;

/// Why the controller refuses. The texts are Kafka's where Kafka has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControllerError {
    /// This node does not lead the quorum, or lost it before the answer was certain.
    #[error("The active controller appears to be another node.")]
    NotController,
    /// This node's metadata log failed. What was asked may or may not have been done, and nothing more
    /// will be until a restart, so no client should try again on its own.
    #[error(
        "The metadata log of this node failed, and nothing can change until it is restarted: {reason}"
    )]
    MetadataFailed {
        /// What the store says.
        reason: Arc<str>,
    },
    /// The client does not wait any longer. What it asked for may still happen.
    #[error("The request timed out; what it asked for may still happen.")]
    TimedOut,
    /// The client allows no time at all, so nothing was tried.
    #[error("The request timed out.")]
    NoTime,

    // Topics.
    /// The name cannot name a topic.
    #[error(transparent)]
    InvalidTopicName(#[from] TopicNameError),
    /// Kafka keeps the name for its metadata log.
    #[error("Creation of internal topic {name} is prohibited.")]
    ReservedTopicName {
        /// The name.
        name: String,
    },
    /// Metric names of the two topics would be the same.
    #[error("Topic '{name}' collides with existing topic: {existing}")]
    CollidingTopicName {
        /// The name asked for.
        name: String,
        /// The topic that is there.
        existing: String,
    },
    /// There is such a topic.
    #[error("Topic '{name}' already exists.")]
    TopicExists {
        /// Its name.
        name: String,
    },
    /// There is no topic of this name.
    #[error("This server does not host this topic-partition.")]
    UnknownTopicName,
    /// There is no topic with this id.
    #[error("This server does not host this topic ID.")]
    UnknownTopicId {
        /// The id.
        id: TopicId,
    },
    /// The request names a topic twice.
    #[error("Duplicate topic name.")]
    DuplicateTopicName,
    /// The request names a topic twice.
    #[error("Duplicate topic id.")]
    DuplicateTopicId,
    /// The request names a topic by name and by id.
    #[error("The provided topic name maps to an ID that was already supplied.")]
    TopicNamedByNameAndId {
        /// Its name.
        name: String,
        /// Its id.
        id: TopicId,
    },

    // Partitions and replicas.
    /// Assignments and a replication factor.
    #[error(
        "A manual partition assignment was specified, but replication factor was not set to -1."
    )]
    AssignmentWithReplicationFactor,
    /// Assignments and a number of partitions.
    #[error("A manual partition assignment was specified, but numPartitions was not set to -1.")]
    AssignmentWithPartitions,
    /// Zero or below -1.
    #[error("Replication factor must be larger than 0, or -1 to use the default value.")]
    InvalidReplicationFactor,
    /// Zero or below -1.
    #[error("Number of partitions was set to an invalid non-positive value.")]
    InvalidPartitionsCount,
    /// The default factor is not a factor.
    #[error(
        "Unable to replicate the partition {replication_factor} time(s): Invalid replication factor \
         {replication_factor}: the replication factor must be positive."
    )]
    NonPositiveReplicationFactor {
        /// Configured.
        replication_factor: i16,
    },
    /// More replicas than brokers.
    #[error(
        "Unable to replicate the partition {replication_factor} time(s): The target replication \
         factor of {replication_factor} cannot be reached because only {brokers} broker(s) are \
         registered or some brokers have all their log directories cordoned."
    )]
    TooFewBrokers {
        /// Asked for.
        replication_factor: i16,
        /// There are.
        brokers: usize,
    },
    /// Nobody may lead.
    #[error(
        "Unable to replicate the partition {replication_factor} time(s): All brokers are currently \
         fenced or have all their log directories cordoned."
    )]
    AllBrokersFenced {
        /// Asked for.
        replication_factor: i16,
    },
    /// More partitions than one request may create.
    #[error("Excessively large number of partitions per request.")]
    TooManyPartitions,
    /// More partitions than one request may add.
    #[error("Excessively large number of additional partitions per request.")]
    TooManyMorePartitions,
    /// The request assigns a partition twice.
    #[error("Found multiple manual partition assignments for partition {partition}")]
    DuplicateAssignment {
        /// Its number.
        partition: PartitionId,
    },
    /// Partitions are missing between 0 and the highest.
    #[error("partitions should be a consecutive 0-based integer sequence")]
    GapInAssignments,
    /// A partition without replicas.
    #[error("The manual partition assignment includes an empty replica list.")]
    EmptyAssignment,
    /// A broker that gets no new replicas.
    #[error(
        "The manual partition assignment includes broker {broker}, but all its log directories are \
         cordoned."
    )]
    AssignedToCordonedBroker {
        /// Who.
        broker: BrokerId,
    },
    /// An unknown broker.
    #[error(
        "The manual partition assignment includes broker {broker}, but no such broker is registered."
    )]
    AssignedToUnknownBroker {
        /// Its number, as sent.
        broker: i32,
    },
    /// A broker twice in one partition.
    #[error("The manual partition assignment includes the broker {broker} more than once.")]
    AssignedTwiceToBroker {
        /// Its number.
        broker: BrokerId,
    },
    /// Partitions with different numbers of replicas.
    #[error(
        "The manual partition assignment includes a partition with {replicas} replica(s), but this \
         is not consistent with previous partitions, which have {expected} replica(s)."
    )]
    UnevenAssignments {
        /// This one's.
        replicas: usize,
        /// The others'.
        expected: usize,
    },
    /// Nobody in the assignment may lead.
    #[error(
        "All brokers specified in the manual partition assignment for partition {partition} are \
         fenced or in controlled shutdown."
    )]
    AssignedToFencedBrokers {
        /// Its number.
        partition: PartitionId,
    },
    /// The topic has that many.
    #[error("Topic already has {count} partition(s).")]
    PartitionsExist {
        /// How many.
        count: usize,
    },
    /// Partitions never become fewer.
    #[error(
        "The topic {name} currently has {current} partition(s); {requested} would not be an \
         increase."
    )]
    FewerPartitions {
        /// The topic.
        name: String,
        /// It has.
        current: usize,
        /// Asked for.
        requested: i32,
    },
    /// Another number of assignments than of new partitions.
    #[error(
        "Attempted to add {additional} additional partition(s), but only {assignments} \
         assignment(s) were specified."
    )]
    AssignmentsCount {
        /// New partitions.
        additional: usize,
        /// Assignments sent.
        assignments: usize,
    },

    // Configs.
    /// A value or a key is not allowed; the text says why.
    #[error("{message}")]
    InvalidConfig {
        /// For people.
        message: String,
    },
    /// The request cannot be meant; the text says why.
    #[error("{message}")]
    InvalidRequest {
        /// For people.
        message: String,
    },
    /// The resource is a topic that does not exist.
    #[error("The topic '{name}' does not exist.")]
    ConfigOfUnknownTopic {
        /// Its name.
        name: String,
    },
    /// The resource is a broker that does not exist.
    #[error("No broker with id {broker} found.")]
    ConfigOfUnknownBroker {
        /// Its number, as sent.
        broker: String,
    },
    /// The request names a resource twice.
    #[error("Each resource must appear at most once.")]
    DuplicateResource {
        /// Which.
        resource: ConfigResource,
    },

    // Elections and reassignments.
    /// There is no such topic.
    #[error("No such topic as {name}")]
    NoTopicToElectFor {
        /// Its name.
        name: String,
    },
    /// There is no such partition.
    #[error("No such partition as {name}-{partition}")]
    NoPartitionToElectFor {
        /// Its topic.
        name: String,
        /// Its number, as sent.
        partition: i32,
    },
    /// Who is asked for leads already, or somebody does.
    #[error("Leader election not needed for topic partition.")]
    ElectionNotNeeded,
    /// The first replica is not in sync or not alive.
    #[error("The preferred leader was not available.")]
    PreferredLeaderNotAvailable,
    /// No replica is alive.
    #[error("Eligible topic partition leaders are not available.")]
    EligibleLeadersNotAvailable,
    /// There is no such topic.
    #[error("Unable to find a topic named {name}.")]
    NoTopicToReassign {
        /// Its name.
        name: String,
    },
    /// There is no such partition.
    #[error("Unable to find partition {name}:{partition}.")]
    NoPartitionToReassign {
        /// Its topic.
        name: String,
        /// Its number, as sent.
        partition: i32,
    },
    /// There is nothing to cancel.
    #[error("No partition reassignment is in progress.")]
    NoReassignmentInProgress,

    // Features.
    /// One of the updates is not possible, so none is made.
    #[error(
        "The update failed for all features since the following feature had an error: {message}"
    )]
    FeatureUpdateFailed {
        /// For people.
        message: String,
    },

    // Brokers.
    /// Another process has this number, another directory and a live session.
    #[error(
        "Another broker is registered with that broker id. If the broker was recently restarted \
         this should self-resolve once the heartbeat timeout expires."
    )]
    DuplicateBroker {
        /// Its number.
        broker: BrokerId,
    },
    /// The broker believes in another cluster.
    #[error("Expected cluster ID {expected}, but got cluster ID {actual}")]
    InconsistentClusterId {
        /// This cluster's.
        expected: String,
        /// The broker's.
        actual: String,
    },
    /// The broker cannot work at a finalized level.
    #[error(
        "Unable to register because the broker does not support finalized version {level} of \
         {feature}. The broker wants a version between {min} and {max}, inclusive."
    )]
    UnsupportedFeature {
        /// The feature.
        feature: String,
        /// Finalized.
        level: i16,
        /// The broker's lowest.
        min: i16,
        /// The broker's highest.
        max: i16,
    },
    /// The registration contradicts itself; the text says how.
    #[error("{message}")]
    InvalidRegistration {
        /// For people.
        message: String,
    },
    /// No such broker.
    #[error("Broker ID {broker} is not currently registered")]
    UnknownBroker {
        /// Its number.
        broker: BrokerId,
    },
    /// The sender is an earlier incarnation.
    #[error("Expected broker epoch {expected}, but got broker epoch {actual}")]
    StaleBrokerEpoch {
        /// The registered one.
        expected: i64,
        /// The sender's.
        actual: i64,
    },
    /// Every producer id was handed out.
    #[error(
        "Exhausted all producerIds as the next block's end producerId has exceeded long type limit"
    )]
    ProducerIdsExhausted,
}

impl ControllerError {
    /// What to tell the client beside the code; Kafka says nothing about a request without time.
    pub fn message(&self) -> Option<String> {
        (*self != ControllerError::NoTime).then(|| self.to_string())
    }

    /// Kafka's code for this error.
    pub const fn code(&self) -> ErrorCode {
        use ControllerError as E;
        match self {
            E::NotController => ErrorCode::NotController,
            E::TimedOut | E::NoTime => ErrorCode::RequestTimedOut,
            E::InvalidTopicName(_) | E::CollidingTopicName { .. } => {
                ErrorCode::InvalidTopicException
            }
            E::TopicExists { .. } => ErrorCode::TopicAlreadyExists,
            E::UnknownTopicName
            | E::ConfigOfUnknownTopic { .. }
            | E::NoTopicToElectFor { .. }
            | E::NoPartitionToElectFor { .. }
            | E::NoTopicToReassign { .. }
            | E::NoPartitionToReassign { .. } => ErrorCode::UnknownTopicOrPartition,
            E::ElectionNotNeeded => ErrorCode::ElectionNotNeeded,
            E::PreferredLeaderNotAvailable => ErrorCode::PreferredLeaderNotAvailable,
            E::EligibleLeadersNotAvailable => ErrorCode::EligibleLeadersNotAvailable,
            E::NoReassignmentInProgress => ErrorCode::NoReassignmentInProgress,
            E::FeatureUpdateFailed { .. } => ErrorCode::InvalidUpdateVersion,
            E::UnknownTopicId { .. } => ErrorCode::UnknownTopicId,
            E::DuplicateTopicName
            | E::DuplicateTopicId
            | E::TopicNamedByNameAndId { .. }
            | E::AssignmentWithReplicationFactor
            | E::AssignmentWithPartitions
            | E::InvalidRequest { .. }
            | E::ReservedTopicName { .. }
            | E::DuplicateResource { .. } => ErrorCode::InvalidRequest,
            E::InvalidReplicationFactor
            | E::NonPositiveReplicationFactor { .. }
            | E::TooFewBrokers { .. }
            | E::AllBrokersFenced { .. } => ErrorCode::InvalidReplicationFactor,
            E::InvalidPartitionsCount | E::PartitionsExist { .. } | E::FewerPartitions { .. } => {
                ErrorCode::InvalidPartitions
            }
            E::TooManyPartitions | E::TooManyMorePartitions => ErrorCode::PolicyViolation,
            E::DuplicateAssignment { .. }
            | E::GapInAssignments
            | E::EmptyAssignment
            | E::AssignedToUnknownBroker { .. }
            | E::AssignedToCordonedBroker { .. }
            | E::AssignedTwiceToBroker { .. }
            | E::UnevenAssignments { .. }
            | E::AssignedToFencedBrokers { .. }
            | E::AssignmentsCount { .. } => ErrorCode::InvalidReplicaAssignment,
            E::InvalidConfig { .. } => ErrorCode::InvalidConfig,
            E::DuplicateBroker { .. } => ErrorCode::DuplicateBrokerRegistration,
            E::InconsistentClusterId { .. } => ErrorCode::InconsistentClusterId,
            E::UnsupportedFeature { .. } => ErrorCode::UnsupportedVersion,
            E::InvalidRegistration { .. } => ErrorCode::InvalidRegistration,
            E::UnknownBroker { .. } | E::ConfigOfUnknownBroker { .. } => {
                ErrorCode::BrokerIdNotRegistered
            }
            E::StaleBrokerEpoch { .. } => ErrorCode::StaleBrokerEpoch,
            E::ProducerIdsExhausted | E::MetadataFailed { .. } => ErrorCode::UnknownServerError,
        }
    }
}
