use crate::clock::{Clock, random_seed};
use crate::core::{
    Answer, Call, CallId, ConsumedRecord, FetcherConfig, FetcherCore, IsolationLevel, OffsetReset,
    PartitionKey, PartitionProgress, StartOffset,
};
use crate::error::ConsumeError;
use crate::pool::{Lane, Pool};
use ottla_records::Decompressor;
use ottla_types::{ErrorCode, Mono};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How a consumer fetches. The defaults are the Java client's.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// `isolation.level`.
    pub isolation: IsolationLevel,
    /// `auto.offset.reset`: what to do when the position is not in the log.
    pub offset_reset: OffsetReset,
    /// `fetch.min.bytes`.
    pub fetch_bytes_min: usize,
    /// `fetch.max.bytes`.
    pub fetch_bytes_max: usize,
    /// `max.partition.fetch.bytes`.
    pub partition_bytes_max: usize,
    /// `fetch.max.wait.ms`.
    pub fetch_wait_max: Duration,
    /// Fetched but not yet taken bytes at which fetching pauses.
    pub buffer_bytes_max: usize,
    /// Whether to use fetch sessions.
    pub sessions: bool,
    /// Largest batch after decompression, in bytes; a larger one is an error.
    pub batch_bytes_max: usize,
}

impl Default for ConsumerOptions {
    fn default() -> ConsumerOptions {
        let core = FetcherConfig::default();
        ConsumerOptions {
            isolation: core.isolation,
            offset_reset: core.offset_reset,
            fetch_bytes_min: core.fetch_bytes_min,
            fetch_bytes_max: core.fetch_bytes_max,
            partition_bytes_max: core.partition_bytes_max,
            fetch_wait_max: core.fetch_wait_max,
            buffer_bytes_max: core.buffer_bytes_max,
            sessions: core.sessions,
            batch_bytes_max: ottla_records::DECOMPRESSED_BYTES_MAX_DEFAULT,
        }
    }
}

/// Reads the partitions it is assigned, without a group. Nothing happens in the background except
/// that a fetch that was sent is answered: call [`Consumer::poll`] or [`Consumer::next`] again and
/// again.
///
/// ```no_run
/// # use ottla_client::{Client, ConsumerOptions, PartitionKey, StartOffset};
/// # use std::time::Duration;
/// # async fn example(client: &Client) -> Result<(), ottla_client::ConsumeError> {
/// let mut consumer = client.consumer(ConsumerOptions::default());
/// consumer.assign("flights", 0, StartOffset::Latest);
/// loop {
///     for record in consumer.poll(Duration::from_secs(1)).await? {
///         println!("{} {:?}", record.offset, record.value);
///     }
/// }
/// # }
/// ```
pub struct Consumer {
    pool: Arc<Pool>,
    lane: Lane,
    clock: Clock,
    core: FetcherCore,
    answers: mpsc::UnboundedSender<(CallId, Answer)>,
    answered: mpsc::UnboundedReceiver<(CallId, Answer)>,
    decompressor: Decompressor,
    /// Records of the chunk that is being given out one by one.
    current: VecDeque<ConsumedRecord>,
    version: u64,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.core.assignment()).finish()
    }
}

impl Consumer {
    pub(crate) fn new(pool: Arc<Pool>, options: ConsumerOptions) -> Consumer {
        let client = pool.options();
        let config = FetcherConfig {
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
        let (answers, answered) = mpsc::unbounded_channel();
        Consumer {
            lane: pool.new_lane(),
            pool,
            clock: Clock::new(),
            core: FetcherCore::new(config),
            answers,
            answered,
            decompressor: Decompressor::with_limit(options.batch_bytes_max),
            current: VecDeque::new(),
            version: 0,
        }
    }

    /// Reads a partition from `start` on; moves one that is read already.
    pub fn assign(&mut self, topic: impl Into<Arc<str>>, partition: i32, start: StartOffset) {
        let key = PartitionKey::new(topic, partition);
        self.current.retain(|record| record.partition != key);
        self.core.assign(key, start, self.clock.now().mono);
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
        for key in &keys {
            self.core.assign(key.clone(), start, self.clock.now().mono);
        }
        Ok(keys)
    }

    /// How many partitions a topic has. Waits at most the client's operation timeout.
    async fn partitions_count(&mut self, topic: &Arc<str>) -> Result<u32, ConsumeError> {
        let give_up_at = Instant::now() + self.pool.options().operation_timeout;
        self.core.want_topic(topic, self.clock.now().mono);
        loop {
            let metadata = self.core.metadata();
            if let Some(count) = metadata.partitions_count(topic).filter(|count| *count > 0) {
                return Ok(count);
            }
            let code = metadata.topic(topic).and_then(|topic| topic.error);
            let reason = code.map(|code| code.name().to_owned());
            let reason = reason.or_else(|| metadata.last_failure().map(str::to_owned));
            // A topic that does not exist will not appear by itself: consumers do not create it.
            let hopeless = code.is_some_and(|code| {
                !code.is_retriable() || code == ErrorCode::UnknownTopicOrPartition
            });
            let waited = async {
                if hopeless {
                    false
                } else {
                    timeout_at(give_up_at, self.step()).await.is_ok()
                }
            };
            if !waited.await {
                let reason = reason.unwrap_or_else(|| "no answer".to_owned());
                return Err(ConsumeError::Topic {
                    topic: topic.to_string(),
                    code,
                    reason,
                });
            }
        }
    }

    /// Reads a partition no more.
    pub fn unassign(&mut self, key: &PartitionKey) {
        self.current.retain(|record| record.partition != *key);
        self.core.unassign(key);
    }

    /// Fetches nothing of a partition until [`Consumer::resume`]. What was fetched still comes.
    pub fn pause(&mut self, key: &PartitionKey) {
        self.core.pause(key);
    }

    /// Ends a pause.
    pub fn resume(&mut self, key: &PartitionKey) {
        self.core.resume(key);
    }

    /// The partitions that are read.
    pub fn assignment(&self) -> Vec<PartitionKey> {
        self.core.assignment().cloned().collect()
    }

    /// How far a partition has been read. The position is behind the records that
    /// [`Consumer::poll`] gave out (also those of the chunk that [`Consumer::next`] is giving out).
    pub fn progress(&self, key: &PartitionKey) -> Option<PartitionProgress> {
        self.core.progress(key)
    }

    /// What stands in the way of reading: an address that does not answer, for example. `None` when
    /// nothing does, also when there simply are no new records.
    pub fn waiting_for(&self) -> Option<&str> {
        self.core.waiting_for()
    }

    /// Whether everything was read that was in the partitions when the broker last answered. False
    /// as long as it has not answered for each of them.
    pub fn is_at_end(&self) -> bool {
        self.current.is_empty()
            && self.core.assignment().all(|key| {
                self.core.progress(key).is_some_and(|progress| {
                    let end = match self.core.config().isolation {
                        IsolationLevel::ReadUncommitted => progress.high_watermark,
                        IsolationLevel::ReadCommitted => progress.last_stable_offset,
                    };
                    end.is_some() && progress.position >= end
                })
            })
    }

    /// The next records, of one partition; none if `wait` passes without any. An error is about one
    /// partition, which then stops; the next call goes on with the others. May be cancelled: nothing
    /// is lost.
    pub async fn poll(&mut self, wait: Duration) -> Result<Vec<ConsumedRecord>, ConsumeError> {
        if !self.current.is_empty() {
            return Ok(std::mem::take(&mut self.current).into());
        }
        let give_up_at = Instant::now() + wait;
        loop {
            let records = self.take_records()?;
            if !records.is_empty() {
                // The next fetch is under way while the application works.
                self.make_calls();
                return Ok(records);
            }
            if timeout_at(give_up_at, self.step()).await.is_err() {
                return Ok(Vec::new());
            }
        }
    }

    /// The next record, however long it takes; `None` when no partition is assigned. May be
    /// cancelled: nothing is lost.
    pub async fn next(&mut self) -> Result<Option<ConsumedRecord>, ConsumeError> {
        const WAIT: Duration = Duration::from_secs(3600);
        loop {
            if let Some(record) = self.current.pop_front() {
                return Ok(Some(record));
            }
            if self.core.assignment().next().is_none() {
                return Ok(None);
            }
            self.current = self.poll(WAIT).await?.into();
        }
    }

    /// What has been fetched already.
    fn take_records(&mut self) -> Result<Vec<ConsumedRecord>, ConsumeError> {
        let mut records = Vec::new();
        while let Some(chunk) = self.core.take_chunk() {
            let isolation = self.core.config().isolation;
            match chunk.records(isolation, &mut self.decompressor, &mut records) {
                Ok(()) if records.is_empty() => {}
                Ok(()) => return Ok(records),
                Err(error) => {
                    self.core.on_unreadable(&chunk, error.to_string());
                    break;
                }
            }
        }
        // What was readable before the fault goes first.
        if records.is_empty()
            && let Some(fault) = self.core.take_fault()
        {
            return Err(fault.into());
        }
        Ok(records)
    }

    fn make_calls(&mut self) -> Option<Mono> {
        let now = self.clock.now().mono;
        let mut calls: Vec<Call> = Vec::new();
        self.core.poll(now, &mut calls);
        for call in calls {
            self.pool.send(call, self.lane, &self.answers);
        }
        self.core.next_deadline(now)
    }

    /// Makes the calls that are due and waits for an answer or the next deadline.
    async fn step(&mut self) {
        let until = self.make_calls().map(|at| self.clock.instant(at));
        tokio::select! {
            answer = self.answered.recv() => {
                let mut next = answer;
                while let Some((id, answer)) = next {
                    self.core.on_answer(id, answer, self.clock.now().mono);
                    next = self.answered.try_recv().ok();
                }
            }
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {}
        }
        let metadata = self.core.metadata();
        if metadata.version() != self.version {
            self.version = metadata.version();
            self.pool.learn(metadata.brokers());
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.pool.close_lane(self.lane);
    }
}
