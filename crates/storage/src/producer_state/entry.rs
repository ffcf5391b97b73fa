use ottla_records::ProducerBatch;
use ottla_types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// How many batches of a producer are remembered, so that it may have that many in flight
/// (`max.in.flight.requests.per.connection` of idempotent producers is at most 5).
pub const WINDOW_BATCHES_COUNT: usize = 5;

/// How many are kept, so that the window is whole again after a crash took back as many as may be in flight.
const HISTORY_BATCHES_COUNT: usize = 2 * WINDOW_BATCHES_COUNT;

/// What is remembered of one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducedBatch {
    /// Sequence of its last record (inclusive).
    pub last_sequence: Sequence,
    /// Offset of its last record (inclusive).
    pub last_offset: Offset,
    /// Last offset minus base offset; also last sequence minus base sequence.
    pub offset_delta: i32,
    /// The batch's largest timestamp.
    pub timestamp: Timestamp,
}

impl ProducedBatch {
    /// Offset of its first record.
    pub fn base_offset(&self) -> Offset {
        Offset::new(self.last_offset.get() - i64::from(self.offset_delta))
    }

    /// Sequence of its first record; sequences wrap to 0 after `i32::MAX`.
    pub fn base_sequence(&self) -> Sequence {
        let base = i64::from(self.last_sequence.get()) - i64::from(self.offset_delta);
        Sequence::new((base & i64::from(i32::MAX)) as i32)
    }
}

/// What a partition knows of one producer: its last batches, newest last.
///
/// Invariants: at most twice [`WINDOW_BATCHES_COUNT`] batches, offsets ascending. Only the newest
/// [`WINDOW_BATCHES_COUNT`] of the current epoch count; those before them take their place when a crash takes newer
/// ones back.
#[derive(Clone, Debug)]
pub struct ProducerEntry {
    id: ProducerId,
    epoch: ProducerEpoch,
    batches: [ProducedBatch; HISTORY_BATCHES_COUNT],
    /// Epoch of each batch: those before the current one only matter when a crash takes it back.
    epochs: [ProducerEpoch; HISTORY_BATCHES_COUNT],

    batches_count: u8,
    /// Wall time of the last append; expiry counts from it. Kafka counts from the batch's own timestamp,
    /// which for imported history lies years back and would forget a producer that is still at work.
    last_used: Timestamp,
    /// Offset of the first record of the open transaction.
    transaction_start: Option<Offset>,
}

impl ProducerEntry {
    /// A producer of which nothing is known yet.
    pub fn new(id: ProducerId, epoch: ProducerEpoch, last_used: Timestamp) -> ProducerEntry {
        ProducerEntry {
            id,
            epoch,
            batches: Default::default(),
            epochs: [epoch; HISTORY_BATCHES_COUNT],

            batches_count: 0,
            last_used,
            transaction_start: None,
        }
    }

    /// Its id.
    pub fn id(&self) -> ProducerId {
        self.id
    }

    /// Its epoch.
    pub fn epoch(&self) -> ProducerEpoch {
        self.epoch
    }

    /// The remembered batches, oldest first.
    pub fn batches(&self) -> &[ProducedBatch] {
        &self.batches[self.window_start()..usize::from(self.batches_count)]
    }

    /// Where the newest batches of the current epoch begin, at most [`WINDOW_BATCHES_COUNT`] of them.
    fn window_start(&self) -> usize {
        let count = usize::from(self.batches_count);
        let epochs = self.epochs[..count].iter().rev();
        let of_epoch = epochs.take_while(|epoch| **epoch == self.epoch).count();
        count - of_epoch.min(WINDOW_BATCHES_COUNT)
    }

    /// The newest batch.
    pub fn last(&self) -> Option<&ProducedBatch> {
        self.batches().last()
    }

    /// Wall time of the last append.
    pub fn last_used(&self) -> Timestamp {
        self.last_used
    }

    /// Offset of the first record of the open transaction.
    pub fn transaction_start(&self) -> Option<Offset> {
        self.transaction_start
    }

    /// Opens or ends a transaction.
    pub fn set_transaction_start(&mut self, start: Option<Offset>) {
        self.transaction_start = start;
    }

    /// The remembered batch with exactly these sequences.
    pub fn duplicate_of(&self, batch: &ProducerBatch) -> Option<ProducedBatch> {
        if batch.epoch != self.epoch {
            return None;
        }
        self.batches()
            .iter()
            .find(|known| {
                known.base_sequence() == batch.base_sequence
                    && known.last_sequence == batch.last_sequence
            })
            .copied()
    }

    /// Notes an appended batch; a new epoch forgets the batches of the old one.
    pub fn push(&mut self, epoch: ProducerEpoch, batch: ProducedBatch, used: Timestamp) {
        self.epoch = epoch;
        let mut count = usize::from(self.batches_count);
        if count == HISTORY_BATCHES_COUNT {
            self.batches.copy_within(1.., 0);
            self.epochs.copy_within(1.., 0);
            count -= 1;
        }
        self.batches[count] = batch;
        self.epochs[count] = epoch;

        self.batches_count = (count + 1) as u8;
        self.last_used = self.last_used.max(used);
    }

    /// The log was cut at `end`: forgets batches at or above it, and does not remember what had left the window
    /// before. Returns whether any is left.
    pub fn truncate_to(&mut self, end: Offset) -> bool {
        let count = usize::from(self.batches_count);
        let surplus = self.window_start();
        self.batches.copy_within(surplus..count, 0);
        self.epochs.copy_within(surplus..count, 0);
        self.batches_count = (count - surplus) as u8;
        self.rewind_to(end)
    }

    /// The entry as it was when the log ended at `end`, as far back as it is kept. Returns whether any batch is left.
    pub fn rewind_to(&mut self, end: Offset) -> bool {
        while self.last().is_some_and(|batch| end <= batch.last_offset) {
            self.batches_count -= 1;
            if let Some(before) = usize::from(self.batches_count).checked_sub(1) {
                self.epoch = self.epochs[before];
            }
        }

        if self.transaction_start.is_some_and(|start| end <= start) {
            self.transaction_start = None;
        }
        self.batches_count > 0
    }

    /// Puts the batches of `older`, as a snapshot knew this producer, under those of this entry.
    pub fn merge_older(&mut self, older: &ProducerEntry) {
        let count = usize::from(self.batches_count);
        let first = self.batches[..count]
            .first()
            .map(|batch| batch.base_offset());
        let is_older = |batch: &&ProducedBatch| first.is_none_or(|first| batch.last_offset < first);
        let mut merged: Vec<(ProducerEpoch, ProducedBatch)> = older
            .batches()
            .iter()
            .filter(is_older)
            .map(|batch| (older.epoch, *batch))
            .collect();
        let known = self.epochs.iter().copied().zip(self.batches);
        merged.extend(known.take(count));
        let from = merged.len().saturating_sub(HISTORY_BATCHES_COUNT);
        let newest = &merged[from..];
        for (index, (epoch, batch)) in newest.iter().enumerate() {
            self.epochs[index] = *epoch;
            self.batches[index] = *batch;
        }
        self.batches_count = newest.len() as u8;
        self.last_used = self.last_used.max(older.last_used);
    }
}

impl PartialEq for ProducerEntry {
    /// Whether both say the same to a producer.
    fn eq(&self, other: &ProducerEntry) -> bool {
        self.id == other.id
            && self.epoch == other.epoch
            && self.batches() == other.batches()
            && self.last_used == other.last_used
            && self.transaction_start == other.transaction_start
    }
}

impl Eq for ProducerEntry {}
