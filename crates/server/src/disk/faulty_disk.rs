use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::intercepted_disk::{Intercept, InterceptedDisk};
use ottla_storage::disk::{Disk, DiskError, DiskFile, DiskOperation};

/// For tests: a disk of which one operation fails, or every one from some point on.
pub type FaultyDisk = InterceptedDisk<Faults>;

/// Which operations fail, and how: `sync:wal:5` is an I/O error of the fifth fsync of a file below `wal`,
/// `write:metadata:3+:full` a full disk from the third write below `metadata` on. Followed by `@/data/b` it is
/// only about that data directory.
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
    /// The only data directory in which it does; `None`: in all.
    directory: Option<PathBuf>,
}

/// What a [`FaultyDisk`] has planned, and how far it is.
pub struct Faults {
    planned: PlannedFault,
    counted: AtomicU64,
}

impl FaultyDisk {
    /// Over `inner`, which is a data directory.
    pub fn over(inner: Arc<dyn Disk>, planned: PlannedFault) -> FaultyDisk {
        let faults = Faults {
            planned,
            counted: AtomicU64::new(0),
        };
        InterceptedDisk::new(inner, Arc::new(faults))
    }
}

impl PlannedFault {
    /// Whether it strikes in the data directory `path`.
    pub fn is_in(&self, path: &Path) -> bool {
        self.directory.as_ref().is_none_or(|only| only == path)
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
        const EXPECTED: &str = "expected sync|write:PATH:NUMBER[+][:full][@DIRECTORY]";
        let (text, directory) = match text.split_once('@') {
            Some((text, directory)) => (text, Some(directory.into())),
            None => (text, None),
        };
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
            directory,
        })
    }
}

impl Intercept for Faults {
    fn before_write(&self, path: &Path) -> Result<(), DiskError> {
        self.strike(DiskOperation::Write, path)
    }

    fn sync_file(&self, path: &Path, file: &Arc<dyn DiskFile>) -> Result<(), DiskError> {
        self.strike(DiskOperation::Sync, path)?;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_storage::disk::OpenMode;
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
