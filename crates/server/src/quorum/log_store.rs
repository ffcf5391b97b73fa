use super::types::{
    RaftEntry, RaftLogId, RaftVoteType, TypeConfig, from_entry, from_position, from_vote, to_entry,
    to_io_error, to_position, to_vote,
};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use ottla_metadata::quorum::Ticket;
use ottla_metadata::{QuorumStore, QuorumStoreError};
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long to wait before a full disk is tried again.
const FULL_DISK_PAUSE: Duration = Duration::from_millis(200);

/// The store as openraft sees it. Clones share it.
///
/// Its calls block on the disk: they are made on the quorum's own thread, where nothing else waits.
#[derive(Clone)]
pub(super) struct LogStore {
    shared: Arc<Mutex<Shared>>,
    indices: Arc<Indices>,
}

/// How far the store is, for threads that must not wait while it writes.
#[derive(Debug, Default)]
pub(super) struct Indices {
    /// Of the last entry.
    pub(super) last: AtomicU64,
    /// Of the last entry that the snapshot has in it.
    pub(super) snapshot: AtomicU64,
}

impl Indices {
    fn publish(&self, store: &QuorumStore) {
        let last = store.end_index().saturating_sub(1);
        self.last.store(last, Ordering::Relaxed);
        let snapshot = store.snapshot();
        let snapshot = snapshot.map_or(0, |snapshot| snapshot.position.index);
        self.snapshot.store(snapshot, Ordering::Relaxed);
    }
}

/// The store, and the tickets of entries that were written and not applied yet, by index.
pub(super) struct Shared {
    pub(super) store: QuorumStore,
    pub(super) tickets: BTreeMap<u64, Ticket>,
}

impl LogStore {
    pub(super) fn new(store: QuorumStore) -> LogStore {
        let indices = Arc::new(Indices::default());
        indices.publish(&store);
        LogStore {
            indices,
            shared: Arc::new(Mutex::new(Shared {
                store,
                tickets: BTreeMap::new(),
            })),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock()
    }

    /// How far the store is. Never waits for a write.
    pub(super) fn indices(&self) -> &Indices {
        &self.indices
    }

    /// The store has changed: tells those who ask without waiting for it.
    pub(super) fn publish(&self, shared: &Shared) {
        self.indices.publish(&shared.store);
    }
}

impl LogStore {
    /// A full disk holds the quorum up and does not end it: nothing was written, and somebody will make
    /// room.
    async fn once_there_is_room(
        &self,
        mut write: impl FnMut(&mut Shared) -> Result<(), QuorumStoreError>,
    ) -> Result<(), io::Error> {
        loop {
            let result = {
                let shared = &mut *self.lock();
                let result = write(shared);
                self.publish(shared);
                result
            };
            match result {
                Err(error) if error.is_full() => tokio::time::sleep(FULL_DISK_PAUSE).await,
                result => return result.map_err(to_io_error),
            }
        }
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<RaftEntry>, io::Error> {
        let start = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(index) => index + 1,
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        let shared = self.lock();
        let entries = shared.store.entries(start..end);
        let ticket = |index| shared.tickets.get(&index).copied();
        Ok(entries
            .map(|entry| {
                let ticket = ticket(entry.position.index);
                from_entry(entry, ticket)
            })
            .collect())
    }

    async fn read_vote(&mut self) -> Result<Option<RaftVoteType>, io::Error> {
        Ok(self.lock().store.vote().map(from_vote))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let shared = self.lock();
        Ok(LogState {
            last_purged_log_id: shared.store.purged().map(from_position),
            last_log_id: shared.store.last_position().map(from_position),
        })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &RaftVoteType) -> Result<(), io::Error> {
        let vote = to_vote(vote);
        if self.lock().store.vote() == Some(vote) {
            return Ok(()); // A restored leader votes for itself once more; that is durable already.
        }
        self.once_there_is_room(|shared| shared.store.write(Some(vote), &[]))
            .await
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut stored = Vec::new();
        let mut tickets = Vec::new();
        for entry in entries {
            let (entry, ticket) = to_entry(entry);
            tickets.extend(ticket.map(|ticket| (entry.position.index, ticket)));
            stored.push(entry);
        }
        let result = self
            .once_there_is_room(|shared| shared.store.write(None, &stored))
            .await;
        self.lock().tickets.extend(tickets);
        callback.io_completed(match &result {
            Ok(()) => Ok(()),
            Err(error) => Err(io::Error::other(error.to_string())),
        });
        result
    }

    async fn truncate_after(&mut self, last_log_id: Option<RaftLogId>) -> Result<(), io::Error> {
        let first_gone = last_log_id.map_or(0, |id| id.index + 1);
        self.lock().tickets.split_off(&first_gone);
        self.once_there_is_room(|shared| shared.store.truncate(first_gone))
            .await
    }

    async fn purge(&mut self, log_id: RaftLogId) -> Result<(), io::Error> {
        let position = to_position(&log_id);
        self.once_there_is_room(|shared| shared.store.purge(position))
            .await
    }
}
