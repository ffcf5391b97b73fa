//! Our own configs. A topic config that Kafka does not know starts with `ottla.` too.

use super::definition::Dynamic::{ClusterWide, ReadOnly};
use super::definition::Importance::{High, Low, Medium};
use super::definition::Kind::{Int, Long, String};
use super::definition::Support::Applied;
use super::definition::Valid::{Any, AtLeast, Between, OneOf};
use super::definition::Visibility::Public;
use super::definition::{Definition, def};

/// The two promises a topic can make.
pub(super) const DURABILITIES: &[&str] = &["fsync", "os"];

#[rustfmt::skip]
pub(super) static OTTLA_BROKER: &[Definition] = &[
    def("cluster.id", String, None, Any, Medium, Public, ReadOnly, Applied, &[], "Id of the cluster this node founds; a random one by default. A node that has data keeps the id it has."),
    def("ottla.durability", String, Some("fsync"), OneOf(DURABILITIES), High, Public, ClusterWide, Applied, &[], "fsync: an acknowledged record is on disk. os: it is in the page cache, as in Kafka."),
    def("ottla.http.host", String, Some("127.0.0.1"), Any, Medium, Public, ReadOnly, Applied, &[], "Address of the HTTP endpoints for health and metrics. They also tell clients' addresses, ids and groups, without authentication."),
    def("ottla.http.port", Int, Some("8080"), Between(-1, 65535), Medium, Public, ReadOnly, Applied, &[], "Port of the HTTP endpoints for health and metrics; 0 picks a free one, -1 opens none. They also tell clients' addresses, ids and groups, without authentication."),
    def("ottla.memory.requests.bytes", Long, Some("268435456"), AtLeast(1048576), Low, Public, ReadOnly, Applied, &[], "Bytes of requests held in memory at once; above it reading slows down."),
    def("ottla.memory.tails.bytes", Long, Some("134217728"), AtLeast(1048576), Low, Public, ReadOnly, Applied, &[], "Memory of appended records before they are written to segments; slow readers may hold as much again."),
    def("ottla.metrics.level", String, Some("topic"), OneOf(&["topic", "partition", "client"]), Low, Public, ReadOnly, Applied, &[], "How finely metrics are labelled."),
    def("ottla.scrub.bytes.per.second", Long, Some("4194304"), AtLeast(0), Low, Public, ReadOnly, Applied, &[], "Bytes of segments read per second to find what has rotted on disk; 0 compares names and sizes only."),
    def("ottla.scrub.interval.ms", Long, Some("3600000"), AtLeast(0), Low, Public, ReadOnly, Applied, &[], "How long that reading rests after it has gone over everything."),
    def("ottla.wal.bytes", Long, Some("1073741824"), AtLeast(16777216), Low, Public, ReadOnly, Applied, &[], "Disk space of the write-ahead log, at most."),
    def("ottla.worker.threads", Int, Some("0"), AtLeast(0), Low, Public, ReadOnly, Applied, &[], "Threads that serve connections; 0 is one per core."),
];

#[rustfmt::skip]
pub(super) static OTTLA_TOPIC: &[Definition] = &[
    def("ottla.durability", String, Some("fsync"), OneOf(DURABILITIES), High, Public, ClusterWide, Applied, &["ottla.durability"], "fsync: an acknowledged record is on disk. os: it is in the page cache, as in Kafka."),
];
