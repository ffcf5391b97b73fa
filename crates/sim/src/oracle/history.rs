use super::Violation;
use super::compacted::CompactionRule;
use super::log_state::{LogState, StoredBatch};
use crate::hold;
use ottla_types::{Lsn, Offset};
use std::collections::VecDeque;
use std::sync::Arc;

/// One journaled change of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A batch at the end.
    Append(Arc<StoredBatch>),
    /// The end moves back to this offset.
    Truncate(Offset),
    /// The log start moves up to this offset.
    LogStart(Offset),
    /// The partition goes.
    Drop,
}

/// What a crash must not take back: changes with a number at or below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor(pub Lsn);

/// What a crash left of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Changes that it took back.
    pub changes_lost: usize,
    /// Whether the oracle knows what the partition knows of its producers.
    pub producers: Producers,
}

/// See [`Recovered`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Producers {
    /// It does.
    Known,
    /// A truncation made several pasts possible: producers should come back with a new epoch.
    Unknown,
}

/// One partition's promised past: the journal is redone in order, so after a crash it holds the state
/// after some prefix of its changes, and that prefix contains every change that was acknowledged.
///
/// Invariants: `durable` plus `pending`, in order, is `now`.
#[derive(Clone, Debug)]
pub struct History {
    /// The state that no crash can take back any more.
    durable: LogState,
    /// Changes that may still be lost, oldest first; `None` when the journal's number is not known
    /// (it is below that of the next known one).
    pending: VecDeque<(Change, Option<Lsn>)>,
    /// The state with everything pending applied: what readers of the running process see.
    now: LogState,
}

impl History {
    /// Of a partition that was just made.
    pub fn new() -> History {
        History {
            durable: LogState::empty(),
            pending: VecDeque::new(),
            now: LogState::empty(),
        }
    }

    /// The state with every change applied.
    pub fn now(&self) -> &LogState {
        &self.now
    }

    /// The state that no crash can take back.
    pub fn durable(&self) -> &LogState {
        &self.durable
    }

    /// Notes a change; `lsn` is `None` when it is not known.
    pub fn push(&mut self, change: Change, lsn: Option<Lsn>) {
        apply(&mut self.now, &change);
        self.pending.push_back((change, lsn));
    }

    /// Everything up to `floor` is durable now.
    pub fn advance(&mut self, floor: Floor) {
        for _ in 0..self.durable_count(floor) {
            let (change, _) = self.pending.pop_front().expect("it was just counted");
            apply(&mut self.durable, &change);
        }
    }

    /// Every change is durable now, whatever its number.
    pub fn settled(&mut self) {
        self.pending.clear();
        self.durable = self.now.clone();
    }

    /// The smallest end that a crash may leave: records below it are promised.
    pub fn promised_end(&self, floor: Floor) -> Offset {
        let mut state = self.durable.clone();
        for (change, _) in self.pending.iter().take(self.durable_count(floor)) {
            apply(&mut state, change);
        }
        state.end
    }

    /// After a crash: `found` must be the state after some prefix that reaches `floor`. It becomes the
    /// durable state. Says how many changes were lost.
    ///
    /// With a `rule` the log may have been compacted: then `found` is what that may leave of the state.
    pub fn recovered(
        &mut self,
        found: &LogState,
        floor: Floor,
        rule: Option<CompactionRule>,
    ) -> Result<Recovered, Violation> {
        let difference_of = |candidate: &LogState| match rule {
            Some(rule) => candidate.difference_compacted(found, rule),
            None => candidate.difference(found),
        };
        let promised = self.durable_count(floor);
        let mut state = self.durable.clone();
        let mut without_starts = self.durable.clone();
        let mut difference = String::new();
        // Several prefixes may give the same state: the longest is as good as any.
        let mut best: Option<(usize, LogState)> = None;
        let mut same_producers = true;
        for count in 0..=self.pending.len() {
            if let Some((change, _)) = count.checked_sub(1).map(|index| &self.pending[index]) {
                apply(&mut state, change);
                // A flush brings batches to the device ahead of the journal: those behind a log start that
                // nobody was told of may be there without it.
                if count <= promised || !matches!(change, Change::LogStart(_)) {
                    apply(&mut without_starts, change);
                }
            }
            for base in [&without_starts, &state] {
                // A log start may run ahead of the journal as well.
                let mut candidate = base.clone();
                if found.exists && base.exists && self.asks_for_start(found.log_start) {
                    candidate.move_log_start(found.log_start);
                }
                let same = candidate.exists == found.exists
                    && (!candidate.exists || difference_of(&candidate).is_none());
                if same {
                    let knows_same =
                        |best: &(usize, LogState)| best.1.knows_same_producers(&candidate);
                    same_producers &= best.as_ref().is_none_or(knows_same);
                    best = Some((count, candidate));
                } else if count == promised {
                    difference = difference_of(&state).unwrap_or_default();
                }
            }
        }
        let Some((count, state)) = best else {
            return Err(Violation {
                invariant: "a crash leaves a prefix of what was journaled",
                detail: format!(
                    "no prefix of {} changes gives what was found; with the {promised} promised: {difference}",
                    self.pending.len()
                ),
            });
        };
        hold!(
            promised <= count,
            "acknowledged changes survive",
            "found the state after {count} of {} changes, {promised} were promised: {difference}",
            self.pending.len()
        );
        let lost = self.pending.len() - count;
        self.pending.clear();
        self.durable = state;
        if !same_producers {
            // The records are the same after several prefixes, what is known of producers is not.
            self.durable.forget_producers();
        }
        self.now = self.durable.clone();
        Ok(Recovered {
            changes_lost: lost,
            producers: match same_producers {
                true => Producers::Known,
                false => Producers::Unknown,
            },
        })
    }

    /// Takes `found` for the truth, after damage was reported for this partition: it must still hold
    /// nothing that was never there. With what is lost may be where the log started, or where it was cut: then
    /// batches come back that `may_come_back` knows.
    pub fn damaged(
        &mut self,
        found: &LogState,
        may_come_back: impl Fn(&StoredBatch) -> bool,
    ) -> Result<(), Violation> {
        for batch in found.batches() {
            if may_come_back(batch) {
                continue;
            }
            let known = self.now.batches().chain(self.durable.batches());
            let known = known.chain(self.pending.iter().filter_map(|(change, _)| match change {
                Change::Append(batch) => Some(batch),
                Change::Truncate(_) | Change::LogStart(_) | Change::Drop => None,
            }));
            let mut known = known.filter(|known| known.base_offset == batch.base_offset);
            hold!(
                known.any(|known| known.bytes == batch.bytes),
                "damage is reported, never served",
                "a batch at {} that nobody wrote",
                batch.base_offset
            );
        }
        Ok(())
    }

    /// After a restart that had to read every segment: producers are known only as far as the batches tell.
    pub fn forget_producers(&mut self) {
        self.durable.forget_producers();
        self.now.forget_producers();
    }

    /// Whether a pending change moves the log start to `start`.
    fn asks_for_start(&self, start: Offset) -> bool {
        let asks = |(change, _): &(Change, Option<Lsn>)| *change == Change::LogStart(start);
        self.pending.iter().any(asks)
    }

    /// How many pending changes `floor` covers.
    fn durable_count(&self, floor: Floor) -> usize {
        let covered = |(_, lsn): &(Change, Option<Lsn>)| lsn.is_some_and(|lsn| lsn <= floor.0);
        // A change whose number is unknown is covered by the next known one.
        self.pending
            .iter()
            .rposition(covered)
            .map_or(0, |index| index + 1)
    }
}

impl Default for History {
    fn default() -> History {
        History::new()
    }
}

fn apply(state: &mut LogState, change: &Change) {
    match change {
        Change::Append(batch) => state.append(batch),
        Change::Truncate(to) => state.truncate(*to),
        Change::LogStart(to) => state.move_log_start(*to),
        Change::Drop => *state = LogState::default(),
    }
}
