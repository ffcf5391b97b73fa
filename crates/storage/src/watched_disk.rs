//! A disk that is watched: who watches is asked before every operation, and may do something meanwhile or refuse. For
//! tests.

use crate::disk::{DirEntry, Disk, DiskError, DiskFile, DiskLock, DiskOperation, OpenMode, Space};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Asked before an operation on this path; for a new name before it is given. An error is the operation's.
type Watch = dyn Fn(DiskOperation, &Path) -> Result<(), DiskError> + Send + Sync;

/// A disk behind which another one is, and before which somebody watches.
pub struct WatchedDisk {
    disk: Arc<dyn Disk>,
    watch: Arc<Watch>,
}

struct WatchedFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    watch: Arc<Watch>,
}

impl WatchedDisk {
    /// `disk`, watched by `watch`.
    pub fn new(
        disk: Arc<dyn Disk>,
        watch: impl Fn(DiskOperation, &Path) -> Result<(), DiskError> + Send + Sync + 'static,
    ) -> WatchedDisk {
        WatchedDisk {
            disk,
            watch: Arc::new(watch),
        }
    }
}

impl Disk for WatchedDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        (self.watch)(DiskOperation::CreateDir, path)?;
        self.disk.create_dir(path)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        (self.watch)(DiskOperation::Open, path)?;
        Ok(Arc::new(WatchedFile {
            file: self.disk.open(path, mode)?,
            path: path.to_owned(),
            watch: Arc::clone(&self.watch),
        }))
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        (self.watch)(DiskOperation::List, dir)?;
        self.disk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        (self.watch)(DiskOperation::Rename, to)?;
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        (self.watch)(DiskOperation::Remove, path)?;
        self.disk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        (self.watch)(DiskOperation::Remove, path)?;
        self.disk.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        (self.watch)(DiskOperation::SyncDir, path)?;
        self.disk.sync_dir(path)
    }

    fn space(&self) -> Result<Space, DiskError> {
        (self.watch)(DiskOperation::Space, Path::new(""))?;
        self.disk.space()
    }

    fn lock(&self, path: &Path) -> Result<DiskLock, DiskError> {
        (self.watch)(DiskOperation::Lock, path)?;
        self.disk.lock(path)
    }
}

impl WatchedFile {
    fn ask(&self, operation: DiskOperation) -> Result<&dyn DiskFile, DiskError> {
        (self.watch)(operation, &self.path)?;
        Ok(&*self.file)
    }
}

impl DiskFile for WatchedFile {
    fn read_at(&self, position: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        self.ask(DiskOperation::Read)?.read_at(position, buf)
    }

    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> Result<Option<usize>, DiskError> {
        self.ask(DiskOperation::Read)?.try_read_at(position, buf)
    }

    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        self.ask(DiskOperation::Write)?.write_at(position, parts)
    }

    fn write_uncached(&self, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        self.ask(DiskOperation::Write)?
            .write_uncached(position, parts)
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.ask(DiskOperation::Sync)?.sync_data()
    }

    fn set_len(&self, size: u64) -> Result<(), DiskError> {
        self.ask(DiskOperation::SetLen)?.set_len(size)
    }

    fn allocate(&self, position: u64, size: u64) -> Result<(), DiskError> {
        self.ask(DiskOperation::Allocate)?.allocate(position, size)
    }

    fn size(&self) -> Result<u64, DiskError> {
        self.ask(DiskOperation::Size)?.size()
    }
}
