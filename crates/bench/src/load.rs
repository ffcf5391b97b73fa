//! The loads: each runs for a while against one server and returns its figures.

pub mod fetch;
pub mod latency;
pub mod produce;

use crate::error::BenchError;
use crate::process;
use hdrhistogram::Histogram;
use std::fmt;
use std::time::{Duration, Instant};

/// Against whom and for how long.
pub struct Run {
    /// host:port.
    pub bootstrap: String,
    /// Whose CPU is charged.
    pub pid: Option<u32>,
    /// How long is measured.
    pub measure: Duration,
    /// What goes before, unmeasured.
    pub warm_up: Duration,
}

impl Run {
    /// Measures `seconds` after a warm-up of a fifth of it.
    pub fn new(bootstrap: &str, pid: Option<u32>, seconds: f64) -> Run {
        Run {
            bootstrap: bootstrap.to_owned(),
            pid,
            measure: Duration::from_secs_f64(seconds),
            warm_up: Duration::from_secs_f64(seconds / 5.0),
        }
    }

    fn cpu_seconds(&self) -> Result<f64, BenchError> {
        Ok(self
            .pid
            .map(process::cpu_seconds)
            .transpose()?
            .unwrap_or(0.0))
    }
}

/// What one run gave.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Requests answered.
    pub requests: u64,
    /// Bytes of record batches moved.
    pub bytes: u64,
    /// Measured seconds.
    pub seconds: f64,
    /// CPU seconds of the server meanwhile.
    pub cpu_seconds: f64,
    /// Request latency in microseconds.
    pub latency_us: Histogram<u64>,
}

impl Figures {
    /// Server CPU seconds for each 10^9 bytes.
    pub fn cpu_seconds_per_gb(&self) -> f64 {
        self.cpu_seconds / (self.bytes as f64 / 1e9)
    }

    /// Server CPU microseconds for each request.
    pub fn cpu_us_per_request(&self) -> f64 {
        self.cpu_seconds * 1e6 / self.requests as f64
    }

    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// 10^6 bytes a second.
    pub fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds
    }

    /// A latency quantile in milliseconds.
    pub fn latency_ms(&self, quantile: f64) -> f64 {
        self.latency_us.value_at_quantile(quantile) as f64 / 1000.0
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} requests/s, {:.1} MB/s, {:.3} CPU-s/GB, {:.2} CPU us/request, p50 {:.3} ms, p99 {:.3} ms",
            self.rate(),
            self.megabytes_per_second(),
            self.cpu_seconds_per_gb(),
            self.cpu_us_per_request(),
            self.latency_ms(0.5),
            self.latency_ms(0.99)
        )
    }
}

/// A histogram for latencies from 1 us to a minute.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are in order")
}

/// The measured part of a run, as every thread of it sees it.
#[derive(Clone, Copy)]
struct Window {
    start: Instant,
    end: Instant,
}

impl Window {
    fn opening_now(run: &Run) -> Window {
        let start = Instant::now() + run.warm_up;
        Window {
            start,
            end: start + run.measure,
        }
    }

    fn contains(&self, instant: Instant) -> bool {
        self.start <= instant && instant < self.end
    }
}

/// What one thread of a load does in the window.
type Thread<'a> = Box<dyn FnOnce(Window) -> Result<Figures, BenchError> + Send + 'a>;

/// Runs `threads` beside each other and adds their figures; charges the server's CPU of the window.
fn measure(run: &Run, threads: Vec<Thread<'_>>) -> Result<Figures, BenchError> {
    let window = Window::opening_now(run);
    let mut total = Figures {
        requests: 0,
        bytes: 0,
        seconds: run.measure.as_secs_f64(),
        cpu_seconds: 0.0,
        latency_us: histogram(),
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = threads
            .into_iter()
            .map(|thread| scope.spawn(move || thread(window)))
            .collect();
        std::thread::sleep(window.start.saturating_duration_since(Instant::now()));
        let before = run.cpu_seconds()?;
        std::thread::sleep(window.end.saturating_duration_since(Instant::now()));
        total.cpu_seconds = run.cpu_seconds()? - before;
        for thread in running {
            let part = thread.join().expect("a load thread does not panic")?;
            total.requests += part.requests;
            total.bytes += part.bytes;
            total
                .latency_us
                .add(part.latency_us)
                .expect("the same bounds");
        }
        Ok(total)
    })
}

/// The empty figures a thread starts with.
fn none() -> Figures {
    Figures {
        requests: 0,
        bytes: 0,
        seconds: 0.0,
        cpu_seconds: 0.0,
        latency_us: histogram(),
    }
}

/// A duration as the histograms take it.
fn micros(duration: Duration) -> u64 {
    (duration.as_micros() as u64).max(1)
}
