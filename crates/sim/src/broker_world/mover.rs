//! The thread that moves logs between directories, and who asks it to.

use super::drives::directory_path;
use super::link::Frame;
use super::site::Site;
use crate::trace;
use ottla_broker::MoveStep;
use ottla_protocol::ApiKey;
use ottla_protocol::messages::alter_replica_log_dirs_request::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use ottla_types::{Mono, TopicPartition};

const VERSION: i16 = 2;

/// When the mover's thread has something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MoverRests {
    No,
    Until(Mono),
    UntilWoken,
}

impl Site {
    /// The mover's thread has its turn: it does something when it was woken or its time has come, never otherwise.
    pub(super) fn mover_turn(&mut self) {
        let now = self.clock.now();
        let Some(node) = self.node.as_mut().filter(|_| self.drives.are_many()) else {
            return;
        };
        let is_due = match node.mover_rests {
            MoverRests::No => true,
            MoverRests::Until(until) => until <= now.mono,
            MoverRests::UntilWoken => false,
        };
        if !node.wake.take_mover() && !is_due {
            return;
        }
        node.mover_rests = match node.broker.move_step(now) {
            MoveStep::Worked => MoverRests::No,
            MoveStep::Waiting { until } => MoverRests::Until(until),
            MoveStep::Idle => MoverRests::UntilWoken,
        };
    }

    /// Where the logs are that somebody wanted to be elsewhere, for the trace.
    pub(super) fn trace_moves(&self) {
        let Some(node) = &self.node else { return };
        for id in &self.asked_to_move {
            let copies = node.directories.iter().filter_map(|directory| {
                let slot = directory.log_dir.slot(*id)?;
                let end = directory.log_dir.ends(slot)?.appended_end;
                Some((
                    directory.drive,
                    directory.log_dir.is_future(slot),
                    end.get(),
                ))
            });
            let copies: Vec<_> = copies.collect();
            let drive = node.drive_of(*id);
            trace!(
                self.trace,
                "{id} is on drive {drive:?}; drives, copies, ends: {copies:?}"
            );
        }
    }

    /// Now and then the administrator wants a log to be in another directory.
    pub(super) fn ask_for_move(&mut self) -> Option<Frame> {
        if !self.drives.wants_a_move() {
            return None;
        }
        let node = self.ready_node()?;
        let image = node.broker.image();
        let mut filled = Vec::new();
        for topic in image.topics() {
            for (partition, _) in topic.numbered() {
                let topic_id = topic.id;
                let id = TopicPartition {
                    topic_id,
                    partition,
                };
                if node
                    .ends(id)
                    .is_some_and(|ends| 0 < ends.appended_end.get())
                {
                    filled.push((id, topic.name.to_string()));
                }
            }
        }
        let directories = node.directories.iter();
        let directories: Vec<usize> = directories.map(|directory| directory.drive).collect();
        if filled.is_empty() {
            return None;
        }
        let (id, name) = filled.swap_remove(self.drives.turn(filled.len()));
        let drive = directories[self.drives.turn(directories.len())];
        self.asked_to_move.insert(id);
        let node = self.node.as_ref();
        let from = node.and_then(|node| node.drive_of(id));
        trace!(
            self.trace,
            "{id} is on drive {from:?} and asked to move to drive {drive}"
        );
        let request = AlterReplicaLogDirsRequest {
            dirs: vec![AlterReplicaLogDir {
                path: directory_path(drive).into(),
                topics: vec![AlterReplicaLogDirTopic {
                    name: name.into(),
                    partitions: vec![id.partition.get()],
                }],
            }],
        };
        let correlation = self.correlation();
        let key = ApiKey::AlterReplicaLogDirs;
        Some(Frame::new(key, VERSION, correlation, &request))
    }
}
