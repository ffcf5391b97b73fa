use ottla_types::{Lsn, PartitionSlot};
use std::collections::BTreeMap;

/// Which journal entries are still needed, oldest first: one per partition with something that is not synced, and
/// one per deletion that is not finished.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    by_lsn: BTreeMap<Lsn, Option<PartitionSlot>>,
}

impl Pins {
    /// A partition's pin moved.
    pub(crate) fn moved(&mut self, slot: PartitionSlot, from: Option<Lsn>, to: Option<Lsn>) {
        if let Some(from) = from {
            let known = self.by_lsn.remove(&from);
            assert_eq!(known, Some(Some(slot)), "a pin belongs to one partition");
        }
        if let Some(to) = to {
            let known = self.by_lsn.insert(to, Some(slot));
            assert_eq!(known, None, "an entry belongs to one partition");
        }
    }

    /// Something else needs the entry `lsn`.
    pub(crate) fn hold(&mut self, lsn: Lsn) {
        self.by_lsn.insert(lsn, None);
    }

    /// What [`Pins::hold`] held is not needed any more.
    pub(crate) fn let_go(&mut self, lsn: Lsn) {
        self.by_lsn.remove(&lsn);
    }

    /// The oldest entry that is needed.
    pub(crate) fn oldest(&self) -> Option<Lsn> {
        self.by_lsn.keys().next().copied()
    }

    /// Partitions that need entries below `end`, those with the oldest ones first; at most `count_max`.
    pub(crate) fn partitions_below(&self, end: Lsn, count_max: usize) -> Vec<PartitionSlot> {
        self.by_lsn
            .range(..end)
            .filter_map(|(_, slot)| *slot)
            .take(count_max)
            .collect()
    }

    /// All partitions with a pin.
    pub(crate) fn partitions(&self) -> Vec<PartitionSlot> {
        self.by_lsn.values().filter_map(|slot| *slot).collect()
    }

    /// How many pins there are.
    pub(crate) fn count(&self) -> usize {
        self.by_lsn.len()
    }
}
