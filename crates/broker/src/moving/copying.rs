use super::moves::WritingLarge;
use crate::partition::LogHome;
use ottla_records::{BatchView, ValidBatch, batches};
use ottla_storage::log_dir::{AppendBatch, AppendError, AppendOrigin, Part, ReadError, ReadLimit};
use ottla_storage::segment::{Access, ReadFault};
use ottla_types::{LeaderEpoch, Lsn, Now, Offset, TopicPartition};
use std::sync::Arc;

/// A piece of a log that is to be copied.
pub(super) struct Piece {
    pub(super) id: TopicPartition,
    /// The number of its move.
    pub(super) number: u64,
    pub(super) source: Arc<LogHome>,
    pub(super) target: Arc<LogHome>,
    pub(super) from: Offset,
    /// Exclusive.
    pub(super) end: Offset,
    pub(super) bytes_max: usize,
    /// Its first batch, if that was too large for the target's journal and is being written.
    pub(super) large: Option<WritingLarge>,
}

/// What became of it.
pub(super) struct Copied {
    /// How far the source is copied (exclusive).
    pub(super) next: Offset,
    /// Bytes of batches that were appended.
    pub(super) bytes: u64,
    /// The newest journal entry of the target that came of it.
    pub(super) newest: Lsn,
    pub(super) large: Option<WritingLarge>,
    pub(super) ended: PieceEnd,
}

/// Why it ends where it does.
pub(super) enum PieceEnd {
    Copied,
    /// The target takes the next batch a little later.
    MustWait,
    /// The target is not a copy of the source.
    NoCopy,
    Failed,
}

/// Why there is no piece.
#[derive(Debug, thiserror::Error)]
enum Unread {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Fault(#[from] ReadFault),
}

/// Reads a piece of the source and appends its batches, as they are, to the target. Waits for the source's device.
pub(super) fn copy(piece: Piece, now: Now) -> Copied {
    let mut copied = Copied {
        next: piece.from,
        bytes: 0,
        newest: Lsn::ZERO,
        large: None,
        ended: PieceEnd::Copied,
    };
    if let Some(large) = piece.large {
        append_written(&piece.target, large, &mut copied, now);
        return copied;
    }
    let (bytes, next) = match read(&piece) {
        Ok(read) => read,
        Err(_) => {
            copied.ended = PieceEnd::Failed;
            return copied;
        }
    };
    for batch in batches(&bytes) {
        let Ok(batch) = batch else {
            copied.ended = PieceEnd::Failed;
            return copied;
        };
        if batch.last_offset() < piece.from {
            continue;
        }
        append(&piece.target, &batch, &mut copied, now);
        if !matches!(copied.ended, PieceEnd::Copied) {
            return copied;
        }
    }
    copied.next = next;
    copied
}

/// Whole batches of the source, and how far they reach.
fn read(piece: &Piece) -> Result<(Vec<u8>, Offset), Unread> {
    let limit = ReadLimit {
        end: piece.end,
        bytes_max: piece.bytes_max,
        at_least_one_batch: true,
    };
    let (log_dir, slot) = (&piece.source.log_dir, piece.source.slot);
    let plan = log_dir.read_with(slot, piece.from, limit, Access::Wait)?;
    let mut bytes = Vec::with_capacity(plan.size);
    for part in &plan.parts {
        match part {
            Part::Memory(part) => bytes.extend_from_slice(part),
            Part::File(range) => bytes.extend_from_slice(&range.load_all()?),
        }
    }
    // Nothing left below the end: compaction took the last of it.
    let next = match plan.parts.is_empty() {
        true => piece.end,
        false => plan.next_offset,
    };
    Ok((bytes, next))
}

fn append(target: &LogHome, batch: &BatchView<'_>, copied: &mut Copied, now: Now) {
    let bytes = batch.bytes();
    let log_dir = &target.log_dir;
    if log_dir.is_large(bytes.len()) {
        copied.ended = PieceEnd::MustWait;
        if log_dir.takes_large(bytes.len()) {
            match log_dir.write_large(bytes) {
                Ok(batch) => {
                    let bytes = bytes.to_vec();
                    copied.large = Some(WritingLarge { bytes, batch });
                }
                Err(_) => copied.ended = PieceEnd::Failed,
            }
        }
        return;
    }
    let append = |batch: AppendBatch<'_>, epoch| log_dir.append(target.slot, epoch, batch, now);
    append_with(batch, append, copied);
}

/// Appends a large batch if it is on the device by now.
fn append_written(target: &LogHome, large: WritingLarge, copied: &mut Copied, now: Now) {
    if !large.batch.is_settled() {
        copied.ended = PieceEnd::MustWait;
        copied.large = Some(large);
        return;
    }
    let Ok(batch) = BatchView::parse(&large.bytes) else {
        copied.ended = PieceEnd::Failed;
        return;
    };
    let append = |batch: AppendBatch<'_>, epoch| {
        let log_dir = &target.log_dir;
        log_dir.append_large(target.slot, epoch, batch, &large.batch, now)
    };
    append_with(&batch, append, copied);
}

fn append_with(
    batch: &BatchView<'_>,
    append: impl FnOnce(
        AppendBatch<'_>,
        LeaderEpoch,
    ) -> Result<ottla_storage::log_dir::Appended, AppendError>,
    copied: &mut Copied,
) {
    let Ok(facts) = ValidBatch::from_header(batch) else {
        copied.ended = PieceEnd::Failed;
        return;
    };
    let as_it_is = AppendBatch {
        bytes: batch.bytes(),
        facts: &facts,
        origin: AppendOrigin::Replica,
    };
    let epoch = batch.leader_epoch().unwrap_or(LeaderEpoch::new(0));
    match append(as_it_is, epoch) {
        Ok(appended) => {
            copied.next = appended.last_offset.next();
            copied.bytes += facts.size as u64;
            copied.newest = copied.newest.max(appended.durability);
        }
        Err(AppendError::Overlaps { .. }) => copied.ended = PieceEnd::NoCopy,
        Err(_) => copied.ended = PieceEnd::Failed,
    }
}
