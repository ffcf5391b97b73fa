mod options;

mod listener;

mod handle;

mod pattern;

mod task;

pub use handle::{ConsumerHandle, PendingCommit};
pub use listener::RebalanceListener;
pub use options::{ConsumerOptions, GroupOptions};

use crate::clock::{Clock, random_seed};
use crate::core::{
    CommitError, CommittedOffsets, ConsumedRecord, ConsumerConfig, ConsumerCore, FetcherConfig,
    GroupConfig, IsolationLevel, PartitionKey, PartitionProgress, StartOffset,
};
use crate::error::ConsumeError;
use crate::pool::Pool;
use handle::{Shared, State};
use ottla_types::{ErrorCode, Offset};
use parking_lot::Mutex;
use pattern::Pattern;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use task::Lanes;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Reads topics together with the other members of its group ([`Consumer::subscribe`]), or partitions
/// that it is assigned ([`Consumer::assign`]).
///
/// Heartbeats and fetches go on in the background. Records that were given out are taken as finished
/// with when the application polls again: then their offsets are committed automatically, and then
/// partitions may move to other members.
///
/// ```no_run
/// # use ottla_client::{Client, ConsumerOptions, OffsetReset};
/// # use std::time::Duration;
/// # async fn example(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
/// let mut consumer = client.consumer(ConsumerOptions {
///     offset_reset: OffsetReset::Earliest,
///     ..ConsumerOptions::in_group("billing")
/// });
/// consumer.subscribe(["orders", "refunds"])?;
/// for _ in 0..100 {
///     for record in consumer.poll(Duration::from_secs(1)).await? {
///         println!("{} {} {:?}", record.partition, record.offset, record.value);
///     }
/// }
/// consumer.close().await?;
/// # Ok(())
/// # }
/// ```
///
/// Dropping it leaves the group in the background without committing; [`Consumer::close`] does both
/// and waits.
pub struct Consumer {
    handle: ConsumerHandle,
    pool: Arc<Pool>,
    poll_records_max: usize,
    isolation: IsolationLevel,
    pattern: Option<Pattern>,
    pattern_interval: Duration,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.handle.fmt(f)
    }
}

impl Consumer {
    pub(crate) fn start(pool: Arc<Pool>, options: ConsumerOptions) -> Consumer {
        let shared = Arc::new(Shared {
            clock: Clock::new(),
            state: Mutex::new(State {
                core: ConsumerCore::new(config(&pool, &options)),
                waiters: BTreeMap::new(),
                listener: None,
                is_over: false,
            }),
            wake: Notify::new(),
            progress: Notify::new(),
        });
        let lanes = Lanes {
            data: pool.new_lane(),
            group: pool.new_lane(),
        };
        tokio::spawn(task::run(shared.clone(), pool.clone(), lanes));
        Consumer {
            handle: ConsumerHandle { shared },
            pool,
            poll_records_max: options.poll_records_max.max(1),
            isolation: options.isolation,
            pattern: None,
            pattern_interval: options.pattern_interval,
        }
    }

    /// What other tasks can do with this consumer while it polls.
    pub fn handle(&self) -> &ConsumerHandle {
        &self.handle
    }

    /// `isolation.level`.
    pub fn isolation(&self) -> IsolationLevel {
        self.isolation
    }

    /// Joins the group to read these topics (instead of those named before) together with its other
    /// members. Returns at once; the first [`Consumer::poll`] waits for the partitions. A topic that
    /// does not exist is read when it does.
    pub fn subscribe<T: Into<Arc<str>>>(
        &mut self,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<(), ConsumeError> {
        self.pattern = None;
        match subscribe(
            &self.handle.shared,
            topics.into_iter().map(Into::into).collect(),
        ) {
            true => Ok(()),
            false => Err(ConsumeError::NoGroup),
        }
    }

    /// As [`Consumer::subscribe`] to all topics whose names are accepted by `matches`, those that are
    /// still to be made too; Kafka's internal topics are not among them. While the application polls,
    /// the topics are looked at every [`ConsumerOptions::pattern_interval`].
    ///
    /// ```no_run
    /// # use ottla_client::{ConsumeError, Consumer};
    /// # fn example(mut consumer: Consumer) -> Result<(), ConsumeError> {
    /// consumer.subscribe_matching(|topic| topic.starts_with("orders-"))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe_matching(
        &mut self,
        matches: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Result<(), ConsumeError> {
        if self.handle.shared.state.lock().core.group().is_none() {
            return Err(ConsumeError::NoGroup);
        }
        self.pattern = Some(Pattern::new(Box::new(matches), self.pattern_interval));
        Ok(())
    }

    /// Leaves the group and reads nothing of what it gave. With automatic commits what was given out
    /// is committed first.
    pub fn unsubscribe(&mut self) -> Result<(), ConsumeError> {
        self.subscribe(Vec::<Arc<str>>::new())
    }

    /// Has this listener told when partitions of subscribed topics come and go.
    pub fn on_rebalance(&mut self, listener: impl RebalanceListener) {
        self.handle.shared.state.lock().listener = Some(Box::new(listener));
    }

    /// Reads a partition from `start` on, without the group; moves one that is read already.
    pub fn assign(&mut self, topic: impl Into<Arc<str>>, partition: i32, start: StartOffset) {
        let key = PartitionKey::new(topic, partition);
        let shared = &self.handle.shared;
        let now = shared.clock.now().mono;
        shared.state.lock().core.assign(key, start, now);
        shared.wake.notify_one();
    }

    /// Reads a partition from the offset that the group has committed, without being a member: nobody
    /// else may be one then.
    pub fn assign_committed(
        &mut self,
        topic: impl Into<Arc<str>>,
        partition: i32,
    ) -> Result<(), ConsumeError> {
        let key = PartitionKey::new(topic, partition);
        let shared = &self.handle.shared;
        let mut state = shared.state.lock();
        if state.core.group().is_none() {
            return Err(ConsumeError::NoGroup);
        }
        state.core.assign_committed(key, shared.clock.now().mono);
        shared.wake.notify_one();
        Ok(())
    }

    /// Reads all partitions that the topic has now, and says which they are.
    pub async fn assign_topic(
        &mut self,
        topic: impl Into<Arc<str>>,
        start: StartOffset,
    ) -> Result<Vec<PartitionKey>, ConsumeError> {
        let topic = topic.into();
        let count = self.partitions_count(&topic).await?;
        let keys: Vec<PartitionKey> = (0..count as i32)
            .map(|partition| PartitionKey::new(topic.clone(), partition))
            .collect();
        let shared = &self.handle.shared;
        let mut state = shared.state.lock();
        for key in &keys {
            state
                .core
                .assign(key.clone(), start, shared.clock.now().mono);
        }
        shared.wake.notify_one();
        Ok(keys)
    }

    /// How many partitions a topic has. Waits at most the client's operation timeout.
    async fn partitions_count(&mut self, topic: &Arc<str>) -> Result<u32, ConsumeError> {
        let give_up_at = Instant::now() + self.pool.options().operation_timeout;
        let shared = &self.handle.shared;
        let now = shared.clock.now().mono;
        shared.state.lock().core.want_topic(topic, now);
        shared.wake.notify_one();
        loop {
            let mut progress = std::pin::pin!(shared.progress.notified());
            progress.as_mut().enable();
            let (code, reason) = {
                let state = shared.state.lock();
                let metadata = state.core.fetcher().metadata();
                if let Some(count) = metadata.partitions_count(topic).filter(|count| *count > 0) {
                    return Ok(count);
                }
                let code = metadata.topic(topic).and_then(|topic| topic.error);
                let reason = code.map(|code| code.name().to_owned());
                let reason = reason.or_else(|| metadata.last_failure().map(str::to_owned));
                (code, reason)
            };
            // A topic that does not exist will not appear by itself: consumers do not create it.
            let hopeless = code.is_some_and(|code| {
                !code.is_retriable() || code == ErrorCode::UnknownTopicOrPartition
            });
            if hopeless || timeout_at(give_up_at, progress).await.is_err() {
                let reason = reason.unwrap_or_else(|| "no answer".to_owned());
                return Err(ConsumeError::Topic {
                    topic: topic.to_string(),
                    code,
                    reason,
                });
            }
        }
    }

    /// Reads a partition no more. Not for those that the group gave.
    pub fn unassign(&mut self, key: &PartitionKey) {
        self.handle.shared.state.lock().core.unassign(key);
        self.handle.shared.wake.notify_one();
    }

    /// See [`ConsumerHandle::seek`].
    pub fn seek(&mut self, key: &PartitionKey, start: StartOffset) -> bool {
        self.handle.seek(key, start)
    }

    /// See [`ConsumerHandle::pause`].
    pub fn pause(&mut self, key: &PartitionKey) {
        self.handle.pause(key);
    }

    /// See [`ConsumerHandle::resume`].
    pub fn resume(&mut self, key: &PartitionKey) {
        self.handle.resume(key);
    }

    /// See [`ConsumerHandle::assignment`].
    pub fn assignment(&self) -> Vec<PartitionKey> {
        self.handle.assignment()
    }

    /// See [`ConsumerHandle::progress`].
    pub fn progress(&self, key: &PartitionKey) -> Option<PartitionProgress> {
        self.handle.progress(key)
    }

    /// See [`ConsumerHandle::commit`].
    pub async fn commit(&self) -> Result<(), CommitError> {
        self.handle.commit().await
    }

    /// See [`ConsumerHandle::commit_later`].
    pub fn commit_later(&self) -> PendingCommit {
        self.handle.commit_later()
    }

    /// See [`ConsumerHandle::commit_offsets`].
    pub async fn commit_offsets(
        &self,
        offsets: impl IntoIterator<Item = (PartitionKey, Offset)>,
    ) -> Result<(), CommitError> {
        self.handle.commit_offsets(offsets).await
    }

    /// See [`ConsumerHandle::committed`].
    pub async fn committed(
        &self,
        partitions: impl IntoIterator<Item = PartitionKey>,
    ) -> Result<CommittedOffsets, CommitError> {
        self.handle.committed(partitions).await
    }

    /// See [`ConsumerHandle::waiting_for`].
    pub fn waiting_for(&self) -> Option<String> {
        self.handle.waiting_for()
    }

    /// Whether everything was read that was in the partitions when the broker last answered. False
    /// as long as it has not answered for each of them.
    pub fn is_at_end(&self) -> bool {
        self.handle.shared.state.lock().core.is_at_end()
    }

    /// The next records, of one partition; none if `wait` passes without any. An error is about one
    /// partition, which then stops, or about the group; the next call goes on with what is left. May be
    /// cancelled: nothing is lost.
    pub async fn poll(&mut self, wait: Duration) -> Result<Vec<ConsumedRecord>, ConsumeError> {
        self.poll_at_most(self.poll_records_max, wait).await
    }

    /// The next record, however long it takes; `None` when nothing is assigned or subscribed. May be
    /// cancelled: nothing is lost.
    pub async fn next(&mut self) -> Result<Option<ConsumedRecord>, ConsumeError> {
        const WAIT: Duration = Duration::from_secs(3600);
        loop {
            {
                let state = self.handle.shared.state.lock();
                let assigned = state.core.fetcher().assignment().next().is_some();
                if !assigned && !state.core.is_subscribed() && self.pattern.is_none() {
                    return Ok(None);
                }
            }
            if let Some(record) = self.poll_at_most(1, WAIT).await?.pop() {
                return Ok(Some(record));
            }
        }
    }

    /// As [`Consumer::poll`], with a limit of its own to how many records come.
    pub async fn poll_at_most(
        &mut self,
        max: usize,
        wait: Duration,
    ) -> Result<Vec<ConsumedRecord>, ConsumeError> {
        let shared = &self.handle.shared;
        let polling = Polling::begin(shared);
        let give_up_at = Instant::now() + wait;
        let mut has_called = false;
        loop {
            // Registered before the look at the state: what comes in between is not missed.
            let mut progress = std::pin::pin!(shared.progress.notified());
            progress.as_mut().enable();
            let mut wait_until = give_up_at;
            if let Some(pattern) = &mut self.pattern {
                if let Some(topics) = pattern.step(shared, &self.pool) {
                    subscribe(shared, topics);
                }
                wait_until = wait_until.min(pattern.next());
            }
            let (records, wake) = {
                let mut state = shared.state.lock();
                let records = state.core.take_records(max)?;
                let wake = !state.core.has_records();
                (records, wake)
            };
            // The next fetch is under way while the application works; and what was finished with
            // can be committed.
            if wake && !(records.is_empty() && has_called) {
                shared.wake.notify_one();
                has_called = true;
            }
            if !records.is_empty() {
                return Ok(records);
            }
            let is_over = timeout_at(wait_until, progress).await.is_err();
            if is_over && give_up_at <= Instant::now() {
                drop(polling);
                return Ok(Vec::new());
            }
        }
    }

    /// Commits what was given out (unless automatic commits are off), leaves the group and ends the
    /// consumer and its connections. Waits at most the client's request timeout.
    pub async fn close(self) -> Result<(), CommitError> {
        let shared = self.handle.shared.clone();
        let now = shared.clock.now().mono;
        shared.state.lock().core.close(now);
        shared.wake.notify_one();
        loop {
            let mut progress = std::pin::pin!(shared.progress.notified());
            progress.as_mut().enable();
            {
                let mut state = shared.state.lock();
                if state.is_over {
                    return state.core.take_close_error().map_or(Ok(()), Err);
                }
            }
            progress.await;
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let shared = &self.handle.shared;
        let now = shared.clock.now().mono;
        shared.state.lock().core.abandon(now);
        shared.wake.notify_one();
    }
}

/// False without a group.
fn subscribe(shared: &Shared, topics: BTreeSet<Arc<str>>) -> bool {
    let now = shared.clock.now().mono;
    let subscribed = shared.state.lock().core.subscribe(topics, now);
    shared.wake.notify_one();
    subscribed
}

/// The application is in poll as long as this lives.
struct Polling<'a> {
    shared: &'a Shared,
}

impl<'a> Polling<'a> {
    fn begin(shared: &'a Shared) -> Polling<'a> {
        let now = shared.clock.now().mono;
        shared.state.lock().core.at_poll(now);
        Polling { shared }
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        let now = self.shared.clock.now().mono;
        self.shared.state.lock().core.poll_left(now);
    }
}

fn config(pool: &Pool, options: &ConsumerOptions) -> ConsumerConfig {
    let client = pool.options();
    let fetcher = FetcherConfig {
        isolation: options.isolation,
        offset_reset: options.offset_reset,
        fetch_bytes_min: options.fetch_bytes_min,
        fetch_bytes_max: options.fetch_bytes_max,
        partition_bytes_max: options.partition_bytes_max,
        fetch_wait_max: options.fetch_wait_max,
        buffer_bytes_max: options.buffer_bytes_max,
        sessions: options.sessions,
        request_timeout: client.request_timeout,
        backoff: client.backoff,
        seed: random_seed(),
        ..FetcherConfig::default()
    };
    let group = options.group.as_ref().map(|group| GroupConfig {
        group_id: group.group_id.clone(),
        instance_id: group.instance_id.clone(),
        session_timeout: group.session_timeout,
        heartbeat_interval: group.heartbeat_interval,
        poll_interval_max: group.poll_interval_max,
        assignors: group.assignors.clone(),
        rack: group.rack.clone(),
        require_stable: options.isolation == IsolationLevel::ReadCommitted,
        request_timeout: client.request_timeout,
        backoff: client.backoff,
        seed: random_seed(),
    });
    ConsumerConfig {
        fetcher,
        auto_commit_interval: options.group.as_ref().and_then(|g| g.auto_commit_interval),
        group,
        operation_timeout: client.operation_timeout,
        batch_bytes_max: options.batch_bytes_max,
    }
}
