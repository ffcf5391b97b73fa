//! A small disk that crashes: unsynced sectors and names are kept or lost at random. The simulator has a
//! larger one; this one keeps the tests of the journal inside its own crate.

use ottla_storage::disk::{
    DirEntry, Disk, DiskError, DiskFile, DiskLock, DiskOperation, OpenMode, Space,
};
use ottla_types::Prng;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SECTOR_SIZE: usize = 512;

/// How the machine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed: the page cache survives.
    Kill,
    /// The power is cut: any subset of unsynced sectors and names survives.
    PowerCut,
}

/// One life of the machine: after its crash every operation fails, until [`CrashDisk::reboot`].
#[derive(Clone)]
pub struct CrashDisk {
    life: u64,
    machine: Arc<Mutex<Machine>>,
}

struct Machine {
    life: u64,
    is_crashed: bool,
    /// Changing operations left until one crashes inside.
    crash_after: Option<u64>,
    /// The next sync fails and drops what it should have written.
    fail_sync: bool,
    /// So many of the next writes have no room for all of what they should write.
    full_writes: u64,
    files: Vec<FileState>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    prng: Prng,
}

#[derive(Default)]
struct FileState {
    durable: Vec<u8>,
    current: Vec<u8>,
    dirty: BTreeSet<usize>,
}

struct CrashFile {
    disk: CrashDisk,
    path: PathBuf,
    index: usize,
}

impl CrashDisk {
    pub fn new(seed: u64) -> CrashDisk {
        CrashDisk {
            life: 0,
            machine: Arc::new(Mutex::new(Machine {
                life: 0,
                is_crashed: false,
                crash_after: None,
                fail_sync: false,
                full_writes: 0,
                files: Vec::new(),
                names: BTreeMap::new(),
                durable_names: BTreeMap::new(),
                prng: Prng::new(seed),
            })),
        }
    }

    /// Lets the machine crash inside the changing operation after `count` more.
    pub fn crash_after(&self, count: u64) {
        self.machine.lock().crash_after = Some(count);
    }

    /// Lets the next sync fail as Linux does: what was dirty is clean and not on the device.
    pub fn fail_next_sync(&self) {
        self.machine.lock().fail_sync = true;
    }

    /// Lets the next `count` writes find no room: any part of what they should write, or all of it, is written.
    pub fn fill_up(&self, count: u64) {
        self.machine.lock().full_writes = count;
    }

    /// The next life.
    pub fn reboot(&self, crash: Crash) -> CrashDisk {
        let mut machine = self.machine.lock();
        machine.life += 1;
        machine.is_crashed = false;
        machine.crash_after = None;
        machine.fail_sync = false;
        machine.full_writes = 0;
        if crash == Crash::PowerCut {
            machine.cut_power();
        }
        CrashDisk {
            life: machine.life,
            machine: self.machine.clone(),
        }
    }

    /// Flips a bit on the device and in the cache.
    pub fn flip(&self, path: &Path, bit: u64) {
        let mut machine = self.machine.lock();
        let index = machine.names[path];
        let file = &mut machine.files[index];
        let byte = (bit / 8) as usize;
        file.current[byte] ^= 1 << (bit % 8);
        if byte < file.durable.len() {
            file.durable[byte] ^= 1 << (bit % 8);
        }
    }

    /// All that a changing operation passes: false when the machine crashes inside it.
    fn enter(
        &self,
        machine: &mut Machine,
        operation: DiskOperation,
        path: &Path,
    ) -> Result<bool, DiskError> {
        self.check(machine, operation, path)?;
        match &mut machine.crash_after {
            Some(0) => {
                machine.is_crashed = true;
                Ok(false)
            }
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None => Ok(true),
        }
    }

    fn check(
        &self,
        machine: &Machine,
        operation: DiskOperation,
        path: &Path,
    ) -> Result<(), DiskError> {
        if machine.is_crashed || machine.life != self.life {
            return Err(failed(operation, path));
        }
        Ok(())
    }

    /// A change of names: done, or perhaps done when the machine crashes inside.
    fn change_names(
        &self,
        operation: DiskOperation,
        path: &Path,
        change: impl FnOnce(&mut BTreeMap<PathBuf, usize>),
    ) -> Result<(), DiskError> {
        let machine = &mut *self.machine.lock();
        let lives = self.enter(machine, operation, path)?;
        if lives || machine.prng.chance(1, 2) {
            change(&mut machine.names);
        }
        if lives {
            Ok(())
        } else {
            Err(failed(operation, path))
        }
    }
}

impl Machine {
    fn cut_power(&mut self) {
        for file in &mut self.files {
            let grows = self.prng.chance(1, 2);
            if grows {
                file.durable.resize(file.current.len(), 0);
            }
            for sector in std::mem::take(&mut file.dirty) {
                if self.prng.chance(1, 2) {
                    let start = sector * SECTOR_SIZE;
                    let end = (start + SECTOR_SIZE)
                        .min(file.current.len())
                        .min(file.durable.len());
                    if start < end {
                        file.durable[start..end].copy_from_slice(&file.current[start..end]);
                    }
                }
            }
            file.current = file.durable.clone();
        }
        let all: BTreeSet<PathBuf> = self
            .names
            .keys()
            .chain(self.durable_names.keys())
            .cloned()
            .collect();
        let mut names = BTreeMap::new();
        for path in all {
            let survivor = if self.prng.chance(1, 2) {
                &self.names
            } else {
                &self.durable_names
            };
            if let Some(index) = survivor.get(&path) {
                names.insert(path, *index);
            }
        }
        self.durable_names = names.clone();
        self.names = names;
    }
}

impl Disk for CrashDisk {
    fn create_dir(&self, _path: &Path) -> Result<(), DiskError> {
        Ok(())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        let operation = DiskOperation::Open;
        let mut machine = self.machine.lock();
        self.check(&machine, operation, path)?;
        let index = match (machine.names.get(path), mode) {
            (Some(_), OpenMode::CreateNew) => {
                return Err(DiskError::AlreadyExists {
                    operation,
                    path: path.to_owned(),
                });
            }
            (Some(index), _) => *index,
            (None, OpenMode::Create | OpenMode::CreateNew) => {
                if !self.enter(&mut machine, operation, path)? {
                    return Err(failed(operation, path));
                }
                let index = machine.files.len();
                machine.files.push(FileState::default());
                machine.names.insert(path.to_owned(), index);
                index
            }
            (None, OpenMode::Read | OpenMode::ReadWrite) => {
                return Err(DiskError::NotFound {
                    operation,
                    path: path.to_owned(),
                });
            }
        };
        Ok(Arc::new(CrashFile {
            disk: self.clone(),
            path: path.to_owned(),
            index,
        }))
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        let machine = self.machine.lock();
        self.check(&machine, DiskOperation::List, dir)?;
        let here = machine
            .names
            .iter()
            .filter(|(path, _)| path.parent() == Some(dir));
        Ok(here
            .map(|(path, index)| DirEntry {
                name: path
                    .file_name()
                    .map(|name| name.to_string_lossy().into())
                    .unwrap_or_default(),
                is_dir: false,
                size: machine.files[*index].current.len() as u64,
            })
            .collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.change_names(DiskOperation::Rename, from, |names| {
            if let Some(index) = names.remove(from) {
                names.insert(to.to_owned(), index);
            }
        })
    }

    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        let operation = DiskOperation::Remove;
        if !self.machine.lock().names.contains_key(path) {
            return Err(DiskError::NotFound {
                operation,
                path: path.to_owned(),
            });
        }
        self.change_names(operation, path, |names| {
            names.remove(path);
        })
    }

    fn remove_dir(&self, _path: &Path) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        let mut machine = self.machine.lock();
        if !self.enter(&mut machine, DiskOperation::SyncDir, path)? {
            return Err(failed(DiskOperation::SyncDir, path));
        }
        let machine = &mut *machine;
        machine
            .durable_names
            .retain(|name, _| name.parent() != Some(path));
        for (name, index) in machine
            .names
            .iter()
            .filter(|(name, _)| name.parent() == Some(path))
        {
            machine.durable_names.insert(name.clone(), *index);
        }
        Ok(())
    }

    fn space(&self) -> Result<Space, DiskError> {
        Ok(Space {
            free_bytes: 1 << 40,
            total_bytes: 1 << 40,
        })
    }

    fn lock(&self, _path: &Path) -> Result<DiskLock, DiskError> {
        Ok(DiskLock::new(()))
    }
}

impl DiskFile for CrashFile {
    fn read_at(&self, position: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let machine = self.disk.machine.lock();
        self.disk.check(&machine, DiskOperation::Read, &self.path)?;
        let content = &machine.files[self.index].current;
        let start = (position as usize).min(content.len());
        let size = buf.len().min(content.len() - start);
        buf[..size].copy_from_slice(&content[start..start + size]);
        Ok(size)
    }

    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> Result<Option<usize>, DiskError> {
        self.read_at(position, buf).map(Some)
    }

    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        let machine = &mut *self.disk.machine.lock();
        let bytes = parts.concat();
        let lives = self.disk.enter(machine, DiskOperation::Write, &self.path)?;
        let is_full = lives && 0 < machine.full_writes;
        let size = if lives && !is_full {
            bytes.len()
        } else {
            machine.prng.below(bytes.len() as u64 + 1) as usize
        };
        machine.files[self.index].write(position as usize, &bytes[..size]);
        if is_full {
            machine.full_writes -= 1;
            return Err(DiskError::Full {
                operation: DiskOperation::Write,
                path: self.path.clone(),
            });
        }
        if lives {
            Ok(())
        } else {
            Err(failed(DiskOperation::Write, &self.path))
        }
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        let machine = &mut *self.disk.machine.lock();
        let lives = self.disk.enter(machine, DiskOperation::Sync, &self.path)?;
        if !lives {
            return Err(failed(DiskOperation::Sync, &self.path));
        }
        let file = &mut machine.files[self.index];
        if std::mem::take(&mut machine.fail_sync) {
            file.dirty.clear();
            return Err(failed(DiskOperation::Sync, &self.path));
        }
        file.durable.resize(file.current.len(), 0);
        for sector in std::mem::take(&mut file.dirty) {
            let start = (sector * SECTOR_SIZE).min(file.current.len());
            let end = (start + SECTOR_SIZE).min(file.current.len());
            file.durable[start..end].copy_from_slice(&file.current[start..end]);
        }
        Ok(())
    }

    fn set_len(&self, size: u64) -> Result<(), DiskError> {
        let machine = &mut *self.disk.machine.lock();
        if !self
            .disk
            .enter(machine, DiskOperation::SetLen, &self.path)?
        {
            return Err(failed(DiskOperation::SetLen, &self.path));
        }
        machine.files[self.index].current.resize(size as usize, 0);
        Ok(())
    }

    fn allocate(&self, _position: u64, _size: u64) -> Result<(), DiskError> {
        Ok(())
    }

    fn size(&self) -> Result<u64, DiskError> {
        let machine = self.disk.machine.lock();
        self.disk.check(&machine, DiskOperation::Size, &self.path)?;
        Ok(machine.files[self.index].current.len() as u64)
    }
}

impl FileState {
    fn write(&mut self, position: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = position + bytes.len();
        if self.current.len() < end {
            self.current.resize(end, 0);
        }
        self.current[position..end].copy_from_slice(bytes);
        self.dirty
            .extend(position / SECTOR_SIZE..end.div_ceil(SECTOR_SIZE));
    }
}

fn failed(operation: DiskOperation, path: &Path) -> DiskError {
    DiskError::Io {
        operation,
        path: path.to_owned(),
        message: "the machine has crashed".into(),
    }
}
