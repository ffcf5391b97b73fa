use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets in nanoseconds, inclusive; the last bucket is everything above.
const BOUNDS: [u64; 17] = [
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
];

/// How long something took. Written by one thread, read by any.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_nanos: AtomicU64,
}

impl Histogram {
    /// One more that took `duration`.
    pub fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|&bound| bound < nanos);
        add(&self.buckets[bucket], 1);
        add(&self.sum_nanos, nanos);
    }

    /// Adds what this one holds to `sum`.
    pub fn add_to(&self, sum: &mut HistogramSum) {
        for (total, bucket) in sum.buckets.iter_mut().zip(&self.buckets) {
            *total += bucket.load(Ordering::Relaxed);
        }
        sum.sum_nanos += u128::from(self.sum_nanos.load(Ordering::Relaxed));
    }
}

/// Histograms of several threads added up.
#[derive(Clone, Debug, Default)]
pub struct HistogramSum {
    buckets: [u64; BOUNDS.len() + 1],
    sum_nanos: u128,
}

impl HistogramSum {
    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// All durations together, in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_nanos as f64 / 1e9
    }

    /// Each bucket's upper bound in seconds (`None`: no bound), and how many were at most that.
    pub fn cumulative(&self) -> impl Iterator<Item = (Option<f64>, u64)> {
        let bounds = BOUNDS.iter().map(|&nanos| Some(nanos as f64 / 1e9));
        let counts = self.buckets.iter().scan(0, |total, &count| {
            *total += count;
            Some(*total)
        });
        bounds.chain([None]).zip(counts)
    }
}

/// For counters that one thread writes: an addition without a locked instruction.
pub fn add(counter: &AtomicU64, more: u64) {
    counter.store(
        counter.load(Ordering::Relaxed).wrapping_add(more),
        Ordering::Relaxed,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive_and_buckets_add_up() {
        let histogram = Histogram::default();
        for micros in [0, 100, 101, 1_000, 60_000_000] {
            histogram.record(Duration::from_micros(micros));
        }
        let mut sum = HistogramSum::default();
        histogram.add_to(&mut sum);
        histogram.add_to(&mut sum);
        let cumulative: Vec<_> = sum.cumulative().collect();
        assert_eq!(cumulative[0], (Some(0.0001), 4));
        assert_eq!(cumulative[1], (Some(0.00025), 6));
        assert_eq!(cumulative[3], (Some(0.001), 8));
        assert_eq!(cumulative[16], (Some(30.0), 8));
        assert_eq!(cumulative[17], (None, 10));
        assert_eq!(sum.count(), 10);
        assert!((sum.sum_seconds() - 120.002_402).abs() < 1e-9);
    }
}
