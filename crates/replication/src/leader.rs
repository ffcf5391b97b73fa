use ottla_types::{BrokerId, LeaderEpoch, Mono, Offset};
use smallvec::SmallVec;

/// Leader side of one partition: who is in sync and what consumers may read. KIP-101, KIP-903,
/// KIP-966.
///
/// Ends are exclusive. *Appended* and *durable* are two numbers: followers fetch what is appended,
/// and the high watermark is the minimum durable end over the in-sync replicas, the leader's own and
/// those of joins in flight included. It stands still while fewer replicas are in sync than the
/// effective `min.insync.replicas`.
///
/// Invariants, checked by [`Leader::check`] after every step in tests and in the simulator:
///  * `log_start <= high_watermark <= durable_end <= appended_end` of the leader itself
///  * `high_watermark` never moves back in the life of a leader
///  * the leader is in its ISR, and the ISR is part of the replicas
#[derive(Clone, Debug)]
pub struct Leader {
    me: BrokerId,
    leader_epoch: LeaderEpoch,
    partition_epoch: i32,
    epoch_start: Offset,
    min_insync_replicas: usize,
    log_start: Offset,
    high_watermark: Offset,
    appended_end: Offset,
    durable_end: Offset,
    isr: SmallVec<[BrokerId; 4]>,
    /// Brokers that were proposed for the ISR; they may be in it already without our knowing.
    joining: SmallVec<[BrokerId; 1]>,
    followers: Vec<Follower>,
}

/// What the leader knows of another replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follower {
    /// Who.
    pub broker: BrokerId,
    /// Next offset it asks for; `None` before its first fetch in this leader epoch.
    pub appended_end: Option<Offset>,
    /// What it has fsynced; `None` before it said so in this leader epoch.
    pub durable_end: Option<Offset>,
    /// When it last had everything that was appended here.
    pub caught_up_at: Option<Mono>,
}

/// The state in which a leader begins its epoch.
#[derive(Clone, Debug)]
pub struct LeaderStart<'a> {
    /// This broker.
    pub me: BrokerId,
    /// From the metadata image.
    pub leader_epoch: LeaderEpoch,
    /// From the metadata image.
    pub partition_epoch: i32,
    /// All replicas, this broker among them.
    pub replicas: &'a [BrokerId],
    /// In-sync replicas, this broker among them.
    pub isr: &'a [BrokerId],
    /// `min.insync.replicas` as configured.
    pub min_insync_replicas: usize,
    /// First offset of the log.
    pub log_start: Offset,
    /// A high watermark that is known from before; the log's start if nothing is.
    pub high_watermark: Offset,
    /// The leader's own ends.
    pub appended_end: Offset,
    /// The leader's own ends.
    pub durable_end: Offset,
}

/// Too few replicas are in sync for `acks=all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{insync} replicas are in sync and {required} are required")]
pub struct NotEnoughReplicas {
    /// In sync.
    pub insync: usize,
    /// Required.
    pub required: usize,
}

/// A client and this leader know different leader epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EpochError {
    /// The client knows an older one and must refresh its metadata.
    #[error("the leader epoch is {current}, later than the client's")]
    Fenced {
        /// This leader's.
        current: LeaderEpoch,
    },
    /// The client knows a newer one: this broker lags behind the metadata.
    #[error("the leader epoch is still {current}, earlier than the client's")]
    Unknown {
        /// This leader's.
        current: LeaderEpoch,
    },
}

/// What a peer said cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// It holds no replica of this partition.
    #[error("broker {broker} is not a replica")]
    NotAReplica {
        /// Who.
        broker: BrokerId,
    },
    /// It has more than the leader: its log diverged and it must truncate.
    #[error("broker {broker} is at {end}, past the leader's end {appended_end}")]
    AheadOfLeader {
        /// Who.
        broker: BrokerId,
        /// Its end.
        end: Offset,
        /// The leader's.
        appended_end: Offset,
    },
}

/// An ISR that the metadata log made certain.
#[derive(Clone, Debug)]
pub struct IsrChange<'a> {
    /// The new ISR.
    pub isr: &'a [BrokerId],
    /// The epoch that came with it.
    pub partition_epoch: i32,
}

impl Leader {
    /// Begins to lead. The high watermark may move at once: see [`Leader::high_watermark`].
    pub fn new(start: LeaderStart<'_>) -> Leader {
        let others = start.replicas.iter().filter(|broker| **broker != start.me);
        let mut leader = Leader {
            me: start.me,
            leader_epoch: start.leader_epoch,
            partition_epoch: start.partition_epoch,
            epoch_start: start.appended_end,
            min_insync_replicas: start.min_insync_replicas,
            log_start: start.log_start,
            high_watermark: start.high_watermark.max(start.log_start),
            appended_end: start.appended_end,
            durable_end: start.durable_end,
            isr: SmallVec::from_slice(start.isr),
            joining: SmallVec::new(),
            followers: others.map(|broker| Follower::unheard(*broker)).collect(),
        };
        leader.check();
        leader.advance();
        leader
    }

    /// The epoch it leads in.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    /// The partition's epoch as last made certain; guards ISR changes.
    pub fn partition_epoch(&self) -> i32 {
        self.partition_epoch
    }

    /// Exclusive: consumers read below it.
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Whether the mark has reached the start of this epoch. Before that an earlier leader may have
    /// known a higher one, and offsets are not available (KIP-207).
    pub fn is_high_watermark_certain(&self) -> bool {
        self.epoch_start <= self.high_watermark
    }

    /// Whether everything below `end` is committed.
    pub fn is_committed(&self, end: Offset) -> bool {
        end <= self.high_watermark
    }

    /// In-sync replicas as last made certain.
    pub fn isr(&self) -> &[BrokerId] {
        &self.isr
    }

    /// The other replicas.
    pub fn followers(&self) -> &[Follower] {
        &self.followers
    }

    /// `min(min.insync.replicas, replication factor)`: Kafka's `Partition.effectiveMinIsr`.
    pub fn effective_min_isr(&self) -> usize {
        self.min_insync_replicas.min(self.followers.len() + 1)
    }

    /// Whether a produce with `acks=all` may append.
    pub fn check_min_isr(&self) -> Result<(), NotEnoughReplicas> {
        let (insync, required) = (self.isr.len(), self.effective_min_isr());
        if insync < required {
            return Err(NotEnoughReplicas { insync, required });
        }
        Ok(())
    }

    /// Compares the leader epoch a client sent; one that sent none is not checked (KIP-320).
    pub fn check_epoch(&self, client: Option<LeaderEpoch>) -> Result<(), EpochError> {
        let current = self.leader_epoch;
        match client {
            Some(epoch) if epoch < current => Err(EpochError::Fenced { current }),
            Some(epoch) if current < epoch => Err(EpochError::Unknown { current }),
            _ => Ok(()),
        }
    }

    /// The leader's own log grew to `end`.
    pub fn appended(&mut self, end: Offset) {
        assert!(self.appended_end <= end, "a leader's log only grows");
        self.appended_end = end;
    }

    /// The leader's own log is durable up to `end`. Returns the new high watermark if it moved.
    pub fn durable(&mut self, end: Offset) -> Option<Offset> {
        assert!(end <= self.appended_end, "only what is appended is durable");
        self.durable_end = self.durable_end.max(end);
        self.advance()
    }

    /// Records below `start` are gone: retention or DeleteRecords, never above the high watermark.
    pub fn log_start_moved(&mut self, start: Offset) {
        assert!(
            start <= self.high_watermark,
            "only committed records are deleted"
        );
        self.log_start = self.log_start.max(start);
    }

    /// `min.insync.replicas` changed. Returns the new high watermark if it moved.
    pub fn min_insync_replicas_changed(&mut self, min_insync_replicas: usize) -> Option<Offset> {
        self.min_insync_replicas = min_insync_replicas;
        self.advance()
    }

    /// A follower asked for the records from `fetch_offset` on: it has appended everything below.
    pub fn follower_fetched(
        &mut self,
        broker: BrokerId,
        fetch_offset: Offset,
        now: Mono,
    ) -> Result<(), ReplicaError> {
        let appended_end = self.appended_end;
        let follower = self.follower_mut(broker, fetch_offset)?;
        follower.appended_end = Some(fetch_offset);
        if fetch_offset == appended_end {
            follower.caught_up_at = Some(now);
        }
        Ok(())
    }

    /// A follower has fsynced everything below `end`. Returns the new high watermark if it moved.
    pub fn follower_durable(
        &mut self,
        broker: BrokerId,
        end: Offset,
    ) -> Result<Option<Offset>, ReplicaError> {
        let follower = self.follower_mut(broker, end)?;
        follower.durable_end = Some(end);
        Ok(self.advance())
    }

    /// `broker` is about to be proposed for the ISR: from now on the high watermark waits for it,
    /// because the change may be certain before this leader hears of it.
    pub fn join_proposed(&mut self, broker: BrokerId) {
        if !self.isr.contains(&broker) && !self.joining.contains(&broker) {
            self.joining.push(broker);
        }
    }

    /// The proposal did not come about.
    pub fn join_dropped(&mut self, broker: BrokerId) -> Option<Offset> {
        self.joining.retain(|joining| *joining != broker);
        self.advance()
    }

    /// The metadata log made an ISR certain; an older one than the last is ignored. Returns the new
    /// high watermark if it moved.
    pub fn isr_changed(&mut self, change: IsrChange<'_>) -> Option<Offset> {
        if change.partition_epoch <= self.partition_epoch {
            return None;
        }
        assert!(
            change.isr.contains(&self.me),
            "a leader outside the ISR is no leader"
        );
        self.partition_epoch = change.partition_epoch;
        self.isr = SmallVec::from_slice(change.isr);
        self.joining.retain(|broker| !change.isr.contains(broker));
        self.advance()
    }

    fn follower_mut(
        &mut self,
        broker: BrokerId,
        end: Offset,
    ) -> Result<&mut Follower, ReplicaError> {
        let appended_end = self.appended_end;
        let follower = self
            .followers
            .iter_mut()
            .find(|follower| follower.broker == broker)
            .ok_or(ReplicaError::NotAReplica { broker })?;
        // A peer's numbers are not for us to assert on.
        if appended_end < end {
            return Err(ReplicaError::AheadOfLeader {
                broker,
                end,
                appended_end,
            });
        }
        Ok(follower)
    }

    fn advance(&mut self) -> Option<Offset> {
        if self.isr.len() < self.effective_min_isr() {
            return None;
        }
        let counts = |follower: &&Follower| {
            self.isr.contains(&follower.broker) || self.joining.contains(&follower.broker)
        };
        let committed = self
            .followers
            .iter()
            .filter(counts)
            .map(|follower| follower.durable_end.unwrap_or(Offset::ZERO))
            .fold(self.durable_end, Offset::min);
        // A follower that just joined may lag behind the mark: then it waits, it never goes back.
        if self.high_watermark < committed {
            self.high_watermark = committed;
            return Some(committed);
        }
        None
    }

    /// Panics where an invariant does not hold.
    pub fn check(&self) {
        assert!(self.log_start <= self.high_watermark);
        assert!(self.high_watermark <= self.durable_end);
        assert!(self.durable_end <= self.appended_end);
        assert!(self.isr.contains(&self.me));
        for broker in &self.isr {
            let is_replica = self.followers.iter().any(|f| f.broker == *broker);
            assert!(*broker == self.me || is_replica);
            assert!(!self.joining.contains(broker));
        }
    }
}

impl Follower {
    fn unheard(broker: BrokerId) -> Follower {
        Follower {
            broker,
            appended_end: None,
            durable_end: None,
            caught_up_at: None,
        }
    }
}

#[cfg(test)]
mod tests;
