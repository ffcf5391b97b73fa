use super::changes::CutFacts;
use super::cut_producers::{FoundProducers, Left, Moment, place_for_fewer};
use super::{LogDir, StorageError};
use crate::partition::{Cut, Durability, LogConfig, Partition, PartitionState, Standing, dir_name};
use crate::planted::PlantedBug;
use crate::producer_state::ProducerEntry;
use crate::segment::{Access, SegmentFile};
use crate::wal::{Body, DurabilityClass, Entry, EntryHeader, EntryKind, WalError};
use bytes::Bytes;
use ottla_types::{LeaderEpoch, Lsn, Now, Offset, PartitionSlot, Timestamp, TopicPartition};
use std::sync::Arc;

/// Bytes of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionSizes {
    /// All its batches.
    pub bytes: u64,
    /// Those that are only in memory and in the journal.
    pub tail_bytes: u64,
    /// Segments.
    pub segments_count: usize,
}

/// Where a log is to be cut.
enum Place {
    Tail,
    /// In this file, of which so many bytes are written.
    File(Arc<SegmentFile>, u32),
    /// Below the first segment.
    BelowAll,
}

impl From<WalError> for StorageError {
    fn from(_: WalError) -> StorageError {
        StorageError::Offline
    }
}

impl LogDir {
    /// Makes a partition, or names and configures one that recovery found; a future log stays one. Does no I/O: nothing
    /// is on disk before the first append. As long as an earlier log of the partition is not gone from here, refused as by
    /// [`LogDir::begin_future`].
    pub fn create_partition(
        &self,
        id: TopicPartition,
        topic_name: &str,
        config: LogConfig,
    ) -> Result<PartitionSlot, StorageError> {
        if self.health.is_offline() {
            return Err(StorageError::Offline);
        }
        let pump = self.pump.lock();
        let mut table = self.table.write();
        if table.find(id).is_none() {
            self.check_left(&pump, id)?;
            table.insert(id, PartitionState::new(config));
        }
        drop(pump);
        let partition = table.find(id).expect("it was inserted");
        let mut state = partition.lock();
        if state.dir.is_none() {
            state.dir = Some(dir_name(topic_name, id));
        }
        self.configure(&mut state, config);
        Ok(partition.slot())
    }

    /// The slot of a partition.
    pub fn slot(&self, id: TopicPartition) -> Option<PartitionSlot> {
        Some(self.table.read().find(id)?.slot())
    }

    /// All partitions with their topics' names; the name of a stray that nobody has named yet is empty.
    pub fn partitions(&self) -> Vec<(PartitionSlot, TopicPartition, String)> {
        let table = self.table.read();
        let named = |partition: &Arc<Partition>| {
            let dir = partition.lock().dir.clone();
            let name = dir.as_deref().and_then(|dir| dir.rsplit_once('-'));
            let name = name.map_or(String::new(), |(name, _)| name.to_owned());
            (partition.slot(), partition.id(), name)
        };
        table.iter().map(named).collect()
    }

    /// Changes a partition's settings. A topic that becomes durable is so after one fsync.
    pub fn set_config(&self, slot: PartitionSlot, config: LogConfig) {
        if let Some(partition) = self.partition(slot) {
            self.configure(&mut partition.lock(), config);
        }
    }

    fn configure(&self, state: &mut PartitionState, config: LogConfig) {
        let becomes_durable =
            state.config.durability == Durability::Os && config.durability == Durability::Fsync;
        if becomes_durable {
            state.fsync_from = self.wal.next_lsn();
            self.wal.sync_soon();
        }
        state.config = config;
    }

    /// The settings of a partition.
    pub fn config(&self, slot: PartitionSlot) -> Option<LogConfig> {
        let config = self.partition(slot)?.lock().config;
        Some(config)
    }

    /// What the partition remembers of producers.
    pub fn producers(&self, slot: PartitionSlot) -> Vec<ProducerEntry> {
        let Some(partition) = self.partition(slot) else {
            return Vec::new();
        };
        let state = partition.lock();
        state.producers.entries().cloned().collect()
    }

    /// The partition's sizes.
    pub fn sizes(&self, slot: PartitionSlot) -> Option<PartitionSizes> {
        let partition = self.partition(slot)?;
        let state = partition.lock();
        Some(PartitionSizes {
            bytes: state.size(),
            tail_bytes: state.tail.bytes() as u64,
            segments_count: state.segments.len(),
        })
    }

    /// Why a partition refuses appends, if it lost data.
    pub fn damage(&self, slot: PartitionSlot) -> Option<String> {
        let partition = self.partition(slot)?;
        let state = partition.lock();
        match &state.standing {
            Standing::Damaged { reason } => Some(reason.clone()),
            Standing::Good | Standing::Dropping { .. } | Standing::Dropped => None,
        }
    }

    /// A leader begins `epoch`: older ones are fenced from now on.
    pub fn bump_leader_epoch(
        &self,
        slot: PartitionSlot,
        epoch: LeaderEpoch,
    ) -> Result<(), StorageError> {
        let partition = self.partition(slot).ok_or(StorageError::UnknownPartition)?;
        let mut state = partition.lock();
        state.leader_epoch = state.leader_epoch.max(Some(epoch));
        Ok(())
    }

    /// The leader says that the records below `offset` are on enough replicas: retention and compaction go no further.
    /// As long as nobody says anything, durable records count.
    pub fn set_high_watermark(&self, slot: PartitionSlot, offset: Offset) {
        if let Some(partition) = self.partition(slot) {
            partition.set_high_watermark(offset);
        }
    }

    /// The log starts at `to` from now on (DeleteRecords). The caller waits for the returned LSN. A future log may be
    /// behind its source: then all of it goes, and it goes on at `to`.
    pub fn delete_records(&self, slot: PartitionSlot, to: Offset) -> Result<Lsn, StorageError> {
        let partition = self.partition(slot).ok_or(StorageError::UnknownPartition)?;
        let mut state = partition.lock();
        if state.is_gone() {
            return Err(StorageError::UnknownPartition);
        }
        let (log_start, end) = (state.log_start, state.appended_end());
        if end < to {
            if !state.is_future {
                return Err(StorageError::OutOfRange { log_start, end });
            }
            self.roll(&partition, &mut state, to)?;
        }
        if to <= log_start {
            // Whoever moved it there may still wait for its entry.
            return Ok(state.state_lsn);
        }
        let lsn = self.move_log_start(&partition, &mut state, to)?;
        Ok(lsn)
    }

    /// Journals and makes a new log start.
    pub(super) fn move_log_start(
        &self,
        partition: &Partition,
        state: &mut PartitionState,
        to: Offset,
    ) -> Result<Lsn, WalError> {
        let header = EntryHeader {
            kind: EntryKind::LogStart,
            topic_partition: partition.id(),
            base_offset: to,
            end_offset: Offset::ZERO,
            argument: 0,
        };
        let entry = Entry::new(header, DurabilityClass::Fsync, Body::Empty);
        let lsn = self.wal.enqueue(entry)?;
        state.move_start(lsn, self.wal.durable_lsn(), to);
        state.state_lsn = lsn;

        Ok(lsn)
    }

    /// The log ends at `to` from now on, or where the batch begins that holds it. May wait for the device when `to`
    /// lies in a segment file.
    ///
    /// Refused with [`StorageError::Undurable`] until all entries of the partition are durable: before, no checkpoint
    /// could tell what is cut off from what is not, and a full ring would wait for one. The caller waits and tries again.
    /// Also when more producers lose batches than the entry can name: then a part is cut off already.
    pub fn truncate(&self, slot: PartitionSlot, to: Offset) -> Result<Lsn, StorageError> {
        let partition = self.partition(slot).ok_or(StorageError::UnknownPartition)?;
        let mut found = FoundProducers::default();
        loop {
            // What producers lose is known to those in memory.
            self.load_snapshot(&partition, Timestamp::from_millis(0))?;
            let (moment, place) = {
                let mut state = partition.lock();
                let place = self.place_of_cut(&partition, &mut state, to)?;
                (Moment::of(&state), place)
            };
            let in_file = match place {
                Place::Tail => None,
                Place::File(file, written_size) => Some(self.cut_in(&file, written_size, to)?),
                Place::BelowAll => Some(Cut {
                    end: to,
                    position: 0,
                    largest_timestamp: None,
                }),
            };
            let mut state = partition.lock();
            if Moment::of(&state) != moment || in_file.is_none() != (state.written_end() <= to) {
                continue; // flushed or truncated meanwhile: look again
            }
            self.check_cut(&state, to)?;
            let cut = in_file.unwrap_or_else(|| state.cut_in_tail(to));
            let left = match found.left_at(&partition, &mut state, cut.end) {
                Left::Known(left) => left,
                Left::Unknown(search) => {
                    drop(state);
                    found = self.find_producers(&partition, search)?;
                    continue;
                }
            };
            let size_max = self.options.wal.entry_size_max / 2;
            if let Some(higher) = place_for_fewer(&state, &left, size_max) {
                drop(state);
                let durability = self.truncate(slot, higher)?;
                return Err(StorageError::Undurable { durability });
            }
            return Ok(self.truncate_at(&partition, &mut state, cut, left)?);
        }
    }

    fn check_cut(&self, state: &PartitionState, to: Offset) -> Result<(), StorageError> {
        if state.is_gone() {
            return Err(StorageError::UnknownPartition);
        }
        let (log_start, end) = (state.log_start, state.appended_end());
        if end < to {
            return Err(StorageError::OutOfRange { log_start, end });
        }
        let durability = state.state_lsn;
        if self.wal.durable_lsn() < durability {
            if self.health.is_offline() {
                return Err(StorageError::Offline); // it never will be
            }
            self.wal.sync_soon();
            return Err(StorageError::Undurable { durability });
        }
        Ok(())
    }

    fn place_of_cut(
        &self,
        partition: &Partition,
        state: &mut PartitionState,
        to: Offset,
    ) -> Result<Place, StorageError> {
        self.check_cut(state, to)?;
        if state.written_end() <= to {
            return Ok(Place::Tail);
        }
        let Some(index) = state.segment_index(to) else {
            return Ok(Place::BelowAll);
        };
        let written_size = state.segments[index].written_size;
        let file = state.segment_file(partition.id(), index);
        Ok(Place::File(file, written_size))
    }

    /// Where the batch that holds `offset`, or the first one above it, begins in a segment file.
    fn cut_in(
        &self,
        file: &Arc<SegmentFile>,
        written_size: u32,
        offset: Offset,
    ) -> Result<Cut, StorageError> {
        let units = self.reads.units(file, written_size, Access::Wait)?;
        let units = units.expect("waiting always reads");
        let index = units.find(file.base_offset(), offset);
        let below = &units.list()[..index.unwrap_or(units.list().len())];
        let mut largest = below.iter().map(|unit| unit.max_timestamp).max();
        let cut = |end, position, largest_timestamp| Cut {
            end,
            position,
            largest_timestamp,
        };
        let Some(unit) = index.map(|index| units.list()[index]) else {
            return Ok(cut(offset, written_size, largest));
        };
        let base = file.base_offset().plus(i64::from(unit.base_delta));
        let is_of_one = index.is_some_and(|index| 1 < units.pieces_count(index));
        if offset <= base || is_of_one {
            return Ok(cut(offset.min(base), unit.position, largest));
        }
        let bytes = file.read_unit(&*self.reads.disk, &unit, Access::Wait)?;
        let bytes = bytes.expect("waiting always reads");
        let (mut position, mut end) = (unit.position, offset);
        for batch in ottla_records::batches(&bytes) {
            let batch = batch.expect("the unit's checksum was right");
            if offset <= batch.last_offset() {
                end = offset.min(batch.base_offset());
                break;
            }
            largest = largest.max(Some(batch.max_timestamp()));
            position += batch.size_in_bytes() as u32;
        }
        Ok(cut(end, position, largest))
    }

    fn truncate_at(
        &self,
        partition: &Partition,
        state: &mut PartitionState,
        cut: Cut,
        producers: Vec<ProducerEntry>,
    ) -> Result<Lsn, WalError> {
        let index = state.segment_index(cut.end);
        let header = EntryHeader {
            kind: EntryKind::Truncate,
            topic_partition: partition.id(),
            base_offset: cut.end,
            end_offset: index.map_or(Offset::ZERO, |index| state.segments[index].base_offset),
            argument: u64::from(cut.position),
        };
        let facts = CutFacts {
            largest_timestamp: cut.largest_timestamp,
            producers,
        };
        let lsn = if self.options.planted.is(PlantedBug::TruncationNotJournaled) {
            self.wal.durable_lsn()
        } else {
            let entry = Entry::new(header, DurabilityClass::Fsync, facts.encode());
            self.wal.enqueue(entry)?
        };
        let had_pin = state.pin;
        let (freed, forgotten) = state.truncate_to(cut, facts.producers);
        if state.producers.snapshot_offset().is_none() {
            self.keep_old_snapshots(state);
        }
        state.before_truncate_lsn = state.state_lsn;
        state.truncated_to = cut.end;
        state.state_lsn = state.state_lsn.max(lsn);
        state.truncate_lsn = lsn;
        self.free_tail_bytes(freed);

        self.count_producers(0, forgotten);
        self.move_pin(partition, had_pin, state);
        Ok(lsn)
    }

    /// The current snapshot was forgotten: the file stays as long as a restart may fall back to a checkpoint that names
    /// it.
    pub(super) fn keep_old_snapshots(&self, state: &mut PartitionState) {
        // The one that may be under way, and the two that are kept.
        state.snapshots_needed_until = self.checkpoints.lock().count() + 3;
    }

    /// Lets go of partitions whose drop is durable by now.
    pub(super) fn finish_drops(&self) {
        let durable = self.durable_lsn();
        let is_durable = |dropping: &mut (Arc<Partition>, Lsn)| dropping.1 <= durable;
        let done: Vec<_> = self.dropping.lock().extract_if(.., is_durable).collect();
        for (partition, _) in done {
            let mut state = partition.lock();
            state.standing = Standing::Dropped;
            state.generation += 1;
            for file in state.segments.iter().filter_map(|it| it.file.as_ref()) {
                file.abandon();
            }
            let had_pin = state.pin.take();
            self.move_pin(&partition, had_pin, &state);
            let base = state.tail.base();
            let freed = state.tail.truncate_to(base);
            self.free_tail_bytes(freed);
            self.count_producers(0, state.producers.count());
        }
    }

    /// The partition that work has to be done for: also one that is being dropped.
    pub(super) fn partition_at_work(&self, slot: PartitionSlot) -> Option<Arc<Partition>> {
        self.partition(slot).or_else(|| {
            let dropping = self.dropping.lock();
            let found = dropping
                .iter()
                .find(|(partition, _)| partition.slot() == slot);
            found.map(|(partition, _)| Arc::clone(partition))
        })
    }

    /// The partition is gone: its name may be used again at once, its files go in the background. The caller waits
    /// for the returned LSN before it says so.
    pub fn drop_partition(&self, slot: PartitionSlot, _now: Now) -> Result<Lsn, StorageError> {
        let partition = self.partition(slot).ok_or(StorageError::UnknownPartition)?;
        // Nobody must find that the partition is gone and its directory not spoken for.
        let mut pump = self.pump.lock();
        let mut table = self.table.write();
        let mut state = partition.lock();
        if state.is_gone() {
            return Err(StorageError::UnknownPartition);
        }
        let name = state.dir.as_deref().unwrap_or("").as_bytes();
        let header = EntryHeader {
            kind: EntryKind::Drop,
            topic_partition: partition.id(),
            base_offset: Offset::ZERO,
            end_offset: Offset::ZERO,
            argument: 0,
        };
        let body = Bytes::copy_from_slice(name);
        let lsn = self
            .wal
            .enqueue(Entry::new(header, DurabilityClass::Fsync, body))?;
        // Until the entry is durable a crash may bring the partition back, whole: checkpoints keep it so long.
        state.begin_drop();
        state.state_lsn = lsn;
        table.remove(slot);
        self.dropping.lock().push((Arc::clone(&partition), lsn));
        let dir = state.dir.clone();
        drop(state);
        drop(table);
        if let Some(dir) = dir {
            self.schedule_removal(&mut pump, partition, dir, lsn);
        }
        Ok(lsn)
    }
}
