use std::sync::{Arc, OnceLock};

use ottla_metadata::Record;
use ottla_metadata::quorum::{NotLeader, Quorum, QuorumStatus, Ticket};

/// A quorum that comes later: the broker is made before it, because a new cluster's first batch
/// holds the broker's registration.
#[derive(Default)]
pub struct QuorumSlot(OnceLock<Arc<dyn Quorum>>);

impl QuorumSlot {
    /// Waits until it is filled. Events come from another thread, perhaps before.
    pub fn wait(&self) {
        self.0.wait();
    }

    /// From now on everything goes to `quorum`.
    pub fn fill(&self, quorum: Arc<dyn Quorum>) {
        assert!(self.0.set(quorum).is_ok(), "filled twice");
    }
}

impl Quorum for QuorumSlot {
    fn propose(&self, term: u64, batch: Vec<Record>) -> Result<Ticket, NotLeader> {
        self.0.get().ok_or(NotLeader)?.propose(term, batch)
    }

    fn status(&self) -> QuorumStatus {
        self.0
            .get()
            .map_or_else(QuorumStatus::default, |quorum| quorum.status())
    }
}
