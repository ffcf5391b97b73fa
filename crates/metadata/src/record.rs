use crate::broker_registration::{BrokerRegistration, Fencing};
use crate::config_resource::ConfigResource;
use crate::partition::{BrokerIds, LeaderRecovery, Partition};
use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, PartitionId, ProducerId, TopicId};
use smallvec::SmallVec;

/// One change of the cluster's state. What is persisted is Kafka's record of the same name,
/// in Kafka's encoding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The cluster's id, written once. Ottla's own record: Kafka keeps it beside its log.
    Cluster {
        /// 22 characters for clusters that Ottla made.
        id: String,
    },
    /// A broker, or a new incarnation of it, joins.
    RegisterBroker(BrokerRegistration),
    /// A broker leaves for good.
    UnregisterBroker {
        /// Who.
        broker: BrokerId,
        /// Its epoch; a later incarnation is not meant.
        epoch: BrokerEpoch,
    },
    /// A registered broker changes.
    BrokerRegistrationChange {
        /// Who.
        broker: BrokerId,
        /// Its epoch; a later incarnation is not meant.
        epoch: BrokerEpoch,
        /// `None`: stays as it is.
        fencing: Option<Fencing>,
        /// `None`: stays as it is.
        directories: Option<Vec<DirectoryId>>,
        /// `None`: stays as it is.
        cordoned: Option<Vec<DirectoryId>>,
    },
    /// A topic comes into being; its partitions follow in the same batch.
    Topic {
        /// Its name.
        name: String,
        /// Its id.
        id: TopicId,
    },
    /// A topic goes, with its partitions and configs.
    RemoveTopic {
        /// Its id.
        id: TopicId,
    },
    /// A partition comes into being; numbers rise without gaps.
    Partition {
        /// Its topic.
        topic_id: TopicId,
        /// Its number.
        partition: PartitionId,
        /// Everything about it.
        state: Partition,
    },
    /// A partition changes.
    PartitionChange(PartitionChange),
    /// A config is set, or removed with `None`.
    Config {
        /// Whose.
        resource: ConfigResource,
        /// Which.
        name: String,
        /// The new value.
        value: Option<String>,
    },
    /// A feature's finalized level; 0 removes it.
    FeatureLevel {
        /// Such as `metadata.version`.
        name: String,
        /// The level.
        level: i16,
    },
    /// A block of producer ids was handed out.
    ProducerIds {
        /// To whom.
        broker: BrokerId,
        /// In which incarnation.
        broker_epoch: BrokerEpoch,
        /// The first id that is still free.
        next: ProducerId,
    },
    /// Nothing.
    NoOp,
}

/// What changes about a partition. `None` leaves a field as it is. Applying one raises the
/// partition epoch; naming a leader, even the same one, also raises the leader epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionChange {
    /// Its topic.
    pub topic_id: TopicId,
    /// Its number.
    pub partition: PartitionId,
    /// The new in-sync replicas.
    pub isr: Option<BrokerIds>,
    /// The new leader; `Some(None)` for nobody.
    pub leader: Option<Option<BrokerId>>,
    /// The new replicas.
    pub replicas: Option<BrokerIds>,
    /// The new directories.
    pub directories: Option<SmallVec<[DirectoryId; 1]>>,
    /// Replicas a reassignment takes away.
    pub removing: Option<Vec<BrokerId>>,
    /// Replicas a reassignment adds.
    pub adding: Option<Vec<BrokerId>>,
    /// The new eligible leader replicas.
    pub eligible_leader_replicas: Option<Vec<BrokerId>>,
    /// The new last known leaders.
    pub last_known_elr: Option<Vec<BrokerId>>,
    /// The new recovery state.
    pub leader_recovery: Option<LeaderRecovery>,
}
