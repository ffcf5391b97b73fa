use super::{Durability, Ends, LogConfig, PendingAppends, PendingSwap, Segment, Tail, TailBatch};
use crate::findings::Findings;
use crate::leader_epochs::LeaderEpochs;
use crate::producer_state::{ProducedBatch, ProducerState};
use ottla_records::ProducerBatch;
use ottla_types::{LeaderEpoch, Lsn, Mono, Offset, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;

/// Where a rewritten tail is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rewrite {
    /// The entry.
    pub(crate) lsn: Lsn,
    /// Offset after its last batch.
    pub(crate) end: Offset,
}

/// Whether a partition takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Reads and writes.
    Good,
    /// Data that was there is lost: it ends before the loss, is readable below, and refuses appends.
    Damaged {
        /// Why, for messages.
        reason: String,
    },
    /// It was dropped, but the journal may still forget that: it answers nothing, and stays recoverable.
    Dropping {
        /// What it had lost by then, or since.
        damage: Option<String>,
    },
    /// It was dropped for good.
    Dropped,
}

/// Everything that is known of a partition.
///
/// Invariants, see [`PartitionState::check`]:
///  * `log_start <= appended_end`, `synced_end <= written_end <= appended_end`
///  * segments ascend by base offset; the first one begins at or below `log_start`
///  * the tail begins where the written bytes end
#[derive(Debug)]
pub(crate) struct PartitionState {
    /// Directory name `<topic>-<partition>`; `None` while the topic's name is unknown (a stray).
    pub(crate) dir: Option<Arc<str>>,
    /// Where damage of its files is told.
    pub(crate) findings: Arc<Findings>,
    pub(crate) config: LogConfig,
    pub(crate) standing: Standing,
    /// Moves with every change that makes a write or read in flight stale.
    pub(crate) generation: u64,
    pub(crate) log_start: Offset,
    /// Log starts that were left by entries which may not be durable: (the entry, the start before it).
    pub(crate) left_starts: VecDeque<(Lsn, Offset)>,
    /// The last truncation.
    pub(crate) truncate_lsn: Lsn,
    /// The partition's last entry before it.
    pub(crate) before_truncate_lsn: Lsn,
    /// Where it cut the log.
    pub(crate) truncated_to: Offset,
    pub(crate) synced_end: Offset,
    pub(crate) segments: Vec<Segment>,
    /// Below it the log was compacted: no two records there have the same key.
    pub(crate) cleaned_end: Offset,
    /// Segments were replaced, and the files do not have their names yet.
    pub(crate) swap: Option<PendingSwap>,
    /// Moves with every replacement of segments.
    pub(crate) swaps_count: u64,
    /// The token in the names of files that compaction writes at the moment.
    pub(crate) cleaning: Option<Lsn>,
    pub(crate) tail: Tail,
    pub(crate) pending: PendingAppends,
    /// The journal must keep this entry and all after it: the oldest one that is not synced in a segment.
    pub(crate) pin: Option<Lsn>,
    /// The last journal entry that this state contains.
    pub(crate) state_lsn: Lsn,
    /// The first one: those before it are of an earlier log of the same partition, that was dropped.
    pub(crate) begun_lsn: Lsn,
    /// A copy that is being made of a log in another directory: nothing is removed from it but what its source removes.
    pub(crate) is_future: bool,
    /// The entry that made it one that serves.
    pub(crate) promote_lsn: Lsn,
    pub(crate) epochs: LeaderEpochs,
    pub(crate) producers: ProducerState,
    /// The current leader epoch; appends of older ones are fenced.
    pub(crate) leader_epoch: Option<LeaderEpoch>,
    /// Entries below it count as durable when written, although the topic asks for fsync by now.
    pub(crate) fsync_from: Lsn,
    pub(crate) last_append: Mono,
    /// The tail was put into the journal again; its old entries are needed until that entry is durable.
    pub(crate) rewritten: Option<Rewrite>,
    /// How often the tail was rewritten forward in the journal since it was last flushed.
    pub(crate) rewrites_count: u8,
    /// Somebody reads from the files: so many more writes to them go through the page cache.
    pub(crate) cached_writes: u8,
    /// Work on the files is queued or going on.
    pub(crate) is_in_work: bool,
    /// The directory exists (as far as we know).
    pub(crate) has_dir: bool,
    /// Names in the directory wait for being synced.
    pub(crate) dir_is_dirty: bool,
    /// Epochs changed since `leader-epoch-checkpoint` was written.
    pub(crate) epochs_are_dirty: bool,
    /// Snapshots that are not current any more are needed until so many checkpoints were written: older ones name them.
    pub(crate) snapshots_needed_until: u64,
    /// So many threads remove files of it that are not needed any more.
    pub(crate) unlinking: u32,
    /// A producer snapshot is due.
    pub(crate) wants_snapshot: bool,
}

impl PartitionState {
    /// An empty log.
    pub(crate) fn new(config: LogConfig) -> PartitionState {
        PartitionState {
            dir: None,
            findings: Arc::default(),
            config,
            standing: Standing::Good,
            generation: 0,
            log_start: Offset::ZERO,
            left_starts: VecDeque::new(),
            truncate_lsn: Lsn::ZERO,
            before_truncate_lsn: Lsn::ZERO,
            truncated_to: Offset::ZERO,
            synced_end: Offset::ZERO,
            segments: Vec::new(),
            cleaned_end: Offset::ZERO,
            swap: None,
            swaps_count: 0,
            cleaning: None,
            tail: Tail::empty_at(Offset::ZERO),
            pending: PendingAppends::default(),
            pin: None,
            state_lsn: Lsn::ZERO,
            begun_lsn: Lsn::ZERO,
            is_future: false,
            promote_lsn: Lsn::ZERO,
            epochs: LeaderEpochs::default(),
            producers: ProducerState::default(),
            leader_epoch: None,
            fsync_from: Lsn::ZERO,
            last_append: Mono::ZERO,
            rewritten: None,
            rewrites_count: 0,
            cached_writes: 0,
            is_in_work: false,
            has_dir: false,
            dir_is_dirty: false,
            epochs_are_dirty: false,
            snapshots_needed_until: 0,
            unlinking: 0,
            wants_snapshot: false,
        }
    }

    /// An empty log that begins at `start` with the entry `lsn`.
    pub(crate) fn begun_at(config: LogConfig, start: Offset, lsn: Lsn) -> PartitionState {
        PartitionState {
            log_start: start,
            synced_end: start,
            tail: Tail::empty_at(start),
            state_lsn: lsn,
            begun_lsn: lsn,
            ..PartitionState::new(config)
        }
    }

    /// Whether it was a future log when the journal was durable up to `durable`.
    pub(crate) fn was_future(&self, durable: Lsn) -> bool {
        self.is_future || durable < self.promote_lsn
    }

    /// Nothing lies between the end of the log and `to`, where it goes on.
    pub(crate) fn skip_to(&mut self, to: Offset) {
        self.tail.skip_to(to);
        self.pass_over_gap();
    }

    /// It was dropped, for good or not.
    pub(crate) fn is_gone(&self) -> bool {
        match self.standing {
            Standing::Dropping { .. } | Standing::Dropped => true,
            Standing::Good | Standing::Damaged { .. } => false,
        }
    }

    /// It lost data. What was lost first is told, and what is being dropped stays so.
    pub(crate) fn damage(&mut self, reason: String) {
        match &mut self.standing {
            Standing::Good => self.standing = Standing::Damaged { reason },
            Standing::Dropping { damage } => *damage = damage.take().or(Some(reason)),
            Standing::Damaged { .. } | Standing::Dropped => {}
        }
    }

    /// What it lost, also when it is being dropped: as long as that may be forgotten, its files are spared.
    pub(crate) fn lost(&self) -> Option<&String> {
        match &self.standing {
            Standing::Damaged { reason } => Some(reason),
            Standing::Dropping { damage } => damage.as_ref(),
            Standing::Good | Standing::Dropped => None,
        }
    }

    /// It is dropped, as long as the journal does not forget that.
    pub(crate) fn begin_drop(&mut self) {
        let damage = self.lost().cloned();
        self.standing = Standing::Dropping { damage };
    }

    /// The next record gets it.
    pub(crate) fn appended_end(&self) -> Offset {
        self.tail.end()
    }

    /// Below it, bytes are in segment files.
    pub(crate) fn written_end(&self) -> Offset {
        self.tail.base()
    }

    /// What counts as durable, given what the journal has done.
    pub(crate) fn durable_lsn(&self, written: Lsn, durable: Lsn) -> Lsn {
        match self.durability(durable) {
            Durability::Fsync => durable,
            Durability::Os => written.max(durable),
        }
    }

    /// The topic's durability, as far as it has taken effect.
    pub(crate) fn durability(&self, durable: Lsn) -> Durability {
        match self.config.durability {
            Durability::Os => Durability::Os,
            // Switched lately: what was acknowledged when written must not turn undurable again.
            Durability::Fsync if durable.next() < self.fsync_from => Durability::Os,
            Durability::Fsync => Durability::Fsync,
        }
    }

    /// All ends.
    pub(crate) fn ends(&self, written: Lsn, durable: Lsn) -> Ends {
        let durable_lsn = self.durable_lsn(written, durable);
        let appended_end = self.appended_end();
        Ends {
            log_start: self.log_start,
            appended_end,
            durable_end: self.pending.durable_end(durable_lsn, appended_end),
            written_end: self.written_end(),
            synced_end: self.synced_end,
        }
    }

    /// Where the log starts for a journal that is durable up to `durable`.
    pub(crate) fn durable_log_start(&self, durable: Lsn) -> Offset {
        let undurable = self.left_starts.iter().find(|(lsn, _)| durable < *lsn);
        undurable.map_or(self.log_start, |(_, before)| *before)
    }

    /// The log starts at `start` from the entry `lsn` on, and the journal is durable up to `durable`.
    pub(crate) fn move_start(&mut self, lsn: Lsn, durable: Lsn, start: Offset) {
        while self
            .left_starts
            .front()
            .is_some_and(|(lsn, _)| *lsn <= durable)
        {
            self.left_starts.pop_front();
        }
        self.left_starts.push_back((lsn, self.log_start));
        self.start_from(start);
    }

    /// The end up to which records may be removed: what is not durable, here or on enough replicas, stays.
    pub(crate) fn removable_end(&self, durable: Lsn, high_watermark: Option<Offset>) -> Offset {
        let durable_end = self.pending.durable_end(durable, self.appended_end());
        high_watermark.map_or(durable_end, |it| it.min(durable_end))
    }

    /// Takes a batch into tail, active segment, epochs. The caller takes care of journal and producers.
    pub(crate) fn push_batch(&mut self, batch: TailBatch, epoch: LeaderEpoch) {
        let active = self
            .segments
            .last_mut()
            .expect("a segment was rolled first");
        active.push(batch.bytes.len(), batch.max_timestamp, batch.appended_at);
        if self.pin.is_none() {
            self.pin = Some(batch.lsn);
        }
        self.state_lsn = self.state_lsn.max(batch.lsn);
        self.epochs_are_dirty |= self.epochs.assign(epoch, batch.base_offset);
        self.leader_epoch = self.leader_epoch.max(Some(epoch));
        self.tail.push(batch);
    }

    /// Notes what a producer appended. Returns whether the producer is new in memory.
    pub(crate) fn push_producer(
        &mut self,
        producer: &ProducerBatch,
        base_offset: Offset,
        last_offset: Offset,
        timestamp: Timestamp,
        is_transactional: bool,
        used: Timestamp,
    ) -> bool {
        let batch = ProducedBatch {
            last_sequence: producer.last_sequence,
            last_offset,
            offset_delta: base_offset.distance_to(last_offset) as i32,
            timestamp,
        };
        let transactional = is_transactional.then_some(base_offset);
        let durable_end = self.pending.known_durable_end(self.appended_end());
        let (id, epoch) = (producer.id, producer.epoch);
        self.producers
            .push(id, epoch, batch, transactional, used, durable_end)
    }

    /// The log starts at `start` now: epochs before it go. Segments are removed by retention.
    pub(crate) fn start_from(&mut self, start: Offset) {
        self.log_start = self.log_start.max(start);
        self.epochs.start_from(self.log_start);
        self.epochs_are_dirty = true;
    }

    /// Whether the invariants hold; the first one that does not.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        self.tail.check()?;
        let ascending = |pair: &[Segment]| pair[0].base_offset < pair[1].base_offset;
        let is_nested =
            |it: &Segment| it.synced_size <= it.written_size && it.written_size <= it.size;
        let begins = |first: &Segment| first.base_offset <= self.log_start;
        let has_start =
            self.log_start == self.appended_end() || self.segments.first().is_some_and(begins);
        let unwritten = |it: &Segment| it.size.saturating_sub(it.written_size) as usize;
        let unwritten: usize = self.segments.iter().map(unwritten).sum();
        let invariants = [
            (
                self.log_start <= self.appended_end(),
                "the log starts behind its end",
            ),
            (
                self.synced_end <= self.written_end(),
                "more is synced than written",
            ),
            (
                self.segments.windows(2).all(ascending),
                "segments do not ascend",
            ),
            (
                self.segments.iter().all(is_nested),
                "a segment has more synced than written",
            ),
            (has_start, "no segment holds the start of the log"),
            (
                unwritten == self.tail.bytes(),
                "the tail is not what is not written",
            ),
        ];
        let broken = invariants.iter().find(|(holds, _)| !holds);
        broken.map_or(Ok(()), |(_, what)| Err(what))
    }
}
