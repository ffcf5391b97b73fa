use super::*;

const NEVER: Timestamp = Timestamp::from_millis(i64::MIN);

fn batch(epoch: i16, base: i32, count: i32) -> ProducerBatch {
    ProducerBatch {
        id: ProducerId::new(7),
        epoch: ProducerEpoch::new(epoch),
        base_sequence: Sequence::new(base),
        last_sequence: Sequence::new(base).plus(count - 1),
    }
}

/// A partition that appends what it accepts, one record per offset.
#[derive(Default)]
struct Log {
    state: ProducerState,
    end: i64,
}

impl Log {
    fn offer(&mut self, batch: ProducerBatch, count: i32) -> SequenceCheck {
        let check = self.state.check(&batch, false, NEVER);
        if check == SequenceCheck::New {
            self.end += i64::from(count);
            let produced = ProducedBatch {
                last_sequence: batch.last_sequence,
                last_offset: Offset::new(self.end - 1),
                offset_delta: count - 1,
                timestamp: Timestamp::from_millis(5),
            };
            let now = Timestamp::from_millis(self.end);
            self.state.push(batch.id, batch.epoch, produced, None, now);
        }
        check
    }
}

#[test]
fn the_last_five_batches_are_known_exactly() {
    let mut log = Log::default();
    for index in 0..7 {
        assert_eq!(log.offer(batch(0, index * 10, 10), 10), SequenceCheck::New);
    }
    for index in 2..7 {
        let SequenceCheck::Duplicate(known) = log.offer(batch(0, index * 10, 10), 10) else {
            panic!("batch {index} is one of the last five");
        };
        assert_eq!(known.base_offset(), Offset::new(i64::from(index) * 10));
    }
    // Older than the window, or overlapping it without being equal.
    for (base, count) in [(10, 10), (20, 5), (65, 5), (71, 1)] {
        let check = log.offer(batch(0, base, count), count);
        let last_sequence = Some(Sequence::new(69));
        assert_eq!(
            check,
            SequenceCheck::OutOfOrder { last_sequence },
            "{base}+{count}"
        );
    }
}

#[test]
fn sequences_wrap_to_zero() {
    let mut log = Log::default();
    assert_eq!(log.offer(batch(0, i32::MAX - 2, 5), 5), SequenceCheck::New);
    let known = log.offer(batch(0, i32::MAX - 2, 5), 5);
    assert!(matches!(known, SequenceCheck::Duplicate(_)), "{known:?}");
    assert_eq!(log.offer(batch(0, 2, 1), 1), SequenceCheck::New);
    let mut log = Log::default();
    assert_eq!(log.offer(batch(0, i32::MAX, 1), 1), SequenceCheck::New);
    assert_eq!(log.offer(batch(0, 0, 1), 1), SequenceCheck::New);
}

#[test]
fn epochs_fence_and_begin_at_zero() {
    let mut log = Log::default();
    // Nothing known: any sequence may be the first.
    assert_eq!(log.offer(batch(1, 40, 1), 1), SequenceCheck::New);
    let current = ProducerEpoch::new(1);
    assert_eq!(
        log.offer(batch(0, 41, 1), 1),
        SequenceCheck::FencedEpoch { current }
    );
    let last_sequence = Some(Sequence::new(40));
    assert_eq!(
        log.offer(batch(2, 41, 1), 1),
        SequenceCheck::OutOfOrder { last_sequence }
    );
    assert_eq!(log.offer(batch(2, 0, 1), 1), SequenceCheck::New);
    assert_eq!(log.offer(batch(2, 1, 1), 1), SequenceCheck::New);
}

#[test]
fn truncation_takes_batches_back() {
    let mut log = Log::default();
    for index in 0..3 {
        log.offer(batch(0, index, 1), 1);
    }
    assert_eq!(log.state.truncate_to(Offset::new(1)), 0);
    assert_eq!(
        log.state.check(&batch(0, 1, 1), false, NEVER),
        SequenceCheck::New
    );
    assert_eq!(log.state.truncate_to(Offset::new(0)), 1);
    assert_eq!(log.state.count(), 0);
}

#[test]
fn unused_producers_expire() {
    let mut log = Log::default();
    log.offer(batch(0, 0, 1), 1);
    let later = Timestamp::from_millis(100);
    // Expired at once for whoever asks, removed at the next sweep.
    assert_eq!(
        log.state.check(&batch(0, 9, 1), false, later),
        SequenceCheck::New
    );
    assert_eq!(log.state.expire(Timestamp::from_millis(1)), 0);
    assert_eq!(log.state.expire(later), 1);
}

#[test]
fn a_snapshot_is_asked_for_and_merged() {
    let mut log = Log::default();
    for index in 0..5 {
        log.offer(batch(0, index, 1), 1);
    }
    let snapshot: Vec<_> = log.state.entries().cloned().collect();
    // After a restart: one newer batch came from the journal, the rest is in the snapshot.
    let mut state = ProducerState::restored(Some(Offset::new(5)));
    let other = ProducerBatch {
        id: ProducerId::new(8),
        ..batch(0, 0, 1)
    };
    assert_eq!(
        state.check(&other, false, NEVER),
        SequenceCheck::SnapshotNeeded
    );
    let produced = ProducedBatch {
        last_sequence: Sequence::new(5),
        last_offset: Offset::new(5),
        offset_delta: 0,
        timestamp: Timestamp::from_millis(5),
    };
    let (id, epoch) = (ProducerId::new(7), ProducerEpoch::new(0));
    state.push(id, epoch, produced, None, Timestamp::from_millis(6));
    // Its own window is not whole either: the retry of an older batch must be known.
    assert_eq!(
        state.check(&batch(0, 3, 1), false, NEVER),
        SequenceCheck::SnapshotNeeded
    );
    state.load(Offset::new(5), snapshot);
    let retried = state.check(&batch(0, 3, 1), false, NEVER);
    assert!(
        matches!(retried, SequenceCheck::Duplicate(_)),
        "{retried:?}"
    );
    assert_eq!(state.check(&other, false, NEVER), SequenceCheck::New);
    let window: Vec<_> = state.get(id).expect("known").batches().to_vec();
    let sequences: Vec<_> = window
        .iter()
        .map(|batch| batch.last_sequence.get())
        .collect();
    assert_eq!(sequences, [1, 2, 3, 4, 5]);
    assert_eq!(state.changed_count(), 1);
}

/// Whoever a truncation made unknown does not come back as an older snapshot knew it.
#[test]
fn a_snapshot_does_not_bring_back_whom_a_truncation_forgot() {
    let mut log = Log::default();
    for index in 0..2 {
        log.offer(batch(0, index, 1), 1);
    }
    log.state.snapshot_written(Offset::new(2));
    for index in 2..20 {
        log.offer(batch(0, index, 1), 1);
    }
    // The batches before those that are remembered stay in the log.
    assert_eq!(log.state.truncate_to(Offset::new(4)), 1);
    assert_eq!(log.state.snapshot_offset(), None);
}
