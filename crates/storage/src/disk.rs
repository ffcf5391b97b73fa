//! The operations storage needs of an operating system.

use std::any::Any;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A place for files. Paths are relative to the disk's root, with `/` between their parts.
///
/// Nothing survives a power cut unless it was synced: file contents by [`DiskFile::sync_data`], names by
/// [`Disk::sync_dir`] of the directory that holds them. The empty path is the root.
pub trait Disk: Send + Sync {
    /// Makes one directory; fine if it exists. Its parent must exist.
    fn create_dir(&self, path: &Path) -> Result<(), DiskError>;

    /// Opens a file. Handles stay usable after the file is renamed or removed.
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError>;

    /// What `dir` holds, sorted by name.
    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError>;

    /// Renames a file or directory; an existing file at `to` is replaced.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError>;

    /// Removes a file's name.
    fn remove_file(&self, path: &Path) -> Result<(), DiskError>;

    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> Result<(), DiskError>;

    /// Makes the names in `path` durable: created, renamed and removed entries.
    fn sync_dir(&self, path: &Path) -> Result<(), DiskError>;

    /// How much room there is.
    fn space(&self) -> Result<Space, DiskError>;

    /// Locks `path` (created when missing) against other processes and other holders in this one,
    /// until the returned lock is dropped.
    fn lock(&self, path: &Path) -> Result<DiskLock, DiskError>;
}

/// An open file. All calls may come from several threads at once.
pub trait DiskFile: Send + Sync {
    /// Reads at `position`; short only at the end of the file.
    fn read_at(&self, position: u64, buf: &mut [u8]) -> Result<usize, DiskError>;

    /// Like [`DiskFile::read_at`] but never waits for a device: `None` when it would have to.
    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> Result<Option<usize>, DiskError>;

    /// Writes `parts` one after the other from `position` on: all of them, or an error after which any
    /// part of them may have been written. The file grows as needed; a hole reads as zeros.
    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<(), DiskError>;

    /// Like [`DiskFile::write_at`], for much data that nobody is expected to read soon: it need not be kept in
    /// memory. Nobody else may write within a page of the range meanwhile.
    fn write_uncached(&self, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        self.write_at(position, parts)
    }

    /// Like [`DiskFile::read_at`], for much data that is read once: it need not stay in the system's memory. At its
    /// best when position, size and the memory of `buf` begin and end with blocks of 4 KiB.
    fn read_uncached(&self, position: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        self.read_at(position, buf)
    }

    /// Returns when everything written before the call is on the device, the file's size included
    /// (fdatasync). After an error nothing is known about what was written; it is never retried.
    fn sync_data(&self) -> Result<(), DiskError>;

    /// Cuts or extends (with zeros) the file.
    fn set_len(&self, size: u64) -> Result<(), DiskError>;

    /// Reserves room for `size` bytes from `position` on; the file's size stays as it is.
    fn allocate(&self, position: u64, size: u64) -> Result<(), DiskError>;

    /// The file's size in bytes.
    fn size(&self) -> Result<u64, DiskError>;
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// It must exist; for reading.
    Read,
    /// It must exist; for reading and writing.
    ReadWrite,
    /// For reading and writing; made when missing.
    Create,
    /// For reading and writing; it must not exist.
    CreateNew,
}

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The last part of its path.
    pub name: String,
    /// True for a directory.
    pub is_dir: bool,
    /// Size in bytes; 0 for a directory.
    pub size: u64,
}

/// Room on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that can still be written.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// Holds a lock until it is dropped.
pub struct DiskLock(Box<dyn Any + Send + Sync>);

impl DiskLock {
    /// A lock that ends when `guard` is dropped.
    pub fn new(guard: impl Any + Send + Sync) -> DiskLock {
        DiskLock(Box::new(guard))
    }
}

impl fmt::Debug for DiskLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = &self.0;
        f.write_str("DiskLock")
    }
}

/// What was tried, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskOperation {
    /// [`Disk::create_dir`].
    CreateDir,
    /// [`Disk::open`].
    Open,
    /// [`Disk::list`].
    List,
    /// [`Disk::rename`].
    Rename,
    /// [`Disk::remove_file`] or [`Disk::remove_dir`].
    Remove,
    /// [`Disk::sync_dir`].
    SyncDir,
    /// [`Disk::space`].
    Space,
    /// [`Disk::lock`].
    Lock,
    /// [`DiskFile::read_at`], [`DiskFile::try_read_at`] or [`DiskFile::read_uncached`].
    Read,
    /// [`DiskFile::write_at`] or [`DiskFile::write_uncached`].
    Write,
    /// [`DiskFile::sync_data`].
    Sync,
    /// [`DiskFile::set_len`].
    SetLen,
    /// [`DiskFile::allocate`].
    Allocate,
    /// [`DiskFile::size`].
    Size,
}

impl fmt::Display for DiskOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DiskOperation::CreateDir => "create directory",
            DiskOperation::Open => "open",
            DiskOperation::List => "list",
            DiskOperation::Rename => "rename",
            DiskOperation::Remove => "remove",
            DiskOperation::SyncDir => "sync directory",
            DiskOperation::Space => "ask for free space",
            DiskOperation::Lock => "lock",
            DiskOperation::Read => "read",
            DiskOperation::Write => "write",
            DiskOperation::Sync => "sync",
            DiskOperation::SetLen => "set length",
            DiskOperation::Allocate => "allocate",
            DiskOperation::Size => "ask for size",
        })
    }
}

/// A failed operation on a disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// There is nothing at the path.
    #[error("cannot {operation} {}: there is no such file or directory", path.display())]
    NotFound {
        /// What was tried.
        operation: DiskOperation,
        /// On what.
        path: PathBuf,
    },
    /// There is already something at the path.
    #[error("cannot {operation} {}: it exists already", path.display())]
    AlreadyExists {
        /// What was tried.
        operation: DiskOperation,
        /// On what.
        path: PathBuf,
    },
    /// No room on the device, or none left of the quota (ENOSPC, EDQUOT).
    #[error("cannot {operation} {}: the disk is full", path.display())]
    Full {
        /// What was tried.
        operation: DiskOperation,
        /// On what.
        path: PathBuf,
    },
    /// Somebody else holds the lock.
    #[error("{} is locked by another process", path.display())]
    AlreadyLocked {
        /// The lock's path.
        path: PathBuf,
    },
    /// What has this name is not what was looked for (a directory, no directory, not empty) or not ours to touch:
    /// nothing is wrong with the device.
    #[error("cannot {operation} {}: {message}", path.display())]
    Refused {
        /// What was tried.
        operation: DiskOperation,
        /// On what.
        path: PathBuf,
        /// What the operating system says.
        message: String,
    },
    /// Anything else.
    #[error("cannot {operation} {}: {message}", path.display())]
    Io {
        /// What was tried.
        operation: DiskOperation,
        /// On what.
        path: PathBuf,
        /// What the operating system says.
        message: String,
    },
}

impl DiskError {
    /// True when waiting for space can help. A full disk at *sync* is not such a case: the bytes are lost.
    pub fn is_full(&self) -> bool {
        match self {
            DiskError::Full { operation, .. } => {
                !matches!(operation, DiskOperation::Sync | DiskOperation::SyncDir)
            }
            DiskError::NotFound { .. }
            | DiskError::AlreadyExists { .. }
            | DiskError::AlreadyLocked { .. }
            | DiskError::Refused { .. }
            | DiskError::Io { .. } => false,
        }
    }

    /// True when the answer says something about what is at the path, and nothing about the device.
    pub fn is_about_the_name(&self) -> bool {
        match self {
            DiskError::NotFound { .. }
            | DiskError::AlreadyExists { .. }
            | DiskError::Refused { .. } => true,
            DiskError::Full { .. } | DiskError::AlreadyLocked { .. } | DiskError::Io { .. } => {
                false
            }
        }
    }

    /// True when the path names nothing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, DiskError::NotFound { .. })
    }
}
