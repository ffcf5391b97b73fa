use super::{Charge, Figures, Run, Thread, Window, measure, micros, none};
use crate::connection::Connection;
use crate::error::{BenchError, check};
use crate::{frames, topic};
use std::time::{Duration, Instant};

const BATCH_SIZE: usize = 1024;
const CONNECTIONS: usize = 8;

/// An open loop of 1 KiB requests with acks=all: each is due at a fixed time, and its latency counts
/// from then, so that a slow answer is charged to all that waited behind it.
pub struct Load {
    /// Requests a second, over all connections.
    pub rate: u32,
    /// Partitions of the topic.
    pub partitions: i32,
}

impl Load {
    /// Loads a topic; creates it if need be.
    pub fn run(&self, run: &Run) -> Result<Figures, BenchError> {
        let name = format!("latency-{}", self.partitions);
        let batch = frames::batch(BATCH_SIZE);
        let mut first = Connection::open(&run.bootstrap)?;
        topic::create(&mut first, &name, self.partitions)?;
        let frames = frames::produce(&name, self.partitions, &batch, -1)?;
        let frames = &frames;
        let mut threads: Vec<Thread<'_>> = Vec::new();
        for index in 0..CONNECTIONS {
            threads.push(Box::new(move |window| {
                self.connection(run, frames, index, window)
            }));
        }
        let mut figures = measure(run, Charge::UntilEnd, &threads)?;
        figures.bytes = figures.requests * batch.len() as u64;
        Ok(figures)
    }

    fn connection(
        &self,
        run: &Run,
        frames: &[Vec<u8>],
        index: usize,
        window: Window,
    ) -> Result<Figures, BenchError> {
        let mut connection = Connection::open(&run.bootstrap)?;
        let interval = Duration::from_secs_f64(CONNECTIONS as f64 / f64::from(self.rate));
        let mut due = Instant::now() + interval.mul_f64(index as f64 / CONNECTIONS as f64);
        let mut figures = none();
        let mut at = index;
        loop {
            // One request at a time; one that is late goes at once and carries its lateness.
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            connection.send(&frames[at % frames.len()])?;
            let response = connection.receive()?;
            let now = Instant::now();
            if window.contains(due) {
                figures.requests += 1;
                figures.latency_us.saturating_record(micros(now - due));
            }
            check("a produce request", topic::produce_error(response)?)?;
            if window.end <= now {
                return Ok(figures);
            }
            at += 1;
            due += interval;
        }
    }
}
