use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, Thread};

use ottla_types::Mono;

use crate::clock::Clock;

/// When a pump wants to be called again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is more to do.
    AtOnce,
    /// At this time, or when woken.
    At(Mono),
    /// When woken.
    WhenWoken,
}

/// A thread that calls a pump again and again. Ends when it is told to, between two steps.
#[derive(Debug)]
pub struct PumpThread {
    is_ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PumpThread {
    /// Starts calling `step`.
    pub fn start(
        name: &str,
        clock: Clock,
        mut step: impl FnMut() -> Next + Send + 'static,
    ) -> std::io::Result<PumpThread> {
        let is_ending = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&is_ending);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                while !ending.load(Ordering::Acquire) {
                    // A wake-up between the step and the sleep is remembered by the thread's token.
                    match step() {
                        Next::AtOnce => {}
                        Next::At(time) => std::thread::park_timeout(time.since(clock.mono())),
                        Next::WhenWoken => std::thread::park(),
                    }
                }
            })?;
        Ok(PumpThread {
            is_ending,
            thread: Some(thread),
        })
    }

    /// To wake it with.
    pub fn handle(&self) -> Thread {
        self.thread
            .as_ref()
            .expect("it runs until dropped")
            .thread()
            .clone()
    }
}

impl Drop for PumpThread {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a thread of the storage panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    use super::*;

    fn wait_for(count: &AtomicU32, expected: u32) {
        while count.load(Ordering::Acquire) < expected {
            std::thread::yield_now();
        }
    }

    #[test]
    fn it_steps_at_once_in_time_and_when_woken_and_ends_when_dropped() {
        let (clock, count) = (Clock::start(), Arc::new(AtomicU32::new(0)));
        let steps = Arc::clone(&count);
        let thread = PumpThread::start("test", clock, move || {
            match steps.fetch_add(1, Ordering::AcqRel) {
                0 => Next::AtOnce,
                1 => Next::At(clock.mono().plus(Duration::from_millis(5))),
                _ => Next::WhenWoken,
            }
        })
        .unwrap();
        wait_for(&count, 3);
        thread.handle().unpark();
        wait_for(&count, 4);
        drop(thread);
        assert_eq!(Arc::strong_count(&count), 1, "the thread is gone");
    }
}
