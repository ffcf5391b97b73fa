//! What compaction costs: `cargo run --release -p ottla-storage --example compaction_cost -- [UPDATES] [KEYS]` writes
//! updates of some keys into one log in memory, compacts it, and prints bytes, times and sizes.
//!
//! The disk is memory, so it is the processor's share that is measured: reading, hashing, filtering, checksums, copying.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use ottla_records::{BatchBuilder, Codec, Compressor, ProduceRules, Scratch, validate_produce};
use ottla_storage::CleanerOptions;
use ottla_storage::log_dir::{
    AppendBatch, AppendOrigin, LogConfig, LogDir, LogDirOptions, PumpStep,
};
use ottla_storage::memory_disk::MemoryDisk;
use ottla_storage::wal::CommitStep;
use ottla_types::{
    LeaderEpoch, Mono, Now, PartitionId, Prng, Timestamp, TopicId, TopicPartition, Uuid,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The server's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: u64 = 500;

fn main() {
    let number = |at: usize, default: u64| {
        let text = std::env::args().nth(at);
        text.and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (updates, keys) = (number(1, 10_000_000), number(2, 100_000));
    let started = Instant::now();
    let now = || Now {
        mono: Mono::ZERO.plus(started.elapsed()),
        wall: Timestamp::from_millis(1_700_000_000_000 + started.elapsed().as_millis() as i64),
    };
    let options = LogDirOptions {
        reserve_bytes: 0,
        reserve_percent: 0,
        cleaner: CleanerOptions {
            backoff: Duration::from_secs(3_600),
            ..CleanerOptions::default()
        },
        ..LogDirOptions::default()
    };
    let opened = LogDir::open(Arc::new(MemoryDisk::new()), options, now());
    let (dir, _) = opened.expect("an empty directory opens");
    let id = TopicPartition {
        topic_id: TopicId::new(Uuid::from_random([1; 16])),
        partition: PartitionId::new(0),
    };
    let config = LogConfig {
        compacts: true,
        segment_bytes: 100 << 20,
        min_cleanable_ppm: 0,
        ..LogConfig::default()
    };
    let slot = dir.create_partition(id, "t", config).expect("online");
    let mut prng = Prng::new(1);
    let (mut compressor, mut scratch) = (Compressor::default(), Scratch::default());
    let value = [b'x'; 100];
    let rules = ProduceRules::default();
    for _ in 0..updates / RECORDS {
        let mut builder = BatchBuilder::new(Codec::None);
        for _ in 0..RECORDS {
            let key = format!("key-{:012}", prng.below(keys));
            builder.push(now().wall, Some(key.as_bytes()), Some(&value), &[]);
        }
        let bytes = builder.finish(&mut compressor);
        let facts = validate_produce(&bytes, &rules, now().wall, &mut scratch);
        let batch = AppendBatch {
            bytes: &bytes,
            facts: &facts.expect("valid"),
            origin: AppendOrigin::Client,
        };
        dir.append(slot, LeaderEpoch::new(0), batch, now())
            .expect("appended");
        pump(&dir, now());
    }
    dir.request_flush(slot, true);
    for _ in 0..100_000 {
        pump(&dir, now());
        let ends = dir.ends(slot).expect("there");
        if ends.synced_end == ends.appended_end {
            break;
        }
    }
    let before = dir.sizes(slot).expect("there");
    println!(
        "wrote {updates} updates of {keys} keys, {} MB in {} segments, in {:.1} s",
        before.bytes / 1_000_000,
        before.segments_count,
        started.elapsed().as_secs_f64()
    );
    let (begin, mut busy, mut slowest) = (Instant::now(), Duration::ZERO, Duration::ZERO);
    dir.clean_now();
    loop {
        let step = Instant::now();
        let stepped = dir.clean_step(now());
        busy += step.elapsed();
        slowest = slowest.max(step.elapsed());
        match stepped {
            PumpStep::Worked => {}
            PumpStep::Waiting { .. } if dir.cleaner_stats().rounds_count > 0 => break,
            PumpStep::Waiting { .. } => pump(&dir, now()),
            PumpStep::Offline => panic!("offline"),
        }
    }
    let (stats, after) = (dir.cleaner_stats(), dir.sizes(slot).expect("there"));
    let seconds = busy.as_secs_f64();
    println!(
        "compacted in {:.2} s ({seconds:.2} s in the cleaner, slowest step {slowest:?}): {} MB read ({:.0} MB/s of log), {} MB written",
        begin.elapsed().as_secs_f64(),
        stats.bytes_read / 1_000_000,
        before.bytes as f64 / 1e6 / seconds,
        stats.bytes_written / 1_000_000,
    );
    println!(
        "kept {} records, removed {}; {} MB in {} segments; the keys used {} % of {} MB",
        stats.records_kept,
        stats.records_removed,
        after.bytes / 1_000_000,
        after.segments_count,
        stats.map_used_percent,
        128
    );
}

fn pump(dir: &LogDir, now: Now) {
    loop {
        match dir.commit_step(now) {
            CommitStep::Wrote { .. } | CommitStep::Synced { .. } | CommitStep::Prepared => {}
            CommitStep::Idle | CommitStep::Waiting { .. } => break,
            CommitStep::Stalled { .. } => {
                dir.zero_step(now);
                dir.flush_step(now);
                break;
            }
            CommitStep::Full { .. } => panic!("the disk is full"),
            CommitStep::Failed(error) => panic!("{error}"),
        }
    }
    while dir.flush_step(now) == PumpStep::Worked {}
    dir.zero_step(now);
}
