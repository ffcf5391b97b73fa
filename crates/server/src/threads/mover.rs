use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use ottla_broker::{Broker, MoveStep};

use super::pump_thread::{Next, PumpThread};
use crate::clock::Clock;

/// The thread that copies logs from one log directory to another, all of them in turns. One of its own: it waits for the
/// disks that it reads from, and nobody waits with it.
#[derive(Debug)]
pub struct Mover {
    _thread: PumpThread,
}

/// Who wakes the mover, from before there is one.
#[derive(Clone, Debug, Default)]
pub struct MoverWaker(Arc<OnceLock<Thread>>);

impl MoverWaker {
    /// There is something to do.
    pub fn wake(&self) {
        if let Some(thread) = self.0.get() {
            thread.unpark();
        }
    }
}

impl Mover {
    /// Starts moving what `broker` says.
    pub fn start(broker: Arc<Broker>, waker: &MoverWaker, clock: Clock) -> std::io::Result<Mover> {
        let thread = PumpThread::start("mover", clock, move || {
            match broker.move_step(clock.now()) {
                MoveStep::Worked => Next::AtOnce,
                MoveStep::Waiting { until } => Next::At(until),
                MoveStep::Idle => Next::WhenWoken,
            }
        })?;
        waker.0.get_or_init(|| thread.handle());
        // Something may have come before there was a waker.
        thread.handle().unpark();
        Ok(Mover { _thread: thread })
    }
}
