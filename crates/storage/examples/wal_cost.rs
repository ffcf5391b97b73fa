//! What the journal costs per entry: queueing and the pump, on a disk in
//! memory (so without system calls, but with their copy). Run with `--release`.
#![expect(clippy::disallowed_methods, reason = "a measurement needs a clock")]

use bytes::Bytes;
use ottla_storage::checksum::crc32c;
use ottla_storage::marker::Markers;
use ottla_storage::memory_disk::MemoryDisk;
use ottla_storage::wal::{
    CommitStep, DurabilityClass, Entry, EntryHeader, EntryKind, Wal, WalOptions,
};
use ottla_types::{Mono, Now, Offset, PartitionId, Timestamp, TopicId, TopicPartition};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

const ROUNDS_COUNT: usize = 200;
const GROUP_COUNT: usize = 1_000;

fn main() {
    println!("medians of {ROUNDS_COUNT} groups of {GROUP_COUNT} entries, per entry");
    println!("entry size | checksum | enqueue, checksum included | pump: frame, one copy, publish");
    for size in [100, 1 << 10, 16 << 10] {
        let (checksum, enqueue, pump) = measure(size);
        println!("{size:>8} B | {checksum:>5} ns | {enqueue:>23} ns | {pump:>27} ns");
    }
}

fn open() -> Wal {
    let options = WalOptions {
        first_file_size: 64 << 20,
        file_size_max: 64 << 20,
        ring_size_max: 128 << 20,
        ..WalOptions::default()
    };
    let disk = Arc::new(MemoryDisk::new());
    let markers = Arc::new(Markers::new());
    Wal::open(disk, Path::new("wal"), options, markers, None, &mut |_| {})
        .expect("memory")
        .0
}

fn entry(body: &Bytes) -> Entry {
    let header = EntryHeader {
        kind: EntryKind::Append,
        topic_partition: TopicPartition {
            topic_id: TopicId::default(),
            partition: PartitionId::new(0),
        },
        base_offset: Offset::ZERO,
        end_offset: Offset::new(1),
        argument: 0,
    };
    Entry::new(header, DurabilityClass::Fsync, body.clone())
}

/// Medians in nanoseconds per entry.
fn measure(size: usize) -> (u64, u64, u64) {
    let wal = open();
    let body = Bytes::from(vec![7; size]);
    let [mut checksum, mut enqueue, mut pump] = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS_COUNT {
        checksum.push(per_entry(|| {
            for _ in 0..GROUP_COUNT {
                std::hint::black_box(crc32c(std::hint::black_box(&body)));
            }
        }));
        enqueue.push(per_entry(|| {
            for _ in 0..GROUP_COUNT {
                wal.enqueue(entry(&body)).expect("online");
            }
        }));
        pump.push(per_entry(|| commit_all(&wal)));
        let position = wal.position_for_checkpoint(wal.next_lsn());
        wal.checkpointed(&position, &position);
    }
    (median(checksum), median(enqueue), median(pump))
}

fn per_entry(work: impl FnOnce()) -> u64 {
    let started = Instant::now();
    work();
    started.elapsed().as_nanos() as u64 / GROUP_COUNT as u64
}

fn median(mut samples: Vec<u64>) -> u64 {
    samples.sort_unstable();
    samples[samples.len() / 2]
}

fn commit_all(wal: &Wal) {
    let started = Instant::now();
    while wal.durable_lsn().get() + 1 < wal.next_lsn().get() {
        let now = Now {
            mono: Mono::from_nanos(started.elapsed().as_nanos() as u64),
            wall: Timestamp::from_millis(0),
        };
        if let CommitStep::Failed(error) = wal.commit_step(now) {
            panic!("{error}");
        }
    }
}
