use std::sync::Arc;
use std::time::Duration;

use ottla_storage::log_dir::LogDir;
use ottla_storage::log_dir::PumpStep;
use ottla_storage::wal::ZeroStep;
use ottla_types::Now;

use super::directory_watch::DirectoryWatch;
use super::pump_thread::{Next, PumpThread};
use crate::clock::Clock;

/// How often it is looked whether the journal needs another ring file, and how the directory is.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The thread in the background: it prepares ring files of the journal, reads what is on disk to
/// find what has rotted, and tells how the directory is.
#[derive(Debug)]
pub struct Scrubber {
    _thread: PumpThread,
}

impl Scrubber {
    /// Starts scrubbing. `on_failure` is called once the directory failed.
    pub fn start(
        number: usize,
        path: String,
        log_dir: Arc<LogDir>,
        clock: Clock,
        on_failure: impl Fn(Now) + Send + 'static,
    ) -> std::io::Result<Scrubber> {
        let mut watch = DirectoryWatch::new(path, Arc::clone(&log_dir));
        let thread = PumpThread::start(&format!("scrubber-{number}"), clock, move || {
            let now = clock.now();
            if watch.look(now.mono) {
                on_failure(now);
            }
            let look_again = now.mono.plus(LOOK_EVERY);
            match log_dir.zero_step(now) {
                ZeroStep::Worked => return Next::AtOnce,
                // The watch has not told it yet.
                ZeroStep::Failed(_) => return Next::At(look_again),
                ZeroStep::Idle => {}
            }
            match log_dir.scrub_step(now) {
                PumpStep::Worked => Next::AtOnce,
                PumpStep::Waiting { until } => Next::At(until.min(look_again)),
                PumpStep::Offline => Next::At(look_again),
            }
        })?;
        Ok(Scrubber { _thread: thread })
    }
}
