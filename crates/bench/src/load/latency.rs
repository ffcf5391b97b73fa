use super::{Charge, Figures, Run, Thread, Window, measure, micros, none};
use crate::connection::Connection;
use crate::error::{BenchError, check};
use crate::{frames, topic};
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// Creates the topic unless it is there, with a record in each partition; what it is called.
    pub fn prepare(&self, bootstrap: &str) -> Result<String, BenchError> {
        let name = format!("latency-{}", self.partitions);
        let mut first = Connection::open(bootstrap)?;
        topic::create(&mut first, &name, self.partitions)?;
        Ok(name)
    }

    /// Loads a topic; creates it if need be.
    pub fn run(&self, run: &Run) -> Result<Figures, BenchError> {
        let name = self.prepare(&run.bootstrap)?;
        let batch = frames::batch(BATCH_SIZE);
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
        let mut pace = Pace::new(self, &run.bootstrap, frames, index)?;
        let mut figures = none();
        loop {
            let answered = pace.step()?;
            if window.contains(answered.due) {
                figures.requests += 1;
                figures.latency_us.saturating_record(micros(answered.took));
            }
            if window.end <= answered.due + answered.took {
                return Ok(figures);
            }
        }
    }

    /// Loads the topic until `is_over`; every answer.
    pub fn run_until(
        &self,
        bootstrap: &str,
        is_over: &AtomicBool,
    ) -> Result<Vec<Answered>, BenchError> {
        let name = self.prepare(bootstrap)?;
        let batch = frames::batch(BATCH_SIZE);
        let frames = frames::produce(&name, self.partitions, &batch, -1)?;
        let frames = &frames;
        let connection = |index| {
            let mut pace = Pace::new(self, bootstrap, frames, index)?;
            let mut all = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                all.push(pace.step()?);
            }
            Ok(all)
        };
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..CONNECTIONS)
                .map(|index| scope.spawn(move || connection(index)))
                .collect();
            let mut all = Vec::new();
            for thread in running {
                let part: Result<_, BenchError> = thread.join().expect("a load does not panic");
                all.append(&mut part?);
            }
            Ok(all)
        })
    }
}

/// One request, answered.
#[derive(Clone, Copy)]
pub struct Answered {
    /// When it was to be sent.
    pub due: Instant,
    /// From then to its answer.
    pub took: Duration,
}

/// One connection that sends a request at each of its times.
struct Pace<'a> {
    connection: Connection,
    frames: &'a [Vec<u8>],
    interval: Duration,
    due: Instant,
    /// The next frame.
    at: usize,
}

impl<'a> Pace<'a> {
    fn new(
        load: &Load,
        bootstrap: &str,
        frames: &'a [Vec<u8>],
        index: usize,
    ) -> Result<Pace<'a>, BenchError> {
        let interval = Duration::from_secs_f64(CONNECTIONS as f64 / f64::from(load.rate));
        Ok(Pace {
            connection: Connection::open(bootstrap)?,
            frames,
            interval,
            due: Instant::now() + interval.mul_f64(index as f64 / CONNECTIONS as f64),
            at: index,
        })
    }

    /// One request at a time; one that is late goes at once and carries its lateness.
    fn step(&mut self) -> Result<Answered, BenchError> {
        let due = self.due;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        self.connection
            .send(&self.frames[self.at % self.frames.len()])?;
        let response = self.connection.receive()?;
        let took = Instant::now() - due;
        check("a produce request", topic::produce_error(response)?)?;
        self.at += 1;
        self.due += self.interval;
        Ok(Answered { due, took })
    }
}
