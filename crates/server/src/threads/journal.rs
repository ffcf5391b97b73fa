use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use ottla_storage::log_dir::LogDir;
use ottla_storage::wal::CommitStep;
use ottla_types::Now;

use super::pump_thread::{Next, PumpThread};
use crate::clock::Clock;
use crate::metrics::{Histogram, add};

/// A commit that takes longer is worth a line.
const SLOW_COMMIT: Duration = Duration::from_secs(10);

/// The thread of a directory's journal: it writes and syncs what the workers queued, in groups, and
/// tells them once per group.
#[derive(Debug)]
pub struct Journal {
    _thread: PumpThread,
}

/// What the journal's thread counts.
#[derive(Debug, Default)]
pub struct JournalCounters {
    /// Times of the fsyncs.
    pub syncs: Histogram,
    /// Times nothing could be written because no ring file was free.
    pub stalls: AtomicU64,
}

impl Journal {
    /// Starts committing. `on_commit` is called after each group, `on_failure` once the directory failed.
    pub fn start(
        number: usize,
        log_dir: Arc<LogDir>,
        clock: Clock,
        counters: Arc<JournalCounters>,
        on_commit: impl Fn(Now) + Send + 'static,
        on_failure: impl Fn(Now) + Send + 'static,
    ) -> std::io::Result<Journal> {
        let waker_of = Arc::clone(&log_dir);
        let mut has_failed = false;
        let thread = PumpThread::start(&format!("journal-{number}"), clock, move || {
            let started = clock.now();
            let step = log_dir.commit_step(started);
            match step {
                CommitStep::Idle => Next::WhenWoken,
                CommitStep::Waiting { until } => Next::At(until),
                CommitStep::Stalled { until } => {
                    add(&counters.stalls, 1);
                    Next::At(until)
                }
                // The directory's watch tells the person.
                CommitStep::Full { until } => Next::At(until),
                CommitStep::Prepared => Next::AtOnce,
                CommitStep::Wrote { .. } => {
                    on_commit(clock.now());
                    Next::AtOnce
                }
                CommitStep::Synced { .. } => {
                    let now = clock.now();
                    let took = now.mono.since(started.mono);
                    counters.syncs.record(took);
                    if took >= SLOW_COMMIT {
                        tracing::warn!("an fsync of the journal took {took:.1?}");
                    }
                    on_commit(now);
                    Next::AtOnce
                }
                // The directory's watch tells the person; here those are told who wait.
                CommitStep::Failed(_) => {
                    if !has_failed {
                        has_failed = true;
                        on_failure(clock.now());
                    }
                    Next::WhenWoken
                }
            }
        })?;
        let handle = thread.handle();
        waker_of.wal().set_waker(Box::new(move || handle.unpark()));
        // What was queued before there was a waker.
        thread.handle().unpark();
        Ok(Journal { _thread: thread })
    }
}
