//! The disks under a broker: one with the metadata log, and one for each log directory.

use crate::disk::{CrashKind, DiskFaults, FaultCounts, SimDisk};
use crate::trace;
use crate::trace::Trace;
use ottla_types::{DirectoryId, Prng, Uuid};

/// Room on each disk, in bytes: enough for every run that does not fill it on purpose.
const DISK_BYTES: u64 = 64 << 20;

/// A machine has fewer than so many.
pub(super) const DRIVES_MAX: usize = 5;

/// The disks of one machine. They crash together; whatever else goes wrong goes wrong with one of them.
///
/// The metadata log is on the first one, which has a log directory too unless the run puts the metadata apart.
pub(super) struct Drives {
    all: Vec<Drive>,
    is_metadata_apart: bool,
    /// Devices fail for good in this run.
    some_break: bool,
    /// From now on nothing happens to whole drives.
    is_steady: bool,
    /// Decides what happens to whole drives, and nothing else: runs with one drive do not draw from it.
    prng: Prng,
    trace: Trace,
}

struct Drive {
    disk: SimDisk,
    /// The faults of the run strike it.
    is_weak: bool,
    /// The coming start is told of it.
    is_named: bool,
}

/// A log directory that a start is told of.
pub(super) struct NamedDrive {
    pub(super) number: usize,
    pub(super) disk: SimDisk,
    /// Whether nobody serves anything without it: the metadata log is there, too.
    pub(super) is_home: bool,
}

impl Drives {
    /// The drives of a run; `first_seed` decides the faults of the first disk.
    pub(super) fn draw(seed: u64, first_seed: u64, trace: &Trace) -> Drives {
        let first = SimDisk::new(first_seed, DISK_BYTES, trace.clone());
        let mut prng = Prng::new(seed ^ 0x6472_6976_6573);
        let directories = *prng.pick(&[1, 1, 2, 3]);
        let is_metadata_apart = directories > 1 && prng.chance(1, 3);
        let count = directories + usize::from(is_metadata_apart);
        assert!(count < DRIVES_MAX, "every drive has a number that is known");
        let mut all = vec![Drive {
            disk: first,
            is_weak: true,
            is_named: true,
        }];
        for number in 1..count {
            let disk = all[0].disk.beside(number, prng.next_u64(), DISK_BYTES);
            all.push(Drive {
                disk,
                is_weak: prng.chance(1, 2),
                is_named: prng.chance(3, 4),
            });
        }
        if count > 1 {
            all[0].is_weak = prng.chance(1, 4);
            trace!(
                trace,
                "{directories} log directories, metadata apart: {is_metadata_apart}"
            );
        }
        let mut drives = Drives {
            all,
            is_metadata_apart,
            some_break: prng.chance(1, 2),
            is_steady: false,
            prng,
            trace: trace.clone(),
        };
        drives.name_one();
        drives
    }

    /// Whether there are several log directories.
    pub(super) fn are_many(&self) -> bool {
        1 < self.all.len()
    }

    /// How many disks there are.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// The disk of the metadata log.
    pub(super) fn home(&self) -> &SimDisk {
        &self.all[0].disk
    }

    /// A disk.
    pub(super) fn disk(&self, number: usize) -> &SimDisk {
        &self.all[number].disk
    }

    /// The log directories that a start is told of.
    pub(super) fn named(&self) -> Vec<NamedDrive> {
        let drives = self.all.iter().enumerate().skip(self.first_directory());
        let named = drives.filter(|(_, drive)| drive.is_named);
        let named = named.map(|(number, drive)| NamedDrive {
            number,
            disk: drive.disk.clone(),
            is_home: number == 0,
        });
        named.collect()
    }

    fn first_directory(&self) -> usize {
        usize::from(self.is_metadata_apart)
    }

    /// The faults of the run, for the disks that have any.
    pub(super) fn set_faults(&self, faults: &DiskFaults) {
        for drive in &self.all {
            drive.disk.set_faults(match drive.is_weak {
                true => faults.clone(),
                false => DiskFaults::default(),
            });
        }
    }

    /// Crashes inside the changing operation that comes after `operations` others; `None` takes it back.
    pub(super) fn crash_after(&self, operations: Option<u64>) {
        self.home().crash_after(operations);
    }

    /// Whether this life is over.
    pub(super) fn are_crashed(&self) -> bool {
        self.home().is_crashed()
    }

    /// The machine or the process ends and begins anew.
    pub(super) fn reboot(&mut self, kind: CrashKind) {
        for drive in &mut self.all {
            drive.disk = drive.disk.reboot(kind);
        }
    }

    /// One of the disks fills up to its last `free_bytes`.
    pub(super) fn leave_free(&mut self, free_bytes: u64) {
        let number = match self.are_many() {
            true => self.prng.below(self.all.len() as u64) as usize,
            false => 0,
        };
        self.all[number].disk.leave_free(free_bytes);
    }

    /// Every disk has room again.
    pub(super) fn make_room(&self) {
        for drive in &self.all {
            drive.disk.set_ballast(0);
        }
    }

    /// Virtual time that operations took since the last call, in nanoseconds.
    pub(super) fn take_elapsed_nanos(&self) -> u64 {
        let nanos = self.all.iter().map(|drive| drive.disk.take_elapsed_nanos());
        nanos.sum()
    }

    /// How often each fault struck, on all disks.
    pub(super) fn counts(&self) -> FaultCounts {
        let mut sum = FaultCounts::default();
        for drive in &self.all {
            sum.add(&drive.disk.counts());
        }
        sum
    }

    /// How many operations failed because of a fault, on all disks.
    pub(super) fn strikes(&self) -> u64 {
        self.all.iter().map(|drive| drive.disk.strikes()).sum()
    }

    /// Which of the log directories that are open has its turn: one of `count`.
    pub(super) fn turn(&mut self, count: usize) -> usize {
        match count {
            0 | 1 => 0,
            count => self.prng.below(count as u64) as usize,
        }
    }

    /// Now and then a device fails for good.
    pub(super) fn disturb(&mut self) {
        if !self.are_many() || self.is_steady || !self.some_break || !self.prng.chance(1, 1000) {
            return;
        }
        let number = self.prng.range(1, self.all.len() as u64) as usize;
        trace!(self.trace, "the device of drive {number} is gone");
        self.all[number].disk.set_broken(true);
    }

    /// Whether somebody ends the process now because directories are missing.
    pub(super) fn are_looked_after(&mut self) -> bool {
        !self.is_steady && self.prng.chance(1, 150)
    }

    /// Whether somebody wants a log to be in another directory.
    pub(super) fn wants_a_move(&mut self) -> bool {
        self.are_many() && !self.is_steady && self.prng.chance(1, 40)
    }

    /// Whether a client turns to another partition because the one it wants is in a directory that refuses.
    pub(super) fn gives_up_waiting(&mut self) -> bool {
        self.are_many() && !self.is_steady && self.prng.chance(1, 4)
    }

    /// What a person does to the drives before a start: takes one out, repairs one and puts it back, adds one.
    pub(super) fn replug(&mut self) {
        if !self.are_many() {
            return;
        }
        for number in 1..self.all.len() {
            let is_missing = !self.all[number].is_named || self.all[number].disk.is_broken();
            match is_missing {
                _ if self.is_steady => {}
                true if self.prng.chance(1, 2) => self.repair(number),
                false if self.prng.chance(1, 10) => self.all[number].is_named = false,
                true | false => {}
            }
        }
        self.name_one();
    }

    /// A broker has a log directory that it can open.
    fn name_one(&mut self) {
        let first = self.first_directory();
        let is_there = |drive: &Drive| drive.is_named && !drive.disk.is_broken();
        if !self.all[first..].iter().any(is_there) {
            self.repair(first);
        }
    }

    fn repair(&mut self, number: usize) {
        trace!(self.trace, "drive {number} is there");
        self.all[number].disk.set_broken(false);
        self.all[number].is_named = true;
    }

    /// From now on nothing happens to whole drives: what is missing stays so.
    pub(super) fn hold_still(&mut self) {
        self.is_steady = true;
    }

    /// Everything that is missing comes back, for good.
    pub(super) fn put_back(&mut self) {
        self.is_steady = true;
        for number in 1..self.all.len() {
            if !self.all[number].is_named || self.all[number].disk.is_broken() {
                self.repair(number);
            }
        }
    }
}

/// What the cluster calls the log directory on a drive.
pub(super) fn directory_id(number: usize) -> DirectoryId {
    DirectoryId::new(Uuid::from_bytes([7 + number as u8; 16]))
}

/// Where a person says that it is.
pub(super) fn directory_path(number: usize) -> String {
    match number {
        0 => "data".to_owned(),
        number => format!("data-{number}"),
    }
}
