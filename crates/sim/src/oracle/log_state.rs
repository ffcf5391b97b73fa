use bytes::Bytes;
use ottla_records::ProducerBatch;
use ottla_types::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Kafka remembers this many batches of a producer.
const WINDOW: usize = 5;

/// A batch as it must be in the log: its bytes, stamped.
#[derive(Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record (inclusive).
    pub last_offset: Offset,
    /// The epoch it was appended in.
    pub leader_epoch: LeaderEpoch,
    /// Who sent it, when the producer is idempotent.
    pub producer: Option<ProducerBatch>,
    /// Largest timestamp in it, in milliseconds.
    pub max_timestamp_ms: i64,
    /// All of its bytes.
    pub bytes: Bytes,
}

impl StoredBatch {
    /// Offset after its last record.
    pub fn end(&self) -> Offset {
        Offset::new(self.last_offset.get() + 1)
    }
}

/// What Kafka's rules say about a batch of an idempotent producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceVerdict {
    /// It is to be appended.
    New,
    /// It is in the log already, at these offsets (both inclusive).
    Duplicate {
        /// Offset of its first record.
        base_offset: Offset,
        /// Offset of its last record.
        last_offset: Offset,
    },
    /// It does not follow on what is known.
    OutOfOrder,
    /// A newer epoch of the producer is known.
    Fenced,
    /// Several pasts are possible and give different answers.
    Unsure,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct KnownProducer {
    epoch: ProducerEpoch,
    /// First and last sequence, first and last offset, oldest first.
    batches: VecDeque<(Sequence, Sequence, Offset, Offset)>,
    /// A cut took batches of it. From what is left the log may know older ones again, which retention and compaction
    /// thin out.
    was_cut: bool,
}

/// What one partition holds at one moment, by the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// False once it is dropped.
    pub exists: bool,
    /// First offset a reader may ask for.
    pub log_start: Offset,
    /// Offset the next record gets.
    pub end: Offset,
    /// Batches that hold an offset at or above `log_start`, in order.
    batches: VecDeque<Arc<StoredBatch>>,
    producers: BTreeMap<ProducerId, KnownProducer>,
    /// Producers that are not in the map may be known to the log all the same, in an older epoch.
    producers_unsure: bool,
}

impl LogState {
    /// An empty partition.
    pub fn empty() -> LogState {
        LogState {
            exists: true,
            ..LogState::default()
        }
    }

    /// Adds a batch at the end.
    pub fn append(&mut self, batch: &Arc<StoredBatch>) {
        assert!(batch.base_offset == self.end, "the oracle appends in order");
        self.end = batch.end();
        self.batches.push_back(batch.clone());
        let Some(producer) = &batch.producer else {
            return;
        };
        let known = self.producers.entry(producer.id).or_default();
        if known.epoch != producer.epoch {
            known.epoch = producer.epoch;
            known.batches.clear();
            known.was_cut = false;
        }
        if known.batches.len() == WINDOW {
            known.batches.pop_front();
        }
        known.batches.push_back((
            producer.base_sequence,
            producer.last_sequence,
            batch.base_offset,
            batch.last_offset,
        ));
    }

    /// Cuts the log: batches at or above `to` go.
    pub fn truncate(&mut self, to: Offset) {
        while self
            .batches
            .back()
            .is_some_and(|last| to <= last.last_offset)
        {
            self.batches.pop_back();
        }
        self.end = self.end.min(to);
        self.log_start = self.log_start.min(self.end);
        for known in self.producers.values_mut() {
            let count = known.batches.len();
            known.batches.retain(|&(_, _, _, last)| last < to);
            known.was_cut |= known.batches.len() < count;
        }
    }

    /// Moves the log start up to `to`; never back.
    pub fn move_log_start(&mut self, to: Offset) {
        self.log_start = self.log_start.max(to);
        if self.end < self.log_start {
            self.end = self.log_start;
        }
        while self
            .batches
            .front()
            .is_some_and(|first| first.last_offset < self.log_start)
        {
            self.batches.pop_front();
        }
    }

    /// Batches that hold an offset at or above the log start, in order.
    pub fn batches(&self) -> impl DoubleEndedIterator<Item = &Arc<StoredBatch>> {
        self.batches.iter()
    }

    /// The batch that holds `offset`, and those after it.
    pub fn batches_from(&self, offset: Offset) -> impl Iterator<Item = &Arc<StoredBatch>> {
        let first = self
            .batches
            .partition_point(|batch| batch.last_offset < offset);
        self.batches.range(first..)
    }

    /// What Kafka's rules say about `batch`.
    pub fn judge(&self, batch: &ProducerBatch) -> SequenceVerdict {
        let Some(known) = self.producers.get(&batch.id) else {
            return match self.producers_unsure && batch.base_sequence.get() != 0 {
                true => SequenceVerdict::Unsure,
                false => SequenceVerdict::New,
            };
        };
        if known.was_cut && (batch.epoch <= known.epoch || batch.base_sequence.get() != 0) {
            return SequenceVerdict::Unsure;
        }
        if batch.epoch < known.epoch {
            return SequenceVerdict::Fenced;
        }
        if known.epoch < batch.epoch {
            return match batch.base_sequence.get() {
                0 => SequenceVerdict::New,
                _ => SequenceVerdict::OutOfOrder,
            };
        }
        let twin = known.batches.iter().find(|(first, last, _, _)| {
            *first == batch.base_sequence && *last == batch.last_sequence
        });
        if let Some(&(_, _, base_offset, last_offset)) = twin {
            return SequenceVerdict::Duplicate {
                base_offset,
                last_offset,
            };
        }
        match known.batches.back() {
            Some((_, last, _, _)) if last.plus(1) != batch.base_sequence => {
                SequenceVerdict::OutOfOrder
            }
            _ => SequenceVerdict::New,
        }
    }

    /// True when both states know the same of producers.
    pub fn knows_same_producers(&self, other: &LogState) -> bool {
        self.producers == other.producers
    }

    /// Forgets every producer.
    pub fn forget_producers(&mut self) {
        self.producers.clear();
        self.producers_unsure = true;
    }

    /// The newest sequence of a producer, and its epoch.
    pub fn last_sequence(&self, id: ProducerId) -> Option<(ProducerEpoch, Sequence)> {
        let known = self.producers.get(&id)?;
        known.batches.back().map(|batch| (known.epoch, batch.1))
    }

    /// Where this state and another differ, if they do: for messages.
    pub fn difference(&self, found: &LogState) -> Option<String> {
        if (self.exists, self.log_start, self.end) != (found.exists, found.log_start, found.end) {
            return Some(format!(
                "exists {} start {} end {}, found exists {} start {} end {}",
                self.exists, self.log_start, self.end, found.exists, found.log_start, found.end
            ));
        }
        if self.batches.len() != found.batches.len() {
            return Some(format!(
                "{} batches, found {}",
                self.batches.len(),
                found.batches.len()
            ));
        }
        let mut pairs = self.batches.iter().zip(&found.batches);
        let (wanted, other) = pairs.find(|(wanted, other)| wanted.bytes != other.bytes)?;
        Some(format!(
            "at {} {} bytes, found at {} {} bytes that differ",
            wanted.base_offset,
            wanted.bytes.len(),
            other.base_offset,
            other.bytes.len()
        ))
    }
}
