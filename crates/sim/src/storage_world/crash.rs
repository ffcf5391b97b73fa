use super::StorageWorld;
use super::model::Floors;
use super::place::Place;
use super::reads::read_all;
use crate::disk::{CrashKind, DiskFaults};
use crate::hold;
use crate::oracle::{CompactionRule, LogState, Producers, StoredBatch, Violation};
use crate::trace;
use ottla_storage::disk::Disk;
use ottla_storage::log_dir::{Durability, LogDir, Verdict};
use ottla_storage::planted::PlantedBug;
use ottla_types::{Lsn, TopicPartition};
use std::sync::Arc;

/// Whether opening the directory may be disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Allowed,
    Over,
}

impl StorageWorld {
    /// Crashes now, or soon inside an operation.
    pub(super) fn crash_somehow(&mut self) -> Result<(), Violation> {
        if self.prng.chance(1, 2) {
            let operations = self.prng.below(30);
            self.here.disk.crash_after(Some(operations));
            return Ok(());
        }
        self.recover(Trouble::Allowed)
    }

    /// What the world notices between two steps.
    pub(super) fn after_step(&mut self) -> Result<(), Violation> {
        self.clock.advance_nanos(self.take_elapsed_nanos());
        let is_damaged = self.places().any(|place| 0 < place.disk.counts().damaged);
        self.damaged |= is_damaged;
        if self.here.disk.is_crashed() {
            return self.recover(Trouble::Allowed);
        }
        self.each_place(|world| {
            world.note_floors()?;
            world.check_step()
        })?;
        let is_offline = self.places().any(Place::is_offline);
        match is_offline && self.prng.chance(1, 10) {
            true => self.recover(Trouble::Allowed),
            false => Ok(()),
        }
    }

    fn take_elapsed_nanos(&self) -> u64 {
        self.places()
            .map(|place| place.disk.take_elapsed_nanos())
            .sum()
    }

    /// Reads what the journal promises, and holds every acknowledgement against it.
    pub(super) fn note_floors(&mut self) -> Result<(), Violation> {
        let Some(dir) = &self.here.dir else {
            return Ok(());
        };
        self.here.floors = Floors {
            durable: self.here.floors.durable.max(dir.durable_lsn()),
            written: self.here.floors.written.max(dir.written_lsn()),
        };
        for (id, partition) in &mut self.here.partitions {
            let floor = self.here.floors.acknowledged(partition.config.durability);
            for producer in &mut partition.producers {
                let prng = &mut self.prng;
                producer.answers(|lsn| dir.is_durable(partition.slot, lsn) && prng.chance(1, 2));
            }
            let waiting = std::mem::take(&mut partition.acknowledgements);
            for (lsn, last_offset) in waiting {
                if !dir.is_durable(partition.slot, lsn) {
                    partition.acknowledgements.push((lsn, last_offset));
                    continue;
                }
                let promised = partition.history.promised_end(floor);
                hold!(
                    last_offset < promised,
                    "a duplicate's success waits for its original",
                    "{id}: {last_offset} was acknowledged, durable is what is below {promised}"
                );
            }
        }
        Ok(())
    }

    /// Runs the journal until `lsn` is durable, or until it cannot go on.
    pub(super) fn wait_until_durable(&mut self, lsn: Lsn) -> Result<(), Violation> {
        for _ in 0..200 {
            let Some(dir) = &self.here.dir else { break };
            if lsn <= dir.durable_lsn() {
                break;
            }
            self.clock.advance_ms(1);
            dir.commit_step(self.clock.now());
        }
        Ok(())
    }

    /// Ends this life and opens the directories in the next, however often that takes.
    pub(super) fn recover(&mut self, trouble: Trouble) -> Result<(), Violation> {
        self.each_place(|world| {
            world.here.held.clear();
            world.here.large.clear();
            world.note_markers();
            // What retention did last is known to the process that dies.
            world.note_retention()?;
            world.here.dir = None;
            Ok(())
        })?;
        self.reboot();
        self.reopen(trouble)
    }

    fn reboot(&mut self) {
        let kind = match self.regime.kills_only || self.prng.chance(1, 2) {
            true => CrashKind::ProcessKill,
            false => CrashKind::PowerLoss,
        };
        self.power_lost |= kind == CrashKind::PowerLoss;
        self.sidecars_may_be_gone |= self.power_lost;
        self.report.crashes += 1;
        for place in self.places_mut() {
            place.dir = None;
            place.disk = place.disk.reboot(kind);
        }
    }

    /// Opens the directories and compares all that is there with what was promised.
    pub(super) fn reopen(&mut self, trouble: Trouble) -> Result<(), Violation> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            if trouble == Trouble::Allowed && attempts < 4 {
                for place in self.places() {
                    place.disk.set_faults(self.regime.faults.clone());
                }
                if self.prng.chance(1, 4) {
                    let operations = self.prng.below(40);
                    self.here.disk.crash_after(Some(operations));
                }
            } else {
                self.calm_down();
            }
            let mut is_open = true;
            self.each_place(|world| {
                is_open = is_open && world.open(attempts)?;
                Ok(())
            })?;
            if is_open {
                break;
            }
            self.report.recovery_crashes += 1;
            self.reboot();
        }
        self.here.disk.crash_after(None);
        self.calm_down();
        let mut checked = self.each_place(StorageWorld::check_recovered);
        if checked.is_ok() {
            checked = self.resume_moves();
        }
        self.power_lost = false;
        for place in self.places_mut() {
            place.failed_syncs = place.disk.counts().failed_syncs;
        }
        checked?;
        for place in self.places() {
            place.disk.set_faults(self.regime.faults.clone());
        }
        Ok(())
    }

    /// Opens the directory, once. Returns whether that went well.
    fn open(&mut self, attempts: usize) -> Result<bool, Violation> {
        let disk: Arc<dyn Disk> = Arc::new(self.here.disk.clone());
        let options = self.options();
        let strikes = self.here.disk.strikes();
        let opened = LogDir::open(disk, options, self.clock.now());
        self.clock
            .advance_nanos(self.here.disk.take_elapsed_nanos());
        let (dir, report) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                trace!(self.trace, "open failed: {error}");
                let is_struck = strikes != self.here.disk.strikes();
                let excused = self.here.disk.is_crashed() || self.damaged || is_struck;
                hold!(excused, "the directory opens again", "{error}");
                hold!(
                    attempts < 20,
                    "the directory opens again",
                    "{error}, 20 times"
                );
                return Ok(false);
            }
        };
        trace!(self.trace, "opened: {report:?}");
        self.here.lossy = report.verdict == Verdict::Lossy;
        self.here.was_rebuilt = report.was_rebuilt;
        hold!(
            !self.here.lossy || self.damaged,
            "what was never damaged is not called damaged",
            "{report:?}"
        );
        self.here.excuse.begin(&self.here.disk, self.clock.now());
        self.here.dir = Some(dir);
        Ok(true)
    }

    fn check_recovered(&mut self) -> Result<(), Violation> {
        self.check_dropped()?;
        self.check_left()?;
        self.drop_strays()?;
        let ids: Vec<TopicPartition> = self.here.partitions.keys().copied().collect();
        for id in ids {
            self.check_partition(id)?;
        }
        let dir = self.here.dir.as_ref().expect("it was just opened");
        self.here.floors = Floors {
            durable: dir.durable_lsn(),
            written: dir.written_lsn(),
        };
        Ok(())
    }

    fn check_partition(&mut self, id: TopicPartition) -> Result<(), Violation> {
        let dir = self.here.dir.as_ref().expect("it was just opened");
        let partition = self.here.partitions.get_mut(&id).expect("callers name one");
        let created = dir.create_partition(id, &partition.topic_name, partition.config);
        let slot = match created {
            Ok(slot) => slot,
            Err(error) => {
                hold!(self.damaged, "a partition opens again", "{id}: {error}");
                self.here.partitions.remove(&id);
                return Ok(());
            }
        };
        partition.slot = slot;
        let found = match read_all(dir, slot) {
            Ok(found) => found,
            Err(error) => {
                hold!(self.damaged, "what is safe can be read", "{id}: {error}");
                return self.give_up(id);
            }
        };
        let kind = match self.power_lost {
            true => CrashKind::PowerLoss,
            false => CrashKind::ProcessKill,
        };
        // A failed sync takes away what was only written, also when recovery did it.
        let durability = match self.here.failed_syncs < self.here.disk.counts().failed_syncs {
            true => Durability::Fsync,
            false => partition.config.durability,
        };
        let floor = self.here.floors.after(kind, durability);
        let rule = self.regime.compaction.map(|_| CompactionRule {
            now_ms: self.clock.now().wall.as_millis(),
            delete_retention_ms: partition.delete_retention_ms,
        });
        let result = partition.history.recovered(&found, floor, rule);
        match result {
            Ok(recovered) => {
                self.report.changes_lost += recovered.changes_lost as u64;
                if self.here.was_rebuilt {
                    partition.history.forget_producers();
                }
                // Of an `os` topic more may be gone than a client has under way.
                let is_os = partition.config.durability == Durability::Os;
                let is_gone = is_os && 0 < recovered.changes_lost;
                if is_gone {
                    partition.history.forget_producers();
                }
                if self.here.was_rebuilt || is_gone || recovered.producers == Producers::Unknown {
                    partition.renew_producers();
                }
            }
            Err(violation) if self.damaged => {
                trace!(self.trace, "{id} is damaged: {violation}");
                let values = &self.one_value;
                // No checksum covers some bytes of a batch once the sidecar is gone.
                let is_unchecked = self.flipped_header && self.sidecars_may_be_gone;
                let log_start = partition.history.now().log_start;
                let may_come_back = |batch: &StoredBatch| {
                    is_unchecked
                        || (self.here.was_rebuilt || batch.last_offset < log_start)
                            && values.has(id, batch.base_offset, batch.leader_epoch, &batch.bytes)
                };
                partition.history.damaged(&found, may_come_back)?;
                // A lie about the last frame of all leaves no proof that there was one.
                hold!(
                    self.here.lossy
                        || dir.damage(slot).is_some()
                        || is_unchecked
                        || self.flipped_unproven
                        || self.regime.tells_unprovable_lies(),
                    "damage is reported, never served",
                    "{id} lost something and nobody says so: {violation}"
                );
                return self.give_up(id);
            }
            Err(violation) => {
                return Err(Violation {
                    detail: format!("{id}: {}", violation.detail),
                    ..violation
                });
            }
        }
        self.check_ends(id)
    }

    fn check_ends(&mut self, id: TopicPartition) -> Result<(), Violation> {
        let dir = self.here.dir.as_ref().expect("it was just opened");
        let partition = self.here.partitions.get_mut(&id).expect("callers name one");
        let ends = dir.ends(partition.slot).expect("it was just opened");
        hold!(
            ends.durable_end == ends.appended_end,
            "what recovery shows is durable",
            "{id}: {ends:?}"
        );
        let end = partition.history.now().end;
        let os = partition.config.durability == Durability::Os;
        hold!(
            os || partition.high_watermark <= end,
            "what was read never changes",
            "{id}: read below {}, the log now ends at {end}",
            partition.high_watermark
        );
        partition.high_watermark = partition.high_watermark.min(end);
        if self.regime.compaction.is_some() {
            dir.set_high_watermark(partition.slot, partition.high_watermark);
        }
        partition.acknowledgements.clear();
        // A leader may not append in an epoch that it had before it died.
        if !self.planted.is(PlantedBug::SameEpochAfterRestart) {
            partition.next_epoch(dir);
        }
        for producer in &mut partition.producers {
            producer.crashed();
        }
        Ok(())
    }

    /// Drops a partition that lost data to damage, as its owner would.
    fn give_up(&mut self, id: TopicPartition) -> Result<(), Violation> {
        let dir = self.here.dir.as_ref().expect("it was just opened");
        let mut partition = self.here.partitions.remove(&id).expect("callers name one");
        let lsn = dir.drop_partition(partition.slot, self.clock.now());
        if let Ok(lsn) = lsn {
            partition.drop_lsn = Some(lsn);
            partition.lossy = true;
            self.here.dropped.insert(id, partition);
        }
        Ok(())
    }

    /// Drops that were acknowledged stay done; others are asked for again.
    fn check_dropped(&mut self) -> Result<(), Violation> {
        let dir = self.here.dir.as_ref().expect("it was just opened");
        for (id, mut partition) in std::mem::take(&mut self.here.dropped) {
            let acknowledged = partition
                .drop_lsn
                .is_some_and(|lsn| lsn <= self.here.floors.durable);
            let Some(slot) = dir.slot(id) else {
                let nothing = LogState::default();
                let never = partition.history.durable() == &LogState::empty();
                if !acknowledged && !never && !partition.lossy && !self.damaged {
                    let floor = self
                        .here
                        .floors
                        .after(CrashKind::PowerLoss, Durability::Fsync);
                    partition.history.recovered(&nothing, floor, None)?;
                }
                continue;
            };
            hold!(
                !acknowledged || self.damaged,
                "deletions stay done",
                "{id} is back although its drop was acknowledged"
            );
            let lsn = dir.drop_partition(slot, self.clock.now());
            partition.drop_lsn = lsn.ok();
            partition.lossy = true;
            self.here.dropped.insert(id, partition);
        }
        Ok(())
    }

    /// What damage brings back is dropped, as a broker does with partitions that the metadata does not name.
    fn drop_strays(&mut self) -> Result<(), Violation> {
        let dir = self.here.dir.as_ref().expect("it was just opened");
        for (slot, id, _) in dir.partitions() {
            let place = &self.here;
            let is_known = place.partitions.contains_key(&id)
                || place.dropped.contains_key(&id)
                || place.left.contains_key(&id)
                || self.is_copy(id);
            if !is_known {
                hold!(self.damaged, "deletions stay done", "{id} is back");
                trace!(self.trace, "drop the stray {id}");
                let _ = dir.drop_partition(slot, self.clock.now());
            }
        }
        Ok(())
    }

    /// The faults are over: everything must become durable, and a clean stop must lose nothing.
    pub(super) fn come_to_rest(&mut self) -> Result<(), Violation> {
        self.regime.faults = DiskFaults {
            would_block: self.regime.faults.would_block,
            ..DiskFaults::default()
        };
        self.here.disk.crash_after(None);
        self.calm_down();
        if self.places().any(Place::is_offline) || self.here.disk.is_crashed() {
            self.recover(Trouble::Over)?;
        }
        self.finish_moves()?;
        self.each_place(|world| {
            world.append_everywhere()?;
            world.settle()?;
            world.shut_down()
        })?;
        self.recover(Trouble::Over)
    }

    /// Every partition takes a batch again, within a bound of steps.
    fn append_everywhere(&mut self) -> Result<(), Violation> {
        self.create_missing()?;
        let ids: Vec<TopicPartition> = self.here.partitions.keys().copied().collect();
        for id in ids {
            let before = self.report.appended;
            for _ in 0..1_000 {
                let batch = self.make_batch(None);
                self.append(id, &batch)?;
                self.after_step()?;
                if before < self.report.appended || !self.here.partitions.contains_key(&id) {
                    break;
                }
                self.clock.advance_ms(100);
                self.pump_all()?;
            }
            let is_damaged = self.damaged && self.is_damaged(id);
            hold!(
                before < self.report.appended || is_damaged,
                "a partition works again after the faults",
                "{id} refuses appends"
            );
        }
        Ok(())
    }

    fn is_damaged(&self, id: TopicPartition) -> bool {
        let (Some(dir), Some(partition)) = (&self.here.dir, self.here.partitions.get(&id)) else {
            return true;
        };
        dir.damage(partition.slot).is_some()
    }

    /// Everything appended becomes durable, within a bound of steps.
    fn settle(&mut self) -> Result<(), Violation> {
        for _ in 0..3_000 {
            self.clock.advance_ms(20);
            self.pump_all()?;
            self.after_step()?;
            let Some(dir) = &self.here.dir else { break };
            if dir.durable_lsn().get() + 1 == dir.wal().next_lsn().get() {
                return Ok(());
            }
        }
        Err(Violation {
            invariant: "everything becomes durable after the faults",
            detail: format!(
                "3,000 rounds of all pumps are not enough: {:?}",
                self.here.dir.as_ref().map(|dir| {
                    let ends = (dir.durable_lsn(), dir.written_lsn(), dir.wal().next_lsn());
                    (ends, dir.wal().pressure(self.clock.now()), dir.stats())
                })
            ),
        })
    }

    fn shut_down(&mut self) -> Result<(), Violation> {
        for _ in 0..3_000 {
            self.clock.advance_ms(20);
            let now = self.clock.now();
            let Some(dir) = &self.here.dir else { break };
            dir.shutdown_step(now);
            self.pump_all()?;
            self.after_step()?;
            let Some(dir) = &self.here.dir else { break };
            if dir.is_drained() {
                return Ok(());
            }
        }
        Err(Violation {
            invariant: "a shutdown ends",
            detail: format!(
                "3,000 rounds of all pumps do not drain the directory: {:?}",
                self.here.dir.as_ref().map(LogDir::stats)
            ),
        })
    }
}
