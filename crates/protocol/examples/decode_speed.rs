//! How long it takes to decode and encode the messages of the hot path:
//! `cargo run --release -p ottla-protocol --example decode_speed`.

use std::borrow::Cow;
use std::hint::black_box;
use std::time::{Duration, Instant};

use ottla_protocol::messages::{
    FetchRequest, FetchResponse, ProduceRequest, ProduceResponse, fetch_request, fetch_response,
    produce_request, produce_response,
};
use ottla_protocol::{Message, Reader, Records, Writer};
use ottla_types::Uuid;

const ROUNDS: u32 = 200_000;

fn main() {
    let batch = vec![7u8; 1024];
    for partitions in [1, 16] {
        let produce = ProduceRequest {
            acks: -1,
            timeout_ms: 30_000,
            topic_data: vec![produce_request::TopicProduceData {
                topic_id: Uuid::from_bytes([1; 16]),
                partition_data: (0..partitions)
                    .map(|index| produce_request::PartitionProduceData {
                        index,
                        records: Some(Records::Slice(&batch)),
                    })
                    .collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let what = format!("ProduceRequest v13, {partitions} partitions of 1 KiB");
        let bytes = encode(&what, &produce, 13);
        decode(&what, &bytes, |r| {
            black_box(ProduceRequest::decode(r, 13)).is_ok()
        });
        let produced = ProduceResponse {
            responses: vec![produce_response::TopicProduceResponse {
                topic_id: Uuid::from_bytes([1; 16]),
                partition_responses: (0..partitions)
                    .map(|index| produce_response::PartitionProduceResponse {
                        index,
                        base_offset: 77,
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let what = format!("ProduceResponse v13, {partitions} partitions");
        let bytes = encode(&what, &produced, 13);
        decode(&what, &bytes, |r| {
            black_box(ProduceResponse::decode(r, 13)).is_ok()
        });
        let fetch = FetchRequest {
            topics: vec![fetch_request::FetchTopic {
                topic_id: Uuid::from_bytes([1; 16]),
                partitions: (0..partitions)
                    .map(|partition| fetch_request::FetchPartition {
                        partition,
                        fetch_offset: 77,
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            }],
            rack_id: Cow::Borrowed("rack"),
            ..Default::default()
        };
        let what = format!("FetchRequest v17, {partitions} partitions");
        let bytes = encode(&what, &fetch, 17);
        decode(&what, &bytes, |r| {
            black_box(FetchRequest::decode(r, 17)).is_ok()
        });
        let fetched = FetchResponse {
            responses: vec![fetch_response::FetchableTopicResponse {
                topic_id: Uuid::from_bytes([1; 16]),
                partitions: (0..partitions)
                    .map(|partition_index| fetch_response::PartitionData {
                        partition_index,
                        records: Some(Records::External { id: 1, size: 1024 }),
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        encode(
            &format!("FetchResponse v17, {partitions} partitions, external"),
            &fetched,
            17,
        );
    }
}

/// Encodes again and again; returns the bytes.
fn encode<'a>(what: &str, message: &impl Message<'a>, version: i16) -> Vec<u8> {
    let mut buf = Vec::new();
    let taken = timed(|| {
        buf.clear();
        let mut w = Writer::with_buf(std::mem::take(&mut buf));
        black_box(message)
            .encode(&mut w, version)
            .expect("the fields are of this version");
        buf = w.into_parts().0;
    });
    println!(
        "{:6} ns  encode {what}, {} bytes",
        taken.as_nanos(),
        buf.len()
    );
    buf
}

fn decode(what: &str, bytes: &[u8], mut decode: impl FnMut(&mut Reader<'_>) -> bool) {
    let taken = timed(|| assert!(decode(&mut Reader::new(black_box(bytes)))));
    println!("{:6} ns  decode {what}", taken.as_nanos());
}

/// Mean time of one round.
#[expect(
    clippy::disallowed_methods,
    reason = "an example measures; the crate itself has no clock"
)]
fn timed(mut round: impl FnMut()) -> Duration {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        round();
    }
    start.elapsed() / ROUNDS
}
