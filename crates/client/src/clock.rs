use ottla_types::{Mono, Now, Timestamp};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// The machines' time, from the runtime's and the system's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        // A second before now, so that "zero" is in the past.
        let now = Instant::now();
        Clock {
            start: now.checked_sub(Duration::from_secs(1)).unwrap_or(now),
        }
    }

    pub(crate) fn now(&self) -> Now {
        let mono = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        Now {
            mono: Mono::from_nanos(mono),
            wall: Timestamp::from_millis(i64::try_from(wall).unwrap_or(i64::MAX)),
        }
    }

    /// The runtime's instant for a point in the machines' time.
    pub(crate) fn instant(&self, at: Mono) -> Instant {
        self.start + Duration::from_nanos(at.as_nanos())
    }
}

/// A seed that differs from process to process and from producer to producer.
pub(crate) fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}
