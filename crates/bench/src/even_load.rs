//! Many partitions that are all written a little, for long: what that costs, and what is left of it when it ends.

use crate::connection::Connection;
use crate::contender::{Contender, Running};
use crate::error::BenchError;
use crate::load::{Run, latency};
use crate::process;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Memory is looked at so often.
const LOOK: Duration = Duration::from_secs(1);

/// How much and how long.
pub struct Options {
    /// Who is measured.
    pub contender: Contender,
    /// Folder for data.
    pub data: PathBuf,
    /// Partitions, each written as often as the others.
    pub partitions: i32,
    /// Requests a second, of one 1 KiB batch for one partition each.
    pub rate: u32,
    /// How long is written.
    pub load_minutes: f64,
    /// How long nothing happens after that.
    pub idle_minutes: f64,
    /// Connections beside it that say nothing.
    pub connections: usize,
}

/// Measures and prints: the load, the rest after it, and the restart after kill -9.
pub fn run(options: &Options) -> Result<(), BenchError> {
    let mut server = options.contender.start(&options.data)?;
    println!(
        "{}, {} partitions",
        options.contender.name(),
        options.partitions
    );
    let silent: Result<Vec<Connection>, BenchError> = (0..options.connections)
        .map(|_| Connection::open(&server.bootstrap))
        .collect();
    let silent = silent?;

    let loaded = load(options, &server)?;
    println!("load: {loaded}");
    let quiet = idle(&server, 60.0 * options.idle_minutes)?;
    println!("idle with {} silent connections: {quiet}", silent.len());

    drop(silent);
    server.kill()?;
    let started = Instant::now();
    server.start_again()?;
    server.wait_until_listening()?;
    println!(
        "after kill -9: listening after {:.0} ms",
        started.elapsed().as_secs_f64() * 1000.0
    );
    Ok(())
}

/// What the process used between two moments.
struct Usage {
    seconds: f64,
    cpu_seconds: f64,
    written_bytes: u64,
    resident_bytes_max: u64,
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:.0} s, {:.2} % of a core, {:.1} MB written to the device, at most {:.1} MB resident",
            self.seconds,
            100.0 * self.cpu_seconds / self.seconds,
            self.written_bytes as f64 / 1e6,
            self.resident_bytes_max as f64 / 1e6
        )
    }
}

fn load(options: &Options, server: &Running) -> Result<String, BenchError> {
    let load = latency::Load {
        rate: options.rate,
        partitions: options.partitions,
    };
    let seconds = 60.0 * options.load_minutes;
    // Creating the topic, with a first record in each partition, is not part of the load.
    load.prepare(&server.bootstrap)?;
    let run = Run::new(&server.bootstrap, Some(server.pid()), seconds);
    let (figures, usage) = std::thread::scope(|scope| {
        let loading = scope.spawn(|| load.run(&run));
        let usage = watch(server, || loading.is_finished());
        let figures = loading.join().expect("a load does not panic");
        Ok::<_, BenchError>((figures?, usage?))
    })?;
    // The warm-up is written too.
    let payload =
        figures.bytes as f64 * (run.measure + run.warm_up).as_secs_f64() / figures.seconds;
    Ok(format!(
        "{figures}, p99.9 {:.1} ms, longest {:.1} ms; {usage}, {:.2} bytes for each byte of batches",
        figures.latency_ms(0.999),
        figures.latency_ms(1.0),
        usage.written_bytes as f64 / payload
    ))
}

fn idle(server: &Running, seconds: f64) -> Result<Usage, BenchError> {
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    watch(server, || end <= Instant::now())
}

fn watch(server: &Running, is_over: impl Fn() -> bool) -> Result<Usage, BenchError> {
    let pid = server.pid();
    let (started, cpu_before) = (Instant::now(), process::cpu_seconds(pid)?);
    let written_before = process::written_bytes(pid)?;
    let mut resident_bytes_max = 0;
    while !is_over() {
        std::thread::sleep(LOOK);
        resident_bytes_max = resident_bytes_max.max(server.resident_bytes()?);
    }
    Ok(Usage {
        seconds: started.elapsed().as_secs_f64(),
        cpu_seconds: process::cpu_seconds(pid)? - cpu_before,
        written_bytes: process::written_bytes(pid)? - written_before,
        resident_bytes_max,
    })
}
