use crate::disk::SimDisk;
use ottla_broker::config::{BrokerConfig, ConfigSources};
use ottla_broker::{Broker, BrokerStart, CoreId, Directory, Wake};
use ottla_metadata::quorum::Voter;
use ottla_metadata::{Bootstrap, Fencing, LocalQuorum, LocalQuorumOptions, QuorumStoreOptions};
use ottla_storage::log_dir::{DirHealth, LogDir, LogDirOptions};
use ottla_storage::marker::Markers;
use ottla_storage::planted::Planted;
use ottla_storage::raft_log::RaftLogOptions;
use ottla_storage::wal::WalOptions;
use ottla_types::{BrokerId, DirectoryId, IncarnationId, Now, Uuid};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Lanes of the broker.
pub(super) const CORES: u16 = 2;

/// One life of the broker with everything it stands on.
pub(super) struct Node {
    pub(super) broker: Arc<Broker>,
    pub(super) log_dir: Arc<LogDir>,
    pub(super) quorum: Arc<LocalQuorum>,
    pub(super) wake: Arc<Flags>,
    pub(super) raft_markers: Arc<Markers>,
}

/// Which cores were woken.
#[derive(Default)]
pub(super) struct Flags {
    woken: [AtomicBool; CORES as usize],
}

impl Wake for Flags {
    fn wake(&self, core: CoreId) {
        self.woken[core.index()].store(true, Ordering::SeqCst);
    }
}

impl Flags {
    /// Whether the core was woken since it was last asked.
    pub(super) fn take(&self, core: CoreId) -> bool {
        self.woken[core.index()].swap(false, Ordering::SeqCst)
    }
}

impl Node {
    /// Recovers the directory and the quorum, and starts a broker on them.
    pub(super) fn start(
        disk: &SimDisk,
        incarnation: u64,
        storage: LogDirOptions,
        raft_markers: Arc<Markers>,
        now: Now,
    ) -> Result<Node, String> {
        let planted = storage.planted;
        let opened = LogDir::open(Arc::new(disk.clone()), storage, now);
        let (log_dir, _report) = opened.map_err(|error| error.to_string())?;
        let log_dir = Arc::new(log_dir);
        let config = BrokerConfig::load(&ConfigSources::default());
        let config = config.expect("the defaults are valid").config;
        let mut random = [0; 16];
        random[..8].copy_from_slice(&incarnation.to_be_bytes());
        let incarnation_id = IncarnationId::new(Uuid::from_random(random));
        let directory_id = DirectoryId::new(Uuid::from_bytes([7; 16]));
        let options = LocalQuorumOptions {
            me: Voter {
                node: config.node_id,
                directory: directory_id,
            },
            snapshot_entries_size: 4 << 10,
            store: QuorumStoreOptions {
                log: RaftLogOptions {
                    file_size: 16 << 10,
                    planted,
                },
                markers: Arc::clone(&raft_markers),
            },
        };
        let first_batch = || {
            let bootstrap = Bootstrap {
                cluster_id: "4L6g3nShT-eMCtK--X86sw".to_owned(),
                features: [("metadata.version".to_owned(), 33)].into(),
                registration: ottla_metadata::RegisterBroker {
                    broker: BrokerId::new(99),
                    cluster_id: None,
                    incarnation: incarnation_id,
                    endpoints: Vec::new(),
                    features: BTreeMap::new(),
                    rack: None,
                    directories: Vec::new(),
                    cordoned: Vec::new(),
                    fencing: Fencing::Fenced,
                },
            };
            let (mut records, _) = bootstrap.records();
            // The broker registers itself, as it does at every later start.
            records.truncate(2);
            records
        };
        let disk = Arc::new(disk.clone());
        let quorum = LocalQuorum::open(disk, Path::new("metadata"), &options, first_batch);
        let quorum = Arc::new(quorum.map_err(|error| error.to_string())?);
        let wake = Arc::new(Flags::default());
        let broker = Broker::new(BrokerStart {
            config,
            incarnation: incarnation_id,
            directories: vec![(
                Directory {
                    id: directory_id,
                    path: "data".to_owned(),
                },
                Arc::clone(&log_dir),
            )],
            failed_directories: Vec::new(),
            quorum: Arc::clone(&quorum) as Arc<_>,
            wake: Arc::clone(&wake) as Arc<_>,
            cores_count: usize::from(CORES),
            seed: incarnation,
        });
        Ok(Node {
            broker,
            log_dir,
            quorum,
            wake,
            raft_markers,
        })
    }

    /// The directory or the quorum failed: the process ends.
    pub(super) fn is_offline(&self) -> bool {
        matches!(self.log_dir.health(), DirHealth::Offline { .. }) || self.quorum.has_failed()
    }
}

/// Small enough that a run turns the ring.
pub(super) fn log_dir_options(planted: Planted) -> LogDirOptions {
    LogDirOptions {
        wal: WalOptions {
            planted,
            ..WalOptions::tiny()
        },
        tail_bytes_max: 48 << 10,
        tail_idle: Duration::from_secs(3),
        write_bytes_max: 16 << 10,
        rewrite_bytes_max: 4 << 10,
        large_bytes_max: 48 << 10,
        reserve_bytes: 64 << 10,
        reserve_percent: 0,
        space_interval: Duration::from_millis(200),
        snapshot_producers: 3,
        retention_interval: Duration::from_secs(1),
        open_files_max: 4,
        around_bytes: 24 << 10,
        scrub_bytes_per_second: 1 << 20,
        planted,
        ..LogDirOptions::default()
    }
}
