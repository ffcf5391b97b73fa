//! Removes what is past retention: whole segments, oldest first, one partition per step.

use super::deletion::Unlink;
use super::pump::PumpStep;
use super::{LogDir, changes};
use crate::partition::{LogConfig, Partition, PartitionState};
use crate::wal::{Body, DurabilityClass, Entry, EntryHeader, EntryKind, WalError};
use ottla_types::{Lsn, Mono, Now, Offset, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// How soon a sweep follows one that left something waiting.
const WAITING_INTERVAL: Duration = Duration::from_millis(200);

/// Where the sweep over the partitions is.
#[derive(Default)]
pub(super) struct Sweep {
    next_slot: u32,
    next_sweep: Mono,
    /// Set while the directory remembers more producers than it may: those unused since before it go.
    producer_cutoff: Option<Timestamp>,
    /// Some partition has segments to remove that waits for the journal or a flush: the next sweep is soon.
    is_waiting: bool,
}

impl LogDir {
    /// Looks at one partition: retention by time and size, producers that expired. Does no I/O: files are removed by
    /// [`LogDir::flush_step`] when the journal knows and `file.delete.delay.ms` has passed.
    pub fn retention_step(&self, now: Now) -> PumpStep {
        if self.health.is_offline() {
            return PumpStep::Offline;
        }
        let mut sweep = self.retention.lock();
        if now.mono < sweep.next_sweep {
            return PumpStep::Waiting {
                until: sweep.next_sweep,
            };
        }
        if sweep.next_slot == 0 {
            sweep.producer_cutoff = self.producer_cutoff();
        }
        let Some(partition) = self.table.read().next_from(sweep.next_slot).cloned() else {
            sweep.next_slot = 0;
            let is_waiting = std::mem::take(&mut sweep.is_waiting);
            let interval = if is_waiting {
                WAITING_INTERVAL
            } else {
                self.options.retention_interval
            };
            sweep.next_sweep = now.mono.plus(interval);
            return PumpStep::Waiting {
                until: sweep.next_sweep,
            };
        };
        sweep.next_slot = partition.slot().get() + 1;
        let cutoff = self.expired_before(now);
        let cutoff = sweep
            .producer_cutoff
            .map_or(cutoff, |other| cutoff.max(other));
        drop(sweep);
        let mut state = partition.lock();
        if state.is_gone() {
            return PumpStep::Worked;
        }
        let expired = state.producers.expire(cutoff);
        self.count_producers(0, expired);
        // A failed journal stops everything else as well; nothing is half done here.
        let _ = self.retain(&partition, &mut state, now);
        let is_waiting = state.segments.len() > 1 && state.segment_end(0) <= state.log_start;
        drop(state);
        self.retention.lock().is_waiting |= is_waiting;
        PumpStep::Worked
    }

    /// Looks at all partitions again now (a config changed, a disk is full, a test).
    pub fn retention_now(&self) {
        let mut sweep = self.retention.lock();
        sweep.next_slot = 0;
        sweep.next_sweep = Mono::ZERO;
    }

    fn retain(
        &self,
        partition: &Arc<Partition>,
        state: &mut PartitionState,
        now: Now,
    ) -> Result<(), WalError> {
        if state.is_future {
            // What the source removes is removed here as well, and nothing else.
            return self.remove_segments(partition, state, now);
        }
        let durable = self.durable_for(state);
        let limit = state.removable_end(durable, partition.high_watermark());
        let mut start = state.log_start;
        if let Some(offset) = past_time(state, now.wall, limit) {
            start = start.max(offset);
        }
        if let Some(offset) = past_size(state, &state.config, limit) {
            start = start.max(offset);
        }
        let end = state.appended_end();
        if start == end && state.segments.last().is_some_and(|active| active.size > 0) {
            // Everything is past retention: the active segment ends here, so that it can go as a whole.
            self.roll(partition, state, end)?;
        }
        if state.log_start < start {
            self.move_log_start(partition, state, start)?;
        }
        self.remove_segments(partition, state, now)
    }

    /// Removes the segments that lie wholly below the log's start and are synced; others follow when they are.
    fn remove_segments(
        &self,
        partition: &Arc<Partition>,
        state: &mut PartitionState,
        now: Now,
    ) -> Result<(), WalError> {
        // Files that change their names at the moment are removed under the new ones.
        if state.swap.is_some() {
            return Ok(());
        }
        // Not before the new start is durable: a crash may take it back, and then the segments are needed.
        let start = state.durable_log_start(self.durable_lsn());
        let mut count = 0;
        while count + 1 < state.segments.len() {
            let segment = &state.segments[count];
            let is_synced = segment.synced_size == segment.size;
            if start < state.segment_end(count) || !is_synced {
                break;
            }
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        let lsn = self.journal_removal(partition, state, count)?;
        let delay = Duration::from_millis(state.config.file_delete_delay_ms);
        let due = now.mono.plus(delay);
        let files: Vec<_> = (0..count)
            .map(|index| state.segment_file(partition.id(), index))
            .collect();
        let next_segment = state.segments[count].base_offset;
        state.segments.drain(..count);
        state.state_lsn = lsn;
        // A write that is planned for one of them would not find it: but they are synced, so there is none.
        for file in files {
            let unlink = Unlink::of_segment(Arc::clone(partition), file, next_segment, lsn, due);
            self.unlinks.lock().push(unlink);
        }
        Ok(())
    }

    fn journal_removal(
        &self,
        partition: &Partition,
        state: &PartitionState,
        count: usize,
    ) -> Result<Lsn, WalError> {
        let header = EntryHeader {
            kind: EntryKind::Segments,
            topic_partition: partition.id(),
            base_offset: state.segments[0].base_offset,
            end_offset: state.segments[count].base_offset,
            argument: changes::SEGMENTS_REMOVED,
        };
        let entry = Entry::new(header, DurabilityClass::Fsync, Body::Empty);
        self.wal.enqueue(entry)
    }

    /// Between two sweeps, producers that come too fast push out those unused for longest.
    pub(super) fn relieve_producers(&self, now: Now) {
        let limit = self.options.producers_max + self.options.producers_max / 20;
        let count = self
            .producers_count
            .load(std::sync::atomic::Ordering::Relaxed);
        if count <= limit {
            return;
        }
        let Some(cutoff) = self.producer_cutoff() else {
            return;
        };
        let cutoff = cutoff.max(self.expired_before(now));
        let partitions: Vec<_> = self.table.read().iter().cloned().collect();
        for partition in partitions {
            let mut state = partition.lock();
            if !state.is_gone() {
                self.count_producers(0, state.producers.expire(cutoff));
            }
        }
    }

    /// Below which last use producers go because there are too many; `None` while there are not.
    fn producer_cutoff(&self) -> Option<Timestamp> {
        let count = self
            .producers_count
            .load(std::sync::atomic::Ordering::Relaxed);
        let surplus = count.checked_sub(self.options.producers_max)?;
        if surplus == 0 {
            return None;
        }
        let mut used: Vec<Timestamp> = Vec::with_capacity(count);
        for partition in self.table.read().iter() {
            let state = partition.lock();
            used.extend(state.producers.entries().map(|entry| entry.last_used()));
        }
        // Some more than needed, so that the next one is not needed at once.
        let index = (surplus + self.options.producers_max / 20).min(used.len().checked_sub(1)?);
        let (_, newest, _) = used.select_nth_unstable(index);
        // That one as well: a burst has many of the same time.
        Some(Timestamp::from_millis(newest.as_millis().saturating_add(1)))
    }
}

/// The offset below which all segments are past `retention.ms`.
fn past_time(state: &PartitionState, now: Timestamp, limit: Offset) -> Option<Offset> {
    let cutoff = state.config.retention_cutoff(now)?;
    let mut start = None;
    for (index, segment) in state.segments.iter().enumerate() {
        let end = state.segment_end(index);
        if segment.size == 0 || cutoff <= segment.newest_at() || limit < end {
            break;
        }
        start = Some(end);
    }
    start
}

/// The offset below which segments can go with `retention.bytes` still being kept.
fn past_size(state: &PartitionState, config: &LogConfig, limit: Offset) -> Option<Offset> {
    let kept = config.retention_bytes.filter(|_| config.deletes)?;
    let mut surplus = state.size().checked_sub(kept)?;
    let mut start = None;
    for (index, segment) in state.segments.iter().enumerate() {
        let end = state.segment_end(index);
        if segment.size == 0 || limit < end {
            break;
        }
        let Some(rest) = surplus.checked_sub(u64::from(segment.size)) else {
            break;
        };
        surplus = rest;
        start = Some(end);
    }
    start
}
