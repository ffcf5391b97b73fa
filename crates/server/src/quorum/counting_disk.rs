use crate::disk::{Intercept, InterceptedDisk};
use ottla_storage::disk::{Disk, DiskError, DiskFile};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the syncs that reach the disk below, and fails them when told to.
pub(super) type CountingDisk = InterceptedDisk<Counters>;

/// What a [`CountingDisk`] shares with its test.
#[derive(Default)]
pub(crate) struct Counters {
    /// Syncs of files and directories so far.
    pub(super) syncs: AtomicU64,
    /// Syncs that still succeed; `u64::MAX` for all.
    pub(super) syncs_left: AtomicU64,
}

/// A counting disk over `inner`, and what it counts.
pub(super) fn counting(inner: Arc<dyn Disk>) -> (Arc<dyn Disk>, Arc<Counters>) {
    let counters = Arc::new(Counters {
        syncs: AtomicU64::new(0),
        syncs_left: AtomicU64::new(u64::MAX),
    });
    let disk = CountingDisk::new(inner, Arc::clone(&counters));
    (Arc::new(disk), counters)
}

impl Counters {
    fn sync(&self) -> Result<(), DiskError> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        let left = self.syncs_left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(DiskError::Io {
                operation: ottla_storage::disk::DiskOperation::Sync,
                path: "raft-log-1".into(),
                message: "Input/output error".to_owned(),
            });
        }
        if left != u64::MAX {
            self.syncs_left.store(left - 1, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Intercept for Counters {
    fn sync_file(&self, _path: &Path, file: &Arc<dyn DiskFile>) -> Result<(), DiskError> {
        self.sync()?;
        file.sync_data()
    }

    fn sync_dir(&self, path: &Path, disk: &dyn Disk) -> Result<(), DiskError> {
        self.sync()?;
        disk.sync_dir(path)
    }
}
