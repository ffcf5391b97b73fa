use super::drives::{DRIVES_MAX, Drives, directory_id, directory_path};
use super::mover::MoverRests;
use super::site::SitePlan;
use ottla_broker::config::{BrokerConfig, ConfigSources};
use ottla_broker::{Broker, BrokerStart, CoreId, Directory, FailedDirectory, Wake};
use ottla_metadata::quorum::Voter;
use ottla_metadata::{Bootstrap, Fencing, LocalQuorum, LocalQuorumOptions, QuorumStoreOptions};
use ottla_storage::log_dir::{DirHealth, Ends, LogDir, LogDirOptions};
use ottla_storage::marker::Markers;
use ottla_storage::planted::Planted;
use ottla_storage::raft_log::RaftLogOptions;
use ottla_storage::wal::WalOptions;
use ottla_types::{BrokerId, IncarnationId, Now, PartitionSlot, TopicPartition, Uuid};
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
    /// Those that are open.
    pub(super) directories: Vec<OpenDirectory>,
    pub(super) quorum: Arc<LocalQuorum>,
    pub(super) wake: Arc<Flags>,
    pub(super) raft_markers: Arc<Markers>,
    pub(super) mover_rests: MoverRests,
}

/// A log directory that is open.
pub(super) struct OpenDirectory {
    /// Which drive it is on.
    pub(super) drive: usize,
    pub(super) log_dir: Arc<LogDir>,
    /// The broker was told that it failed.
    is_given_up: AtomicBool,
}

impl OpenDirectory {
    pub(super) fn is_offline(&self) -> bool {
        matches!(self.log_dir.health(), DirHealth::Offline { .. })
    }
}

/// Which cores were woken.
#[derive(Default)]
pub(super) struct Flags {
    woken: [AtomicBool; CORES as usize],
    mover_woken: AtomicBool,
}

impl Wake for Flags {
    fn wake(&self, core: CoreId) {
        self.woken[core.index()].store(true, Ordering::SeqCst);
    }

    fn wake_mover(&self) {
        self.mover_woken.store(true, Ordering::SeqCst);
    }
}

impl Flags {
    /// Whether the core was woken since it was last asked.
    pub(super) fn take(&self, core: CoreId) -> bool {
        self.woken[core.index()].swap(false, Ordering::SeqCst)
    }

    /// Likewise, the thread that moves logs.
    pub(super) fn take_mover(&self) -> bool {
        self.mover_woken.swap(false, Ordering::SeqCst)
    }
}

impl Node {
    /// Recovers the directories and the quorum, and starts a broker on them. As with the server, a directory that cannot be
    /// opened leaves the others serving, unless the metadata is there, too.
    pub(super) fn start(
        drives: &Drives,
        incarnation: u64,
        plan: &SitePlan,
        raft_markers: Arc<Markers>,
        now: Now,
    ) -> Result<Node, String> {
        let planted = plan.storage.planted;
        let (mut directories, mut failed) = (Vec::new(), Vec::new());
        for named in drives.named() {
            match LogDir::open(Arc::new(named.disk), plan.storage.clone(), now) {
                Ok((log_dir, _report)) => directories.push(OpenDirectory {
                    drive: named.number,
                    log_dir: Arc::new(log_dir),
                    is_given_up: AtomicBool::new(false),
                }),
                Err(error) if named.is_home => return Err(error.to_string()),
                Err(error) => failed.push(FailedDirectory {
                    path: directory_path(named.number),
                    reason: error.to_string(),
                }),
            }
        }
        if directories.is_empty() {
            return Err(failed.swap_remove(0).reason);
        }
        let config = BrokerConfig::load(&ConfigSources {
            settings: settings(plan),
            ..ConfigSources::default()
        });
        let config = config.expect("the settings are valid").config;
        let mut random = [0; 16];
        random[..8].copy_from_slice(&incarnation.to_be_bytes());
        let incarnation_id = IncarnationId::new(Uuid::from_random(random));
        let options = LocalQuorumOptions {
            me: Voter {
                node: config.node_id,
                directory: directory_id(0),
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
        let disk = Arc::new(drives.home().clone());
        let quorum = LocalQuorum::open(disk, Path::new("metadata"), &options, first_batch);
        let quorum = Arc::new(quorum.map_err(|error| error.to_string())?);
        let wake = Arc::new(Flags::default());
        let broker = Broker::new(BrokerStart {
            config,
            incarnation: incarnation_id,
            directories: directories.iter().map(described).collect(),
            failed_directories: failed,
            quorum: Arc::clone(&quorum) as Arc<_>,
            wake: Arc::clone(&wake) as Arc<_>,
            cores_count: usize::from(CORES),
            seed: incarnation,
        });
        Ok(Node {
            broker,
            directories,
            quorum,
            wake,
            raft_markers,
            mover_rests: MoverRests::No,
        })
    }

    /// Every directory or the quorum failed: the process ends.
    pub(super) fn is_offline(&self) -> bool {
        self.directories.iter().all(OpenDirectory::is_offline) || self.quorum.has_failed()
    }

    /// Whether a directory is missing, or failed.
    pub(super) fn misses_some(&self) -> bool {
        !self.broker.failed_directories().is_empty()
            || self.directories.iter().any(OpenDirectory::is_offline)
    }

    /// Tells the broker of directories that failed since the last time.
    pub(super) fn watch(&self, now: Now) {
        if self.directories.len() == 1 {
            return; // then all is over
        }
        for directory in &self.directories {
            if directory.is_offline() && !directory.is_given_up.swap(true, Ordering::SeqCst) {
                self.broker.on_directory_failure(now);
            }
        }
    }

    /// The log of a partition, in the directory that the metadata names.
    pub(super) fn log_of(&self, id: TopicPartition) -> Option<(&OpenDirectory, PartitionSlot)> {
        let directory = self.directory_of(id)?;
        Some((directory, directory.log_dir.slot(id)?))
    }

    /// The drive that the metadata says a partition's log is on.
    pub(super) fn drive_of(&self, id: TopicPartition) -> Option<usize> {
        let image = self.broker.image();
        let assigned = image.partition(id)?;
        let assigned = assigned.directory_of(self.broker.config().node_id)?;
        (0..DRIVES_MAX).find(|number| directory_id(*number) == assigned)
    }

    /// The directory that the metadata says a partition's log is in, if that is open.
    pub(super) fn directory_of(&self, id: TopicPartition) -> Option<&OpenDirectory> {
        let drive = self.drive_of(id)?;
        let mut directories = self.directories.iter();
        directories.find(|directory| directory.drive == drive)
    }

    /// Where a partition's log begins and ends, if its directory is there.
    pub(super) fn ends(&self, id: TopicPartition) -> Option<Ends> {
        let (directory, slot) = self.log_of(id)?;
        directory.log_dir.ends(slot)
    }
}

fn settings(plan: &SitePlan) -> Vec<String> {
    let mut settings = Vec::new();
    if plan.compacts_offsets {
        settings.push("log.cleaner.backoff.ms=50".to_owned());
    }
    settings
}

fn described(directory: &OpenDirectory) -> (Directory, Arc<LogDir>) {
    let described = Directory {
        id: directory_id(directory.drive),
        path: directory_path(directory.drive),
    };
    (described, Arc::clone(&directory.log_dir))
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
