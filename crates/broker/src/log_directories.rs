use crate::broker::{Broker, FailedDirectory};
use crate::controller_desk::Waiting;
use crate::view::View;
use ottla_metadata::{Command, Topic};
use ottla_storage::log_dir::{DirHealth, LogDir};
use ottla_types::{DirectoryId, PartitionId, TopicPartition};
use std::sync::Arc;

/// Several log directories (KIP-112, KIP-858). The metadata says in which one a partition's log is, and that
/// is the last word: a log is never made anew because its directory is not there.
impl Broker {
    /// Directories that could not be opened at the start.
    pub fn failed_directories(&self) -> &[FailedDirectory] {
        &self.failed_directories
    }

    /// Somebody saw a directory fail: those who wait for its journal are told, and the controller.
    pub fn on_directory_failure(&self, now: ottla_types::Now) {
        self.on_commit(now);
        self.report_directories();
    }

    /// Tells the controller which directories are online and which are cordoned, if it believes something else. As long as none is,
    /// what clients ask for says so.
    pub(crate) fn report_directories(&self) {
        let online = self.online_directories();
        let image = self.image();
        let registered = image.broker(self.config.node_id);
        let (Some(registered), false) = (registered, online.is_empty()) else {
            return;
        };
        let cordoned = self.cordoned_directories();
        let is_known = registered.directories == online && registered.cordoned == cordoned;
        if registered.incarnation != self.incarnation || is_known {
            return;
        }
        let command = Command::UpdateDirectories {
            broker: self.config.node_id,
            broker_epoch: registered.epoch,
            directories: online,
            cordoned,
        };
        self.submit_own(&command, Waiting::Nobody);
    }

    pub(crate) fn online_directories(&self) -> Vec<DirectoryId> {
        let directories = self.log_dirs.iter().zip(&self.directories);
        let online = directories.filter(|(log_dir, _)| is_online(log_dir));
        online.map(|(_, directory)| directory.id).collect()
    }

    /// Those that get no new partitions, online or not.
    pub(crate) fn cordoned_directories(&self) -> Vec<DirectoryId> {
        let settings = self.live_settings.load();
        let directories = self.directories.iter();
        let cordoned = directories.filter(|dir| settings.cordoned_log_dirs.contains(&dir.path));
        cordoned.map(|directory| directory.id).collect()
    }

    /// Tells the controller about logs that are not where it believes.
    pub(crate) fn report_places(&self) {
        let view = self.view.load();
        let me = self.config.node_id;
        let elsewhere = view.locals().filter_map(|local| {
            let known = view.image.partition(local.id)?.directory_of(me)?;
            let found = self.directories[local.home().directory].id;
            (known != found).then_some((local.id, found))
        });
        let assignments: Vec<_> = elsewhere.collect();
        let (Some(broker_epoch), false) = (self.registered_epoch(), assignments.is_empty()) else {
            return;
        };
        let command = Command::AssignDirectories {
            broker: me,
            broker_epoch,
            assignments,
        };
        self.submit_own(&command, Waiting::Nobody);
    }

    /// In which directory the partition's log is or comes into being, by its index; `None` when that is not
    /// here.
    pub(crate) fn directory_of(&self, topic: &Topic, number: PartitionId) -> Option<usize> {
        let id = TopicPartition {
            topic_id: topic.id,
            partition: number,
        };
        let assigned = topic.partition(number)?.directory_of(self.config.node_id)?;
        let mut log_dirs = self.log_dirs.iter();
        // A copy in the making is not the log.
        let has_log = |log_dir: &Arc<LogDir>| {
            let slot = log_dir.slot(id);
            slot.is_some_and(|slot| !log_dir.is_future(slot))
        };
        if assigned == DirectoryId::default() {
            let found = log_dirs.position(has_log);
            return found.or_else(|| self.emptiest_directory());
        }
        // What another directory holds when this one is not there may be old.
        let mut directories = self.directories.iter();
        let index = directories.position(|directory| directory.id == assigned)?;
        if self.log_dirs[index].slot(id).is_some() {
            return Some(index);
        }
        let found = log_dirs.position(has_log);
        Some(found.unwrap_or(index))
    }

    /// For a log that is nowhere and that the metadata puts nowhere. While a directory is missing it may be
    /// there.
    fn emptiest_directory(&self) -> Option<usize> {
        if !self.failed_directories.is_empty() || !self.log_dirs.iter().all(|dir| is_online(dir)) {
            return None;
        }
        let counts = self.log_dirs.iter().map(|dir| dir.stats().partitions_count);
        let emptiest = counts.enumerate().min_by_key(|(_, count)| *count);
        emptiest.map(|(index, _)| index)
    }

    /// Whether `log_dir` has a copy of a log that is, as the metadata says too, in another directory.
    pub(crate) fn is_second_copy(
        &self,
        view: &View,
        log_dir: &Arc<LogDir>,
        id: TopicPartition,
    ) -> bool {
        let Some(local) = view.local(id) else {
            return false; // Its directory is not here.
        };
        let assigned = view.image.partition(id);
        let assigned = assigned.and_then(|partition| partition.directory_of(self.config.node_id));
        let home = local.home();
        assigned == Some(self.directories[home.directory].id)
            && !Arc::ptr_eq(&home.log_dir, log_dir)
            && is_online(&home.log_dir)
            && home.log_dir.damage(home.slot).is_none()
    }
}

fn is_online(log_dir: &LogDir) -> bool {
    !matches!(log_dir.health(), DirHealth::Offline { .. })
}
