use std::path::Path;
use std::sync::Arc;

use ottla_server::OsDisk;
use ottla_storage::disk::{
    DirEntry, Disk, DiskError, DiskFile, DiskLock, DiskOperation, OpenMode, Space,
};
use ottla_storage::memory_disk::MemoryDisk;

/// A data directory of which nothing can be changed: what is asked to be removed stays, nothing is
/// synced, and every other change is refused.
pub struct ReadOnlyDisk(OsDisk);

impl ReadOnlyDisk {
    /// The directory at `root`.
    pub fn open(root: &Path) -> Result<ReadOnlyDisk, DiskError> {
        OsDisk::open(root).map(ReadOnlyDisk)
    }

    /// A copy of the files in `dir`, in memory, for code that mends what it opens.
    pub fn copy(&self, dir: &Path) -> Result<MemoryDisk, DiskError> {
        let copy = MemoryDisk::new();
        copy.create_dir(dir)?;
        for entry in self.list(dir)?.into_iter().filter(|entry| !entry.is_dir) {
            let path = dir.join(&entry.name);
            let from = self.0.open(&path, OpenMode::Read)?;
            let mut bytes = vec![0; usize::try_from(entry.size).unwrap_or(usize::MAX)];
            let size = from.read_at(0, &mut bytes)?;
            copy.open(&path, OpenMode::Create)?
                .write_at(0, &[&bytes[..size]])?;
        }
        Ok(copy)
    }
}

fn refused(operation: DiskOperation, path: &Path) -> DiskError {
    DiskError::Io {
        operation,
        path: path.to_owned(),
        message: "it is only looked at".to_owned(),
    }
}

impl Disk for ReadOnlyDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        Err(refused(DiskOperation::CreateDir, path))
    }

    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        match mode {
            // The operating system refuses what is tried with it.
            OpenMode::Read | OpenMode::ReadWrite => self.0.open(path, OpenMode::Read),
            OpenMode::Create | OpenMode::CreateNew => Err(refused(DiskOperation::Open, path)),
        }
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        self.0.list(dir)
    }

    fn rename(&self, from: &Path, _to: &Path) -> Result<(), DiskError> {
        Err(refused(DiskOperation::Rename, from))
    }

    fn remove_file(&self, _path: &Path) -> Result<(), DiskError> {
        Ok(())
    }

    fn remove_dir(&self, _path: &Path) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync_dir(&self, _path: &Path) -> Result<(), DiskError> {
        Ok(()) // What is there is looked at, whether or not its name is durable.
    }

    fn space(&self) -> Result<Space, DiskError> {
        self.0.space()
    }

    fn lock(&self, path: &Path) -> Result<DiskLock, DiskError> {
        Err(refused(DiskOperation::Lock, path))
    }
}
