//! The loads: each runs for a while against one server and returns its figures.

pub mod fetch;
pub mod latency;
pub mod produce;

use crate::error::BenchError;
use crate::process;
use hdrhistogram::Histogram;
use std::fmt;
use std::time::{Duration, Instant};

/// A server is looked at so often until it is quiet,
const SETTLE_STEP: Duration = Duration::from_millis(500);
/// that is, until it uses less than this part of one core;
const SETTLED_CPU: f64 = 0.05;
/// at most so long, unless somebody wants it otherwise.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);

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
    /// A server that is not quiet after so long is charged as it is.
    settled_within: Duration,
}

impl Run {
    /// Measures `seconds`; a fifth of it goes before as a warm-up.
    pub fn new(bootstrap: &str, pid: Option<u32>, seconds: f64) -> Run {
        Run {
            bootstrap: bootstrap.to_owned(),
            pid,
            measure: Duration::from_secs_f64(seconds),
            warm_up: Duration::from_secs_f64(seconds / 5.0),
            settled_within: SETTLED_WITHIN,
        }
    }

    /// Waits at most so long for the server to be quiet.
    pub fn settled_within(self, settled_within: Duration) -> Run {
        Run {
            settled_within,
            ..self
        }
    }

    /// Waits until the server does next to nothing any more, or long enough.
    pub fn settle(&self) -> Result<(), BenchError> {
        let started = Instant::now();
        let mut before = self.cpu_seconds()?;
        while started.elapsed() < self.settled_within {
            std::thread::sleep(SETTLE_STEP);
            let now = self.cpu_seconds()?;
            if now - before <= SETTLE_STEP.as_secs_f64() * SETTLED_CPU {
                return Ok(());
            }
            before = now;
        }
        Ok(())
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
    fn opening_now(measure: Duration) -> Window {
        let start = Instant::now();
        Window {
            start,
            end: start + measure,
        }
    }

    fn contains(&self, instant: Instant) -> bool {
        self.start <= instant && instant < self.end
    }
}

/// Until when the server's CPU is charged.
#[derive(Clone, Copy)]
enum Charge {
    /// Until the load ends.
    UntilEnd,
    /// Until the server has done what it put off, too.
    UntilQuiet,
}

/// What one thread of a load does in the window.
type Thread<'a> = Box<dyn Fn(Window) -> Result<Figures, BenchError> + Send + Sync + 'a>;

/// Runs `threads` beside each other, first to warm up, then measured; adds their figures and charges the
/// server's CPU.
fn measure(run: &Run, charge: Charge, threads: &[Thread<'_>]) -> Result<Figures, BenchError> {
    load_for(run.warm_up, threads)?;
    run.settle()?;
    let before = run.cpu_seconds()?;
    let mut total = load_for(run.measure, threads)?;
    if let Charge::UntilQuiet = charge {
        run.settle()?;
    }
    total.cpu_seconds = run.cpu_seconds()? - before;
    total.seconds = run.measure.as_secs_f64();
    Ok(total)
}

fn load_for(measure: Duration, threads: &[Thread<'_>]) -> Result<Figures, BenchError> {
    let window = Window::opening_now(measure);
    std::thread::scope(|scope| {
        let running: Vec<_> = threads
            .iter()
            .map(|thread| scope.spawn(move || thread(window)))
            .collect();
        let mut total = none();
        for thread in running {
            let part = thread.join().expect("a load thread does not panic")?;
            total.requests += part.requests;
            total.bytes += part.bytes;
            let added = total.latency_us.add(part.latency_us);
            added.expect("the same bounds");
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
