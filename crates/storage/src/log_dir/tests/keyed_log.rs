//! A log whose records have keys, and its cleaner.

use super::harness::*;
use crate::cleaner::CleanerOptions;
use crate::log_dir::{LogDirOptions, PumpStep};
use ottla_records::{BatchBuilder, BatchFilter, Codec, Compressor, batches};
use ottla_types::{PartitionSlot, ProducerEpoch, ProducerId, Sequence, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) fn cleaner_options() -> LogDirOptions {
    LogDirOptions {
        cleaner: CleanerOptions {
            backoff: Duration::from_secs(1),
            ..CleanerOptions::default()
        },
        ..small_options()
    }
}

/// One record.
pub(super) fn keyed(
    key: &str,
    value: Option<&str>,
    producer: Option<Producer>,
    at: i64,
) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Codec::None);
    if let Some((id, epoch, sequence)) = producer {
        builder = builder.producer(
            ProducerId::new(id),
            ProducerEpoch::new(epoch),
            Sequence::new(sequence),
        );
    }
    let value = value.map(str::as_bytes);
    builder.push(Timestamp::from_millis(at), Some(key.as_bytes()), value, &[]);
    builder.finish(&mut Compressor::default())
}

/// Offset and value of the newest record of each key.
pub(super) type Latest = BTreeMap<String, (i64, Option<String>)>;

impl Harness {
    pub(super) fn put(&mut self, slot: PartitionSlot, key: &str, value: Option<&str>) -> i64 {
        let at = self.now.wall.as_millis();
        let appended = self.append(slot, &keyed(key, value, None, at));
        appended.base_offset.get()
    }

    /// Runs the cleaner, and whoever it waits for, until it finds nothing to do.
    pub(super) fn clean(&mut self) {
        self.settle();
        self.dir.clean_now();
        for _ in 0..100_000 {
            match self.dir.clean_step(self.now) {
                PumpStep::Worked => {}
                PumpStep::Waiting { until }
                    if until <= self.now.mono.plus(Duration::from_millis(500)) =>
                {
                    self.settle();
                    self.pass(250);
                }
                PumpStep::Waiting { .. } => return self.settle(),
                PumpStep::Offline => panic!("{:?}", self.dir.health()),
            }
        }
        panic!("the cleaner does not come to an end");
    }

    pub(super) fn records(&self, slot: PartitionSlot) -> Vec<(i64, String, Option<String>)> {
        let mut filter = BatchFilter::default();
        let mut seen = Vec::new();
        let start = self.dir.ends(slot).expect("there").log_start.get();
        for (_, _, bytes) in self.read_all(slot, start, 1_500) {
            for batch in batches(&bytes) {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let mut look = |record: &ottla_records::RecordView<'_>| {
                    let key = text(record.key.expect("a key"));
                    seen.push((record.offset.get(), key, record.value.map(text)));
                };
                let batch = batch.expect("a batch");
                filter.each(&batch, &mut look).expect("readable");
            }
        }
        seen
    }

    pub(super) fn latest(&self, slot: PartitionSlot) -> Latest {
        let records = self.records(slot).into_iter();
        records
            .map(|(offset, key, value)| (key, (offset, value)))
            .collect()
    }
}

/// `count` updates in turn over `keys` keys.
pub(super) fn overwrite(
    h: &mut Harness,
    slot: PartitionSlot,
    keys: usize,
    count: usize,
    tag: &str,
) {
    for index in 0..count {
        let key = format!("key-{}", index % keys);
        h.put(
            slot,
            &key,
            Some(&format!("{tag}-{index}-{}", "x".repeat(60))),
        );
    }
}
