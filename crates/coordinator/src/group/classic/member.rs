use crate::group::command::Protocol;
use crate::group::group_id::{InstanceId, MemberId};
use crate::machine::Waiter;
use crate::timers::Alarm;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// One member of a classic group.
#[derive(Clone, Debug)]
pub struct ClassicMember {
    /// Its id.
    pub id: MemberId,
    /// What it is.
    pub parts: MemberParts,
    /// What it has to do.
    pub assignment: Bytes,
    /// Its JoinGroup waits for the others.
    pub(crate) join: Option<Waiter>,
    /// Its SyncGroup waits for the leader.
    pub(crate) sync: Option<Waiter>,
    /// It has not been part of a generation yet, so it cannot send heartbeats.
    pub(crate) is_new: bool,
    /// Rings when it has been silent for too long.
    pub(crate) session: Alarm,
}

/// What a member says of itself.
#[derive(Clone, Debug)]
pub struct MemberParts {
    /// Which static member it is, if it is one.
    pub instance: Option<InstanceId>,
    /// `client.id`.
    pub client_id: Arc<str>,
    /// Where it is.
    pub client_host: Arc<str>,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// How long it may take to come to a rebalance.
    pub rebalance_timeout: Duration,
    /// What it can do, best first. No name twice.
    pub protocols: Vec<Protocol>,
}

impl ClassicMember {
    pub(crate) fn new(id: MemberId, parts: MemberParts) -> ClassicMember {
        ClassicMember {
            id,
            parts,
            assignment: Bytes::new(),
            join: None,
            sync: None,
            is_new: false,
            session: Alarm::default(),
        }
    }

    /// Whether it is a static member (KIP-345).
    pub fn is_static(&self) -> bool {
        self.parts.instance.is_some()
    }

    /// What it has to say in `protocol`.
    pub fn metadata(&self, protocol: &str) -> Option<&Bytes> {
        let mut protocols = self.parts.protocols.iter();
        let found = protocols.find(|own| &*own.name == protocol)?;
        Some(&found.metadata)
    }

    /// The best of the `candidates`, which all members can do, in its own eyes.
    pub(crate) fn vote(&self, candidates: &BTreeMap<Arc<str>, usize>) -> Option<&Arc<str>> {
        let mut names = self.parts.protocols.iter().map(|own| &own.name);
        names.find(|name| candidates.contains_key(*name))
    }

    /// Bytes it takes in the group's record, about, without its assignment.
    pub(crate) fn size(&self) -> usize {
        /// Lengths and numbers.
        const AROUND: usize = 64;
        let parts = &self.parts;
        let metadata = parts.protocols.iter();
        let metadata = metadata.map(|protocol| protocol.metadata.len()).max();
        let instance = parts.instance.as_ref();
        AROUND
            + self.id.as_str().len()
            + instance.map_or(0, |instance| instance.as_str().len())
            + parts.client_id.len()
            + parts.client_host.len()
            + metadata.unwrap_or(0)
    }

    /// Whether silence means that it is gone: while it waits for others it has nothing to send.
    pub(crate) fn must_be_heard(&self) -> bool {
        self.is_new || (self.join.is_none() && self.sync.is_none())
    }
}
