//! When to commit: at once when idle, a little later when that makes the groups much larger.

use ottla_types::Mono;
use std::time::Duration;

/// Decides how long a commit waits for company.
///
/// Clients with requests in flight come back right after a commit. Those that came while it was synced are
/// already in the queue; without a pause the two cohorts would alternate for ever, each with half the
/// requests per fsync. So after a commit the next one waits until as many entries are there as were in
/// flight before, but never longer than the last fsync took.
#[derive(Debug)]
pub(crate) struct Gather {
    wait_max: Duration,
    /// Smoothed time from the start of a sync to the step after it.
    sync_time: Duration,
    sync_started: Option<Mono>,
    synced_at: Option<Mono>,
    /// Entries that the last sync released, and those that waited then.
    in_flight: usize,
}

impl Gather {
    pub(crate) fn new(wait_max: Duration) -> Gather {
        Gather {
            wait_max,
            sync_time: Duration::ZERO,
            sync_started: None,
            synced_at: None,
            in_flight: 0,
        }
    }

    /// A sync starts now.
    pub(crate) fn sync_starts(&mut self, now: Mono) {
        self.sync_started = Some(now);
    }

    /// The first step after a sync that made `released` entries durable, while `waiting` were queued.
    pub(crate) fn after_sync(&mut self, now: Mono, released: usize, waiting: usize) {
        let Some(started) = self.sync_started.take() else {
            return;
        };
        let sample = now.since(started);
        self.sync_time = if self.sync_time.is_zero() {
            sample
        } else {
            self.sync_time * 7 / 8 + sample / 8
        };
        self.in_flight = released + waiting;
        self.synced_at = Some(now);
    }

    /// `None` to commit now; else how many entries are enough, and until when to wait for them.
    pub(crate) fn wait(&self, now: Mono, waiting: usize) -> Option<(usize, Mono)> {
        let enough = self.in_flight - self.in_flight / 8;
        let until = self.synced_at?.plus(self.sync_time.min(self.wait_max));
        (waiting < enough && now < until).then_some((enough, until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(micros: u64) -> Mono {
        Mono::from_nanos(micros * 1000)
    }

    #[test]
    fn a_lone_producer_never_waits() {
        let mut gather = Gather::new(Duration::from_millis(1));
        assert_eq!(gather.wait(micros(0), 1), None);
        gather.sync_starts(micros(0));
        gather.after_sync(micros(150), 1, 0);
        assert_eq!(gather.wait(micros(160), 1), None);
    }

    #[test]
    fn two_cohorts_become_one_group_but_not_for_longer_than_a_sync() {
        let mut gather = Gather::new(Duration::from_millis(1));
        gather.sync_starts(micros(0));
        gather.after_sync(micros(200), 10, 10);
        assert_eq!(gather.wait(micros(210), 10), Some((18, micros(400))));
        assert_eq!(gather.wait(micros(300), 18), None);
        assert_eq!(gather.wait(micros(400), 10), None);
    }

    #[test]
    fn a_slow_device_makes_nobody_wait_longer_than_the_limit() {
        let mut gather = Gather::new(Duration::from_millis(1));
        gather.sync_starts(micros(0));
        gather.after_sync(micros(50_000), 10, 10);
        assert_eq!(gather.wait(micros(50_000), 10), Some((18, micros(51_000))));
    }
}
