//! What Raft persists, in our own words: no serialised type of a library ever reaches the disk.

use crate::quorum::Voter;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::fmt;

/// Place of an entry: the term it was written in and its index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// Term of the leader that wrote it.
    pub term: u64,
    /// Counted from 0.
    pub index: u64,
}

/// Whom a node voted for, and whether that node is known to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// The term of the vote.
    pub term: u64,
    /// For whom.
    pub candidate: Voter,
    /// Whether a majority granted it.
    pub is_committed: bool,
}

/// One entry of the quorum's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// Where it is.
    pub position: LogPosition,
    /// What it says.
    pub payload: Payload,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: a leader's first entry.
    Blank,
    /// Records, as [`encode_entry`](crate::codec::encode_entry) wrote them.
    Batch(Bytes),
    /// Who votes from here on.
    Membership(Membership),
}

/// Who votes and who only listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// One set of voters, or two while they change: a majority of each is needed.
    pub voters: Vec<BTreeSet<Voter>>,
    /// Nodes that receive the log and do not vote.
    pub learners: BTreeSet<Voter>,
}

impl Membership {
    /// The quorum of one.
    pub fn of_one(voter: Voter) -> Membership {
        Membership {
            voters: vec![BTreeSet::from([voter])],
            learners: BTreeSet::new(),
        }
    }
}

impl fmt::Display for Voter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.node, self.directory)
    }
}
