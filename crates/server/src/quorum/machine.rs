use super::events::Events;
use super::log_store::LogStore;
use super::types::{
    RaftLogId, RaftStoredMembership, TypeConfig, from_position, from_stored_membership, to_entry,
    to_io_error,
};
use futures_util::{Stream, StreamExt};
use openraft::alias::{SnapshotMetaOf, SnapshotOf};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{OptionalSend, RaftSnapshotBuilder};
use ottla_metadata::{StateMachine, StoredSnapshot};
use std::io;
use std::sync::Arc;

/// `metadata`'s state machine as openraft sees it; every committed entry becomes an event.
pub(super) struct Machine {
    inner: StateMachine,
    log_store: LogStore,
    events: Arc<Events>,
}

/// A snapshot on its way; its image is shared, not copied.
type SnapshotData = Arc<StoredSnapshot>;

impl Machine {
    /// Begins at the snapshot of the store, and says so.
    pub(super) fn new(log_store: LogStore, events: Arc<Events>) -> Machine {
        let snapshot = log_store.lock().store.snapshot().cloned();
        let machine = Machine {
            inner: StateMachine::new(snapshot.as_deref()),
            log_store,
            events,
        };
        machine.events.image_replaced(&machine.inner);
        machine
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<RaftLogId>, RaftStoredMembership), io::Error> {
        let (position, membership) = self.inner.membership();
        let applied = self.inner.applied().map(from_position);
        Ok((applied, from_stored_membership(position, membership)))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let (entry, ticket) = to_entry(entry);
            let applied = self.inner.apply(&entry, ticket).map_err(to_io_error)?;
            let entries_size = {
                let mut shared = self.log_store.lock();
                shared.tickets.remove(&entry.position.index);
                shared.store.entries_size()
            };
            self.events.applied(applied, &self.inner, entries_size);
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            snapshot: self.inner.snapshot(),
            log_store: self.log_store.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMetaOf<TypeConfig>,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        self.inner = StateMachine::new(Some(&snapshot));
        {
            let shared = &mut *self.log_store.lock();
            let stored = shared.store.snapshot().map(|stored| stored.position);
            if stored < Some(snapshot.position) {
                let snapshot = (*snapshot).clone();
                shared.store.save_snapshot(snapshot).map_err(to_io_error)?;
                self.log_store.publish(shared);
            }
        }
        self.events.image_replaced(&self.inner);
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<TypeConfig, SnapshotData>>, io::Error> {
        let snapshot = self.log_store.lock().store.snapshot().cloned();
        Ok(snapshot.map(to_raft_snapshot))
    }
}

/// Makes the state at one moment durable.
pub(super) struct SnapshotBuilder {
    snapshot: Option<StoredSnapshot>,
    log_store: LogStore,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, SnapshotData>, io::Error> {
        let snapshot = self
            .snapshot
            .take()
            .ok_or_else(|| io::Error::other("nothing was applied that a snapshot could hold"))?;
        let shared = &mut *self.log_store.lock();
        shared.store.save_snapshot(snapshot).map_err(to_io_error)?;
        self.log_store.publish(shared);
        let stored = shared.store.snapshot().cloned();
        stored
            .map(to_raft_snapshot)
            .ok_or_else(|| io::Error::other("the snapshot just saved is not there"))
    }
}

fn to_raft_snapshot(snapshot: SnapshotData) -> SnapshotOf<TypeConfig, SnapshotData> {
    let membership =
        from_stored_membership(Some(snapshot.membership_position), &snapshot.membership);
    openraft::Snapshot {
        meta: openraft::SnapshotMeta {
            last_log_id: Some(from_position(snapshot.position)),
            last_membership: membership,
        },
        snapshot,
    }
}
