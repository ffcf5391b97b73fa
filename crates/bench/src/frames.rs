//! Frames that are built before the clock starts.

use crate::connection::frame;
use crate::error::BenchError;
use ottla_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use ottla_protocol::{ApiKey, Records};
use ottla_records::{BatchBuilder, Codec, Compressor};
use ottla_types::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// The last version that names topics: the same request goes to every broker.
pub const PRODUCE_VERSION: i16 = 11;

/// Value bytes of each record, so that a 16 KiB batch has about sixteen records.
const RECORD_VALUE_SIZE: usize = 1000;

/// What records are stamped with.
pub fn now() -> Timestamp {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("it is after 1970");
    Timestamp::from_millis(now.as_millis() as i64)
}

/// A record batch of close to `size` bytes (never more) made of 1 KiB records.
pub fn batch(size: usize) -> Vec<u8> {
    let now = now();
    let mut value = vec![0; RECORD_VALUE_SIZE];
    ottla_types::Prng::new(size as u64).fill(&mut value);
    let mut builder = BatchBuilder::new(Codec::None);
    while builder.size_with(now, None, Some(&value), &[]) <= size {
        builder.push(now, None, Some(&value), &[]);
    }
    if builder.is_empty() {
        // A batch smaller than one full record: one short record. Its length may take two bytes more.
        let overhead = builder.size_with(now, None, Some(&[]), &[]) + 2;
        builder.push(
            now,
            None,
            Some(&value[..size.saturating_sub(overhead)]),
            &[],
        );
    }
    builder.finish(&mut Compressor::default())
}

/// One produce request frame for each partition.
pub fn produce(
    topic: &str,
    partitions: i32,
    batch: &[u8],
    acks: i16,
) -> Result<Vec<Vec<u8>>, BenchError> {
    (0..partitions)
        .map(|index| produce_to(topic, index, batch, acks))
        .collect()
}

/// A produce request frame for one partition.
pub fn produce_to(topic: &str, index: i32, batch: &[u8], acks: i16) -> Result<Vec<u8>, BenchError> {
    let records = Some(Records::Slice(batch));
    let request = ProduceRequest {
        acks,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: topic.into(),
            partition_data: vec![PartitionProduceData { index, records }],
            ..Default::default()
        }],
        ..Default::default()
    };
    frame(ApiKey::Produce, PRODUCE_VERSION, index, &request)
}
