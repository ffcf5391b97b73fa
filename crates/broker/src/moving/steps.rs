use super::copying::{Piece, PieceEnd, copy};
use super::moves::{Moves, Moving};
use super::one_move::Step;
use super::pace::Pace;
use crate::broker::Broker;
use crate::controller_desk::{ControllerResult, Waiting};
use crate::counter::add;
use ottla_metadata::{Command, ControllerError};
use ottla_storage::log_dir::DirHealth;
use ottla_types::{Mono, Now, TopicPartition};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What [`Broker::move_step`] did, and when it wants to be called again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveStep {
    /// There may be more to do.
    Worked,
    /// Nothing before this time, unless somebody wakes the mover ([`crate::Wake::wake_mover`]).
    Waiting {
        /// When.
        until: Mono,
    },
    /// Nothing until somebody wakes the mover.
    Idle,
}

/// What is to be done for a move outside the lock of all moves.
enum Task {
    Copy(Box<Piece>),
    Close(TopicPartition, u64),
    Tell(TopicPartition, u64),
    Commit(TopicPartition, u64),
    /// Coordinators that wait for the log go on. Requests look for themselves.
    Resume,
    Nothing,
}

/// What a move that has nothing to do waits for.
struct Wait {
    until: Option<Mono>,
    is_for_journal: bool,
}

impl Wait {
    fn until(until: Option<Mono>) -> Wait {
        Wait {
            until,
            is_for_journal: false,
        }
    }

    fn for_journal(until: Option<Mono>) -> Wait {
        Wait {
            until,
            is_for_journal: true,
        }
    }
}

impl Broker {
    /// The pump of the moves: does one thing for one of them, at most one piece of copying. It may wait for a disk. One
    /// thread calls it.
    pub fn move_step(&self, now: Now) -> MoveStep {
        let rate = self.live_settings.load().move_bytes_per_second;
        let mut until: Option<Mono> = None;
        // Set before anything is looked at: a journal that gets further meanwhile has everything looked at again.
        self.awaits_journal.store(true, Ordering::SeqCst);
        let mut awaits_journal = false;
        let turns = self.moves.lock().turns();
        for id in turns {
            let mut moves = self.moves.lock();
            match self.take_turn(&mut moves, id, rate, now) {
                Ok(task) => {
                    moves.note_served(id);
                    drop(moves);
                    self.do_task(task, now);
                    return MoveStep::Worked;
                }
                Err(wait) => {
                    awaits_journal |= wait.is_for_journal;
                    until = until.into_iter().chain(wait.until).min();
                }
            }
        }
        self.awaits_journal.store(awaits_journal, Ordering::SeqCst);
        match until {
            Some(until) => MoveStep::Waiting { until },
            None => MoveStep::Idle,
        }
    }

    /// How many logs are on their way to another directory.
    pub fn moving_count(&self) -> usize {
        self.moves.lock().count()
    }

    /// What the move of `id` does next; the error says what it waits for.
    fn take_turn(
        &self,
        moves: &mut Moves,
        id: TopicPartition,
        rate: u64,
        now: Now,
    ) -> Result<Task, Wait> {
        let ready_at = moves.pace.ready_at(now.mono, rate);
        let moving = moves.entries.get_mut(&id).ok_or(Wait::until(None))?;
        let seen = moving.seen(now.mono);
        let held = moving.machine.holds();
        let task = match moving.machine.next(&seen) {
            Step::Copy { from, end } => {
                if !held && now.mono < ready_at {
                    return Err(Wait::until(Some(ready_at)));
                }
                Task::Copy(Box::new(Piece {
                    id,
                    number: moving.number,
                    source: Arc::clone(&moving.source),
                    target: Arc::clone(&moving.target),
                    from,
                    end,
                    bytes_max: Pace::piece_bytes(rate),
                    large: moving.large.take(),
                }))
            }
            Step::Begin if self.is_out_of_service(moving) => {
                add(&self.metrics.moves_failed, 1);
                self.end_move(moves, id)
            }
            Step::Begin => {
                self.begin_again(moving, now);
                Task::Nothing
            }
            Step::Compare => {
                let common_end = moving.common_end();
                moving.machine.compared(common_end);
                Task::Nothing
            }
            Step::MoveStart(to) => {
                let target = &moving.target;
                match target.log_dir.delete_records(target.slot, to) {
                    Ok(lsn) => moving.newest = moving.newest.max(lsn),
                    Err(_) => moving.machine.failed(now.mono),
                }
                self.opened_unless_held(moving)
            }
            Step::Close if self.may_commit() => Task::Close(id, moving.number),
            // Nobody could be asked where the log is: appends are not held for that.
            Step::Close => {
                moving.machine.failed(now.mono);
                Task::Nothing
            }
            Step::Open => self.opened_unless_held(moving),
            Step::Tell => Task::Tell(id, moving.number),
            Step::Commit => Task::Commit(id, moving.number),
            Step::DropSource => {
                let source = &moving.source;
                // On a failed directory the next start drops it.
                let _ = source.log_dir.drop_partition(source.slot, now);
                add(&self.metrics.moves_completed, 1);
                self.end_move(moves, id)
            }
            Step::GiveUp => {
                add(&self.metrics.moves_failed, 1);
                self.end_move(moves, id)
            }
            Step::AwaitJournal => {
                if held {
                    // A topic may ask for no fsync; here appends wait for it.
                    moving.source.log_dir.wal().sync_soon();
                    moving.target.log_dir.wal().sync_soon();
                }
                return Err(Wait::for_journal(moving.machine.hold_ends()));
            }
            Step::AwaitRoom(until) => return Err(Wait::for_journal(Some(until))),
            Step::AwaitAnswer => return Err(Wait::until(None)),
            Step::AwaitTime(until) => return Err(Wait::until(Some(until))),
        };
        Ok(task)
    }

    fn end_move(&self, moves: &mut Moves, id: TopicPartition) -> Task {
        let ended = moves.entries.remove(&id);
        match ended.is_some_and(|moving| moving.is_closed) {
            true => {
                self.gate.open(id);
                Task::Resume
            }
            false => Task::Nothing,
        }
    }

    /// Whether a directory of a move whose copy is to be begun has failed.
    fn is_out_of_service(&self, moving: &Moving) -> bool {
        let target = moving.target.log_dir.health();
        moving.source.ends_if_sound().is_none() || matches!(target, DirHealth::Offline { .. })
    }

    /// Lets appends go on where they were, if they do not wait for the move any more.
    fn opened_unless_held(&self, moving: &mut Moving) -> Task {
        if moving.machine.holds() || !std::mem::take(&mut moving.is_closed) {
            return Task::Nothing;
        }
        self.gate.open(moving.partition.id);
        Task::Resume
    }

    fn begin_again(&self, moving: &mut Moving, now: Now) {
        let (id, home) = (moving.partition.id, &moving.target);
        if let Some(slot) = home.log_dir.slot(id) {
            let _ = home.log_dir.drop_partition(slot, now);
        }
        match self.begin_copy(&moving.partition, home.directory) {
            Ok((home, lsn)) => {
                (moving.begun, moving.newest) = (lsn, lsn);
                moving.target = Arc::new(home);
                moving.machine.begun();
            }
            // Also while the earlier one is still being removed.
            Err(_) => moving.machine.failed(now.mono),
        }
    }

    fn do_task(&self, task: Task, now: Now) {
        match task {
            Task::Copy(piece) => self.copy_piece(*piece, now),
            Task::Close(id, number) => self.close_gate(id, number, now),
            Task::Tell(id, number) => self.tell_target(id, number, now),
            Task::Commit(id, number) => self.commit_move(id, number, now),
            Task::Resume => self.resume_groups(now),
            Task::Nothing => {}
        }
    }

    fn copy_piece(&self, piece: Piece, now: Now) {
        let (id, number, end) = (piece.id, piece.number, piece.end);
        let copied = copy(piece, now);
        add(&self.metrics.moved_bytes, copied.bytes);
        let mut moves = self.moves.lock();
        moves.pace.copied(now.mono, copied.bytes);
        let Some(moving) = moves.get_mut(id, number) else {
            return; // It was cancelled, or the topic is gone.
        };
        moving.newest = moving.newest.max(copied.newest);
        moving.large = copied.large;
        match copied.ended {
            PieceEnd::Copied => moving.machine.copied(copied.next, end),
            PieceEnd::MustWait => {
                moving.machine.copied(copied.next, end);
                moving.machine.wait(now.mono);
            }
            PieceEnd::NoCopy => moving.machine.compared(None),
            PieceEnd::Failed => moving.machine.failed(now.mono),
        }
        let task = self.opened_unless_held(moving);
        drop(moves);
        self.do_task(task, now);
    }

    /// Appends wait from now on. Nobody needs to wait for those that are under way, apart from this thread.
    fn close_gate(&self, id: TopicPartition, number: u64, now: Now) {
        self.gate.close(id);
        let mut moves = self.moves.lock();
        let moving = moves.get_mut(id, number);
        if let Some(moving) = moving.filter(|moving| moving.machine.holds()) {
            moving.is_closed = true;
            return;
        }
        drop(moves);
        // It was given up meanwhile.
        self.gate.open(id);
        self.resume_groups(now);
    }

    /// The copy learns what its source remembers beside its records. Both may wait for their devices.
    fn tell_target(&self, id: TopicPartition, number: u64, now: Now) {
        let logs = {
            let mut moves = self.moves.lock();
            let moving = moves.get_mut(id, number);
            moving.map(|moving| (Arc::clone(&moving.source), Arc::clone(&moving.target)))
        };
        let Some((source, target)) = logs else {
            return;
        };
        // A snapshot that cannot be read is damage, and shows before anything is decided.
        let told = source.log_dir.remembered(source.slot, now);
        let told = told.and_then(|known| target.log_dir.remember(target.slot, &known, now));
        let mut moves = self.moves.lock();
        let Some(moving) = moves.get_mut(id, number) else {
            return;
        };
        match told {
            Ok(lsn) => {
                moving.newest = moving.newest.max(lsn);
                moving.machine.told();
            }
            Err(_) => moving.machine.failed(now.mono),
        }
        let task = self.opened_unless_held(moving);
        drop(moves);
        self.do_task(task, now);
    }

    /// Whether this broker can ask the metadata.
    fn may_commit(&self) -> bool {
        self.registered_epoch().is_some() && self.desk.lock().controller.term().is_some()
    }

    fn commit_move(&self, id: TopicPartition, number: u64, now: Now) {
        let (directory, broker_epoch) = {
            let mut moves = self.moves.lock();
            let Some(moving) = moves.get_mut(id, number) else {
                return;
            };
            let Some(broker_epoch) = self.registered_epoch() else {
                return moving.machine.not_answered(now.mono);
            };
            let directory = self.directories[moving.target.directory].id;
            (directory, broker_epoch)
        };
        let view = self.view.load_full();
        let known = view.image.partition(id);
        let known = known.and_then(|partition| partition.directory_of(self.config.node_id));
        if known == Some(directory) {
            // An earlier question was answered, and the answer got lost.
            let mut moved = Vec::new();
            self.change_over(id, directory, &mut moved);
            self.note_moved(&moved);
            return self.resume_groups(now);
        }
        let command = Command::AssignDirectories {
            broker: self.config.node_id,
            broker_epoch,
            assignments: vec![(id, directory)],
        };
        self.submit_own(&command, Waiting::Move { id, number, now });
    }

    /// The metadata answered. If it named the target, the log has changed over by now.
    pub(crate) fn move_answered(
        &self,
        id: TopicPartition,
        number: u64,
        result: &ControllerResult,
        now: Now,
    ) {
        let mut moves = self.moves.lock();
        let Some(moving) = moves.get_mut(id, number) else {
            return;
        };
        if !moving.machine.is_committing() {
            return;
        }
        match result {
            Err(
                ControllerError::NotController
                | ControllerError::TimedOut
                | ControllerError::MetadataFailed { .. },
            ) => {
                add(&self.metrics.moves_unanswered, 1);
                moving.machine.not_answered(now.mono);
            }
            Ok(_) | Err(_) => moving.machine.refused(now.mono),
        }
        let task = self.opened_unless_held(moving);
        drop(moves);
        self.do_task(task, now);
        self.wake.wake_mover();
    }
}
