use crate::broker_registration::{Endpoint, FeatureRange, Fencing};
use crate::config_resource::{ConfigResource, Configs};
use crate::controller_error::ControllerError;
use ottla_types::{
    BrokerEpoch, BrokerId, DirectoryId, IncarnationId, PartitionId, TopicId, TopicPartition,
};
use std::collections::BTreeMap;
use std::ops::Range;

/// What the controller can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// An incarnation of a broker joins.
    RegisterBroker(RegisterBroker),
    /// A broker is taken out for good (KIP-185 of brokers that never come back).
    UnregisterBroker {
        /// Who.
        broker: BrokerId,
    },
    /// Topics come into being.
    CreateTopics {
        /// One answer each, in this order.
        topics: Vec<NewTopic>,
        /// Whether to do it.
        mode: Mode,
    },
    /// Topics go.
    DeleteTopics {
        /// One answer each, in this order.
        topics: Vec<TopicSelector>,
    },
    /// Topics get more partitions.
    CreatePartitions {
        /// One answer each, in this order.
        topics: Vec<MorePartitions>,
        /// Whether to do it.
        mode: Mode,
    },
    /// Configs change key by key (KIP-339).
    AlterConfigs {
        /// One answer each, in this order.
        resources: Vec<ConfigAlteration>,
        /// Whether to do it.
        mode: Mode,
    },
    /// The whole set of a resource's configs is replaced: the old AlterConfigs.
    ReplaceConfigs {
        /// One answer each, in this order.
        resources: Vec<ConfigReplacement>,
        /// Whether to do it.
        mode: Mode,
    },
    /// Partitions are to be led by somebody else.
    ElectLeaders {
        /// By whom.
        election: Election,
        /// Which.
        scope: ElectionScope,
    },
    /// Replicas move to other brokers.
    ReassignPartitions {
        /// One answer each, in this order.
        reassignments: Vec<Reassignment>,
    },
    /// Features are finalized at other levels, all or none.
    UpdateFeatures {
        /// In the order sent.
        updates: Vec<FeatureUpdate>,
        /// Whether to do it.
        mode: Mode,
    },
    /// A broker needs producer ids.
    AllocateProducerIds {
        /// Who.
        broker: BrokerId,
        /// In which incarnation.
        broker_epoch: BrokerEpoch,
    },
    /// Log directories of a broker failed or are back (KIP-858).
    UpdateDirectories {
        /// Whose.
        broker: BrokerId,
        /// In which incarnation.
        broker_epoch: BrokerEpoch,
        /// All that are online, at least one.
        directories: Vec<DirectoryId>,
        /// Those that get no new replicas.
        cordoned: Vec<DirectoryId>,
    },
    /// Replicas of a broker are in other log directories than was known (KIP-858).
    AssignDirectories {
        /// Whose.
        broker: BrokerId,
        /// In which incarnation.
        broker_epoch: BrokerEpoch,
        /// Which replica is where.
        assignments: Vec<(TopicPartition, DirectoryId)>,
    },
}

/// Whether a command takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Do it.
    Commit,
    /// Only say what would happen.
    ValidateOnly,
}

/// An incarnation of a broker with what it offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBroker {
    /// `node.id`.
    pub broker: BrokerId,
    /// The cluster it believes to join; `None` when it has no belief yet.
    pub cluster_id: Option<String>,
    /// Names this run of the process.
    pub incarnation: IncarnationId,
    /// What it advertises.
    pub endpoints: Vec<Endpoint>,
    /// What it supports.
    pub features: BTreeMap<String, FeatureRange>,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// Its log directories that are online, with what their recovery found.
    pub directories: Vec<DirectoryReport>,
    /// Those of them that get no new replicas (KIP-1066).
    pub cordoned: Vec<DirectoryId>,
    /// `Unfenced` for the node that runs the controller itself; others begin `Fenced`.
    pub fencing: Fencing,
}

/// A log directory as a starting broker found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryReport {
    /// Its id.
    pub id: DirectoryId,
    /// What recovery said about it.
    pub verdict: DirectoryVerdict,
}

/// What recovery found out about a log directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryVerdict {
    /// Shut down in order.
    Clean,
    /// Crashed, and everything that was proven durable was there.
    Recovered,
    /// Something that was durable may be missing: damage, a rebuild, a foreign directory.
    Lossy,
}

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// As sent; -1 asks for the default and is demanded with assignments.
    pub partitions: i32,
    /// As sent; -1 asks for the default and is demanded with assignments.
    pub replication_factor: i16,
    /// Replicas by partition, when the client places them itself.
    pub assignments: Vec<(PartitionId, Vec<BrokerId>)>,
    /// As sent; `None` is a value that was sent as null.
    pub configs: Vec<(String, Option<String>)>,
}

/// How a topic to delete is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicSelector {
    /// By name.
    Name(String),
    /// By id.
    Id(TopicId),
}

/// A topic that is to have more partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MorePartitions {
    /// Its name.
    pub name: String,
    /// How many it shall have in all.
    pub count: i32,
    /// Replicas of each new partition, when the client places them itself.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// Who is to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Election {
    /// The first replica.
    Preferred,
    /// Any live replica where nobody in sync is left, at the price of records.
    Unclean,
}

/// Which partitions an election is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElectionScope {
    /// Every one that needs it; nothing is answered about the others.
    All,
    /// These, by topic and number as sent; one answer each, in this order.
    Some(Vec<(String, i32)>),
}

/// Where one partition's replicas shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// The topic's name.
    pub topic: String,
    /// The partition's number, as sent.
    pub partition: i32,
    /// The brokers' numbers, as sent; `None` cancels what is under way.
    pub replicas: Option<Vec<i32>>,
}

/// A feature's new level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureUpdate {
    /// Such as `metadata.version`.
    pub name: String,
    /// As sent; 0 turns the feature off.
    pub level: i16,
    /// What the level may do to the present one; `None` for a way nobody knows.
    pub upgrade: Option<UpgradeType>,
}

/// What a new level may do to the present one, with Kafka's numbers (`FeatureUpdate.UpgradeType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum UpgradeType {
    /// Only raise it.
    Upgrade = 1,
    /// Lower it if nothing is lost.
    SafeDowngrade = 2,
    /// Lower it whatever is lost.
    UnsafeDowngrade = 3,
}

impl UpgradeType {
    /// The type with Kafka's number.
    pub const fn from_wire(id: i8) -> Option<UpgradeType> {
        match id {
            1 => Some(UpgradeType::Upgrade),
            2 => Some(UpgradeType::SafeDowngrade),
            3 => Some(UpgradeType::UnsafeDowngrade),
            _ => None,
        }
    }
}

/// Changes of one resource's configs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigAlteration {
    /// Whose.
    pub resource: ConfigResource,
    /// In the order sent.
    pub changes: Vec<ConfigChange>,
}

/// The whole new set of one resource's configs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigReplacement {
    /// Whose.
    pub resource: ConfigResource,
    /// As sent; `None` is a value that was sent as null.
    pub configs: Vec<(String, Option<String>)>,
}

/// One config's change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// Which config.
    pub name: String,
    /// What to do with it.
    pub operation: ConfigOperation,
    /// The operand; `None` when null was sent.
    pub value: Option<String>,
}

/// What to do with a config, with Kafka's numbers (`AlterConfigOp.OpType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigOperation {
    /// Give it a value.
    Set = 0,
    /// Back to the default.
    Delete = 1,
    /// Add to a list.
    Append = 2,
    /// Take out of a list.
    Subtract = 3,
}

impl ConfigOperation {
    /// The operation with Kafka's number.
    pub const fn from_wire(id: i8) -> Option<ConfigOperation> {
        match id {
            0 => Some(ConfigOperation::Set),
            1 => Some(ConfigOperation::Delete),
            2 => Some(ConfigOperation::Append),
            3 => Some(ConfigOperation::Subtract),
            _ => None,
        }
    }

    /// Kafka's name, such as `SUBTRACT`.
    pub const fn name(self) -> &'static str {
        match self {
            ConfigOperation::Set => "SET",
            ConfigOperation::Delete => "DELETE",
            ConfigOperation::Append => "APPEND",
            ConfigOperation::Subtract => "SUBTRACT",
        }
    }
}

/// The answer to a [`Command`]; lists are in the order of the command's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `RegisterBroker`.
    Registered {
        /// The broker's new epoch.
        epoch: BrokerEpoch,
    },
    /// To `UnregisterBroker`.
    Unregistered,
    /// To `CreateTopics`.
    TopicsCreated(Vec<Result<CreatedTopic, ControllerError>>),
    /// To `DeleteTopics`.
    TopicsDeleted(Vec<Result<DeletedTopic, ControllerError>>),
    /// To `CreatePartitions`.
    PartitionsCreated(Vec<Result<(), ControllerError>>),
    /// To `AlterConfigs` and `ReplaceConfigs`.
    ConfigsAltered(Vec<Result<(), ControllerError>>),
    /// To `ElectLeaders`; empty when it was about all partitions.
    LeadersElected(Vec<Result<(), ControllerError>>),
    /// To `ReassignPartitions`.
    PartitionsReassigned(Vec<Result<(), ControllerError>>),
    /// To `UpdateFeatures`.
    FeaturesUpdated,
    /// To `AllocateProducerIds`: these ids are the broker's alone.
    ProducerIds(Range<i64>),
    /// To `UpdateDirectories`.
    DirectoriesUpdated,
    /// To `AssignDirectories`.
    DirectoriesAssigned,
}

/// A topic as it came into being, or would have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its name.
    pub name: String,
    /// Its id; zero when it was only validated.
    pub id: TopicId,
    /// How many partitions.
    pub partitions: i32,
    /// How many replicas each.
    pub replication_factor: i16,
    /// What was set on it; the rest are defaults.
    pub configs: Configs,
}

/// A topic that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: TopicId,
}

impl RegisterBroker {
    /// The ids of the directories.
    pub(crate) fn directory_ids(&self) -> Vec<DirectoryId> {
        self.directories.iter().map(|report| report.id).collect()
    }
}

/// Ids handed out in one block (`ProducerIdsBlock.PRODUCER_ID_BLOCK_SIZE`).
pub const PRODUCER_ID_BLOCK_SIZE: i64 = 1000;
