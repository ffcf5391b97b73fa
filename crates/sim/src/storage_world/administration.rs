use super::StorageWorld;
use super::model::{ModelPartition, ModelProducer};
use crate::hold;
use crate::oracle::{Change, History, Violation};
use crate::trace;
use ottla_storage::log_dir::{Durability, Ends, LogConfig, LogDir, StorageError};
use ottla_types::{LeaderEpoch, Offset, PartitionId, ProducerId, TopicId, TopicPartition, Uuid};

impl StorageWorld {
    pub(super) fn pick_partition(&mut self) -> Option<TopicPartition> {
        if self.here.partitions.is_empty() {
            return None;
        }
        let index = self.prng.below(self.here.partitions.len() as u64) as usize;
        self.here.partitions.keys().nth(index).copied()
    }

    /// Makes partitions until there are as many as the regime wants. A name that a dropped topic had is
    /// used again, as people do.
    pub(super) fn create_missing(&mut self) -> Result<(), Violation> {
        let Some(dir) = &self.here.dir else {
            return Ok(());
        };
        while (self.here.partitions.len() as u64) < self.regime.partitions {
            let mut random = [0; 16];
            self.prng.fill(&mut random);
            let id = TopicPartition {
                topic_id: TopicId::new(Uuid::from_random(random)),
                partition: PartitionId::new(self.prng.below(3) as i32),
            };
            let used = self.places().flat_map(|place| place.partitions.values());
            let used: Vec<&String> = used.map(|one| &one.topic_name).collect();
            let free = (0..).map(|number| format!("topic-{number}"));
            let mut free = free.filter(|name| !used.contains(&name));
            let topic_name = free.next().expect("there is always another number");
            let config = draw_config(&mut self.prng, &self.regime);
            let created = dir.create_partition(id, &topic_name, config);
            trace!(self.trace, "create {id} as {topic_name}: {created:?}");
            let slot = match created {
                Ok(slot) => slot,
                Err(error) => return self.check_storage_refusal(id, &error),
            };
            let mut partition = ModelPartition {
                topic_name,
                slot,
                config,
                history: History::new(),
                asked_start: Offset::ZERO,
                epoch: LeaderEpoch::new(0),
                high_watermark: Offset::ZERO,
                producers: Vec::new(),
                acknowledgements: Vec::new(),
                drop_lsn: None,
                delete_retention_ms: config.delete_retention_ms,
                lossy: false,
            };
            for number in 0..self.regime.producers {
                partition
                    .producers
                    .push(ModelProducer::new(ProducerId::new(1000 + number as i64)));
            }
            if self.regime.compaction.is_some() {
                dir.set_high_watermark(slot, Offset::ZERO);
            }
            let epoch = partition.epoch;
            let _ = dir.bump_leader_epoch(slot, epoch);
            self.here.partitions.insert(id, partition);
        }
        Ok(())
    }

    pub(super) fn change_config(&mut self) -> Result<(), Violation> {
        let Some(id) = self.pick_partition() else {
            return Ok(());
        };
        let Some(dir) = &self.here.dir else {
            return Ok(());
        };
        let mut config = draw_config(&mut self.prng, &self.regime);
        let partition = self
            .here
            .partitions
            .get_mut(&id)
            .expect("it was just picked");
        // Whether a topic is durable stays: what an acknowledgement meant must not depend on when.
        config.durability = partition.config.durability;
        trace!(self.trace, "config of {id}: {config:?}");
        dir.set_config(partition.slot, config);
        partition.config = config;
        let shorter = partition
            .delete_retention_ms
            .min(config.delete_retention_ms);
        partition.delete_retention_ms = shorter;
        self.configure_copy(id);
        Ok(())
    }

    pub(super) fn delete_records(&mut self) -> Result<(), Violation> {
        let Some(id) = self.pick_partition() else {
            return Ok(());
        };
        let Some(dir) = &self.here.dir else {
            return Ok(());
        };
        let partition = self
            .here
            .partitions
            .get_mut(&id)
            .expect("it was just picked");
        let start = partition.history.now().log_start;
        let end = partition.high_watermark;
        if end <= start {
            return Ok(());
        }
        let to = self
            .prng
            .range(start.get() as u64 + 1, end.get() as u64 + 1);
        let to = Offset::new(to as i64);
        let result = dir.delete_records(partition.slot, to);
        trace!(self.trace, "delete records of {id} below {to}: {result:?}");
        match result {
            Ok(lsn) => {
                partition.asked_start = partition.asked_start.max(to);
                partition.history.push(Change::LogStart(to), Some(lsn));
                Ok(())
            }
            Err(error) => self.check_storage_refusal(id, &error),
        }
    }

    /// Only a directory in trouble refuses to do what is asked of it.
    fn check_storage_refusal(
        &self,
        id: TopicPartition,
        error: &StorageError,
    ) -> Result<(), Violation> {
        let allowed = match error {
            StorageError::Offline | StorageError::Fault(_) => self.is_excused(),
            StorageError::Undurable { .. }
            | StorageError::UnknownPartition
            | StorageError::Damaged { .. }
            | StorageError::AlreadyThere
            | StorageError::BeingRemoved
            | StorageError::OutOfRange { .. } => false,
        };
        hold!(
            allowed || self.damaged,
            "refusals have a reason",
            "{id}: {error}"
        );
        Ok(())
    }

    pub(super) fn truncate(&mut self) -> Result<(), Violation> {
        let Some(id) = self.pick_partition() else {
            return Ok(());
        };
        let Some(dir) = &self.here.dir else {
            return Ok(());
        };
        let partition = self
            .here
            .partitions
            .get_mut(&id)
            .expect("it was just picked");
        let lowest = partition
            .high_watermark
            .max(partition.history.now().log_start);
        let end = partition.history.now().end;
        if end <= lowest {
            return Ok(());
        }
        if self.moves.contains_key(&id) {
            return Ok(()); // the log of a leader is not cut
        }
        if dir.durable_lsn().next() != dir.wal().next_lsn() {
            return Ok(()); // as a follower does, which truncates before it fetches
        }
        // A log is cut between batches, as a leader's epochs say.
        let bases = partition.history.now().batches_from(lowest);
        let bases = bases
            .map(|batch| batch.base_offset)
            .filter(|base| lowest <= *base);
        let bases: Vec<Offset> = bases.collect();
        if bases.is_empty() {
            return Ok(());
        }
        let to = *self.prng.pick(&bases);
        let result = dir.truncate(partition.slot, to);
        trace!(self.trace, "truncate {id} to {to}: {result:?}");
        let lsn = match result {
            Ok(lsn) => lsn,
            Err(error) => return self.check_storage_refusal(id, &error),
        };
        partition.history.push(Change::Truncate(to), Some(lsn));
        partition.acknowledgements.retain(|(_, last)| *last < to);
        // A new epoch, or the same offset and epoch would have two values; and producers that lost
        // batches come back with a new epoch of theirs.
        partition.next_epoch(dir);
        partition.renew_producers();
        self.wait_until_durable(lsn)
    }

    pub(super) fn drop_partition(&mut self) -> Result<(), Violation> {
        let Some(id) = self.pick_partition() else {
            return Ok(());
        };
        let Some(dir) = &self.here.dir else {
            return Ok(());
        };
        let result = dir.drop_partition(self.here.partitions[&id].slot, self.clock.now());
        trace!(self.trace, "drop {id}: {result:?}");
        let lsn = match result {
            Ok(lsn) => lsn,
            Err(error) => return self.check_storage_refusal(id, &error),
        };
        let mut partition = self
            .here
            .partitions
            .remove(&id)
            .expect("it was just picked");
        partition.history.push(Change::Drop, Some(lsn));
        partition.drop_lsn = Some(lsn);
        self.here.dropped.insert(id, partition);
        self.drop_copies(id);
        Ok(())
    }

    pub(super) fn advance_high_watermark(&mut self) -> Result<(), Violation> {
        let Some(id) = self.pick_partition() else {
            return Ok(());
        };
        let Some(dir) = &self.here.dir else {
            return Ok(());
        };
        let partition = self
            .here
            .partitions
            .get_mut(&id)
            .expect("it was just picked");
        let Some(ends) = dir.ends(partition.slot) else {
            return Ok(());
        };
        let floor = self.here.floors.acknowledged(partition.config.durability);
        let promised = partition.history.promised_end(floor);
        hold!(
            ends.durable_end <= promised,
            "the durable end is durable",
            "{id}: {} is said to be durable, the journal promised {promised}",
            ends.durable_end
        );
        partition.high_watermark = partition.high_watermark.max(ends.durable_end);
        if self.regime.compaction.is_some() {
            dir.set_high_watermark(partition.slot, partition.high_watermark);
        }
        Ok(())
    }

    /// Looks something up that does not change anything.
    pub(super) fn look_up(&mut self) -> Result<(), Violation> {
        let Some(id) = self.pick_partition() else {
            return Ok(());
        };
        let Some(dir) = &self.here.dir else {
            return Ok(());
        };
        let partition = &self.here.partitions[&id];
        let Some(ends) = dir.ends(partition.slot) else {
            return Ok(());
        };
        let state = partition.history.now();
        hold!(
            (ends.log_start, ends.appended_end) == (state.log_start, state.end),
            "ends are what was done",
            "{id}: {ends:?}, expected {}..{}",
            state.log_start,
            state.end
        );
        hold!(
            dir.slot(id) == Some(partition.slot),
            "a partition is found by its id",
            "{id}"
        );
        Ok(())
    }
}

impl ModelPartition {
    /// Begins a new leader epoch.
    pub(super) fn next_epoch(&mut self, dir: &LogDir) {
        self.epoch = self.epoch.next();
        let _ = dir.bump_leader_epoch(self.slot, self.epoch);
    }

    /// Every producer comes back with a new epoch and retries nothing.
    pub(super) fn renew_producers(&mut self) {
        for producer in &mut self.producers {
            producer.renew();
        }
    }

    /// Notes what retention did, which says no number.
    pub(super) fn note_ends(&mut self, ends: &Ends) -> Result<(), Violation> {
        let now = self.history.now();
        if now.log_start < ends.log_start {
            hold!(
                ends.log_start <= ends.durable_end,
                "retention removes only what is durable",
                "{ends:?}"
            );
            self.asked_start = self.asked_start.max(ends.log_start);
            self.history.push(Change::LogStart(ends.log_start), None);
        }
        Ok(())
    }
}

fn draw_config(prng: &mut ottla_types::Prng, regime: &super::Regime) -> LogConfig {
    let durability = match regime.os_topics && prng.chance(1, 2) {
        true => Durability::Os,
        false => Durability::Fsync,
    };
    let mut config = LogConfig {
        segment_bytes: match prng.below(4) {
            0 => 4_096,
            1 => 1 << 20,
            _ => regime.segment_bytes,
        } as u32,
        segment_ms: *prng.pick(&[10_000, 3_600_000]),
        retention_bytes: *prng.pick(&[None, None, Some(30_000), Some(200_000)]),
        retention_ms: *prng.pick(&[None, Some(60_000), Some(86_400_000)]),
        file_delete_delay_ms: *prng.pick(&[0, 1_000, 60_000]),
        durability,
        ..LogConfig::default()
    };
    if regime.compaction.is_some() {
        config.compacts = prng.chance(7, 8);
        config.deletes = prng.chance(1, 3);
        config.min_cleanable_ppm = *prng.pick(&[0, 10_000, 500_000]);
        config.min_compaction_lag_ms = *prng.pick(&[0, 0, 50, 5_000]);
        config.max_compaction_lag_ms = *prng.pick(&[i64::MAX, 1_000]);
        config.delete_retention_ms = *prng.pick(&[0, 100, 10_000, 86_400_000]);
    }
    config
}
