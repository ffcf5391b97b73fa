use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_storage::disk::{DirEntry, Disk, DiskError, DiskFile, DiskLock, OpenMode, Space};

/// What stands before the writes and syncs of a disk. Everything else passes it by.
pub trait Intercept: Send + Sync + 'static {
    /// Before a write to the file at `path`; an error is the write's.
    fn before_write(&self, _path: &Path) -> Result<(), DiskError> {
        Ok(())
    }

    /// Instead of a sync of `file`, which is at `path`.
    fn sync_file(&self, _path: &Path, file: &Arc<dyn DiskFile>) -> Result<(), DiskError> {
        file.sync_data()
    }

    /// Instead of a sync of the directory at `path`.
    fn sync_dir(&self, path: &Path, disk: &dyn Disk) -> Result<(), DiskError> {
        disk.sync_dir(path)
    }
}

/// A disk whose writes and syncs go through an [`Intercept`].
pub struct InterceptedDisk<I> {
    inner: Arc<dyn Disk>,
    intercept: Arc<I>,
}

impl<I> Clone for InterceptedDisk<I> {
    fn clone(&self) -> InterceptedDisk<I> {
        InterceptedDisk {
            inner: Arc::clone(&self.inner),
            intercept: Arc::clone(&self.intercept),
        }
    }
}

impl<I: Intercept> InterceptedDisk<I> {
    /// Over `inner`.
    pub fn new(inner: Arc<dyn Disk>, intercept: Arc<I>) -> InterceptedDisk<I> {
        InterceptedDisk { inner, intercept }
    }

    pub(super) fn inner(&self) -> &dyn Disk {
        &*self.inner
    }

    pub(super) fn intercept(&self) -> &I {
        &self.intercept
    }
}

impl<I: Intercept> Disk for InterceptedDisk<I> {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.inner.create_dir(path)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        Ok(Arc::new(InterceptedFile {
            inner: self.inner.open(path, mode)?,
            path: path.to_owned(),
            intercept: Arc::clone(&self.intercept),
        }))
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
        self.intercept.sync_dir(path, &*self.inner)
    }

    fn space(&self) -> Result<Space, DiskError> {
        self.inner.space()
    }

    fn lock(&self, path: &Path) -> Result<DiskLock, DiskError> {
        self.inner.lock(path)
    }
}

struct InterceptedFile<I> {
    inner: Arc<dyn DiskFile>,
    path: PathBuf,
    intercept: Arc<I>,
}

impl<I: Intercept> DiskFile for InterceptedFile<I> {
    fn read_at(&self, position: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        self.inner.read_at(position, buf)
    }

    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> Result<Option<usize>, DiskError> {
        self.inner.try_read_at(position, buf)
    }

    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        self.intercept.before_write(&self.path)?;
        self.inner.write_at(position, parts)
    }

    fn write_uncached(&self, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        self.intercept.before_write(&self.path)?;
        self.inner.write_uncached(position, parts)
    }

    fn read_uncached(&self, position: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        self.inner.read_uncached(position, buf)
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.intercept.sync_file(&self.path, &self.inner)
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
