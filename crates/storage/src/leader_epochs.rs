use ottla_types::{LeaderEpoch, Offset};

/// Where an epoch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Offset of its first record (inclusive).
    pub start_offset: Offset,
}

/// Which leader epoch wrote which offsets (Kafka's `LeaderEpochFileCache`, KIP-101, KIP-279).
///
/// It is stored, not derived from batches: compaction can remove every batch of an epoch.
///
/// Invariants: epochs ascend strictly, start offsets ascend strictly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    entries: Vec<EpochStart>,
}

impl LeaderEpochs {
    /// Takes over stored entries; `None` when they break the invariants.
    pub fn from_entries(entries: Vec<EpochStart>) -> Option<LeaderEpochs> {
        let epochs = LeaderEpochs { entries };
        epochs.holds().then_some(epochs)
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> &[EpochStart] {
        &self.entries
    }

    /// The newest epoch.
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// Notes that `epoch` begins at `start_offset`. Entries that contradict it are the remains of a
    /// leadership that wrote nothing, or of records that were cut off: they go. Returns whether
    /// anything changed.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        let holds = |last: &EpochStart| last.epoch == epoch && last.start_offset <= start_offset;
        if self.entries.last().is_some_and(holds) {
            return false;
        }
        self.entries
            .retain(|entry| entry.epoch < epoch && entry.start_offset < start_offset);
        self.entries.push(EpochStart {
            epoch,
            start_offset,
        });
        true
    }

    /// The epoch that wrote `offset`.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let above = self
            .entries
            .partition_point(|entry| entry.start_offset <= offset);
        above.checked_sub(1).map(|index| self.entries[index].epoch)
    }

    /// The largest epoch not above `epoch` that is known here, and the offset after its last record.
    /// `None` for an epoch above all known ones.
    ///
    /// An epoch below all known ones gives itself and the start of the first known one.
    pub fn end_offset(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        if self.latest()? == epoch {
            return Some((epoch, log_end));
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let next = self.entries.get(above)?;
        let floor = above
            .checked_sub(1)
            .map_or(epoch, |index| self.entries[index].epoch);
        Some((floor, next.start_offset))
    }

    /// The log now ends at `end` (exclusive).
    pub fn truncate_to(&mut self, end: Offset) {
        self.entries.retain(|entry| entry.start_offset < end);
    }

    /// The log now starts at `start`: the epoch that `start` lies in begins there.
    pub fn start_from(&mut self, start: Offset) {
        let above = self
            .entries
            .partition_point(|entry| entry.start_offset <= start);
        if above > 0 {
            self.entries.drain(..above - 1);
            self.entries[0].start_offset = start;
        }
    }

    fn holds(&self) -> bool {
        self.entries.windows(2).all(|pair| {
            pair[0].epoch < pair[1].epoch && pair[0].start_offset < pair[1].start_offset
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        let entries = entries
            .iter()
            .map(|(epoch, start)| EpochStart {
                epoch: LeaderEpoch::new(*epoch),
                start_offset: Offset::new(*start),
            })
            .collect();
        LeaderEpochs::from_entries(entries).expect("ascending")
    }

    fn end(epochs: &LeaderEpochs, epoch: i32) -> Option<(i32, i64)> {
        epochs
            .end_offset(LeaderEpoch::new(epoch), Offset::new(100))
            .map(|(epoch, offset)| (epoch.get(), offset.get()))
    }

    #[test]
    fn end_offsets_are_kafkas() {
        let some = epochs(&[(2, 10), (4, 30), (7, 60)]);
        let table = [
            (0, Some((0, 10))), // below all: itself, and where the first known one begins
            (2, Some((2, 30))),
            (3, Some((2, 30))), // a gap: the largest one below
            (4, Some((4, 60))),
            (7, Some((7, 100))), // the latest one: the log's end
            (8, None),
        ];
        for (epoch, expected) in table {
            assert_eq!(end(&some, epoch), expected, "epoch {epoch}");
        }
        assert_eq!(end(&LeaderEpochs::default(), 0), None);
    }

    #[test]
    fn an_epoch_without_records_gives_way() {
        let mut some = epochs(&[(2, 10), (4, 30)]);
        assert!(!some.assign(LeaderEpoch::new(4), Offset::new(31)));
        assert!(some.assign(LeaderEpoch::new(5), Offset::new(30)));
        assert_eq!(some, epochs(&[(2, 10), (5, 30)]));
    }

    #[test]
    fn both_ends_can_be_cut() {
        let mut some = epochs(&[(2, 10), (4, 30), (7, 60)]);
        some.start_from(Offset::new(35));
        assert_eq!(some, epochs(&[(4, 35), (7, 60)]));
        assert_eq!(some.epoch_of(Offset::new(59)), Some(LeaderEpoch::new(4)));
        assert_eq!(some.epoch_of(Offset::new(34)), None);
        some.truncate_to(Offset::new(60));
        assert_eq!(some, epochs(&[(4, 35)]));
        some.start_from(Offset::new(5));
        assert_eq!(some, epochs(&[(4, 35)]));
    }
}
