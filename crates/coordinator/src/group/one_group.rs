use super::classic::ClassicGroup;
use super::committed_offset::CommittedOffset;
use crate::machine::WriteNumber;
use ottla_types::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One group: its members and its offsets.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) classic: ClassicGroup,
    pub(crate) offsets: BTreeMap<Arc<str>, BTreeMap<i32, CommittedOffset>>,
    /// The last write about it: everything that is said of it depends on that.
    pub(crate) last_write: WriteNumber,
    /// Requests that committed offsets since it was loaded.
    pub(crate) commits_count: u64,
}

impl Group {
    pub(crate) fn empty(now: Timestamp) -> Group {
        Group {
            classic: ClassicGroup::empty(now),
            offsets: BTreeMap::new(),
            last_write: WriteNumber::LOADED,
            commits_count: 0,
        }
    }

    pub(crate) fn set_offset(&mut self, topic: &Arc<str>, partition: i32, offset: CommittedOffset) {
        match self.offsets.get_mut(topic) {
            Some(partitions) => drop(partitions.insert(partition, offset)),
            None => {
                let partitions = BTreeMap::from([(partition, offset)]);
                self.offsets.insert(Arc::clone(topic), partitions);
            }
        }
    }

    pub(crate) fn remove_offset(&mut self, topic: &str, partition: i32) {
        if let Some(partitions) = self.offsets.get_mut(topic) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                self.offsets.remove(topic);
            }
        }
    }
}
