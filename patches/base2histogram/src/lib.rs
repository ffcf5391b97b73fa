//! Stands in for the crate of this name on crates.io, which openraft counts batch sizes with.
//!
//! That crate builds tables for sixteen scales when the first histogram is made: 27 MB of memory and
//! 20 to 50 ms of the start of every process, for numbers nobody here reads. This one has openraft's part
//! of the interface and one counter per power of two. See docs/dependencies.md.

use std::fmt;
use std::marker::PhantomData;

/// One counter per power of two, and one for zero.
const BUCKETS: usize = 65;

/// Counts values by their power of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    counts: [u64; BUCKETS],
    _slot: PhantomData<T>,
}

impl<T> Histogram<T> {
    /// Without values.
    pub fn new() -> Histogram<T> {
        Histogram {
            counts: [0; BUCKETS],
            _slot: PhantomData,
        }
    }

    /// Counts `value`.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts `value` `count` times.
    pub fn record_n(&mut self, value: u64, count: u64) {
        self.counts[bucket_of(value)] += count;
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The lower end of the bucket in which the share `percentile` (0 to 1) of the values ends; 0 without
    /// values.
    pub fn percentile(&self, percentile: f64) -> u64 {
        let wanted = ((self.total() as f64) * percentile).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if wanted <= seen {
                return lower_end(bucket);
            }
        }
        0
    }

    /// The percentiles that reports show.
    pub fn percentile_stats(&self) -> PercentileStats {
        PercentileStats {
            samples: self.total(),
            p0_1: self.percentile(0.001),
            p1: self.percentile(0.01),
            p5: self.percentile(0.05),
            p10: self.percentile(0.1),
            p50: self.percentile(0.5),
            p90: self.percentile(0.9),
            p99: self.percentile(0.99),
            p99_9: self.percentile(0.999),
        }
    }
}

impl<T> Default for Histogram<T> {
    fn default() -> Histogram<T> {
        Histogram::new()
    }
}

fn bucket_of(value: u64) -> usize {
    (u64::BITS - value.leading_zeros()) as usize
}

fn lower_end(bucket: usize) -> u64 {
    match bucket {
        0 => 0,
        bucket => 1 << (bucket - 1),
    }
}

/// Percentiles of a histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say what they are")]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} values, half below {}, 99 % below {}",
            self.samples, self.p50, self.p99
        )
    }
}

/// Histograms with their names, one line each.
#[derive(Clone, Debug, Default)]
pub struct AsciiChart {
    series: Vec<(String, Histogram)>,
}

impl AsciiChart {
    /// Without histograms.
    pub fn new() -> AsciiChart {
        AsciiChart::default()
    }

    /// Adds a line.
    #[allow(clippy::should_implement_trait, reason = "openraft calls it so")]
    pub fn add(mut self, name: impl Into<String>, histogram: Histogram) -> AsciiChart {
        self.series.push((name.into(), histogram));
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, histogram) in &self.series {
            writeln!(f, "{name}: {}", histogram.percentile_stats())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_lower_ends_of_powers_of_two() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile(0.5), 0);
        for value in [0, 1, 5, 6, 7, 1000] {
            histogram.record(value);
        }
        histogram.record(u64::MAX);
        assert_eq!(histogram.total(), 7);
        assert_eq!(histogram.percentile(0.1), 0);
        assert_eq!(histogram.percentile(0.5), 4);
        assert_eq!(histogram.percentile(0.85), 512);
        assert_eq!(histogram.percentile(1.0), 1 << 63);
    }
}
