use std::time::Duration;

use ottla_client::{Consumer, Producer, Record};
use tokio::time::Instant;

use super::{Latencies, Letters};
use crate::failure::Failure;

/// Records that are written and read one by one.
#[derive(Clone, Debug)]
pub struct EndToEndLoad {
    pub topic: String,
    pub count: u64,
    /// Bytes of each value.
    pub size: usize,
    /// How long one may take.
    pub patience: Duration,
}

/// How long they took from before writing to having read.
#[derive(Debug)]
pub struct RoundTrips {
    pub latencies: Latencies,
    pub took: Duration,
}

impl EndToEndLoad {
    /// Writes and reads. The consumer must already stand at the end of every partition. `on_record`
    /// gets the number of each, from 0, and its time.
    pub async fn run(
        &self,
        producer: &Producer,
        consumer: &mut Consumer,
        mut on_record: impl FnMut(u64, Duration),
    ) -> Result<RoundTrips, Failure> {
        let mut letters = Letters::new(self.size);
        let mut latencies = Latencies::new();
        let start = Instant::now();
        for number in 0..self.count {
            let value = letters.next();
            let sent = Instant::now();
            let delivery = producer
                .send(Record::to(self.topic.as_str()).value(value.clone()))
                .await?;
            loop {
                let read = consumer.poll(Duration::from_millis(100)).await?;
                // Others may write to the topic, too.
                let is_ours = |record: &ottla_client::ConsumedRecord| {
                    record.partition.partition == delivery.partition
                        && Some(record.offset) == delivery.offset
                };
                match read.iter().find(|record| is_ours(record)) {
                    Some(record) if record.value.as_ref() == Some(&value) => break,
                    Some(_) => return Err(Failure::failed("what was read is not what was sent")),
                    None if self.patience < sent.elapsed() => {
                        let what = format!("record {number} did not come back in time");
                        return Err(Failure::failed(what));
                    }
                    None => {}
                }
            }
            let took = sent.elapsed();
            latencies.add(took);
            on_record(number, took);
        }
        Ok(RoundTrips {
            latencies,
            took: start.elapsed(),
        })
    }
}
