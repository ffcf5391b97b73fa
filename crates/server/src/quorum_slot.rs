use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use ottla_metadata::Record;
use ottla_metadata::quorum::{NotLeader, Quorum, QuorumEvent, QuorumStatus, Ticket};
use parking_lot::Mutex;

use crate::metrics::Histogram;

/// A quorum that comes later: the broker is made before it, because a new cluster's first batch
/// holds the broker's registration. Measures how long proposals take to be in force.
#[derive(Default)]
pub struct QuorumSlot {
    quorum: OnceLock<Arc<dyn Quorum>>,
    proposed: Mutex<BTreeMap<Ticket, Instant>>,
    commits: Histogram,
}

impl QuorumSlot {
    /// Waits until it is filled. Events come from another thread, perhaps before.
    pub fn wait(&self) {
        self.quorum.wait();
    }

    /// From now on everything goes to `quorum`.
    pub fn fill(&self, quorum: Arc<dyn Quorum>) {
        assert!(self.quorum.set(quorum).is_ok(), "filled twice");
    }

    /// What the quorum said, once the broker has taken it in. One thread calls this.
    pub fn followed(&self, event: &QuorumEvent) {
        let (ticket, is_in_force) = match event {
            QuorumEvent::Applied(applied) => (applied.ticket, true),
            QuorumEvent::Lost { ticket } | QuorumEvent::Unknown { ticket } => {
                (Some(*ticket), false)
            }
            _ => (None, false),
        };
        let proposed = ticket.and_then(|ticket| self.proposed.lock().remove(&ticket));
        if let Some(proposed) = proposed.filter(|_| is_in_force) {
            self.commits.record(proposed.elapsed());
        }
    }

    /// How long proposals took to be in force.
    pub fn commits(&self) -> &Histogram {
        &self.commits
    }
}

impl Quorum for QuorumSlot {
    fn propose(&self, term: u64, batch: Vec<Record>) -> Result<Ticket, NotLeader> {
        let quorum = self.quorum.get().ok_or(NotLeader)?;
        // Held meanwhile: the answer may be there before the ticket is.
        let mut proposed = self.proposed.lock();
        let ticket = quorum.propose(term, batch)?;
        proposed.insert(ticket, Instant::now());
        Ok(ticket)
    }

    fn status(&self) -> QuorumStatus {
        let quorum = self.quorum.get();
        quorum.map_or_else(QuorumStatus::default, |quorum| quorum.status())
    }
}
