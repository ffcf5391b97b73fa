use crate::clock::{Clock, random_seed};
use crate::core::{
    Acks, Answer, AppendError, Appended, BatchId, BatchOutcome, Call, CallId, PartitionKey,
    ProducerConfig, ProducerCore, ProducerStats,
};
use crate::error::SendError;
use crate::pool::{Lane, Pool};
use crate::record::Record;
use ottla_records::{Codec, CompressionLevel, Header};
use ottla_types::{Offset, Timestamp};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

/// How a producer works. The defaults lose and repeat nothing: acks=all, idempotent.
///
/// ```
/// use ottla_client::{Codec, ProducerOptions};
/// use std::time::Duration;
///
/// let options = ProducerOptions {
///     codec: Codec::Zstd,
///     linger: Duration::from_millis(50),
///     ..ProducerOptions::default()
/// };
/// assert!(options.idempotent);
/// ```
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// `acks`.
    pub acks: Acks,
    /// `enable.idempotence`; without effect unless acks is [`Acks::All`].
    pub idempotent: bool,
    /// `compression.type`.
    pub codec: Codec,
    /// `compression.*.level`; `None` is the codec's default.
    pub level: CompressionLevel,
    /// `linger.ms`: how long a batch waits for more records.
    pub linger: Duration,
    /// `batch.size` in bytes, before compression.
    pub batch_bytes: usize,
    /// `max.request.size` in bytes, before compression: largest record and largest request.
    pub request_bytes_max: usize,
    /// `buffer.memory`: bytes of undelivered records at which [`Producer::enqueue`] waits.
    pub buffer_bytes_max: usize,
    /// `max.in.flight.requests.per.connection`; at most 5 with idempotence.
    pub in_flight_max: usize,
    /// `delivery.timeout.ms`: from `enqueue` to the end, whatever it is.
    pub delivery_timeout: Duration,
    /// Whether the broker may create topics that do not exist.
    pub allow_auto_topic_creation: bool,
}

impl Default for ProducerOptions {
    fn default() -> ProducerOptions {
        let core = ProducerConfig::default();
        ProducerOptions {
            acks: core.acks,
            idempotent: core.idempotent,
            codec: core.codec,
            level: core.level,
            linger: core.linger,
            batch_bytes: core.batch_bytes,
            request_bytes_max: core.request_bytes_max,
            buffer_bytes_max: 32 << 20,
            in_flight_max: core.in_flight_max,
            delivery_timeout: core.delivery_timeout,
            allow_auto_topic_creation: core.allow_auto_topic_creation,
        }
    }
}

/// Where a record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Its place there; `None` when the broker does not say (acks=0, or it had the record already and
    /// no longer knows where).
    pub offset: Option<Offset>,
    /// Its timestamp: the producer's, or the broker's if the topic wants that.
    pub timestamp: Timestamp,
}

/// Why [`Producer::try_enqueue`] did not take a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TryEnqueueError {
    /// It would have to wait: the buffer is full, or the topic is still being looked up.
    #[error("the record would have to wait")]
    Full(Box<Record>),
    /// It will never be taken.
    #[error("{0}")]
    Refused(SendError),
}

/// Sends records. Cheap to share behind an `Arc`; all methods take `&self`.
///
/// Dropping it lets what was taken go on in the background; [`Producer::close`] waits for it.
pub struct Producer {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer")
            .field("stats", &self.stats())
            .finish()
    }
}

/// What the producer's task and its users share.
struct Shared {
    clock: Clock,
    state: Mutex<State>,
    /// Wakes the task.
    wake: Notify,
    /// Wakes users that wait for metadata or for the end of a flush.
    progress: Notify,
    buffer: Arc<Semaphore>,
    buffer_permits: usize,
    closing: AtomicBool,
}

struct State {
    core: ProducerCore,
    waiters: BTreeMap<BatchId, BatchWaiters>,
}

/// Who waits for a batch, and the buffer space that its end gives back.
struct BatchWaiters {
    /// The outcomes so far; several if the batch was split.
    outcomes: watch::Sender<Vec<BatchOutcome>>,
    /// Records of the batch without an outcome.
    open: u32,
    permit: Option<OwnedSemaphorePermit>,
}

/// A record on its way. Await it for its [`Delivery`]; dropping it changes nothing for the record.
#[derive(Debug)]
pub struct Ack {
    outcomes: watch::Receiver<Vec<BatchOutcome>>,
    index: u32,
    timestamp: Timestamp,
}

impl Ack {
    /// Waits for the end of the record. May be cancelled and is then lost; the record is not.
    pub async fn delivered(mut self) -> Result<Delivery, SendError> {
        let index = self.index;
        let covers = |outcome: &&BatchOutcome| {
            (outcome.first_index..outcome.first_index + outcome.records_count).contains(&index)
        };
        let outcomes = self
            .outcomes
            .wait_for(|outcomes| outcomes.iter().any(|o| covers(&o)))
            .await;
        let outcomes = outcomes.map_err(|_| SendError::Closed)?;
        let outcome = outcomes.iter().find(covers).expect("it was waited for");
        match &outcome.result {
            Ok(delivery) => Ok(Delivery {
                topic: outcome.key.topic.clone(),
                partition: outcome.key.partition,
                offset: delivery
                    .base_offset
                    .map(|base| base.plus(i64::from(index - outcome.first_index))),
                timestamp: delivery.log_append_time.unwrap_or(self.timestamp),
            }),
            Err(fault) => Err(SendError::NotDelivered(fault.clone())),
        }
    }
}

impl IntoFuture for Ack {
    type Output = Result<Delivery, SendError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.delivered())
    }
}

impl Producer {
    pub(crate) fn start(pool: Arc<Pool>, options: ProducerOptions) -> Producer {
        let client = pool.options();
        let config = ProducerConfig {
            acks: options.acks,
            idempotent: options.idempotent,
            codec: options.codec,
            level: options.level,
            linger: options.linger,
            batch_bytes: options.batch_bytes,
            request_bytes_max: options.request_bytes_max,
            in_flight_max: options.in_flight_max,
            delivery_timeout: options.delivery_timeout,
            request_timeout: client.request_timeout,
            backoff: client.backoff,
            allow_auto_topic_creation: options.allow_auto_topic_creation,
            seed: random_seed(),
            ..ProducerConfig::default()
        };
        let buffer_permits = options
            .buffer_bytes_max
            .clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        let shared = Arc::new(Shared {
            clock: Clock::new(),
            state: Mutex::new(State {
                core: ProducerCore::new(config),
                waiters: BTreeMap::new(),
            }),
            wake: Notify::new(),
            progress: Notify::new(),
            buffer: Arc::new(Semaphore::new(buffer_permits)),
            buffer_permits,
            closing: AtomicBool::new(false),
        });
        tokio::spawn(run(shared.clone(), pool.clone(), pool.new_lane()));
        Producer { shared, pool }
    }

    /// Sends a record and waits for its end.
    ///
    /// ```no_run
    /// # use ottla_client::{Producer, Record, SendError};
    /// # async fn example(producer: &Producer) -> Result<(), SendError> {
    /// match producer.send(Record::to("flights").value("late")).await {
    ///     Ok(delivery) => println!("at {:?}", delivery.offset),
    ///     Err(error) if error.possibly_written() => println!("unknown: {error}"),
    ///     Err(error) => println!("not written: {error}; {}", error.hint().unwrap_or("")),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send(&self, record: Record) -> Result<Delivery, SendError> {
        self.enqueue(record).await?.delivered().await
    }

    /// Takes a record: waits until its topic is known and the buffer has room, not for its delivery.
    /// When it is cancelled, the record has not been taken.
    ///
    /// ```no_run
    /// # use ottla_client::{Producer, Record, SendError};
    /// # async fn example(producer: &Producer) -> Result<(), SendError> {
    /// let mut acks = Vec::new();
    /// for number in 0..1000 {
    ///     acks.push(producer.enqueue(Record::to("numbers").value(number.to_string())).await?);
    /// }
    /// for ack in acks {
    ///     ack.await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn enqueue(&self, record: Record) -> Result<Ack, SendError> {
        let shared = &self.shared;
        if shared.closing.load(Ordering::Relaxed) {
            return Err(SendError::Closed);
        }
        let weight = record.weight().min(shared.buffer_permits) as u32;
        let buffer = shared.buffer.clone();
        let permit = buffer
            .acquire_many_owned(weight)
            .await
            .map_err(|_| SendError::Closed)?;
        let headers = headers_of(&record);
        let give_up_at = Instant::now() + self.pool.options().operation_timeout;
        loop {
            // Registered before the look at the state: what comes in between is not missed.
            let mut progress = std::pin::pin!(shared.progress.notified());
            progress.as_mut().enable();
            let error = {
                let mut state = shared.state.lock();
                match append(&mut state.core, &record, &headers, shared.clock) {
                    Ok(appended) => {
                        let ack = state.wait_for(&appended, permit);
                        drop(state);
                        if appended.wake {
                            shared.wake.notify_one();
                        }
                        return Ok(ack);
                    }
                    Err(error) => error,
                }
            };
            if !matches!(error, AppendError::TopicUnknown { .. }) {
                return Err(error.into());
            }
            shared.wake.notify_one();
            if timeout_at(give_up_at, progress).await.is_err() {
                return Err(error.into());
            }
        }
    }

    /// Takes a record if that is possible without waiting; otherwise gives it back.
    ///
    /// ```no_run
    /// # use ottla_client::{Producer, Record, SendError, TryEnqueueError};
    /// # async fn example(producer: &Producer, record: Record) -> Result<(), SendError> {
    /// let ack = match producer.try_enqueue(record) {
    ///     Ok(ack) => ack,
    ///     // Shed load here, or wait for room:
    ///     Err(TryEnqueueError::Full(record)) => producer.enqueue(*record).await?,
    ///     Err(TryEnqueueError::Refused(error)) => return Err(error),
    /// };
    /// ack.await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_enqueue(&self, record: Record) -> Result<Ack, TryEnqueueError> {
        let shared = &self.shared;
        if shared.closing.load(Ordering::Relaxed) {
            return Err(TryEnqueueError::Refused(SendError::Closed));
        }
        let weight = record.weight().min(shared.buffer_permits) as u32;
        let Ok(permit) = shared.buffer.clone().try_acquire_many_owned(weight) else {
            return Err(TryEnqueueError::Full(Box::new(record)));
        };
        let headers = headers_of(&record);
        let mut state = shared.state.lock();
        let appended = append(&mut state.core, &record, &headers, shared.clock);
        let outcome = appended.map(|appended| (appended, state.wait_for(&appended, permit)));
        drop(state);
        drop(headers);
        match outcome {
            Ok((appended, ack)) => {
                if appended.wake {
                    shared.wake.notify_one();
                }
                Ok(ack)
            }
            Err(AppendError::TopicUnknown { .. }) => {
                // It is being looked up now.
                shared.wake.notify_one();
                Err(TryEnqueueError::Full(Box::new(record)))
            }
            Err(error) => Err(TryEnqueueError::Refused(error.into())),
        }
    }

    /// Sends what has been taken without lingering, and waits until all of it has been delivered or
    /// given up. The outcomes are told by the [`Ack`]s.
    pub async fn flush(&self) {
        let end = self.shared.state.lock().core.flush();
        self.shared.wake.notify_one();
        loop {
            let mut progress = std::pin::pin!(self.shared.progress.notified());
            progress.as_mut().enable();
            if self.shared.state.lock().core.is_flushed(end) {
                return;
            }
            progress.await;
        }
    }

    /// Flushes and ends the producer and its connections.
    pub async fn close(self) -> Result<(), SendError> {
        self.flush().await;
        Ok(())
    }

    /// What stands in the way of records that wait longer than they should: an address that does not
    /// answer, a partition without leader. `None` when nothing does.
    pub fn waiting_for(&self) -> Option<String> {
        self.shared.state.lock().core.waiting_for()
    }

    /// What it has done so far.
    pub fn stats(&self) -> ProducerStats {
        self.shared.state.lock().core.stats()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.state.lock().core.flush();
        self.shared.closing.store(true, Ordering::Relaxed);
        self.shared.wake.notify_one();
    }
}

fn headers_of(record: &Record) -> Vec<Header<'_>> {
    record
        .headers
        .iter()
        .map(|(key, value)| Header {
            key,
            value: value.as_deref(),
        })
        .collect()
}

fn append(
    core: &mut ProducerCore,
    record: &Record,
    headers: &[Header<'_>],
    clock: Clock,
) -> Result<Appended, AppendError> {
    let (key, value) = (record.key.as_deref(), record.value.as_deref());
    core.append(
        &record.topic,
        record.partition,
        record.timestamp,
        key,
        value,
        headers,
        clock.now(),
    )
}

impl State {
    fn wait_for(&mut self, appended: &Appended, permit: OwnedSemaphorePermit) -> Ack {
        let waiters = self
            .waiters
            .entry(appended.batch)
            .or_insert_with(|| BatchWaiters {
                outcomes: watch::Sender::new(Vec::new()),
                open: 0,
                permit: None,
            });
        waiters.open += 1;
        match &mut waiters.permit {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
        Ack {
            outcomes: waiters.outcomes.subscribe(),
            index: appended.index,
            timestamp: appended.timestamp,
        }
    }

    /// Tells the outcomes to those who wait. True if there were any.
    fn tell_outcomes(&mut self) -> bool {
        let mut outcomes = Vec::new();
        self.core.take_outcomes(&mut outcomes);
        for outcome in &outcomes {
            let Some(waiters) = self.waiters.get_mut(&outcome.batch) else {
                continue;
            };
            waiters.open -= outcome.records_count;
            waiters
                .outcomes
                .send_modify(|told| told.push(outcome.clone()));
            if waiters.open == 0 {
                self.waiters.remove(&outcome.batch);
            }
        }
        !outcomes.is_empty()
    }
}

/// The producer's task: drives the machine until the producer is dropped and everything has an end.
async fn run(shared: Arc<Shared>, pool: Arc<Pool>, lane: Lane) {
    let (answers, mut answered) = mpsc::unbounded_channel::<(CallId, Answer)>();
    let mut calls: Vec<Call> = Vec::new();
    let mut version = 0;
    loop {
        let deadline = {
            let mut state = shared.state.lock();
            let now = shared.clock.now();
            state.core.poll(now, &mut calls);
            let told = state.tell_outcomes();
            let metadata = state.core.metadata();
            let learned = metadata.version() != version || metadata.last_failure().is_some();
            if metadata.version() != version {
                version = metadata.version();
                pool.learn(metadata.brokers());
            }
            if told || learned {
                shared.progress.notify_waiters();
            }
            let everything = state.core.batches_end();
            if shared.closing.load(Ordering::Relaxed) && state.core.is_flushed(everything) {
                break;
            }
            state.core.next_deadline(now.mono)
        };
        for call in calls.drain(..) {
            pool.send(call, lane, &answers);
        }
        let until = deadline.map(|at| shared.clock.instant(at));
        tokio::select! {
            answer = answered.recv() => {
                let mut next = answer;
                let mut state = shared.state.lock();
                while let Some((id, answer)) = next {
                    state.core.on_answer(id, answer, shared.clock.now());
                    next = answered.try_recv().ok();
                }
            }
            () = shared.wake.notified() => {}
            () = sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {}
        }
    }
    pool.close_lane(lane);
}

/// A partition and offset, for those who follow deliveries by name.
impl From<&Delivery> for PartitionKey {
    fn from(delivery: &Delivery) -> PartitionKey {
        PartitionKey {
            topic: delivery.topic.clone(),
            partition: delivery.partition,
        }
    }
}
