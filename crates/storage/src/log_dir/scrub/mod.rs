//! Looks whether the files are what they should be: names and sizes soon after a start, contents slowly for ever.
//!
//! A pass goes over the directory's root, then over the names in every partition's directory, then over the bytes of
//! every segment. Nothing is believed that was seen without the partition's lock: what looks wrong is compared with
//! the state again before it is told or touched.

mod contents;
mod names;
mod root;

use super::LogDir;
use super::pump::PumpStep;
use crate::disk::DiskError;
use crate::findings::Finding;
use contents::Contents;
use names::Names;
use ottla_types::{Mono, Now};
use root::Root;
use std::time::Duration;

/// Directories are looked at with this distance: some hundred a second, so that nobody notices.
const NAMES_INTERVAL: Duration = Duration::from_millis(5);

/// How far the scrub is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubStats {
    /// Passes that came to their end.
    pub passes_count: u64,
    /// Bytes of segments read and found good, or not.
    pub bytes_read: u64,
}

/// Where the scrub is.
pub(super) struct Scrub {
    stage: Stage,
    next_at: Mono,
    stats: ScrubStats,
}

enum Stage {
    Root(Root),
    Names(Names),
    Contents(Box<Contents>),
}

/// What a step of a stage did.
pub(super) enum Progress {
    /// One I/O of so many bytes of contents, or of none.
    Read(usize),
    /// A directory was looked at.
    Looked,
    /// The stage is over; nothing was done in this step.
    Over,
}

impl Scrub {
    /// Begins some time after `now`, when a starting node has done what is urgent.
    pub(super) fn new(now: Now, delay: Duration) -> Scrub {
        Scrub {
            stage: Stage::Root(Root::default()),
            next_at: now.mono.plus(delay),
            stats: ScrubStats::default(),
        }
    }

    fn step(&mut self, dir: &LogDir, now: Now) -> Result<(), DiskError> {
        let progress = match &mut self.stage {
            Stage::Root(root) => root.step(dir)?,
            Stage::Names(names) => names.step(dir)?,
            Stage::Contents(contents) => contents.step(dir)?,
        };
        match progress {
            Progress::Read(bytes) => {
                self.stats.bytes_read += bytes as u64;
                let rate = dir.options.scrub_bytes_per_second.max(1);
                let nanos = (bytes as u64).saturating_mul(1_000_000_000) / rate;
                self.next_at = now.mono.plus(Duration::from_nanos(nanos));
            }
            Progress::Looked => self.next_at = now.mono.plus(NAMES_INTERVAL),
            Progress::Over => self.next_stage(dir, now),
        }
        Ok(())
    }

    fn next_stage(&mut self, dir: &LogDir, now: Now) {
        let reads_contents = dir.options.scrub_bytes_per_second > 0;
        self.stage = match &self.stage {
            Stage::Root(_) => Stage::Names(Names::default()),
            Stage::Names(_) if reads_contents => Stage::Contents(Box::default()),
            Stage::Names(_) | Stage::Contents(_) => {
                self.stats.passes_count += 1;
                self.next_at = now.mono.plus(dir.options.scrub_interval);
                Stage::Root(Root::default())
            }
        };
    }

    /// Something could not be read or written: the pass goes on behind it.
    fn give_up(&mut self, dir: &LogDir) {
        match &mut self.stage {
            Stage::Root(root) => root.give_up(),
            Stage::Names(names) => names.give_up(),
            Stage::Contents(contents) => contents.give_up(dir),
        }
    }
}

impl LogDir {
    /// Compares files with what they should be: at most one I/O per call. Damage, and whatever else is not as it
    /// should be, goes to [`LogDir::findings`].
    pub fn scrub_step(&self, now: Now) -> PumpStep {
        if self.health.is_offline() {
            return PumpStep::Offline;
        }
        let mut scrub = self.scrub.lock();
        if scrub.next_at <= now.mono
            && let Err(error) = scrub.step(self, now)
        {
            if error.is_about_the_name() {
                let error = error.to_string();
                self.findings.note(Finding::Unreadable { error });
            } else if !error.is_full() {
                // A full disk keeps the scrub from mending, nothing else.
                self.reads.failed(&error);
            }
            scrub.give_up(self);
        }
        if scrub.next_at <= now.mono {
            return PumpStep::Worked;
        }
        PumpStep::Waiting {
            until: scrub.next_at,
        }
    }

    /// Begins a new pass now (a test, an operator).
    pub fn scrub_now(&self) {
        let mut scrub = self.scrub.lock();
        scrub.give_up(self);
        scrub.stage = Stage::Root(Root::default());
        scrub.next_at = Mono::ZERO;
    }

    /// How far the scrub is.
    pub fn scrub_stats(&self) -> ScrubStats {
        self.scrub.lock().stats
    }
}
