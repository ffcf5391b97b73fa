//! Every topic config of Kafka 4.4 as one row each, with the broker config that is its default.

use super::definition::Dynamic::ClusterWide;
use super::definition::Importance::Medium;
use super::definition::Kind::{Boolean, Double, Int, List, Long, String};
use super::definition::Support::{Applied, Later, NoEffect, Refused};
use super::definition::Valid::{
    Any, AtLeast, Between, Fraction, GzipLevel, OneOf, Subset, ThrottledReplicas,
};
use super::definition::Visibility::{Internal, Public};
use super::definition::{Definition, def};

#[rustfmt::skip]
pub(super) static TOPIC: &[Definition] = &[
    def("cleanup.policy", List, Some("delete"), Subset(&["compact", "delete"]), Medium, Public, ClusterWide, Applied, &["log.cleanup.policy"], "What happens to old records: `delete` removes whole segments by time and size, `compact` keeps the last record of each key, an empty list keeps everything."),
    def("compression.gzip.level", Int, Some("-1"), GzipLevel, Medium, Public, ClusterWide, Applied, &["compression.gzip.level"], "Level used when `compression.type` is gzip."),
    def("compression.lz4.level", Int, Some("9"), Between(1, 17), Medium, Public, ClusterWide, NoEffect, &["compression.lz4.level"], "lz4 has one level here."),
    def("compression.type", String, Some("producer"), OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), Medium, Public, ClusterWide, Applied, &["compression.type"], "How batches are stored: `producer` keeps them as the producer compressed them, anything else compresses again what comes compressed otherwise."),
    def("compression.zstd.level", Int, Some("3"), Between(-131072, 22), Medium, Public, ClusterWide, Applied, &["compression.zstd.level"], "Level used when `compression.type` is zstd."),
    def("delete.retention.ms", Long, Some("86400000"), AtLeast(0), Medium, Public, ClusterWide, Applied, &["log.cleaner.delete.retention.ms"], "How long a compacted topic keeps the markers of deleted keys."),
    def("errors.deadletterqueue.group.enable", Boolean, Some("false"), Any, Medium, Public, ClusterWide, Later, &[], "Whether share groups may use this topic as their dead-letter queue."),
    def("file.delete.delay.ms", Long, Some("60000"), AtLeast(0), Medium, Public, ClusterWide, Applied, &["log.segment.delete.delay.ms"], "How long a file stays on disk after its segment was removed from the log."),
    def("flush.messages", Long, Some("9223372036854775807"), AtLeast(1), Medium, Public, ClusterWide, Applied, &["log.flush.interval.messages"], "1 makes every record durable before it is acknowledged; other values have no effect, since durable topics always are."),
    def("flush.ms", Long, Some("9223372036854775807"), AtLeast(0), Medium, Public, ClusterWide, NoEffect, &["log.flush.interval.ms"], "Kafka: time after which records are flushed. Durable topics flush before they acknowledge."),
    def("follower.replication.throttled.replicas", List, Some(""), ThrottledReplicas, Medium, Public, ClusterWide, Later, &[], "Replicas whose followers are throttled: a list of partition:broker, or `*`."),
    def("index.interval.bytes", Int, Some("4096"), AtLeast(0), Medium, Public, ClusterWide, Applied, &["log.index.interval.bytes"], "How many bytes of a segment lie between two entries of its offset index."),
    def("internal.segment.bytes", Int, None, Any, Medium, Internal, ClusterWide, Applied, &[], "Segment size below the public minimum; for tests."),
    def("leader.replication.throttled.replicas", List, Some(""), ThrottledReplicas, Medium, Public, ClusterWide, Later, &[], "Replicas whose leaders are throttled: a list of partition:broker, or `*`."),
    def("local.retention.bytes", Long, Some("-2"), AtLeast(-2), Medium, Public, ClusterWide, Later, &["log.local.retention.bytes"], "Bytes kept locally of a tiered topic; -2 follows retention.bytes."),
    def("local.retention.ms", Long, Some("-2"), AtLeast(-2), Medium, Public, ClusterWide, Later, &["log.local.retention.ms"], "Time records of a tiered topic stay local; -2 follows retention.ms."),
    def("max.compaction.lag.ms", Long, Some("9223372036854775807"), AtLeast(1), Medium, Public, ClusterWide, Applied, &["log.cleaner.max.compaction.lag.ms"], "Longest time a record may stay uncompacted."),
    def("max.decompressed.message.bytes", Int, Some("2147483639"), AtLeast(1), Medium, Public, ClusterWide, Applied, &["max.decompressed.message.bytes"], "How many bytes one record of a compressed batch may have once decompressed; a batch of more than 64 MiB is never accepted."),
    def("max.message.bytes", Int, Some("1048588"), AtLeast(0), Medium, Public, ClusterWide, Applied, &["message.max.bytes"], "Largest record batch accepted, in bytes after compression and with its 12-byte prefix."),
    def("message.timestamp.after.max.ms", Long, Some("3600000"), AtLeast(0), Medium, Public, ClusterWide, Applied, &["log.message.timestamp.after.max.ms"], "How far a record timestamp may lie ahead of the broker clock."),
    def("message.timestamp.before.max.ms", Long, Some("9223372036854775807"), AtLeast(0), Medium, Public, ClusterWide, Applied, &["log.message.timestamp.before.max.ms"], "How far a record timestamp may lie behind the broker clock."),
    def("message.timestamp.type", String, Some("CreateTime"), OneOf(&["CreateTime", "LogAppendTime"]), Medium, Public, ClusterWide, Applied, &["log.message.timestamp.type"], "CreateTime keeps the time the producer gave; LogAppendTime replaces it by the time of the append."),
    def("min.cleanable.dirty.ratio", Double, Some("0.5"), Fraction(0.0, 1.0), Medium, Public, ClusterWide, Applied, &["log.cleaner.min.cleanable.ratio"], "Share of a log that must be uncompacted before it is compacted."),
    def("min.compaction.lag.ms", Long, Some("0"), AtLeast(0), Medium, Public, ClusterWide, Applied, &["log.cleaner.min.compaction.lag.ms"], "Shortest time a record stays uncompacted."),
    def("min.insync.replicas", Int, Some("1"), AtLeast(1), Medium, Public, ClusterWide, Applied, &["min.insync.replicas"], "How many replicas must be in sync for acks=all to be accepted; at most the replication factor counts."),
    def("preallocate", Boolean, Some("false"), Any, Medium, Public, ClusterWide, NoEffect, &["log.preallocate"], "Kafka: allocate segment files at full size. Files here grow in steps."),
    def("remote.copy.lag.bytes", Long, Some("-1"), AtLeast(-1), Medium, Public, ClusterWide, Later, &["log.remote.copy.lag.bytes"], "Bytes a segment stays local before it is copied to the remote tier."),
    def("remote.copy.lag.ms", Long, Some("0"), AtLeast(-1), Medium, Public, ClusterWide, Later, &["log.remote.copy.lag.ms"], "Time a segment stays local before it is copied to the remote tier."),
    def("remote.log.copy.disable", Boolean, Some("false"), Any, Medium, Public, ClusterWide, Later, &[], "Stops copying to the remote tier."),
    def("remote.log.delete.on.disable", Boolean, Some("false"), Any, Medium, Public, ClusterWide, Later, &[], "Deletes remote data when tiering is disabled."),
    def("remote.storage.enable", Boolean, Some("false"), Any, Medium, Public, ClusterWide, Refused, &[], "Keeps old segments in the remote tier."),
    def("retention.bytes", Long, Some("-1"), Any, Medium, Public, ClusterWide, Applied, &["log.retention.bytes"], "Size of a partition above which its oldest segments are deleted; -1 sets no limit."),
    def("retention.ms", Long, Some("604800000"), AtLeast(-1), Medium, Public, ClusterWide, Applied, &["log.retention.ms"], "Age after which segments are deleted; -1 sets no limit."),
    def("segment.bytes", Int, Some("1073741824"), AtLeast(1048576), Medium, Public, ClusterWide, Applied, &["log.segment.bytes"], "Size at which a new segment begins."),
    def("segment.index.bytes", Int, Some("10485760"), AtLeast(4), Medium, Public, ClusterWide, Applied, &["log.index.size.max.bytes"], "Largest size of an offset index; a full index begins a new segment."),
    def("segment.jitter.ms", Long, Some("0"), AtLeast(0), Medium, Public, ClusterWide, Applied, &["log.roll.jitter.ms"], "Random time taken off segment.ms, so that segments do not all roll at once."),
    def("segment.ms", Long, Some("604800000"), AtLeast(1), Medium, Public, ClusterWide, Applied, &["log.roll.ms"], "Age at which a segment is closed although it is not full."),
    def("unclean.leader.election.enable", Boolean, Some("false"), Any, Medium, Public, ClusterWide, Later, &["unclean.leader.election.enable"], "Whether a replica that is not in sync may become leader, at the price of records."),
];
