use crate::codec::{
    CodecError, decode_image, decode_payload, decode_snapshot_meta, decode_vote, encode_entry,
    encode_image, encode_payload, encode_snapshot_meta, encode_vote,
};
use crate::image::Image;
use crate::quorum::Voter;
use crate::raft_types::{LogPosition, Membership, Payload, StoredEntry, Vote};
use crate::record::Record;
use ottla_storage::disk::{Disk, DiskError};
use ottla_storage::marker::Markers;
use ottla_storage::raft_log::{
    RaftBatch, RaftDamageKind, RaftEntry, RaftIdentity, RaftLog, RaftLogError, RaftLogId,
    RaftLogOptions, RaftOpen, RaftSnapshot,
};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// What one member of the quorum keeps: its vote, its entries, its newest snapshot.
///
/// Every implementation of [`Quorum`](crate::quorum::Quorum) persists through it, so a directory that
/// one wrote can be opened by the other. When a call returns, its effect is on the device. Entries
/// since the snapshot are also kept in memory, and the snapshots bound both.
pub struct QuorumStore {
    disk: Arc<dyn Disk>,
    log: RaftLog,
    vote: Option<Vote>,
    snapshot: Option<Arc<StoredSnapshot>>,
    entries_size: u64,
}

/// How a store is opened.
#[derive(Clone, Default)]
pub struct QuorumStoreOptions {
    /// Of the log below.
    pub log: RaftLogOptions,
    /// Where the log notes what it has reached.
    pub markers: Arc<Markers>,
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
#[derive(Clone, Debug, thiserror::Error)]
pub enum QuorumStoreError {
    /// The disk failed, or is full. [`QuorumStoreError::is_full`] tells.
    #[error("the metadata log: {0}")]
    Log(#[from] RaftLogError),
    /// Something that was acknowledged is not there. The identity must not vote again.
    #[error(
        "the metadata log has lost something it had acknowledged, so this node must not vote with it \
         again: {0}"
    )]
    Damaged(RaftDamageKind),
    /// What was read is not what this version writes, or newer.
    #[error("the metadata log cannot be read: {0}")]
    Codec(#[from] CodecError),
    /// The store was written by another node, or the directory was copied.
    #[error("the metadata log belongs to node {stored}, and this is node {actual}")]
    ForeignVoter {
        /// Who wrote it.
        stored: Voter,
        /// Who opens it.
        actual: Voter,
    },
}

impl QuorumStoreError {
    /// True when nothing was lost and the call can be tried again once there is room.
    pub fn is_full(&self) -> bool {
        matches!(self, QuorumStoreError::Log(RaftLogError::Full(_)))
    }
}

impl From<DiskError> for QuorumStoreError {
    fn from(error: DiskError) -> QuorumStoreError {
        QuorumStoreError::Log(error.into())
    }
}

/// Place of the first batch; the membership is before it.
const FIRST_BATCH_INDEX: u64 = 1;

impl QuorumStore {
    /// The term in which a new quorum is led, and in which its first batch is decided.
    pub const FIRST_TERM: u64 = 1;

    /// Opens the store of `me` in `dir` of `disk`, or makes it by [`QuorumStore::create`].
    pub fn open_or_create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: &QuorumStoreOptions,
        me: Voter,
        first_batch: impl FnOnce() -> Vec<Record>,
    ) -> Result<QuorumStore, QuorumStoreError> {
        match QuorumStore::open(Arc::clone(&disk), dir, options)? {
            Some(store) => {
                store.check_voter(me)?;
                Ok(store)
            }
            None => QuorumStore::create(disk, dir, options, me, &first_batch()),
        }
    }

    /// Opens the store in `dir` of `disk`, whoever wrote it; `None` when there is none, or only what the
    /// making of one that was never finished has left.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: &QuorumStoreOptions,
    ) -> Result<Option<QuorumStore>, QuorumStoreError> {
        let markers = Arc::clone(&options.markers);
        match RaftLog::open(Arc::clone(&disk), dir, options.log, markers)? {
            RaftOpen::Found(log, _) => QuorumStore::found(disk, dir, *log).map(Some),
            RaftOpen::Damaged(damage) => Err(QuorumStoreError::Damaged(damage.kind)),
            RaftOpen::Empty => Ok(None),
        }
    }

    /// Who wrote the store, and the cluster it belongs to.
    pub fn owner(&self) -> (Voter, &str) {
        let identity = &self.log.state().identity;
        let voter = Voter {
            node: identity.node_id,
            directory: identity.directory_id,
        };
        (voter, &identity.cluster_id)
    }

    /// Refuses a store that another voter wrote.
    pub fn check_voter(&self, me: Voter) -> Result<(), QuorumStoreError> {
        let (stored, _) = self.owner();
        match stored == me {
            true => Ok(()),
            false => Err(QuorumStoreError::ForeignVoter { stored, actual: me }),
        }
    }

    /// True while nothing was written behind the first batch: the start that made the store may not have
    /// come to its end.
    pub fn is_young(&self) -> bool {
        self.last_position()
            .is_none_or(|last| last.index <= FIRST_BATCH_INDEX)
    }

    /// Makes the store in `dir` of `disk`, which holds none: `me` is the leader and only voter of a new
    /// quorum whose log begins with `first_batch`, which names the cluster. Vote, membership and batch are
    /// one synced write.
    ///
    /// The first vote is a committed one, as if an election by one vote had been held, so no later
    /// start needs an election either.
    pub fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: &QuorumStoreOptions,
        me: Voter,
        first_batch: &[Record],
    ) -> Result<QuorumStore, QuorumStoreError> {
        let cluster_id = first_batch.iter().find_map(|record| match record {
            Record::Cluster { id } => Some(id.clone()),
            _ => None,
        });
        let vote = Vote {
            term: Self::FIRST_TERM,
            candidate: me,
            is_committed: true,
        };
        let payloads = [
            Payload::Membership(Membership::of_one(me)),
            Payload::Batch(encode_entry(Self::FIRST_TERM, first_batch).into()),
        ];
        let entries = (0..).zip(payloads).map(|(index, payload)| {
            let position = LogPosition {
                term: Self::FIRST_TERM,
                index,
            };
            to_raft_entry(&StoredEntry { position, payload })
        });
        let batch = RaftBatch {
            vote: Some(encode_vote(&vote).into()),
            entries: entries.collect(),
            ..RaftBatch::default()
        };
        let entries_size = size_of(&batch.entries);
        let log = RaftLog::create(
            Arc::clone(&disk),
            dir,
            options.log,
            Arc::clone(&options.markers),
            RaftIdentity {
                cluster_id: cluster_id.expect("the first batch names the cluster"),
                node_id: me.node,
                directory_id: me.directory,
            },
            batch,
        )?;
        sync_parent(&*disk, dir)?;
        Ok(QuorumStore {
            disk,
            log,
            vote: Some(vote),
            snapshot: None,
            entries_size,
        })
    }

    /// Makes the store in `dir` of `disk`, which holds none, of a node that joins the quorum of the cluster
    /// `cluster_id`: it has voted for nobody and knows nobody, until a leader tells it.
    pub fn create_joining(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: &QuorumStoreOptions,
        me: Voter,
        cluster_id: &str,
    ) -> Result<QuorumStore, QuorumStoreError> {
        let log = RaftLog::create(
            Arc::clone(&disk),
            dir,
            options.log,
            Arc::clone(&options.markers),
            RaftIdentity {
                cluster_id: cluster_id.to_owned(),
                node_id: me.node,
                directory_id: me.directory,
            },
            RaftBatch::default(),
        )?;
        sync_parent(&*disk, dir)?;
        Ok(QuorumStore {
            disk,
            log,
            vote: None,
            snapshot: None,
            entries_size: 0,
        })
    }

    fn found(
        disk: Arc<dyn Disk>,
        dir: &Path,
        log: RaftLog,
    ) -> Result<QuorumStore, QuorumStoreError> {
        let state = log.state();
        let vote = state.vote.as_deref().map(decode_vote).transpose()?;
        let snapshot = log.snapshot().map(decode_snapshot).transpose()?;
        for entry in &state.entries {
            // What cannot be read is refused now and not when it is applied.
            decode_payload(&entry.payload)?;
        }
        let store = QuorumStore {
            disk,
            vote,
            snapshot: snapshot.map(Arc::new),
            entries_size: size_of(&state.entries),
            log,
        };
        if store.is_young() {
            // The process that made the store may have died before the name of `dir` was durable; every
            // later entry was written after that.
            sync_parent(&*store.disk, dir)?;
        }
        Ok(store)
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
        self.log.state().purged.map(to_position)
    }

    /// The last entry, in the log or purged from it.
    pub fn last_position(&self) -> Option<LogPosition> {
        self.log.state().last_log_id().map(to_position)
    }

    /// The entries in `range` that are there.
    pub fn entries(&self, range: Range<u64>) -> impl Iterator<Item = StoredEntry> {
        let entries = self.log.state().entries(range.start, range.end);
        entries.map(|entry| StoredEntry {
            position: to_position(entry.id),
            payload: decode_payload(&entry.payload)
                .expect("it was checked when it was read, or encoded here"),
        })
    }

    /// The index after the last.
    pub fn end_index(&self) -> u64 {
        self.last_position().map_or(0, |last| last.index + 1)
    }

    /// Bytes of the entries that are not purged: what a start applies, and a measure for snapshots.
    pub fn entries_size(&self) -> u64 {
        self.entries_size
    }

    /// Makes a vote, entries or both durable as one synced write. Entries follow the last one.
    pub fn write(
        &mut self,
        vote: Option<Vote>,
        entries: &[StoredEntry],
    ) -> Result<(), QuorumStoreError> {
        let entries: Vec<RaftEntry> = entries.iter().map(to_raft_entry).collect();
        let added = size_of(&entries);
        self.log.append(RaftBatch {
            vote: vote.as_ref().map(|vote| encode_vote(vote).into()),
            entries,
            ..RaftBatch::default()
        })?;
        self.vote = vote.or(self.vote);
        self.entries_size += added;
        Ok(())
    }

    /// Takes the entries from `index` on out: a later leader never had them.
    pub fn truncate(&mut self, index: u64) -> Result<(), QuorumStoreError> {
        assert!(
            self.purged().is_none_or(|purged| purged.index < index),
            "what a snapshot covers is committed"
        );
        if self.end_index() <= index {
            return Ok(());
        }
        self.log.append(RaftBatch {
            truncate_from: Some(index),
            ..RaftBatch::default()
        })?;
        self.entries_size = size_of(&self.log.state().entries);
        Ok(())
    }

    /// Makes `snapshot` the newest one. Entries stay until they are purged.
    pub fn save_snapshot(&mut self, snapshot: StoredSnapshot) -> Result<(), QuorumStoreError> {
        let meta = encode_snapshot_meta(snapshot.membership_position, &snapshot.membership);
        self.log.save_snapshot(RaftSnapshot {
            last: to_raft_id(snapshot.position),
            meta: meta.into(),
            data: encode_image(&snapshot.image).into(),
        })?;
        self.snapshot = Some(Arc::new(snapshot));
        Ok(())
    }

    /// Forgets the entries up to `position`, inclusive. They are in the snapshot.
    pub fn purge(&mut self, position: LogPosition) -> Result<(), QuorumStoreError> {
        let snapshot = self.snapshot.as_ref();
        assert!(
            snapshot.is_some_and(|snapshot| position.index <= snapshot.position.index),
            "only what a snapshot covers is forgotten"
        );
        if self
            .purged()
            .is_some_and(|purged| position.index <= purged.index)
        {
            return Ok(());
        }
        self.log.append(RaftBatch {
            purge_to: Some(to_raft_id(position)),
            ..RaftBatch::default()
        })?;
        self.entries_size = size_of(&self.log.state().entries);
        Ok(())
    }

    /// Proves the last write by one more, so that damage to it can be told from a torn write. To be called
    /// some milliseconds after the last write; false when there was nothing to prove.
    pub fn prove(&mut self) -> Result<bool, QuorumStoreError> {
        Ok(self.log.prove()?)
    }

    /// Whether there is room for a snapshot of the state; without it the entries stay for a while.
    pub fn has_room_for_snapshot(&self) -> bool {
        const RESERVE: u64 = 16 << 20;
        let last = self.log.snapshot();
        let last_size = last.map_or(0, |snapshot| snapshot.data.len() as u64);
        let needed = last_size + self.entries_size + RESERVE;
        self.disk
            .space()
            .is_ok_and(|space| needed <= space.free_bytes)
    }
}

/// Makes the name of `dir` durable.
fn sync_parent(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    dir.parent().map_or(Ok(()), |parent| disk.sync_dir(parent))
}

fn decode_snapshot(snapshot: &RaftSnapshot) -> Result<StoredSnapshot, CodecError> {
    let (membership_position, membership) = decode_snapshot_meta(&snapshot.meta)?;
    Ok(StoredSnapshot {
        position: to_position(snapshot.last),
        membership_position,
        membership,
        image: Arc::new(decode_image(&snapshot.data)?),
    })
}

fn to_raft_entry(entry: &StoredEntry) -> RaftEntry {
    RaftEntry {
        id: to_raft_id(entry.position),
        payload: encode_payload(&entry.payload).into(),
    }
}

/// A term has at most one leader, so its number is not needed to name an entry.
fn to_raft_id(position: LogPosition) -> RaftLogId {
    RaftLogId {
        term: position.term,
        node_id: 0,
        index: position.index,
    }
}

fn to_position(id: RaftLogId) -> LogPosition {
    LogPosition {
        term: id.term,
        index: id.index,
    }
}

fn size_of<'a>(entries: impl IntoIterator<Item = &'a RaftEntry>) -> u64 {
    let sizes = entries.into_iter().map(|entry| entry.payload.len() as u64);
    sizes.sum()
}
