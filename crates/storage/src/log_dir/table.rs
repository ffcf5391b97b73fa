use crate::findings::Findings;
use crate::partition::{Partition, PartitionState};
use ottla_types::{PartitionSlot, TopicPartition};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The partitions of a directory by slot and by id.
///
/// A slot is never given to another partition: a stale one names nothing, never somebody else.
pub(crate) struct Table {
    slots: Vec<Option<Arc<Partition>>>,
    by_id: BTreeMap<TopicPartition, PartitionSlot>,
    findings: Arc<Findings>,
}

impl Table {
    /// No partitions; what is found in the files of those that come goes to `findings`.
    pub(crate) fn new(findings: Arc<Findings>) -> Table {
        Table {
            slots: Vec::new(),
            by_id: BTreeMap::new(),
            findings,
        }
    }

    /// The partition at `slot`.
    pub(crate) fn get(&self, slot: PartitionSlot) -> Option<&Arc<Partition>> {
        self.slots.get(slot.get() as usize)?.as_ref()
    }

    /// The partition named `id`.
    pub(crate) fn find(&self, id: TopicPartition) -> Option<&Arc<Partition>> {
        self.get(*self.by_id.get(&id)?)
    }

    /// Adds a partition that is not there yet.
    pub(crate) fn insert(
        &mut self,
        id: TopicPartition,
        mut state: PartitionState,
    ) -> &Arc<Partition> {
        let slot = PartitionSlot::new(u32::try_from(self.slots.len()).expect("slots fit 32 bits"));
        let known = self.by_id.insert(id, slot);
        assert_eq!(known, None, "a partition is inserted once");
        state.findings = Arc::clone(&self.findings);
        self.slots
            .push(Some(Arc::new(Partition::new(slot, id, state))));
        self.slots
            .last()
            .and_then(Option::as_ref)
            .expect("it was just pushed")
    }

    /// Takes a partition out.
    pub(crate) fn remove(&mut self, slot: PartitionSlot) {
        if let Some(partition) = self
            .slots
            .get_mut(slot.get() as usize)
            .and_then(Option::take)
        {
            self.by_id.remove(&partition.id());
        }
    }

    /// All partitions, by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.slots.iter().flatten()
    }

    /// The first partition at or after `slot`.
    pub(crate) fn next_from(&self, slot: u32) -> Option<&Arc<Partition>> {
        self.slots.get(slot as usize..)?.iter().flatten().next()
    }

    /// How many partitions there are.
    pub(crate) fn count(&self) -> usize {
        self.by_id.len()
    }
}
