use super::definition::split_list;
use super::listener::Listeners;
use super::live_settings::{CordonedLogDirs, LiveSettings, address_overrides};
use super::static_config::{ConfigFault, ConfigNote, ConfigSources, Findings, StaticConfig};
use super::topic_config::{BrokerLayers, ConfigMap};
use ottla_records::Codec;
use ottla_storage::CleanerOptions;
use ottla_types::BrokerId;
use std::time::Duration;

/// What a broker needs to know about itself, read once at its start.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// This node's number.
    pub node_id: BrokerId,
    /// The id of the cluster to found, if there is no data yet.
    pub cluster_id: Option<String>,
    /// The rack of this node.
    pub rack: Option<String>,
    /// Where clients connect and what they are told.
    pub listeners: Listeners,
    /// Directories of the data; at least one.
    pub log_dirs: Vec<String>,
    /// Directory of the metadata log.
    pub metadata_log_dir: String,
    /// What topics are made like.
    pub topics: TopicCreation,
    /// What requests may ask for.
    pub requests: RequestLimits,
    /// What connections may do.
    pub connections: ConnectionLimits,
    /// The HTTP endpoints' address; `None`: no endpoints.
    pub http: Option<(String, u16)>,
    /// Groups and their offsets.
    pub groups: GroupSettings,
    /// Memory and disk the storage may use.
    pub storage: StorageLimits,
    /// Worker threads; 0: one per core.
    pub worker_threads: usize,
    /// How finely metrics are labelled.
    pub metrics_level: String,
    /// What was set, for DescribeConfigs and as defaults of topics.
    pub started_with: StaticConfig,
}

/// How topics come to be and go.
#[derive(Clone, Debug)]
pub struct TopicCreation {
    /// Whether a metadata request for a missing topic creates it.
    pub auto_create: bool,
    /// Whether topics can be deleted.
    pub delete_enable: bool,
    /// Partitions of a topic created without a count.
    pub partitions_count: i32,
    /// Replicas of a topic created without a factor.
    pub replication_factor: i16,
}

/// Groups and their offsets.
#[derive(Clone, Debug)]
pub struct GroupSettings {
    /// How long an empty group waits for more members.
    pub initial_rebalance_delay: Duration,
    /// Shortest session timeout (inclusive).
    pub session_timeout_min: Duration,
    /// Longest session timeout (inclusive).
    pub session_timeout_max: Duration,
    /// Most members of one group.
    pub members_count_max: usize,
    /// Longest metadata of an offset.
    pub offset_metadata_max: usize,
    /// How long offsets outlive their group.
    pub offsets_retention: Duration,
    /// How often expired offsets are looked for.
    pub offsets_retention_check: Duration,
    /// How long a commit may wait until it is safe.
    pub offsets_commit_timeout: Duration,
    /// Compression of what groups write.
    pub offsets_codec: Codec,
    /// Partitions of the offsets topic when it is made.
    pub offsets_partitions: i32,
    /// Replicas of the offsets topic when it is made.
    pub offsets_replication_factor: i16,
    /// Segment size of the offsets topic when it is made.
    pub offsets_segment_bytes: i64,
}

/// What requests may ask for.
#[derive(Clone, Debug)]
pub struct RequestLimits {
    /// Largest fetch answer in bytes.
    pub fetch_bytes_max: usize,
    /// Fetch sessions that are kept.
    pub fetch_sessions_max: usize,
    /// Most partitions one DescribeTopicPartitions answer carries.
    pub described_partitions_max: usize,
    /// Largest request in bytes.
    pub request_bytes_max: usize,
}

/// What connections may do; how many there may be is in [`LiveSettings`].
#[derive(Clone, Debug)]
pub struct ConnectionLimits {
    /// Idle time after which a connection is closed.
    pub idle_max: Duration,
    /// Bytes of requests in memory at once.
    pub request_memory_bytes: u64,
}

/// Memory and disk the storage may use, and how often it cleans up.
#[derive(Clone, Debug)]
pub struct StorageLimits {
    /// Appended bytes in memory that are not in segments yet.
    pub tails_bytes: u64,
    /// Disk space of the write-ahead log.
    pub wal_bytes: u64,
    /// Bytes per second that are read to find what has rotted; 0 looks at names and sizes only.
    pub scrub_bytes_per_second: u64,
    /// How long that rests when everything was read.
    pub scrub_interval: Duration,
    /// How often retention is checked.
    pub retention_check: Duration,
    /// How logs are compacted, as long as nothing else is set while the broker runs.
    pub cleaner: CleanerOptions,
}

/// A configuration a broker can start with, and what a person should know about it.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// The configuration.
    pub config: BrokerConfig,
    /// Warnings and remarks.
    pub notes: Vec<ConfigNote>,
}

impl BrokerConfig {
    /// Reads and checks everything; reports all faults together.
    pub fn load(sources: &ConfigSources) -> Result<LoadedConfig, Vec<ConfigFault>> {
        let mut findings = Findings::default();
        let mut values = StaticConfig::read(sources, &mut findings);
        values.name_node_twice();
        let config = BrokerConfig::build(values, &mut findings);
        if findings.faults.is_empty() {
            let notes = findings.notes;
            Ok(LoadedConfig { config, notes })
        } else {
            Err(findings.faults)
        }
    }

    /// The live settings of a broker that nobody has told anything since it was started.
    pub fn live_settings(&self) -> LiveSettings {
        let nothing = ConfigMap::new();
        LiveSettings::resolve(BrokerLayers {
            this_broker: &nothing,
            all_brokers: &nothing,
            started_with: &self.started_with,
        })
    }

    fn build(values: StaticConfig, findings: &mut Findings) -> BrokerConfig {
        let node_id = read_node_id(&values, findings);
        check_quorum(&values, node_id, findings);
        check_times(&values, findings);
        check_overrides(&values, findings);
        let listeners = Listeners::read(&values, findings);
        let log_dirs = values
            .text("log.dirs")
            .or(values.text("log.dir"))
            .unwrap_or("");
        let log_dirs: Vec<String> = split_list(log_dirs)
            .into_iter()
            .map(str::to_owned)
            .collect();
        let cordoned = CordonedLogDirs::read(values.text("cordoned.log.dirs").unwrap_or(""));
        if let Some(unknown) = cordoned.unknown(&log_dirs) {
            findings.fault(unknown);
        }
        let metadata_log_dir = values.text("metadata.log.dir").map(str::to_owned);
        let metadata_log_dir = metadata_log_dir.or_else(|| log_dirs.first().cloned());
        let some = |name: &str| {
            values
                .text(name)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let size = |name: &str| usize::try_from(values.number(name)).unwrap_or(0);
        let bytes = |name: &str| u64::try_from(values.number(name)).unwrap_or(0);
        let millis = |name: &str| Duration::from_millis(bytes(name));
        let http_port = u16::try_from(values.number("ottla.http.port")).ok();
        BrokerConfig {
            node_id,
            cluster_id: some("cluster.id"),
            rack: some("broker.rack"),
            listeners,
            metadata_log_dir: metadata_log_dir.unwrap_or_default(),
            log_dirs,
            topics: TopicCreation {
                auto_create: values.is_true("auto.create.topics.enable"),
                delete_enable: values.is_true("delete.topic.enable"),
                partitions_count: values.number("num.partitions") as i32,
                replication_factor: values.number("default.replication.factor") as i16,
            },
            requests: RequestLimits {
                fetch_bytes_max: size("fetch.max.bytes"),
                fetch_sessions_max: size("max.incremental.fetch.session.cache.slots"),
                described_partitions_max: size("max.request.partition.size.limit"),
                request_bytes_max: size("socket.request.max.bytes"),
            },
            connections: ConnectionLimits {
                idle_max: read_idle_max(&values),
                request_memory_bytes: bytes("ottla.memory.requests.bytes"),
            },
            http: http_port.map(|port| (some("ottla.http.host").unwrap_or_default(), port)),
            groups: GroupSettings {
                initial_rebalance_delay: millis("group.initial.rebalance.delay.ms"),
                session_timeout_min: millis("group.min.session.timeout.ms"),
                session_timeout_max: millis("group.max.session.timeout.ms"),
                members_count_max: size("group.max.size"),
                offset_metadata_max: size("offset.metadata.max.bytes"),
                offsets_retention: millis("offsets.retention.minutes") * 60_000,
                offsets_retention_check: millis("offsets.retention.check.interval.ms"),
                offsets_commit_timeout: millis("offsets.commit.timeout.ms"),
                offsets_codec: read_offsets_codec(&values, findings),
                offsets_partitions: values.number("offsets.topic.num.partitions") as i32,
                offsets_replication_factor: values.number("offsets.topic.replication.factor")
                    as i16,
                offsets_segment_bytes: values.number("offsets.topic.segment.bytes"),
            },
            storage: StorageLimits {
                tails_bytes: bytes("ottla.memory.tails.bytes"),
                wal_bytes: bytes("ottla.wal.bytes"),
                scrub_bytes_per_second: bytes("ottla.scrub.bytes.per.second"),
                scrub_interval: millis("ottla.scrub.interval.ms"),
                retention_check: millis("log.retention.check.interval.ms"),
                cleaner: BrokerLayers {
                    this_broker: &ConfigMap::new(),
                    all_brokers: &ConfigMap::new(),
                    started_with: &values,
                }
                .cleaner_options(),
            },
            worker_threads: size("ottla.worker.threads"),
            metrics_level: some("ottla.metrics.level").unwrap_or_default(),
            started_with: values,
        }
    }
}

fn read_node_id(values: &StaticConfig, findings: &mut Findings) -> BrokerId {
    let set = |name: &str| {
        values
            .values()
            .get(name)
            .and_then(|text| text.parse::<i32>().ok())
    };
    let (node, broker) = (set("node.id"), set("broker.id").filter(|id| 0 <= *id));
    if let (Some(node), Some(broker)) = (node, broker)
        && node != broker
    {
        findings.fault(format!(
            "You must set `node.id` to the same value as `broker.id`: they are {node} and {broker}"
        ));
    }
    BrokerId::new(node.or(broker).unwrap_or(1).max(0))
}

/// A single node is its own quorum: voters that are other nodes would never be asked.
fn check_quorum(values: &StaticConfig, node_id: BrokerId, findings: &mut Findings) {
    let roles = split_list(values.text("process.roles").unwrap_or(""));
    if !roles.is_empty() && (!roles.contains(&"broker") || !roles.contains(&"controller")) {
        findings.fault(format!(
            "process.roles={}: a node is broker and controller at once until clusters of several nodes come with a later release; write process.roles=broker,controller",
            roles.join(",")
        ));
    }
    let own = format!("{node_id}@");
    let voters = split_list(values.text("controller.quorum.voters").unwrap_or(""));
    let others: Vec<&str> = voters
        .iter()
        .copied()
        .filter(|voter| !voter.starts_with(&own))
        .collect();
    if !others.is_empty() {
        findings.fault(format!(
            "controller.quorum.voters names other nodes ({}): clusters of several nodes come with a later release",
            others.join(", ")
        ));
    }
}

fn check_times(values: &StaticConfig, findings: &mut Findings) {
    for name in [
        "log.retention.ms",
        "log.retention.minutes",
        "log.retention.hours",
    ] {
        let value = values
            .values()
            .get(name)
            .and_then(|text| text.parse::<i64>().ok());
        if let Some(value) = value
            && (value == 0 || value < -1)
        {
            findings.fault(format!(
                "{name}={value}: must be -1 (no limit) or at least 1"
            ));
        }
    }
}

fn read_offsets_codec(values: &StaticConfig, findings: &mut Findings) -> Codec {
    const NAME: &str = "offsets.topic.compression.codec";
    let number = values.number(NAME);
    let codec = u8::try_from(number).ok().and_then(Codec::from_wire);
    codec.unwrap_or_else(|| {
        findings.fault(format!(
            "{NAME}={number}: Unknown compression type id: {number}"
        ));
        Codec::None
    })
}

fn read_idle_max(values: &StaticConfig) -> Duration {
    match u64::try_from(values.number("connections.max.idle.ms")) {
        Ok(millis) => Duration::from_millis(millis),
        Err(_) => Duration::MAX, // A negative time: never.
    }
}

fn check_overrides(values: &StaticConfig, findings: &mut Findings) {
    const NAME: &str = "max.connections.per.ip.overrides";
    if let Err(item) = address_overrides(values.text(NAME).unwrap_or("")) {
        findings.fault(format!("{NAME}: expected host:count, not '{item}'"));
    }
}

impl Default for BrokerConfig {
    /// What a broker is that nobody configured.
    fn default() -> BrokerConfig {
        let loaded = BrokerConfig::load(&ConfigSources::default());
        loaded.expect("the defaults are valid").config
    }
}
