//! What an append costs, without network and devices: `cargo run --release -p ottla-storage --example append_cost`.
//!
//! Appends are timed alone, a thousand at a time; the pumps run between the timed stretches, on a disk in memory.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use ottla_records::{BatchBuilder, BatchView, Codec, Compressor, ValidBatch};
use ottla_storage::log_dir::{
    AppendBatch, AppendOrigin, LogConfig, LogDir, LogDirOptions, PumpStep,
};
use ottla_storage::memory_disk::MemoryDisk;
use ottla_storage::wal::CommitStep;
use ottla_types::{
    LeaderEpoch, Mono, Now, PartitionId, PartitionSlot, ProducerEpoch, ProducerId, Sequence,
    Timestamp, TopicId, TopicPartition, Uuid,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The server's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const STRETCH: usize = 1_000;
const BYTES_MAX: usize = 1 << 30;

fn main() {
    println!("batch bytes  partitions  producers  ns per append");
    for size in [1_024, 16 * 1_024, 1_024 * 1_024] {
        for partitions_count in [16, 1_000] {
            for is_idempotent in [false, true] {
                let nanos = measure(size, partitions_count, is_idempotent);
                let producers = if is_idempotent { "idempotent" } else { "plain" };
                println!("{size:>11}  {partitions_count:>10}  {producers:>9}  {nanos:>8.0}");
            }
        }
    }
}

struct Clock {
    start: Instant,
}

impl Clock {
    fn now(&self) -> Now {
        let nanos = self.start.elapsed().as_nanos() as u64;
        let wall = 1_700_000_000_000 + (nanos / 1_000_000) as i64;
        Now {
            mono: Mono::from_nanos(nanos),
            wall: Timestamp::from_millis(wall),
        }
    }
}

fn measure(size: usize, partitions_count: usize, is_idempotent: bool) -> f64 {
    let clock = Clock {
        start: Instant::now(),
    };
    let disk = Arc::new(MemoryDisk::new());
    let options = LogDirOptions {
        reserve_bytes: 0,
        reserve_percent: 0,
        ..Default::default()
    };
    let (dir, _) = LogDir::open(disk, options, clock.now()).expect("the directory opens");
    let config = LogConfig {
        retention_bytes: Some(0),
        segment_bytes: 64 << 20,
        file_delete_delay_ms: 0,
        ..LogConfig::default()
    };
    let slots: Vec<PartitionSlot> = (0..partitions_count)
        .map(|index| {
            let id = TopicPartition {
                topic_id: TopicId::new(Uuid::from_random([1; 16])),
                partition: PartitionId::new(index as i32),
            };
            dir.create_partition(id, "bench", config).expect("online")
        })
        .collect();
    let mut sequences = vec![0; partitions_count];
    let appends_count = (BYTES_MAX / 4 / size).clamp(STRETCH.min(256), 200_000);
    let stretch = STRETCH.min((64 << 20) / size);
    let (mut timed, mut done) = (Duration::ZERO, 0);
    while done < appends_count {
        let batches: Vec<(usize, Vec<u8>, ValidBatch)> = (0..stretch)
            .map(|index| {
                let partition = (done + index) % partitions_count;
                let bytes = batch(size, is_idempotent.then_some(sequences[partition]));
                sequences[partition] += 1;
                let view = BatchView::parse(&bytes).expect("a batch");
                let facts = ValidBatch::from_header(&view).expect("a codec");
                (partition, bytes, facts)
            })
            .collect();
        let now = clock.now();
        let start = Instant::now();
        for (partition, bytes, facts) in &batches {
            let batch = AppendBatch {
                bytes,
                facts,
                origin: AppendOrigin::Client,
            };
            dir.append(slots[*partition], LeaderEpoch::new(0), batch, now)
                .expect("appended");
        }
        timed += start.elapsed();
        done += stretch;
        pump(&dir, &clock);
    }
    timed.as_nanos() as f64 / done as f64
}

fn pump(dir: &LogDir, clock: &Clock) {
    while dir.durable_lsn().next() < dir.wal().next_lsn() {
        if let CommitStep::Failed(error) = dir.commit_step(clock.now()) {
            panic!("{error}");
        }
        dir.zero_step(clock.now());
    }
    dir.retention_now();
    while dir.retention_step(clock.now()) == PumpStep::Worked {}
    while dir.flush_step(clock.now()) == PumpStep::Worked {}
}

fn batch(size: usize, sequence: Option<i32>) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    if let Some(sequence) = sequence {
        builder = builder.producer(
            ProducerId::new(1),
            ProducerEpoch::new(0),
            Sequence::new(sequence),
        );
    }
    let value = vec![7; size - 80];
    builder.push(
        Timestamp::from_millis(1_700_000_000_000),
        None,
        Some(&value),
        &[],
    );
    builder.finish(&mut Compressor::default())
}
