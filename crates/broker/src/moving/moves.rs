use super::one_move::{Move, Seen, SeenTarget};
use super::pace::Pace;
use crate::partition::{LocalPartition, LogHome};
use ottla_storage::log_dir::{DirHealth, LargeBatch};
use ottla_types::{Lsn, Mono, Offset, TopicPartition};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Every log of this broker that is on its way to another directory.
#[derive(Default)]
pub(crate) struct Moves {
    pub(super) entries: BTreeMap<TopicPartition, Moving>,
    pub(super) pace: Pace,
    numbers_count: u64,
    /// Whose turn was last.
    served: Option<TopicPartition>,
}

/// One of them.
pub(super) struct Moving {
    /// Tells it from an earlier move of the same partition.
    pub(super) number: u64,
    pub(super) machine: Move,
    pub(super) partition: Arc<LocalPartition>,
    pub(super) source: Arc<LogHome>,
    pub(super) target: Arc<LogHome>,
    /// The journal entry of the target that began the copy: with it the move goes on after a restart.
    pub(super) begun: Lsn,
    /// The newest journal entry of the target.
    pub(super) newest: Lsn,
    /// A batch on its way into a file beside the target's journal.
    pub(super) large: Option<WritingLarge>,
    /// The gate of appends is closed for it.
    pub(super) is_closed: bool,
}

/// A batch that is too large for the target's journal.
pub(super) struct WritingLarge {
    pub(super) bytes: Vec<u8>,
    pub(super) batch: LargeBatch,
}

impl Moves {
    /// Adds a move; there is none of this partition.
    pub(super) fn insert(
        &mut self,
        machine: Move,
        partition: &Arc<LocalPartition>,
        source: Arc<LogHome>,
        target: LogHome,
        begun: Lsn,
    ) {
        self.numbers_count += 1;
        let moving = Moving {
            number: self.numbers_count,
            machine,
            partition: Arc::clone(partition),
            source,
            target: Arc::new(target),
            begun,
            newest: begun,
            large: None,
            is_closed: false,
        };
        let earlier = self.entries.insert(partition.id, moving);
        assert!(earlier.is_none(), "a log moves to one place at a time");
    }

    /// The move of `id` with this number, if it still goes on.
    pub(super) fn get_mut(&mut self, id: TopicPartition, number: u64) -> Option<&mut Moving> {
        let moving = self.entries.get_mut(&id)?;
        (moving.number == number).then_some(moving)
    }

    /// All of them, each once: those for which appends wait, and then the others, beginning behind the one whose turn
    /// was last.
    pub(super) fn turns(&self) -> Vec<TopicPartition> {
        let mut turns = self.turns_in_a_round();
        turns.sort_by_key(|id| !self.entries[id].machine.holds());
        turns
    }

    fn turns_in_a_round(&self) -> Vec<TopicPartition> {
        let keys = |range: (Bound<TopicPartition>, Bound<TopicPartition>)| {
            self.entries.range(range).map(|(id, _)| *id)
        };
        match self.served {
            None => keys((Bound::Unbounded, Bound::Unbounded)).collect(),
            Some(last) => keys((Bound::Excluded(last), Bound::Unbounded))
                .chain(keys((Bound::Unbounded, Bound::Included(last))))
                .collect(),
        }
    }

    pub(super) fn note_served(&mut self, id: TopicPartition) {
        self.served = Some(id);
    }

    /// Whether the second log of `id` in this directory is one that moves, or that is about to be dropped.
    pub(crate) fn knows(&self, id: TopicPartition, directory: usize) -> bool {
        self.entries.get(&id).is_some_and(|moving| {
            moving.target.directory == directory || moving.source.directory == directory
        })
    }

    /// Where the copy of a log comes into being, as long as it does not serve.
    pub(crate) fn copy_of(&self, id: TopicPartition) -> Option<Arc<LogHome>> {
        let moving = self.entries.get(&id)?;
        (!moving.machine.is_settling()).then(|| Arc::clone(&moving.target))
    }

    /// The copies that come into being, each with the partition it is of.
    pub(crate) fn copies(&self) -> Vec<(Arc<LocalPartition>, Arc<LogHome>)> {
        let moving = self.entries.values();
        let copying = moving.filter(|moving| !moving.machine.is_settling());
        copying
            .map(|moving| (Arc::clone(&moving.partition), Arc::clone(&moving.target)))
            .collect()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.entries.len()
    }
}

impl Moving {
    /// What there is to see of both logs.
    pub(super) fn seen(&self, now: Mono) -> Seen {
        Seen {
            now,
            source: self.source.ends_if_sound(),
            target: self.seen_target(),
        }
    }

    fn seen_target(&self) -> Option<SeenTarget> {
        let ends = self.target.ends_if_online()?;
        let log_dir = &self.target.log_dir;
        let tail_bytes_max = log_dir.options().tail_bytes_max;
        Some(SeenTarget {
            log_start: ends.log_start,
            end: ends.appended_end,
            is_durable: self.newest <= log_dir.durable_lsn(),
            // What was copied last is on its way, and tails are below what makes producers wait.
            has_room: self.newest <= log_dir.written_lsn().max(log_dir.durable_lsn())
                && log_dir.stats().tail_bytes <= tail_bytes_max + tail_bytes_max / 8,
            durable_lsn: log_dir.durable_lsn(),
            is_damaged: log_dir.damage(self.target.slot).is_some(),
        })
    }

    /// How far the copy is a beginning of the log; `None` when it is not one. An earlier process may have copied what
    /// its log lost in a power cut, where a topic asks for no fsync.
    pub(super) fn common_end(&self) -> Option<Offset> {
        let source = self.source.ends_if_sound()?;
        let target = self.target.ends_if_sound()?;
        if target.appended_end <= source.log_start {
            return Some(target.appended_end); // nothing of it is left at the source
        }
        if source.log_start < target.log_start {
            return None; // a start that the source has lost again
        }
        let (log_dir, slot) = (&self.target.log_dir, self.target.slot);
        let last = Offset::new(target.appended_end.get() - 1);
        let epoch = log_dir.epoch_of(slot, last)?;
        let (log_dir, slot) = (&self.source.log_dir, self.source.slot);
        let (known, end) = log_dir.epoch_end_offset(slot, epoch)?;
        (known == epoch && target.appended_end <= end).then_some(target.appended_end)
    }
}

impl LogHome {
    /// The ends of the log, unless its directory failed or the log has lost something: what is left of it must not be
    /// taken for all of it somewhere else.
    pub(super) fn ends_if_sound(&self) -> Option<ottla_storage::partition::Ends> {
        match self.log_dir.damage(self.slot) {
            Some(_) => None,
            None => self.ends_if_online(),
        }
    }

    /// The ends of the log, unless its directory failed.
    pub(super) fn ends_if_online(&self) -> Option<ottla_storage::partition::Ends> {
        match self.log_dir.health() {
            DirHealth::Offline { .. } => None,
            DirHealth::Online | DirHealth::Full => self.log_dir.ends(self.slot),
        }
    }
}
