//! What a log knows that its batches do not say, on its way to a copy of it.

use super::{LogDir, StorageError};
use crate::leader_epochs::EpochStart;
use crate::partition::PartitionState;
use crate::producer_state::{ProducerEntry, record};
use crate::wal::{DurabilityClass, Entry, EntryHeader, EntryKind};
use bytes::Bytes;
use ottla_types::{LeaderEpoch, Lsn, Now, Offset, PartitionSlot, ProducerId};
use std::collections::BTreeMap;

/// One entry of the journal holds at most about so many bytes of it.
const CHUNK_SIZE: usize = 256 << 10;
/// An epoch in an entry's body.
const EPOCH_SIZE: usize = 4 + 8;
/// An unknown producer.
const ID_SIZE: usize = 8;

/// What a log knows that its batches do not say, or not any more: retention and compaction have taken them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Every producer.
    pub producers: Vec<ProducerEntry>,
    /// Where leader epochs begin, oldest first.
    pub epochs: Vec<EpochStart>,
    /// The newest leader epoch, which may have no records yet.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// The body of an entry that says it (docs/formats/segment.md has the table): what of it is new to the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    epochs: Vec<EpochStart>,
    known: Vec<ProducerEntry>,
    /// Producers that the log took from its batches, and that are not known any more.
    unknown: Vec<ProducerId>,
    leader_epoch: Option<LeaderEpoch>,
}

impl News {
    /// What `state` does not know of `remembered`, or knows otherwise.
    fn of(remembered: &Remembered, state: &PartitionState) -> News {
        let mut unknown: BTreeMap<ProducerId, &ProducerEntry> = state
            .producers
            .entries()
            .map(|entry| (entry.id(), entry))
            .collect();
        let mut is_new = |entry: &&ProducerEntry| {
            let known = unknown.remove(&entry.id());
            known.is_none_or(|known| !says_the_same(known, entry))
        };
        let producers = remembered.producers.iter();
        let known = producers.filter(&mut is_new).cloned().collect();
        let end = state.appended_end();
        let epochs = remembered.epochs.iter().copied();
        let epochs: Vec<EpochStart> = epochs.filter(|epoch| epoch.start_offset < end).collect();
        let is_same = state.epochs.entries() == epochs;
        News {
            epochs: if is_same { Vec::new() } else { epochs },
            known,
            unknown: unknown.into_keys().collect(),
            leader_epoch: remembered.leader_epoch,
        }
    }

    fn is_empty(&self) -> bool {
        self.epochs.is_empty() && self.known.is_empty() && self.unknown.is_empty()
    }

    /// The same in parts whose bodies have about `size_max` bytes.
    fn in_chunks(mut self, size_max: usize) -> Vec<News> {
        let mut chunks = Vec::new();
        while !self.is_empty() {
            let mut room = size_max;
            let mut chunk = News {
                leader_epoch: self.leader_epoch,
                ..News::default()
            };
            chunk.epochs = take_fitting(&mut self.epochs, EPOCH_SIZE, &mut room);
            chunk.known = take_fitting(&mut self.known, record::SIZE_MAX, &mut room);
            chunk.unknown = take_fitting(&mut self.unknown, ID_SIZE, &mut room);
            chunks.push(chunk);
        }
        chunks
    }

    fn encode(&self) -> Bytes {
        let mut out = Vec::new();
        let epoch = self.leader_epoch.map_or(-1, LeaderEpoch::get);
        out.extend_from_slice(&epoch.to_le_bytes());
        out.extend_from_slice(&(self.epochs.len() as u32).to_le_bytes());
        for epoch in &self.epochs {
            out.extend_from_slice(&epoch.epoch.get().to_le_bytes());
            out.extend_from_slice(&epoch.start_offset.get().to_le_bytes());
        }
        out.extend_from_slice(&(self.known.len() as u32).to_le_bytes());
        for producer in &self.known {
            record::encode(&mut out, producer);
        }
        out.extend_from_slice(&(self.unknown.len() as u32).to_le_bytes());
        for id in &self.unknown {
            out.extend_from_slice(&id.get().to_le_bytes());
        }
        Bytes::from(out)
    }

    /// Reads what [`News::encode`] wrote; `None` when it is something else.
    pub(super) fn decode(body: &[u8]) -> Option<News> {
        let mut rest = body;
        let rest = &mut rest;
        let mut news = News {
            leader_epoch: LeaderEpoch::from_wire(int(rest)?),
            ..News::default()
        };
        for _ in 0..int(rest)? {
            let epoch = LeaderEpoch::from_wire(int(rest)?)?;
            let start_offset = Offset::from_wire(long(rest)?)?;
            news.epochs.push(EpochStart {
                epoch,
                start_offset,
            });
        }
        for _ in 0..int(rest)? {
            news.known.push(record::decode(rest)?);
        }
        for _ in 0..int(rest)? {
            news.unknown.push(ProducerId::from_wire(long(rest)?)?);
        }
        rest.is_empty().then_some(news)
    }

    /// Makes it part of `state`.
    pub(super) fn learn(self, state: &mut PartitionState) {
        state.leader_epoch = state.leader_epoch.max(self.leader_epoch);
        for epoch in self.epochs {
            state.epochs_are_dirty |= state.epochs.assign(epoch.epoch, epoch.start_offset);
        }
        state.epochs.start_from(state.log_start);
        state.producers.replace(self.known, &self.unknown);
    }

    /// The same for a log that was read from its files, and so knows what came since the entry: of that nothing is taken
    /// back.
    pub(super) fn learn_older(mut self, state: &mut PartitionState) {
        let last = |entry: &ProducerEntry| entry.last().map(|batch| batch.last_offset);
        self.known.retain(|entry| {
            let known = state.producers.get(entry.id());
            known.is_none_or(|known| last(known) <= last(entry))
        });
        state.leader_epoch = state.leader_epoch.max(self.leader_epoch);
        state.producers.replace(self.known, &[]);
    }
}

/// Fails when the log is gone, or lost something.
fn check_whole(state: &PartitionState) -> Result<(), StorageError> {
    if state.is_gone() {
        return Err(StorageError::UnknownPartition);
    }
    let reason = state.lost().cloned();
    reason.map_or(Ok(()), |reason| Err(StorageError::Damaged { reason }))
}

/// Whether both say the same to a producer. When it was last seen at work is not asked: a copy says when that was copied.
fn says_the_same(one: &ProducerEntry, other: &ProducerEntry) -> bool {
    one.epoch() == other.epoch()
        && one.batches() == other.batches()
        && one.transaction_start() == other.transaction_start()
}

/// Takes as many from the beginning of `list` as there is `room` for.
fn take_fitting<T>(list: &mut Vec<T>, size: usize, room: &mut usize) -> Vec<T> {
    let count = (*room / size).min(list.len());
    *room -= count * size;
    let rest = list.split_off(count);
    std::mem::replace(list, rest)
}

fn int(rest: &mut &[u8]) -> Option<i32> {
    let (head, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(i32::from_le_bytes(*head))
}

fn long(rest: &mut &[u8]) -> Option<i64> {
    let (head, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(i64::from_le_bytes(*head))
}

impl LogDir {
    /// What a log knows that its batches do not say. May wait for the device: producers may be in a snapshot. Refused with
    /// [`StorageError::Damaged`] when the log lost something, also when that shows only now: it does not know what it knew.
    pub fn remembered(&self, slot: PartitionSlot, now: Now) -> Result<Remembered, StorageError> {
        let partition = self.partition(slot).ok_or(StorageError::UnknownPartition)?;
        self.load_snapshot(&partition, now.wall)?;
        let state = partition.lock();
        check_whole(&state)?;
        Ok(Remembered {
            producers: state.producers.entries().cloned().collect(),
            epochs: state.epochs.entries().to_vec(),
            leader_epoch: state.epochs.latest().max(state.leader_epoch),
        })
    }

    /// The log knows exactly what another one with the same records remembers: what it took from its batches is replaced.
    /// The caller waits for the returned LSN before this log may serve in the place of the other one. May wait for the
    /// device. Refused with [`StorageError::Damaged`] when this log lost something: it may not serve in the place of one that
    /// is whole.
    pub fn remember(
        &self,
        slot: PartitionSlot,
        remembered: &Remembered,
        now: Now,
    ) -> Result<Lsn, StorageError> {
        let partition = self.partition(slot).ok_or(StorageError::UnknownPartition)?;
        self.load_snapshot(&partition, now.wall)?;
        let mut state = partition.lock();
        check_whole(&state)?;
        let size_max = CHUNK_SIZE.min(self.options.wal.entry_size_max / 2);
        let before = state.producers.count();
        let chunks = News::of(remembered, &state).in_chunks(size_max);
        for news in chunks {
            let header = EntryHeader {
                kind: EntryKind::Remember,
                topic_partition: partition.id(),
                base_offset: Offset::ZERO,
                end_offset: Offset::ZERO,
                argument: 0,
            };
            let entry = Entry::new(header, DurabilityClass::Fsync, news.encode());
            let lsn = self.wal.enqueue(entry)?;
            news.learn(&mut state);
            state.state_lsn = lsn;
            // A snapshot that is being written does not know it.
            state.generation += 1;
        }
        state.leader_epoch = state.leader_epoch.max(remembered.leader_epoch);
        if state.producers.snapshot_offset().is_none() {
            self.keep_old_snapshots(&mut state);
        }
        state.wants_snapshot |= self.options.snapshot_producers <= state.producers.changed_count();
        self.count_producers(state.producers.count(), before);
        Ok(state.state_lsn)
    }
}
