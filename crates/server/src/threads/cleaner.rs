use std::sync::Arc;
use std::time::Duration;

use ottla_storage::log_dir::LogDir;
use ottla_storage::log_dir::PumpStep;

use super::pump_thread::{Next, PumpThread};
use crate::clock::Clock;

/// A cleaner that rests looks this often whether its settings have changed.
const REST_MAX: Duration = Duration::from_secs(1);

/// The thread that compacts the logs of a directory. One of its own: neither flushes nor fsyncs wait for it.
#[derive(Debug)]
pub struct Cleaner {
    _thread: PumpThread,
}

impl Cleaner {
    /// Starts compacting.
    pub fn start(number: usize, log_dir: Arc<LogDir>, clock: Clock) -> std::io::Result<Cleaner> {
        let thread = PumpThread::start(&format!("cleaner-{number}"), clock, move || {
            let now = clock.now();
            match log_dir.clean_step(now) {
                PumpStep::Worked => Next::AtOnce,
                PumpStep::Waiting { until } => Next::At(until.min(now.mono.plus(REST_MAX))),
                PumpStep::Offline => Next::WhenWoken,
            }
        })?;
        Ok(Cleaner { _thread: thread })
    }
}
