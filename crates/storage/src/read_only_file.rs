//! A handle that can only read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{DiskError, DiskFile, DiskOperation};

/// What [`crate::disk::OpenMode::Read`] gives on disks whose handles could write.
pub struct ReadOnlyFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
}

impl ReadOnlyFile {
    /// Hides the writing half of `file`; `path` is for messages.
    pub fn new(file: Arc<dyn DiskFile>, path: &Path) -> ReadOnlyFile {
        ReadOnlyFile {
            file,
            path: path.to_owned(),
        }
    }

    fn refused(&self, operation: DiskOperation) -> DiskError {
        DiskError::Io {
            operation,
            path: self.path.clone(),
            message: "it is open for reading only".to_owned(),
        }
    }
}

impl DiskFile for ReadOnlyFile {
    fn read_at(&self, position: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        self.file.read_at(position, buf)
    }

    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> Result<Option<usize>, DiskError> {
        self.file.try_read_at(position, buf)
    }

    fn write_at(&self, _position: u64, _parts: &[&[u8]]) -> Result<(), DiskError> {
        Err(self.refused(DiskOperation::Write))
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.file.sync_data()
    }

    fn set_len(&self, _size: u64) -> Result<(), DiskError> {
        Err(self.refused(DiskOperation::SetLen))
    }

    fn allocate(&self, _position: u64, _size: u64) -> Result<(), DiskError> {
        Err(self.refused(DiskOperation::Allocate))
    }

    fn size(&self) -> Result<u64, DiskError> {
        self.file.size()
    }
}
