use std::sync::Arc;
use std::time::Duration;

use ottla_storage::log_dir::LogDir;
use ottla_storage::log_dir::PumpStep;
use ottla_storage::wal::ZeroStep;

use super::directory_watch::DirectoryWatch;
use super::pump_thread::{Next, PumpThread};
use crate::clock::Clock;

/// How often it is looked whether the journal needs another ring file.
const ZERO_EVERY: Duration = Duration::from_millis(100);

/// The thread in the background: it prepares ring files of the journal, reads what is on disk to
/// find what has rotted, and tells how the directory is.
#[derive(Debug)]
pub struct Scrubber {
    _thread: PumpThread,
}

impl Scrubber {
    /// Starts scrubbing.
    pub fn start(
        number: usize,
        path: String,
        log_dir: Arc<LogDir>,
        clock: Clock,
    ) -> std::io::Result<Scrubber> {
        let mut watch = DirectoryWatch::new(path, Arc::clone(&log_dir));
        let thread = PumpThread::start(&format!("scrubber-{number}"), clock, move || {
            let now = clock.now();
            watch.look(now.mono);
            match log_dir.zero_step(now) {
                ZeroStep::Worked => return Next::AtOnce,
                ZeroStep::Failed(_) => return Next::WhenWoken,
                ZeroStep::Idle => {}
            }
            let zero_again = now.mono.plus(ZERO_EVERY);
            match log_dir.scrub_step(now) {
                PumpStep::Worked => Next::AtOnce,
                PumpStep::Waiting { until } => Next::At(until.min(zero_again)),
                PumpStep::Offline => Next::WhenWoken,
            }
        })?;
        Ok(Scrubber { _thread: thread })
    }
}
