use super::harness::*;
use crate::disk::{DiskError, DiskOperation};
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

    fn before(&self, operation: DiskOperation, path: &Path) -> Result<(), DiskError> {
        match operation {
            DiskOperation::Open => {
                let due = self.meanwhile.lock().take_if(|(at, _)| at == path);
                if let Some((_, meanwhile)) = due {
                    meanwhile();
                }
            }
            DiskOperation::List | DiskOperation::Rename | DiskOperation::Remove => {}
            DiskOperation::Sync => {
                self.synced.lock().push(path.to_owned());
                return Ok(());
            }
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
        let watched = WatchedDisk::new(Arc::new(disk.clone()), move |operation, path| {
            asked.before(operation, path)
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
