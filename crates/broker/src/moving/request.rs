use super::one_move::Move;
use crate::broker::Broker;
use crate::error_map;
use crate::partition::LocalPartition;
use crate::waiting::JournalPlace;
use ottla_storage::log_dir::{DirHealth, StorageError};
use ottla_storage::partition::Durability;
use ottla_types::{ErrorCode, Lsn, Now};
use std::sync::Arc;

/// What became of a wish to have a log in a certain directory.
pub(crate) enum Asked {
    /// It is there, is on its way, or stays: certain once the journals are so far.
    Done(Vec<JournalPlace>),
    /// Not now: something of an earlier move has to come to its end, which it does by itself.
    Later,
    /// Never.
    Refused(ErrorCode),
}

impl Broker {
    /// Somebody wants the log of `local` to be in the directory with this index. An earlier wish is forgotten.
    pub(crate) fn ask_for_move(
        &self,
        local: &Arc<LocalPartition>,
        directory: usize,
        now: Now,
    ) -> Asked {
        let id = local.id;
        let mut moves = self.moves.lock();
        let mut places = Vec::new();
        let place = |directory, lsn| JournalPlace {
            directory,
            durability: Durability::Fsync,
            lsn,
        };
        if let Some(moving) = moves.entries.get(&id) {
            if !moving.machine.may_be_cancelled() {
                return Asked::Later;
            }
            if moving.target.directory == directory {
                return Asked::Done(vec![place(directory, moving.begun)]);
            }
            let (target, is_closed) = (Arc::clone(&moving.target), moving.is_closed);
            moves.entries.remove(&id);
            if is_closed {
                self.gate.open(id);
            }
            // One that is not there, or whose directory failed, is not brought back by a wish for another.
            if let Ok(lsn) = target.log_dir.drop_partition(target.slot, now) {
                places.push(place(target.directory, lsn));
            }
        }
        let asked = self.begin_move(&mut moves, local, directory, now);
        drop(moves);
        // What waited for a move that is given up goes on.
        self.resume_groups(now);
        match asked {
            Ok(Some(lsn)) => places.push(place(directory, lsn)),
            Ok(None) => {}
            Err(asked) => return asked,
        }
        self.wake.wake_mover();
        Asked::Done(places)
    }

    /// The entry that begins the copy; `None` when the log is where it is to be.
    fn begin_move(
        &self,
        moves: &mut super::Moves,
        local: &Arc<LocalPartition>,
        directory: usize,
        now: Now,
    ) -> Result<Option<Lsn>, Asked> {
        let home = Arc::clone(&local.home());
        if home.directory == directory {
            return Ok(None);
        }
        if let DirHealth::Offline { .. } = home.log_dir.health() {
            return Err(Asked::Refused(ErrorCode::KafkaStorageError));
        }
        if home.log_dir.damage(home.slot).is_some() {
            return Err(Asked::Refused(ErrorCode::KafkaStorageError));
        }
        let begun = self.begin_copy(local, directory);
        let (target, lsn) = begun.map_err(|error| match error {
            // Something of an earlier move is still there.
            StorageError::Undurable { .. }
            | StorageError::BeingRemoved
            | StorageError::AlreadyThere => Asked::Later,
            error => Asked::Refused(error_map::storage(&error)),
        })?;
        moves.insert(Move::begun_now(), local, home, target, lsn);
        if local.is_gone() {
            // The topic was deleted just now, and nobody saw this.
            if let Some(moving) = moves.entries.remove(&local.id) {
                let target = &moving.target;
                let _ = target.log_dir.drop_partition(target.slot, now);
            }
            return Err(Asked::Refused(ErrorCode::UnknownTopicOrPartition));
        }
        Ok(Some(lsn))
    }
}
