//! The seam between the controller and consensus: what a quorum promises, and what it may do to us.
//!
//! A quorum replicates entries, each a batch of records, and applies them to the [`Image`] in the
//! same order everywhere. Two implementations exist, openraft on real threads and
//! the local one under a simulator, and one conformance suite
//! holds both to this page.
//!
//! # Promises
//!
//! 1. Events come one at a time, in one order, and never from inside [`Quorum::propose`].
//! 2. The first event is `ImageReplaced`. Every later image is the one before plus one entry.
//!    Indexes of `Applied` rise strictly; an applied entry is durable and is applied by every node
//!    and every later incarnation of it, at the same index.
//! 3. `Leading { term }` comes after every earlier entry, and one of this term, was applied. Terms
//!    of `Leading` rise strictly within one life of a process; a term has one leader.
//! 4. A ticket ends in at most one of `Applied { ticket }`, `Lost { ticket }` and
//!    `Unknown { ticket }`, and in one of them unless the process ends or `Failed` is sent first.
//! 5. Tickets of one term are applied in the order of their proposals. When one is lost or unknown,
//!    no later one of this term is applied under its ticket, and `Following` or `Failed` comes next
//!    or was sent before.
//! 6. While a node leads, no entry with records is applied that is not its own.
//!
//! # Allowed misbehaviour
//!
//! * To refuse any proposal with [`NotLeader`], even right after `Leading`.
//! * To keep a proposal for any time, and to apply none in between.
//! * To send `Following` at any time, with or without a new `Leading` after it.
//! * To lose any suffix of the tickets in flight, and to call them `Unknown` although they will
//!   never be applied, or although they will be, without a ticket, later or by another leader.
//! * To apply entries without records, and to skip indexes.
//! * To replace the image by a later one at any time while following.
//! * To apply a batch of an earlier term under a later one: it then applies as one without records
//!   (an entry carries its term).
//! * To forget everything that was never applied when the process ends.
//! * To fail for good: after `Failed` nothing follows.

use crate::image::Image;
use crate::record::Record;
use ottla_types::BrokerId;
use std::sync::Arc;

/// A consensus group as its member sees it. See the [module](self) for the contract.
pub trait Quorum: Send + Sync {
    /// Asks for `batch` to be applied as one entry. Returns at once, does no I/O and sends no event.
    ///
    /// # Errors
    /// [`NotLeader`] when `term` is not, or no longer, led from here: nothing will be applied.
    fn propose(&self, term: u64, batch: Vec<Record>) -> Result<Ticket, NotLeader>;

    /// How the quorum stands.
    fn status(&self) -> QuorumStatus;
}

/// Names a proposal within one life of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

impl Ticket {
    /// The ticket with this number; numbers rise with every proposal.
    pub const fn new(number: u64) -> Ticket {
        Ticket(number)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The node does not lead in the term named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this node does not lead the metadata quorum in that term")]
pub struct NotLeader;

/// What a quorum tells its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuorumEvent {
    /// The state is this one; how it came about is not told. The first event after a start.
    ImageReplaced {
        /// The whole state.
        image: Arc<Image>,
    },
    /// One entry more is certain.
    Applied(Applied),
    /// This node leads and may propose in `term`.
    Leading {
        /// The term.
        term: u64,
    },
    /// This node does not lead.
    Following {
        /// Who does, if known.
        leader: Option<BrokerId>,
    },
    /// The proposal will never be applied.
    Lost {
        /// Which.
        ticket: Ticket,
    },
    /// The proposal may or may not be applied; nobody will tell.
    Unknown {
        /// Which.
        ticket: Ticket,
    },
    /// The quorum's store failed: this node has no metadata any more.
    Failed {
        /// For people.
        reason: String,
    },
}

/// An entry that is certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Its place in the log.
    pub index: u64,
    /// The term it was written in.
    pub term: u64,
    /// Set when this process proposed it in this life.
    pub ticket: Option<Ticket>,
    /// What it changed.
    pub records: Arc<[Record]>,
    /// The state after it.
    pub image: Arc<Image>,
}

/// How a quorum stands, for people and for DescribeQuorum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuorumStatus {
    /// The current term.
    pub term: u64,
    /// Who leads, if known.
    pub leader: Option<BrokerId>,
    /// Index of the last entry in this node's log.
    pub last_index: u64,
    /// Index of the last entry applied here.
    pub applied_index: u64,
    /// Index of the last entry that the newest snapshot covers.
    pub snapshot_index: u64,
    /// Who votes.
    pub voters: Vec<Voter>,
}

/// One voter; Raft knows it by both ids, so a node with a new directory is a new voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Voter {
    /// `node.id`.
    pub node: BrokerId,
    /// The directory of its quorum store.
    pub directory: ottla_types::DirectoryId,
}
