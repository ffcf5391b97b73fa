use crate::disk::SimDisk;
use crate::hold;
use crate::oracle::Violation;
use ottla_storage::log_dir::{DirHealth, LogDir};
use ottla_types::{Mono, Now};
use std::time::Duration;

/// For what a log directory is excused: it may refuse while its disk is in trouble, and until it has had the time to
/// notice that the trouble is over. It may fail only if its disk did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Excuse {
    /// Of the disk, when last looked at.
    strikes: u64,
    /// Likewise, when the directory was opened last.
    strikes_at_start: u64,
    /// When it was in trouble last, or refused because of it.
    trouble_at: Option<Mono>,
    /// When the disk itself was in trouble last.
    cause_at: Mono,
    /// Steps of its pumps since it should have noticed that this is over.
    steps_since: u64,
}

/// A directory tries again after a shorter time than this what a full disk refused, and looks at its room more often ...
const NOTICES_AFTER: Duration = Duration::from_secs(2);
/// ... in the step of a pump that has nothing else to do: at most so many steps.
const NOTICES_AFTER_STEPS: u64 = 2_000;

/// No batch of a run is larger, in bytes.
const LARGE_SIZE: usize = 24 << 10;

impl Excuse {
    /// The directory was just opened.
    pub(crate) fn begin(&mut self, disk: &SimDisk, now: Now) {
        self.strikes_at_start = disk.strikes();
        self.strikes = disk.strikes();
        self.cause(now);
    }

    /// The directory is not there.
    pub(crate) fn is_away(&mut self, now: Now) {
        self.trouble_at = Some(now.mono);
    }

    /// A pump of the directory made a step.
    pub(crate) fn pumped(&mut self, now: Now) {
        if NOTICES_AFTER < now.mono.since(self.cause_at) {
            self.steps_since += 1;
        }
    }

    /// Whether the directory was in trouble at some time since `since`.
    pub(crate) fn is_good_since(&self, since: Mono) -> bool {
        self.trouble_at.is_some_and(|at| since <= at)
    }

    /// Whether it may refuse now what is asked of it, and was begun at `since`: it is in trouble, or was since then.
    pub(crate) fn is_good(&self, disk: &SimDisk, dir: &LogDir, since: Mono) -> bool {
        self.is_good_since(since)
            || dir.health() != DirHealth::Online
            || dir.wal().is_full()
            || self.strikes != disk.strikes()
            || disk.is_crashed()
    }

    /// Whether there may be too little room for a large batch of `size` bytes, which needs more of it than others.
    pub(crate) fn is_short_for(dir: &LogDir, size: usize) -> bool {
        let (stats, options) = (dir.stats(), dir.options());
        // Those that are being written take room, too.
        let unflushed = stats.tail_bytes + options.tail_bytes_max;
        stats.free_bytes < options.reserve_bytes + (unflushed + 2 * size) as u64
    }

    /// Between two steps.
    pub(crate) fn look(&mut self, disk: &SimDisk, dir: &LogDir, now: Now) -> Result<(), Violation> {
        let strikes = disk.strikes();
        let short_of = dir.options().reserve_bytes + dir.stats().tail_bytes as u64;
        if self.strikes != strikes || disk.free_bytes() < short_of {
            self.strikes = strikes;
            self.cause(now);
        }
        match dir.health() {
            DirHealth::Online if dir.wal().is_full() => self.is_full(disk, now)?,
            DirHealth::Online if dir.options().around_bytes < LARGE_SIZE => {
                if Excuse::is_short_for(dir, LARGE_SIZE) {
                    self.trouble_at = Some(now.mono);
                }
            }
            DirHealth::Online => {}
            DirHealth::Full => self.is_full(disk, now)?,
            DirHealth::Offline { reason } => {
                self.trouble_at = Some(now.mono);
                hold!(
                    self.strikes_at_start < strikes || disk.is_crashed(),
                    "a directory fails only with its disk",
                    "{reason}"
                );
            }
        }
        Ok(())
    }

    /// It refuses because of a full disk: not much longer than the disk is full.
    fn is_full(&mut self, disk: &SimDisk, now: Now) -> Result<(), Violation> {
        self.trouble_at = Some(now.mono);
        hold!(
            self.steps_since <= NOTICES_AFTER_STEPS,
            "a disk that has room again works again",
            "still full after {:?}, the last {} steps of it due, {} bytes are free",
            now.mono.since(self.cause_at),
            self.steps_since,
            disk.free_bytes()
        );
        Ok(())
    }

    fn cause(&mut self, now: Now) {
        self.trouble_at = Some(now.mono);
        self.cause_at = now.mono;
        self.steps_since = 0;
    }
}
