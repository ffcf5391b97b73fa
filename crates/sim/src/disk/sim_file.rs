use super::tree::Ino;
use super::{Fate, Machine, SimDisk, crashed, full, io, tree_error};
use ottla_storage::disk::{DiskError, DiskFile, DiskOperation};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open file of a [`SimDisk`], of the life in which it was opened.
pub(super) struct SimFile {
    disk: SimDisk,
    /// Where it was when it was opened: for messages and for aiming faults.
    path: PathBuf,
    ino: Ino,
    _open: Arc<()>,
}

impl SimFile {
    pub(super) fn new(disk: SimDisk, path: &Path, ino: Ino, open: Arc<()>) -> SimFile {
        SimFile {
            disk,
            path: path.to_owned(),
            ino,
            _open: open,
        }
    }

    fn read(&self, machine: &mut Machine, at: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let operation = DiskOperation::Read;
        machine.planned_failure(operation, &self.path)?;
        if machine.faults.strikes(&self.path) && machine.strike(machine.faults.read_fails) {
            machine.strikes += 1;
            machine.counts.failed_operations += 1;
            machine.note(format_args!("read of {} fails", self.path.display()));
            return Err(io(operation, &self.path, "an injected error"));
        }
        let file = machine.tree.file(self.ino);
        let file = file.map_err(|error| tree_error(error, operation, &self.path))?;
        Ok(file.read(at as usize, buf))
    }

    /// Writes the first `size` bytes of `parts`.
    fn write_some(&self, machine: &mut Machine, at: u64, parts: &[&[u8]], size: u64) {
        let Ok(file) = machine.tree.file_mut(self.ino) else {
            return;
        };
        let (mut position, mut left) = (at as usize, size as usize);
        for part in parts {
            let count = part.len().min(left);
            file.write(position, &part[..count], &mut machine.prng);
            position += count;
            left -= count;
        }
    }

    /// How a write of `size` bytes that would end at `end` goes wrong, if it does.
    fn write_failure(&self, machine: &mut Machine, end: u64) -> Option<DiskError> {
        let operation = DiskOperation::Write;
        if let Err(error) = machine.planned_failure(operation, &self.path) {
            return Some(error);
        }
        let allocated = machine.tree.file(self.ino).map_or(0, |file| file.allocated);
        let grows = end.saturating_sub(allocated);
        if grows > 0 && (machine.free_bytes() < grows || machine.strike(machine.faults.write_full))
        {
            machine.strikes += 1;
            return Some(full(operation, &self.path));
        }
        if machine.faults.strikes(&self.path) && machine.strike(machine.faults.write_fails) {
            machine.strikes += 1;
            return Some(io(operation, &self.path, "an injected error"));
        }
        None
    }

    fn sync_failure(&self, machine: &mut Machine) -> Option<DiskError> {
        let operation = DiskOperation::Sync;
        if let Err(error) = machine.planned_failure(operation, &self.path) {
            return Some(error);
        }
        if !machine.faults.strikes(&self.path) {
            return None;
        }
        if machine.strike(machine.faults.sync_fails) {
            machine.strikes += 1;
            return Some(io(operation, &self.path, "an injected error"));
        }
        if machine.strike(machine.faults.sync_full) {
            machine.strikes += 1;
            return Some(full(operation, &self.path));
        }
        None
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, position: u64, buf: &mut [u8]) -> Result<usize, DiskError> {
        let mut machine = self.disk.shared.lock();
        machine.enter_reading(self.disk.life, DiskOperation::Read, &self.path)?;
        self.read(&mut machine, position, buf)
    }

    fn try_read_at(&self, position: u64, buf: &mut [u8]) -> Result<Option<usize>, DiskError> {
        let mut machine = self.disk.shared.lock();
        machine.enter_reading(self.disk.life, DiskOperation::Read, &self.path)?;
        let would_block = machine.faults.would_block;
        if machine.strike(would_block) {
            machine.counts.would_blocks += 1;
            return Ok(None);
        }
        self.read(&mut machine, position, buf).map(Some)
    }

    fn write_at(&self, position: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        let operation = DiskOperation::Write;
        let size: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let mut guard = self.disk.shared.lock();
        let machine = &mut *guard;
        let fate = machine.enter(self.disk.life, operation, &self.path)?;
        if fate == Fate::CrashInside {
            let written = machine.prng.below(size + 1);
            self.write_some(machine, position, parts, written);
            return Err(crashed(operation, &self.path));
        }
        machine.note(format_args!(
            "write {} at {position}, {size} bytes",
            self.path.display()
        ));
        if let Some(error) = self.write_failure(machine, position + size) {
            // What fits is written before the error shows.
            let allocated = machine.tree.file(self.ino).map_or(0, |file| file.allocated);
            let room = (allocated + machine.free_bytes()).saturating_sub(position);
            let written = machine.prng.below(size.min(room) + 1);
            self.write_some(machine, position, parts, written);
            match error.is_full() {
                true => machine.counts.full_writes += 1,
                false => machine.counts.failed_operations += 1,
            }
            machine.note(format_args!("{error}; {written} bytes were written"));
            return Err(error);
        }
        self.write_some(machine, position, parts, size);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        let operation = DiskOperation::Sync;
        let mut guard = self.disk.shared.lock();
        let machine = &mut *guard;
        let fate = machine.enter(self.disk.life, operation, &self.path)?;
        machine.note(format_args!("sync {}", self.path.display()));
        let failure = match fate {
            Fate::Done => self.sync_failure(machine),
            Fate::CrashInside => None,
        };
        let strikes = machine.faults.strikes(&self.path);
        let file = machine.tree.file_mut(self.ino);
        let file = file.map_err(|error| tree_error(error, operation, &self.path))?;
        if fate == Fate::CrashInside {
            file.sync_some(&mut machine.prng);
            return Err(crashed(operation, &self.path));
        }
        if let Some(error) = failure {
            file.fail_sync(&mut machine.prng);
            machine.counts.failed_syncs += 1;
            machine.note(format_args!("{error}"));
            return Err(error);
        }
        let damage = match strikes {
            true => machine.faults.sync_damage,
            false => Default::default(),
        };
        machine.counts.damaged += file.sync(damage, &mut machine.prng);
        Ok(())
    }

    fn set_len(&self, size: u64) -> Result<(), DiskError> {
        let operation = DiskOperation::SetLen;
        let mut machine = self.disk.shared.lock();
        let fate = machine.enter(self.disk.life, operation, &self.path)?;
        machine.note(format_args!(
            "set length of {} to {size}",
            self.path.display()
        ));
        let happens = fate == Fate::Done || machine.prng.chance(1, 2);
        if fate == Fate::Done {
            machine.planned_failure(operation, &self.path)?;
        }
        let file = machine.tree.file_mut(self.ino);
        let file = file.map_err(|error| tree_error(error, operation, &self.path))?;
        if happens {
            file.set_len(size as usize);
        }
        match fate {
            Fate::Done => Ok(()),
            Fate::CrashInside => Err(crashed(operation, &self.path)),
        }
    }

    fn allocate(&self, position: u64, size: u64) -> Result<(), DiskError> {
        let operation = DiskOperation::Allocate;
        let mut machine = self.disk.shared.lock();
        let fate = machine.enter(self.disk.life, operation, &self.path)?;
        if fate == Fate::CrashInside {
            return Err(crashed(operation, &self.path));
        }
        machine.planned_failure(operation, &self.path)?;
        let free = machine.free_bytes();
        let allocated = machine.tree.file(self.ino).map_or(0, |file| file.allocated);
        let grows = (position + size).saturating_sub(allocated);
        let strikes = machine.faults.write_full;
        if grows > free || (grows > 0 && machine.strike(strikes)) {
            machine.strikes += 1;
            machine.counts.full_writes += 1;
            return Err(full(operation, &self.path));
        }
        let file = machine.tree.file_mut(self.ino);
        let file = file.map_err(|error| tree_error(error, operation, &self.path))?;
        file.allocated = file.allocated.max(position + size);
        Ok(())
    }

    fn size(&self) -> Result<u64, DiskError> {
        let mut machine = self.disk.shared.lock();
        machine.enter_reading(self.disk.life, DiskOperation::Size, &self.path)?;
        let file = machine.tree.file(self.ino);
        let file = file.map_err(|error| tree_error(error, DiskOperation::Size, &self.path))?;
        Ok(file.size() as u64)
    }
}
