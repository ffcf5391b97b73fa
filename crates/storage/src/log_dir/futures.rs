//! Future logs: copies that are made of logs in other directories, until they serve in their place
//! (docs/decisions/moving-between-directories.md).

use super::pump::Pump;
use super::{LogDir, StorageError, changes};
use crate::partition::{LogConfig, PartitionState, dir_name};
use crate::planted::PlantedBug;
use crate::wal::{Body, DurabilityClass, Entry, EntryHeader, EntryKind};
use bytes::Bytes;
use ottla_types::{Lsn, Offset, PartitionSlot, TopicPartition};

impl LogDir {
    /// Begins a future log: empty, at `log_start`. It is one also after a restart, until [`LogDir::promote`] or its drop.
    /// The caller waits for the returned LSN before it says so.
    ///
    /// Batches come with [`AppendOrigin::Replica`](super::AppendOrigin). Retention and compaction leave it alone; its
    /// start follows its source's with [`LogDir::delete_records`].
    ///
    /// A partition's log may come back into a directory that it was dropped from, but not before the former one is gone:
    /// until then this is refused with [`StorageError::Undurable`], when the drop has to be durable first, or
    /// [`StorageError::BeingRemoved`].
    pub fn begin_future(
        &self,
        id: TopicPartition,
        topic_name: &str,
        config: LogConfig,
        log_start: Offset,
    ) -> Result<(PartitionSlot, Lsn), StorageError> {
        if self.health.is_offline() {
            return Err(StorageError::Offline);
        }
        self.finish_drops();
        let pump = self.pump.lock();
        let mut table = self.table.write();
        if table.find(id).is_some() {
            return Err(StorageError::AlreadyThere);
        }
        self.check_left(&pump, id)?;
        let name = dir_name(topic_name, id);
        let argument = match self.options.planted.is(PlantedBug::CopyMarkForgotten) {
            true => 0,
            false => changes::BEGUN_AS_FUTURE,
        };
        let header = EntryHeader {
            kind: EntryKind::Begin,
            topic_partition: id,
            base_offset: log_start,
            end_offset: Offset::ZERO,
            argument,
        };
        let body = Bytes::copy_from_slice(name.as_bytes());
        let lsn = self
            .wal
            .enqueue(Entry::new(header, DurabilityClass::Fsync, body))?;
        let mut state = PartitionState::begun_at(config, log_start, lsn);
        state.dir = Some(name);
        state.is_future = true;
        Ok((table.insert(id, state).slot(), lsn))
    }

    /// Whether it is a future log.
    pub fn is_future(&self, slot: PartitionSlot) -> bool {
        self.partition(slot)
            .is_some_and(|partition| partition.lock().is_future)
    }

    /// The log serves from now on: retention and compaction take it up. What the source knew beside its batches it has been
    /// told before, with [`LogDir::remember`]: from the moment on that decides for the copy a crash may leave nobody who
    /// knows it. The caller waits for the returned LSN before the source is dropped. Of a log that is no future one this
    /// changes nothing.
    pub fn promote(&self, slot: PartitionSlot) -> Result<Lsn, StorageError> {
        let partition = self.partition(slot).ok_or(StorageError::UnknownPartition)?;
        let mut state = partition.lock();
        if state.is_gone() {
            return Err(StorageError::UnknownPartition);
        }
        if !state.is_future {
            // Whoever promoted it may still wait for its entry.
            return Ok(state.promote_lsn);
        }
        let header = EntryHeader {
            kind: EntryKind::Promote,
            topic_partition: partition.id(),
            base_offset: Offset::ZERO,
            end_offset: Offset::ZERO,
            argument: 0,
        };
        let entry = Entry::new(header, DurabilityClass::Fsync, Body::Empty);
        let lsn = self.wal.enqueue(entry)?;
        state.is_future = false;
        state.promote_lsn = lsn;
        state.state_lsn = lsn;
        Ok(lsn)
    }

    /// Fails as long as an earlier log of the partition is not gone: a restart could not tell whose the directory is, nor
    /// which log an entry belongs to.
    pub(super) fn check_left(&self, pump: &Pump, id: TopicPartition) -> Result<(), StorageError> {
        let dropping = self.dropping.lock();
        let earlier = dropping.iter().find(|(partition, _)| partition.id() == id);
        let durability = earlier.map(|(_, lsn)| *lsn);
        drop(dropping);
        if let Some(durability) = durability {
            self.wal.sync_soon();
            return Err(StorageError::Undurable { durability });
        }
        match pump.is_leaving(id) {
            true => Err(StorageError::BeingRemoved),
            false => Ok(()),
        }
    }
}
