use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::intercepted_disk::{Intercept, InterceptedDisk};
use ottla_storage::disk::{Disk, DiskError, DiskFile};
use parking_lot::Mutex;

/// A disk while a new directory is made on it: syncs are noted instead of carried out, and
/// [`settle`] carries them all out side by side. From then on they go through.
///
/// Only for a directory in which nothing was ever acknowledged: until `settle` returns, a crash
/// may leave any part of what was written, in any order.
pub type FoundingDisk = InterceptedDisk<Noted>;

/// The syncs that wait.
pub struct Noted {
    /// `None`: they are settled.
    syncs: Mutex<Option<Syncs>>,
}

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
        let noted = Noted {
            syncs: Mutex::new(Some(Syncs::default())),
        };
        InterceptedDisk::new(inner, Arc::new(noted))
    }

    fn syncs(&self) -> Vec<Sync<'_>> {
        let Some(noted) = self.intercept().syncs.lock().take() else {
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
            Sync::Dir(disk, dir) => disk.inner().sync_dir(dir),
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

impl Intercept for Noted {
    fn sync_file(&self, _path: &Path, file: &Arc<dyn DiskFile>) -> Result<(), DiskError> {
        if let Some(syncs) = &mut *self.syncs.lock() {
            if !syncs.files.iter().any(|noted| Arc::ptr_eq(noted, file)) {
                syncs.files.push(Arc::clone(file));
            }
            return Ok(());
        }
        file.sync_data()
    }

    fn sync_dir(&self, path: &Path, disk: &dyn Disk) -> Result<(), DiskError> {
        if let Some(syncs) = &mut *self.syncs.lock() {
            if path != Path::new(ROOT) && !syncs.dirs.iter().any(|dir| dir == path) {
                syncs.dirs.push(path.to_owned());
            }
            return Ok(());
        }
        disk.sync_dir(path)
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
