use ottla_storage::disk::{
    DirEntry, Disk, DiskError, DiskFile, DiskLock, DiskOperation, OpenMode, Space,
};
use ottla_storage::memory_disk::MemoryDisk;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A disk in memory whose device can be made to fail.
pub struct FailingDisk {
    pub disk: MemoryDisk,
    /// Once set, no write and no sync succeeds any more.
    pub is_broken: Arc<AtomicBool>,
}

struct FailingFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    is_broken: Arc<AtomicBool>,
}

impl Disk for FailingDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.disk.create_dir(path)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        let file = self.disk.open(path, mode)?;
        Ok(Arc::new(FailingFile {
            file,
            path: path.to_owned(),
            is_broken: Arc::clone(&self.is_broken),
        }))
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        self.disk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.disk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.disk.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.disk.sync_dir(path)
    }

    fn space(&self) -> Result<Space, DiskError> {
        self.disk.space()
    }

    fn lock(&self, path: &Path) -> Result<DiskLock, DiskError> {
        self.disk.lock(path)
    }
}

impl FailingFile {
    fn check(&self, operation: DiskOperation) -> Result<(), DiskError> {
        if !self.is_broken.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(DiskError::Io {
            operation,
            path: self.path.clone(),
            message: "the device is gone".to_owned(),
        })
    }
}

impl DiskFile for FailingFile {
    fn read_at(&self, position: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        self.file.read_at(position, buf)
    }

    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> Result<Option<usize>, DiskError> {
        self.file.try_read_at(position, buf)
    }

    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        self.check(DiskOperation::Write)?;
        self.file.write_at(position, parts)
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.check(DiskOperation::Sync)?;
        self.file.sync_data()
    }

    fn set_len(&self, size: u64) -> Result<(), DiskError> {
        self.check(DiskOperation::SetLen)?;
        self.file.set_len(size)
    }

    fn allocate(&self, position: u64, size: u64) -> Result<(), DiskError> {
        self.file.allocate(position, size)
    }

    fn size(&self) -> Result<u64, DiskError> {
        self.file.size()
    }
}
