//! The way back when no checkpoint is valid: every segment is read and checked, which takes as long as it takes.
//!
//! What only the journal and the checkpoints knew is lost with them: log starts moved by DeleteRecords come back down
//! to the first segment, and producers are known as far as the batches name them.
//!
//! A log ends where its batches do not go on. Whether that is an end that was never synced, which the journal still
//! has, or a loss, shows when the journal was replayed: see [`Promise`].

use super::checkpointing::RestoredPartition;
use super::dir_names;
use super::file_history::{FileHistories, FileHistory};
use crate::disk::{Disk, DiskError, DiskFile, OpenMode};
use crate::partition::{LogConfig, NO_TIMESTAMP, PartitionState, Segment, Tail};
use crate::segment::chain::{Walk, WalkEnd};
use crate::segment::names::{self, FileKind};
use crate::segment::sidecar::{self, Sidecar, Unit};
use crate::segment::small_files;
use crate::segment::{Access, read_exact};
use ottla_records::BatchView;
use ottla_types::{LeaderEpoch, Lsn, Now, Offset, PartitionId, Timestamp, TopicPartition};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

const CHUNK_SIZE: usize = 4 * 1024 * 1024;

/// Position and largest timestamp before it, in the segment that each of these offsets lies in.
pub(super) type Cuts = BTreeMap<Offset, (u32, Option<Timestamp>)>;

/// A partition as its files tell it.
pub(super) struct Rebuilt {
    pub(super) record: RestoredPartition,
    /// Where the truncations that the journal knows lie: their segments may have been rewritten since.
    pub(super) cuts: Cuts,
    /// What the journal has to bring, or it is lost.
    pub(super) promise: Option<Promise>,
}

/// The log went on to this offset: something says so that is not its batches.
#[derive(Debug)]
pub(super) struct Promise {
    /// Exclusive.
    pub(super) end: Offset,
    pub(super) reason: String,
}

/// The directories of all partitions.
pub(super) fn directories(disk: &dyn Disk) -> Result<Vec<(TopicPartition, Arc<str>)>, DiskError> {
    let mut directories = Vec::new();
    for entry in disk.list(Path::new(""))? {
        let own = [dir_names::WAL, dir_names::LARGE, dir_names::CHECKPOINTS];
        let is_own = own.contains(&entry.name.as_str());
        if !entry.is_dir || is_own || entry.name.ends_with(names::DELETED_SUFFIX) {
            continue;
        }
        if let Some(id) = owner(disk, &entry.name)? {
            directories.push((id, Arc::from(entry.name)));
        }
    }
    Ok(directories)
}

/// The partitions that these directories hold, and the bytes read for it. What was read is on the device afterwards.
pub(super) fn rebuild(
    disk: &dyn Disk,
    directories: &[(TopicPartition, Arc<str>)],
    histories: &FileHistories,
    now: Now,
) -> Result<(Vec<Rebuilt>, u64), DiskError> {
    let mut partitions = Vec::new();
    let mut bytes_read = 0;
    for (id, dir) in directories {
        if histories.is_dropped(*id) {
            continue;
        }
        let none = FileHistory::default();
        let history = histories.of(*id).unwrap_or(&none);
        let mut reading = Reading::new(dir, None);
        reading.read(disk, dir, history, now)?;
        bytes_read += reading.bytes_read;
        if let Some(missing) = reading.lost_between(history) {
            // Whether it was lost shows only when all the others were read.
            reading = Reading::new(dir, Some(missing));
            reading.read(disk, dir, history, now)?;
            bytes_read += reading.bytes_read;
        }
        partitions.push(reading.rebuilt(*id, history));
    }
    Ok((partitions, bytes_read))
}

/// The partition that a directory belongs to; `None` when it is not one of ours.
pub(super) fn owner(disk: &dyn Disk, dir: &str) -> Result<Option<TopicPartition>, DiskError> {
    let Some(number) = dir
        .rsplit_once('-')
        .and_then(|(_, number)| number.parse().ok())
    else {
        return Ok(None);
    };
    let path = Path::new(dir).join(small_files::PARTITION_METADATA);
    let file = match disk.open(&path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = vec![0; file.size()? as usize];
    let size = file.read_at(0, &mut text)?;
    let text = String::from_utf8_lossy(&text[..size]).into_owned();
    let topic_id = small_files::parse_partition_metadata(&text);
    let partition = PartitionId::from_wire(number);
    Ok(topic_id
        .zip(partition)
        .map(|(topic_id, partition)| TopicPartition {
            topic_id,
            partition,
        }))
}

/// One partition while its segments are read.
struct Reading {
    state: PartitionState,
    walk: Walk,
    /// Offsets that no segment has, although the log goes on behind them: it ends here.
    missing: Option<Range<Offset>>,
    /// Likewise where that was not known before.
    between: Vec<Range<Offset>>,
    /// Somewhere offsets or records are missing inside a segment.
    is_compacted: bool,
    promise: Option<Promise>,
    cuts: Cuts,
    bytes_read: u64,
}

impl Reading {
    fn new(dir: &Arc<str>, missing: Option<Range<Offset>>) -> Reading {
        let mut state = PartitionState::new(LogConfig::default());
        state.dir = Some(Arc::clone(dir));
        state.has_dir = true;
        Reading {
            state,
            walk: Walk {
                position: 0,
                next_offset: Offset::ZERO,
                epoch: None,
            },
            missing,
            between: Vec::new(),
            is_compacted: false,
            promise: None,
            cuts: Cuts::new(),
            bytes_read: 0,
        }
    }

    fn read(
        &mut self,
        disk: &dyn Disk,
        dir: &str,
        history: &FileHistory,
        now: Now,
    ) -> Result<(), DiskError> {
        let mut bases: Vec<Offset> = disk
            .list(Path::new(dir))?
            .iter()
            .filter_map(|entry| names::parse(&entry.name))
            .filter(|(base, kind)| *kind == FileKind::Log && !history.is_left_behind(*base))
            .map(|(base, _)| base)
            .collect();
        bases.sort_unstable();
        let first = bases.first().copied();
        self.state.log_start = first.unwrap_or(history.settled_end);
        if let Some(first) =
            first.filter(|first| history.has_synced_segment(&(Offset::ZERO..*first)))
        {
            let reason = format!("a segment before offset {first} is missing");
            self.state.damage(reason);
        }
        for (index, base) in bases.iter().enumerate() {
            if *base < self.walk.next_offset {
                if history.cuts.range(..=*base).next().is_some() {
                    // A truncation left behind what overlaps: it is cut when the journal comes to it, which also has
                    // all that was appended since.
                    break;
                }
                let reason = format!("segment {base} overlaps the one before");
                self.state.damage(reason);
                break;
            }
            let between = self.walk.next_offset..*base;
            if self.missing.as_ref() == Some(&between) {
                let end = promised_end(disk, dir, &bases[index..])?;
                let Range { start, end: behind } = between;
                let reason = format!("the segment with offsets {start}..{behind} is missing");
                self.promise = Some(Promise { end, reason });
                break;
            }
            if 0 < index && !between.is_empty() {
                self.between.push(between);
            }
            let (position, is_whole) = self.read_segment(disk, dir, *base, history, now)?;
            if !is_whole {
                let end = promised_end(disk, dir, &bases[index..])?;
                let reason = format!("segment {base} is broken at position {position}");
                self.promise = Some(Promise { end, reason });
                break;
            }
        }
        disk.sync_dir(Path::new(dir))
    }

    /// The first offsets between two segments that were lost with a segment: the journal knows that segment, or it has to
    /// be one, because nothing but compaction leaves room between segments, and there was none.
    fn lost_between(&self, history: &FileHistory) -> Option<Range<Offset>> {
        let is_lost = |between: &&Range<Offset>| {
            let is_explained = self.is_compacted || between.end <= history.settled_end;
            history.has_synced_segment(between) || !is_explained
        };
        self.between.iter().find(is_lost).cloned()
    }

    /// Returns where the segment's batches end, and whether that is all it should have.
    fn read_segment(
        &mut self,
        disk: &dyn Disk,
        dir: &str,
        base: Offset,
        history: &FileHistory,
        now: Now,
    ) -> Result<(u32, bool), DiskError> {
        self.walk = Walk {
            position: 0,
            next_offset: base,
            epoch: self.walk.epoch,
        };
        let path = names::file(dir, base, FileKind::Log);
        let file = disk.open(&path, OpenMode::ReadWrite)?;
        self.state.segments.push(Segment::empty(base));
        let last = last_unit(disk, dir, base)?;
        let mut believed = Believed::up_to(base, last);
        let mut cuts = history.cuts.range(base..).copied().peekable();
        let mut next_offset = base;
        let is_walked = walk_segment(&*file, &mut self.walk, &mut |position, batch| {
            if !believed.takes(position, batch) {
                return;
            }
            let segment = self.state.segments.last().expect("it was just pushed");
            let place = (position, Some(segment.largest_timestamp));
            while let Some(cut) = cuts.next_if(|cut| *cut <= batch.last_offset()) {
                self.cuts.insert(cut, place);
            }
            self.is_compacted |= next_offset < batch.base_offset() || has_lost_records(batch);
            next_offset = batch.last_offset().next();
            take(&mut self.state, batch, now);
        })?;
        let segment = self.state.segments.last().expect("it was just pushed");
        let place = (segment.size, Some(segment.largest_timestamp));
        self.cuts.extend(cuts.map(|cut| (cut, place)));
        // It was read from the page cache, perhaps, and the journal need not have it any more.
        file.sync_data()?;
        self.bytes_read += u64::from(self.walk.position);
        let segment = self.state.segments.last_mut().expect("it was just pushed");
        segment.written_size = segment.size;
        segment.synced_size = segment.size;
        segment.written_largest_timestamp = segment.largest_timestamp;
        if let Some(position) = believed.refused_at {
            self.walk.position = position;
            self.walk.next_offset = believed.end;
        }
        let is_short = last.is_some_and(|last| segment.size < last.end_position());
        Ok((self.walk.position, is_walked && !is_short))
    }

    fn rebuilt(mut self, id: TopicPartition, history: &FileHistory) -> Rebuilt {
        let mut end = self.walk.next_offset.max(self.state.log_start);
        match &mut self.promise {
            Some(promise) => promise.end = promise.end.max(history.synced_end),
            // Compaction and retention may have left nothing of the log's last records.
            None => end = end.max(history.settled_end),
        }
        if end < history.synced_end && self.promise.is_none() {
            self.promise = Some(Promise {
                end: history.synced_end,
                reason: format!("the segments end at offset {end}"),
            });
        }
        self.state.tail = Tail::empty_at(end);
        self.state.synced_end = end;
        self.state.begun_lsn = history.begun_lsn;
        self.state.is_future = history.is_future;
        Rebuilt {
            record: RestoredPartition {
                id,
                appended_end: end,
                state: self.state,
                tail_lsn: Lsn::ZERO,
            },
            cuts: self.cuts,
            promise: self.promise,
        }
    }
}

/// Which batches of a segment are believed. A batch's checksum does not cover its base offset: behind the last one nothing
/// goes on that would show that it is bent, but the sidecar knows where it ended.
struct Believed {
    /// Position in bytes and offset behind the last stretch that the sidecar knows.
    known: Option<(u32, Offset)>,
    /// Offset behind the last batch that is believed.
    end: Offset,
    /// Position of the first batch that is not.
    refused_at: Option<u32>,
}

impl Believed {
    fn up_to(base: Offset, last: Option<Unit>) -> Believed {
        let behind = |last: Unit| base.plus(i64::from(last.last_delta) + 1);
        Believed {
            known: last.map(|last| (last.end_position(), behind(last))),
            end: base,
            refused_at: None,
        }
    }

    fn takes(&mut self, position: u32, batch: &BatchView<'_>) -> bool {
        let (end_position, end) = (
            u64::from(position) + batch.size_in_bytes() as u64,
            batch.last_offset().next(),
        );
        let is_bent = self
            .known
            .is_some_and(|known| u64::from(known.0) == end_position && known.1 != end);
        if is_bent && self.refused_at.is_none() {
            self.refused_at = Some(position);
        }
        if self.refused_at.is_none() {
            self.end = end;
        }
        self.refused_at.is_none()
    }
}

/// Where the log ended, as the names and sidecars of `bases` tell, of which the first one is broken.
fn promised_end(disk: &dyn Disk, dir: &str, bases: &[Offset]) -> Result<Offset, DiskError> {
    let mut end = Offset::ZERO;
    for base in bases {
        let last = last_unit(disk, dir, *base)?;
        let behind = last.map_or(0, |last| i64::from(last.last_delta) + 1);
        end = end.max(base.plus(behind));
    }
    Ok(end)
}

/// The last stretch of a segment that its sidecar knows, whatever the segment itself has.
fn last_unit(disk: &dyn Disk, dir: &str, base: Offset) -> Result<Option<Unit>, DiskError> {
    let file = match disk.open(&names::file(dir, base, FileKind::Sums), OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = vec![0; file.size()? as usize];
    let size = file.read_at(0, &mut bytes)?;
    match sidecar::decode(&bytes[..size], base, u32::MAX) {
        Sidecar::Units(units) => Ok(units.last().copied()),
        // Read by nobody here; whoever serves the segment refuses it.
        Sidecar::NewerVersion(_) => Ok(None),
    }
}

/// Shows `visit` the batches of one segment with their positions. Returns false when it ends in something that is no
/// batch, as it may after a crash.
fn walk_segment(
    file: &dyn DiskFile,
    walk: &mut Walk,
    visit: &mut dyn FnMut(u32, &BatchView<'_>),
) -> Result<bool, DiskError> {
    let size = file.size()?;
    let mut chunk_size = CHUNK_SIZE;
    while u64::from(walk.position) < size {
        let rest = (size - u64::from(walk.position)) as usize;
        let position = u64::from(walk.position);
        let Some(bytes) = read_exact(file, position, chunk_size.min(rest), Access::Wait)? else {
            return Ok(false);
        };
        match walk.over(&bytes, |position, batch| visit(position, &batch)) {
            Err(_) => return Ok(false),
            Ok(WalkEnd::Needs(needed)) if rest < needed => return Ok(false),
            Ok(WalkEnd::Needs(needed)) => chunk_size = CHUNK_SIZE.max(needed),
            Ok(WalkEnd::Whole) => {}
        }
    }
    Ok(true)
}

/// Compaction takes records away and leaves the batch's offsets.
fn has_lost_records(batch: &BatchView<'_>) -> bool {
    let offsets_count = batch.base_offset().distance_to(batch.last_offset()) + 1;
    u64::from(batch.records_count()) < offsets_count
}

fn take(state: &mut PartitionState, batch: &BatchView<'_>, now: Now) {
    let segment = state.segments.last_mut().expect("there is one");
    // What compaction emptied has no record with the timestamp that it states.
    let max_timestamp = match batch.records_count() {
        0 => NO_TIMESTAMP,
        _ => batch.max_timestamp(),
    };
    segment.push(batch.size_in_bytes(), max_timestamp, now.wall);
    let epoch = batch.leader_epoch().unwrap_or(LeaderEpoch::new(0));
    state.epochs.assign(epoch, batch.base_offset());
    if let Some(producer) = batch.producer() {
        state.push_producer(
            &producer,
            batch.base_offset(),
            batch.last_offset(),
            batch.max_timestamp(),
            batch.is_transactional(),
            now.wall,
        );
    }
}
