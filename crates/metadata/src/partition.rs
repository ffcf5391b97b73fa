use ottla_types::{BrokerId, DirectoryId, LeaderEpoch};
use smallvec::SmallVec;

/// A list of brokers; up to four need no allocation.
pub type BrokerIds = SmallVec<[BrokerId; 4]>;

/// One partition as the cluster knows it. A partition's number is its place in `Topic::partitions`.
///
/// Invariants, checked by [`Partition::check`]: replicas are not empty and distinct; the ISR is
/// part of the replicas; the leader, if any, is in the ISR; every replica has one directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The brokers that hold it; the first one is the preferred leader.
    pub replicas: BrokerIds,
    /// The replica's log directory, one per replica in the same order (KIP-858).
    /// The zero id says "not assigned".
    pub directories: SmallVec<[DirectoryId; 1]>,
    /// In-sync replicas.
    pub isr: BrokerIds,
    /// Replicas a reassignment takes away.
    pub removing: Vec<BrokerId>,
    /// Replicas a reassignment adds.
    pub adding: Vec<BrokerId>,
    /// Eligible leader replicas (KIP-966).
    pub eligible_leader_replicas: Vec<BrokerId>,
    /// The last leader known when ISR and eligible replicas ran empty (KIP-966).
    pub last_known_elr: Vec<BrokerId>,
    /// `None` while nobody may lead.
    pub leader: Option<BrokerId>,
    /// Rises with every change of the leader or of its incarnation.
    pub leader_epoch: LeaderEpoch,
    /// Rises with every change of this partition; guards ISR changes.
    pub partition_epoch: i32,
    /// Whether the leader was elected uncleanly and has not repaired its state yet.
    pub leader_recovery: LeaderRecovery,
}

/// Kafka's `LeaderRecoveryState`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaderRecovery {
    /// Elected from the ISR or done with recovering.
    #[default]
    Recovered,
    /// Elected uncleanly, still recovering.
    Recovering,
}

impl LeaderRecovery {
    /// Kafka's number.
    pub const fn to_wire(self) -> i8 {
        match self {
            LeaderRecovery::Recovered => 0,
            LeaderRecovery::Recovering => 1,
        }
    }

    /// The state with Kafka's number.
    pub const fn from_wire(value: i8) -> Option<LeaderRecovery> {
        match value {
            0 => Some(LeaderRecovery::Recovered),
            1 => Some(LeaderRecovery::Recovering),
            _ => None,
        }
    }
}

impl Partition {
    /// A new partition in its first epochs, led by the first of its in-sync replicas.
    pub fn new(
        replicas: BrokerIds,
        directories: SmallVec<[DirectoryId; 1]>,
        isr: BrokerIds,
    ) -> Partition {
        Partition {
            leader: isr.first().copied(),
            replicas,
            directories,
            isr,
            removing: Vec::new(),
            adding: Vec::new(),
            eligible_leader_replicas: Vec::new(),
            last_known_elr: Vec::new(),
            leader_epoch: LeaderEpoch::new(0),
            partition_epoch: 0,
            leader_recovery: LeaderRecovery::Recovered,
        }
    }

    /// Whether `broker` holds a replica.
    pub fn is_replica(&self, broker: BrokerId) -> bool {
        self.replicas.contains(&broker)
    }

    /// The log directory of `broker`'s replica; the zero id when it is not assigned, `None` when there is
    /// no such replica.
    pub fn directory_of(&self, broker: BrokerId) -> Option<DirectoryId> {
        let replica = self.replicas.iter().position(|id| *id == broker)?;
        self.directories.get(replica).copied()
    }

    /// What is wrong with this partition, if anything is. Records come from disk and from peers, so
    /// this is an answer and not an assertion.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.replicas.is_empty() {
            return Err("a partition has at least one replica");
        }
        let distinct = |ids: &[BrokerId]| {
            ids.iter()
                .enumerate()
                .all(|(index, id)| !ids[..index].contains(id))
        };
        if !distinct(&self.replicas) || !distinct(&self.isr) {
            return Err("a broker is named once");
        }
        if !self.isr.iter().all(|id| self.is_replica(*id)) {
            return Err("the in-sync replicas are replicas");
        }
        if self.directories.len() != self.replicas.len() {
            return Err("every replica has one directory");
        }
        if let Some(leader) = self.leader
            && !self.isr.contains(&leader)
        {
            return Err("the leader is in sync");
        }
        Ok(())
    }
}
