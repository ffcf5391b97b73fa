use crate::log_dir::LogDir;
use crate::partition::{Partition, PartitionState, Segment, Standing};
use ottla_types::{Now, Offset, PartitionSlot, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A log that may be compacted.
pub(super) struct Candidate {
    pub(super) partition: Arc<Partition>,
    /// Below it keys are unique already.
    pub(super) first_dirty: Offset,
    /// Where the last segment that may be compacted ends.
    pub(super) end: Offset,
    /// All of it is in synced files.
    pub(super) is_synced: bool,
    /// Share of dirty bytes, in millionths.
    dirty_ppm: u64,
    /// How long the oldest dirty record has waited beyond `max.compaction.lag.ms`.
    lag_over: Option<Duration>,
}

/// What a look over all partitions found.
pub(super) struct Looked {
    pub(super) chosen: Option<Candidate>,
    pub(super) dirtiest_percent: u8,
    pub(super) max_lag_over: Duration,
}

/// The dirtiest log of those that are dirty enough or have waited too long (Kafka's
/// `LogCleanerManager.grabFilthiestCompactedLog`).
pub(super) fn dirtiest(dir: &LogDir, without: &BTreeSet<PartitionSlot>, now: Now) -> Looked {
    let mut looked = Looked {
        chosen: None,
        dirtiest_percent: 0,
        max_lag_over: Duration::ZERO,
    };
    let mut slot = 0;
    loop {
        let Some(partition) = dir.table.read().next_from(slot).cloned() else {
            return looked;
        };
        slot = partition.slot().get() + 1;
        if without.contains(&partition.slot()) {
            continue;
        }
        let Some(candidate) = candidate(dir, partition, now) else {
            continue;
        };
        let percent = (candidate.dirty_ppm / 10_000) as u8;
        looked.dirtiest_percent = looked.dirtiest_percent.max(percent);
        let over = candidate.lag_over.unwrap_or_default();
        looked.max_lag_over = looked.max_lag_over.max(over);
        let min_ppm = u64::from(candidate.partition.lock().config.min_cleanable_ppm);
        let is_due = min_ppm < candidate.dirty_ppm || candidate.lag_over.is_some();
        let chosen_ppm = looked.chosen.as_ref().map_or(0, |chosen| chosen.dirty_ppm);
        if is_due && chosen_ppm < candidate.dirty_ppm {
            looked.chosen = Some(candidate);
        }
    }
}

/// What of a log may be compacted now, if anything.
fn candidate(dir: &LogDir, partition: Arc<Partition>, now: Now) -> Option<Candidate> {
    let state = partition.lock();
    let is_ready = state.config.compacts
        && state.standing == Standing::Good
        && !state.is_future
        && state.dir.is_some()
        && state.swap.is_none();
    if !is_ready {
        return None;
    }
    let durable = dir.durable_for(&state);
    let stable = state.producers.first_open_transaction();
    let limit = state.removable_end(durable, partition.high_watermark());
    let limit = stable.map_or(limit, |stable| stable.min(limit));
    let first_dirty = state.cleaned_end.max(state.log_start);
    let count = cleanable_count(&state, first_dirty, limit, now.wall);
    let end = state.segment_end(count.checked_sub(1)?);
    if end <= first_dirty {
        return None;
    }
    let is_dirty = |index: &usize| first_dirty < state.segment_end(*index);
    let bytes = |segments: &[Segment]| segments.iter().map(|it| u64::from(it.size)).sum::<u64>();
    let first = (0..count).find(is_dirty)?;
    let dirty = &state.segments[first..count];
    let dirty_bytes = bytes(dirty);
    let all_bytes = bytes(&state.segments[..count]);
    if dirty_bytes == 0 {
        return None;
    }
    let is_synced = state.segments[..count]
        .iter()
        .all(|segment| segment.synced_size == segment.size);
    let candidate = Candidate {
        first_dirty,
        end,
        is_synced,
        dirty_ppm: dirty_bytes.saturating_mul(1_000_000) / all_bytes,
        lag_over: lag_over(dirty, state.config.max_compaction_lag_ms, now.wall),
        partition: Arc::clone(&partition),
    };
    drop(state);
    Some(candidate)
}

/// How many segments may be compacted: never the active one, nothing beyond `limit`, nothing dirty that is younger than
/// `min.compaction.lag.ms`.
fn cleanable_count(
    state: &PartitionState,
    first_dirty: Offset,
    limit: Offset,
    now: Timestamp,
) -> usize {
    let lag = state.config.min_compaction_lag_ms;
    let sealed = state.segments.len().saturating_sub(1);
    let may_be = |index: &usize| {
        let end = state.segment_end(*index);
        let age = now.as_millis() - state.segments[*index].newest_at().as_millis();
        let is_old_enough = lag <= 0 || lag <= age || end <= first_dirty;
        end <= limit && is_old_enough
    };
    (0..sealed).take_while(may_be).count()
}

fn lag_over(dirty: &[Segment], max_lag_ms: i64, now: Timestamp) -> Option<Duration> {
    let began = |segment: &Segment| match segment.first_timestamp.as_millis() {
        stated if stated > 0 => stated,
        _ => segment.created.as_millis(),
    };
    let oldest = dirty.iter().map(began).filter(|began| *began > 0).min()?;
    let age = now.as_millis().saturating_sub(oldest);
    let over = age.checked_sub(max_lag_ms).filter(|over| *over > 0)?;
    Some(Duration::from_millis(over as u64))
}
