use super::StorageWorld;
use super::model::ModelProducer;
use crate::batch_maker::{Sender, SentBatch};
use crate::excuse::Excuse;
use crate::hold;
use crate::oracle::{Change, SequenceVerdict, StoredBatch, Violation};
use crate::trace;
use ottla_storage::log_dir::{AppendBatch, AppendError, AppendOrigin, Appended, LargeBatch};
use ottla_types::{Mono, ProducerEpoch, Sequence, TopicPartition};
use std::sync::Arc;

/// A large batch on its way to its partition.
pub(super) struct LargeAppend {
    id: TopicPartition,
    batch: SentBatch,
    large: LargeBatch,
    /// When it was begun.
    since: Mono,
}

impl LargeAppend {
    pub(super) fn is_of(&self, id: TopicPartition) -> bool {
        self.id == id
    }
}

/// What an idempotent producer tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// The next batch.
    Next,
    /// A batch it sent before, as after a lost reply.
    Retry,
    /// A batch that leaves a gap.
    Gap,
    /// A batch of an epoch that was fenced.
    OldEpoch,
    /// The first batch of a new epoch.
    NewEpoch,
}

impl StorageWorld {
    pub(super) fn append_something(&mut self) -> Result<(), Violation> {
        let Some(id) = self.pick_partition() else {
            return self.create_missing();
        };
        let batch = if self.prng.chance(1, 3) {
            self.make_batch(None)
        } else {
            self.make_idempotent(id)
        };
        self.append(id, &batch)
    }

    pub(super) fn make_batch(&mut self, sender: Option<Sender>) -> SentBatch {
        let value_size = self.prng.range(1, self.regime.value_size_max) as usize;
        let records = match self.prng.below(8) {
            0 => self.prng.range(1, 40),
            _ => self.prng.range(1, 4),
        };
        let records = records.min(20_000 / value_size as u64).max(1);
        let now = self.clock.now().wall;
        self.maker
            .make(&mut self.prng, sender, records, value_size, now)
    }

    /// The next thing a producer sends. As a client does, it has at most five batches without an answer,
    /// and after a lost connection or a crash it sends those again, in their order, before anything new.
    fn make_idempotent(&mut self, id: TopicPartition) -> SentBatch {
        let is_busy = |producer: &ModelProducer| {
            let mut waiting = self.here.large.iter().filter(|it| it.id == id);
            waiting.any(|it| it.batch.producer().is_some_and(|it| it.id == producer.id))
        };
        let partition = self
            .here
            .partitions
            .get_mut(&id)
            .expect("it was just picked");
        let index = self.prng.below(partition.producers.len() as u64) as usize;
        if is_busy(&partition.producers[index]) {
            // Its connection reads nothing more before that is answered.
            return self.make_batch(None);
        }
        let mut attempt = match self.prng.below(20) {
            0..2 => Attempt::Retry,
            2 => Attempt::Gap,
            3 => Attempt::OldEpoch,
            4 => Attempt::NewEpoch,
            _ => Attempt::Next,
        };
        let producer = &mut partition.producers[index];
        if attempt == Attempt::Retry || producer.unanswered.len() >= 5 {
            producer.resend.get_or_insert(0);
        }
        if let Some(position) = producer.resend {
            if let Some((batch, _)) = producer.unanswered.get(position) {
                producer.resend = Some(position + 1);
                return batch.clone();
            }
            producer.resend = None;
        }
        if !producer.is_known_here && attempt != Attempt::NewEpoch {
            attempt = Attempt::Next;
        }
        if attempt == Attempt::NewEpoch {
            producer.epoch = ProducerEpoch::new(producer.epoch.get() + 1);
            producer.next_sequence = Sequence::new(0);
            producer.unanswered.clear();
        }
        let mut sender = Sender {
            id: producer.id,
            epoch: producer.epoch,
            base_sequence: producer.next_sequence,
        };
        match attempt {
            Attempt::Gap => sender.base_sequence = sender.base_sequence.plus(7),
            Attempt::OldEpoch if producer.epoch.get() > 0 => {
                sender.epoch = ProducerEpoch::new(producer.epoch.get() - 1);
            }
            _ => {}
        }
        self.make_batch(Some(sender))
    }

    pub(super) fn append(
        &mut self,
        id: TopicPartition,
        batch: &SentBatch,
    ) -> Result<(), Violation> {
        let Some(dir) = &self.here.dir else {
            return Ok(());
        };
        let partition = self
            .here
            .partitions
            .get_mut(&id)
            .expect("callers picked it");
        let verdict = batch.producer().map_or(SequenceVerdict::New, |sender| {
            partition.history.now().judge(sender)
        });
        let now = self.clock.now();
        let sent = AppendBatch {
            bytes: &batch.bytes,
            facts: &batch.facts,
            origin: AppendOrigin::Client,
        };
        if dir.is_large(batch.bytes.len()) {
            return self.write(id, batch, verdict);
        }
        let result = dir.append(partition.slot, partition.epoch, sent, now);
        trace!(
            self.trace,
            "append {} records, {} bytes to {id} as {:?}: {}",
            batch.facts.records_count,
            batch.bytes.len(),
            batch.producer(),
            match &result {
                Ok(done) => format!("{done:?}"),
                Err(error) => format!("{error}"),
            }
        );
        self.judge(id, batch, verdict, result, now.mono)
    }

    /// Holds the answer to a batch that was begun at `since` against the rules.
    fn judge(
        &mut self,
        id: TopicPartition,
        batch: &SentBatch,
        verdict: SequenceVerdict,
        result: Result<Appended, AppendError>,
        since: Mono,
    ) -> Result<(), Violation> {
        match result {
            Ok(done) if done.duplicate => self.check_duplicate(id, batch, verdict, &done),
            Ok(done) => self.note_append(id, batch, verdict, &done),
            Err(error) => {
                self.check_refusal(id, verdict, &error, since)?;
                if let AppendError::RecordListTooLarge { .. } = error {
                    self.give_up_batch(id, batch);
                }
                Ok(())
            }
        }
    }

    /// The topic takes only smaller batches since this one was sent first.
    fn give_up_batch(&mut self, id: TopicPartition, batch: &SentBatch) {
        let partition = self
            .here
            .partitions
            .get_mut(&id)
            .expect("callers picked it");
        for producer in &mut partition.producers {
            producer.gives_up(batch);
        }
    }

    /// A batch that is too large for the journal is written before it is appended.
    fn write(
        &mut self,
        id: TopicPartition,
        batch: &SentBatch,
        verdict: SequenceVerdict,
    ) -> Result<(), Violation> {
        let Some(dir) = &self.here.dir else {
            return Ok(());
        };
        let size = batch.bytes.len();
        if !dir.takes_large(size) {
            return Ok(());
        }
        let written = dir.write_large(&batch.bytes);
        let outcome = written.as_ref().map(|_| "under way");
        trace!(self.trace, "write {size} bytes for {id}: {outcome:?}");
        match written {
            Ok(large) => self.here.large.push(LargeAppend {
                id,
                batch: batch.clone(),
                large,
                since: self.clock.now().mono,
            }),
            Err(AppendError::Full) if Excuse::is_short_for(dir, size) => {}
            Err(error) => self.check_refusal(id, verdict, &error, self.clock.now().mono)?,
        }
        Ok(())
    }

    /// Appends the batches that are written by now, or loses interest in one.
    pub(super) fn append_written(&mut self) -> Result<(), Violation> {
        while let Some(index) = self.here.large.iter().position(|it| it.large.is_settled()) {
            let written = self.here.large.remove(index);
            let (id, batch) = (written.id, &written.batch);
            if self.prng.chance(1, 20) {
                trace!(
                    self.trace,
                    "{} bytes for {id} are not wanted",
                    batch.bytes.len()
                );
                continue;
            }
            let (Some(dir), Some(partition)) = (&self.here.dir, self.here.partitions.get(&id))
            else {
                continue;
            };
            let verdict = batch.producer().map_or(SequenceVerdict::New, |sender| {
                partition.history.now().judge(sender)
            });
            let sent = AppendBatch {
                bytes: &batch.bytes,
                facts: &batch.facts,
                origin: AppendOrigin::Client,
            };
            let (slot, epoch) = (partition.slot, partition.epoch);
            let result = dir.append_large(slot, epoch, sent, &written.large, self.clock.now());
            trace!(
                self.trace,
                "append the {} bytes to {id}: {result:?}",
                batch.bytes.len()
            );
            self.judge(id, batch, verdict, result, written.since)?;
        }
        Ok(())
    }

    fn check_duplicate(
        &mut self,
        id: TopicPartition,
        batch: &SentBatch,
        verdict: SequenceVerdict,
        done: &Appended,
    ) -> Result<(), Violation> {
        self.report.duplicates += 1;
        let wanted = SequenceVerdict::Duplicate {
            base_offset: done.base_offset,
            last_offset: done.last_offset,
        };
        hold!(
            verdict == wanted || verdict == SequenceVerdict::Unsure,
            "sequences deduplicate",
            "{id}: found a duplicate at {}..={}, expected {verdict:?}",
            done.base_offset,
            done.last_offset
        );
        // The answer waits for the original: whoever gets it knows that the record is safe.
        let partition = self
            .here
            .partitions
            .get_mut(&id)
            .expect("callers picked it");
        partition
            .acknowledgements
            .push((done.durability, done.last_offset));
        if let Some(sender) = batch.producer() {
            for producer in &mut partition.producers {
                if producer.id == sender.id {
                    producer.note_duplicate(batch, done.durability);
                }
            }
        }
        Ok(())
    }

    fn note_append(
        &mut self,
        id: TopicPartition,
        batch: &SentBatch,
        verdict: SequenceVerdict,
        done: &Appended,
    ) -> Result<(), Violation> {
        self.report.appended += 1;
        let partition = self
            .here
            .partitions
            .get_mut(&id)
            .expect("callers picked it");
        hold!(
            matches!(verdict, SequenceVerdict::New | SequenceVerdict::Unsure),
            "sequences deduplicate",
            "{id}: appended at {} although {verdict:?}",
            done.base_offset
        );
        let end = partition.history.now().end;
        hold!(
            done.base_offset == end
                && done.last_offset.get() == end.get() + i64::from(batch.facts.last_offset_delta),
            "offsets are contiguous",
            "{id}: appended at {}..={}, the log ended at {end}",
            done.base_offset,
            done.last_offset
        );
        let bytes = batch.stamped(done.base_offset, partition.epoch);
        self.one_value
            .note(id, done.base_offset, partition.epoch, &bytes)?;
        let stored = StoredBatch {
            base_offset: done.base_offset,
            last_offset: done.last_offset,
            leader_epoch: partition.epoch,
            producer: batch.facts.producer,
            max_timestamp_ms: batch.facts.max_timestamp.as_millis(),
            bytes,
        };
        let change = Change::Append(Arc::new(stored));
        partition.history.push(change, Some(done.durability));
        if let Some(sender) = batch.producer() {
            for producer in &mut partition.producers {
                if producer.id == sender.id {
                    producer.note(batch, sender, done.durability);
                }
            }
        }
        Ok(())
    }

    fn check_refusal(
        &mut self,
        id: TopicPartition,
        verdict: SequenceVerdict,
        error: &AppendError,
        since: Mono,
    ) -> Result<(), Violation> {
        let allowed = match error {
            AppendError::OutOfOrderSequence { .. } => {
                matches!(
                    verdict,
                    SequenceVerdict::OutOfOrder | SequenceVerdict::Unsure
                )
            }
            AppendError::InvalidProducerEpoch { .. } => {
                matches!(verdict, SequenceVerdict::Fenced | SequenceVerdict::Unsure)
            }
            AppendError::RecordListTooLarge { .. } => true,
            AppendError::Full | AppendError::Offline | AppendError::Fault(_) => {
                self.damaged || self.is_excused_since(since)
            }
            AppendError::Damaged { .. } => self.damaged,
            _ => false,
        };
        hold!(
            allowed,
            "refusals have a reason",
            "{id}: {error}, expected {verdict:?}"
        );
        Ok(())
    }
}
