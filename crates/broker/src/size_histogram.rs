use crate::counter::add;
use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the buckets, inclusive; the last bucket is everything above.
const BOUNDS: [u64; 15] = [
    1,
    4,
    16,
    64,
    256,
    1 << 10,
    1 << 12,
    1 << 14,
    1 << 16,
    1 << 18,
    1 << 20,
    1 << 22,
    1 << 24,
    1 << 26,
    1 << 28,
];

/// How often something was how large.
#[derive(Debug, Default)]
pub struct SizeHistogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum: AtomicU64,
}

impl SizeHistogram {
    /// One more that was so large.
    pub(crate) fn record(&self, size: u64) {
        add(
            &self.buckets[BOUNDS.partition_point(|bound| *bound < size)],
            1,
        );
        add(&self.sum, size);
    }

    /// All sizes together.
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }

    /// Each bucket's upper bound (`None`: no bound), and how many were at most that.
    pub fn cumulative(&self) -> Vec<(Option<u64>, u64)> {
        let bounds = BOUNDS.iter().copied().map(Some).chain([None]);
        let counts = self.buckets.iter().scan(0, |total, count| {
            *total += count.load(Ordering::Relaxed);
            Some(*total)
        });
        bounds.zip(counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive() {
        let histogram = SizeHistogram::default();
        for size in [0, 1, 2, 4, 1 << 30] {
            histogram.record(size);
        }
        let cumulative = histogram.cumulative();
        assert_eq!(cumulative[0], (Some(1), 2));
        assert_eq!(cumulative[1], (Some(4), 4));
        assert_eq!(cumulative[14], (Some(1 << 28), 4));
        assert_eq!(cumulative[15], (None, 5));
        assert_eq!(histogram.sum(), 7 + (1 << 30));
    }
}
