use crate::codec::{
    CodecError, SnapshotParts, decode_snapshot, decode_stored_entry, decode_vote, encode_snapshot,
    encode_stored_entry, encode_vote,
};
use crate::image::Image;
use crate::quorum::Voter;
use crate::raft_log::{RaftLog, RecoveredLog};
use crate::raft_types::{LogPosition, Membership, Payload, StoredEntry, Vote};
use ottla_storage::disk::{Disk, DiskError};
use std::collections::VecDeque;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// What one member of the quorum keeps: its vote, its entries, its newest snapshot.
///
/// Every implementation of [`Quorum`](crate::quorum::Quorum) persists through it, so a directory that
/// one wrote can be opened by the other. Votes and entries go into one log as synced writes; entries
/// since the snapshot are also kept in memory, and the snapshots bound both.
///
/// Invariants: entries have no gaps and follow the purged position; the snapshot is not below it.
pub struct QuorumStore {
    log: RaftLog,
    vote: Option<Vote>,
    purged: Option<LogPosition>,
    entries: VecDeque<StoredEntry>,
    snapshot: Option<Arc<StoredSnapshot>>,
}

/// The newest snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSnapshot {
    /// The last entry in it.
    pub position: LogPosition,
    /// Where the membership in force was written.
    pub membership_position: LogPosition,
    /// The membership in force.
    pub membership: Membership,
    /// The state.
    pub image: Arc<Image>,
}

/// The store cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuorumStoreError {
    /// The disk failed. What is on it now is unknown until the process starts again.
    #[error("the metadata log failed: {0}")]
    Disk(#[from] DiskError),
    /// The store failed before and is not touched again.
    #[error("the metadata log failed before and is not written any more")]
    FailedBefore,
    /// What was read is not what was written, or newer.
    #[error("the metadata log cannot be read: {0}")]
    Codec(#[from] CodecError),
    /// The snapshot's checksum is wrong.
    #[error("the snapshot of the metadata is damaged")]
    SnapshotDamaged,
    /// Entries are missing between the snapshot and the log, or within the log.
    #[error("the metadata log has a gap: entry {found} follows entry {expected_after:?}")]
    Gap {
        /// The last index before the gap.
        expected_after: Option<u64>,
        /// The first index after it.
        found: u64,
    },
    /// The store was written by another node, or the directory was copied.
    #[error("the metadata log belongs to node {stored}, and this is node {actual}")]
    ForeignVoter {
        /// Whose vote is stored.
        stored: Voter,
        /// Who opens it.
        actual: Voter,
    },
}

impl QuorumStore {
    /// The term in which a new quorum is led, and in which its first batch is decided.
    pub const FIRST_TERM: u64 = 1;

    /// Opens the store in `dir` of `disk`, which is made when missing.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<QuorumStore, QuorumStoreError> {
        let (log, recovered) = RaftLog::open(disk, dir)?;
        let RecoveredLog {
            vote,
            entries,
            snapshot,
        } = recovered;
        let mut store = QuorumStore {
            log,
            vote: vote.as_deref().map(decode_vote).transpose()?,
            purged: None,
            entries: VecDeque::new(),
            snapshot: None,
        };
        if let Some(bytes) = snapshot {
            let snapshot = StoredSnapshot::from(decode_snapshot(&bytes)?);
            store.purged = Some(snapshot.position);
            store.snapshot = Some(Arc::new(snapshot));
        }
        for (index, bytes) in entries {
            // The log may reach back behind the snapshot: it is cut later than the snapshot is saved.
            if store.purged.is_some_and(|purged| index <= purged.index) {
                continue;
            }
            store.check_follows(index)?;
            store.entries.push_back(decode_stored_entry(&bytes)?);
        }
        Ok(store)
    }

    /// True before the first write of its life.
    pub fn is_new(&self) -> bool {
        self.vote.is_none() && self.last_position().is_none()
    }

    /// Makes `me` the leader and only voter of a new quorum, whose log begins with `batch`: vote,
    /// membership and batch are one synced write.
    ///
    /// The vote is a committed one, as if an election by one vote had been held, so the next start
    /// needs none either.
    pub fn create(&mut self, me: Voter, batch: &[u8]) -> Result<(), QuorumStoreError> {
        assert!(self.is_new(), "only an empty store begins a quorum");
        let vote = Vote {
            term: Self::FIRST_TERM,
            candidate: me,
            is_committed: true,
        };
        let entry = |index, payload| StoredEntry {
            position: LogPosition {
                term: Self::FIRST_TERM,
                index,
            },
            payload,
        };
        let entries = vec![
            entry(0, Payload::Membership(Membership::of_one(me))),
            entry(1, Payload::Batch(batch.into())),
        ];
        self.write(Some(vote), entries)
    }

    /// The stored vote.
    pub fn vote(&self) -> Option<Vote> {
        self.vote
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Option<&Arc<StoredSnapshot>> {
        self.snapshot.as_ref()
    }

    /// The last entry that is gone because a snapshot covers it.
    pub fn purged(&self) -> Option<LogPosition> {
        self.purged
    }

    /// The last entry, in the log or purged from it.
    pub fn last_position(&self) -> Option<LogPosition> {
        self.entries
            .back()
            .map(|entry| entry.position)
            .or(self.purged)
    }

    /// The entries in `range` that are there.
    pub fn entries(&self, range: Range<u64>) -> impl Iterator<Item = &StoredEntry> {
        let first = self.first_index();
        let place = |index: u64| (index.saturating_sub(first) as usize).min(self.entries.len());
        let (start, end) = (place(range.start), place(range.end));
        self.entries.range(start..end.max(start))
    }

    /// The index after the last.
    pub fn end_index(&self) -> u64 {
        self.last_position().map_or(0, |last| last.index + 1)
    }

    /// Bytes of the log on disk.
    pub fn log_size(&self) -> u64 {
        self.log.size()
    }

    /// Makes `vote` durable.
    pub fn save_vote(&mut self, vote: Vote) -> Result<(), QuorumStoreError> {
        self.write(Some(vote), Vec::new())
    }

    /// Makes `entries` durable; they follow the last one.
    pub fn append(&mut self, entries: Vec<StoredEntry>) -> Result<(), QuorumStoreError> {
        self.write(None, entries)
    }

    /// One synced write.
    pub fn write(
        &mut self,
        vote: Option<Vote>,
        entries: Vec<StoredEntry>,
    ) -> Result<(), QuorumStoreError> {
        if vote.is_none() && entries.is_empty() {
            return Ok(());
        }
        let first = entries.first().map(|entry| entry.position.index);
        assert!(
            first.is_none_or(|first| first == self.end_index()),
            "entries follow the last one"
        );
        let encoded: Vec<(u64, Vec<u8>)> = entries
            .iter()
            .map(|entry| (entry.position.index, encode_stored_entry(entry)))
            .collect();
        let encoded_vote = vote.as_ref().map(encode_vote);
        self.log.append(encoded_vote.as_deref(), &encoded)?;
        self.vote = vote.or(self.vote);
        self.entries.extend(entries);
        Ok(())
    }

    /// Takes the entries from `index` on out: a later leader never had them.
    pub fn truncate(&mut self, index: u64) -> Result<(), QuorumStoreError> {
        assert!(
            self.purged.is_none_or(|purged| purged.index < index),
            "what a snapshot covers is committed"
        );
        if self.end_index() <= index {
            return Ok(());
        }
        self.log.truncate(index)?;
        let kept = index.saturating_sub(self.first_index()) as usize;
        self.entries.truncate(kept);
        Ok(())
    }

    /// Makes `snapshot` the newest one. Entries stay until they are purged.
    pub fn save_snapshot(&mut self, snapshot: StoredSnapshot) -> Result<(), QuorumStoreError> {
        let bytes = encode_snapshot(
            snapshot.position,
            snapshot.membership_position,
            &snapshot.membership,
            &snapshot.image,
        );
        self.log.save_snapshot(&bytes)?;
        self.snapshot = Some(Arc::new(snapshot));
        Ok(())
    }

    /// Forgets the entries up to `position`, inclusive. They are in the snapshot.
    pub fn purge(&mut self, position: LogPosition) -> Result<(), QuorumStoreError> {
        assert!(
            self.snapshot
                .as_ref()
                .is_some_and(|snapshot| position.index <= snapshot.position.index),
            "only what a snapshot covers is forgotten"
        );
        if self
            .purged
            .is_some_and(|purged| position.index <= purged.index)
        {
            return Ok(());
        }
        let gone = (position.index + 1).saturating_sub(self.first_index()) as usize;
        self.entries.drain(..gone.min(self.entries.len()));
        self.purged = Some(position);
        let kept: Vec<(u64, Vec<u8>)> = self
            .entries
            .iter()
            .map(|entry| (entry.position.index, encode_stored_entry(entry)))
            .collect();
        let vote = self.vote.as_ref().map(encode_vote);
        self.log.rewrite(vote.as_deref(), &kept)
    }

    /// Refuses a store that another node, or this node with another directory, voted in: a copied or
    /// exchanged directory never speaks under the old identity. For quorums of one voter.
    pub fn check_only_voter(&self, me: Voter) -> Result<(), QuorumStoreError> {
        match self.vote {
            Some(vote) if vote.candidate != me => Err(QuorumStoreError::ForeignVoter {
                stored: vote.candidate,
                actual: me,
            }),
            _ => Ok(()),
        }
    }

    fn first_index(&self) -> u64 {
        self.purged.map_or(0, |purged| purged.index + 1)
    }

    fn check_follows(&self, index: u64) -> Result<(), QuorumStoreError> {
        if index == self.end_index() {
            return Ok(());
        }
        Err(QuorumStoreError::Gap {
            expected_after: self.last_position().map(|last| last.index),
            found: index,
        })
    }
}

impl From<SnapshotParts> for StoredSnapshot {
    fn from(parts: SnapshotParts) -> StoredSnapshot {
        StoredSnapshot {
            position: parts.position,
            membership_position: parts.membership_position,
            membership: parts.membership,
            image: Arc::new(parts.image),
        }
    }
}
