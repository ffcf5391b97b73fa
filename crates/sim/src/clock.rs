use ottla_types::{Mono, Now, Timestamp};

/// Virtual time: it moves only when the simulator moves it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    nanos: u64,
    /// Wall time at `nanos` 0, in milliseconds since 1970.
    wall_start_ms: i64,
}

impl Clock {
    /// Starts at an arbitrary moment of 2023.
    pub fn new() -> Clock {
        Clock {
            nanos: 0,
            wall_start_ms: 1_700_000_000_000,
        }
    }

    /// This moment.
    pub fn now(&self) -> Now {
        Now {
            mono: Mono::from_nanos(self.nanos),
            wall: Timestamp::from_millis(self.wall_start_ms + (self.nanos / 1_000_000) as i64),
        }
    }

    /// Lets time pass.
    pub fn advance_nanos(&mut self, nanos: u64) {
        self.nanos += nanos;
    }

    /// Lets time pass.
    pub fn advance_ms(&mut self, ms: u64) {
        self.nanos += ms * 1_000_000;
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}
