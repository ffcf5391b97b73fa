//! openraft's types, and the way between them and what `metadata` persists.

use bytes::Bytes;
use openraft::alias::CommittedLeaderIdOf;
use openraft::impls::leader_id_std::LeaderId;
use openraft::vote::RaftVote;
use openraft::{EmptyNode, EntryPayload};
use ottla_metadata::quorum::{Ticket, Voter};
use ottla_metadata::{LogPosition, Membership, Payload, StoredEntry, Vote};
use std::collections::BTreeMap;
use std::fmt;
use std::io;

openraft::declare_raft_types!(
    /// openraft with our identities, and at most one leader per term.
    pub(super) TypeConfig:
        D = Batch,
        R = (),
        NodeId = Voter,
        Node = EmptyNode,
        LeaderId = LeaderId<u64, Voter>,
);

pub(super) type RaftVoteType = openraft::alias::VoteOf<TypeConfig>;
pub(super) type RaftEntry = openraft::alias::EntryOf<TypeConfig>;
pub(super) type RaftLogId = openraft::alias::LogIdOf<TypeConfig>;
pub(super) type RaftMembership = openraft::Membership<Voter, EmptyNode>;
pub(super) type RaftStoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;

/// A batch on its way through Raft.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// What is persisted.
    pub(super) bytes: Bytes,
    /// Ours, if this process proposed it; never persisted.
    pub(super) ticket: Option<Ticket>,
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a batch of {} bytes", self.bytes.len())
    }
}

pub(super) fn to_vote(vote: &RaftVoteType) -> Vote {
    let leader = vote.leader_id();
    Vote {
        term: leader.term,
        candidate: leader.voted_for,
        is_committed: vote.is_committed(),
    }
}

pub(super) fn from_vote(vote: Vote) -> RaftVoteType {
    let leader = LeaderId {
        term: vote.term,
        voted_for: vote.candidate,
    };
    RaftVoteType::from_leader_id(leader, vote.is_committed)
}

pub(super) fn to_position(id: &RaftLogId) -> LogPosition {
    LogPosition {
        term: *id.leader_id,
        index: id.index,
    }
}

pub(super) fn from_position(position: LogPosition) -> RaftLogId {
    RaftLogId {
        leader_id: CommittedLeaderIdOf::<TypeConfig>::new(position.term),
        index: position.index,
    }
}

/// The entry to store, and the ticket that is not stored.
pub(super) fn to_entry(entry: RaftEntry) -> (StoredEntry, Option<Ticket>) {
    let (payload, ticket) = match entry.payload {
        EntryPayload::Blank => (Payload::Blank, None),
        EntryPayload::Normal(batch) => (Payload::Batch(batch.bytes), batch.ticket),
        EntryPayload::Membership(membership) => {
            (Payload::Membership(to_membership(&membership)), None)
        }
    };
    let entry = StoredEntry {
        position: to_position(&entry.log_id),
        payload,
    };
    (entry, ticket)
}

pub(super) fn from_entry(entry: StoredEntry, ticket: Option<Ticket>) -> RaftEntry {
    let payload = match entry.payload {
        Payload::Blank => EntryPayload::Blank,
        Payload::Batch(bytes) => EntryPayload::Normal(Batch { bytes, ticket }),
        Payload::Membership(membership) => EntryPayload::Membership(from_membership(&membership)),
    };
    RaftEntry {
        log_id: from_position(entry.position),
        payload,
    }
}

fn to_membership(membership: &RaftMembership) -> Membership {
    Membership {
        voters: membership.get_joint_config().clone(),
        learners: membership.learner_ids().collect(),
    }
}

fn from_membership(membership: &Membership) -> RaftMembership {
    let nodes: BTreeMap<Voter, EmptyNode> = membership
        .voters
        .iter()
        .flatten()
        .chain(&membership.learners)
        .map(|voter| (*voter, EmptyNode::new()))
        .collect();
    RaftMembership::new_with_defaults(membership.voters.clone(), nodes.into_keys())
}

pub(super) fn from_stored_membership(
    position: Option<LogPosition>,
    membership: &Membership,
) -> RaftStoredMembership {
    RaftStoredMembership::new(position.map(from_position), from_membership(membership))
}

/// The only error type openraft takes from a store.
pub(super) fn to_io_error(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}
