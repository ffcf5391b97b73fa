use super::StorageWorld;
use super::appends::LargeAppend;
use super::model::{Floors, ModelPartition};
use super::reads::HeldRead;
use crate::disk::SimDisk;
use crate::excuse::Excuse;
use crate::oracle::Violation;
use ottla_storage::log_dir::{DirHealth, LogDir};
use ottla_types::{Lsn, TopicPartition};
use std::collections::BTreeMap;

/// A log directory, its disk, and what was promised of it.
pub(super) struct Place {
    /// Which of the run's it is.
    pub(super) number: usize,
    pub(super) disk: SimDisk,
    /// `None` between a crash and the next successful open.
    pub(super) dir: Option<LogDir>,
    pub(super) excuse: Excuse,
    /// Those whose log is here, as the metadata would say.
    pub(super) partitions: BTreeMap<TopicPartition, ModelPartition>,
    /// Partitions whose drop was asked for: gone for good once it is durable.
    pub(super) dropped: BTreeMap<TopicPartition, ModelPartition>,
    /// Logs that went to another directory or never came to serve in this one, with the entries that drop them.
    pub(super) left: BTreeMap<TopicPartition, Lsn>,
    pub(super) floors: Floors,
    pub(super) held: Vec<HeldRead>,
    /// Large batches that are being written.
    pub(super) large: Vec<LargeAppend>,
    /// The last recovery read every segment, because no checkpoint was good.
    pub(super) was_rebuilt: bool,
    /// The last recovery said that something may be missing.
    pub(super) lossy: bool,
    /// Failed syncs until the directory was last opened: one more, and the page cache has lost something.
    pub(super) failed_syncs: u64,
}

impl Place {
    /// An empty disk, with nothing open.
    pub(super) fn new(number: usize, disk: SimDisk) -> Place {
        Place {
            number,
            disk,
            dir: None,
            excuse: Excuse::default(),
            partitions: BTreeMap::new(),
            dropped: BTreeMap::new(),
            left: BTreeMap::new(),
            floors: Floors::default(),
            held: Vec::new(),
            large: Vec::new(),
            was_rebuilt: false,
            lossy: false,
            failed_syncs: 0,
        }
    }

    /// It failed, or is not open.
    pub(super) fn is_offline(&self) -> bool {
        let dir = self.dir.as_ref();
        dir.is_none_or(|dir| matches!(dir.health(), DirHealth::Offline { .. }))
    }
}

impl StorageWorld {
    /// Makes another directory the one that steps are about.
    pub(super) fn turn_to(&mut self, number: usize) {
        let mut others = self.others.iter_mut();
        if let Some(there) = others.find(|place| place.number == number) {
            std::mem::swap(&mut self.here, there);
        }
    }

    /// Does something with each directory, one after the other.
    pub(super) fn each_place(
        &mut self,
        mut act: impl FnMut(&mut StorageWorld) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        let number = self.here.number;
        for place in 0..self.places_count() {
            self.turn_to(place);
            act(self)?;
        }
        self.turn_to(number);
        Ok(())
    }

    /// All directories, the one at hand first.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        std::iter::once(&self.here).chain(&self.others)
    }

    /// Every one of them.
    pub(super) fn places_mut(&mut self) -> impl Iterator<Item = &mut Place> {
        std::iter::once(&mut self.here).chain(&mut self.others)
    }

    /// How many directories there are.
    pub(super) fn places_count(&self) -> usize {
        1 + self.others.len()
    }
}
