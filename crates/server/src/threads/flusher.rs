use std::sync::Arc;

use ottla_storage::log_dir::LogDir;
use ottla_storage::log_dir::PumpStep;

use super::pump_thread::{Next, PumpThread};
use crate::clock::Clock;

/// The threads that bring tails to segments, write checkpoints, delete files and apply retention.
/// Several, because fsyncs of different files can wait side by side.
#[derive(Debug)]
pub struct Flusher {
    _threads: Vec<PumpThread>,
}

impl Flusher {
    /// Starts flushing.
    pub fn start(
        number: usize,
        threads_count: usize,
        log_dir: &Arc<LogDir>,
        clock: Clock,
    ) -> std::io::Result<Flusher> {
        let threads = (0..threads_count).map(|thread| {
            let log_dir = Arc::clone(log_dir);
            let name = format!("flusher-{number}.{thread}");
            PumpThread::start(&name, clock, move || {
                let now = clock.now();
                let flushed = log_dir.flush_step(now);
                if thread > 0 {
                    return next(flushed);
                }
                earlier(next(flushed), next(log_dir.retention_step(now)))
            })
        });
        let threads = threads.collect::<std::io::Result<Vec<_>>>()?;
        let handles: Vec<_> = threads.iter().map(PumpThread::handle).collect();
        log_dir.set_flush_waker(Box::new(move || {
            for handle in &handles {
                handle.unpark();
            }
        }));
        Ok(Flusher { _threads: threads })
    }
}

fn next(step: PumpStep) -> Next {
    match step {
        PumpStep::Worked => Next::AtOnce,
        PumpStep::Waiting { until } => Next::At(until),
        PumpStep::Offline => Next::WhenWoken,
    }
}

fn earlier(one: Next, other: Next) -> Next {
    match (one, other) {
        (Next::AtOnce, _) | (_, Next::AtOnce) => Next::AtOnce,
        (Next::At(one), Next::At(other)) => Next::At(one.min(other)),
        (Next::WhenWoken, next) | (next, Next::WhenWoken) => next,
    }
}
