//! Work for a cluster, and how long it takes.

mod consume;
mod end_to_end;
mod produce;

pub use consume::{ConsumeLoad, ConsumeReport};
pub use end_to_end::{EndToEndLoad, RoundTrips};
pub use produce::{LatencySince, ProduceLoad, ProduceReport};

use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use ottla_types::Prng;

/// One MiB: Kafka's tools and ours say megabytes for it.
const MEGABYTE: f64 = 1_048_576.0;

/// Durations in microseconds, three digits exact.
#[derive(Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub fn new() -> Latencies {
        let hour = 3_600_000_000;
        let histogram = Histogram::new_with_bounds(1, hour, 3);
        Latencies(histogram.expect("the bounds are a histogram's"))
    }

    /// Adds one; more than an hour counts as an hour.
    pub fn add(&mut self, latency: Duration) {
        self.0
            .saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }

    /// Milliseconds below which so many percent lie.
    pub fn percentile_ms(&self, percent: f64) -> f64 {
        self.0.value_at_quantile(percent / 100.0) as f64 / 1000.0
    }

    /// Their mean in milliseconds.
    pub fn mean_ms(&self) -> f64 {
        self.0.mean() / 1000.0
    }

    /// The longest in milliseconds.
    pub fn max_ms(&self) -> f64 {
        self.0.max() as f64 / 1000.0
    }
}

/// MB/s.
pub fn megabytes_per_second(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / MEGABYTE / took.as_secs_f64().max(1e-9)
}

/// MB.
pub fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / MEGABYTE
}

/// Per second.
pub fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}

/// Random capital letters, cut out of a supply so that a record costs no copy.
struct Letters {
    supply: Bytes,
    size: usize,
    prng: Prng,
}

impl Letters {
    fn new(size: usize) -> Letters {
        const SUPPLY: usize = 1 << 20;
        let mut prng = Prng::new(0x0077_1a10_ad00);
        let supply: Vec<u8> = (0..SUPPLY.max(2 * size))
            .map(|_| b'A' + (prng.next_u64() % 26) as u8)
            .collect();
        Letters {
            supply: Bytes::from(supply),
            size,
            prng,
        }
    }

    fn next(&mut self) -> Bytes {
        let starts = (self.supply.len() - self.size) as u64;
        let start = (self.prng.next_u64() % (starts + 1)) as usize;
        self.supply.slice(start..start + self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_summed_up() {
        let mut latencies = Latencies::new();
        for millis in 1..=100 {
            latencies.add(Duration::from_millis(millis));
        }
        let is_near = |found: f64, expected: f64| (found - expected).abs() < expected / 500.0;
        assert!(is_near(latencies.percentile_ms(50.0), 50.0));
        assert!(is_near(latencies.percentile_ms(99.0), 99.0));
        assert!(is_near(latencies.mean_ms(), 50.5));
        assert!(is_near(latencies.max_ms(), 100.0));
    }

    #[test]
    fn letters_differ_and_have_their_size() {
        let mut letters = Letters::new(100);
        let (one, other) = (letters.next(), letters.next());
        assert!(one.len() == 100 && one != other && one.is_ascii());
        assert_eq!(Letters::new(0).next().len(), 0);
    }
}
