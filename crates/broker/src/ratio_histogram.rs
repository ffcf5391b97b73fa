use crate::counter::add;
use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the buckets in thousandths, inclusive; the last bucket is everything above.
const BOUNDS: [u64; 13] = [
    500, 1_000, 1_250, 1_500, 2_000, 3_000, 4_000, 6_000, 8_000, 12_000, 16_000, 32_000, 64_000,
];

/// How often something was how many times as large as something else.
#[derive(Debug, Default)]
pub struct RatioHistogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_thousandths: AtomicU64,
}

impl RatioHistogram {
    /// One more; `base` is not 0.
    pub(crate) fn record(&self, size: u64, base: u64) {
        let ratio = size.saturating_mul(1_000) / base;
        add(
            &self.buckets[BOUNDS.partition_point(|bound| *bound < ratio)],
            1,
        );
        add(&self.sum_thousandths, ratio);
    }

    /// All ratios together.
    pub fn sum(&self) -> f64 {
        self.sum_thousandths.load(Ordering::Relaxed) as f64 / 1e3
    }

    /// Each bucket's upper bound (`None`: no bound), and how many were at most that.
    pub fn cumulative(&self) -> Vec<(Option<f64>, u64)> {
        let bounds = BOUNDS.iter().map(|bound| Some(*bound as f64 / 1e3));
        let counts = self.buckets.iter().scan(0, |total, count| {
            *total += count.load(Ordering::Relaxed);
            Some(*total)
        });
        bounds.chain([None]).zip(counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive() {
        let histogram = RatioHistogram::default();
        for (size, base) in [(1, 1), (5, 4), (251, 200), (1_000, 1)] {
            histogram.record(size, base);
        }
        let cumulative = histogram.cumulative();
        assert_eq!(cumulative[0], (Some(0.5), 0));
        assert_eq!(cumulative[1], (Some(1.0), 1));
        assert_eq!(cumulative[2], (Some(1.25), 2));
        assert_eq!(cumulative[3], (Some(1.5), 3));
        assert_eq!(cumulative[12], (Some(64.0), 3));
        assert_eq!(cumulative[13], (None, 4));
        assert!((histogram.sum() - 1003.505).abs() < 1e-9);
    }
}
