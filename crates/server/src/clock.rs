use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ottla_types::{Mono, Now, Timestamp};

/// The process's clocks. Everything below this crate is handed the time instead.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts the monotonic clock at zero.
    pub fn start() -> Clock {
        Clock {
            start: Instant::now(),
        }
    }

    /// Both clocks, now.
    pub fn now(&self) -> Now {
        Now {
            mono: self.mono(),
            wall: wall(),
        }
    }

    /// The monotonic clock, now.
    pub fn mono(&self) -> Mono {
        let nanos = self.start.elapsed().as_nanos();
        Mono::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The instant that `mono` stands for, to hand to a timer.
    pub fn instant(&self, mono: Mono) -> Instant {
        self.start + mono.since(Mono::ZERO)
    }
}

/// A wall clock before 1970 reads as 1970: record timestamps must not be negative.
fn wall() -> Timestamp {
    let millis = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
