//! A disk in memory: for unit tests and throwaway brokers.

use crate::disk::{DirEntry, Disk, DiskError, DiskFile, DiskLock, DiskOperation, OpenMode, Space};
use crate::read_only_file::ReadOnlyFile;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Keeps everything in memory and forgets nothing: no faults, no crashes. Cloning gives a second handle
/// to the same contents.
#[derive(Clone)]
pub struct MemoryDisk {
    shared: Arc<Shared>,
}

struct Shared {
    total_bytes: u64,
    used_bytes: Arc<AtomicU64>,
    is_full: Arc<AtomicBool>,
    nodes: Mutex<BTreeMap<PathBuf, Node>>,
    locked: Arc<Mutex<BTreeSet<PathBuf>>>,
}

#[derive(Clone)]
enum Node {
    Dir,
    File(Arc<MemoryFile>),
}

struct MemoryFile {
    path: PathBuf,
    total_bytes: u64,
    used_bytes: Arc<AtomicU64>,
    is_full: Arc<AtomicBool>,
    content: Mutex<Vec<u8>>,
    /// Room beyond the content that was reserved: the end of it. It costs nothing here.
    reserved_end: AtomicU64,
}

impl MemoryDisk {
    /// An empty disk of 1 TiB; memory is used as files grow.
    pub fn new() -> MemoryDisk {
        MemoryDisk::with_size(1 << 40)
    }

    /// An empty disk on which all files together hold at most `total_bytes`.
    pub fn with_size(total_bytes: u64) -> MemoryDisk {
        MemoryDisk {
            shared: Arc::new(Shared {
                total_bytes,
                used_bytes: Arc::new(AtomicU64::new(0)),
                is_full: Arc::new(AtomicBool::new(false)),
                nodes: Mutex::new(BTreeMap::from([(PathBuf::new(), Node::Dir)])),
                locked: Arc::new(Mutex::new(BTreeSet::new())),
            }),
        }
    }

    /// A disk of its own with the same files as this one has now, and no locks: what a process that
    /// starts after a kill finds.
    pub fn copy(&self) -> MemoryDisk {
        let copy = MemoryDisk::with_size(self.shared.total_bytes);
        for (path, node) in self.shared.nodes.lock().iter() {
            let node = match node {
                Node::Dir => Node::Dir,
                Node::File(file) => {
                    let content = file.content.lock().clone();
                    copy.shared
                        .used_bytes
                        .fetch_add(content.len() as u64, Ordering::Relaxed);
                    Node::File(copy.file(path, content))
                }
            };
            copy.shared.nodes.lock().insert(path.clone(), node);
        }
        copy
    }

    /// From now on there is room for no write, not even over what is there, as on a file system that copies on write;
    /// or there is again. Of a write that is refused the first half is done.
    pub fn fill(&self, is_full: bool) {
        self.shared.is_full.store(is_full, Ordering::Relaxed);
    }

    /// Bytes reserved in files beyond their ends.
    pub fn reserved_bytes(&self) -> u64 {
        let nodes = self.shared.nodes.lock();
        let reserved = nodes.values().map(|node| match node {
            Node::Dir => 0,
            Node::File(file) => {
                let end = file.reserved_end.load(Ordering::Relaxed);
                end.saturating_sub(file.content.lock().len() as u64)
            }
        });
        reserved.sum()
    }

    fn file(&self, path: &Path, content: Vec<u8>) -> Arc<MemoryFile> {
        Arc::new(MemoryFile {
            path: path.to_owned(),
            total_bytes: self.shared.total_bytes,
            used_bytes: self.shared.used_bytes.clone(),
            is_full: self.shared.is_full.clone(),
            reserved_end: AtomicU64::new(0),
            content: Mutex::new(content),
        })
    }

    fn remove(&self, path: &Path, is_dir: bool) -> Result<(), DiskError> {
        let operation = DiskOperation::Remove;
        let mut nodes = self.shared.nodes.lock();
        match (nodes.get(path), is_dir) {
            (None, _) => Err(not_found(operation, path)),
            (Some(Node::File(_)), true) => Err(refused(operation, path, "not a directory")),
            (Some(Node::Dir), false) => Err(refused(operation, path, "is a directory")),
            (Some(Node::Dir), true) if children(&nodes, path).next().is_some() => {
                Err(refused(operation, path, "directory not empty"))
            }
            (Some(_), _) => {
                nodes.remove(path);
                Ok(())
            }
        }
    }
}

impl Default for MemoryDisk {
    fn default() -> MemoryDisk {
        MemoryDisk::new()
    }
}

impl Disk for MemoryDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        let operation = DiskOperation::CreateDir;
        let mut nodes = self.shared.nodes.lock();
        match nodes.get(path) {
            Some(Node::Dir) => return Ok(()),
            Some(Node::File(_)) => {
                return Err(DiskError::AlreadyExists {
                    operation,
                    path: path.to_owned(),
                });
            }
            None => {}
        }
        check_parent(&nodes, operation, path)?;
        nodes.insert(path.to_owned(), Node::Dir);
        Ok(())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        let operation = DiskOperation::Open;
        let mut nodes = self.shared.nodes.lock();
        match (nodes.get(path), mode) {
            (Some(Node::Dir), _) => Err(refused(operation, path, "is a directory")),
            (Some(Node::File(_)), OpenMode::CreateNew) => Err(DiskError::AlreadyExists {
                operation,
                path: path.to_owned(),
            }),
            (Some(Node::File(file)), OpenMode::Read) => {
                Ok(Arc::new(ReadOnlyFile::new(file.clone(), path)))
            }
            (Some(Node::File(file)), OpenMode::ReadWrite | OpenMode::Create) => Ok(file.clone()),
            (None, OpenMode::Read | OpenMode::ReadWrite) => Err(not_found(operation, path)),
            (None, OpenMode::Create | OpenMode::CreateNew) => {
                check_parent(&nodes, operation, path)?;
                let file = self.file(path, Vec::new());
                nodes.insert(path.to_owned(), Node::File(file.clone()));
                Ok(file)
            }
        }
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        let nodes = self.shared.nodes.lock();
        match nodes.get(dir) {
            Some(Node::Dir) => {}
            Some(Node::File(_)) => {
                return Err(refused(DiskOperation::List, dir, "not a directory"));
            }
            None => return Err(not_found(DiskOperation::List, dir)),
        }
        let mut entries: Vec<DirEntry> = children(&nodes, dir)
            .filter(|(path, _)| path.parent() == Some(dir))
            .map(|(path, node)| DirEntry {
                name: path
                    .file_name()
                    .map(|name| name.to_string_lossy().into())
                    .unwrap_or_default(),
                is_dir: matches!(node, Node::Dir),
                size: match node {
                    Node::Dir => 0,
                    Node::File(file) => file.content.lock().len() as u64,
                },
            })
            .collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let operation = DiskOperation::Rename;
        let mut nodes = self.shared.nodes.lock();
        let Some(node) = nodes.get(from).cloned() else {
            return Err(not_found(operation, from));
        };
        check_parent(&nodes, operation, to)?;
        match (&node, nodes.get(to)) {
            (_, None) | (Node::File(_), Some(Node::File(_))) => {}
            (Node::Dir, Some(Node::Dir)) if children(&nodes, to).next().is_none() => {}
            (_, Some(_)) => {
                return Err(DiskError::AlreadyExists {
                    operation,
                    path: to.to_owned(),
                });
            }
        }
        if matches!(node, Node::Dir) {
            if to.starts_with(from) {
                return Err(refused(
                    operation,
                    from,
                    "a directory cannot move into itself",
                ));
            }
            let below: Vec<PathBuf> = children(&nodes, from)
                .map(|(path, _)| path.clone())
                .collect();
            for old in below {
                let Ok(rest) = old.strip_prefix(from) else {
                    continue;
                };
                let new = to.join(rest);
                if let Some(child) = nodes.remove(&old) {
                    nodes.insert(new, child);
                }
            }
        }
        nodes.remove(from);
        nodes.insert(to.to_owned(), node);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.remove(path, false)
    }

    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.remove(path, true)
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        match self.shared.nodes.lock().get(path) {
            Some(_) => Ok(()),
            None => Err(not_found(DiskOperation::SyncDir, path)),
        }
    }

    fn space(&self) -> Result<Space, DiskError> {
        let used = self.shared.used_bytes.load(Ordering::Relaxed);
        Ok(Space {
            free_bytes: self.shared.total_bytes.saturating_sub(used),
            total_bytes: self.shared.total_bytes,
        })
    }

    fn lock(&self, path: &Path) -> Result<DiskLock, DiskError> {
        self.open(path, OpenMode::Create)?;
        if !self.shared.locked.lock().insert(path.to_owned()) {
            return Err(DiskError::AlreadyLocked {
                path: path.to_owned(),
            });
        }
        Ok(DiskLock::new(HeldLock {
            locked: self.shared.locked.clone(),
            path: path.to_owned(),
        }))
    }
}

struct HeldLock {
    locked: Arc<Mutex<BTreeSet<PathBuf>>>,
    path: PathBuf,
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        self.locked.lock().remove(&self.path);
    }
}

impl MemoryFile {
    /// Changes the size of `content`, and the disk's used bytes with it.
    fn resize(
        &self,
        content: &mut Vec<u8>,
        size: u64,
        operation: DiskOperation,
    ) -> Result<(), DiskError> {
        let old = content.len() as u64;
        if size > old {
            let used = self.used_bytes.fetch_add(size - old, Ordering::Relaxed);
            if self.total_bytes < used + (size - old) {
                self.used_bytes.fetch_sub(size - old, Ordering::Relaxed);
                return Err(DiskError::Full {
                    operation,
                    path: self.path.clone(),
                });
            }
        } else {
            self.used_bytes.fetch_sub(old - size, Ordering::Relaxed);
        }
        content.resize(size as usize, 0);
        Ok(())
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        self.used_bytes
            .fetch_sub(self.content.get_mut().len() as u64, Ordering::Relaxed);
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, position: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let content = self.content.lock();
        let start = usize::try_from(position)
            .unwrap_or(usize::MAX)
            .min(content.len());
        let size = buf.len().min(content.len() - start);
        buf[..size].copy_from_slice(&content[start..start + size]);
        Ok(size)
    }

    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> Result<Option<usize>, DiskError> {
        self.read_at(position, buf).map(Some)
    }

    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        let size: usize = parts.iter().map(|part| part.len()).sum();
        let mut content = self.content.lock();
        if size == 0 {
            return Ok(());
        }
        let end = position + size as u64;
        if self.is_full.load(Ordering::Relaxed) {
            let room = content.len().saturating_sub(position as usize);
            let half = &parts.concat()[..room.min(size / 2)];
            if !half.is_empty() {
                content[position as usize..][..half.len()].copy_from_slice(half);
            }
            return Err(DiskError::Full {
                operation: DiskOperation::Write,
                path: self.path.clone(),
            });
        }
        if (content.len() as u64) < end {
            self.resize(&mut content, end, DiskOperation::Write)?;
        }
        let mut at = position as usize;
        for part in parts {
            content[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        Ok(())
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        Ok(())
    }

    fn set_len(&self, size: u64) -> Result<(), DiskError> {
        // As file systems do: a reservation does not outlive its being cut.
        self.reserved_end.store(0, Ordering::Relaxed);
        self.resize(&mut self.content.lock(), size, DiskOperation::SetLen)
    }

    fn allocate(&self, position: u64, size: u64) -> Result<(), DiskError> {
        self.reserved_end
            .fetch_max(position + size, Ordering::Relaxed);
        Ok(())
    }

    fn size(&self) -> Result<u64, DiskError> {
        Ok(self.content.lock().len() as u64)
    }
}

/// Everything below `dir`, at any depth.
fn children<'a>(
    nodes: &'a BTreeMap<PathBuf, Node>,
    dir: &'a Path,
) -> impl Iterator<Item = (&'a PathBuf, &'a Node)> {
    nodes
        .range(dir.to_owned()..)
        .take_while(move |(path, _)| path.starts_with(dir))
        .filter(move |(path, _)| path.as_path() != dir)
}

fn check_parent(
    nodes: &BTreeMap<PathBuf, Node>,
    operation: DiskOperation,
    path: &Path,
) -> Result<(), DiskError> {
    let parent = path.parent().unwrap_or(Path::new(""));
    match nodes.get(parent) {
        Some(Node::Dir) => Ok(()),
        Some(Node::File(_)) => Err(refused(operation, parent, "not a directory")),
        None => Err(not_found(operation, path)),
    }
}

fn not_found(operation: DiskOperation, path: &Path) -> DiskError {
    DiskError::NotFound {
        operation,
        path: path.to_owned(),
    }
}

fn refused(operation: DiskOperation, path: &Path, message: &str) -> DiskError {
    DiskError::Refused {
        operation,
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(disk: &MemoryDisk, path: &str) -> Vec<u8> {
        let file = disk.open(Path::new(path), OpenMode::Read).unwrap();
        let mut buf = vec![0; file.size().unwrap() as usize];
        assert_eq!(file.read_at(0, &mut buf).unwrap(), buf.len());
        buf
    }

    #[test]
    fn files_grow_with_zeros_and_reads_are_short_at_the_end() {
        let disk = MemoryDisk::new();
        let file = disk.open(Path::new("a"), OpenMode::CreateNew).unwrap();
        file.write_at(2, &[b"bc", b"", b"d"]).unwrap();
        assert_eq!(read(&disk, "a"), b"\0\0bcd");
        let mut buf = [9; 4];
        assert_eq!(file.read_at(3, &mut buf).unwrap(), 2);
        assert_eq!(file.read_at(30, &mut buf).unwrap(), 0);
        assert!(disk.open(Path::new("a"), OpenMode::CreateNew).is_err());
        assert!(
            disk.open(Path::new("b"), OpenMode::ReadWrite)
                .is_err_and(|e| e.is_not_found())
        );
    }

    #[test]
    fn renaming_a_directory_takes_its_files_along() {
        let disk = MemoryDisk::new();
        disk.create_dir(Path::new("d")).unwrap();
        disk.create_dir(Path::new("d/e")).unwrap();
        let file = disk.open(Path::new("d/e/f"), OpenMode::Create).unwrap();
        disk.open(Path::new("d-2"), OpenMode::Create).unwrap();
        file.write_at(0, &[b"x"]).unwrap();
        disk.rename(Path::new("d"), Path::new("g")).unwrap();
        file.write_at(1, &[b"y"]).unwrap();
        assert_eq!(read(&disk, "g/e/f"), b"xy");
        assert!(disk.remove_dir(Path::new("g/e")).is_err());
        disk.remove_file(Path::new("g/e/f")).unwrap();
        disk.remove_dir(Path::new("g/e")).unwrap();
        let names: Vec<String> = disk
            .list(Path::new(""))
            .unwrap()
            .into_iter()
            .map(|entry| entry.name)
            .collect();
        assert_eq!(names, ["d-2", "g"]);
    }

    #[test]
    fn a_full_disk_says_so_and_recovers_when_files_go() {
        let disk = MemoryDisk::with_size(10);
        let file = disk.open(Path::new("a"), OpenMode::Create).unwrap();
        file.write_at(0, &[&[1; 10]]).unwrap();
        let other = disk.open(Path::new("b"), OpenMode::Create).unwrap();
        assert!(other.write_at(0, &[b"x"]).is_err_and(|e| e.is_full()));
        drop(file);
        disk.remove_file(Path::new("a")).unwrap();
        other.write_at(0, &[b"x"]).unwrap();
        assert_eq!(disk.space().unwrap().free_bytes, 9);
    }

    #[test]
    fn a_lock_is_held_once_until_dropped() {
        let disk = MemoryDisk::new();
        let lock = disk.lock(Path::new(".lock")).unwrap();
        assert!(matches!(
            disk.lock(Path::new(".lock")),
            Err(DiskError::AlreadyLocked { .. })
        ));
        drop(lock);
        disk.lock(Path::new(".lock")).unwrap();
    }

    #[test]
    fn it_is_a_disk() {
        crate::disk_conformance::check(&MemoryDisk::new());
    }

    #[test]
    fn a_copy_is_independent() {
        let disk = MemoryDisk::new();
        let file = disk.open(Path::new("a"), OpenMode::Create).unwrap();
        file.write_at(0, &[b"1"]).unwrap();
        let copy = disk.copy();
        file.write_at(0, &[b"2"]).unwrap();
        assert_eq!(
            (read(&disk, "a"), read(&copy, "a")),
            (b"2".to_vec(), b"1".to_vec())
        );
    }
}
