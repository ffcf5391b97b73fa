use ottla_records::ProducerBatch;
use ottla_types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

/// How many batches of a producer are remembered, so that it may have that many in flight
/// (`max.in.flight.requests.per.connection` of idempotent producers is at most 5).
pub const WINDOW_BATCHES_COUNT: usize = 5;

/// So many are kept at least, so that the window is still whole when a leader takes back as many as may be in flight.
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

/// What came before the oldest batch that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Below {
    /// Nothing.
    Nothing,
    /// What the snapshot knows that is not loaded yet.
    Snapshot,
    /// The same if that is of the same epoch. Otherwise batches of the older epoch may lie between.
    SnapshotOfEpoch,
    /// Whatever the log says.
    Unknown,
}

/// What a partition knows of one producer: its last batches, newest last.
///
/// Only the newest [`WINDOW_BATCHES_COUNT`] of the current epoch count; those before them take their place when a crash or
/// a truncation takes newer ones back. A crash takes back what is not durable: all of that is kept, and a window below it.
///
/// Invariants: at most twice [`WINDOW_BATCHES_COUNT`] batches in place, offsets ascending, those of `older` below them; the
/// producer appended nothing between two of them.
#[derive(Clone, Debug)]
pub struct ProducerEntry {
    id: ProducerId,
    epoch: ProducerEpoch,
    batches: [ProducedBatch; HISTORY_BATCHES_COUNT],
    /// Epoch of each batch: those before the current one only matter when newer ones are taken back.
    epochs: [ProducerEpoch; HISTORY_BATCHES_COUNT],
    batches_count: u8,
    below: Below,
    /// Batches that had to leave the others while too few behind them were durable, oldest first. Nearly always empty.
    older: Vec<(ProducerEpoch, ProducedBatch)>,
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
            below: Below::Unknown,
            older: Vec::new(),
            last_used,
            transaction_start: None,
        }
    }

    /// Tells what came before what is kept.
    pub(super) fn set_below(&mut self, below: Below) {
        self.below = below;
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
        self.push_beyond(epoch, batch, used, Offset::new(i64::MAX));
    }

    /// The same in a log that is durable up to `durable_end`: beyond it a crash may take batches back.
    pub fn push_beyond(
        &mut self,
        epoch: ProducerEpoch,
        batch: ProducedBatch,
        used: Timestamp,
        durable_end: Offset,
    ) {
        self.epoch = epoch;
        let mut count = usize::from(self.batches_count);
        if count == HISTORY_BATCHES_COUNT {
            self.older.push((self.epochs[0], self.batches[0]));
            self.batches.copy_within(1.., 0);
            self.epochs.copy_within(1.., 0);
            count -= 1;
        }
        self.batches[count] = batch;
        self.epochs[count] = epoch;
        self.batches_count = (count + 1) as u8;
        self.last_used = self.last_used.max(used);
        self.forget_older(durable_end);
    }

    /// Forgets batches that have a window behind them which no crash takes back.
    fn forget_older(&mut self, durable_end: Offset) {
        if self.older.is_empty() {
            return;
        }
        let newer = &self.batches[..usize::from(self.batches_count)];
        let all = self.older.iter().map(|(_, batch)| batch).chain(newer);
        let durable = all.take_while(|batch| batch.last_offset < durable_end);
        let surplus = durable.count().saturating_sub(WINDOW_BATCHES_COUNT);
        let surplus = surplus.min(self.older.len());
        self.older.drain(..surplus);
        if 0 < surplus {
            self.below = Below::Unknown;
        }
        if self.older.is_empty() {
            self.older = Vec::new();
        }
    }

    /// The entry as it was when the log ended at `end`, as far back as it is kept. Returns whether any batch is left.
    pub fn rewind_to(&mut self, end: Offset) -> bool {
        while self.last().is_some_and(|batch| end <= batch.last_offset) {
            self.batches_count -= 1;
            if self.batches_count == 0 {
                self.take_from_older();
            }
            if let Some(before) = usize::from(self.batches_count).checked_sub(1) {
                self.epoch = self.epochs[before];
            }
        }
        self.take_from_older();
        if self.transaction_start.is_some_and(|start| end <= start) {
            self.transaction_start = None;
        }
        self.batches_count > 0
    }

    /// Fills the place that newer batches left.
    fn take_from_older(&mut self) {
        while usize::from(self.batches_count) < HISTORY_BATCHES_COUNT
            && let Some((epoch, batch)) = self.older.pop()
        {
            let count = usize::from(self.batches_count);
            self.batches.copy_within(..count, 1);
            self.epochs.copy_within(..count, 1);
            self.batches[0] = batch;
            self.epochs[0] = epoch;
            self.batches_count += 1;
        }
    }

    /// Whether no batch of the log that is not kept here would belong to the window.
    pub fn is_exact(&self) -> bool {
        let is_full = self.batches().len() == WINDOW_BATCHES_COUNT;
        let has_epoch_before = 0 < self.window_start();
        self.below == Below::Nothing || is_full || has_epoch_before
    }

    /// Whether what the snapshot knows may belong to the window.
    pub(super) fn needs_snapshot(&self) -> bool {
        match self.below {
            Below::Snapshot | Below::SnapshotOfEpoch => !self.is_exact(),
            Below::Nothing | Below::Unknown => false,
        }
    }

    /// What the snapshot knew is here now, or is nothing.
    pub(super) fn snapshot_is_loaded(&mut self) {
        self.below = match self.below {
            Below::Nothing | Below::Snapshot => Below::Nothing,
            Below::SnapshotOfEpoch | Below::Unknown => Below::Unknown,
        };
    }

    /// What the snapshot knew of the producer goes under what is kept, if nothing can lie between.
    pub(super) fn join_snapshot(&mut self, older: &ProducerEntry) {
        let oldest = self.all().next().map(|(epoch, _)| epoch);
        match self.below {
            Below::Snapshot => self.merge_older(older),
            Below::SnapshotOfEpoch if oldest == Some(older.epoch) => self.merge_older(older),
            Below::SnapshotOfEpoch | Below::Nothing | Below::Unknown => {}
        }
    }

    /// Puts the batches of `older` under those of this entry. It must have all that this producer appended between.
    pub fn merge_older(&mut self, older: &ProducerEntry) {
        let first = self.all().next().map(|(_, batch)| batch.base_offset());
        let is_older = |it: &(ProducerEpoch, ProducedBatch)| {
            first.is_none_or(|first| it.1.last_offset < first)
        };
        if self.batches_count == 0 {
            self.epoch = older.epoch;
        }
        let mut merged: Vec<_> = older.all().filter(is_older).collect();
        merged.extend(self.all());
        let from = merged.len().saturating_sub(HISTORY_BATCHES_COUNT);
        let newest = merged.split_off(from);
        for (index, (epoch, batch)) in newest.iter().enumerate() {
            self.epochs[index] = *epoch;
            self.batches[index] = *batch;
        }
        self.batches_count = newest.len() as u8;
        self.older = merged;
        self.below = older.below;
        self.last_used = self.last_used.max(older.last_used);
    }

    /// All that is kept, oldest first, with the epochs.
    fn all(&self) -> impl Iterator<Item = (ProducerEpoch, ProducedBatch)> {
        let count = usize::from(self.batches_count);
        let newest = self.epochs.iter().copied().zip(self.batches).take(count);
        self.older.iter().copied().chain(newest)
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
