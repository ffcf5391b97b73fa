use ottla_storage::disk::{DirEntry, Disk, DiskError, DiskFile, DiskLock, OpenMode, Space};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the syncs that reach the disk below, and fails them when told to.
pub(super) struct CountingDisk {
    inner: Arc<dyn Disk>,
    counters: Arc<Counters>,
}

/// What a [`CountingDisk`] shares with its test.
#[derive(Default)]
pub(super) struct Counters {
    /// Syncs of files and directories so far.
    pub(super) syncs: AtomicU64,
    /// Syncs that still succeed; `u64::MAX` for all.
    pub(super) syncs_left: AtomicU64,
}

impl CountingDisk {
    pub(super) fn over(inner: Arc<dyn Disk>) -> (Arc<dyn Disk>, Arc<Counters>) {
        let counters = Arc::new(Counters {
            syncs: AtomicU64::new(0),
            syncs_left: AtomicU64::new(u64::MAX),
        });
        let disk = CountingDisk {
            inner,
            counters: Arc::clone(&counters),
        };
        (Arc::new(disk), counters)
    }
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

impl Disk for CountingDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.inner.create_dir(path)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        let file = CountingFile {
            inner: self.inner.open(path, mode)?,
            counters: Arc::clone(&self.counters),
        };
        Ok(Arc::new(file))
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        self.inner.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.inner.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.counters.sync()?;
        self.inner.sync_dir(path)
    }

    fn space(&self) -> Result<Space, DiskError> {
        self.inner.space()
    }

    fn lock(&self, path: &Path) -> Result<DiskLock, DiskError> {
        self.inner.lock(path)
    }
}

struct CountingFile {
    inner: Arc<dyn DiskFile>,
    counters: Arc<Counters>,
}

impl DiskFile for CountingFile {
    fn read_at(&self, position: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        self.inner.read_at(position, buf)
    }

    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> Result<Option<usize>, DiskError> {
        self.inner.try_read_at(position, buf)
    }

    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        self.inner.write_at(position, parts)
    }

    fn write_uncached(&self, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        self.inner.write_uncached(position, parts)
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.counters.sync()?;
        self.inner.sync_data()
    }

    fn set_len(&self, size: u64) -> Result<(), DiskError> {
        self.inner.set_len(size)
    }

    fn allocate(&self, position: u64, size: u64) -> Result<(), DiskError> {
        self.inner.allocate(position, size)
    }

    fn size(&self) -> Result<u64, DiskError> {
        self.inner.size()
    }
}
