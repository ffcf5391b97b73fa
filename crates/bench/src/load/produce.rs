use super::{Charge, Figures, Run, Thread, Window, measure, micros, none};
use crate::connection::Connection;
use crate::error::{BenchError, check};
use crate::{frames, topic};
use std::collections::VecDeque;
use std::time::Instant;

/// A closed loop: every connection keeps `in_flight` requests on their way, over all partitions.
pub struct Load {
    /// Bytes of the batch in each request.
    pub batch_size: usize,
    /// Partitions of the topic, used one after the other.
    pub partitions: i32,
    /// Connections, one thread each.
    pub connections: usize,
    /// Requests on their way, on each connection.
    pub in_flight: usize,
    /// -1 or 1.
    pub acks: i16,
}

impl Load {
    /// Loads the topic for so many partitions; creates it if need be.
    pub fn run(&self, run: &Run) -> Result<Figures, BenchError> {
        let name = format!("produce-{}", self.partitions);
        let batch = frames::batch(self.batch_size);
        let mut first = Connection::open(&run.bootstrap)?;
        topic::create(&mut first, &name, self.partitions)?;
        let frames = frames::produce(&name, self.partitions, &batch, self.acks)?;
        let frames = &frames;
        let mut threads: Vec<Thread<'_>> = Vec::new();
        for index in 0..self.connections {
            // Connections start at different partitions, or they would all hit the same one.
            let at = index * frames.len() / self.connections;
            threads.push(Box::new(move |window| {
                self.connection(run, frames, at, window)
            }));
        }
        let mut figures = measure(run, Charge::UntilQuiet, &threads)?;
        figures.bytes = figures.requests * batch.len() as u64;
        Ok(figures)
    }

    fn connection(
        &self,
        run: &Run,
        frames: &[Vec<u8>],
        mut at: usize,
        window: Window,
    ) -> Result<Figures, BenchError> {
        let mut connection = Connection::open(&run.bootstrap)?;
        let mut figures = none();
        let mut sent = VecDeque::with_capacity(self.in_flight);
        loop {
            while sent.len() < self.in_flight {
                sent.push_back(Instant::now());
                connection.send(&frames[at])?;
                at = (at + 1) % frames.len();
            }
            let response = connection.receive()?;
            let now = Instant::now();
            let started = sent.pop_front().expect("a request is on its way");
            if window.contains(now) {
                figures.requests += 1;
                figures.latency_us.saturating_record(micros(now - started));
            }
            if figures.requests % 64 == 1 {
                check("a produce request", topic::produce_error(response)?)?;
            }
            if window.end <= now {
                return Ok(figures);
            }
        }
    }
}
