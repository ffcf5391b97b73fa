//! Metrics under the names that dashboards and alerts for Kafka know: those that Prometheus's JMX
//! exporter makes of a broker's beans with the rules in common use, and kafka_exporter's for offsets
//! and groups.
//!
//! A metric is here only if it means the same in both. What Kafka counts in another way has no name
//! here: an empty graph tells more than a wrong one.

use crate::metrics::{Alias, AliasKind};

const TOPIC: &[(&str, &str)] = &[("topic", "topic")];
const PARTITION: &[(&str, &str)] = &[("topic", "topic"), ("partition", "partition")];
const GROUP_TOPIC: &[(&str, &str)] = &[("group", "consumergroup"), ("topic", "topic")];
const GROUP_PARTITION: &[(&str, &str)] = &[
    ("group", "consumergroup"),
    ("topic", "topic"),
    ("partition", "partition"),
];

/// All of them. A name is here once.
pub static JMX_NAMES: [Alias; 26] = [
    counter(
        "kafka_server_brokertopicmetrics_bytesin_total",
        "topic_bytes_in_total",
        TOPIC,
    ),
    counter(
        "kafka_server_brokertopicmetrics_bytesout_total",
        "topic_bytes_out_total",
        TOPIC,
    ),
    counter(
        "kafka_server_brokertopicmetrics_messagesin_total",
        "topic_records_in_total",
        TOPIC,
    ),
    partitions("kafka_server_replicamanager_partitioncount", "replica"),
    partitions("kafka_server_replicamanager_leadercount", "led"),
    partitions(
        "kafka_server_replicamanager_underreplicatedpartitions",
        "under_replicated",
    ),
    partitions(
        "kafka_server_replicamanager_underminisrpartitioncount",
        "under_min_isr",
    ),
    partitions(
        "kafka_server_replicamanager_atminisrpartitioncount",
        "at_min_isr",
    ),
    partitions("kafka_server_replicamanager_offlinereplicacount", "offline"),
    // Partitions have one replica: where it is offline, so is the partition.
    partitions(
        "kafka_controller_kafkacontroller_offlinepartitionscount",
        "offline",
    ),
    gauge(
        "kafka_controller_kafkacontroller_activecontrollercount",
        "metadata_is_leader",
        &[],
    ),
    gauge(
        "kafka_server_raftmetrics_current_leader",
        "metadata_leader",
        &[],
    ),
    gauge(
        "kafka_server_raftmetrics_current_epoch",
        "metadata_epoch",
        &[],
    ),
    gauge(
        "kafka_server_brokermetadatametrics_last_applied_record_offset",
        "metadata_applied_offset",
        &[],
    ),
    counter(
        "kafka_network_requestmetrics_requests_total",
        "requests_total",
        &[("api", "request"), ("version", "version")],
    ),
    Alias {
        name: "kafka_network_requestmetrics_totaltimems",
        kind: AliasKind::Milliseconds,
        native: "request_duration_seconds",
        only: None,
        labels: &[("api", "request")],
    },
    gauge(
        "kafka_server_socket_server_metrics_connection_count",
        "connections",
        &[("listener", "listener")],
    ),
    gauge("kafka_log_log_size", "partition_size_bytes", PARTITION),
    gauge(
        "kafka_log_log_logstartoffset",
        "partition_log_start_offset",
        PARTITION,
    ),
    Alias {
        name: "kafka_log_logmanager_offlinelogdirectorycount",
        kind: AliasKind::Gauge,
        native: "disk_state",
        only: Some(("state", "offline")),
        labels: &[],
    },
    gauge(
        "kafka_topic_partition_current_offset",
        "partition_high_watermark",
        PARTITION,
    ),
    gauge(
        "kafka_topic_partition_oldest_offset",
        "partition_log_start_offset",
        PARTITION,
    ),
    gauge(
        "kafka_consumergroup_current_offset",
        "group_committed_offset",
        GROUP_PARTITION,
    ),
    gauge(
        "kafka_consumergroup_lag",
        "group_lag_records",
        GROUP_PARTITION,
    ),
    gauge(
        "kafka_consumergroup_lag_sum",
        "group_lag_records",
        GROUP_TOPIC,
    ),
    gauge(
        "kafka_consumergroup_members",
        "group_members",
        &[("group", "consumergroup")],
    ),
];

const fn counter(
    name: &'static str,
    native: &'static str,
    labels: &'static [(&'static str, &'static str)],
) -> Alias {
    Alias {
        name,
        kind: AliasKind::Counter,
        native,
        only: None,
        labels,
    }
}

const fn gauge(
    name: &'static str,
    native: &'static str,
    labels: &'static [(&'static str, &'static str)],
) -> Alias {
    Alias {
        name,
        kind: AliasKind::Gauge,
        native,
        only: None,
        labels,
    }
}

/// How many partitions of this node are in `state`.
const fn partitions(name: &'static str, state: &'static str) -> Alias {
    Alias {
        name,
        kind: AliasKind::Gauge,
        native: "partitions",
        only: Some(("state", state)),
        labels: &[],
    }
}
