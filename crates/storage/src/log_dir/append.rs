use super::replica::ReplicaBatch;
use super::{AppendError, LargeBatch, LogDir, changes, large};
use crate::batch_sums::{BatchSums, UnstampedSums};
use crate::checksum::crc32c;
use crate::marker::Marker;
use crate::partition::{
    BATCH_OVERHEAD, Durability, Partition, PartitionState, Standing, TailBatch,
};
use crate::planted::PlantedBug;
use crate::producer_state::{ProducedBatch, SequenceCheck};
use crate::segment::sidecar::UNIT_BYTES_MAX;
use crate::tail_memory::TailBuffer;
use crate::wal::{DurabilityClass, Entry, EntryHeader, EntryKind, PAGE_SIZE};
use bytes::Bytes;
use ottla_records::{TimestampType, ValidBatch};
use ottla_types::{LeaderEpoch, Lsn, Now, Offset, PartitionSlot, Timestamp};
use std::sync::atomic::Ordering;

/// Who made a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A producer; the leader gives offset, epoch and, if the topic wants it, time.
    Client,
    /// A coordinator of this broker; as for a client, without a producer's checks.
    Coordinator,
    /// The leader of another broker, or the log in another directory that this one is made a copy of: offset and epoch
    /// stand in the batch. Offsets before it may be left out, as compaction leaves them; its size and its producer are not
    /// judged again.
    Replica,
}

/// A batch to append.
#[derive(Clone, Copy, Debug)]
pub struct AppendBatch<'a> {
    /// Exactly one batch.
    pub bytes: &'a [u8],
    /// What validation found in it.
    pub facts: &'a ValidBatch,
    /// Who made it.
    pub origin: AppendOrigin,
}

/// How a batch gets into the journal.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// The pump is woken for it.
    Pump,
    /// As [`LogDir::append_unawaited`] says.
    Caller,
    /// It does not: it lies in the file of this number.
    Beside(u64),
}

/// A batch's bytes, as long as they may be stamped.
#[derive(Debug)]
pub(super) struct BatchCopy {
    pub(super) bytes: TailBuffer,
    /// Of one that is cut into pieces in its segment.
    sums: Option<UnstampedSums>,
    /// How far behind a page's border it lies, if that was chosen.
    lies_at: Option<u16>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record (inclusive).
    pub last_offset: Offset,
    /// The time it was given, on topics with LogAppendTime.
    pub log_append_time: Option<Timestamp>,
    /// First offset of the log.
    pub log_start_offset: Offset,
    /// The journal entry that must be durable before success is acknowledged.
    pub durability: Lsn,
    /// It was in the log already: the offsets are those of the original.
    pub duplicate: bool,
}

impl LogDir {
    /// Appends a batch: gives it offsets, remembers its producer, queues it for the journal. It does no I/O,
    /// except that the first unknown producer after a restart may read a producer snapshot.
    pub fn append(
        &self,
        slot: PartitionSlot,
        leader_epoch: LeaderEpoch,
        batch: AppendBatch<'_>,
        now: Now,
    ) -> Result<Appended, AppendError> {
        self.append_by(Way::Pump, slot, leader_epoch, batch, now)
    }

    /// As [`LogDir::append`], but the journal's pump sleeps on if nobody awaits an fsync of the batch, and it is small:
    /// the caller sees to it, by [`LogDir::write_unawaited`], soon after this and maybe other appends. A thread more
    /// on the way of each acknowledgement would cost more than the write.
    pub fn append_unawaited(
        &self,
        slot: PartitionSlot,
        leader_epoch: LeaderEpoch,
        batch: AppendBatch<'_>,
        now: Now,
    ) -> Result<Appended, AppendError> {
        self.append_by(Way::Caller, slot, leader_epoch, batch, now)
    }

    fn append_by(
        &self,
        way: Way,
        slot: PartitionSlot,
        leader_epoch: LeaderEpoch,
        batch: AppendBatch<'_>,
        now: Now,
    ) -> Result<Appended, AppendError> {
        self.admit(batch.origin)?;
        let partition = self.partition(slot).ok_or(AppendError::UnknownPartition)?;
        if self.is_large(batch.bytes.len()) {
            return Err(AppendError::Large);
        }
        // Copied before the lock is taken; stamped under it, when the offset is known.
        // Where it will lie in its segment, unless somebody comes between or a segment begins.
        let position = match UNIT_BYTES_MAX < batch.bytes.len() {
            true => partition.lock().active_size(),
            false => 0,
        };
        let copy = self.copy(batch.bytes, position.into());
        self.append_copy(&partition, leader_epoch, batch, copy, way, now)
    }

    /// Appends a batch that is too large for the journal, and was written beside it before. Otherwise as
    /// [`LogDir::append`].
    pub fn append_large(
        &self,
        slot: PartitionSlot,
        leader_epoch: LeaderEpoch,
        batch: AppendBatch<'_>,
        large: &LargeBatch,
        now: Now,
    ) -> Result<Appended, AppendError> {
        self.admit(batch.origin)?;
        let partition = self.partition(slot).ok_or(AppendError::UnknownPartition)?;
        self.take_large(large, |copy, number| {
            assert_eq!(
                copy.bytes.len(),
                batch.bytes.len(),
                "it is the batch that was written"
            );
            let way = Way::Beside(number);
            let appended = self.append_copy(&partition, leader_epoch, batch, copy, way, now)?;
            let lsn = (!appended.duplicate).then_some(appended.durability);
            Ok((appended, lsn))
        })
    }

    /// A copy of a batch that will lie at `position` in its segment, as far as is known.
    pub(super) fn copy(&self, bytes: &[u8], position: u64) -> BatchCopy {
        if bytes.len() <= UNIT_BYTES_MAX {
            let bytes = self.tail_memory.copy(bytes);
            return BatchCopy {
                bytes,
                sums: None,
                lies_at: None,
            };
        }
        let mut buffer = self.tail_memory.buffer_for(bytes.len(), position);
        let sums = UnstampedSums::copy(bytes, &mut buffer);
        BatchCopy {
            bytes: buffer,
            sums: Some(sums),
            lies_at: Some((position % PAGE_SIZE) as u16),
        }
    }

    fn append_copy(
        &self,
        partition: &Partition,
        leader_epoch: LeaderEpoch,
        batch: AppendBatch<'_>,
        copy: BatchCopy,
        way: Way,
        now: Now,
    ) -> Result<Appended, AppendError> {
        let BatchCopy {
            mut bytes,
            sums,
            lies_at,
        } = copy;
        let replica = match batch.origin {
            AppendOrigin::Client | AppendOrigin::Coordinator => None,
            AppendOrigin::Replica => Some(ReplicaBatch::check(&batch)?),
        };
        let mut state = partition.lock();
        let epoch = loop {
            // Again after every wait: meanwhile there may be another leader, or no partition any more.
            let epoch = check_standing(&state, leader_epoch, &batch, replica.as_ref())?;
            match self.check_producer(&state, &batch, now)? {
                Checked::New => break epoch,
                Checked::Known(appended) => return Ok(appended),
                Checked::Unknown => {
                    drop(state);
                    self.load_snapshot(partition, now.wall)?;
                    state = partition.lock();
                }
            }
        };
        let base_offset = replica
            .as_ref()
            .map_or(state.appended_end(), |replica| replica.base_offset);
        let last_offset = base_offset.plus(i64::from(batch.facts.last_offset_delta));
        let log_append_time = stamp(&state, &batch, bytes.bytes_mut(), epoch, now);
        let stated_timestamp = log_append_time.unwrap_or(batch.facts.max_timestamp);
        let max_timestamp = replica
            .as_ref()
            .map_or(stated_timestamp, |replica| replica.largest_timestamp);
        if state.must_roll(bytes.len(), last_offset, max_timestamp, now.wall) {
            let roll_offset = state.roll_offset(base_offset, last_offset);
            self.roll(partition, &mut state, roll_offset)
                .map_err(|_| AppendError::Offline)?;
        }
        // What is left out before it comes with it.
        let ended = state.appended_end();
        let bytes = bytes.freeze();
        let kind = match way {
            Way::Pump | Way::Caller => EntryKind::Append,
            Way::Beside(_) => EntryKind::Large,
        };
        let header = EntryHeader {
            kind,
            topic_partition: partition.id(),
            base_offset: ended,
            end_offset: last_offset.next(),
            // When the producer was last seen at work, for its expiry.
            argument: now.wall.as_millis() as u64,
        };
        let class = entry_class(&state);
        let sums = match sums.map(|sums| sums.stamped(&bytes)) {
            Some(sums) => sums,
            None => BatchSums {
                whole: crc32c(&bytes),
                pieces: None,
            },
        };
        let entry = match way {
            Way::Pump | Way::Caller => {
                let entry = Entry::with_crc(header, class, bytes.clone(), sums.whole);
                match lies_at {
                    Some(lies_at) => entry.lying_at(lies_at),
                    None => entry,
                }
            }
            Way::Beside(number) => Entry::new(header, class, large::describe(number, &bytes)),
        };
        // What may be written from where it lies is too much for a worker to copy.
        let is_callers = matches!(way, Way::Caller) && lies_at.is_none();
        let lsn = match is_callers && class == DurabilityClass::Os {
            true => self.wal.enqueue_unawaited(entry),
            false => self.wal.enqueue(entry),
        };
        let lsn = lsn.map_err(|_| AppendError::Offline)?;
        let (had_pin, size) = (state.pin, bytes.len());
        let tail = TailBatch {
            base_offset,
            last_offset,
            lsn,
            max_timestamp,
            appended_at: now.wall,
            bytes,
            sums: Some(sums),
        };
        state.push_batch(tail, epoch);
        state.pending.push(lsn, ended);
        // What is only written may still be lost, and a checkpoint must know that: not forgotten before the fsync.
        state.pending.forget_durable(self.wal.durable_lsn());
        state.last_append = now.mono;
        if let Some(producer) = &batch.facts.producer {
            let is_transactional = batch.facts.is_transactional;
            let is_new = state.push_producer(
                producer,
                base_offset,
                last_offset,
                stated_timestamp,
                is_transactional,
                now.wall,
            );
            self.count_producers(usize::from(is_new), 0);
            state.wants_snapshot |=
                self.options.snapshot_producers <= state.producers.changed_count();
        }
        self.move_pin(partition, had_pin, &state);
        self.add_tail_bytes(size + BATCH_OVERHEAD);
        Ok(Appended {
            base_offset,
            last_offset,
            log_append_time,
            log_start_offset: state.log_start,
            durability: lsn,
            duplicate: false,
        })
    }

    /// Begins a new segment at `base`, at the end of the log or beyond it, and journals that it did.
    pub(super) fn roll(
        &self,
        partition: &Partition,
        state: &mut PartitionState,
        base: Offset,
    ) -> Result<Lsn, crate::wal::WalError> {
        let ended = state.appended_end();
        let is_beyond = ended < base;
        if is_beyond && state.segments.is_empty() {
            // The start of the log lies in a segment, though nothing else does.
            self.roll(partition, state, ended)?;
        }
        let name = state.dir.as_deref().unwrap_or("").as_bytes();
        let header = EntryHeader {
            kind: EntryKind::Segments,
            topic_partition: partition.id(),
            base_offset: base,
            end_offset: if is_beyond { ended } else { Offset::ZERO },
            argument: match is_beyond {
                true => changes::SEGMENT_BEYOND,
                false => changes::SEGMENT_ADDED,
            },
        };
        // Nobody waits for a segment, but perhaps for the end of the log to be where it is now.
        let class = match is_beyond {
            true => entry_class(state),
            false => DurabilityClass::Os,
        };
        let body = Bytes::copy_from_slice(name);
        let lsn = self.wal.enqueue(Entry::new(header, class, body))?;
        if is_beyond {
            state.pending.push(lsn, ended);
        }
        if state.begun_lsn == Lsn::ZERO && state.segments.is_empty() {
            state.begun_lsn = lsn;
        }
        if !state.segments.is_empty() {
            self.markers.reach(Marker::SegmentRolled);
            state.wants_snapshot |= state.producers.count() > 0;
        }
        state.roll(base);
        state.state_lsn = lsn;
        Ok(lsn)
    }

    fn check_producer(
        &self,
        state: &PartitionState,
        batch: &AppendBatch<'_>,
        now: Now,
    ) -> Result<Checked, AppendError> {
        let (Some(producer), AppendOrigin::Client) = (&batch.facts.producer, batch.origin) else {
            return Ok(Checked::New);
        };
        let expired_before = self.expired_before(now);
        let is_transactional = batch.facts.is_transactional;
        match state
            .producers
            .check(producer, is_transactional, expired_before)
        {
            SequenceCheck::New => Ok(Checked::New),
            SequenceCheck::Duplicate(known) => Ok(Checked::Known(self.duplicate(state, known))),
            SequenceCheck::OutOfOrder { last_sequence } => Err(AppendError::OutOfOrderSequence {
                base_sequence: producer.base_sequence,
                last_sequence,
                durability: revealed(state, producer.id),
            }),
            SequenceCheck::FencedEpoch { current } => Err(AppendError::InvalidProducerEpoch {
                given: producer.epoch,
                current,
                durability: revealed(state, producer.id),
            }),
            SequenceCheck::OpenTransaction => {
                let durability = revealed(state, producer.id);
                Err(AppendError::OpenTransaction { durability })
            }
            SequenceCheck::SnapshotNeeded => Ok(Checked::Unknown),
        }
    }

    fn duplicate(&self, state: &PartitionState, known: ProducedBatch) -> Appended {
        let durability = if self
            .options
            .planted
            .is(PlantedBug::DuplicateAcknowledgedEarly)
        {
            Lsn::ZERO
        } else {
            state.pending.lsn_of(known.last_offset)
        };
        let has_append_time = state.config.timestamp_type == TimestampType::LogAppendTime;
        Appended {
            base_offset: known.base_offset(),
            last_offset: known.last_offset,
            log_append_time: has_append_time.then_some(known.timestamp),
            log_start_offset: state.log_start,
            durability,
            duplicate: true,
        }
    }

    /// Producers unused since before this time are forgotten.
    pub(super) fn expired_before(&self, now: Now) -> Timestamp {
        let age = self.producer_expiration_ms.load(Ordering::Relaxed);
        Timestamp::from_millis(now.wall.as_millis().saturating_sub(age))
    }
}

/// What a batch is to the producers that the partition knows.
enum Checked {
    /// To be appended.
    New,
    /// It is in the log already.
    Known(Appended),
    /// The snapshot on disk may know its producer.
    Unknown,
}

/// The epoch the batch is appended in, if the partition takes it.
fn check_standing(
    state: &PartitionState,
    leader_epoch: LeaderEpoch,
    batch: &AppendBatch<'_>,
    replica: Option<&ReplicaBatch>,
) -> Result<LeaderEpoch, AppendError> {
    match &state.standing {
        Standing::Good => {}
        Standing::Damaged { reason } => {
            return Err(AppendError::Damaged {
                reason: reason.clone(),
            });
        }
        Standing::Dropping { .. } | Standing::Dropped => return Err(AppendError::UnknownPartition),
    }
    if let Some(current) = state.leader_epoch.filter(|current| leader_epoch < *current) {
        return Err(AppendError::FencedLeaderEpoch {
            given: leader_epoch,
            current,
        });
    }
    if let Some(replica) = replica {
        let (base_offset, appended_end) = (replica.base_offset, state.appended_end());
        if base_offset < appended_end {
            return Err(AppendError::Overlaps {
                base_offset,
                appended_end,
            });
        }
        if Some(replica.leader_epoch) < state.epochs.latest() {
            let reason = "its leader epoch is older than that of the batch before";
            return Err(AppendError::Malformed { reason });
        }
        return Ok(replica.leader_epoch);
    }
    let (size, segment_bytes) = (batch.bytes.len(), state.config.segment_bytes);
    if (segment_bytes as usize) < size {
        return Err(AppendError::RecordListTooLarge {
            size,
            segment_bytes,
        });
    }
    Ok(leader_epoch)
}

/// Writes what a leader adds into `bytes`; returns the append time if the topic wants one.
fn stamp(
    state: &PartitionState,
    batch: &AppendBatch<'_>,
    bytes: &mut [u8],
    epoch: LeaderEpoch,
    now: Now,
) -> Option<Timestamp> {
    if batch.origin == AppendOrigin::Replica {
        return None;
    }
    let log_append_time = match state.config.timestamp_type {
        TimestampType::CreateTime => None,
        TimestampType::LogAppendTime => Some(now.wall),
    };
    batch
        .facts
        .stamp(bytes, state.appended_end(), epoch, log_append_time);
    log_append_time
}

/// The append that a refusal of this producer's batch reveals.
fn revealed(state: &PartitionState, id: ottla_types::ProducerId) -> Lsn {
    let last = state.producers.get(id).and_then(|entry| entry.last());
    last.map_or(Lsn::ZERO, |last| state.pending.lsn_of(last.last_offset))
}

/// Whether the journal has to sync for entries of this partition.
pub(super) fn entry_class(state: &PartitionState) -> DurabilityClass {
    match state.config.durability {
        Durability::Fsync => DurabilityClass::Fsync,
        Durability::Os => DurabilityClass::Os,
    }
}
