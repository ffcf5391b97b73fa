//! Writes a small partition directory to a path, for reading it with Kafka's own tools:
//! `cargo run -p ottla-storage --example kafka_dir -- DIR`, then `kafka-dump-log.sh --files DIR/orders-0/….log`.

use ottla_records::{BatchBuilder, BatchView, Codec, Compressor, ValidBatch};
use ottla_storage::disk::{Disk, OpenMode};
use ottla_storage::log_dir::{AppendBatch, AppendOrigin, LogConfig, LogDir, LogDirOptions};
use ottla_storage::memory_disk::MemoryDisk;
use ottla_types::{
    LeaderEpoch, Mono, Now, PartitionId, ProducerEpoch, ProducerId, Sequence, Timestamp, TopicId,
    TopicPartition, Uuid,
};
use std::path::Path;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let target = std::env::args()
        .nth(1)
        .ok_or("the directory to write to is missing")?;
    let disk = MemoryDisk::new();
    write_log(&disk)?;
    for entry in disk.list(Path::new("orders-0"))? {
        let path = Path::new("orders-0").join(&entry.name);
        let file = disk.open(&path, OpenMode::Read)?;
        let mut bytes = vec![0; file.size()? as usize];
        file.read_at(0, &mut bytes)?;
        std::fs::create_dir_all(Path::new(&target).join("orders-0"))?;
        std::fs::write(Path::new(&target).join(path), bytes)?;
    }
    Ok(())
}

fn write_log(disk: &MemoryDisk) -> Result<(), Box<dyn std::error::Error>> {
    let mut now = Now {
        mono: Mono::ZERO,
        wall: Timestamp::from_millis(1_700_000_000_000),
    };
    let options = LogDirOptions {
        reserve_bytes: 0,
        reserve_percent: 0,
        ..Default::default()
    };
    let (dir, _) = LogDir::open(Arc::new(disk.clone()), options, now)?;
    let id = TopicPartition {
        topic_id: TopicId::new(Uuid::from_random([3; 16])),
        partition: PartitionId::new(0),
    };
    let config = LogConfig {
        segment_bytes: 80_000,
        ..LogConfig::default()
    };
    let slot = dir.create_partition(id, "orders", config)?;
    for index in 0..60i32 {
        let codec = [
            Codec::None,
            Codec::Gzip,
            Codec::Snappy,
            Codec::Lz4,
            Codec::Zstd,
        ];
        let mut builder = BatchBuilder::new(codec[index as usize % 5]).producer(
            ProducerId::new(4_000 + i64::from(index % 3)),
            ProducerEpoch::new(0),
            Sequence::new(index / 3 * 10),
        );
        for record in 0..10i64 {
            // Timestamps go forth and back, so that the largest is not always the last.
            let timestamp = 1_700_000_000_000 + i64::from(index) * 1_000 - record * 7;
            let value: Vec<u8> = (0..1_500u32)
                .map(|byte| (byte.wrapping_mul(2_654_435_761) >> 13) as u8 ^ index as u8)
                .collect();
            let key = format!("key-{record}");
            let timestamp = Timestamp::from_millis(timestamp);
            builder.push(timestamp, Some(key.as_bytes()), Some(&value), &[]);
        }
        let bytes = builder.finish(&mut Compressor::default());
        let facts = ValidBatch::from_header(&BatchView::parse(&bytes)?)?;
        let batch = AppendBatch {
            bytes: &bytes,
            facts: &facts,
            origin: AppendOrigin::Client,
        };
        dir.append(slot, LeaderEpoch::new(index / 25), batch, now)?;
        if index % 7 == 0 {
            dir.request_flush(slot, true);
        }
        for _ in 0..200 {
            dir.commit_step(now);
            dir.zero_step(now);
            dir.flush_step(now);
            now.mono = now.mono.plus(std::time::Duration::from_millis(1));
        }
    }
    dir.request_flush(slot, true);
    for _ in 0..500 {
        dir.commit_step(now);
        dir.flush_step(now);
        now.mono = now.mono.plus(std::time::Duration::from_millis(1));
    }
    Ok(())
}
