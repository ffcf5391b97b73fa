//! The log cleaner: rewrites rolled segments of compacted logs so that they hold the newest record of each key.
//!
//! A round reads what was appended since the last one and notes the newest offset of each key, then rewrites all
//! segments up to there, group by group. New files are written beside the old ones, synced, and swapped in by one entry
//! of the journal (see [`swap`]); readers keep the files they began with.

mod draft;
mod job;
mod selection;
pub(super) mod source;
pub(super) mod swap;

use super::LogDir;
use super::pump::PumpStep;
use crate::cleaner::CleanerOptions;
use crate::findings::Finding;
use crate::marker::Marker;
use crate::segment::ReadFault;
use job::{Job, JobStep};
use ottla_types::{Mono, Now, PartitionSlot};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::time::Duration;

/// How soon the cleaner looks again at a log that waits for a flush.
const FLUSH_INTERVAL: Duration = Duration::from_millis(200);

/// What the cleaner of a directory has done and is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CleanerStats {
    /// Rounds that came to their end.
    pub rounds_count: u64,
    /// Bytes read, for noting keys and for rewriting.
    pub bytes_read: u64,
    /// Bytes of new segments.
    pub bytes_written: u64,
    /// Bytes of the segments that were replaced.
    pub bytes_replaced: u64,
    /// Records that stayed.
    pub records_kept: u64,
    /// Records that went.
    pub records_removed: u64,
    /// Bytes that the last round removed, of those it read for rewriting, in percent.
    pub last_reduction_percent: u8,
    /// How long the last round took.
    pub last_round: Duration,
    /// The largest share of the last round's memory for keys that was in use, in percent.
    pub map_used_percent: u8,
    /// Partitions that are not compacted any more because they could not be read.
    pub uncleanable_count: usize,
    /// The oldest dirty record beyond its `max.compaction.lag.ms`: by so much, when last looked.
    pub max_lag_over: Duration,
    /// The dirtiest log's share of dirty bytes, in percent, when last looked.
    pub dirtiest_percent: u8,
}

/// The cleaner of a directory.
pub(super) struct Cleaner {
    options: CleanerOptions,
    job: Option<Box<Job>>,
    next_look: Mono,
    /// Not before this time, so that the device has time for others.
    next_io: Mono,
    /// Partitions that could not be read: left alone until a restart.
    uncleanable: BTreeSet<PartitionSlot>,
}

/// Numbers that others read while the cleaner works.
pub(super) type SharedStats = Mutex<CleanerStats>;

impl Cleaner {
    /// With nothing to do yet.
    pub(super) fn new(options: CleanerOptions) -> Cleaner {
        Cleaner {
            options,
            job: None,
            next_look: Mono::ZERO,
            next_io: Mono::ZERO,
            uncleanable: BTreeSet::new(),
        }
    }

    fn configure(&mut self, wanted: CleanerOptions) {
        let options = CleanerOptions {
            hash_key: self.options.hash_key,
            ..wanted
        };
        if self.options != options {
            self.options = options;
            self.next_look = Mono::ZERO;
        }
    }

    fn step(&mut self, dir: &LogDir, now: Now) -> PumpStep {
        let rest = now.mono.plus(self.options.backoff);
        if now.mono < self.next_io {
            return PumpStep::Waiting {
                until: self.next_io,
            };
        }
        let Some(mut job) = self.job.take() else {
            return self.look(dir, now);
        };
        if !self.options.is_enabled || job.is_over(dir) {
            job.abandon(dir);
            return PumpStep::Worked;
        }
        match job.step(dir, now) {
            Ok(JobStep::Moved { bytes }) => {
                self.rest_after(bytes, now);
                self.job = Some(job);
            }
            Ok(JobStep::Waiting { until }) => {
                self.job = Some(job);
                return PumpStep::Waiting { until };
            }
            Ok(JobStep::Done) => {
                dir.markers.reach(Marker::LogCompacted);
                job.tell(&mut dir.cleaner_stats.lock(), now);
                job.abandon(dir);
            }
            Err(fault) => {
                self.fail(dir, &job, &fault);
                job.abandon(dir);
                self.next_look = rest;
            }
        }
        PumpStep::Worked
    }

    /// Chooses the next log, or rests.
    fn look(&mut self, dir: &LogDir, now: Now) -> PumpStep {
        let rest = now.mono.plus(self.options.backoff);
        if !self.options.is_enabled {
            return PumpStep::Waiting { until: rest };
        }
        if now.mono < self.next_look {
            return PumpStep::Waiting {
                until: self.next_look,
            };
        }
        let looked = selection::dirtiest(dir, &self.uncleanable, now);
        {
            let mut stats = dir.cleaner_stats.lock();
            stats.dirtiest_percent = looked.dirtiest_percent;
            stats.max_lag_over = looked.max_lag_over;
            stats.uncleanable_count = self.uncleanable.len();
        }
        match looked.chosen {
            Some(candidate) if candidate.is_synced => {
                self.job = Some(Box::new(Job::new(candidate, self.options, now)));
                return PumpStep::Worked;
            }
            Some(candidate) => {
                dir.request_flush(candidate.partition.slot(), true);
                self.next_look = now.mono.plus(FLUSH_INTERVAL.min(self.options.backoff));
            }
            None => self.next_look = rest,
        }
        PumpStep::Waiting {
            until: self.next_look,
        }
    }

    fn rest_after(&mut self, bytes: usize, now: Now) {
        if let Some(rate) = self.options.io_bytes_per_second {
            let nanos = (bytes as u64).saturating_mul(1_000_000_000) / rate.max(1);
            self.next_io = now.mono.plus(Duration::from_nanos(nanos));
        }
    }

    /// A log that cannot be read is left alone from now on; others go on. A full disk is waited for.
    fn fail(&mut self, dir: &LogDir, job: &Job, fault: &ReadFault) {
        match fault {
            ReadFault::Disk(error) if error.is_full() => {}
            ReadFault::Disk(error) => dir.failed(error),
            ReadFault::Corrupt { .. } | ReadFault::NewerVersion { .. } => {
                let partition = job.partition();
                self.uncleanable.insert(partition.slot());
                dir.cleaner_stats.lock().uncleanable_count = self.uncleanable.len();
                dir.findings.note(Finding::Uncleanable {
                    partition: partition.id(),
                    reason: fault.to_string(),
                });
            }
        }
    }
}

impl LogDir {
    /// The pump of the log cleaner: at most one I/O per call. One thread calls it.
    pub fn clean_step(&self, now: Now) -> PumpStep {
        if self.health.is_offline() {
            return PumpStep::Offline;
        }
        let wanted = self.cleaner_wanted.lock().take();
        let mut cleaner = self.cleaner.lock();
        if let Some(wanted) = wanted {
            cleaner.configure(wanted);
        }
        cleaner.step(self, now)
    }

    /// Looks for a log to compact now, without waiting for `log.cleaner.backoff.ms` (a test, a changed config).
    pub fn clean_now(&self) {
        self.cleaner.lock().next_look = Mono::ZERO;
    }

    /// Changes how the cleaner behaves, from the next round on; being switched off ends the one under way. The secret of
    /// its hashes stays what it is.
    pub fn configure_cleaner(&self, options: CleanerOptions) {
        // Not into the cleaner itself: that is locked while it reads and writes.
        *self.cleaner_wanted.lock() = Some(options);
    }

    /// What the cleaner has done.
    pub fn cleaner_stats(&self) -> CleanerStats {
        *self.cleaner_stats.lock()
    }
}
