use super::{Figures, Run, Window, measure, micros, none};
use crate::connection::{Connection, body, frame};
use crate::error::{BenchError, check};
use crate::{frames, topic};
use ottla_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use ottla_protocol::messages::fetch_response::FetchResponse;
use ottla_protocol::{ApiKey, Message, Reader, Records};
use ottla_records::batches;
use std::collections::VecDeque;
use std::time::Instant;

/// The last version that names topics.
const FETCH_VERSION: i16 = 12;
const BATCH_SIZE: usize = 64 << 10;
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
    /// Fills a topic of its own and reads it.
    pub fn run(&self, run: &Run) -> Result<Figures, BenchError> {
        let name = format!("fetch-{}", self.fetch_size);
        self.fill(run, &name)?;
        measure(
            run,
            vec![Box::new(|window| self.consumer(run, &name, window))],
        )
    }

    fn fill(&self, run: &Run, name: &str) -> Result<(), BenchError> {
        let batch = frames::batch(BATCH_SIZE);
        let mut connection = Connection::open(&run.bootstrap)?;
        topic::create(&mut connection, name, self.partitions, &batch)?;
        let frames = frames::produce(name, self.partitions, &batch, 1)?;
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

    fn request(&self, name: &str, partition: i32, offset: i64) -> Result<Vec<u8>, BenchError> {
        let size = self.fetch_size as i32;
        let request = FetchRequest {
            max_wait_ms: 500,
            min_bytes: 1,
            max_bytes: size,
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic: name.into(),
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

    fn consumer(&self, run: &Run, name: &str, window: Window) -> Result<Figures, BenchError> {
        let mut connection = Connection::open(&run.bootstrap)?;
        let mut figures = none();
        let mut offsets = vec![0i64; self.partitions as usize];
        let mut on_their_way = VecDeque::with_capacity(IN_FLIGHT);
        let mut next = 0usize;
        loop {
            while on_their_way.len() < IN_FLIGHT.min(offsets.len()) {
                connection.send(&self.request(name, next as i32, offsets[next])?)?;
                on_their_way.push_back((next, Instant::now()));
                next = (next + 1) % offsets.len();
            }
            let response = connection.receive()?;
            let now = Instant::now();
            let (partition, sent) = on_their_way.pop_front().expect("a request is on its way");
            let (size, end) = fetched(response)?;
            // At the end of a partition the reading starts again.
            offsets[partition] = end.unwrap_or(0);
            if window.contains(now) {
                figures.requests += 1;
                figures.bytes += size as u64;
                figures.latency_us.saturating_record(micros(now - sent));
            }
            if window.end <= now {
                return Ok(figures);
            }
        }
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
