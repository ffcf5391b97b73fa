use super::listener::AnyListener;
use crate::clock::Clock;
use crate::core::{
    CommitError, CommittedOffset, CommittedOffsets, ConsumerCore, OffsetsId, OffsetsOutcome,
    PartitionKey, PartitionProgress, StartOffset,
};
use ottla_types::Offset;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{Notify, oneshot};

/// What a consumer, its handles and its task share.
pub(super) struct Shared {
    pub(super) clock: Clock,
    pub(super) state: Mutex<State>,
    /// Wakes the task.
    pub(super) wake: Notify,
    /// Wakes the application.
    pub(super) progress: Notify,
}

pub(super) struct State {
    pub(super) core: ConsumerCore,
    pub(super) waiters: BTreeMap<OffsetsId, oneshot::Sender<OffsetsOutcome>>,
    pub(super) listener: Option<Box<dyn AnyListener>>,
    /// The task has ended.
    pub(super) is_over: bool,
}

impl State {
    /// Tells outcomes to those who wait for them.
    pub(super) fn tell_outcomes(&mut self) {
        for (id, outcome) in self.core.take_outcomes() {
            if let Some(waiter) = self.waiters.remove(&id) {
                // Who has gone does not want to know.
                let _ = waiter.send(outcome);
            }
        }
    }
}

/// What can be done with a consumer from elsewhere, while it polls: in another task, in a
/// [`RebalanceListener`](crate::RebalanceListener). Cheap to clone; does not keep the consumer alive.
#[derive(Clone)]
pub struct ConsumerHandle {
    pub(super) shared: Arc<Shared>,
}

impl std::fmt::Debug for ConsumerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.assignment()).finish()
    }
}

/// A commit on its way. Await it for its outcome; dropping it changes nothing for the commit.
#[derive(Debug)]
pub struct PendingCommit {
    outcome: Result<oneshot::Receiver<OffsetsOutcome>, CommitError>,
}

impl PendingCommit {
    async fn outcome(self) -> OffsetsOutcome {
        self.outcome?.await.unwrap_or(Err(CommitError::Closed))
    }
}

impl IntoFuture for PendingCommit {
    type Output = Result<(), CommitError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { self.outcome().await.map(|_| ()) })
    }
}

impl ConsumerHandle {
    /// Commits the positions of all partitions that are read: behind every record that was given out.
    /// To commit less, see [`ConsumerHandle::commit_offsets`].
    pub async fn commit(&self) -> Result<(), CommitError> {
        self.commit_later().await
    }

    /// As [`ConsumerHandle::commit`], but does not wait: the commit is under way when this returns.
    pub fn commit_later(&self) -> PendingCommit {
        let positions = self.shared.state.lock().core.positions();
        let offsets = positions
            .into_iter()
            .map(|(key, offset)| (key, CommittedOffset::at(offset)));
        self.begin(offsets.collect())
    }

    /// Commits these offsets: of each partition the next one that is to be read.
    pub async fn commit_offsets(
        &self,
        offsets: impl IntoIterator<Item = (PartitionKey, Offset)>,
    ) -> Result<(), CommitError> {
        let offsets = offsets
            .into_iter()
            .map(|(key, offset)| (key, CommittedOffset::at(offset)));
        self.begin(offsets.collect()).await
    }

    fn begin(&self, offsets: BTreeMap<PartitionKey, CommittedOffset>) -> PendingCommit {
        let mut state = self.shared.state.lock();
        let now = self.shared.clock.now().mono;
        let begun = state.core.commit(offsets, now);
        self.wait_for(&mut state, begun)
    }

    fn wait_for(&self, state: &mut State, begun: Result<OffsetsId, CommitError>) -> PendingCommit {
        let begun = if state.is_over {
            Err(CommitError::Closed)
        } else {
            begun
        };
        let outcome = begun.map(|id| {
            let (sender, receiver) = oneshot::channel();
            state.waiters.insert(id, sender);
            receiver
        });
        self.shared.wake.notify_one();
        PendingCommit { outcome }
    }

    /// What the group has committed for these partitions; `None` for nothing.
    pub async fn committed(
        &self,
        partitions: impl IntoIterator<Item = PartitionKey>,
    ) -> Result<CommittedOffsets, CommitError> {
        let pending = {
            let mut state = self.shared.state.lock();
            let now = self.shared.clock.now().mono;
            let begun = state.core.fetch_committed(partitions, now);
            self.wait_for(&mut state, begun)
        };
        pending.outcome().await
    }

    /// Goes on elsewhere in a partition that is read. False if it is not. Records that were given out
    /// already are not taken back.
    ///
    /// ```no_run
    /// # use ottla_client::{ConsumerHandle, Offset, PartitionKey, StartOffset};
    /// # fn example(consumer: &ConsumerHandle) {
    /// let first = PartitionKey::new("orders", 0);
    /// consumer.seek(&first, StartOffset::At(Offset::new(17)));
    /// # }
    /// ```
    pub fn seek(&self, key: &PartitionKey, start: StartOffset) -> bool {
        let now = self.shared.clock.now().mono;
        let moved = self.shared.state.lock().core.seek(key, start, now);
        self.shared.wake.notify_one();
        moved
    }

    /// Fetches nothing of a partition until [`ConsumerHandle::resume`]. What was fetched still comes.
    pub fn pause(&self, key: &PartitionKey) {
        self.shared.state.lock().core.pause(key);
    }

    /// Ends a pause.
    pub fn resume(&self, key: &PartitionKey) {
        self.shared.state.lock().core.resume(key);
        self.shared.wake.notify_one();
    }

    /// The partitions that are read.
    pub fn assignment(&self) -> Vec<PartitionKey> {
        let state = self.shared.state.lock();
        state.core.fetcher().assignment().cloned().collect()
    }

    /// How far a partition has been read; `None` if it is not assigned. The position is behind the last
    /// record that was given out.
    pub fn progress(&self, key: &PartitionKey) -> Option<PartitionProgress> {
        self.shared.state.lock().core.progress(key)
    }

    /// The member's id and generation, while it is a member of its group.
    pub fn member(&self) -> Option<(String, i32)> {
        let state = self.shared.state.lock();
        let (id, generation) = state.core.group()?.member()?;
        Some((id.to_owned(), generation))
    }

    /// What stands in the way of reading: an address that does not answer, for example. `None` when
    /// nothing does, also when there simply are no new records.
    pub fn waiting_for(&self) -> Option<String> {
        self.shared
            .state
            .lock()
            .core
            .waiting_for()
            .map(str::to_owned)
    }
}
