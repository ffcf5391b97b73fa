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
    /// A crash takes nothing below it.
    durable: i64,
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
            let (id, epoch, durable_end) = (batch.id, batch.epoch, Offset::new(self.durable));
            self.state.push(id, epoch, produced, None, now, durable_end);
        }
        check
    }

    /// As memory knows it.
    fn cut(&mut self, end: i64) -> usize {
        let left = self.state.cut_at(Offset::new(end));
        self.end = end;
        self.state.truncate_to(Offset::new(end), left)
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
    assert_eq!(log.cut(1), 0);
    assert_eq!(
        log.state.check(&batch(0, 1, 1), false, NEVER),
        SequenceCheck::New
    );
    assert_eq!(log.cut(0), 1);
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
    let used = Timestamp::from_millis(6);
    state.push(id, epoch, produced, None, used, Offset::new(6));
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
    log.durable = 20;
    for index in 2..20 {
        log.offer(batch(0, index, 1), 1);
    }
    // The batches before those that are remembered stay in the log: somebody has to look there.
    let left = log.state.cut_at(Offset::new(4));
    assert!(!left[0].is_exact());
    assert_eq!(log.cut(4), 1);
    assert_eq!(log.state.snapshot_offset(), None);
}

fn sequences(entry: &ProducerEntry) -> Vec<i32> {
    let batches = entry.batches().iter();
    batches.map(|batch| batch.last_sequence.get()).collect()
}

/// However many batches are not durable: a crash that takes them back leaves a whole window, and the right epoch.
#[test]
fn what_is_not_durable_is_taken_back_exactly() {
    let mut log = Log::default();
    for epoch in 0..3 {
        for index in 0..8 {
            log.offer(batch(epoch, index, 1), 1);
        }
    }
    for durable in 0..24 {
        log.durable = durable;
        let mut entry = log.state.entries().next().expect("known").clone();
        assert_eq!(entry.rewind_to(Offset::new(durable)), 0 < durable);
        assert!(entry.is_exact());
        let count = (durable as i32 - 1).rem_euclid(8) + 1;
        let expected: Vec<i32> = ((count - 5).max(0)..count).collect();
        match durable {
            0 => assert_eq!(sequences(&entry), []),
            _ => assert_eq!(sequences(&entry), expected, "{durable} durable"),
        }
    }
    // What is durable is forgotten with the next batch, but for what a leader may take back.
    log.offer(batch(2, 8, 1), 1);
    let entry = log.state.entries().next().expect("known");
    assert_eq!(sequences(entry), [4, 5, 6, 7, 8]);
    let mut entry = entry.clone();
    entry.rewind_to(Offset::new(18));
    assert_eq!(sequences(&entry), [0, 1]);
    assert!(entry.is_exact());
    entry.rewind_to(Offset::new(16));
    assert_eq!(sequences(&entry), [7]);
    assert!(!entry.is_exact());
}

/// A producer all of whose batches are known needs nobody to look for others.
#[test]
fn a_new_producer_is_known_whole() {
    let mut log = Log {
        durable: 100,
        ..Log::default()
    };
    for index in 0..10 {
        log.offer(batch(0, index, 1), 1);
    }
    for end in 0..10 {
        assert!(log.state.cut_at(Offset::new(end))[0].is_exact(), "{end}");
    }
    log.offer(batch(0, 10, 1), 1);
    let is_exact = |end| log.state.cut_at(Offset::new(end))[0].is_exact();
    let exact: Vec<bool> = (3..8).map(is_exact).collect();
    assert_eq!(exact, [false, false, false, true, true]);
}
