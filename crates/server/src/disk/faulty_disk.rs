use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla_storage::disk::{
    DirEntry, Disk, DiskError, DiskFile, DiskLock, DiskOperation, OpenMode, Space,
};

/// For tests: a disk of which one operation fails, or every one from some point on.
pub struct FaultyDisk {
    inner: Arc<dyn Disk>,
    faults: Arc<Faults>,
}

/// Which operations fail, and how: `sync:wal:5` is an I/O error of the fifth fsync of a file below `wal`,
/// `write:metadata:3+:full` a full disk from the third write below `metadata` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedFault {
    operation: DiskOperation,
    /// Files whose path below the data directory begins with it.
    prefix: PathBuf,
    /// The operation that fails, counted from 1.
    number: u64,
    /// So do all later ones.
    goes_on: bool,
    is_full: bool,
}

struct Faults {
    planned: PlannedFault,
    counted: AtomicU64,
}

impl FaultyDisk {
    /// Over `inner`, which is a data directory.
    pub fn over(inner: Arc<dyn Disk>, planned: PlannedFault) -> FaultyDisk {
        FaultyDisk {
            inner,
            faults: Arc::new(Faults {
                planned,
                counted: AtomicU64::new(0),
            }),
        }
    }
}

impl Faults {
    fn strike(&self, operation: DiskOperation, path: &Path) -> Result<(), DiskError> {
        let planned = &self.planned;
        if operation != planned.operation || !path.starts_with(&planned.prefix) {
            return Ok(());
        }
        let number = self.counted.fetch_add(1, Ordering::Relaxed) + 1;
        if number < planned.number || (planned.number < number && !planned.goes_on) {
            return Ok(());
        }
        let path = path.to_owned();
        match planned.is_full {
            true => Err(DiskError::Full { operation, path }),
            false => Err(DiskError::Io {
                operation,
                path,
                message: "Input/output error (planned for a test)".to_owned(),
            }),
        }
    }
}

impl FromStr for PlannedFault {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<PlannedFault, &'static str> {
        const EXPECTED: &str = "expected sync|write:PATH:NUMBER[+][:full]";
        let mut parts = text.split(':');
        let operation = match parts.next() {
            Some("sync") => DiskOperation::Sync,
            Some("write") => DiskOperation::Write,
            _ => return Err(EXPECTED),
        };
        let prefix = parts.next().ok_or(EXPECTED)?.into();
        let number = parts.next().ok_or(EXPECTED)?;
        let goes_on = number.ends_with('+');
        let number = number.trim_end_matches('+').parse();
        let number = number.map_err(|_| EXPECTED)?;
        let is_full = match (parts.next(), parts.next()) {
            (None, _) => false,
            (Some("full"), None) => true,
            _ => return Err(EXPECTED),
        };
        Ok(PlannedFault {
            operation,
            prefix,
            number,
            goes_on,
            is_full,
        })
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.inner.create_dir(path)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        Ok(Arc::new(FaultyFile {
            inner: self.inner.open(path, mode)?,
            path: path.to_owned(),
            faults: Arc::clone(&self.faults),
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
        self.inner.sync_dir(path)
    }

    fn space(&self) -> Result<Space, DiskError> {
        self.inner.space()
    }

    fn lock(&self, path: &Path) -> Result<DiskLock, DiskError> {
        self.inner.lock(path)
    }
}

struct FaultyFile {
    inner: Arc<dyn DiskFile>,
    path: PathBuf,
    faults: Arc<Faults>,
}

impl DiskFile for FaultyFile {
    fn read_at(&self, position: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        self.inner.read_at(position, buf)
    }

    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> Result<Option<usize>, DiskError> {
        self.inner.try_read_at(position, buf)
    }

    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        self.faults.strike(DiskOperation::Write, &self.path)?;
        self.inner.write_at(position, parts)
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.faults.strike(DiskOperation::Sync, &self.path)?;
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
    use ottla_storage::memory_disk::MemoryDisk;

    fn disk(planned: &str) -> FaultyDisk {
        let inner: Arc<dyn Disk> = Arc::new(MemoryDisk::new());
        inner.create_dir(Path::new("wal")).unwrap();
        FaultyDisk::over(inner, planned.parse().unwrap())
    }

    #[test]
    fn only_the_operations_that_were_planned_fail() {
        let disk = disk("sync:wal:2");
        let file = disk.open(Path::new("wal/1"), OpenMode::Create).unwrap();
        let other = disk.open(Path::new("other"), OpenMode::Create).unwrap();
        other.sync_data().unwrap();
        file.sync_data().unwrap();
        let error = file.sync_data().unwrap_err();
        assert!(matches!(error, DiskError::Io { .. }), "{error}");
        file.sync_data().unwrap();
    }

    #[test]
    fn otherwise_it_is_a_disk_like_any_other() {
        let planned = "sync:elsewhere:1".parse().unwrap();
        let disk = FaultyDisk::over(Arc::new(MemoryDisk::new()), planned);
        ottla_storage::disk_conformance::check(&disk);
    }

    #[test]
    fn a_disk_may_stay_full() {
        let disk = disk("write:wal:2+:full");
        let file = disk.open(Path::new("wal/1"), OpenMode::Create).unwrap();
        file.write_at(0, &[b"a"]).unwrap();
        for _ in 0..3 {
            let error = file.write_at(1, &[b"b"]).unwrap_err();
            assert!(matches!(error, DiskError::Full { .. }), "{error}");
        }
        file.sync_data().unwrap();
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "",
            "sync",
            "sync:wal",
            "sync:wal:x",
            "read:wal:1",
            "sync:wal:1:odd",
        ] {
            assert!(text.parse::<PlannedFault>().is_err(), "{text}");
        }
    }
}
