use super::one_move::Move;
use crate::broker::Broker;
use crate::partition::{LocalPartition, LogHome};
use crate::response::Token;
use crate::view::View;
use crate::waiting::JournalPlace;
use ottla_storage::log_dir::{DirHealth, StorageError};
use ottla_storage::partition::Durability;
use ottla_types::{DirectoryId, Lsn, Now, Offset, PartitionSlot, TopicPartition};
use std::sync::Arc;

impl Broker {
    /// Begins an empty copy of a log in another directory.
    pub(super) fn begin_copy(
        &self,
        partition: &LocalPartition,
        directory: usize,
    ) -> Result<(LogHome, Lsn), StorageError> {
        let (id, config) = (partition.id, partition.config().log_config(partition.id));
        let log_dir = Arc::clone(&self.log_dirs[directory]);
        let (slot, lsn) = log_dir.begin_future(id, &partition.topic, config, Offset::ZERO)?;
        let home = LogHome {
            directory,
            log_dir,
            slot,
        };
        Ok((home, lsn))
    }

    /// The metadata says that the log of `id` is in `directory`. If a move is about to bring it there, it is served
    /// from there from now on, and appends go on there.
    pub(crate) fn change_over(
        &self,
        id: TopicPartition,
        directory: DirectoryId,
        moved: &mut Vec<Token>,
    ) {
        let mut moves = self.moves.lock();
        let Some(moving) = moves.entries.get_mut(&id) else {
            return;
        };
        let is_meant = self.directories[moving.target.directory].id == directory;
        if !moving.machine.is_committing() || !is_meant {
            return;
        }
        let (source, target) = (&moving.source, &moving.target);
        if let Some(ends) = source.log_dir.ends(source.slot) {
            // Retention may have gone on; a log start never goes back.
            let _ = target.log_dir.delete_records(target.slot, ends.log_start);
        }
        if let Some(epoch) = source.log_dir.latest_epoch(source.slot) {
            let _ = target.log_dir.bump_leader_epoch(target.slot, epoch);
        }
        // A target that fails just now never gets so far, and the source stays for the next start.
        let promoted = target.log_dir.promote(target.slot);
        let promoted = promoted.unwrap_or(Lsn::new(u64::MAX));
        let home = LogHome {
            directory: target.directory,
            log_dir: Arc::clone(&target.log_dir),
            slot: target.slot,
        };
        moved.extend(moving.partition.move_to(home));
        moving.machine.changed_over(promoted);
        moving.is_closed = false;
        self.gate.open(id);
        drop(moves);
        self.wake.wake_mover();
    }

    /// The log of `id` that a start found in the directory of record is about to serve. If a move brought it there
    /// and was not over, it is brought to its end.
    pub(crate) fn promote_found(&self, local: &Arc<LocalPartition>) {
        let home = local.home();
        if !home.log_dir.is_future(home.slot) {
            return;
        }
        let source = self.other_log(local.id, home.directory);
        let Some(source) = source else {
            // Its source is gone, or not here.
            let _ = home.log_dir.promote(home.slot);
            return;
        };
        let target = LogHome {
            directory: home.directory,
            log_dir: Arc::clone(&home.log_dir),
            slot: home.slot,
        };
        if let Ok(promoted) = target.log_dir.promote(target.slot) {
            let mut moves = self.moves.lock();
            let machine = Move::settling(promoted);
            moves.insert(machine, local, Arc::new(source), target, promoted);
            drop(moves);
            // It may rest: it has looked for something to do before this was found.
            self.wake.wake_mover();
        }
    }

    /// A log of `id` in a directory other than this one that is not a copy in the making.
    fn other_log(&self, id: TopicPartition, directory: usize) -> Option<LogHome> {
        let log_dirs = self.log_dirs.iter().enumerate();
        let mut others = log_dirs.filter(|(index, _)| *index != directory);
        others.find_map(|(directory, log_dir)| {
            let slot = log_dir.slot(id).filter(|slot| !log_dir.is_future(*slot))?;
            let log_dir = Arc::clone(log_dir);
            Some(LogHome {
                directory,
                log_dir,
                slot,
            })
        })
    }

    /// What a start found in directory `index` beside the log of record. Returns whether it is to be left alone: a copy
    /// that goes on, or a source that is still needed.
    pub(crate) fn resume_move(
        &self,
        view: &View,
        index: usize,
        slot: PartitionSlot,
        id: TopicPartition,
    ) -> bool {
        let mut moves = self.moves.lock();
        if moves.knows(id, index) {
            return true;
        }
        let log_dir = &self.log_dirs[index];
        let (Some(local), true) = (view.local(id), log_dir.is_future(slot)) else {
            return false;
        };
        let home = local.home();
        let is_of_record = view
            .image
            .partition(id)
            .and_then(|partition| partition.directory_of(self.config.node_id))
            == Some(self.directories[home.directory].id);
        let is_offline = matches!(home.log_dir.health(), DirHealth::Offline { .. });
        if home.directory == index || !is_of_record || is_offline {
            return true;
        }
        if moves.copy_of(id).is_some() || moves.knows(id, home.directory) {
            return false; // Of two copies one is enough.
        }
        let target = LogHome {
            directory: index,
            log_dir: Arc::clone(log_dir),
            slot,
        };
        let config = local.config().log_config(id);
        // One that recovery found may not know its directory's name: it is told here.
        let _ = log_dir.create_partition(id, &local.topic, config);
        let source = Arc::clone(&home);
        moves.insert(Move::found(), local, source, target, Lsn::ZERO);
        drop(moves);
        self.wake.wake_mover();
        true
    }

    /// The topic of `id` is gone: so is the other log of a partition that moves. Returns the entry that drops it.
    pub(crate) fn abandon_move(&self, id: TopicPartition, now: Now) -> Option<JournalPlace> {
        let mut moves = self.moves.lock();
        let moving = moves.entries.remove(&id)?;
        if moving.is_closed {
            self.gate.open(id);
        }
        let other = match moving.machine.is_settling() {
            true => &moving.source,
            false => &moving.target,
        };
        let dropped = other.log_dir.drop_partition(other.slot, now);
        Some(JournalPlace {
            directory: other.directory,
            durability: Durability::Fsync,
            lsn: dropped.ok()?,
        })
    }
}
