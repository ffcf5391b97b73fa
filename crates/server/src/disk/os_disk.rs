use std::fs;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ottla_storage::disk::{
    DirEntry, Disk, DiskError, DiskFile, DiskLock, DiskOperation, OpenMode, Space,
};
use rustix::fs::{AtFlags, FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, ReadWriteFlags};

use super::uncached::{self, Failure, UncachedFile};

/// Parts of one `pwritev`; the kernel takes no more than 1,024.
const WRITE_PARTS_MAX: usize = 1024;

/// A directory of the operating system's file system.
pub struct OsDisk {
    root: PathBuf,
    root_fd: OwnedFd,
    /// Cleared by the first file whose file system has no RWF_NOWAIT.
    nowait_works: Arc<AtomicBool>,
    /// Cleared by the first file that cannot be written or read past the page cache.
    uncached_works: Arc<AtomicBool>,
}

impl OsDisk {
    /// The disk whose root is the directory `root`, which must exist.
    pub fn open(root: &Path) -> Result<OsDisk, DiskError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root_fd = rustix::fs::open(root, flags, Mode::empty())
            .map_err(|errno| error(DiskOperation::Open, root, errno))?;
        Ok(OsDisk {
            root: root.to_owned(),
            root_fd,
            nowait_works: Arc::new(AtomicBool::new(true)),
            uncached_works: Arc::new(AtomicBool::new(true)),
        })
    }

    /// Adds the root for messages.
    fn error(&self, operation: DiskOperation, path: &Path, errno: Errno) -> DiskError {
        error(operation, &self.root.join(path), errno)
    }

    fn remove(&self, path: &Path, flags: AtFlags) -> Result<(), DiskError> {
        rustix::fs::unlinkat(&self.root_fd, path, flags)
            .map_err(|errno| self.error(DiskOperation::Remove, path, errno))
    }

    fn open_fd(
        &self,
        operation: DiskOperation,
        path: &Path,
        flags: OFlags,
    ) -> Result<OwnedFd, DiskError> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let mode = Mode::from_raw_mode(0o644);
        rustix::fs::openat(&self.root_fd, path, flags | OFlags::CLOEXEC, mode)
            .map_err(|errno| self.error(operation, path, errno))
    }
}

impl Disk for OsDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        match rustix::fs::mkdirat(&self.root_fd, path, Mode::from_raw_mode(0o755)) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) if self.root.join(path).is_dir() => Ok(()),
            Err(errno) => Err(self.error(DiskOperation::CreateDir, path, errno)),
        }
    }

    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        let flags = match mode {
            OpenMode::Read => OFlags::RDONLY,
            OpenMode::ReadWrite => OFlags::RDWR,
            OpenMode::Create => OFlags::RDWR | OFlags::CREATE,
            OpenMode::CreateNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
        };
        Ok(Arc::new(OsFile {
            fd: self.open_fd(DiskOperation::Open, path, flags)?,
            path: self.root.join(path).into(),
            uncached: UncachedFile::new(mode != OpenMode::Read, Arc::clone(&self.uncached_works)),
            nowait_works: Arc::clone(&self.nowait_works),
        }))
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        let dir = self.root.join(dir);
        let failed = |source| io_error(DiskOperation::List, &dir, &source);
        let mut entries = Vec::new();
        for entry in fs::read_dir(&dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Removed between the two calls.
                Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => continue,
                Err(source) => return Err(failed(source)),
            };
            entries.push(DirEntry {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_dir: metadata.is_dir(),
                size: if metadata.is_dir() { 0 } else { metadata.len() },
            });
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        rustix::fs::renameat(&self.root_fd, from, &self.root_fd, to)
            .map_err(|errno| self.error(DiskOperation::Rename, from, errno))
    }

    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.remove(path, AtFlags::empty())
    }

    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.remove(path, AtFlags::REMOVEDIR)
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let dir = self.open_fd(DiskOperation::SyncDir, path, flags)?;
        rustix::fs::fsync(&dir).map_err(|errno| self.error(DiskOperation::SyncDir, path, errno))
    }

    fn space(&self) -> Result<Space, DiskError> {
        let stat = rustix::fs::fstatvfs(&self.root_fd)
            .map_err(|errno| self.error(DiskOperation::Space, Path::new(""), errno))?;
        Ok(Space {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }

    fn lock(&self, path: &Path) -> Result<DiskLock, DiskError> {
        let fd = self.open_fd(DiskOperation::Lock, path, OFlags::RDWR | OFlags::CREATE)?;
        match rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(DiskLock::new(fd)),
            Err(Errno::WOULDBLOCK) => Err(DiskError::AlreadyLocked {
                path: self.root.join(path),
            }),
            Err(errno) => Err(self.error(DiskOperation::Lock, path, errno)),
        }
    }
}

struct OsFile {
    fd: OwnedFd,
    path: Box<Path>,
    uncached: UncachedFile,
    nowait_works: Arc<AtomicBool>,
}

impl OsFile {
    fn error(&self, operation: DiskOperation, errno: Errno) -> DiskError {
        error(operation, &self.path, errno)
    }
}

impl DiskFile for OsFile {
    fn read_at(&self, position: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let mut done = 0;
        while done < buf.len() {
            match rustix::io::pread(&self.fd, &mut buf[done..], position + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.error(DiskOperation::Read, errno)),
            }
        }
        Ok(done)
    }

    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> Result<Option<usize>, DiskError> {
        if !self.nowait_works.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut done = 0;
        while done < buf.len() {
            let mut slices = [IoSliceMut::new(&mut buf[done..])];
            let at = position + done as u64;
            match rustix::io::preadv2(&self.fd, &mut slices, at, ReadWriteFlags::NOWAIT) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    self.nowait_works.store(false, Ordering::Relaxed);
                    return Ok(None);
                }
                Err(errno) => return Err(self.error(DiskOperation::Read, errno)),
            }
        }
        Ok(Some(done))
    }

    fn write_at(&self, mut position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        let mut slices: Vec<IoSlice<'_>> = parts
            .iter()
            .filter(|part| !part.is_empty())
            .map(|part| IoSlice::new(part))
            .collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            let batch = rest.len().min(WRITE_PARTS_MAX);
            match rustix::io::pwritev(&self.fd, &rest[..batch], position) {
                // A write of more than nothing that writes nothing: the device takes no more.
                Ok(0) => return Err(self.error(DiskOperation::Write, Errno::NOSPC)),
                Ok(written) => {
                    position += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.error(DiskOperation::Write, errno)),
            }
        }
        Ok(())
    }

    fn write_uncached(&self, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        let Some(direct) = self.uncached.open(&self.fd) else {
            return self.write_at(position, parts);
        };
        let written = uncached::write(direct, position, parts, |position, bytes| {
            self.write_at(position, &[bytes])
        });
        written.map_err(|failure| match failure {
            Failure::Direct(errno) => self.error(DiskOperation::Write, errno),
            Failure::Cached(error) => error,
        })
    }

    fn read_uncached(&self, position: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let Some(direct) = self.uncached.open(&self.fd) else {
            return self.read_at(position, buf);
        };
        let done = uncached::read(direct, position, buf)
            .map_err(|errno| self.error(DiskOperation::Read, errno))?;
        let rest = self.read_at(position + done as u64, &mut buf[done..])?;
        Ok(done + rest)
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        rustix::fs::fdatasync(&self.fd).map_err(|errno| self.error(DiskOperation::Sync, errno))
    }

    fn set_len(&self, size: u64) -> Result<(), DiskError> {
        rustix::fs::ftruncate(&self.fd, size)
            .map_err(|errno| self.error(DiskOperation::SetLen, errno))
    }

    fn allocate(&self, position: u64, size: u64) -> Result<(), DiskError> {
        match rustix::fs::fallocate(&self.fd, FallocateFlags::KEEP_SIZE, position, size) {
            // Reserving is an optimisation that some file systems do not have.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(errno) => Err(self.error(DiskOperation::Allocate, errno)),
        }
    }

    fn size(&self) -> Result<u64, DiskError> {
        let stat =
            rustix::fs::fstat(&self.fd).map_err(|errno| self.error(DiskOperation::Size, errno))?;
        Ok(u64::try_from(stat.st_size).unwrap_or(0))
    }
}

fn error(operation: DiskOperation, path: &Path, errno: Errno) -> DiskError {
    let path = path.to_owned();
    match errno {
        Errno::NOENT => DiskError::NotFound { operation, path },
        Errno::EXIST => DiskError::AlreadyExists { operation, path },
        Errno::NOSPC | Errno::DQUOT => DiskError::Full { operation, path },
        Errno::NOTDIR
        | Errno::ISDIR
        | Errno::NOTEMPTY
        | Errno::ACCESS
        | Errno::PERM
        | Errno::LOOP
        | Errno::NAMETOOLONG => DiskError::Refused {
            operation,
            path,
            message: errno.to_string(),
        },
        errno => DiskError::Io {
            operation,
            path,
            message: errno.to_string(),
        },
    }
}

fn io_error(operation: DiskOperation, path: &Path, source: &std::io::Error) -> DiskError {
    match source.raw_os_error() {
        Some(raw) => error(operation, path, Errno::from_raw_os_error(raw)),
        None => DiskError::Io {
            operation,
            path: path.to_owned(),
            message: source.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    #[test]
    fn what_is_in_the_way_is_no_failure_of_the_device() {
        let dir = TestDir::new();
        let disk = OsDisk::open(dir.path()).unwrap();
        disk.create_dir(Path::new("full")).unwrap();
        disk.open(Path::new("full/file"), OpenMode::CreateNew)
            .unwrap();
        disk.create_dir(Path::new("other")).unwrap();
        let refused = [
            disk.remove_dir(Path::new("full")),
            disk.remove_file(Path::new("full")),
            disk.rename(Path::new("other"), Path::new("full")),
            disk.list(Path::new("full/file")).map(|_| ()),
            disk.create_dir(Path::new(&"x".repeat(300))),
        ];
        for refused in refused {
            let error = refused.unwrap_err();
            assert!(error.is_about_the_name(), "{error}");
        }
    }

    #[test]
    fn it_is_a_disk() {
        let dir = TestDir::new();
        ottla_storage::disk_conformance::check(&OsDisk::open(dir.path()).unwrap());
    }

    #[test]
    fn a_directory_that_is_missing_is_named() {
        let dir = TestDir::new();
        let error = OsDisk::open(&dir.path().join("absent")).err().unwrap();
        assert!(error.is_not_found());
        assert!(error.to_string().contains("absent"), "{error}");
    }

    #[test]
    fn bytes_just_written_are_read_without_blocking() {
        let dir = TestDir::new();
        let disk = OsDisk::open(dir.path()).unwrap();
        let file = disk.open(Path::new("f"), OpenMode::CreateNew).unwrap();
        file.write_at(0, &[b"abc"]).unwrap();
        let mut buf = [0; 10];
        let read = file.try_read_at(0, &mut buf).unwrap();
        // A file system without RWF_NOWAIT says None, and is not asked again.
        assert_eq!(read.is_some(), disk.nowait_works.load(Ordering::Relaxed));
        assert!(read.is_none_or(|size| &buf[..size] == b"abc"));
    }
}
