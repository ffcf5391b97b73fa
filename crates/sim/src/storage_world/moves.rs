//! Logs that move to another directory while they are used: this world plays the broker, which copies them, decides when
//! the copy serves, and drops the source.

use super::StorageWorld;
use super::place::Place;
use super::reads::read_all;
use crate::excuse::Excuse;
use crate::hold;
use crate::oracle::{CompactionRule, Violation};
use crate::trace;
use bytes::Bytes;
use ottla_records::{BatchView, ValidBatch, batches};
use ottla_storage::log_dir::{
    AppendBatch, AppendError, AppendOrigin, LogDir, Part, ReadLimit, StorageError,
};
use ottla_storage::planted::PlantedBug;
use ottla_storage::segment::Access;
use ottla_types::{LeaderEpoch, Lsn, Now, Offset, PartitionSlot, TopicPartition};
use std::collections::BTreeMap;

/// The logs that move.
pub(super) type Moves = BTreeMap<TopicPartition, Move>;

/// A log on its way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    from: usize,
    to: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The source serves.
    Copying {
        /// Of the copy.
        slot: PartitionSlot,
        /// The copy's beginning.
        begun: Lsn,
        /// Whoever asked for the move was told that it goes on.
        is_told: bool,
    },
    /// The metadata says that the copy serves.
    Decided {
        /// Of the source.
        source: PartitionSlot,
        /// The copy's promotion.
        promoted: Option<Lsn>,
    },
}

/// Appends and pumps of the copy's directory until what was asked for is durable, as a broker that holds requests does.
const STEPS_MAX: usize = 300;

impl StorageWorld {
    /// A move begins, goes on, or is given up.
    pub(super) fn move_turn(&mut self) -> Result<(), Violation> {
        let ids: Vec<TopicPartition> = self.moves.keys().copied().collect();
        if ids.is_empty() || ids.len() < 3 && self.prng.chance(1, 6) {
            return self.begin_move();
        }
        let id = *self.prng.pick(&ids);
        match self.prng.chance(1, 40) {
            true => self.cancel_move(id),
            false => self.advance_move(id),
        }
    }

    fn begin_move(&mut self) -> Result<(), Violation> {
        let (from, count) = (self.here.number, self.places_count());
        let Some(id) = self.pick_partition() else {
            return Ok(());
        };
        let to = (from + 1 + self.prng.below(count as u64 - 1) as usize) % count;
        let partition = &self.here.partitions[&id];
        let there = there(&mut self.others, to);
        let is_crowded = self.regime.partitions + 3 < there.partitions.len() as u64;
        let Some(dir) = there.dir.as_ref().filter(|_| !is_crowded) else {
            return Ok(());
        };
        if self.moves.contains_key(&id) {
            return Ok(());
        }
        let state = partition.history.now();
        let first = state.batches_from(state.log_start).next();
        let first = first.map(|batch| batch.base_offset);
        let start = state.log_start.min(first.unwrap_or(state.log_start));
        let begun = dir.begin_future(id, &partition.topic_name, partition.config, start);
        trace!(
            self.trace,
            "{id} begins to move from {from} to {to}: {begun:?}"
        );
        match begun {
            Ok((slot, begun)) => {
                there.left.remove(&id);
                let stage = Stage::Copying {
                    slot,
                    begun,
                    is_told: false,
                };
                self.moves.insert(id, Move { from, to, stage });
                Ok(())
            }
            Err(StorageError::Undurable { .. } | StorageError::BeingRemoved) => {
                hold!(
                    there.left.contains_key(&id),
                    "refusals have a reason",
                    "{id} never was in directory {to}: {begun:?}"
                );
                Ok(())
            }
            Err(error) => {
                let since = self.clock.now().mono;
                let is_excused =
                    error == StorageError::Offline && there.excuse.is_good(&there.disk, dir, since);
                hold!(is_excused, "refusals have a reason", "{id}: {error}");
                Ok(())
            }
        }
    }

    /// The copy is dropped, and the source serves on.
    fn cancel_move(&mut self, id: TopicPartition) -> Result<(), Violation> {
        let Stage::Copying { .. } = self.moves[&id].stage else {
            return Ok(());
        };
        trace!(self.trace, "the move of {id} is given up");
        self.drop_copies(id);
        Ok(())
    }

    /// What a move has made beside the log itself goes; on a directory that failed, after a restart.
    pub(super) fn drop_copies(&mut self, id: TopicPartition) {
        let Some(one) = self.moves.remove(&id) else {
            return;
        };
        let (number, slot) = match one.stage {
            Stage::Copying { slot, .. } => (one.to, slot),
            Stage::Decided { source, .. } => (one.from, source),
        };
        let now = self.clock.now();
        let place = self.place_mut(number);
        if let Some(dir) = &place.dir {
            let dropped = dir.drop_partition(slot, now);
            place.left.insert(id, dropped.unwrap_or(NEVER));
        }
    }

    /// A copy has the settings of its source.
    pub(super) fn configure_copy(&mut self, id: TopicPartition) {
        let config = self.here.partitions[&id].config;
        let Some(one) = self.moves.get(&id) else {
            return;
        };
        if let Stage::Copying { slot, .. } = one.stage
            && let Some(dir) = &there(&mut self.others, one.to).dir
        {
            dir.set_config(slot, config);
        }
    }

    fn advance_move(&mut self, id: TopicPartition) -> Result<(), Violation> {
        let one = self.moves[&id];
        self.turn_to(one.from);
        match one.stage {
            Stage::Copying {
                slot,
                begun,
                is_told,
            } => {
                let Some(dir) = &there(&mut self.others, one.to).dir else {
                    return Ok(());
                };
                let stage = Stage::Copying {
                    slot,
                    begun,
                    is_told: is_told || begun <= dir.durable_lsn(),
                };
                self.moves.insert(id, Move { stage, ..one });
                match self.copy_some(id, one.to, slot)? {
                    true => self.decide(id, one, slot),
                    false => Ok(()),
                }
            }
            Stage::Decided { source, promoted } => self.finish_move(id, one, source, promoted),
        }
    }

    /// Brings the copy nearer to its source. Returns whether it has everything.
    fn copy_some(
        &mut self,
        id: TopicPartition,
        to: usize,
        slot: PartitionSlot,
    ) -> Result<bool, Violation> {
        let bytes_max = *self.prng.pick(&[1, 3_000, 100_000]);
        let now = self.clock.now();
        let there = there(&mut self.others, to);
        let (Some(source), Some(copy)) = (&self.here.dir, &there.dir) else {
            return Ok(false);
        };
        let partition = &self.here.partitions[&id];
        let (Some(ends), Some(copied)) = (source.ends(partition.slot), copy.ends(slot)) else {
            return Ok(false); // its directory failed
        };
        let from = copied.appended_end.max(ends.log_start);
        if ends.durable_end <= from {
            let is_whole = ends.appended_end == from;
            return Ok(starts_at(copy, slot, ends.log_start) && is_whole);
        }
        let limit = ReadLimit {
            end: ends.durable_end,
            bytes_max,
            at_least_one_batch: true,
        };
        let Some(bytes) = read(source, partition.slot, from, limit) else {
            return Ok(false);
        };
        // The log may start inside a batch, which the copy needs as a whole.
        let first = batches(&bytes).next().and_then(Result::ok);
        let first = first.map_or(from, |batch| batch.base_offset());
        if copied.appended_end < first && !starts_at(copy, slot, first.min(ends.log_start)) {
            return Ok(false);
        }
        for batch in batches(&bytes) {
            let Ok(batch) = batch else { break };
            let appended = append(copy, slot, partition.epoch, &batch, now);
            trace!(
                self.trace,
                "copy {id} at {}: {appended:?}",
                batch.base_offset()
            );
            match appended {
                Ok(()) => {}
                Err(AppendError::Full | AppendError::Offline | AppendError::Fault(_)) => {
                    let is_excused = there.excuse.is_good(&there.disk, copy, now.mono)
                        || Excuse::is_short_for(copy, batch.bytes().len());
                    hold!(
                        is_excused,
                        "refusals have a reason",
                        "the copy of {id}: {appended:?}"
                    );
                    return Ok(false);
                }
                Err(error) => {
                    return Err(Violation {
                        invariant: "refusals have a reason",
                        detail: format!("the copy of {id}: {error}"),
                    });
                }
            }
        }
        let end = copy.ends(slot).map(|ends| ends.appended_end);
        if end >= Some(ends.log_start) {
            starts_at(copy, slot, ends.log_start);
        }
        Ok(false)
    }

    /// The copy has everything: it is told what batches do not say, made durable, and then it is the one that serves.
    fn decide(
        &mut self,
        id: TopicPartition,
        one: Move,
        slot: PartitionSlot,
    ) -> Result<(), Violation> {
        if !self.prepare(id, one.to, slot)? || self.here.disk.is_crashed() {
            return Ok(());
        }
        if self.planted.is(PlantedBug::SourceDroppedEarly)
            && let Some(dir) = &self.here.dir
        {
            let dropped = dir.drop_partition(self.here.partitions[&id].slot, self.clock.now());
            self.wait_until_durable(dropped.unwrap_or(Lsn::ZERO))?;
        }
        if self.prng.chance(1, 6) {
            trace!(self.trace, "a crash before {id} is moved");
            return self.recover(super::crash::Trouble::Allowed);
        }
        // What was acknowledged so far was acknowledged by the source.
        self.note_floors()?;
        self.note_retention()?;
        let mut partition = self.here.partitions.remove(&id).expect("it is here");
        self.here.large.retain(|large| !large.is_of(id));
        let source = std::mem::replace(&mut partition.slot, slot);
        let copied = there(&mut self.others, one.to).dir.as_ref();
        let copied = copied.and_then(|dir| dir.ends(slot));
        partition.changed_over(copied.map(|ends| ends.log_start));
        trace!(self.trace, "{id} is in directory {} from now on", one.to);
        self.report.moves += 1;
        self.turn_to(one.to);
        let dir = self.here.dir.as_ref().expect("it was prepared");
        let _ = dir.bump_leader_epoch(slot, partition.epoch);
        if self.regime.compaction.is_some() {
            dir.set_high_watermark(slot, partition.high_watermark);
        }
        self.check_copy(id, &partition)?;
        self.here.partitions.insert(id, partition);
        let stage = Stage::Decided {
            source,
            promoted: None,
        };
        self.moves.insert(id, Move { stage, ..one });
        match self.prng.chance(1, 6) {
            true => self.recover(super::crash::Trouble::Allowed),
            false => Ok(()),
        }
    }

    /// Everything of the copy becomes durable. Returns whether it did.
    fn prepare(
        &mut self,
        id: TopicPartition,
        to: usize,
        slot: PartitionSlot,
    ) -> Result<bool, Violation> {
        let planted = self.planted;
        let there = there(&mut self.others, to);
        let (Some(source), Some(copy)) = (&self.here.dir, &there.dir) else {
            return Ok(false);
        };
        let now = self.clock.now();
        let Ok(remembered) = source.remembered(self.here.partitions[&id].slot, now) else {
            return Ok(false); // its directory failed
        };
        let mut lsn = Lsn::ZERO;
        if !planted.is(PlantedBug::CopyRemembersNothing) {
            let Ok(remember) = copy.remember(slot, &remembered, now) else {
                return Ok(false);
            };
            lsn = remember;
        }
        if planted.is(PlantedBug::DecidedBeforeCopyIsDurable) {
            return Ok(true);
        }
        for _ in 0..STEPS_MAX {
            if lsn <= copy.durable_lsn() && copy.durable_lsn().next() == copy.wal().next_lsn() {
                return Ok(true);
            }
            self.clock.advance_ms(1);
            let now = self.clock.now();
            copy.commit_step(now);
            copy.flush_step(now);
            there.excuse.pumped(now);
        }
        Ok(false)
    }

    /// The copy is what the log is.
    fn check_copy(
        &self,
        id: TopicPartition,
        partition: &super::model::ModelPartition,
    ) -> Result<(), Violation> {
        let dir = self.here.dir.as_ref().expect("it was prepared");
        let found = match read_all(dir, partition.slot) {
            Ok(found) => found,
            Err(error) => {
                hold!(
                    self.is_excused(),
                    "what is safe can be read",
                    "{id}: {error}"
                );
                return Ok(());
            }
        };
        let state = partition.history.now();
        let difference = match self.regime.compaction {
            None => state.difference(&found),
            Some(_) => state.difference_compacted(
                &found,
                CompactionRule {
                    now_ms: self.clock.now().wall.as_millis(),
                    delete_retention_ms: partition.delete_retention_ms,
                },
            ),
        };
        hold!(
            difference.is_none(),
            "a copy is the log",
            "{id}: {}",
            difference.unwrap_or_default()
        );
        Ok(())
    }

    /// The copy loses its mark, and when that is durable the source goes.
    fn finish_move(
        &mut self,
        id: TopicPartition,
        one: Move,
        source: PartitionSlot,
        promoted: Option<Lsn>,
    ) -> Result<(), Violation> {
        self.turn_to(one.to);
        let Some(dir) = &self.here.dir else {
            return Ok(());
        };
        let slot = self.here.partitions[&id].slot;
        let Some(lsn) = promoted else {
            let promoted = dir.promote(slot);
            trace!(self.trace, "{id} is promoted: {promoted:?}");
            if let Ok(lsn) = promoted {
                let stage = Stage::Decided {
                    source,
                    promoted: Some(lsn),
                };
                self.moves.insert(id, Move { stage, ..one });
            }
            return Ok(());
        };
        if dir.durable_lsn() < lsn {
            return Ok(());
        }
        trace!(self.trace, "the source of {id} goes");
        self.drop_copies(id);
        Ok(())
    }

    /// After a restart, when all directories are open: copies that are marked go on, others are dropped.
    pub(super) fn resume_moves(&mut self) -> Result<(), Violation> {
        for (id, one) in std::mem::take(&mut self.moves) {
            self.turn_to(one.from);
            match one.stage {
                Stage::Copying { is_told, .. } => self.resume_copy(id, one, is_told)?,
                Stage::Decided { .. } => {
                    let dir = self.here.dir.as_ref().expect("it was just opened");
                    let Some(source) = dir.slot(id) else {
                        self.here.left.insert(id, Lsn::ZERO);
                        continue;
                    };
                    let stage = Stage::Decided {
                        source,
                        promoted: None,
                    };
                    self.moves.insert(id, Move { stage, ..one });
                }
            }
        }
        Ok(())
    }

    fn resume_copy(
        &mut self,
        id: TopicPartition,
        one: Move,
        is_told: bool,
    ) -> Result<(), Violation> {
        let end = self.here.partitions[&id].history.now().end;
        let there = there(&mut self.others, one.to);
        let dir = there.dir.as_ref().expect("it was just opened");
        let Some(slot) = dir.slot(id) else {
            there.left.insert(id, Lsn::ZERO);
            hold!(
                !is_told || there.was_rebuilt,
                "a move that was begun goes on",
                "{id} from {} to {}: there is no copy",
                one.from,
                one.to
            );
            return Ok(());
        };
        hold!(
            dir.is_future(slot) || there.was_rebuilt,
            "a move that was begun goes on",
            "{id} from {} to {}: the copy has no mark",
            one.from,
            one.to
        );
        let stage = Stage::Copying {
            slot,
            begun: Lsn::ZERO,
            is_told,
        };
        self.moves.insert(id, Move { stage, ..one });
        let ends = dir.ends(slot).expect("it was just opened");
        if !dir.is_future(slot) || end < ends.appended_end {
            // A power cut may take from a log that is not durable what its copy has.
            self.drop_copies(id);
        }
        Ok(())
    }

    /// Whether a log in the directory at hand is there because of a move.
    pub(super) fn is_copy(&self, id: TopicPartition) -> bool {
        let number = self.here.number;
        self.moves.get(&id).is_some_and(|one| match one.stage {
            Stage::Copying { .. } => one.to == number,
            Stage::Decided { .. } => one.from == number,
        })
    }

    /// Logs that went elsewhere stay away once their drop is durable; otherwise they are dropped again.
    pub(super) fn check_left(&mut self) -> Result<(), Violation> {
        let dir = self.here.dir.as_ref().expect("it was just opened");
        let durable = self.here.floors.durable;
        let now = self.clock.now();
        for (id, lsn) in &mut self.here.left {
            let Some(slot) = dir.slot(*id) else { continue };
            hold!(
                durable < *lsn,
                "deletions stay done",
                "{id} is back although it went elsewhere"
            );
            *lsn = dir.drop_partition(slot, now).unwrap_or(NEVER);
        }
        Ok(())
    }

    /// The faults are over: every move comes to its end, within a bound of steps.
    pub(super) fn finish_moves(&mut self) -> Result<(), Violation> {
        for _ in 0..2_000 {
            if self.moves.is_empty() {
                return Ok(());
            }
            self.clock.advance_ms(20);
            self.each_place(StorageWorld::pump_all)?;
            self.after_step()?;
            let ids: Vec<TopicPartition> = self.moves.keys().copied().collect();
            for id in ids {
                if self.moves.contains_key(&id) {
                    self.advance_move(id)?;
                }
            }
        }
        Err(Violation {
            invariant: "a move comes to its end after the faults",
            detail: format!("2,000 rounds are not enough: {:?}", self.moves),
        })
    }

    fn place_mut(&mut self, number: usize) -> &mut Place {
        let mut places = self.places_mut();
        let found = places.find(|place| place.number == number);
        found.expect("moves are between directories there are")
    }
}

/// The number of a drop that was refused.
const NEVER: Lsn = Lsn::new(u64::MAX);

fn there(others: &mut [Place], number: usize) -> &mut Place {
    let mut others = others.iter_mut();
    let found = others.find(|place| place.number == number);
    found.expect("moves are between directories there are")
}

/// Moves the start of a copy up to `to`. Returns whether it is there.
fn starts_at(copy: &LogDir, slot: PartitionSlot, to: Offset) -> bool {
    let start = copy.ends(slot).map(|ends| ends.log_start);
    start >= Some(to) || copy.delete_records(slot, to).is_ok()
}

fn read(dir: &LogDir, slot: PartitionSlot, from: Offset, limit: ReadLimit) -> Option<Bytes> {
    let plan = dir.read_with(slot, from, limit, Access::Wait).ok()?;
    let mut bytes = Vec::with_capacity(plan.size);
    for part in &plan.parts {
        match part {
            Part::Memory(part) => bytes.extend_from_slice(part),
            Part::File(range) => bytes.extend_from_slice(&range.load_all().ok()?),
        }
    }
    Some(bytes.into())
}

/// Appends a batch as it is.
fn append(
    dir: &LogDir,
    slot: PartitionSlot,
    epoch: LeaderEpoch,
    batch: &BatchView<'_>,
    now: Now,
) -> Result<(), AppendError> {
    let facts = ValidBatch::from_header(batch).expect("it was validated when it was appended");
    let sent = AppendBatch {
        bytes: batch.bytes(),
        facts: &facts,
        origin: AppendOrigin::Replica,
    };
    if !dir.is_large(batch.bytes().len()) {
        return dir.append(slot, epoch, sent, now).map(drop);
    }
    let large = dir.write_large(batch.bytes())?;
    for _ in 0..STEPS_MAX {
        if large.is_settled() {
            return dir.append_large(slot, epoch, sent, &large, now).map(drop);
        }
        dir.flush_step(now);
    }
    Err(AppendError::Full)
}
