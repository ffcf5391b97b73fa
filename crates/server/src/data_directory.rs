use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ottla_broker::config::BrokerConfig;
use ottla_storage::disk::{Disk, DiskError};
use ottla_storage::log_dir::LogDir;
use ottla_storage::log_dir::{LogDirOptions, OpenError, RecoveryReport, Verdict};
use ottla_storage::memory_disk::MemoryDisk;

use crate::clock::Clock;
use crate::directory_identity::{self, DirectoryIdentity};
use crate::disk::{FaultyDisk, OsDisk, PowerCutDisk};
use crate::opened_disks::{METADATA_DIR, METADATA_LOCK};
use crate::random::random_bytes;
use crate::start::DataPlace;
use crate::start_error::StartError;

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
    /// Its logs.
    pub log_dir: Arc<LogDir>,
    /// Whose it is.
    pub identity: DirectoryIdentity,
}

/// The disk of a configured directory, which is made when it is missing.
pub fn open_disk(path: &str, place: &DataPlace) -> Result<Arc<dyn Disk>, StartError> {
    if *place == DataPlace::Memory {
        return Ok(Arc::new(MemoryDisk::new()));
    }
    std::fs::create_dir_all(path).map_err(|source| StartError::CreateDirectory {
        path: path.to_owned(),
        source,
    })?;
    let failed = |source| disk_error(path, source);
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::open(Path::new(path)).map_err(failed)?);
    let DataPlace::HarmfulDirectories(test) = place else {
        return Ok(disk);
    };
    let disk = match test.power_cut_seed {
        Some(seed) => Arc::new(PowerCutDisk::open(disk, seed).map_err(failed)?),
        None => disk,
    };
    Ok(match &test.fault {
        Some(fault) if fault.is_in(Path::new(path)) => {
            Arc::new(FaultyDisk::over(disk, fault.clone()))
        }
        Some(_) | None => disk,
    })
}

/// Opens the logs of `disk`, which is where recovery happens.
pub fn open_logs(
    config: &BrokerConfig,
    path: &str,
    disk: &Arc<dyn Disk>,
    clock: Clock,
) -> Result<Arc<LogDir>, StartError> {
    let started = clock.now();
    let mut options = options(config);
    options.cleaner.hash_key = random_bytes()?;
    let opened = LogDir::open(Arc::clone(disk), options, started);
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
    let producer_expiration = config.live_settings().producer_expiration;
    let mut options = LogDirOptions {
        tail_bytes_max: usize::try_from(limits.tails_bytes).unwrap_or(usize::MAX),
        // What slow readers keep of tails that are flushed may be as much again.
        reader_bytes_max: usize::try_from(limits.tails_bytes).unwrap_or(usize::MAX),
        retention_interval: limits.retention_check,
        producer_expiration_ms: i64::try_from(producer_expiration.as_millis()).unwrap_or(i64::MAX),
        scrub_bytes_per_second: limits.scrub_bytes_per_second,
        scrub_interval: limits.scrub_interval,
        cleaner: limits.cleaner,
        known_names: directory_identity::FILES
            .into_iter()
            .chain([METADATA_LOCK, METADATA_DIR])
            .map(str::to_owned)
            .collect(),
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
    options.large_bytes_max = options.large_bytes_max.min(wal.span_max / 4);
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

/// What the disk refused, with the directory that was configured.
pub fn disk_error(path: &str, source: DiskError) -> StartError {
    StartError::Disk {
        path: path.to_owned(),
        source,
    }
}
