use super::StorageWorld;
use super::crash::Trouble;
use crate::disk::{DiskFaults, Failure, FileClass, PlannedFailure};
use crate::hold;
use crate::oracle::Violation;
use crate::trace;
use ottla_storage::CleanerOptions;
use ottla_storage::disk::{Disk, DiskOperation, OpenMode};
use ottla_storage::log_dir::{LogDirOptions, PumpStep};
use ottla_storage::wal::{CommitStep, WalOptions, ZeroStep};
use std::path::Path;
use std::time::Duration;

/// The first byte of a batch that its checksum covers.
const CHECKED_FROM: u64 = 21;

impl StorageWorld {
    /// One step of one pump.
    pub(super) fn pump(&mut self) -> Result<(), Violation> {
        let now = self.clock.now();
        let is_cleaner = self.regime.compaction.is_some() && self.prng.chance(2, 5);
        let which = if is_cleaner { 20 } else { self.prng.below(20) };
        let Some(dir) = &self.here.dir else {
            return Ok(());
        };
        match which {
            0..9 => {
                let step = dir.commit_step(now);
                trace!(self.trace, "commit: {step:?}");
                self.here.excuse.pumped(now);
            }
            9..16 => {
                let step = dir.flush_step(now);
                trace!(self.trace, "flush: {step:?}");
                self.here.excuse.pumped(now);
            }
            16 => {
                let step = dir.zero_step(now);
                trace!(self.trace, "zero: {step:?}");
            }
            20 => {
                let step = dir.clean_step(now);
                trace!(self.trace, "clean: {step:?}");
            }
            17 => {
                let step = dir.scrub_step(now);
                trace!(self.trace, "scrub: {step:?}");
            }
            _ => {
                let step = dir.retention_step(now);
                trace!(self.trace, "retention: {step:?}");
                self.note_retention()?;
            }
        }
        Ok(())
    }

    /// Retention says no number for what it did: the log starts tell.
    pub(super) fn note_retention(&mut self) -> Result<(), Violation> {
        let Some(dir) = &self.here.dir else {
            return Ok(());
        };
        for partition in self.here.partitions.values_mut() {
            if let Some(ends) = dir.ends(partition.slot) {
                partition.note_ends(&ends)?;
            }
        }
        Ok(())
    }

    /// Some steps of every pump, in a fixed order.
    pub(super) fn pump_all(&mut self) -> Result<(), Violation> {
        for _ in 0..20 {
            self.clock.advance_nanos(100_000);
            let now = self.clock.now();
            let Some(dir) = &self.here.dir else {
                return Ok(());
            };
            let commit = dir.commit_step(now);
            let flush = dir.flush_step(now);
            self.here.excuse.pumped(now);
            if self.regime.compaction.is_some() {
                dir.clean_step(now);
            }
            let zero = dir.zero_step(now);
            let commit_rests = matches!(
                commit,
                CommitStep::Idle | CommitStep::Waiting { .. } | CommitStep::Failed(_)
            );
            let zero_rests = !matches!(zero, ZeroStep::Worked);
            if commit_rests && zero_rests && flush != PumpStep::Worked {
                break;
            }
        }
        self.append_written()
    }

    fn has_large_batches(&self) -> bool {
        self.regime.around_bytes < 20_000
    }

    /// The pumps run until none has anything to do, as on a node that is not busy.
    pub(super) fn pump_until_idle(&mut self) -> Result<(), Violation> {
        trace!(self.trace, "all pumps run");
        for _ in 0..self.prng.range(1, 4) {
            self.clock.advance_ms(30);
            self.pump_all()?;
            self.note_floors()?;
        }
        Ok(())
    }

    pub(super) fn let_time_pass(&mut self) -> Result<(), Violation> {
        let ms = *self.prng.pick(&[1, 20, 50, 1_000, 6_000, 40_000]);
        trace!(self.trace, "{ms} ms pass");
        self.clock.advance_ms(ms);
        Ok(())
    }

    /// The disk fills up, gets room again, is about to fail, or loses bits: as the regime allows.
    pub(super) fn disk_trouble(&mut self) -> Result<(), Violation> {
        match self.prng.below(4) {
            0 if self.regime.disk_fills => {
                let free = *self.prng.pick(&[0, 4_096, 50_000, 200_000]);
                trace!(self.trace, "the disk fills up to the last {free} bytes");
                self.here.disk.leave_free(free);
            }
            1 => {
                trace!(self.trace, "the disk has room");
                self.here.disk.set_ballast(0);
            }
            2 if self.regime.disk_fails && self.prng.chance(1, 3) => {
                let mut classes = [FileClass::Wal, FileClass::Segment, FileClass::Checkpoint];
                if self.has_large_batches() && self.prng.chance(1, 2) {
                    classes[1] = FileClass::Large;
                }
                let planned = PlannedFailure {
                    operation: *self.prng.pick(&[DiskOperation::Sync, DiskOperation::Write]),
                    class: Some(*self.prng.pick(&classes)),
                    failure: *self.prng.pick(&[Failure::Io, Failure::Full]),
                };
                trace!(self.trace, "{planned:?}");
                self.here.disk.fail_next(planned);
            }
            3 if self.regime.disk_lies && self.prng.chance(1, 4) => self.flip()?,
            _ => {}
        }
        Ok(())
    }

    /// Damages synced data, after the journal has had the time to prove that it is synced.
    fn flip(&mut self) -> Result<(), Violation> {
        for _ in 0..3 {
            self.clock.advance_ms(100);
            self.pump_all()?;
            self.note_floors()?;
        }
        let large = match self.has_large_batches() {
            true => FileClass::Large,
            false => FileClass::Segment,
        };
        let classes = [
            FileClass::Wal,
            FileClass::Segment,
            large,
            FileClass::Sidecar,
            FileClass::Index,
            FileClass::Checkpoint,
            FileClass::Snapshot,
        ];
        let class = *self.prng.pick(&classes);
        let is_proven = self
            .here
            .dir
            .as_ref()
            .is_none_or(|dir| dir.wal().is_clean());
        if let Some((path, position)) = self.here.disk.flip(class) {
            self.damaged = true;
            self.flipped_header |= class == FileClass::Segment && self.is_header(&path, position);
            // A full ring has no room for the proof.
            self.flipped_unproven |= class == FileClass::Wal && !is_proven;
            if self.scrubs && class == FileClass::Segment {
                self.scrub_everything();
                // The next one has to write behind the damage.
                return self.recover(Trouble::Allowed);
            }
        }
        Ok(())
    }

    /// Whether the byte at `position` of a segment is one that a batch's own checksum does not cover.
    fn is_header(&self, path: &Path, position: u64) -> bool {
        let mut bytes = vec![0; position as usize + 1];
        let log = self.here.disk.open(path, OpenMode::Read);
        if log.and_then(|log| log.read_at(0, &mut bytes)).is_err() {
            return true; // the machine has crashed: nobody can tell
        }
        let mut start = 0;
        while let Some(size) = bytes.get(start + 8..start + 12) {
            let size = u32::from_be_bytes(size.try_into().expect("four bytes")) as usize;
            if bytes.len() <= start + 12 + size {
                break;
            }
            start += 12 + size;
        }
        position < start as u64 + CHECKED_FROM
    }

    /// One pass of the scrub, which otherwise has no time to come round.
    fn scrub_everything(&mut self) {
        let Some(dir) = &self.here.dir else { return };
        self.here.disk.evict();
        dir.scrub_now();
        let passes = dir.scrub_stats().passes_count;
        for _ in 0..10_000 {
            self.clock.advance_ms(20);
            dir.scrub_step(self.clock.now());
            if passes < dir.scrub_stats().passes_count {
                break;
            }
        }
    }

    /// Small enough that a run of some thousand steps turns the ring many times.
    pub(super) fn options(&self) -> LogDirOptions {
        LogDirOptions {
            wal: WalOptions {
                planted: self.planted,
                ..WalOptions::tiny()
            },
            tail_bytes_max: 48 << 10,
            tail_idle: Duration::from_secs(3),
            write_bytes_max: 16 << 10,
            rewrite_bytes_max: 4 << 10,
            large_bytes_max: 48 << 10,
            reserve_bytes: 64 << 10,
            reserve_percent: 0,
            space_interval: Duration::from_millis(200),
            producer_expiration_ms: i64::MAX / 4,
            snapshot_producers: 3,
            retention_interval: Duration::from_secs(1),
            open_files_max: 4,
            around_bytes: self.regime.around_bytes,
            scrub_bytes_per_second: 1 << 20,
            cleaner: CleanerOptions {
                dedupe_bytes: 0, // as small as it gets
                backoff: Duration::from_millis(20),
                io_bytes_per_second: self.regime.compaction.and_then(|it| it.bytes_per_second),
                ..CleanerOptions::default()
            },
            planted: self.planted,
            ..LogDirOptions::default()
        }
    }

    /// Takes every fault away and gives the disks their room back.
    pub(super) fn calm_down(&mut self) {
        for place in self.places() {
            place.disk.set_faults(DiskFaults {
                would_block: self.regime.faults.would_block,
                ..DiskFaults::default()
            });
            place.disk.set_ballast(0);
        }
    }

    /// Adds what the open directory has reached to the report.
    pub(super) fn note_markers(&mut self) {
        let Some(dir) = &self.here.dir else { return };
        for &marker in ottla_storage::marker::Marker::ALL {
            let count = dir.markers().count(marker);
            if count > 0 {
                *self.report.markers.entry(marker).or_default() += count;
            }
        }
    }

    /// What a step must leave true whatever it was.
    pub(super) fn check_step(&mut self) -> Result<(), Violation> {
        let Some(dir) = &self.here.dir else {
            return Ok(());
        };
        hold!(
            dir.durable_lsn() <= dir.written_lsn(),
            "durable is written",
            "{} {}",
            dir.durable_lsn(),
            dir.written_lsn()
        );
        match self.damaged {
            true => Ok(()),
            false => {
                let now = self.clock.now();
                self.here.excuse.look(&self.here.disk, dir, now)
            }
        }
    }
}
