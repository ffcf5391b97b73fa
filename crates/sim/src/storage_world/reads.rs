use super::StorageWorld;
use crate::hold;
use crate::oracle::{CompactionRule, LogState, StoredBatch, Violation, compacted_difference};
use crate::trace;
use bytes::Bytes;
use ottla_records::batches;
use ottla_storage::log_dir::{LogDir, Part, ReadError, ReadLimit, ReadPlan};
use ottla_storage::segment::{Access, ReadFault};
use ottla_types::{Mono, Offset, PartitionSlot, TopicPartition};
use std::sync::Arc;

/// A reply that was planned and is not sent yet: its bytes must stay what they were.
pub(super) struct HeldRead {
    partition: TopicPartition,
    plan: ReadPlan,
    expected: Bytes,
}

/// How loading the parts of a plan went.
pub(super) enum Loaded {
    Bytes(Bytes),
    /// The disk or the checksums said no.
    Refused(ReadError),
}

impl StorageWorld {
    pub(super) fn read_something(&mut self) -> Result<(), Violation> {
        let Some(id) = self.pick_partition() else {
            return Ok(());
        };
        let Some(dir) = &self.here.dir else {
            return Ok(());
        };
        let partition = &self.here.partitions[&id];
        let state = partition.history.now();
        let high_watermark = partition.high_watermark;
        let first = (state.log_start.get() - 2).max(0) as u64;
        let from = self
            .prng
            .range(first, first.max(high_watermark.get() as u64) + 3);
        let from = Offset::new(from as i64);
        let limit = ReadLimit {
            end: high_watermark,
            bytes_max: *self.prng.pick(&[1, 300, 5_000, 100_000]),
            at_least_one_batch: self.prng.chance(1, 2),
        };
        let plan = match dir.read(partition.slot, from, limit) {
            Err(ReadError::WouldBlock(ticket)) => dir.finish_read(ticket),
            plan => plan.map(Some),
        };
        let plan = match plan {
            Ok(Some(plan)) => plan,
            Ok(None) => return Ok(()),
            Err(error) => return self.check_read_refusal(id, from, high_watermark, &error),
        };
        hold!(
            state.log_start <= from && from <= high_watermark.max(state.end),
            "reads stay inside the log",
            "{id}: offset {from} was served, the log is {}..{}",
            state.log_start,
            state.end
        );
        let compacted = self.regime.compaction.map(|_| CompactionRule {
            now_ms: self.clock.now().wall.as_millis(),
            delete_retention_ms: partition.delete_retention_ms,
        });
        let expected = expected_bytes(state, from, limit);
        trace!(
            self.trace,
            "read {id} from {from} below {high_watermark}: {} parts, {} bytes",
            plan.parts.len(),
            plan.size
        );
        if let Some(rule) = compacted {
            return self.check_compacted(id, from, plan, rule);
        }
        if self.prng.chance(1, 20) && !plan.parts.is_empty() {
            self.here.held.push(HeldRead {
                partition: id,
                plan,
                expected,
            });
            return Ok(());
        }
        let loaded = self.load(&plan);
        self.check_loaded(id, from, loaded, &expected)
    }

    /// What a reader gets of a compacted log.
    fn check_compacted(
        &mut self,
        id: TopicPartition,
        from: Offset,
        plan: ReadPlan,
        rule: CompactionRule,
    ) -> Result<(), Violation> {
        let bytes = match self.load(&plan) {
            Loaded::Bytes(bytes) => bytes,
            refused @ Loaded::Refused(_) => {
                return self.check_loaded(id, from, refused, &Bytes::new());
            }
        };
        let state = self.here.partitions[&id].history.now();
        if !bytes.is_empty() {
            let difference = compacted_difference(state, from, &bytes, rule);
            hold!(
                difference.is_none(),
                "compaction keeps the newest record of each key",
                "{id} from {from}: {}",
                difference.unwrap_or_default()
            );
        }
        if self.prng.chance(1, 10) && !plan.parts.is_empty() {
            // Whatever the cleaner does meanwhile, these bytes stay what they are.
            self.here.held.push(HeldRead {
                partition: id,
                plan,
                expected: bytes,
            });
        }
        Ok(())
    }

    /// Sends a reply that was planned some steps ago.
    pub(super) fn read_held(&mut self) -> Result<(), Violation> {
        if self.here.held.is_empty() {
            return Ok(());
        }
        let index = self.prng.below(self.here.held.len() as u64) as usize;
        let held = self.here.held.swap_remove(index);
        let loaded = self.load(&held.plan);
        if let Loaded::Refused(_) = loaded
            && !self.here.partitions.contains_key(&held.partition)
        {
            return Ok(());
        }
        self.check_loaded(held.partition, Offset::new(0), loaded, &held.expected)
    }

    fn load(&mut self, plan: &ReadPlan) -> Loaded {
        let mut bytes = Vec::new();
        for part in &plan.parts {
            match part {
                Part::Memory(part) => bytes.extend_from_slice(part),
                Part::File(range) => {
                    let mut at = 0;
                    while at < range.size() {
                        let most = *self.prng.pick(&[4_096, 1 << 20]);
                        let mut piece = vec![0; range.piece_size(at, most)];
                        let is_loaded = match range.try_load(at, &mut piece) {
                            Ok(false) => range.load(at, &mut piece),
                            Ok(true) => Ok(()),
                            Err(error) => Err(error),
                        };
                        if let Err(error) = is_loaded {
                            return Loaded::Refused(error.into());
                        }
                        at += piece.len();
                        bytes.extend_from_slice(&piece);
                    }
                }
            }
        }
        Loaded::Bytes(bytes.into())
    }

    fn check_loaded(
        &mut self,
        id: TopicPartition,
        from: Offset,
        loaded: Loaded,
        expected: &Bytes,
    ) -> Result<(), Violation> {
        match loaded {
            Loaded::Bytes(bytes) => {
                self.report.bytes_read += bytes.len() as u64;
                // A reply may stop early, for example where a segment ends, but not before it began.
                let is_whole = ends_between_batches(&bytes);
                hold!(
                    expected.starts_with(&bytes)
                        && is_whole
                        && bytes.is_empty() == expected.is_empty(),
                    "what was read never changes",
                    "{id} from {from}: expected {}, read {}",
                    describe(expected),
                    describe(&bytes)
                );
                Ok(())
            }
            Loaded::Refused(error) => {
                hold!(
                    self.damaged || self.is_excused(),
                    "what is safe can be read",
                    "{id} from {from}: {error}"
                );
                Ok(())
            }
        }
    }

    /// Whether the directory may refuse what is asked of it now.
    pub(super) fn is_excused(&self) -> bool {
        self.is_excused_since(self.clock.now().mono)
    }

    /// Likewise, what was begun at `since`.
    pub(super) fn is_excused_since(&self, since: Mono) -> bool {
        let dir = self.here.dir.as_ref();
        dir.is_none_or(|dir| self.here.excuse.is_good(&self.here.disk, dir, since))
    }

    fn check_read_refusal(
        &mut self,
        id: TopicPartition,
        from: Offset,
        high_watermark: Offset,
        error: &ReadError,
    ) -> Result<(), Violation> {
        let state = self.here.partitions[&id].history.now();
        let allowed = match error {
            ReadError::OutOfRange { .. } => from < state.log_start || state.end < from,
            ReadError::Fault(ReadFault::Corrupt { .. }) => self.damaged,
            ReadError::Fault(ReadFault::Disk(_)) | ReadError::Offline => self.is_excused(),
            ReadError::WouldBlock(_)
            | ReadError::UnknownPartition
            | ReadError::Fault(ReadFault::NewerVersion { .. }) => false,
        };
        hold!(
            allowed,
            "what is safe can be read",
            "{id} from {from} below {high_watermark}: {error}, the log is {}..{}",
            state.log_start,
            state.end
        );
        Ok(())
    }
}

/// Offsets and epochs of the batches in `bytes`, for messages.
fn describe(bytes: &[u8]) -> String {
    let batches = batches(bytes).map(|batch| match batch {
        Ok(batch) => format!(
            "{}..={} epoch {:?} crc {:08x}",
            batch.base_offset(),
            batch.last_offset(),
            batch.leader_epoch(),
            batch.crc()
        ),
        Err(error) => format!("{error}"),
    });
    batches.collect::<Vec<_>>().join(", ")
}

fn ends_between_batches(bytes: &[u8]) -> bool {
    batches(bytes).all(|batch| batch.is_ok())
}

/// The bytes that a read must give: whole batches from the one that holds `from`.
fn expected_bytes(state: &LogState, from: Offset, limit: ReadLimit) -> Bytes {
    let mut bytes = Vec::new();
    for batch in state.batches_from(from) {
        if limit.end <= batch.last_offset {
            break;
        }
        let is_first_allowed = bytes.is_empty() && limit.at_least_one_batch;
        if limit.bytes_max < bytes.len() + batch.bytes.len() && !is_first_allowed {
            break;
        }
        bytes.extend_from_slice(&batch.bytes);
    }
    bytes.into()
}

/// Everything a partition holds, read from it after a crash. `Err` names what could not be read.
pub(super) fn read_all(dir: &LogDir, slot: PartitionSlot) -> Result<LogState, ReadError> {
    let ends = dir.ends(slot).ok_or(ReadError::UnknownPartition)?;
    let mut state = LogState::empty();
    let mut from = ends.log_start;
    while from < ends.appended_end {
        let limit = ReadLimit {
            end: ends.appended_end,
            bytes_max: 1 << 20,
            at_least_one_batch: true,
        };
        let plan = dir.read_with(slot, from, limit, Access::Wait)?;
        let mut bytes = Vec::with_capacity(plan.size);
        for part in &plan.parts {
            match part {
                Part::Memory(part) => bytes.extend_from_slice(part),
                Part::File(range) => bytes.extend_from_slice(&range.load_all()?),
            }
        }
        if bytes.is_empty() {
            break;
        }
        from = push_batches(&mut state, bytes.into());
    }
    state.move_log_start(ends.log_start);
    state.end = ends.appended_end;
    Ok(state)
}

fn push_batches(state: &mut LogState, bytes: Bytes) -> Offset {
    let mut at = 0;
    for batch in batches(&bytes) {
        let Ok(batch) = batch else { break };
        let size = batch.size_in_bytes();
        state.end = batch.base_offset();
        state.append(&Arc::new(StoredBatch {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            leader_epoch: batch.leader_epoch().unwrap_or_default(),
            producer: None,
            max_timestamp_ms: batch.max_timestamp().as_millis(),
            bytes: bytes.slice(at..at + size),
        }));
        at += size;
    }
    state.end
}
