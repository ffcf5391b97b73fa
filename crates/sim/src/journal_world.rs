//! The journal alone on the crashing disk: a world small enough that a run wraps the ring many times.

use crate::clock::Clock;
use crate::disk::{CrashKind, DiskFaults, SimDisk};
use crate::hold;
use crate::oracle::Violation;
use crate::report::RunReport;
use crate::trace;
use crate::trace::Trace;
use bytes::Bytes;
use ottla_storage::disk::Disk;
use ottla_storage::marker::{Marker, Markers};
use ottla_storage::planted::Planted;
use ottla_storage::wal::{
    CommitStep, DurabilityClass, Entry, EntryHeader, EntryKind, PAGE_SIZE, Replayed, Wal, WalError,
    WalOptions, WalPosition, WalRecovery, WalStart,
};
use ottla_types::{Lsn, Offset, PartitionId, Prng, TopicId, TopicPartition, Uuid};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What was queued under one number.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Queued {
    header: EntryHeader,
    class: DurabilityClass,
    body: Bytes,
}

/// What a durable checkpoint would say about the journal.
#[derive(Clone, Copy, Debug)]
struct Checkpoint {
    position: WalPosition,
    /// What was durable when it was made.
    durable: Lsn,
}

/// One run.
pub struct JournalWorld {
    prng: Prng,
    disk: SimDisk,
    trace: Trace,
    clock: Clock,
    planted: Planted,
    markers: Arc<Markers>,
    wal: Option<Wal>,
    /// Everything that may still be replayed, by number.
    queued: BTreeMap<u64, Queued>,
    /// Numbers up to here survive a power cut.
    durable: Lsn,
    /// Numbers up to here survive a kill, as long as no sync failed.
    written: Lsn,
    /// Checkpoints that are durable: the newest, and the one before.
    newest: Option<Checkpoint>,
    kept: Option<Checkpoint>,
    /// What the last checkpoint needed: it never goes back.
    needed: Lsn,
    next_offset: i64,
    crashes_per_mille: u64,
    faults: DiskFaults,
    failed: bool,
    small_first_file: bool,
    report: RunReport,
}

impl JournalWorld {
    /// Runs `steps` steps of `seed` and then lets everything come to rest.
    pub fn run(
        seed: u64,
        steps: u64,
        planted: Planted,
        trace: Trace,
    ) -> Result<RunReport, Violation> {
        let mut world = JournalWorld::new(seed, planted, trace);
        world.reopen()?;
        for step in 0..steps {
            world.report.steps = step + 1;
            world.step()?;
            world.after_step()?;
        }
        world.come_to_rest()?;
        for &marker in Marker::ALL {
            let count = world.markers.count(marker);
            if count > 0 {
                world.report.markers.insert(marker, count);
            }
        }
        world.report.faults = world.disk.counts();
        world.report.trace_hash = world.trace.hash();
        Ok(world.report)
    }

    fn new(seed: u64, planted: Planted, trace: Trace) -> JournalWorld {
        let mut prng = Prng::new(seed);
        let mut faults = DiskFaults::default();
        if prng.chance(1, 3) {
            faults.sync_fails = 300;
            faults.sync_full = 100;
            faults.write_fails = 100;
        }
        if prng.chance(1, 3) {
            faults.write_full = 2_000;
        }
        trace!(trace, "seed {seed}: {faults:?}");
        JournalWorld {
            disk: SimDisk::new(prng.next_u64(), 4 << 20, trace.clone()),
            crashes_per_mille: *prng.pick(&[3, 10, 40]),
            prng,
            trace,
            clock: Clock::new(),
            planted,
            markers: Arc::new(Markers::new()),
            wal: None,
            queued: BTreeMap::new(),
            durable: Lsn::ZERO,
            written: Lsn::ZERO,
            newest: None,
            kept: None,
            needed: Lsn::new(1),
            next_offset: 0,
            faults,
            small_first_file: seed % 16 == 5,
            failed: false,
            report: RunReport::default(),
        }
    }

    fn step(&mut self) -> Result<(), Violation> {
        self.clock.advance_nanos(self.prng.below(1_000_000));
        if self.prng.chance(self.crashes_per_mille, 1000) {
            let operations = self.prng.below(12);
            self.disk.crash_after(Some(operations));
            return Ok(());
        }
        let Some(wal) = &self.wal else {
            return self.reopen();
        };
        match self.prng.below(100) {
            0..35 => self.enqueue(),
            35..45 => {
                let step = wal.write_unawaited(self.clock.now());
                trace!(self.trace, "write: {step:?}");
                self.failed |= matches!(step, Some(CommitStep::Failed(_)));
                Ok(())
            }
            45..85 => {
                let step = wal.commit_step(self.clock.now());
                trace!(self.trace, "commit: {step:?}");
                self.failed |= matches!(step, CommitStep::Failed(_));
                Ok(())
            }
            85..90 => {
                let step = wal.zero_step(self.clock.now());
                trace!(self.trace, "zero: {step:?}");
                Ok(())
            }
            90..96 => self.checkpoint(),
            96..98 => {
                self.clock.advance_ms(self.prng.below(3_000));
                Ok(())
            }
            _ => {
                wal.sync_soon();
                Ok(())
            }
        }
    }

    fn enqueue(&mut self) -> Result<(), Violation> {
        let Some(wal) = &self.wal else { return Ok(()) };
        let size = match self.prng.below(10) {
            0 => self.prng.below(30_000),
            1 => 0,
            _ => self.prng.below(2_000),
        };
        let mut body = vec![0; size as usize];
        self.prng.fill(&mut body);
        let kind = EntryKind::from_u8(self.prng.range(1, 9) as u8).expect("there are eight kinds");
        let records = self.prng.below(5) as i64;
        let header = EntryHeader {
            kind,
            topic_partition: TopicPartition {
                topic_id: TopicId::new(Uuid::from_bytes([self.prng.below(3) as u8; 16])),
                partition: PartitionId::new(self.prng.below(4) as i32),
            },
            base_offset: Offset::new(self.next_offset),
            end_offset: Offset::new(self.next_offset + records),
            argument: self.prng.next_u64(),
        };
        self.next_offset += records;
        let class = match self.prng.chance(1, 4) {
            true => DurabilityClass::Os,
            false => DurabilityClass::Fsync,
        };
        let body = Bytes::from(body);
        let mut entry = Entry::new(header, class, body.clone());
        if body.len() % 3 == 1 {
            entry = entry.lying_at((body.len() * 7 % PAGE_SIZE as usize) as u16);
        }
        match wal.enqueue(entry) {
            Ok(lsn) => {
                self.report.appended += 1;
                let queued = Queued {
                    header,
                    class,
                    body,
                };
                let last = self.queued.insert(lsn.get(), queued);
                hold!(last.is_none(), "a number is given once", "{lsn}");
            }
            Err(WalError::EntryTooLarge { .. }) => {}
            Err(error) => hold!(self.failed, "the journal takes entries", "{error}"),
        }
        Ok(())
    }

    /// Writes a checkpoint, outside the journal's view: what is below it is not needed any more.
    fn checkpoint(&mut self) -> Result<(), Violation> {
        let Some(wal) = &self.wal else { return Ok(()) };
        let durable = wal.durable_lsn().get();
        let needed = Lsn::new(self.prng.range(self.needed.get(), durable + 2));
        self.needed = needed;
        let place = wal.position_for_checkpoint(needed);
        trace!(
            self.trace,
            "checkpoint: needed {needed}, replay from {place:?}"
        );
        hold!(
            place.lsn <= needed,
            "a checkpoint's place is before what is needed",
            "{place:?} for {needed}"
        );
        let newest = Checkpoint {
            position: place,
            durable: wal.durable_lsn(),
        };
        let kept = self.newest.unwrap_or(newest);
        wal.checkpointed(&place, &kept.position);
        self.newest = Some(newest);
        self.kept = Some(kept);
        Ok(())
    }

    fn after_step(&mut self) -> Result<(), Violation> {
        self.clock.advance_nanos(self.disk.take_elapsed_nanos());
        if self.disk.is_crashed() {
            return self.crash();
        }
        let Some(wal) = &self.wal else { return Ok(()) };
        hold!(
            wal.durable_lsn() <= wal.written_lsn() && wal.written_lsn() < wal.next_lsn(),
            "durable is written is queued",
            "{} {} {}",
            wal.durable_lsn(),
            wal.written_lsn(),
            wal.next_lsn()
        );
        self.durable = self.durable.max(wal.durable_lsn());
        self.written = self.written.max(wal.written_lsn());
        self.failed |= wal.failure().is_some();
        if self.failed && self.prng.chance(1, 10) {
            return self.crash();
        }
        Ok(())
    }

    fn crash(&mut self) -> Result<(), Violation> {
        self.wal = None;
        self.reboot();
        self.reopen()
    }

    fn reboot(&mut self) {
        let kind = match self.prng.chance(1, 2) {
            true => CrashKind::ProcessKill,
            false => CrashKind::PowerLoss,
        };
        if kind == CrashKind::PowerLoss || self.failed {
            self.written = self.durable;
        }
        self.report.crashes += 1;
        self.disk = self.disk.reboot(kind);
    }

    fn options(&self) -> WalOptions {
        WalOptions {
            planted: self.planted,
            // In some runs the files of the ring grow, and small ones are removed.
            first_file_size: match self.small_first_file {
                true => 16 << 10,
                false => WalOptions::tiny().first_file_size,
            },
            ..WalOptions::tiny()
        }
    }

    fn reopen(&mut self) -> Result<(), Violation> {
        for attempt in 0.. {
            let calm = attempt >= 3;
            self.disk.set_faults(match calm {
                true => DiskFaults::default(),
                false => self.faults.clone(),
            });
            if !calm && self.prng.chance(1, 3) {
                let operations = self.prng.below(20);
                self.disk.crash_after(Some(operations));
            }
            // A checkpoint may turn out to be unreadable: then the one before is used.
            let checkpoint = match self.prng.chance(1, 4) {
                true => self.kept,
                false => self.newest,
            };
            let mut replayed = Vec::new();
            let failed_syncs = self.disk.counts().failed_syncs;
            let opened = self.open(checkpoint, &mut replayed);
            // A failed sync takes away what was only written, also when recovery did it.
            self.failed |= failed_syncs < self.disk.counts().failed_syncs;
            match opened {
                Ok((wal, recovery)) => {
                    self.disk.crash_after(None);
                    trace!(self.trace, "opened: {recovery:?}");
                    return self.check_recovered(wal, &recovery, checkpoint, replayed);
                }
                Err(error) => {
                    trace!(self.trace, "open failed: {error}");
                    hold!(
                        !calm || self.disk.is_crashed(),
                        "the journal opens again",
                        "{error}"
                    );
                    self.report.recovery_crashes += 1;
                    self.reboot();
                }
            }
        }
        Ok(())
    }

    fn open(
        &self,
        checkpoint: Option<Checkpoint>,
        replayed: &mut Vec<Replayed>,
    ) -> Result<(Wal, WalRecovery), WalError> {
        let start = checkpoint.map(|checkpoint| WalStart {
            position: checkpoint.position,
            durable: checkpoint.durable,
        });
        let opened = Wal::open(
            Arc::new(self.disk.clone()),
            Path::new("wal"),
            self.options(),
            self.markers.clone(),
            start,
            &mut |one| replayed.push(one),
        )?;
        // The directory's own name is its opener's.
        self.disk.sync_dir(Path::new(""))?;
        Ok(opened)
    }

    fn check_recovered(
        &mut self,
        wal: Wal,
        recovery: &WalRecovery,
        checkpoint: Option<Checkpoint>,
        replayed: Vec<Replayed>,
    ) -> Result<(), Violation> {
        hold!(
            recovery.damage.is_empty(),
            "what was never damaged is not called damaged",
            "{:?}",
            recovery.damage
        );
        let first = checkpoint.map_or(1, |checkpoint| checkpoint.position.lsn.get());
        let mut next = None;
        for one in &replayed {
            let Replayed::Entry(entry) = one else {
                return Err(Violation {
                    invariant: "what was never damaged is not called damaged",
                    detail: format!("{one:?}"),
                });
            };
            let lsn = entry.lsn.get();
            hold!(
                next.is_none_or(|next| next == lsn),
                "replay is in order without gaps",
                "{lsn} after {next:?}"
            );
            next = Some(lsn + 1);
            let found = Queued {
                header: entry.header,
                class: entry.class,
                body: entry.body.clone(),
            };
            hold!(
                self.queued.get(&lsn) == Some(&found),
                "replay gives what was queued",
                "{lsn}: {:?}, found {:?}",
                self.queued.get(&lsn).map(|queued| queued.header),
                found.header
            );
        }
        let start = replayed.iter().find_map(|one| match one {
            Replayed::Entry(entry) => Some(entry.lsn.get()),
            _ => None,
        });
        let end = next.unwrap_or(first);
        hold!(
            start.is_none_or(|start| start <= first),
            "replay begins at the checkpoint",
            "{start:?}, the checkpoint needs {first}"
        );
        hold!(
            self.durable.get() < end && self.written.get() < end,
            "acknowledged changes survive",
            "the journal ends before {end}, durable was {}, written {}",
            self.durable,
            self.written
        );
        hold!(
            wal.next_lsn().get() == end && wal.durable_lsn().get() + 1 == end,
            "what recovery shows is durable",
            "next {}, durable {}, replayed below {end}",
            wal.next_lsn(),
            wal.durable_lsn()
        );
        self.report.changes_lost += self.queued.split_off(&end).len() as u64;
        self.durable = wal.durable_lsn();
        self.written = wal.written_lsn();
        self.failed = false;
        self.wal = Some(wal);
        self.disk.set_faults(self.faults.clone());
        Ok(())
    }

    /// Without faults everything becomes durable, and another restart finds it.
    fn come_to_rest(&mut self) -> Result<(), Violation> {
        self.faults = DiskFaults::default();
        self.disk.crash_after(None);
        self.disk.set_faults(DiskFaults::default());
        if self.failed || self.wal.is_none() || self.disk.is_crashed() {
            self.crash()?;
            self.disk.crash_after(None);
        }
        for _ in 0..2_000 {
            self.clock.advance_ms(5);
            let Some(wal) = &self.wal else { break };
            if wal.durable_lsn().get() + 1 == wal.next_lsn().get() {
                self.after_step()?;
                self.crash()?;
                return Ok(());
            }
            if let CommitStep::Stalled { .. } = wal.commit_step(self.clock.now()) {
                self.checkpoint()?;
            }
        }
        Err(Violation {
            invariant: "the journal comes to rest",
            detail: "2,000 steps without faults do not make everything durable".to_owned(),
        })
    }
}
