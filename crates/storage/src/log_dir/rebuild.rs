//! The way back when no checkpoint is valid: every segment is read and checked, which takes as long as it takes.
//!
//! What only the journal and the checkpoints knew is lost with them: log starts moved by DeleteRecords come back down
//! to the first segment, and producers are known as far as the batches name them.

use super::checkpointing::RestoredPartition;
use super::dir_names;
use crate::disk::{Disk, DiskError, DiskFile, OpenMode};
use crate::partition::{LogConfig, PartitionState, Segment, Tail};
use crate::segment::chain::{Walk, WalkEnd};
use crate::segment::names::{self, FileKind};
use crate::segment::small_files;
use crate::segment::{Access, read_exact};
use ottla_records::BatchView;
use ottla_types::{LeaderEpoch, Lsn, Now, Offset, PartitionId, TopicPartition};
use std::path::Path;
use std::sync::Arc;

const CHUNK_SIZE: usize = 4 * 1024 * 1024;

/// All partitions that the directories hold, and the bytes read for it.
pub(super) fn rebuild(
    disk: &dyn Disk,
    now: Now,
) -> Result<(Vec<RestoredPartition>, u64), DiskError> {
    let mut partitions = Vec::new();
    let mut bytes_read = 0;
    for entry in disk.list(Path::new(""))? {
        let own = [dir_names::WAL, dir_names::LARGE, dir_names::CHECKPOINTS];
        let is_own = own.contains(&entry.name.as_str());
        if !entry.is_dir || is_own || entry.name.ends_with(names::DELETED_SUFFIX) {
            continue;
        }
        let Some(id) = owner(disk, &entry.name)? else {
            continue;
        };
        let (state, bytes) = rebuild_partition(disk, &entry.name, now)?;
        bytes_read += bytes;
        partitions.push(RestoredPartition {
            id,
            appended_end: state.appended_end(),
            state,
            tail_lsn: Lsn::ZERO,
        });
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

fn rebuild_partition(
    disk: &dyn Disk,
    dir: &str,
    now: Now,
) -> Result<(PartitionState, u64), DiskError> {
    let mut state = PartitionState::new(LogConfig::default());
    state.dir = Some(Arc::from(dir));
    state.has_dir = true;
    let mut bases: Vec<Offset> = disk
        .list(Path::new(dir))?
        .iter()
        .filter_map(|entry| names::parse(&entry.name))
        .filter(|(_, kind)| *kind == FileKind::Log)
        .map(|(base, _)| base)
        .collect();
    bases.sort_unstable();
    let mut bytes_read = 0;
    let mut walk = Walk {
        position: 0,
        next_offset: Offset::ZERO,
        epoch: None,
    };
    state.log_start = bases.first().copied().unwrap_or(Offset::ZERO);
    for (index, base) in bases.iter().enumerate() {
        if *base < walk.next_offset {
            state.damage(format!("segment {base} overlaps the one before"));
            break;
        }
        walk = Walk {
            position: 0,
            next_offset: *base,
            epoch: walk.epoch,
        };
        let file = disk.open(&names::file(dir, *base, FileKind::Log), OpenMode::Read)?;
        state.segments.push(Segment::empty(*base));
        let is_whole = walk_segment(&*file, &mut walk, &mut state, now)?;
        bytes_read += u64::from(walk.position);
        let segment = state.segments.last_mut().expect("it was just pushed");
        segment.written_size = segment.size;
        segment.synced_size = segment.size;
        segment.written_largest_timestamp = segment.largest_timestamp;
        if !is_whole && index + 1 < bases.len() {
            let position = walk.position;
            state.damage(format!("segment {base} is broken at position {position}"));
            break;
        }
    }
    let end = walk.next_offset.max(state.log_start);
    state.tail = Tail::empty_at(end);
    state.synced_end = end;
    Ok((state, bytes_read))
}

/// Takes the batches of one segment into `state`. Returns false when it ends in something that is no batch, as it may
/// after a crash.
fn walk_segment(
    file: &dyn DiskFile,
    walk: &mut Walk,
    state: &mut PartitionState,
    now: Now,
) -> Result<bool, DiskError> {
    let size = file.size()?;
    let mut chunk_size = CHUNK_SIZE;
    while u64::from(walk.position) < size {
        let rest = (size - u64::from(walk.position)) as usize;
        let position = u64::from(walk.position);
        let Some(bytes) = read_exact(file, position, chunk_size.min(rest), Access::Wait)? else {
            return Ok(false);
        };
        match walk.over(&bytes, |_, batch| take(state, &batch, now)) {
            Err(_) => return Ok(false),
            Ok(WalkEnd::Needs(needed)) if rest < needed => return Ok(false),
            Ok(WalkEnd::Needs(needed)) => chunk_size = CHUNK_SIZE.max(needed),
            Ok(WalkEnd::Whole) => {}
        }
    }
    Ok(true)
}

fn take(state: &mut PartitionState, batch: &BatchView<'_>, now: Now) {
    let segment = state.segments.last_mut().expect("there is one");
    segment.push(batch.size_in_bytes(), batch.max_timestamp(), now.wall);
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
