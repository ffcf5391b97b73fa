//! What a broker with several log directories owes while some are missing, and when all are back.

use super::BrokerWorld;
use super::drives::directory_id;
use super::link::Link;
use super::node::{Node, OpenDirectory};
use super::site::OnSite;
use crate::hold;
use crate::oracle::Violation;
use ottla_types::TopicPartition;
use std::collections::BTreeSet;

impl BrokerWorld {
    /// No disk has faults any more, and what is missing stays so: what is in the other directories is served.
    pub(super) fn those_there_serve(&mut self) -> Result<(), Violation> {
        self.end_disk_faults();
        let node = self.site.node.as_ref();
        if node.is_none_or(Node::is_offline) || self.site.drives.are_crashed() {
            self.crash()?;
        }
        for _ in 0..100 {
            if self.site.ready_node().is_some() {
                break;
            }
            self.everything_turns()?;
        }
        let served = self.served();
        for &id in &served {
            self.takes_a_batch(id)?;
        }
        self.hear_everything()?;
        self.read_all_of(&served)
    }

    /// Until no producer waits for an answer: what is in a directory that is missing is refused.
    fn hear_everything(&mut self) -> Result<(), Violation> {
        for _ in 0..1_000 {
            let links = self.site.links.iter().take(self.producers.len()).flatten();
            if links.map(Link::unanswered).sum::<usize>() == 0 {
                return Ok(());
            }
            self.site.clock.advance_ms(20);
            self.everything_turns()?;
            self.after_step()?;
        }
        Err(Violation {
            invariant: "every request is answered",
            detail: "1,000 rounds are not enough".to_owned(),
        })
    }

    /// Partitions whose directory is open and well. Of a device that is gone nobody may know yet.
    fn served(&self) -> BTreeSet<TopicPartition> {
        let partitions = self.partitions().into_keys();
        let node = self.site.node.as_ref();
        let is_served = |id: &TopicPartition| {
            let directory = node.and_then(|node| node.directory_of(*id));
            let is_well = |directory: &OpenDirectory| {
                !directory.is_offline() && !self.site.drives.disk(directory.drive).is_broken()
            };
            directory.is_some_and(is_well)
        };
        partitions.filter(is_served).collect()
    }

    fn takes_a_batch(&mut self, id: TopicPartition) -> Result<(), Violation> {
        self.producers[0].retarget();
        self.producers[0].target = Some(id);
        for _ in 0..1_000 {
            self.site.clock.advance_ms(20);
            self.everything_turns()?;
            self.after_step()?;
            self.write_to_target(0)?;
            if self.producers[0].is_known() || self.topics.may_be_gone(id.topic_id) {
                return Ok(());
            }
        }
        Err(Violation {
            invariant: "partitions of directories that are there are served",
            detail: format!("{id} takes no batch: {}", self.producers[0].describe()),
        })
    }

    /// The faults are over: every move comes to its end.
    pub(super) fn end_moves(&mut self) -> Result<(), Violation> {
        for _ in 0..3_000 {
            let moving = self
                .site
                .node
                .as_ref()
                .map(|node| node.broker.moving_count());
            if moving == Some(0) {
                return Ok(());
            }
            self.site.clock.advance_ms(20);
            self.everything_turns()?;
            self.after_step()?;
        }
        self.site.trace_moves();
        let rests = self.site.node.as_ref().map(|node| node.mover_rests);
        Err(Violation {
            invariant: "a move comes to its end after the faults",
            detail: format!("3,000 rounds are not enough; the mover rests: {rests:?}"),
        })
    }

    /// Everything is where the metadata says, once.
    pub(super) fn check_copies(&self) -> Result<(), Violation> {
        let Some(node) = self.site.ready_node() else {
            return Ok(());
        };
        let image = node.broker.image();
        for directory in &node.directories {
            for (_, id, _) in directory.log_dir.partitions() {
                let assigned = image.partition(id);
                let me = node.broker.config().node_id;
                let assigned = assigned.and_then(|partition| partition.directory_of(me));
                hold!(
                    assigned == Some(directory_id(directory.drive)),
                    "no second copy stays",
                    "{id} is on drive {}, the metadata says {assigned:?}",
                    directory.drive
                );
            }
        }
        Ok(())
    }
}
