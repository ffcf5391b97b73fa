use crate::core::producer_batch::{Batch, BatchId, BatchPlace};
use ottla_records::Compressor;
use ottla_types::{Mono, ProducerEpoch, ProducerId, Sequence};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The batches of one partition that are not under way, and what is known of those that are.
#[derive(Debug, Default)]
pub(super) struct PartitionQueue {
    /// Takes records.
    pub(super) open: Option<Batch>,
    /// Closed batches, places ascending; all older than `open`.
    pub(super) queue: VecDeque<Batch>,
    /// The batches under way, and how often each was sent before.
    pub(super) in_flight: BTreeMap<BatchPlace, u32>,
    /// Producer id and epoch that this partition's sequences belong to.
    pub(super) identity: Option<(ProducerId, ProducerEpoch)>,
    /// The broker has a batch of that identity, so it can tell a gap.
    pub(super) is_established: bool,
    /// Sequence of the next record.
    pub(super) next_sequence: Sequence,
    /// Not before this time.
    pub(super) not_before: Mono,
    /// There is a gap in the sequences.
    pub(super) needs_new_epoch: bool,
}

/// Whether the next batch of a partition can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    /// Now.
    Ready,
    /// At this time.
    At(Mono),
    /// Not before something else happens.
    Blocked,
}

impl PartitionQueue {
    fn first_in_flight(&self) -> Option<&BatchPlace> {
        self.in_flight.first_key_value().map(|(place, _)| place)
    }

    /// Nothing to send.
    pub(super) fn is_idle(&self) -> bool {
        self.open.is_none() && self.queue.is_empty()
    }

    /// When the oldest batch that is not under way was begun.
    pub(super) fn oldest(&self) -> Option<Mono> {
        self.queue
            .front()
            .or(self.open.as_ref())
            .map(|batch| batch.created)
    }

    pub(super) fn close_open(&mut self, compressor: &mut Compressor) {
        if let Some(mut batch) = self.open.take() {
            batch.close(compressor);
            self.queue.push_back(batch);
        }
    }

    pub(super) fn readiness(
        &self,
        now: Mono,
        linger: Duration,
        flush_end: BatchId,
        in_flight_max: usize,
    ) -> Readiness {
        let in_flight_max = if self.is_established {
            in_flight_max
        } else {
            1
        };
        if self.needs_new_epoch || self.in_flight.len() >= in_flight_max {
            return Readiness::Blocked;
        }
        // Nothing younger joins a repetition: the broker remembers five batches, and the one that is
        // repeated must still be among them when it comes for the third or fourth time.
        if self.in_flight.values().any(|attempts| *attempts > 0) {
            return Readiness::Blocked;
        }
        let at = match (self.queue.front(), &self.open) {
            (Some(front), _) => {
                // A repetition waits until nothing older, and nothing younger that was sent after it,
                // can come back: see the module's description.
                let overtaken = self
                    .first_in_flight()
                    .is_some_and(|first| *first < front.place());
                if front.attempts > 0 && overtaken {
                    return Readiness::Blocked;
                }
                self.not_before
            }
            (None, Some(open)) if open.id < flush_end => self.not_before,
            (None, Some(open)) => self.not_before.max(open.created.plus(linger)),
            (None, None) => return Readiness::Blocked,
        };
        if at <= now {
            Readiness::Ready
        } else {
            Readiness::At(at)
        }
    }

    /// Bytes of the batch that [`PartitionQueue::take_next`] would give.
    pub(super) fn next_size(&self) -> usize {
        self.queue
            .front()
            .or(self.open.as_ref())
            .map_or(0, Batch::size)
    }

    /// The oldest batch, closed.
    pub(super) fn take_next(&mut self, compressor: &mut Compressor) -> Option<Batch> {
        if self.queue.is_empty() {
            self.close_open(compressor);
        }
        self.queue.pop_front()
    }

    /// Puts a batch that came back to its place.
    pub(super) fn requeue(&mut self, batch: Batch) {
        let place = self
            .queue
            .partition_point(|other| other.place() < batch.place());
        self.queue.insert(place, batch);
    }

    /// A batch that was begun too long ago.
    pub(super) fn take_expired(&mut self, now: Mono, timeout: Duration) -> Option<Batch> {
        let expired = |batch: &Batch| batch.created.plus(timeout) <= now;
        if self.queue.front().is_some_and(expired) {
            return self.queue.pop_front();
        }
        if self.queue.is_empty() && self.open.as_ref().is_some_and(expired) {
            return self.open.take();
        }
        None
    }

    /// Whether nothing older that was sent can still come or be sent again.
    pub(super) fn is_oldest(&self, place: BatchPlace) -> bool {
        let queued = self
            .queue
            .front()
            .is_some_and(|batch| batch.place() < place);
        let under_way = self.first_in_flight().is_some_and(|first| *first < place);
        !queued && !under_way
    }

    /// Sequences begin at 0 again. Gives back the batches that must not be sent under another epoch.
    pub(super) fn begin_epoch(&mut self) -> Vec<Batch> {
        assert!(
            self.in_flight.is_empty(),
            "nothing may be under way with the old epoch"
        );
        self.needs_new_epoch = false;
        self.is_established = false;
        self.next_sequence = Sequence::new(0);
        let (lost, mut kept): (Vec<Batch>, Vec<Batch>) = self
            .queue
            .drain(..)
            .partition(|batch| batch.possibly_written);
        for batch in &mut kept {
            batch.stamp = None;
            batch.attempts = 0;
        }
        self.queue = kept.into();
        lost
    }
}
