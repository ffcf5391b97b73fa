use super::file_node::SyncDamage;
use ottla_storage::disk::DiskOperation;
use std::path::Path;

/// What a file is for, by its name: faults can be aimed at one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileClass {
    /// A file of the write-ahead log's ring.
    Wal,
    /// A checkpoint of the log directory.
    Checkpoint,
    /// Record batches of a partition.
    Segment,
    /// An offset or time index.
    Index,
    /// Checksums of a segment.
    Sidecar,
    /// Producer state of a partition.
    Snapshot,
    /// The log of the metadata quorum.
    RaftLog,
    /// A batch that is too large for the journal.
    Large,
    /// Anything else: identities, locks, `partition.metadata`.
    Other,
}

impl FileClass {
    /// The class of the file at `path`.
    pub fn of(path: &Path) -> FileClass {
        let extension = path.extension().and_then(|extension| extension.to_str());
        if path.starts_with("metadata") {
            return FileClass::RaftLog;
        }
        if path.starts_with("checkpoints") {
            return FileClass::Checkpoint;
        }
        if path.starts_with("large") {
            return FileClass::Large;
        }
        if path.starts_with("wal") {
            return FileClass::Wal;
        }
        match extension {
            Some("log") => FileClass::Segment,
            Some("index" | "timeindex") => FileClass::Index,
            Some("snapshot") => FileClass::Snapshot,
            Some("sums") => FileClass::Sidecar,
            _ => FileClass::Other,
        }
    }
}

/// How often operations go wrong. Everything is off by default; chances are out of 100,000 operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskFaults {
    /// `try_read_at` answers that it would block.
    pub would_block: u64,
    /// A write is cut short and answers that the disk is full.
    pub write_full: u64,
    /// A write is cut short and answers with an I/O error.
    pub write_fails: u64,
    /// A read answers with an I/O error.
    pub read_fails: u64,
    /// A sync fails with an I/O error, and what it should have synced is marked clean.
    pub sync_fails: u64,
    /// A sync fails because the disk is full, and what it should have synced is marked clean.
    pub sync_full: u64,
    /// An operation takes up to `slow_nanos_max` instead of microseconds.
    pub slow: u64,
    /// How long a slow operation takes at most, in nanoseconds of virtual time.
    pub slow_nanos_max: u64,
    /// What a successful sync does to its sectors.
    pub sync_damage: SyncDamage,
    /// Which files `sync_damage`, `read_fails`, `write_fails` and failing syncs strike; all when `None`.
    pub only: Option<FileClass>,
}

impl DiskFaults {
    pub(super) fn strikes(&self, path: &Path) -> bool {
        self.only.is_none_or(|class| class == FileClass::of(path))
    }
}

/// How a run of the machine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashKind {
    /// The process dies: the page cache and every change of names survive.
    ProcessKill,
    /// The power goes: only what was synced is sure to survive.
    PowerLoss,
}

/// How an operation that was asked to fail does so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The disk is full.
    Full,
    /// An I/O error.
    Io,
}

/// One operation that is to fail: the next one of its kind on a file of its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedFailure {
    /// Which operation.
    pub operation: DiskOperation,
    /// On which files; any when `None`.
    pub class: Option<FileClass>,
    /// How.
    pub failure: Failure,
}

/// How often each fault struck, so that tests can say that it did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Crashes inside an operation.
    pub crashes_inside: u64,
    /// Power cuts.
    pub power_losses: u64,
    /// Power cuts that found something unsynced.
    pub torn_power_losses: u64,
    /// Killed processes.
    pub kills: u64,
    /// Failed syncs.
    pub failed_syncs: u64,
    /// Short writes on a full disk.
    pub full_writes: u64,
    /// Other failed writes and reads.
    pub failed_operations: u64,
    /// `try_read_at` that would have blocked.
    pub would_blocks: u64,
    /// Slow operations.
    pub slow_operations: u64,
    /// Lost and misdirected sectors, flipped bits.
    pub damaged: u64,
}

impl FaultCounts {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &FaultCounts) {
        self.crashes_inside += other.crashes_inside;
        self.power_losses += other.power_losses;
        self.torn_power_losses += other.torn_power_losses;
        self.kills += other.kills;
        self.failed_syncs += other.failed_syncs;
        self.full_writes += other.full_writes;
        self.failed_operations += other.failed_operations;
        self.would_blocks += other.would_blocks;
        self.slow_operations += other.slow_operations;
        self.damaged += other.damaged;
    }
}
