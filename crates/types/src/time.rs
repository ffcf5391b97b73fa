use std::fmt;
use std::time::Duration;

/// A point on the process's monotonic clock, in nanoseconds since its start.
/// Waits, leases and timers use it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(u64);

impl Mono {
    /// The start of the clock.
    pub const ZERO: Mono = Mono(0);

    /// From nanoseconds since the start.
    pub const fn from_nanos(nanos: u64) -> Mono {
        Mono(nanos)
    }

    /// From milliseconds since the start.
    pub const fn from_millis(millis: u64) -> Mono {
        Mono(millis * 1_000_000)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// This point moved forward; saturates.
    pub fn plus(self, duration: Duration) -> Mono {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Mono(self.0.saturating_add(nanos))
    }

    /// How long after `earlier`; zero when it is not after.
    pub const fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Wall-clock time in milliseconds since 1970, as Kafka writes it.
/// Record timestamps, retention and expiry use it. It may jump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970.
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis)
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The time a machine is handed with each event: it never asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// For waits and leases.
    pub mono: Mono,
    /// For timestamps and retention.
    pub wall: Timestamp,
}
