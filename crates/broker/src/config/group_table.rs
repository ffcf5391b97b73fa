//! The configs of groups (KIP-848, KIP-932, KIP-1071) and of client metrics (KIP-714) in Kafka 4.4. They are kept for
//! what will read them: the features come with later releases.

use super::definition::Dynamic::ClusterWide;
use super::definition::Importance::{Low, Medium};
use super::definition::Kind::{Boolean, Int, List, Long, String};
use super::definition::Support::Later;
use super::definition::Valid::{Any, AtLeast, OffsetReset, OneOf};
use super::definition::Visibility::{Internal, Public};
use super::definition::{Definition, def};

/// The synonym is the broker config that a group without a value of its own follows.
#[rustfmt::skip]
pub(super) static GROUP: &[Definition] = &[
    def("consumer.assignment.interval.ms", Int, Some("1000"), AtLeast(0), Medium, Public, ClusterWide, Later, &["group.consumer.assignment.interval.ms"], ""),
    def("consumer.assignor.offload.enable", Boolean, Some("true"), Any, Medium, Internal, ClusterWide, Later, &["group.consumer.assignor.offload.enable"], ""),
    def("consumer.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), Medium, Public, ClusterWide, Later, &["group.consumer.heartbeat.interval.ms"], ""),
    def("consumer.session.timeout.ms", Int, Some("45000"), AtLeast(1), Medium, Public, ClusterWide, Later, &["group.consumer.session.timeout.ms"], ""),
    def("errors.deadletterqueue.copy.record.enable", Boolean, Some("false"), Any, Medium, Public, ClusterWide, Later, &[], ""),
    def("errors.deadletterqueue.topic.name", String, Some(""), Any, Medium, Public, ClusterWide, Later, &[], ""),
    def("share.assignment.interval.ms", Int, Some("1000"), AtLeast(0), Medium, Public, ClusterWide, Later, &["group.share.assignment.interval.ms"], ""),
    def("share.assignor.offload.enable", Boolean, Some("true"), Any, Medium, Internal, ClusterWide, Later, &["group.share.assignor.offload.enable"], ""),
    def("share.auto.offset.reset", String, Some("latest"), OffsetReset, Medium, Public, ClusterWide, Later, &[], ""),
    def("share.delivery.count.limit", Int, Some("5"), AtLeast(2), Medium, Public, ClusterWide, Later, &["group.share.delivery.count.limit"], ""),
    def("share.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), Medium, Public, ClusterWide, Later, &["group.share.heartbeat.interval.ms"], ""),
    def("share.isolation.level", String, Some("read_uncommitted"), OneOf(&["read_committed", "read_uncommitted"]), Medium, Public, ClusterWide, Later, &[], ""),
    def("share.partition.max.record.locks", Int, Some("2000"), AtLeast(100), Medium, Public, ClusterWide, Later, &["group.share.partition.max.record.locks"], ""),
    def("share.record.lock.duration.ms", Int, Some("30000"), AtLeast(1000), Medium, Public, ClusterWide, Later, &["group.share.record.lock.duration.ms"], ""),
    def("share.renew.acknowledge.enable", Boolean, Some("true"), Any, Medium, Public, ClusterWide, Later, &[], ""),
    def("share.session.timeout.ms", Int, Some("45000"), AtLeast(1), Medium, Public, ClusterWide, Later, &["group.share.session.timeout.ms"], ""),
    def("streams.acceptable.recovery.lag", Long, Some("10000"), AtLeast(0), Medium, Internal, ClusterWide, Later, &["group.streams.acceptable.recovery.lag"], ""),
    def("streams.assignment.interval.ms", Int, Some("1000"), AtLeast(0), Medium, Public, ClusterWide, Later, &["group.streams.assignment.interval.ms"], ""),
    def("streams.assignor.name", String, None, Any, Medium, Public, ClusterWide, Later, &["group.streams.assignors"], ""),
    def("streams.assignor.offload.enable", Boolean, Some("true"), Any, Medium, Internal, ClusterWide, Later, &["group.streams.assignor.offload.enable"], ""),
    def("streams.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), Medium, Public, ClusterWide, Later, &["group.streams.heartbeat.interval.ms"], ""),
    def("streams.initial.rebalance.delay.ms", Int, Some("3000"), AtLeast(0), Medium, Public, ClusterWide, Later, &["group.streams.initial.rebalance.delay.ms"], ""),
    def("streams.num.standby.replicas", Int, Some("0"), AtLeast(0), Medium, Public, ClusterWide, Later, &["group.streams.num.standby.replicas"], ""),
    def("streams.num.warmup.replicas", Int, Some("2"), AtLeast(0), Medium, Internal, ClusterWide, Later, &["group.streams.num.warmup.replicas"], ""),
    def("streams.rack.aware.assignment.tags", List, Some(""), Any, Low, Public, ClusterWide, Later, &["group.streams.rack.aware.assignment.tags"], ""),
    def("streams.session.timeout.ms", Int, Some("45000"), AtLeast(1), Medium, Public, ClusterWide, Later, &["group.streams.session.timeout.ms"], ""),
    def("streams.task.offset.interval.ms", Int, Some("60000"), AtLeast(1), Medium, Internal, ClusterWide, Later, &["group.streams.task.offset.interval.ms"], ""),
];

#[rustfmt::skip]
pub(super) static CLIENT_METRICS: &[Definition] = &[
    def("interval.ms", Int, Some("300000"), Any, Medium, Public, ClusterWide, Later, &[], "How often clients push their metrics."),
    def("match", List, Some(""), Any, Medium, Public, ClusterWide, Later, &[], "Which clients are meant: attribute=pattern, ..."),
    def("metrics", List, Some(""), Any, Medium, Public, ClusterWide, Later, &[], "Prefixes of the metrics that are wanted."),
];
