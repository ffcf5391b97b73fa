//! Records of unreadable journal entries, read from the segments that a later entry says they are in.

use super::rebuild;
use crate::disk::{Disk, DiskError, OpenMode};
use crate::partition::{PartitionState, Segment, Tail};
use crate::segment::chain::{Walk, WalkEnd};
use crate::segment::names::{self, FileKind};
use crate::segment::{Access, read_exact};
use crate::wal::EntryHeader;
use ottla_records::{BatchView, ProducerBatch};
use ottla_types::{LeaderEpoch, Now, Offset, Timestamp, TopicPartition};
use std::path::Path;
use std::sync::Arc;

const CHUNK_SIZE: usize = 4 * 1024 * 1024;

/// `synced` says that the log is in files up to its end: reads what the state does not have in files yet, and makes
/// it part of the state. What lies below `known_end` has left its traces there before. Returns the bytes read, or
/// `None`, with the state as it was, when the files do not have it.
pub(super) fn read_from_segments(
    disk: &dyn Disk,
    id: TopicPartition,
    state: &mut PartitionState,
    synced: &EntryHeader,
    known_end: Offset,
    now: Now,
) -> Result<Option<u64>, DiskError> {
    let Some(dir) = directory(disk, id, state)? else {
        return Ok(None);
    };
    let entries = match disk.list(Path::new(&*dir)) {
        Ok(entries) => entries,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let (segment_base, end) = (synced.base_offset, synced.end_offset);
    let mut bases: Vec<Offset> = entries
        .iter()
        .filter_map(|entry| names::parse(&entry.name))
        .filter(|(base, kind)| *kind == FileKind::Log && *base <= segment_base)
        .map(|(base, _)| base)
        .collect();
    bases.sort_unstable();
    // The segment in which what is synced ends; before it nothing is missing.
    let first = bases.partition_point(|base| *base <= state.synced_end);
    bases.drain(..first.saturating_sub(1));
    if bases.last() != Some(&segment_base) {
        return Ok(None);
    }
    let mut found = Found {
        known_end,
        kept: segments_below(state, bases[0]),
        batches: Vec::new(),
        next_offset: state.synced_end,
        bytes_read: 0,
    };
    for base in &bases {
        let synced_before = state
            .segments
            .iter()
            .find(|segment| segment.base_offset == *base);
        let segment = synced_before.map_or(Segment::empty(*base), as_synced);
        let size = (*base == segment_base).then_some(synced.argument);
        if !found.read(disk, &dir, segment, size, now)? {
            return Ok(None);
        }
    }
    if found.next_offset != end {
        return Ok(None);
    }
    let bytes_read = found.bytes_read;
    found.adopt(state, dir, end, now);
    Ok(Some(bytes_read))
}

/// What was read from the files.
struct Found {
    known_end: Offset,
    /// All segments up to where it was read.
    kept: Vec<Segment>,
    /// Batches that have left no traces in the state.
    batches: Vec<Trace>,
    next_offset: Offset,
    bytes_read: u64,
}

/// What a batch changes beside the log itself.
struct Trace {
    base_offset: Offset,
    last_offset: Offset,
    max_timestamp: Timestamp,
    leader_epoch: LeaderEpoch,
    producer: Option<ProducerBatch>,
    is_transactional: bool,
}

impl Found {
    /// Walks what lies behind the synced part of `segment`, up to `size` or the end of its file. Returns false when
    /// something else is there.
    fn read(
        &mut self,
        disk: &dyn Disk,
        dir: &str,
        mut segment: Segment,
        size: Option<u64>,
        now: Now,
    ) -> Result<bool, DiskError> {
        let path = names::file(dir, segment.base_offset, FileKind::Log);
        let log = match disk.open(&path, OpenMode::Read) {
            Ok(log) => log,
            Err(error) if error.is_not_found() => return Ok(false),
            Err(error) => return Err(error),
        };
        let size = match size {
            Some(size) => size,
            None => log.size()?,
        };
        let mut walk = Walk {
            position: segment.size,
            next_offset: self.next_offset.max(segment.base_offset),
            epoch: None,
        };
        let mut chunk_size = CHUNK_SIZE;
        while u64::from(walk.position) < size {
            let rest = (size - u64::from(walk.position)) as usize;
            let position = u64::from(walk.position);
            let bytes = read_exact(&*log, position, chunk_size.min(rest), Access::Wait)?;
            let Some(bytes) = bytes else {
                return Ok(false);
            };
            let walked = walk.over(&bytes, |_, batch| self.take(&mut segment, &batch, now));
            match walked {
                Ok(WalkEnd::Whole) => chunk_size = CHUNK_SIZE,
                Ok(WalkEnd::Needs(needed)) if needed <= rest => chunk_size = needed,
                Ok(WalkEnd::Needs(_)) | Err(_) => return Ok(false),
            }
        }
        let is_exact = u64::from(walk.position) == size;
        self.next_offset = walk.next_offset;
        segment.written_size = segment.size;
        segment.synced_size = segment.size;
        segment.written_largest_timestamp = segment.largest_timestamp;
        self.kept.push(segment);
        Ok(is_exact)
    }

    fn take(&mut self, segment: &mut Segment, batch: &BatchView<'_>, now: Now) {
        let size = batch.size_in_bytes();
        segment.push(size, batch.max_timestamp(), now.wall);
        self.bytes_read += size as u64;
        if batch.base_offset() < self.known_end {
            return;
        }
        self.batches.push(Trace {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            max_timestamp: batch.max_timestamp(),
            leader_epoch: batch.leader_epoch().unwrap_or(LeaderEpoch::new(0)),
            producer: batch.producer(),
            is_transactional: batch.is_transactional(),
        });
    }

    fn adopt(self, state: &mut PartitionState, dir: Arc<str>, end: Offset, now: Now) {
        state.dir = Some(dir);
        state.has_dir = true;
        state.segments = self.kept;
        state.tail = Tail::empty_at(end);
        state.synced_end = end;
        for batch in self.batches {
            state.epochs.assign(batch.leader_epoch, batch.base_offset);
            state.leader_epoch = state.leader_epoch.max(Some(batch.leader_epoch));
            if let Some(producer) = &batch.producer {
                state.push_producer(
                    producer,
                    batch.base_offset,
                    batch.last_offset,
                    batch.max_timestamp,
                    batch.is_transactional,
                    now.wall,
                );
            }
        }
    }
}

/// The segment without what is only in the journal.
fn as_synced(segment: &Segment) -> Segment {
    if segment.synced_size == 0 {
        return Segment::empty(segment.base_offset);
    }
    Segment {
        size: segment.synced_size,
        written_size: segment.synced_size,
        largest_timestamp: segment.written_largest_timestamp,
        ..segment.clone()
    }
}

/// The partition's directory: as the state knows it, or the one that says it is.
fn directory(
    disk: &dyn Disk,
    id: TopicPartition,
    state: &PartitionState,
) -> Result<Option<Arc<str>>, DiskError> {
    if let Some(dir) = &state.dir {
        // It may still be that of an older topic with the same name.
        let is_own = rebuild::owner(disk, dir)? == Some(id);
        return Ok(is_own.then(|| Arc::clone(dir)));
    }
    for entry in disk.list(Path::new(""))? {
        let is_candidate = entry.is_dir && !entry.name.ends_with(names::DELETED_SUFFIX);
        if is_candidate && rebuild::owner(disk, &entry.name)? == Some(id) {
            return Ok(Some(Arc::from(entry.name)));
        }
    }
    Ok(None)
}

fn segments_below(state: &PartitionState, base: Offset) -> Vec<Segment> {
    let segments = state.segments.iter().cloned();
    segments.filter(|it| it.base_offset < base).collect()
}
