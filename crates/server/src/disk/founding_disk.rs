use std::path::{Path, PathBuf};
use std::sync::Arc;

use ottla_storage::disk::{DirEntry, Disk, DiskError, DiskFile, DiskLock, OpenMode, Space};
use parking_lot::Mutex;

/// A disk while a new directory is made on it: syncs are noted instead of carried out, and
/// [`settle`] carries them all out side by side. From then on they go through.
///
/// Only for a directory in which nothing was ever acknowledged: until `settle` returns, a crash
/// may leave any part of what was written, in any order.
#[derive(Clone)]
pub struct FoundingDisk {
    inner: Arc<dyn Disk>,
    noted: Arc<Noted>,
}

/// The syncs that wait; `None`: they are settled.
type Noted = Mutex<Option<Syncs>>;

#[derive(Default)]
struct Syncs {
    files: Vec<Arc<dyn DiskFile>>,
    /// Not the root: it is synced after everything else.
    dirs: Vec<PathBuf>,
}

const ROOT: &str = "";

impl FoundingDisk {
    /// Over a disk on which nothing is kept yet.
    pub fn over(inner: Arc<dyn Disk>) -> FoundingDisk {
        FoundingDisk {
            inner,
            noted: Arc::new(Mutex::new(Some(Syncs::default()))),
        }
    }

    fn syncs(&self) -> Vec<Sync<'_>> {
        let Some(noted) = self.noted.lock().take() else {
            return Vec::new();
        };
        let files = noted.files.into_iter().map(Sync::File);
        let dirs = noted.dirs.into_iter().map(|dir| Sync::Dir(self, dir));
        files.chain(dirs).collect()
    }
}

/// Makes durable what was written to `disks`: the files and their directories side by side, then
/// what `publish` renames together with every other name of the roots. That is two fsyncs one after
/// the other, however many there are.
///
/// `publish` may count on everything noted before being durable. The roots are synced even when
/// nobody asked for it.
pub fn settle<E: From<DiskError>>(
    disks: &[FoundingDisk],
    publish: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    all_at_once(disks.iter().flat_map(FoundingDisk::syncs).collect())?;
    publish()?;
    let root = |disk| Sync::Dir(disk, PathBuf::from(ROOT));
    Ok(all_at_once(disks.iter().map(root).collect())?)
}

enum Sync<'a> {
    File(Arc<dyn DiskFile>),
    Dir(&'a FoundingDisk, PathBuf),
}

impl Sync<'_> {
    fn carry_out(&self) -> Result<(), DiskError> {
        match self {
            Sync::File(file) => file.sync_data(),
            Sync::Dir(disk, dir) => disk.inner.sync_dir(dir),
        }
    }
}

/// Each on a thread of its own, the last one on this.
fn all_at_once(mut syncs: Vec<Sync<'_>>) -> Result<(), DiskError> {
    let Some(last) = syncs.pop() else {
        return Ok(());
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = syncs
            .iter()
            .map(|sync| scope.spawn(|| sync.carry_out()))
            .collect();
        let mut result = last.carry_out();
        for other in others {
            let other = other.join().expect("a sync does not panic");
            result = result.and(other);
        }
        result
    })
}

impl Disk for FoundingDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.inner.create_dir(path)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        let inner = self.inner.open(path, mode)?;
        if self.noted.lock().is_none() {
            return Ok(inner);
        }
        Ok(Arc::new(FoundingFile {
            inner,
            noted: Arc::clone(&self.noted),
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
        if let Some(syncs) = &mut *self.noted.lock() {
            if path != Path::new(ROOT) && !syncs.dirs.iter().any(|dir| dir == path) {
                syncs.dirs.push(path.to_owned());
            }
            return Ok(());
        }
        self.inner.sync_dir(path)
    }

    fn space(&self) -> Result<Space, DiskError> {
        self.inner.space()
    }

    fn lock(&self, path: &Path) -> Result<DiskLock, DiskError> {
        self.inner.lock(path)
    }
}

/// A file that was opened before its directory was settled.
struct FoundingFile {
    inner: Arc<dyn DiskFile>,
    noted: Arc<Noted>,
}

impl DiskFile for FoundingFile {
    fn read_at(&self, position: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        self.inner.read_at(position, buf)
    }

    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> Result<Option<usize>, DiskError> {
        self.inner.try_read_at(position, buf)
    }

    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        self.inner.write_at(position, parts)
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        if let Some(syncs) = &mut *self.noted.lock() {
            if !syncs
                .files
                .iter()
                .any(|file| Arc::ptr_eq(file, &self.inner))
            {
                syncs.files.push(Arc::clone(&self.inner));
            }
            return Ok(());
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_storage::disk_conformance;
    use ottla_storage::memory_disk::MemoryDisk;

    #[test]
    fn once_settled_it_is_a_disk_like_any_other() {
        let disk = FoundingDisk::over(Arc::new(MemoryDisk::new()));
        settle::<DiskError>(std::slice::from_ref(&disk), || Ok(())).unwrap();
        disk_conformance::check(&disk);
    }
}
