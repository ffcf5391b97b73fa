use super::types::{
    RaftEntry, RaftLogId, RaftVoteType, TypeConfig, from_entry, from_position, from_vote, to_entry,
    to_io_error, to_vote,
};
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use ottla_metadata::quorum::Ticket;
use ottla_metadata::{LogPosition, QuorumStore};
use parking_lot::{Mutex, MutexGuard};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

/// The store as openraft sees it. Clones share it.
///
/// Its calls block on the disk: they are made on the quorum's own thread, where nothing else waits.
#[derive(Clone)]
pub(super) struct LogStore {
    shared: Arc<Mutex<Shared>>,
}

/// The store, and the tickets of entries that were written and not applied yet, by index.
pub(super) struct Shared {
    pub(super) store: QuorumStore,
    pub(super) tickets: BTreeMap<u64, Ticket>,
}

impl LogStore {
    pub(super) fn new(store: QuorumStore) -> LogStore {
        LogStore {
            shared: Arc::new(Mutex::new(Shared {
                store,
                tickets: BTreeMap::new(),
            })),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock()
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
            .map(|entry| from_entry(entry, ticket(entry.position.index)))
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
        self.lock()
            .store
            .save_vote(to_vote(vote))
            .map_err(to_io_error)
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
        let result = self.lock().append(entries);
        callback.io_completed(match &result {
            Ok(()) => Ok(()),
            Err(error) => Err(io::Error::other(error.to_string())),
        });
        result
    }

    async fn truncate_after(&mut self, last_log_id: Option<RaftLogId>) -> Result<(), io::Error> {
        let first_gone = last_log_id.map_or(0, |id| id.index + 1);
        let shared = &mut *self.lock();
        shared.tickets.split_off(&first_gone);
        shared.store.truncate(first_gone).map_err(to_io_error)
    }

    async fn purge(&mut self, log_id: RaftLogId) -> Result<(), io::Error> {
        let position = LogPosition {
            term: *log_id.leader_id,
            index: log_id.index,
        };
        self.lock().store.purge(position).map_err(to_io_error)
    }
}

impl Shared {
    fn append(&mut self, entries: impl IntoIterator<Item = RaftEntry>) -> Result<(), io::Error> {
        let mut stored = Vec::new();
        let mut tickets = Vec::new();
        for entry in entries {
            let (entry, ticket) = to_entry(entry);
            tickets.extend(ticket.map(|ticket| (entry.position.index, ticket)));
            stored.push(entry);
        }
        self.store.append(stored).map_err(to_io_error)?;
        self.tickets.extend(tickets);
        Ok(())
    }
}
