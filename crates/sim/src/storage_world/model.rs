use crate::batch_maker::SentBatch;
use crate::disk::CrashKind;
use crate::oracle::{Change, Floor, History};
use ottla_records::ProducerBatch;
use ottla_storage::log_dir::{Durability, LogConfig};
use ottla_types::{LeaderEpoch, Lsn, Offset, PartitionSlot, ProducerEpoch, ProducerId, Sequence};
use std::collections::VecDeque;

/// What the world knows of one partition.
pub(super) struct ModelPartition {
    pub(super) topic_name: String,
    pub(super) slot: PartitionSlot,
    pub(super) config: LogConfig,
    pub(super) history: History,
    /// The highest log start that DeleteRecords or retention ever asked for.
    pub(super) asked_start: Offset,
    /// The epoch of the next append.
    pub(super) epoch: LeaderEpoch,
    /// Readers see what is below it; nothing below it may ever change.
    pub(super) high_watermark: Offset,
    pub(super) producers: Vec<ModelProducer>,
    /// Answers that wait: for which number, and which offset they promise.
    pub(super) acknowledgements: Vec<(Lsn, Offset)>,
    /// The shortest `delete.retention.ms` that it ever had.
    pub(super) delete_retention_ms: i64,
    /// Damage or a crash has taken its history away: nothing is promised any more.
    pub(super) lossy: bool,
    /// The number of the entry that drops it, once that was asked for.
    pub(super) drop_lsn: Option<Lsn>,
}

impl ModelPartition {
    /// Its log is another one from now on, which has everything, is durable and starts at `log_start`. The copy followed
    /// its source at once: a crash may have taken a log start from the source that the copy has.
    pub(super) fn changed_over(&mut self, log_start: Option<Offset>) {
        if let Some(start) = log_start.filter(|start| *start <= self.asked_start) {
            self.history.push(Change::LogStart(start), None);
        }
        self.history.settled();
        self.acknowledgements.clear();
        for producer in &mut self.producers {
            for (_, waits_for) in &mut producer.unanswered {
                *waits_for = Lsn::ZERO;
            }
        }
    }
}

/// An idempotent producer as its client sees it.
pub(super) struct ModelProducer {
    pub(super) id: ProducerId,
    pub(super) epoch: ProducerEpoch,
    /// Sequence of its next new batch.
    pub(super) next_sequence: Sequence,
    /// Batches without an answer, oldest first, with the number that the answer waits for.
    pub(super) unanswered: VecDeque<(SentBatch, Lsn)>,
    /// Which of them is sent again next.
    pub(super) resend: Option<usize>,
    /// It wrote in this life: from then on also what no client does has one right answer. (A crash may
    /// take away all that is known of a producer with five batches under way; their first retry brings
    /// it back.)
    pub(super) is_known_here: bool,
}

impl ModelProducer {
    pub(super) fn new(id: ProducerId) -> ModelProducer {
        ModelProducer {
            id,
            epoch: ProducerEpoch::new(0),
            next_sequence: Sequence::new(0),
            unanswered: VecDeque::new(),
            resend: None,
            is_known_here: false,
        }
    }

    /// One of its batches was appended.
    pub(super) fn note(&mut self, batch: &SentBatch, sender: &ProducerBatch, lsn: Lsn) {
        self.is_known_here = true;
        self.next_sequence = sender.last_sequence.plus(1);
        let again = self
            .unanswered
            .iter_mut()
            .find(|(known, _)| known.bytes == batch.bytes);
        match again {
            Some((_, waits_for)) => *waits_for = lsn,
            None => self.unanswered.push_back((batch.clone(), lsn)),
        }
    }

    /// One of its batches was there already.
    pub(super) fn note_duplicate(&mut self, batch: &SentBatch, lsn: Lsn) {
        self.is_known_here = true;
        for (known, waits_for) in &mut self.unanswered {
            if known.bytes == batch.bytes {
                *waits_for = lsn;
            }
        }
    }

    /// The batch is refused for good. If it was sent before, those behind it build upon its sequences: the client goes
    /// on in a new epoch, as Kafka's does.
    pub(super) fn gives_up(&mut self, batch: &SentBatch) {
        let is_it = |(known, _): &(SentBatch, Lsn)| known.bytes == batch.bytes;
        if self.unanswered.iter().any(is_it) {
            self.renew();
        }
    }

    /// Answers arrive up to the first that waits for a number that is not durable.
    pub(super) fn answers(&mut self, mut arrives: impl FnMut(Lsn) -> bool) {
        while self.resend.is_none()
            && self
                .unanswered
                .front()
                .is_some_and(|(_, lsn)| arrives(*lsn))
        {
            self.unanswered.pop_front();
        }
    }

    /// It comes back with a new epoch and sends nothing again.
    pub(super) fn renew(&mut self) {
        self.epoch = ProducerEpoch::new(self.epoch.get() + 1);
        self.next_sequence = Sequence::new(0);
        self.unanswered.clear();
        self.resend = None;
    }

    /// The broker is another process now: what has no answer is sent again.
    pub(super) fn crashed(&mut self) {
        self.is_known_here = false;
        self.resend = Some(0);
        if let Some((first, _)) = self.unanswered.front()
            && let Some(sender) = first.producer()
        {
            self.next_sequence = sender.base_sequence;
        }
        if let Some((last, _)) = self.unanswered.back()
            && let Some(sender) = last.producer()
        {
            self.next_sequence = sender.last_sequence.plus(1);
        }
    }
}

/// The highest journal numbers that were ever promised to be safe in this life.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Floors {
    /// Fsynced.
    pub(super) durable: Lsn,
    /// In the page cache.
    pub(super) written: Lsn,
}

impl Floors {
    /// What a crash of this kind must leave of a partition of this durability.
    pub(super) fn after(self, kind: CrashKind, durability: Durability) -> Floor {
        match (kind, durability) {
            (CrashKind::ProcessKill, Durability::Os) => Floor(self.written.max(self.durable)),
            _ => Floor(self.durable),
        }
    }

    /// What counts as acknowledged while the process runs.
    pub(super) fn acknowledged(self, durability: Durability) -> Floor {
        self.after(CrashKind::ProcessKill, durability)
    }
}
