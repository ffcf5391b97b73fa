//! The producer's machine: batches per partition, sequences, retries.
//!
//! Order and duplicates. Every partition has one queue, ordered by batch id. With idempotence up to
//! five batches of a partition are under way at once; sequences let the broker refuse what would
//! leave a gap, and a batch that comes back goes to its old place in the queue:
//!
//!  1. Batches 1, 2, 3 are under way; the connection breaks: 1 is lost, 2 and 3 as well.
//!  2. All three are queued again; 1 goes first. As long as an older batch could still come back, a
//!     batch that was sent before is not sent again, and nothing younger goes while a repetition is
//!     under way.
//!  3. The broker knows what it has: it answers a repeated batch with its first offset.
//!
//! A broker that knows nothing of a producer accepts any first sequence. So a partition's first batch
//! under a producer id goes alone: were the first refused and the second written, they would have
//! changed places.
//!
//! A batch that is given up leaves a gap in the sequences. Then the partition waits until nothing of
//! it is under way, and begins anew with the next producer epoch and sequence 0. Batches that may
//! have been written under the old epoch are not sent again under the new one: the broker could not
//! recognise them. They fail with `possibly_written`.
//!
//! Without idempotence one batch of a partition is under way at a time, so order holds there as well.

mod answers;
mod queue;

use crate::core::backoff::Backoff;
use crate::core::call::{
    BrokerEndpoint, Call, CallId, ProduceCall, ProduceCallPartition, Request, Target,
};
use crate::core::metadata::Metadata;
use crate::core::partition_key::PartitionKey;
use crate::core::partitioner::partition_of_key;
use crate::core::producer_batch::{Batch, BatchId, ProduceFault, ProduceFaultKind, Stamp};
use ottla_records::{BatchBuilder, Codec, CompressionLevel, Compressor, Decompressor, Header};
use ottla_types::{
    BrokerId, ErrorCode, Mono, Now, Offset, Prng, ProducerEpoch, ProducerId, Timestamp, TopicId,
};
use queue::{PartitionQueue, Readiness};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Who must have a record before the broker acknowledges it (`acks`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acks {
    /// Every in-sync replica.
    #[default]
    All,
    /// The leader.
    Leader,
    /// Nobody: there is no acknowledgement, offsets stay unknown.
    None,
}

impl Acks {
    fn wire(self) -> i16 {
        match self {
            Acks::All => -1,
            Acks::Leader => 1,
            Acks::None => 0,
        }
    }
}

/// How a producer works. The defaults are the Java client's, except larger batches.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    /// `acks`.
    pub acks: Acks,
    /// `enable.idempotence`; without effect unless acks is [`Acks::All`].
    pub idempotent: bool,
    /// `compression.type`.
    pub codec: Codec,
    /// `compression.*.level`.
    pub level: CompressionLevel,
    /// `linger.ms`: how long a batch waits for more records.
    pub linger: Duration,
    /// `batch.size`: a batch takes no further record beyond this many bytes (before compression).
    pub batch_bytes: usize,
    /// `max.request.size`: largest record and largest request, in bytes (before compression).
    pub request_bytes_max: usize,
    /// `max.in.flight.requests.per.connection`; at most 5 with idempotence.
    pub in_flight_max: usize,
    /// `delivery.timeout.ms`: from the first record of a batch to its end, whatever it is.
    pub delivery_timeout: Duration,
    /// `request.timeout.ms`.
    pub request_timeout: Duration,
    /// Waits before repetitions.
    pub backoff: Backoff,
    /// `metadata.max.age.ms`.
    pub metadata_age_max: Duration,
    /// Whether the broker may create topics that do not exist.
    pub allow_auto_topic_creation: bool,
    /// Seed of the choices that do not matter (partition of records without key, random waits).
    pub seed: u64,
}

impl Default for ProducerConfig {
    fn default() -> ProducerConfig {
        ProducerConfig {
            acks: Acks::All,
            idempotent: true,
            codec: Codec::None,
            level: None,
            linger: Duration::from_millis(5),
            batch_bytes: 64 << 10,
            request_bytes_max: 1 << 20,
            in_flight_max: 5,
            delivery_timeout: Duration::from_secs(120),
            request_timeout: Duration::from_secs(30),
            backoff: Backoff::default(),
            metadata_age_max: Duration::from_secs(300),
            allow_auto_topic_creation: true,
            seed: 0,
        }
    }
}

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The batch whose outcome is the record's.
    pub batch: BatchId,
    /// Its place in the batch: [`BatchOutcome`] says where records from such a place on are.
    pub index: u32,
    /// The partition that was chosen.
    pub partition: i32,
    /// The record's timestamp.
    pub timestamp: Timestamp,
    /// Whether [`ProducerCore::poll`] should be called soon: a batch became full or a first one began.
    pub wake: bool,
}

/// Why a record was not taken. Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The topic is being looked up: try again when [`ProducerCore::metadata`] has grown.
    #[error("topic {topic} is not known yet{}", .reason.as_deref().map(|r| format!(": {r}")).unwrap_or_default())]
    TopicUnknown {
        /// The topic.
        topic: Arc<str>,
        /// What the last look brought.
        reason: Option<String>,
    },
    /// The cluster refuses the topic.
    #[error("topic {topic} cannot be used: {}", .code.name())]
    TopicRefused {
        /// The topic.
        topic: Arc<str>,
        /// Kafka's error.
        code: ErrorCode,
    },
    /// The topic has no such partition.
    #[error("topic {topic} has partitions 0 to {}, not {partition}", .count - 1)]
    PartitionUnknown {
        /// The topic.
        topic: Arc<str>,
        /// The partition that was asked for.
        partition: i32,
        /// How many there are.
        count: u32,
    },
    /// The record alone is larger than a request may be.
    #[error("the record takes {size} bytes, more than the {max} bytes that a request may have")]
    TooLarge {
        /// Bytes of a batch with this record alone.
        size: usize,
        /// The limit.
        max: usize,
    },
}

/// Where the records of a batch are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchDelivery {
    /// Offset of the first record; `None` when the broker did not say (acks=0).
    pub base_offset: Option<Offset>,
    /// The broker's timestamp, if the topic wants it.
    pub log_append_time: Option<Timestamp>,
}

/// The end of a batch, or of a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOutcome {
    /// Which.
    pub batch: BatchId,
    /// Place of the first record that this is about: a batch that the broker found too large is split,
    /// and its parts have outcomes of their own.
    pub first_index: u32,
    /// Its partition.
    pub key: PartitionKey,
    /// How many records this is about.
    pub records_count: u32,
    /// Where it is, or why not.
    pub result: Result<BatchDelivery, ProduceFault>,
}

/// What a producer has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerStats {
    /// Produce requests given out.
    pub requests: u64,
    /// Batches given out, repetitions included.
    pub batches: u64,
    /// Repetitions.
    pub retries: u64,
    /// Batches that the broker found too large and that were halved.
    pub splits: u64,
    /// Times a partition had to begin anew with another producer epoch.
    pub sequence_resets: u64,
    /// Times the broker had forgotten what it had acknowledged: the oldest batch under way did not
    /// continue the broker's sequence.
    pub gaps_found: u64,
}

/// Our producer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Identity {
    /// To be asked for at this time.
    Wanted { at: Mono, failures: u32 },
    /// Asked for.
    Asked { failures: u32 },
    /// Had.
    Known(ProducerId, ProducerEpoch),
}

/// What a call was about.
#[derive(Debug)]
enum Pending {
    Metadata,
    InitProducerId,
    Produce {
        broker: BrokerId,
        batches: Vec<SentBatch>,
    },
}

#[derive(Debug)]
struct SentBatch {
    key: PartitionKey,
    topic_id: Option<TopicId>,
    batch: Batch,
}

/// See the module's description.
///
/// Invariants: a batch is in exactly one of open, queue, under way, or has an outcome; ids in a
/// queue ascend; stamped batches of a partition have gapless sequences in the order of their ids.
#[derive(Debug)]
pub struct ProducerCore {
    config: ProducerConfig,
    metadata: Metadata,
    prng: Prng,
    compressor: Compressor,
    decompressor: Decompressor,
    queues: BTreeMap<PartitionKey, PartitionQueue>,
    /// Partitions with an open or queued batch.
    active: BTreeSet<PartitionKey>,
    /// The partition that records without key go to, as long as its batch is open.
    sticky: BTreeMap<Arc<str>, i32>,
    identity: Identity,
    /// Why there was no producer id the last time.
    identity_obstacle: Option<String>,
    pending: BTreeMap<CallId, Pending>,
    in_flight: BTreeMap<BrokerId, usize>,
    next_call: u64,
    next_batch: u64,
    /// Batches without an outcome, and in how many parts they are.
    unfinished: BTreeMap<BatchId, u32>,
    /// Sizes (before compression) to stay below, by topic, since the broker found a batch too large.
    size_limits: BTreeMap<Arc<str>, usize>,
    /// Batches below this do not linger.
    flush_end: BatchId,
    outcomes: Vec<BatchOutcome>,
    /// Set when nothing can be produced any more.
    stopped: Option<String>,
    stats: ProducerStats,
}

impl ProducerCore {
    /// A producer that has nothing to send yet.
    pub fn new(config: ProducerConfig) -> ProducerCore {
        let metadata = Metadata::new(
            config.allow_auto_topic_creation,
            config.metadata_age_max,
            config.backoff,
        );
        ProducerCore {
            metadata,
            prng: Prng::new(config.seed),
            compressor: Compressor::with_level(config.level),
            queues: BTreeMap::new(),
            active: BTreeSet::new(),
            sticky: BTreeMap::new(),
            identity: Identity::Wanted {
                at: Mono::ZERO,
                failures: 0,
            },
            identity_obstacle: None,
            pending: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            next_call: 1,
            next_batch: 1,
            unfinished: BTreeMap::new(),
            size_limits: BTreeMap::new(),
            decompressor: Decompressor::default(),
            flush_end: BatchId(0),
            outcomes: Vec::new(),
            stopped: None,
            stats: ProducerStats::default(),
            config,
        }
    }

    /// What is known of the cluster.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// What was done so far.
    pub fn stats(&self) -> ProducerStats {
        self.stats
    }

    fn is_idempotent(&self) -> bool {
        self.config.idempotent && self.config.acks == Acks::All
    }

    /// Takes a record. Without a partition it goes where its key belongs, or without a key wherever a
    /// batch is being filled.
    #[expect(clippy::too_many_arguments, reason = "the parts of a record, borrowed")]
    pub fn append(
        &mut self,
        topic: &Arc<str>,
        partition: Option<i32>,
        timestamp: Option<Timestamp>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header<'_>],
        now: Now,
    ) -> Result<Appended, AppendError> {
        let count = self.known_partitions(topic, now.mono)?;
        let timestamp = timestamp.unwrap_or(now.wall);
        let size = BatchBuilder::new(Codec::None).size_with(timestamp, key, value, headers);
        if size > self.config.request_bytes_max {
            return Err(AppendError::TooLarge {
                size,
                max: self.config.request_bytes_max,
            });
        }
        let partition = match partition {
            Some(partition) if u32::try_from(partition).is_ok_and(|p| p < count) => partition,
            Some(partition) => {
                return Err(AppendError::PartitionUnknown {
                    topic: topic.clone(),
                    partition,
                    count,
                });
            }
            None => match key {
                Some(key) => partition_of_key(key, count),
                None => self.sticky_partition(topic, count),
            },
        };
        let limit = self.size_limits.get(topic).copied().unwrap_or(usize::MAX);
        let batch_bytes = self.config.batch_bytes.min(limit);
        let place = PartitionKey {
            topic: topic.clone(),
            partition,
        };
        let queue = self.queues.entry(place.clone()).or_default();
        let mut wake = false;
        let fits = queue
            .open
            .as_mut()
            .and_then(Batch::builder)
            .is_some_and(|builder| {
                builder.size_with(timestamp, key, value, headers) <= batch_bytes
            });
        if !fits {
            queue.close_open(&mut self.compressor);
            let id = BatchId(self.next_batch);
            self.next_batch += 1;
            self.unfinished.insert(id, 1);
            queue.open = Some(Batch::open(
                id,
                now.mono,
                BatchBuilder::new(self.config.codec),
            ));
            self.active.insert(place);
            wake = true;
        }
        let batch = queue
            .open
            .as_mut()
            .expect("a batch was opened if none took the record");
        let builder = batch.builder().expect("the open batch takes records");
        builder.push(timestamp, key, value, headers);
        let full = builder.size_in_bytes() >= batch_bytes;
        let index = batch.records_count;
        batch.records_count += 1;
        let batch = batch.id;
        if full {
            queue.close_open(&mut self.compressor);
            wake = true;
        }
        Ok(Appended {
            batch,
            index,
            partition,
            timestamp,
            wake,
        })
    }

    /// How many partitions the topic has; otherwise sees to it that it is looked up.
    fn known_partitions(&mut self, topic: &Arc<str>, now: Mono) -> Result<u32, AppendError> {
        self.metadata.want(topic, now);
        if let Some(count) = self
            .metadata
            .partitions_count(topic)
            .filter(|count| *count > 0)
        {
            return Ok(count);
        }
        let error = self.metadata.topic(topic).and_then(|topic| topic.error);
        match error {
            Some(code) if !code.is_retriable() => Err(AppendError::TopicRefused {
                topic: topic.clone(),
                code,
            }),
            _ => {
                let reason = error
                    .map(|code| code.name().to_owned())
                    .or_else(|| self.metadata.last_failure().map(str::to_owned));
                Err(AppendError::TopicUnknown {
                    topic: topic.clone(),
                    reason,
                })
            }
        }
    }

    fn sticky_partition(&mut self, topic: &Arc<str>, count: u32) -> i32 {
        if let Some(partition) = self.sticky.get(topic) {
            let place = PartitionKey {
                topic: topic.clone(),
                partition: *partition,
            };
            if self
                .queues
                .get(&place)
                .is_some_and(|queue| queue.open.is_some())
            {
                return *partition;
            }
        }
        let partition = self.prng.below(u64::from(count)) as i32;
        self.sticky.insert(topic.clone(), partition);
        partition
    }

    /// Sends what has been appended without lingering. When [`ProducerCore::is_flushed`] is true for
    /// the id that this returns, everything appended so far has an outcome.
    pub fn flush(&mut self) -> BatchId {
        self.flush_end = BatchId(self.next_batch);
        self.flush_end
    }

    /// The id below which all batches are that exist.
    pub fn batches_end(&self) -> BatchId {
        BatchId(self.next_batch)
    }

    /// Whether every batch below `end` has an outcome.
    pub fn is_flushed(&self, end: BatchId) -> bool {
        self.unfinished
            .first_key_value()
            .is_none_or(|(oldest, _)| *oldest >= end)
    }

    /// Appends the outcomes since the last time.
    pub fn take_outcomes(&mut self, out: &mut Vec<BatchOutcome>) {
        out.append(&mut self.outcomes);
    }

    /// Gives up everything that is not under way.
    pub fn stop(&mut self, reason: &str) {
        self.stopped = Some(reason.to_owned());
        for key in std::mem::take(&mut self.active) {
            let Some(queue) = self.queues.get_mut(&key) else {
                continue;
            };
            let batches: Vec<Batch> = queue.queue.drain(..).chain(queue.open.take()).collect();
            for batch in batches {
                let kind = ProduceFaultKind::Stopped {
                    reason: reason.to_owned(),
                };
                let fault = batch.fault(kind);
                self.finish(key.clone(), batch, Err(fault));
            }
        }
    }

    fn finish(
        &mut self,
        key: PartitionKey,
        batch: Batch,
        result: Result<BatchDelivery, ProduceFault>,
    ) {
        if let Some(parts) = self.unfinished.get_mut(&batch.id) {
            *parts -= 1;
            if *parts == 0 {
                self.unfinished.remove(&batch.id);
            }
        }
        let records_count = batch.records_count;
        self.outcomes.push(BatchOutcome {
            batch: batch.id,
            first_index: batch.first_index,
            key,
            records_count,
            result,
        });
    }

    /// Adds the calls that are to be made now.
    pub fn poll(&mut self, now: Now, calls: &mut Vec<Call>) {
        self.expire(now.mono);
        self.begin_epochs(now.mono);
        if let Some((target, request)) = self.metadata.poll(now.mono) {
            self.push_call(calls, target, request, Pending::Metadata);
        }
        self.poll_identity(now.mono, calls);
        self.drain(now.mono, calls);
    }

    fn push_call(
        &mut self,
        calls: &mut Vec<Call>,
        target: Target,
        request: Request,
        pending: Pending,
    ) {
        let id = CallId(self.next_call);
        self.next_call += 1;
        self.pending.insert(id, pending);
        let timeout = self.config.request_timeout;
        calls.push(Call {
            id,
            target,
            request,
            timeout,
        });
    }

    fn poll_identity(&mut self, now: Mono, calls: &mut Vec<Call>) {
        if let Identity::Wanted { at, failures } = self.identity
            && at <= now
            && self.is_idempotent()
            && !self.active.is_empty()
        {
            self.identity = Identity::Asked { failures };
            self.push_call(
                calls,
                Target::Any,
                Request::InitProducerId,
                Pending::InitProducerId,
            );
        }
    }

    /// Gives up batches whose time has passed.
    fn expire(&mut self, now: Mono) {
        let mut expired = Vec::new();
        for key in &self.active {
            let Some(queue) = self.queues.get_mut(key) else {
                continue;
            };
            while let Some(batch) = queue.take_expired(now, self.config.delivery_timeout) {
                if batch.stamp.is_some() {
                    queue.needs_new_epoch = true;
                }
                expired.push((key.clone(), batch));
            }
        }
        for (key, batch) in expired {
            let obstacle = batch
                .obstacle
                .clone()
                .unwrap_or_else(|| self.obstacle(&key));
            let fault = batch.fault(ProduceFaultKind::TimedOut { obstacle });
            self.finish(key, batch, Err(fault));
        }
    }

    /// Why a batch that was never sent could not be.
    fn obstacle(&self, key: &PartitionKey) -> String {
        let failure = self
            .metadata
            .last_failure()
            .or(self.identity_obstacle.as_deref());
        if let Some(failure) = failure {
            return failure.to_owned();
        }
        match self
            .metadata
            .topic(&key.topic)
            .and_then(|topic| topic.error)
        {
            Some(code) => format!(
                "the cluster answers {} for topic {}",
                code.name(),
                key.topic
            ),
            None if self.metadata.leader(key).is_none() => format!("partition {key} has no leader"),
            None => format!("earlier batches of partition {key} were not acknowledged"),
        }
    }

    /// Partitions with a gap in their sequences begin anew once nothing of them is under way.
    fn begin_epochs(&mut self, now: Mono) {
        let waiting: Vec<PartitionKey> = self
            .queues
            .iter()
            .filter(|(_, queue)| queue.needs_new_epoch && queue.in_flight.is_empty())
            .map(|(key, _)| key.clone())
            .collect();
        for key in waiting {
            let Some(queue) = self.queues.get_mut(&key) else {
                continue;
            };
            self.stats.sequence_resets += 1;
            let lost = queue.begin_epoch();
            if let Identity::Known(id, epoch) = self.identity
                && queue.identity.take() == Some((id, epoch))
            {
                self.identity = match epoch.get().checked_add(1) {
                    Some(next) => Identity::Known(id, ProducerEpoch::new(next)),
                    None => Identity::Wanted {
                        at: now,
                        failures: 0,
                    },
                };
            }
            queue.identity = None;
            for batch in lost {
                let obstacle = "an earlier batch was given up while this one may have been written";
                let kind = ProduceFaultKind::TimedOut {
                    obstacle: obstacle.to_owned(),
                };
                let fault = batch.fault(kind);
                self.finish(key.clone(), batch, Err(fault));
            }
        }
    }

    /// Groups ready batches by leader into requests.
    fn drain(&mut self, now: Mono, calls: &mut Vec<Call>) {
        let mut by_leader: BTreeMap<BrokerEndpoint, Vec<PartitionKey>> = BTreeMap::new();
        self.active
            .retain(|key| self.queues.get(key).is_some_and(|queue| !queue.is_idle()));
        for key in &self.active {
            if self.readiness(key, now) != Readiness::Ready {
                continue;
            }
            match self.metadata.leader(key) {
                Some((leader, _)) => by_leader
                    .entry(leader.clone())
                    .or_default()
                    .push(key.clone()),
                None => self.metadata.refresh(now),
            }
        }
        for (leader, keys) in by_leader {
            // The first partition must not always win when a request is full.
            let start = self.prng.below(keys.len() as u64) as usize;
            let mut rotated: Vec<PartitionKey> = keys[start..].to_vec();
            rotated.extend_from_slice(&keys[..start]);
            while self.in_flight.get(&leader.id).copied().unwrap_or(0) < self.config.in_flight_max {
                let batches = self.take_request(&rotated, now);
                if batches.is_empty() {
                    break;
                }
                self.push_produce(&leader, batches, calls);
            }
        }
    }

    fn readiness(&self, key: &PartitionKey, now: Mono) -> Readiness {
        let Some(queue) = self.queues.get(key) else {
            return Readiness::Blocked;
        };
        if self.is_idempotent()
            && queue.identity.is_none()
            && !matches!(self.identity, Identity::Known(..))
        {
            return Readiness::Blocked;
        }
        let in_flight_max = if self.is_idempotent() {
            self.config.in_flight_max.min(5)
        } else {
            1
        };
        queue.readiness(now, self.config.linger, self.flush_end, in_flight_max)
    }

    /// One batch per partition, as many as fit a request.
    fn take_request(&mut self, keys: &[PartitionKey], now: Mono) -> Vec<SentBatch> {
        let mut batches = Vec::new();
        let mut size = 0;
        for key in keys {
            if self.readiness(key, now) != Readiness::Ready {
                continue;
            }
            let Some(queue) = self.queues.get_mut(key) else {
                continue;
            };
            let next = queue.next_size();
            if size > 0 && size + next > self.config.request_bytes_max {
                continue;
            }
            let Some(mut batch) = queue.take_next(&mut self.compressor) else {
                continue;
            };
            if self.config.idempotent && self.config.acks == Acks::All && batch.stamp.is_none() {
                let (id, epoch) = match (queue.identity, self.identity) {
                    (Some(identity), _) => identity,
                    (None, Identity::Known(id, epoch)) => (id, epoch),
                    (None, _) => unreachable!("such a partition is not ready"),
                };
                queue.identity = Some((id, epoch));
                let base_sequence = queue.next_sequence;
                queue.next_sequence = base_sequence.plus(batch.records_count as i32);
                batch.set_stamp(Stamp {
                    id,
                    epoch,
                    base_sequence,
                });
            }
            size += batch.size();
            queue.in_flight.insert(batch.place(), batch.attempts);
            let topic_id = self.metadata.topic_id(&key.topic);
            batches.push(SentBatch {
                key: key.clone(),
                topic_id,
                batch,
            });
        }
        batches.sort_by(|a, b| a.key.cmp(&b.key));
        batches
    }

    fn push_produce(
        &mut self,
        leader: &BrokerEndpoint,
        batches: Vec<SentBatch>,
        calls: &mut Vec<Call>,
    ) {
        self.stats.requests += 1;
        self.stats.batches += batches.len() as u64;
        let partitions = batches
            .iter()
            .map(|sent| ProduceCallPartition {
                key: sent.key.clone(),
                topic_id: sent.topic_id,
                batch: sent.batch.bytes(),
            })
            .collect();
        let timeout_ms = i32::try_from(self.config.request_timeout.as_millis()).unwrap_or(i32::MAX);
        let call = ProduceCall {
            acks: self.config.acks.wire(),
            timeout_ms,
            partitions,
        };
        *self.in_flight.entry(leader.id).or_default() += 1;
        let pending = Pending::Produce {
            broker: leader.id,
            batches,
        };
        self.push_call(
            calls,
            Target::Broker(leader.clone()),
            Request::Produce(call),
            pending,
        );
    }

    /// When [`ProducerCore::poll`] wants to be called without an answer having come.
    pub fn next_deadline(&self, now: Mono) -> Option<Mono> {
        let mut deadline = self.metadata.next_deadline();
        let mut consider = |at: Mono| deadline = Some(deadline.map_or(at, |known| known.min(at)));
        if let Identity::Wanted { at, .. } = self.identity
            && self.is_idempotent()
            && !self.active.is_empty()
        {
            consider(at);
        }
        for key in &self.active {
            let Some(queue) = self.queues.get(key) else {
                continue;
            };
            if let Some(oldest) = queue.oldest() {
                consider(oldest.plus(self.config.delivery_timeout));
            }
            let Some((leader, _)) = self.metadata.leader(key) else {
                continue;
            };
            let under_way = self.in_flight.get(&leader.id).copied().unwrap_or(0);
            if under_way >= self.config.in_flight_max {
                continue;
            }
            match self.readiness(key, now) {
                Readiness::Ready => consider(now),
                Readiness::At(at) => consider(at),
                Readiness::Blocked => {}
            }
        }
        deadline
    }
}

#[cfg(test)]
mod tests;
