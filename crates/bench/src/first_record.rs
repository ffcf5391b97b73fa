//! From exec to the first acknowledged record.

use crate::connection::Connection;
use crate::contender::{Contender, Running};
use crate::error::BenchError;
use crate::{frames, topic};
use std::path::Path;
use std::time::{Duration, Instant};

const TOPIC: &str = "first";

/// Measures both starts `repeats` times and prints medians and spreads.
pub fn run(ottla: &Path, data: &Path, repeats: usize) -> Result<(), BenchError> {
    let binary = ottla.to_owned();
    let contender = Contender::Ottla {
        binary,
        durability: "fsync",
    };
    let batch = frames::batch(1024);
    let (mut new, mut existing, mut resident) = (Vec::new(), Vec::new(), 0);
    for _ in 0..repeats {
        let started = Instant::now();
        let mut server = contender.start(data)?;
        topic::create(&mut Connection::open(&server.bootstrap)?, TOPIC, 1)?;
        new.push(started.elapsed());
        resident = server.resident_bytes()?;
        server.kill()?;
        existing.push(again(&mut server, &batch)?);
    }
    println!("new directory: {}", spread(new));
    println!("existing directory, after kill -9: {}", spread(existing));
    println!(
        "resident after the first record: {:.1} MB",
        resident as f64 / 1e6
    );
    Ok(())
}

fn again(server: &mut Running, batch: &[u8]) -> Result<Duration, BenchError> {
    let started = Instant::now();
    server.start_again()?;
    server.wait_until_listening()?;
    topic::write_until_taken(&mut Connection::open(&server.bootstrap)?, TOPIC, 0, batch)?;
    Ok(started.elapsed())
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let ms = |time: &Duration| time.as_secs_f64() * 1000.0;
    let median = ms(&times[times.len() / 2]);
    let last = ms(&times[times.len() - 1]);
    format!("{median:.1} ms ({:.1}\u{2013}{last:.1})", ms(&times[0]))
}
