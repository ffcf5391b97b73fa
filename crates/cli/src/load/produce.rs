use std::time::Duration;

use bytes::Bytes;
use ottla_client::{Ack, Producer, Record, SendError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{Latencies, Letters};

/// How many records are made before others get a turn.
const TURN: u64 = 64;

/// Records to be written.
#[derive(Clone, Debug)]
pub struct ProduceLoad {
    pub topic: String,
    pub count: u64,
    /// Bytes of each value; not used if there are values.
    pub size: usize,
    /// Values to be taken in turn.
    pub values: Vec<Bytes>,
    /// Records per second; `None` is as fast as they are taken.
    pub rate: Option<f64>,
    pub since: LatencySince,
    /// Records at the beginning that are not counted.
    pub warmup: u64,
}

/// From when on a record takes time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LatencySince {
    /// When its turn was by the rate, even if it had to wait for others: what users of a slow cluster
    /// feel.
    Due,
    /// When it was handed to the producer.
    Sent,
}

/// What became of them.
#[derive(Debug)]
pub struct ProduceReport {
    pub written: u64,
    pub bytes: u64,
    pub took: Duration,
    pub latencies: Latencies,
    pub failed: u64,
    pub first_error: Option<SendError>,
}

struct Sent {
    ack: Result<Ack, SendError>,
    at: Instant,
    size: usize,
    is_counted: bool,
}

impl ProduceLoad {
    /// Writes them and waits for each. `on_interval` gets what came back since it was last called,
    /// about every `interval`.
    pub async fn run(
        &self,
        producer: &Producer,
        interval: Duration,
        on_interval: impl FnMut(&ProduceReport),
    ) -> ProduceReport {
        let (sent, to_collect) = mpsc::unbounded_channel();
        let ((), report) = tokio::join!(
            self.send(producer, sent),
            collect(to_collect, interval, on_interval),
        );
        report
    }

    async fn send(&self, producer: &Producer, sent: mpsc::UnboundedSender<Sent>) {
        let mut letters = Letters::new(self.size);
        let start = Instant::now();
        for number in 0..self.count + self.warmup {
            let mut due = Instant::now();
            if let Some(rate) = self.rate {
                let turn = start + Duration::from_secs_f64(number as f64 / rate);
                if due < turn {
                    sleep_until(turn).await;
                }
                due = match self.since {
                    LatencySince::Due => turn,
                    LatencySince::Sent => Instant::now(),
                };
            }
            let value = match self.values.as_slice() {
                [] => letters.next(),
                values => values[number as usize % values.len()].clone(),
            };
            let size = value.len();
            let ack = producer
                .enqueue(Record::to(self.topic.as_str()).value(value))
                .await;
            let is_counted = self.warmup <= number;
            let record = Sent {
                ack,
                at: due,
                size,
                is_counted,
            };
            if sent.send(record).is_err() {
                return;
            }
            if number % TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
        producer.flush().await;
    }
}

impl ProduceReport {
    fn new() -> ProduceReport {
        ProduceReport {
            written: 0,
            bytes: 0,
            took: Duration::ZERO,
            latencies: Latencies::new(),
            failed: 0,
            first_error: None,
        }
    }

    fn add(&mut self, size: usize, latency: Duration) {
        self.written += 1;
        self.bytes += size as u64;
        self.latencies.add(latency);
    }
}

/// Waits for the records in their order: one that is answered before an earlier one counts as if it
/// were answered with it.
async fn collect(
    mut sent: mpsc::UnboundedReceiver<Sent>,
    interval: Duration,
    mut on_interval: impl FnMut(&ProduceReport),
) -> ProduceReport {
    let mut all = ProduceReport::new();
    let mut window = ProduceReport::new();
    let mut start = Instant::now();
    let mut window_start = start;
    let mut has_counted = false;
    while let Some(record) = sent.recv().await {
        let result = match record.ack {
            Ok(ack) => ack.delivered().await,
            Err(error) => Err(error),
        };
        let now = Instant::now();
        if !record.is_counted {
            continue;
        }
        if !has_counted {
            has_counted = true;
            start = record.at;
            window_start = start;
        }
        match result {
            Ok(_) => {
                let latency = now.saturating_duration_since(record.at);
                all.add(record.size, latency);
                window.add(record.size, latency);
            }
            Err(error) => {
                all.failed += 1;
                all.first_error.get_or_insert(error);
            }
        }
        let passed = now.saturating_duration_since(window_start);
        if interval <= passed {
            window.took = passed;
            on_interval(&window);
            window = ProduceReport::new();
            window_start = now;
        }
    }
    all.took = start.elapsed();
    all
}
