//! What small batches take in memory as long as they are in a tail:
//! `MIMALLOC_PURGE_DELAY=0 cargo run -p ottla-storage --example tail_cost`.
//!
//! The difference of the resident memory before and after; so what the allocator frees must be given back at once.

#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark asks the operating system"
)]

use ottla_records::{BatchBuilder, BatchView, Codec, Compressor, ValidBatch};
use ottla_storage::log_dir::{AppendBatch, AppendOrigin, LogConfig, LogDir, LogDirOptions};
use ottla_storage::memory_disk::MemoryDisk;
use ottla_storage::wal::{CommitStep, WalOptions};
use ottla_types::{
    LeaderEpoch, Mono, Now, PartitionId, PartitionSlot, Timestamp, TopicId, TopicPartition, Uuid,
};
use std::sync::Arc;

/// The server's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCHES_COUNT: usize = 1_000_000;
const GROUP: usize = 1_000;

fn main() {
    println!("batch bytes  partitions  bytes beside each batch  counted in all per batch");
    for value_size in [0, 10, 100] {
        for partitions_count in [1, 100, 10_000] {
            measure(value_size, partitions_count);
        }
    }
}

fn measure(value_size: usize, partitions_count: usize) {
    // The whole ring is there before: the journal's own memory does not count.
    let file_size = 512 << 20;
    let options = LogDirOptions {
        wal: WalOptions {
            first_file_size: file_size,
            file_size_max: file_size,
            ring_size_max: 2 * file_size,
            ..WalOptions::default()
        },
        tail_bytes_max: 8 << 30,
        reserve_bytes: 0,
        reserve_percent: 0,
        ..LogDirOptions::default()
    };
    let mut now = Now {
        mono: Mono::from_millis(1),
        wall: Timestamp::from_millis(1_700_000_000_000),
    };
    let disk = Arc::new(MemoryDisk::new());
    let (dir, _) = LogDir::open(disk, options, now).expect("the directory opens");
    let slots: Vec<PartitionSlot> = (0..partitions_count)
        .map(|index| {
            let id = TopicPartition {
                topic_id: TopicId::new(Uuid::from_random([1; 16])),
                partition: PartitionId::new(index as i32),
            };
            dir.create_partition(id, "bench", LogConfig::default())
                .expect("online")
        })
        .collect();
    let bytes = batch(value_size);
    let view = BatchView::parse(&bytes).expect("a batch");
    let facts = ValidBatch::from_header(&view).expect("a codec");
    let batch = AppendBatch {
        bytes: &bytes,
        facts: &facts,
        origin: AppendOrigin::Client,
    };
    let before = resident_bytes();
    for number in 0..BATCHES_COUNT {
        let slot = slots[number % partitions_count];
        dir.append(slot, LeaderEpoch::new(0), batch, now)
            .expect("appended");
        if number % GROUP == GROUP - 1 {
            commit(&dir, &mut now);
        }
    }
    commit(&dir, &mut now);
    let taken = (resident_bytes() - before) as usize / BATCHES_COUNT;
    let counted = dir.stats().tail_bytes / BATCHES_COUNT;
    let beside = taken as i64 - bytes.len() as i64;
    println!(
        "{:>11}  {partitions_count:>10}  {beside:>23}  {counted:>24}",
        bytes.len()
    );
}

fn commit(dir: &LogDir, now: &mut Now) {
    while dir.durable_lsn().next() < dir.wal().next_lsn() {
        if let CommitStep::Waiting { until } = dir.commit_step(*now) {
            now.mono = until;
        }
    }
}

fn batch(value_size: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    let time = Timestamp::from_millis(1_700_000_000_000);
    builder.push(time, None, Some(&vec![7; value_size]), &[]);
    builder.finish(&mut Compressor::default()).to_vec()
}

fn resident_bytes() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split_whitespace().nth(1).expect("two numbers");
    pages.parse::<i64>().expect("a number") * 4096
}
