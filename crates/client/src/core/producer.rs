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

mod config;
mod outcome;
mod queue;

mod answers;
mod sending;

pub use config::{Acks, ProducerConfig};
pub use outcome::{AppendError, Appended, BatchDelivery, BatchOutcome, ProducerStats};

use crate::core::call::CallId;
use crate::core::metadata::Metadata;
use crate::core::partition_key::PartitionKey;
use crate::core::partitioner::partition_of_key;
use crate::core::producer_batch::{Batch, BatchId, ProduceFault, ProduceFaultKind};
use ottla_records::{BatchBuilder, Codec, Compressor, Decompressor, Header};
use ottla_types::{BrokerId, Mono, Now, Prng, ProducerEpoch, ProducerId, Timestamp, TopicId};
use queue::PartitionQueue;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
                    code: error,
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

    /// What stands in the way of the oldest batch that had to be sent again or cannot be sent, if
    /// anything does.
    pub fn waiting_for(&self) -> Option<String> {
        let queues = self.active.iter().filter_map(|key| self.queues.get(key));
        let repeated = queues
            .filter_map(|queue| queue.queue.front())
            .min_by_key(|batch| batch.id);
        let obstacle = repeated.and_then(|batch| batch.obstacle.clone());
        let known = self
            .metadata
            .last_failure()
            .or(self.identity_obstacle.as_deref());
        obstacle.or_else(|| known.filter(|_| !self.active.is_empty()).map(str::to_owned))
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
}

#[cfg(test)]
mod tests;
