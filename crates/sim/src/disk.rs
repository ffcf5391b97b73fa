//! The crashing disk: what a real one may do to us, decided by a seed.

mod faults;
mod file_node;
mod sim_file;
mod tree;

#[cfg(test)]
mod tests;

pub use faults::{CrashKind, DiskFaults, Failure, FaultCounts, FileClass, PlannedFailure};
pub use file_node::SyncDamage;

use crate::trace;
use crate::trace::Trace;
use ottla_storage::disk::{
    DirEntry, Disk, DiskError, DiskFile, DiskLock, DiskOperation, OpenMode, Space,
};
use ottla_types::Prng;
use parking_lot::Mutex;
use sim_file::SimFile;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tree::{Tree, TreeError};

/// A disk that loses, tears and damages what was not synced, and on demand what was.
///
/// A value of this type belongs to one *life* of the machine: after a crash every operation of that life
/// fails until [`SimDisk::reboot`] gives the next one. Same seed and same operations, same faults.
#[derive(Clone)]
pub struct SimDisk {
    life: u64,
    shared: Arc<Mutex<Machine>>,
}

/// What the disks of one machine have in common: it runs, or it does not.
#[derive(Default)]
struct Power {
    crashed: bool,
    /// How many changing operations, of any disk, are left before one crashes inside.
    crash_after: Option<u64>,
}

/// What survives reboots.
struct Machine {
    life: u64,
    power: Arc<Mutex<Power>>,
    /// The device does not answer any more.
    is_broken: bool,
    /// How many operations failed because of a fault.
    strikes: u64,
    tree: Tree,
    locked: BTreeSet<PathBuf>,
    capacity_bytes: u64,
    /// Bytes that somebody else on the disk takes.
    ballast_bytes: u64,
    faults: DiskFaults,
    planned: Vec<PlannedFailure>,
    counts: FaultCounts,
    /// Virtual time that operations took since it was last asked for, in nanoseconds.
    elapsed_nanos: u64,
    operations: u64,
    prng: Prng,
    trace: Trace,
    /// Which disk of its machine it is, for the trace.
    name: String,
}

/// What becomes of an operation that passed the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Done,
    /// The machine crashes while it is under way: part of it may have happened.
    CrashInside,
}

/// The message of every operation of a life that is over.
const CRASHED: &str = "the machine has crashed";

impl SimDisk {
    /// An empty disk of `capacity_bytes` whose faults `seed` decides.
    pub fn new(seed: u64, capacity_bytes: u64, trace: Trace) -> SimDisk {
        SimDisk::powered(
            Arc::default(),
            "disk".to_owned(),
            seed,
            capacity_bytes,
            trace,
        )
    }

    /// Another disk of the same machine, the `number`th, empty: it crashes and loses power when this one does, and otherwise has faults
    /// of its own, which `seed` decides.
    pub fn beside(&self, number: usize, seed: u64, capacity_bytes: u64) -> SimDisk {
        let machine = self.shared.lock();
        let (power, name) = (Arc::clone(&machine.power), format!("disk {number}"));
        SimDisk::powered(power, name, seed, capacity_bytes, machine.trace.clone())
    }

    fn powered(
        power: Arc<Mutex<Power>>,
        name: String,
        seed: u64,
        capacity_bytes: u64,
        trace: Trace,
    ) -> SimDisk {
        SimDisk {
            life: 0,
            shared: Arc::new(Mutex::new(Machine {
                life: 0,
                power,
                is_broken: false,
                strikes: 0,
                tree: Tree::new(),
                locked: BTreeSet::new(),
                capacity_bytes,
                ballast_bytes: 0,
                faults: DiskFaults::default(),
                planned: Vec::new(),
                counts: FaultCounts::default(),
                elapsed_nanos: 0,
                operations: 0,
                prng: Prng::new(seed),
                trace,
                name,
            })),
        }
    }

    /// Ends this life and begins the next: the returned handle sees what survived. To be called for every disk of the
    /// machine.
    pub fn reboot(&self, kind: CrashKind) -> SimDisk {
        let mut guard = self.shared.lock();
        let machine = &mut *guard;
        assert!(machine.life == self.life, "only the current life can end");
        match kind {
            CrashKind::ProcessKill => {
                machine.counts.kills += 1;
                for file in machine.tree.all_files_mut() {
                    file.evict(&mut machine.prng);
                }
                machine.tree.sweep();
            }
            CrashKind::PowerLoss => {
                machine.counts.power_losses += 1;
                if machine.tree.all_files_mut().any(|file| file.has_unsynced()) {
                    machine.counts.torn_power_losses += 1;
                }
                machine.tree.lose_power(&mut machine.prng);
            }
        }
        machine.life += 1;
        *machine.power.lock() = Power::default();
        machine.planned.clear();
        machine.locked.clear();
        machine.note(format_args!("{kind:?}, life {} begins", machine.life));
        SimDisk {
            life: machine.life,
            shared: self.shared.clone(),
        }
    }

    /// True when this life is over.
    pub fn is_crashed(&self) -> bool {
        let machine = self.shared.lock();
        machine.is_crashed() || machine.life != self.life
    }

    /// Crashes inside the changing operation that comes after `operations` others; `None` takes it back.
    pub fn crash_after(&self, operations: Option<u64>) {
        self.shared.lock().power.lock().crash_after = operations;
    }

    /// From now on the device answers nothing but errors, also in lives to come, or it is well again.
    pub fn set_broken(&self, is_broken: bool) {
        self.shared.lock().is_broken = is_broken;
    }

    /// Whether the device answers nothing but errors.
    pub fn is_broken(&self) -> bool {
        self.shared.lock().is_broken
    }

    /// How many operations of all lives failed because of a fault: as long as it stays, nobody has anything to complain
    /// of but crashes.
    pub fn strikes(&self) -> u64 {
        self.shared.lock().strikes
    }

    /// Room that is left, in bytes.
    pub fn free_bytes(&self) -> u64 {
        self.shared.lock().free_bytes()
    }

    /// Replaces the faults.
    pub fn set_faults(&self, faults: DiskFaults) {
        self.shared.lock().faults = faults;
    }

    /// The faults in force.
    pub fn faults(&self) -> DiskFaults {
        self.shared.lock().faults.clone()
    }

    /// Makes one coming operation fail.
    pub fn fail_next(&self, planned: PlannedFailure) {
        self.shared.lock().planned.push(planned);
    }

    /// Takes room away: `bytes` of the disk belong to somebody else from now on.
    pub fn set_ballast(&self, bytes: u64) {
        self.shared.lock().ballast_bytes = bytes;
    }

    /// Flips one bit of synced data in one file of `class`; says where.
    pub fn flip(&self, class: FileClass) -> Option<(PathBuf, u64)> {
        let mut guard = self.shared.lock();
        let machine = &mut *guard;
        let mut files = machine.tree.files();
        files.retain(|(path, _)| FileClass::of(Path::new(path)) == class);
        if files.is_empty() {
            return None;
        }
        let (path, ino) = machine.prng.pick(&files).clone();
        let file = machine.tree.file_mut(ino).ok()?;
        let position = file.flip(&mut machine.prng)? as u64;
        machine.counts.damaged += 1;
        machine.note(format_args!("flipped a bit of {path} at {position}"));
        Some((PathBuf::from(path), position))
    }

    /// Takes room away until only `bytes` are free.
    pub fn leave_free(&self, bytes: u64) {
        let mut machine = self.shared.lock();
        let used = machine.tree.used_bytes();
        machine.ballast_bytes = machine.capacity_bytes.saturating_sub(used + bytes);
    }

    /// The page cache drops clean pages, so that lost and misdirected writes show.
    pub fn evict(&self) {
        let mut guard = self.shared.lock();
        let machine = &mut *guard;
        for file in machine.tree.all_files_mut() {
            file.evict(&mut machine.prng);
        }
    }

    /// Virtual time that operations took since the last call, in nanoseconds.
    pub fn take_elapsed_nanos(&self) -> u64 {
        std::mem::take(&mut self.shared.lock().elapsed_nanos)
    }

    /// How many operations were tried in all lives.
    pub fn operations(&self) -> u64 {
        self.shared.lock().operations
    }

    /// How often each fault struck in all lives.
    pub fn counts(&self) -> FaultCounts {
        self.shared.lock().counts.clone()
    }

    /// Every visible file with its size in bytes, in the order of paths.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        let machine = self.shared.lock();
        let files = machine.tree.files();
        files
            .into_iter()
            .map(|(path, ino)| {
                let size = machine.tree.file(ino).map_or(0, |file| file.size() as u64);
                (PathBuf::from(path), size)
            })
            .collect()
    }

    fn names(
        &self,
        operation: DiskOperation,
        path: &Path,
        change: impl FnOnce(&mut Tree) -> Result<(), TreeError>,
    ) -> Result<(), DiskError> {
        let mut machine = self.shared.lock();
        let fate = machine.enter(self.life, operation, path)?;
        if fate == Fate::CrashInside {
            if machine.prng.chance(1, 2) {
                let _ = change(&mut machine.tree);
            }
            return Err(crashed(operation, path));
        }
        machine.note(format_args!("{operation} {}", path.display()));
        machine.planned_failure(operation, path)?;
        change(&mut machine.tree).map_err(|error| tree_error(error, operation, path))
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.names(DiskOperation::CreateDir, path, |tree| {
            match tree.create_dir(path) {
                Ok(_) | Err(TreeError::AlreadyExists) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        let operation = DiskOperation::Open;
        let mut machine = self.shared.lock();
        let found = machine.tree.lookup(path);
        let fate = match (mode, found) {
            (OpenMode::Create | OpenMode::CreateNew, Err(_)) => {
                machine.enter(self.life, operation, path)?
            }
            _ => machine.enter_reading(self.life, operation, path)?,
        };
        if fate == Fate::CrashInside {
            if machine.prng.chance(1, 2) {
                let _ = machine.tree.create_file(path);
            }
            return Err(crashed(operation, path));
        }
        machine.planned_failure(operation, path)?;
        let ino = match (mode, found) {
            (OpenMode::CreateNew, Ok(_)) => Err(TreeError::AlreadyExists),
            (OpenMode::Create | OpenMode::CreateNew, Err(TreeError::NotFound)) => {
                machine.tree.create_file(path)
            }
            (_, found) => found,
        };
        let token = ino.and_then(|ino| Ok((ino, machine.tree.file(ino)?.open.clone())));
        let (ino, open) = token.map_err(|error| tree_error(error, operation, path))?;
        Ok(Arc::new(SimFile::new(self.clone(), path, ino, open)))
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, DiskError> {
        let mut machine = self.shared.lock();
        machine.enter_reading(self.life, DiskOperation::List, dir)?;
        let names = machine.tree.list(dir);
        let names = names.map_err(|error| tree_error(error, DiskOperation::List, dir))?;
        Ok(names
            .into_iter()
            .map(|(name, size)| DirEntry {
                name,
                is_dir: size.is_none(),
                size: size.unwrap_or(0),
            })
            .collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.names(DiskOperation::Rename, from, |tree| tree.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> Result<(), DiskError> {
        self.names(DiskOperation::Remove, path, |tree| tree.remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.names(DiskOperation::Remove, path, |tree| tree.remove_dir(path))
    }

    fn sync_dir(&self, path: &Path) -> Result<(), DiskError> {
        self.names(DiskOperation::SyncDir, path, |tree| tree.sync_dir(path))
    }

    fn space(&self) -> Result<Space, DiskError> {
        let mut machine = self.shared.lock();
        machine.enter_reading(self.life, DiskOperation::Space, Path::new(""))?;
        Ok(Space {
            free_bytes: machine.free_bytes(),
            total_bytes: machine.capacity_bytes,
        })
    }

    fn lock(&self, path: &Path) -> Result<DiskLock, DiskError> {
        self.open(path, OpenMode::Create)?;
        let mut machine = self.shared.lock();
        if !machine.locked.insert(path.to_owned()) {
            let path = path.to_owned();
            return Err(DiskError::AlreadyLocked { path });
        }
        Ok(DiskLock::new(HeldLock {
            disk: self.clone(),
            path: path.to_owned(),
        }))
    }
}

/// Frees its path when dropped, unless the life it was taken in is over.
struct HeldLock {
    disk: SimDisk,
    path: PathBuf,
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        let mut machine = self.disk.shared.lock();
        if machine.life == self.disk.life {
            machine.locked.remove(&self.path);
        }
    }
}

impl Machine {
    /// The gate of operations that change something.
    fn enter(
        &mut self,
        life: u64,
        operation: DiskOperation,
        path: &Path,
    ) -> Result<Fate, DiskError> {
        self.enter_reading(life, operation, path)?;
        let mut power = self.power.lock();
        match &mut power.crash_after {
            Some(0) => {
                power.crashed = true;
                drop(power);
                self.counts.crashes_inside += 1;
                self.note(format_args!("crash inside {operation} {}", path.display()));
                Ok(Fate::CrashInside)
            }
            Some(left) => {
                *left -= 1;
                Ok(Fate::Done)
            }
            None => Ok(Fate::Done),
        }
    }

    /// The gate of operations that change nothing.
    fn enter_reading(
        &mut self,
        life: u64,
        operation: DiskOperation,
        path: &Path,
    ) -> Result<Fate, DiskError> {
        if self.is_crashed() || self.life != life {
            return Err(crashed(operation, path));
        }
        self.operations += 1;
        if self.is_broken {
            self.strikes += 1;
            self.counts.failed_operations += 1;
            return Err(io(operation, path, "the device is gone"));
        }
        let mut nanos = match operation {
            DiskOperation::Sync | DiskOperation::SyncDir => 400_000,
            DiskOperation::Write => 20_000,
            _ => 5_000,
        };
        if self.faults.slow > 0 && self.strike(self.faults.slow) {
            nanos = self.prng.below(self.faults.slow_nanos_max.max(1));
            self.counts.slow_operations += 1;
        }
        self.elapsed_nanos += nanos;
        Ok(Fate::Done)
    }

    /// Adds a line to the trace.
    fn note(&self, line: fmt::Arguments<'_>) {
        trace!(self.trace, "{}: {line}", self.name);
    }

    /// True `chance` times in 100,000.
    fn strike(&mut self, chance: u64) -> bool {
        chance > 0 && self.prng.chance(chance, 100_000)
    }

    fn planned_failure(&mut self, operation: DiskOperation, path: &Path) -> Result<(), DiskError> {
        let class = FileClass::of(path);
        let position = self.planned.iter().position(|planned| {
            planned.operation == operation && planned.class.is_none_or(|wanted| wanted == class)
        });
        let Some(failure) = position.map(|index| self.planned.remove(index).failure) else {
            return Ok(());
        };
        self.strikes += 1;
        match failure {
            Failure::Full => Err(full(operation, path)),
            Failure::Io => Err(io(operation, path, "an injected error")),
        }
    }

    fn is_crashed(&self) -> bool {
        self.power.lock().crashed
    }

    fn free_bytes(&self) -> u64 {
        let taken = self.tree.used_bytes() + self.ballast_bytes;
        self.capacity_bytes.saturating_sub(taken)
    }
}

fn crashed(operation: DiskOperation, path: &Path) -> DiskError {
    io(operation, path, CRASHED)
}

fn full(operation: DiskOperation, path: &Path) -> DiskError {
    DiskError::Full {
        operation,
        path: path.to_owned(),
    }
}

fn io(operation: DiskOperation, path: &Path, message: &str) -> DiskError {
    DiskError::Io {
        operation,
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

fn refused(operation: DiskOperation, path: &Path, message: &str) -> DiskError {
    DiskError::Refused {
        operation,
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

fn tree_error(error: TreeError, operation: DiskOperation, path: &Path) -> DiskError {
    match error {
        TreeError::NotFound => DiskError::NotFound {
            operation,
            path: path.to_owned(),
        },
        TreeError::AlreadyExists => DiskError::AlreadyExists {
            operation,
            path: path.to_owned(),
        },
        TreeError::NotADirectory => refused(operation, path, "not a directory"),
        TreeError::IsADirectory => refused(operation, path, "is a directory"),
        TreeError::NotEmpty => refused(operation, path, "the directory is not empty"),
    }
}
