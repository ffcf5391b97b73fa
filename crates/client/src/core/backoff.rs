use ottla_types::Prng;
use std::time::Duration;

/// How long to wait before trying again: doubling from `first` to `max`, moved by up to a fifth so
/// that many clients do not come back at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first repetition (`retry.backoff.ms`).
    pub first: Duration,
    /// At most, before the random part (`retry.backoff.max.ms`).
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff {
            first: Duration::from_millis(100),
            max: Duration::from_secs(1),
        }
    }
}

impl Backoff {
    /// The wait before repetition number `attempt`, counted from 1.
    pub fn delay(&self, attempt: u32, prng: &mut Prng) -> Duration {
        let doubled = self
            .first
            .saturating_mul(1 << attempt.saturating_sub(1).min(20));
        let delay = doubled.min(self.max);
        delay.mul_f64(0.8 + prng.below(400) as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit() {
        let (backoff, mut prng) = (Backoff::default(), Prng::new(1));
        for attempt in [0, 1, 2, 3, 4, 5, 40, u32::MAX] {
            let delay = backoff.delay(attempt, &mut prng).as_millis() as f64;
            let middle = (100.0 * 2f64.powi(attempt.saturating_sub(1).min(9) as i32)).min(1000.0);
            assert!(
                (middle * 0.79..=middle * 1.21).contains(&delay),
                "{attempt}: {delay}"
            );
        }
    }
}
