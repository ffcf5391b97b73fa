use super::harness::*;
use crate::disk::{Disk, DiskError, DiskOperation, OpenMode};
use crate::memory_disk::MemoryDisk;
use crate::watched_disk::WatchedDisk;
use parking_lot::Mutex;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Meanwhile = Box<dyn FnOnce() + Send>;

/// What is to happen on a disk: something before a file is opened, once; and a part can be forbidden.
#[derive(Default)]
pub(super) struct Interruptions {
    meanwhile: Mutex<Option<(PathBuf, Meanwhile)>>,
    forbidden: Mutex<Option<(PathBuf, bool)>>,
    synced: Mutex<Vec<PathBuf>>,
    unsyncable: Mutex<Option<PathBuf>>,
    on_device: Mutex<Option<(PathBuf, Vec<u8>)>>,
}

/// A disk on which something is to happen.
pub(super) struct InterruptedDisk {
    pub(super) disk: Arc<WatchedDisk>,
    interruptions: Arc<Interruptions>,
}

impl Deref for InterruptedDisk {
    type Target = Interruptions;

    fn deref(&self) -> &Interruptions {
        &self.interruptions
    }
}

impl Interruptions {
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

    /// Whether this file was synced.
    pub(super) fn has_synced(&self, path: &str) -> bool {
        self.synced.lock().iter().any(|it| it == Path::new(path))
    }

    /// The device fails when this file is synced.
    pub(super) fn fail_sync_of(&self, path: &str) {
        *self.unsyncable.lock() = Some(PathBuf::from(path));
    }

    /// The device holds these bytes of a file, and until a sync no others.
    pub(super) fn on_device(&self, path: &str, bytes: Vec<u8>) {
        *self.on_device.lock() = Some((PathBuf::from(path), bytes));
    }

    /// What the device has of that file takes the place of what was written.
    pub(super) fn cut_power(&self, disk: &MemoryDisk) {
        let (path, bytes) = self.on_device.lock().take().expect("it holds something");
        let file = disk.open(&path, OpenMode::ReadWrite).expect("there");
        file.set_len(bytes.len() as u64).expect("cut");
        file.write_at(0, &[&bytes]).expect("written");
    }

    fn sync(&self, disk: &MemoryDisk, path: &Path) -> Result<(), DiskError> {
        self.synced.lock().push(path.to_owned());
        if let Some((_, bytes)) = self.on_device.lock().as_mut().filter(|it| it.0 == path) {
            *bytes = content(disk, path);
        }
        match self.unsyncable.lock().as_deref() == Some(path) {
            true => Err(DiskError::Io {
                operation: DiskOperation::Sync,
                path: path.to_owned(),
                message: "the device is gone".to_owned(),
            }),
            false => Ok(()),
        }
    }

    fn before(
        &self,
        disk: &MemoryDisk,
        operation: DiskOperation,
        path: &Path,
    ) -> Result<(), DiskError> {
        match operation {
            DiskOperation::Open => {
                let due = self.meanwhile.lock().take_if(|(at, _)| at == path);
                if let Some((_, meanwhile)) = due {
                    meanwhile();
                }
            }
            DiskOperation::List | DiskOperation::Rename | DiskOperation::Remove => {}
            DiskOperation::Sync => return self.sync(disk, path),
            _ => return Ok(()),
        }
        let path = path.to_owned();
        match &*self.forbidden.lock() {
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
        let interruptions = Arc::<Interruptions>::default();
        let asked = Arc::clone(&interruptions);
        let memory = disk.clone();
        let watched = WatchedDisk::new(Arc::new(disk.clone()), move |operation, path| {
            asked.before(&memory, operation, path)
        });
        let watched = Arc::new(watched);
        let through = InterruptedDisk {
            disk: Arc::clone(&watched),
            interruptions,
        };
        let h = Harness::open(disk, watched, options, now);
        (h, Arc::new(through))
    }
}
