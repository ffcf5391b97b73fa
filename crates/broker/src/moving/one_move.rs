use ottla_storage::partition::Ends;
use ottla_types::{Lsn, Mono, Offset};
use std::time::Duration;

/// How long appends may be held while the rest is copied: far more than that takes on disks that are well, and less
/// than a client's patience.
const HOLD_MAX: Duration = Duration::from_secs(2);
/// How soon it is looked again whether the target has room.
const ROOM_RETRY: Duration = Duration::from_millis(5);
/// How soon it is looked again whether something was appended behind what is compacted away.
const GAP_RETRY: Duration = Duration::from_secs(1);
/// How soon it is tried again after something went wrong, for the first time ...
const RETRY_MIN: Duration = Duration::from_millis(500);
/// ... and at most. It doubles in between.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// One log on its way from one directory of this broker to another (KIP-113). Decides what is to be done next; does
/// nothing.
///
/// | stage | appends | a start finds | |
/// |---|---|---|---|
/// | beginning | at the source | nothing, or the copy | an earlier log has to be gone from the target first |
/// | copying | at the source | a marked copy: goes on | what is durable at the source is copied |
/// | draining | wait | the same | the rest is copied, and made durable |
/// | committing | wait | the same, or the next | the metadata decides; nothing else can |
/// | settling | at the target | it in the directory of record | the source is dropped when the target needs it no more |
///
/// Up to `committing` everything may fail, and appends go on at the source. From there on they go nowhere until
/// the answer is certain: what was appended at the source after the metadata named the target would be lost.
#[derive(Debug)]
pub(crate) struct Move {
    stage: Stage,
    /// How far the target is a copy of the source (exclusive). `None` before the two were compared: an earlier
    /// process may have left more in the target than the source has kept.
    copied_to: Option<Offset>,
    /// Everything that was durable when the last piece was begun is copied.
    has_caught_up: bool,
    /// The target knows what the source remembers beside its records, such as producers.
    is_told: bool,
    /// Not before this time, after something went wrong.
    not_before: Mono,
    /// In a row.
    failures_count: u32,
    /// Times appends were held in vain.
    holds_count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Beginning,
    Copying,
    Draining { until: Mono },
    Committing { is_asked: bool },
    Settling { promoted: Lsn },
}

/// What there is to see of both logs; `None` for one whose directory failed, and for a source that has lost something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) now: Mono,
    pub(crate) source: Option<Ends>,
    pub(crate) target: Option<SeenTarget>,
}

/// What there is to see of the copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeenTarget {
    pub(crate) log_start: Offset,
    /// Exclusive.
    pub(crate) end: Offset,
    /// Whether everything in it is fsynced.
    pub(crate) is_durable: bool,
    /// Whether its directory takes more without making producers wait.
    pub(crate) has_room: bool,
    /// How far its journal is fsynced.
    pub(crate) durable_lsn: Lsn,
    /// It has lost something, and serves nobody any more.
    pub(crate) is_damaged: bool,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The target's log is to be begun. Then [`Move::begun`] or [`Move::failed`].
    Begin,
    /// Whether the target is a beginning of the source is to be found out: [`Move::compared`].
    Compare,
    /// The target's log starts at this offset.
    MoveStart(Offset),
    /// A piece of the source is to be copied: [`Move::copied`] or [`Move::failed`].
    Copy { from: Offset, end: Offset },
    /// Appends are to be held.
    Close,
    /// The target is to be told what the source remembers beside its records: [`Move::told`] or [`Move::failed`].
    Tell,
    /// Appends go on where they were.
    Open,
    /// The metadata is to be asked: [`Move::refused`], [`Move::not_answered`] or [`Move::changed_over`].
    Commit,
    /// The source is to be dropped; the move is over.
    DropSource,
    /// A directory failed: the move is over, and goes on after the next start if both are there then.
    GiveUp,
    /// Nothing, until a journal got further.
    AwaitJournal,
    /// Nothing, until the metadata answers.
    AwaitAnswer,
    /// Nothing before this time, unless a journal gets further before.
    AwaitRoom(Mono),
    /// Nothing before this time.
    AwaitTime(Mono),
}

impl Move {
    /// A move whose copy is begun, and empty. Every copy begins at 0: where the source starts may lie inside of a batch,
    /// which is copied whole, and then the copy starts there too.
    pub(crate) fn begun_now() -> Move {
        Move {
            copied_to: Some(Offset::ZERO),
            ..Move::found()
        }
    }

    /// A move whose copy an earlier process left.
    pub(crate) fn found() -> Move {
        Move {
            stage: Stage::Copying,
            copied_to: None,
            has_caught_up: false,
            is_told: false,
            not_before: Mono::ZERO,
            failures_count: 0,
            holds_count: 0,
        }
    }

    /// A move that an earlier process committed; the target serves.
    pub(crate) fn settling(promoted: Lsn) -> Move {
        Move {
            stage: Stage::Settling { promoted },
            ..Move::found()
        }
    }

    /// Whether it can still be given up.
    pub(crate) fn may_be_cancelled(&self) -> bool {
        match self.stage {
            Stage::Beginning | Stage::Copying | Stage::Draining { .. } => true,
            Stage::Committing { .. } | Stage::Settling { .. } => false,
        }
    }

    /// Whether appends are held for it.
    pub(crate) fn holds(&self) -> bool {
        matches!(
            self.stage,
            Stage::Draining { .. } | Stage::Committing { .. }
        )
    }

    /// Whether the metadata may name the target from now on.
    pub(crate) fn is_committing(&self) -> bool {
        matches!(self.stage, Stage::Committing { .. })
    }

    /// Whether the target serves.
    pub(crate) fn is_settling(&self) -> bool {
        matches!(self.stage, Stage::Settling { .. })
    }

    /// What is to be done next.
    pub(crate) fn next(&mut self, seen: &Seen) -> Step {
        match self.stage {
            Stage::Beginning => self.wait_or(seen.now, Step::Begin),
            Stage::Copying => self.next_of_copying(seen),
            Stage::Draining { until } => self.next_of_draining(seen, until),
            Stage::Committing { is_asked: true } => Step::AwaitAnswer,
            Stage::Committing { is_asked: false } => {
                if seen.now < self.not_before {
                    return Step::AwaitTime(self.not_before);
                }
                self.stage = Stage::Committing { is_asked: true };
                Step::Commit
            }
            Stage::Settling { promoted } => match &seen.target {
                // The source has what the target may lack.
                None => Step::GiveUp,
                Some(target) if target.is_damaged => Step::GiveUp,
                Some(target) if target.durable_lsn < promoted => Step::AwaitJournal,
                Some(_) => Step::DropSource,
            },
        }
    }

    fn next_of_copying(&mut self, seen: &Seen) -> Step {
        let (Some(source), Some(target)) = (&seen.source, &seen.target) else {
            return Step::GiveUp;
        };
        if seen.now < self.not_before {
            return Step::AwaitTime(self.not_before);
        }
        if target.is_damaged {
            self.compared(None);
            return Step::Begin;
        }
        let Some(copied_to) = self.copied_to else {
            return Step::Compare;
        };
        if let Some(to) = start_to_follow(source, target) {
            return Step::MoveStart(to);
        }
        let from = copied_to.max(source.log_start);
        let has_gap = target.end < from;
        if source.durable_end <= from && has_gap {
            // The end of the source was compacted away, and the copy would give these offsets out again.
            return Step::AwaitTime(seen.now.plus(GAP_RETRY));
        }
        if source.durable_end <= from || (self.has_caught_up && !has_gap) {
            let until = seen.now.plus(HOLD_MAX);
            (self.has_caught_up, self.is_told) = (false, false);
            self.stage = Stage::Draining { until };
            return Step::Close;
        }
        match target.has_room {
            true => Step::Copy {
                from,
                end: source.durable_end,
            },
            false => Step::AwaitRoom(seen.now.plus(ROOM_RETRY)),
        }
    }

    fn next_of_draining(&mut self, seen: &Seen, until: Mono) -> Step {
        let (Some(source), Some(target), Some(copied_to)) =
            (&seen.source, &seen.target, self.copied_to)
        else {
            self.stage = Stage::Copying; // where it is given up
            return Step::Open;
        };
        if until <= seen.now || target.is_damaged {
            self.holds_count += 1;
            self.failed(seen.now);
            return Step::Open;
        }
        if let Some(to) = start_to_follow(source, target) {
            return Step::MoveStart(to);
        }
        if seen.now < self.not_before {
            return Step::AwaitTime(self.not_before.min(until));
        }
        let from = copied_to.max(source.log_start);
        if source.durable_end < source.appended_end {
            return Step::AwaitJournal;
        }
        if from < source.durable_end {
            return Step::Copy {
                from,
                end: source.durable_end,
            };
        }
        if !self.is_told {
            return Step::Tell;
        }
        if !target.is_durable {
            return Step::AwaitJournal;
        }
        if target.end != source.appended_end {
            self.failed(seen.now);
            return Step::Open;
        }
        self.stage = Stage::Committing { is_asked: true };
        Step::Commit
    }

    fn wait_or(&self, now: Mono, step: Step) -> Step {
        match now < self.not_before {
            true => Step::AwaitTime(self.not_before),
            false => step,
        }
    }

    /// The target's log is begun, and empty.
    pub(crate) fn begun(&mut self) {
        assert_eq!(self.stage, Stage::Beginning);
        *self = Move::begun_now();
    }

    /// The target is a beginning of the source up to `prefix_end`; `None`: it is not, and is to be made anew.
    pub(crate) fn compared(&mut self, prefix_end: Option<Offset>) {
        self.copied_to = prefix_end;
        if prefix_end.is_none() {
            self.stage = Stage::Beginning;
        }
    }

    /// Everything up to `next` is copied, of what was to be copied up to `end`.
    pub(crate) fn copied(&mut self, next: Offset, end: Offset) {
        self.copied_to = self.copied_to.max(Some(next));
        self.has_caught_up = end <= next;
        self.failures_count = 0;
    }

    /// The target knows what the source remembers, and nothing of it changes as long as appends are held.
    pub(crate) fn told(&mut self) {
        self.is_told = true;
    }

    /// The target cannot take the next batch just now.
    pub(crate) fn wait(&mut self, now: Mono) {
        self.not_before = now.plus(ROOM_RETRY);
    }

    /// When appends go on at the source if the target is not ready before.
    pub(crate) fn hold_ends(&self) -> Option<Mono> {
        match self.stage {
            Stage::Draining { until } => Some(until),
            Stage::Beginning
            | Stage::Copying
            | Stage::Committing { .. }
            | Stage::Settling { .. } => None,
        }
    }

    /// Something went wrong before the metadata was asked: appends go on at the source.
    pub(crate) fn failed(&mut self, now: Mono) {
        assert!(self.may_be_cancelled());
        if self.stage != Stage::Beginning {
            self.stage = Stage::Copying;
        }
        self.has_caught_up = false;
        self.put_off(now);
    }

    /// The metadata refuses, and will not change its mind: appends go on at the source.
    pub(crate) fn refused(&mut self, now: Mono) {
        assert!(self.is_committing());
        self.stage = Stage::Copying;
        self.put_off(now);
    }

    /// What the metadata decided is not known: it is asked again, and appends wait.
    pub(crate) fn not_answered(&mut self, now: Mono) {
        assert!(self.is_committing());
        self.stage = Stage::Committing { is_asked: false };
        self.put_off(now);
    }

    /// The metadata names the target, and it serves.
    pub(crate) fn changed_over(&mut self, promoted: Lsn) {
        assert!(self.is_committing());
        self.stage = Stage::Settling { promoted };
    }

    fn put_off(&mut self, now: Mono) {
        let times = self.failures_count.max(self.holds_count).min(16);
        let doubled = RETRY_MIN.saturating_mul(1 << times);
        self.not_before = now.plus(doubled.min(RETRY_MAX));
        self.failures_count += 1;
    }
}

/// Where the copy starts from now on, if that is in it. A start beyond its end may lie inside of a batch that is copied
/// first; with nothing behind the start there is none.
fn start_to_follow(source: &Ends, target: &SeenTarget) -> Option<Offset> {
    let to = source.log_start;
    let is_there = to <= target.end || source.appended_end <= to;
    (target.log_start < to && is_there).then_some(to)
}

#[cfg(test)]
mod tests;
