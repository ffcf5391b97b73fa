use super::harness::*;
use crate::disk::{DirEntry, Disk, DiskError, DiskFile, DiskLock, DiskOperation, OpenMode, Space};
use crate::memory_disk::MemoryDisk;
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Meanwhile = Box<dyn FnOnce() + Send>;

/// A memory disk that lets something happen before a file is opened, once, and of which a part can be forbidden.
pub(super) struct InterruptedDisk {
    disk: MemoryDisk,
    meanwhile: Mutex<Option<(PathBuf, Meanwhile)>>,
    forbidden: Mutex<Option<(PathBuf, bool)>>,
}

impl InterruptedDisk {
    pub(super) fn before_open(&self, path: PathBuf, meanwhile: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock() = Some((path, Box::new(meanwhile)));
    }

    /// Whether it has happened.
    pub(super) fn is_past(&self) -> bool {
        self.meanwhile.lock().is_none()
    }

    /// Nobody may touch this path from now on.
    pub(super) fn forbid(&self, path: &str) {
        *self.forbidden.lock() = Some((PathBuf::from(path), false));
    }

    /// There is no room for anything at this path, or there is again.
    pub(super) fn fill(&self, path: Option<&Path>) {
        *self.forbidden.lock() = path.map(|path| (path.to_owned(), true));
    }

    fn check(&self, operation: DiskOperation, path: &Path) -> Result<(), DiskError> {
        let forbidden = self.forbidden.lock();
        let path = path.to_owned();
        match &*forbidden {
            Some((at, true)) if path.starts_with(at) => Err(DiskError::Full { operation, path }),
            Some((at, false)) if *at == path => Err(DiskError::Refused {
                operation,
                path,
                message: "permission denied".to_owned(),
            }),
            Some(_) | None => Ok(()),
        }
    }
}

impl Disk for InterruptedDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.disk.create_dir(path)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        let due = self.meanwhile.lock().take_if(|(at, _)| at == path);
        if let Some((_, meanwhile)) = due {
            meanwhile();
        }
        self.check(DiskOperation::Open, path)?;
        self.disk.open(path, mode)
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        self.check(DiskOperation::List, dir)?;
        self.disk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.check(DiskOperation::Rename, to)?;
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.check(DiskOperation::Remove, path)?;
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

impl Harness {
    /// Another process, whose disk can be interrupted.
    pub(super) fn interrupted(self) -> (Harness, Arc<InterruptedDisk>) {
        let Harness {
            disk,
            dir,
            now,
            options,
            ..
        } = self;
        drop(dir);
        let through = Arc::new(InterruptedDisk {
            disk: disk.clone(),
            meanwhile: Mutex::default(),
            forbidden: Mutex::default(),
        });
        let h = Harness::open(disk, Arc::clone(&through) as Arc<dyn Disk>, options, now);
        (h, through)
    }
}
