use super::{Charge, Figures, Run, Thread, Window, measure, micros, none};
use crate::connection::{Connection, body, frame};
use crate::error::{BenchError, check};
use crate::{frames, topic};
use ottla_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use ottla_protocol::messages::fetch_response::FetchResponse;
use ottla_protocol::{ApiKey, Message, Reader, Records};
use ottla_records::batches;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The last version that names topics.
const FETCH_VERSION: i16 = 12;
const BATCH_SIZE: usize = 64 << 10;
const TOPIC: &str = "fetch";
const IN_FLIGHT: usize = 2;

/// One consumer that reads all partitions from their starts again and again, two requests in flight.
pub struct Load {
    /// Bytes asked for with each request, from one partition.
    pub fetch_size: usize,
    /// Partitions of the topic.
    pub partitions: i32,
    /// Bytes written before.
    pub data_bytes: u64,
}

impl Load {
    /// Reads a topic; fills it if need be.
    pub fn run(&self, run: &Run) -> Result<Figures, BenchError> {
        let mut connection = Connection::open(&run.bootstrap)?;
        if topic::create(&mut connection, TOPIC, self.partitions)? {
            self.fill(&mut connection)?;
            // Filling leaves work behind (flushing, zeroing), which is not the fetch's.
            run.settle()?;
        }
        self.read_through(run)?;
        let threads: [Thread<'_>; 1] = [Box::new(|window| self.consume(run, window))];
        measure(run, Charge::UntilEnd, &threads)
    }

    fn fill(&self, connection: &mut Connection) -> Result<(), BenchError> {
        let batch = frames::batch(BATCH_SIZE);
        let frames = frames::produce(TOPIC, self.partitions, &batch, 1)?;
        let requests = self.data_bytes / batch.len() as u64;
        let mut unanswered = 0;
        for index in 0..requests {
            connection.send(&frames[index as usize % frames.len()])?;
            unanswered += 1;
            if unanswered == 8 || index + 1 == requests {
                for _ in 0..unanswered {
                    check(
                        "filling a topic",
                        topic::produce_error(connection.receive()?)?,
                    )?;
                }
                unanswered = 0;
            }
        }
        Ok(())
    }

    fn request(&self, partition: i32, offset: i64) -> Result<Vec<u8>, BenchError> {
        let size = self.fetch_size as i32;
        let request = FetchRequest {
            max_wait_ms: 500,
            min_bytes: 1,
            max_bytes: size,
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic: TOPIC.into(),
                partitions: vec![FetchPartition {
                    partition,
                    fetch_offset: offset,
                    partition_max_bytes: size,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        frame(ApiKey::Fetch, FETCH_VERSION, partition, &request)
    }

    /// Reads every partition once to its end, so that all is in the page cache.
    fn read_through(&self, run: &Run) -> Result<(), BenchError> {
        let mut consumer = Consumer::new(self, run)?;
        let mut ends_count = 0;
        while ends_count < self.partitions {
            ends_count += i32::from(consumer.step()?.at_end);
        }
        Ok(())
    }

    fn consume(&self, run: &Run, window: Window) -> Result<Figures, BenchError> {
        let mut consumer = Consumer::new(self, run)?;
        let mut figures = none();
        loop {
            let step = consumer.step()?;
            if window.contains(step.now) {
                figures.requests += 1;
                figures.bytes += step.size as u64;
                figures.latency_us.saturating_record(micros(step.took));
            }
            if window.end <= step.now {
                return Ok(figures);
            }
        }
    }
}

/// One connection that reads the partitions in turn.
struct Consumer<'a> {
    load: &'a Load,
    connection: Connection,
    /// Where to go on in each partition.
    offsets: Vec<i64>,
    /// The partition of the next request.
    next: usize,
    on_their_way: VecDeque<(usize, Instant)>,
}

/// One answer.
struct Step {
    now: Instant,
    took: Duration,
    /// Bytes of records.
    size: usize,
    /// It reached the end of its partition.
    at_end: bool,
}

impl<'a> Consumer<'a> {
    fn new(load: &'a Load, run: &Run) -> Result<Consumer<'a>, BenchError> {
        Ok(Consumer {
            load,
            connection: Connection::open(&run.bootstrap)?,
            offsets: vec![0; load.partitions as usize],
            next: 0,
            on_their_way: VecDeque::with_capacity(IN_FLIGHT),
        })
    }

    fn step(&mut self) -> Result<Step, BenchError> {
        while self.on_their_way.len() < IN_FLIGHT.min(self.offsets.len()) {
            let (partition, offset) = (self.next, self.offsets[self.next]);
            let request = self.load.request(partition as i32, offset)?;
            self.connection.send(&request)?;
            self.on_their_way.push_back((partition, Instant::now()));
            self.next = (self.next + 1) % self.offsets.len();
        }
        let response = self.connection.receive()?;
        let now = Instant::now();
        let (partition, sent) = self
            .on_their_way
            .pop_front()
            .expect("a request is on its way");
        let (size, end) = fetched(response)?;
        // At the end of a partition the reading starts again.
        self.offsets[partition] = end.unwrap_or(0);
        Ok(Step {
            now,
            took: now - sent,
            size,
            at_end: end.is_none(),
        })
    }
}

/// Bytes of records in a response and the offset behind them; no offset at the end of the log.
fn fetched(response: &[u8]) -> Result<(usize, Option<i64>), BenchError> {
    let mut reader = Reader::new(body(ApiKey::Fetch, FETCH_VERSION, response));
    let response = FetchResponse::decode(&mut reader, FETCH_VERSION)?;
    let partition = &response.responses[0].partitions[0];
    check("a fetch request", partition.error_code)?;
    let Some(Records::Slice(records)) = &partition.records else {
        return Ok((0, None));
    };
    let last = batches(records).map_while(Result::ok).last();
    let end = last.map(|batch| batch.last_offset().next().get());
    Ok((
        records.len(),
        end.filter(|end| *end < partition.high_watermark),
    ))
}
