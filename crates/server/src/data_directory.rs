use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker::config::BrokerConfig;
use ottla_storage::disk::{Disk, DiskError, DiskLock};
use ottla_storage::log_dir::LogDir;
use ottla_storage::log_dir::{LogDirOptions, OpenError, RecoveryReport, Verdict};
use ottla_storage::memory_disk::MemoryDisk;
use ottla_types::DirectoryId;

use crate::clock::Clock;
use crate::directory_identity::DirectoryIdentity;
use crate::disk::{OsDisk, PowerCutDisk};
use crate::random::random_id;
use crate::start::DataPlace;
use crate::start_error::StartError;

/// The lock of a directory that holds only metadata.
const METADATA_LOCK: &str = "metadata.lock";
/// The ring of the journal has at least so many files of the largest size.
const RING_FILES_MIN: u64 = 4;
/// What a frame needs beside the body of its largest entry.
const FRAME_ROOM: usize = 16 << 10;
/// A recovery that took longer is worth more than a debug line.
const SLOW_RECOVERY: Duration = Duration::from_millis(200);

/// One of `log.dirs`, locked, recovered and known by name.
pub struct DataDirectory {
    /// As configured.
    pub path: String,
    /// Its files.
    pub disk: Arc<dyn Disk>,
    /// Its logs.
    pub log_dir: Arc<LogDir>,
    /// Whose it is.
    pub identity: DirectoryIdentity,
}

/// Opens all of `log.dirs`, which is where recovery happens.
pub fn open_all(
    config: &BrokerConfig,
    place: DataPlace,
    clock: Clock,
) -> Result<Vec<DataDirectory>, StartError> {
    let opened = config.log_dirs.iter().map(|path| {
        let disk = open_disk(path, place)?;
        let log_dir = open_logs(config, path, &disk, clock)?;
        Ok((path.clone(), disk, log_dir))
    });
    let opened = opened.collect::<Result<Vec<_>, StartError>>()?;
    identify(config, opened)
}

fn open_disk(path: &str, place: DataPlace) -> Result<Arc<dyn Disk>, StartError> {
    if place == DataPlace::Memory {
        return Ok(Arc::new(MemoryDisk::new()));
    }
    std::fs::create_dir_all(path).map_err(|source| StartError::CreateDirectory {
        path: path.to_owned(),
        source,
    })?;
    let failed = |source| disk_error(path, source);
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(Path::new(path)).map_err(failed)?);
    match place {
        DataPlace::Memory | DataPlace::Directories => Ok(disk),
        DataPlace::PowerCutDirectories { seed } => {
            Ok(Arc::new(PowerCutDisk::open(disk, seed).map_err(failed)?))
        }
    }
}

fn open_logs(
    config: &BrokerConfig,
    path: &str,
    disk: &Arc<dyn Disk>,
    clock: Clock,
) -> Result<Arc<LogDir>, StartError> {
    let started = clock.now();
    let opened = LogDir::open(Arc::clone(disk), options(config), started);
    let (log_dir, report) = opened.map_err(|source| match source {
        OpenError::Locked => StartError::Locked {
            path: path.to_owned(),
        },
        source => StartError::OpenDirectory {
            path: path.to_owned(),
            source,
        },
    })?;
    log_recovery(path, &report, clock.mono().since(started.mono));
    Ok(Arc::new(log_dir))
}

fn options(config: &BrokerConfig) -> LogDirOptions {
    let limits = &config.storage;
    let mut options = LogDirOptions {
        tail_bytes_max: usize::try_from(limits.tails_bytes).unwrap_or(usize::MAX),
        retention_interval: limits.retention_check,
        producer_expiration_ms: i64::try_from(limits.producer_expiration.as_millis())
            .unwrap_or(i64::MAX),
        ..LogDirOptions::default()
    };
    // Of a small ring everything is small: files, what a restart replays, single entries.
    let wal = &mut options.wal;
    let file_size = (limits.wal_bytes / RING_FILES_MIN + 1).next_power_of_two() / 2;
    wal.ring_size_max = limits.wal_bytes;
    wal.file_size_max = file_size.clamp(wal.first_file_size, wal.file_size_max);
    wal.span_max = wal.span_max.min(limits.wal_bytes / 2);
    wal.group_size_max = wal.group_size_max.min(wal.file_size_max / 2);
    let entry_size_max = usize::try_from(wal.file_size_max).unwrap_or(usize::MAX) - FRAME_ROOM;
    wal.entry_size_max = wal.entry_size_max.min(entry_size_max);
    options.around_bytes = options.around_bytes.min(wal.entry_size_max);
    options.checkpoint_bytes = options.checkpoint_bytes.min(wal.span_max / 4);
    options
}

fn log_recovery(path: &str, report: &RecoveryReport, took: Duration) {
    if report.is_new {
        tracing::info!("{path}: a new data directory");
        return;
    }
    let what = match report.verdict {
        Verdict::Clean => "opened",
        Verdict::Recovered => "recovered after a crash, nothing acknowledged is missing",
        Verdict::Lossy => "recovered WITH LOSS",
    };
    let (partitions, bytes) = (report.partitions_count, report.bytes_read);
    let text = format!("{path}: {what}: {partitions} partitions, {bytes} bytes read in {took:.1?}");
    match report.verdict {
        Verdict::Clean if took < SLOW_RECOVERY => tracing::debug!("{text}"),
        Verdict::Clean | Verdict::Recovered => tracing::info!("{text}"),
        Verdict::Lossy => tracing::error!("{text}"),
    }
    if report.was_rebuilt {
        tracing::error!("{path}: no valid checkpoint: every segment was read");
    }
    for (file, part) in &report.damaged_checkpoints {
        let file = file.display();
        tracing::error!("{path}: {file} is damaged ({part}): the one before it is used");
    }
    for (partition, reason) in &report.damaged {
        tracing::error!("{path}: partition {partition} is damaged: {reason}");
    }
}

/// Reads whose directories these are, and writes it into those that are new.
fn identify(
    config: &BrokerConfig,
    opened: Vec<(String, Arc<dyn Disk>, Arc<LogDir>)>,
) -> Result<Vec<DataDirectory>, StartError> {
    let mut found = Vec::new();
    for (path, disk, _) in &opened {
        let identity = DirectoryIdentity::read(&**disk);
        found.push(identity.map_err(|source| StartError::Identity {
            path: path.clone(),
            source,
        })?);
    }
    let known = found
        .iter()
        .flatten()
        .next()
        .map(|identity| identity.cluster_id.clone());
    let cluster_id = match config.cluster_id.clone().or(known) {
        Some(cluster_id) => cluster_id,
        None => random_id()?.to_string(),
    };
    let mut directories = Vec::new();
    for ((path, disk, log_dir), found) in opened.into_iter().zip(found) {
        let identity = match found {
            Some(identity) => check(config, &path, &cluster_id, identity)?,
            None => {
                let identity = DirectoryIdentity {
                    cluster_id: cluster_id.clone(),
                    node_id: config.node_id,
                    directory_id: DirectoryId::new(random_id()?),
                };
                identity
                    .write(&*disk)
                    .map_err(|source| disk_error(&path, source))?;
                identity
            }
        };
        directories.push(DataDirectory {
            path,
            disk,
            log_dir,
            identity,
        });
    }
    Ok(directories)
}

fn check(
    config: &BrokerConfig,
    path: &str,
    cluster_id: &str,
    identity: DirectoryIdentity,
) -> Result<DirectoryIdentity, StartError> {
    if identity.node_id != config.node_id {
        return Err(StartError::ForeignNode {
            path: path.to_owned(),
            found: identity.node_id,
            configured: config.node_id,
        });
    }
    if identity.cluster_id != cluster_id {
        return Err(StartError::ForeignCluster {
            path: path.to_owned(),
            found: identity.cluster_id,
            expected: cluster_id.to_owned(),
        });
    }
    Ok(identity)
}

/// The disk of `metadata.log.dir`. One that is no log directory needs a lock of its own.
pub fn metadata_disk(
    config: &BrokerConfig,
    directories: &[DataDirectory],
) -> Result<(Arc<dyn Disk>, Option<DiskLock>), StartError> {
    let path = &config.metadata_log_dir;
    if let Some(directory) = directories.iter().find(|directory| directory.path == *path) {
        return Ok((Arc::clone(&directory.disk), None));
    }
    let disk = open_disk(path, DataPlace::Directories)?;
    match disk.lock(Path::new(METADATA_LOCK)) {
        Ok(lock) => Ok((disk, Some(lock))),
        Err(DiskError::AlreadyLocked { .. }) => Err(StartError::Locked { path: path.clone() }),
        Err(source) => Err(disk_error(path, source)),
    }
}

fn disk_error(path: &str, source: DiskError) -> StartError {
    StartError::Disk {
        path: path.to_owned(),
        source,
    }
}
