use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ServerReport;
use crate::metrics::Exposition;

/// `ottla.metrics.level` at which partitions are told apart.
const LEVELS_OF_PARTITIONS: [&str; 2] = ["partition", "client"];

impl ServerReport {
    pub(super) fn topics(&self, text: &mut Exposition) {
        let metrics = self.broker.metrics();
        let topics = metrics.topics();
        type Counter = fn(&ottla_broker::TopicMetrics) -> &AtomicU64;
        let families: [(&str, &str, Counter); 3] = [
            (
                "topic_bytes_in_total",
                "Bytes of record batches appended.",
                |t| &t.bytes_in,
            ),
            (
                "topic_bytes_out_total",
                "Bytes of record batches fetched.",
                |t| &t.bytes_out,
            ),
            ("topic_records_in_total", "Records appended.", |t| {
                &t.records_in
            }),
        ];
        for (name, help, counter) in families {
            text.counter(name, help);
            for (topic, counters) in &topics {
                let count = counter(counters).load(Ordering::Relaxed);
                text.count(name, &[("topic", topic)], count);
            }
        }
        type Failures = fn(&ottla_broker::TopicMetrics) -> &ottla_broker::FailureCounts;
        let families: [(&str, &str, Failures); 2] = [
            (
                "produce_failed_total",
                "Batches refused, by what was answered.",
                |t| &t.produce_failed,
            ),
            (
                "fetch_failed_total",
                "Fetches of a partition refused, by what was answered.",
                |t| &t.fetch_failed,
            ),
        ];
        for (name, help, failures) in families {
            text.counter(name, help);
            for (topic, counters) in &topics {
                for (error, count) in failures(counters).by_error() {
                    let error = error.to_string();
                    text.count(name, &[("topic", topic), ("error", &error)], count);
                }
            }
        }
        for (name, help, histograms) in [
            (
                "produce_batch_bytes",
                "Sizes of appended batches.",
                &metrics.batch_bytes,
            ),
            (
                "produce_batch_records",
                "Records of appended batches.",
                &metrics.batch_records,
            ),
        ] {
            text.histogram(name, help);
            for (codec, histogram) in ottla_broker::codec_names().zip(histograms) {
                text.size_buckets(name, &[("codec", codec)], histogram);
            }
        }
        let name = "compression_ratio";
        text.histogram(
            name,
            "How many times as large appended batches would be without compression.",
        );
        let codecs = ottla_broker::codec_names();
        for (codec, histogram) in codecs.zip(&metrics.compression_ratio) {
            text.ratio_buckets(name, &[("codec", codec)], histogram);
        }
        let totals = [
            (
                "produced_batches_total",
                "Batches appended.",
                &metrics.produced_batches,
            ),
            (
                "duplicate_batches_total",
                "Batches a producer sent again.",
                &metrics.duplicate_batches,
            ),
            (
                "recompressed_batches_total",
                "Batches compressed in another way than they came, because their topic wants it.",
                &metrics.recompressed_batches,
            ),
            (
                "out_of_sequence_total",
                "Batches out of sequence.",
                &metrics.out_of_sequence,
            ),
        ];
        for (name, help, counter) in totals {
            text.counter(name, help);
            text.count(name, &[], counter.load(Ordering::Relaxed));
        }
    }

    /// Whether partitions have labels of their own.
    pub(super) fn tells_partitions_apart(&self) -> bool {
        let level = &*self.broker.config().metrics_level;
        LEVELS_OF_PARTITIONS.contains(&level)
    }

    /// What topics and partitions take on disk and where they begin and end.
    pub(super) fn sizes(&self, text: &mut Exposition) {
        let mut topics: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let mut partitions = Vec::new();
        let tells_partitions_apart = self.tells_partitions_apart();
        for dir in &self.directories {
            for (slot, id, topic) in dir.log_dir.partitions() {
                let Some(sizes) = dir.log_dir.sizes(slot) else {
                    continue; // It was deleted meanwhile.
                };
                if tells_partitions_apart {
                    let bounds = self.broker.readable_offsets(id);
                    let number = id.partition.get().to_string();
                    partitions.push((topic.clone(), number, sizes.bytes, bounds));
                }
                let total = topics.entry(topic).or_default();
                total.0 += sizes.bytes;
                total.1 += sizes.segments_count as u64;
            }
        }
        text.gauge("topic_size_bytes", "Bytes of record batches kept.");
        for (topic, (bytes, _)) in &topics {
            text.count("topic_size_bytes", &[("topic", topic)], *bytes);
        }
        text.gauge("segments", "Segment files.");
        for (topic, (_, segments)) in &topics {
            text.count("segments", &[("topic", topic)], *segments);
        }
        if !tells_partitions_apart {
            return;
        }
        text.gauge("partition_size_bytes", "Bytes of record batches kept.");
        for (topic, partition, bytes, _) in &partitions {
            let labels = [("topic", &**topic), ("partition", partition)];
            text.count("partition_size_bytes", &labels, *bytes);
        }
        type Bound = fn(&ottla_broker::ReadableOffsets) -> ottla_types::Offset;
        let families: [(&str, &str, Bound); 3] = [
            (
                "partition_log_start_offset",
                "The first offset that is kept.",
                |offsets| offsets.log_start,
            ),
            (
                "partition_high_watermark",
                "Consumers read below it.",
                |offsets| offsets.high_watermark,
            ),
            (
                "partition_last_stable_offset",
                "Consumers of committed transactions read below it.",
                |offsets| offsets.last_stable,
            ),
        ];
        for (name, help, bound) in families {
            text.gauge(name, help);
            for (topic, partition, _, offsets) in &partitions {
                if let Some(offsets) = offsets {
                    let labels = [("topic", &**topic), ("partition", partition)];
                    text.value(name, &labels, bound(offsets).get() as f64);
                }
            }
        }
    }
}
