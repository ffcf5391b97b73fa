use ottla_types::TopicPartition;
use parking_lot::{RwLock, RwLockReadGuard};
use std::collections::BTreeSet;

/// Through which every write to a partition's log goes, except what storage does of itself.
///
/// While a log is about to change its directory the gate is closed for it, and whoever wants to write waits. Once
/// [`AppendGate::close`] has returned nobody is at work on the partition any more: what is in its log then is all
/// there is to copy.
#[derive(Debug, Default)]
pub(crate) struct AppendGate {
    closed: RwLock<BTreeSet<TopicPartition>>,
}

/// Somebody who writes. Held for as long as it takes to append, and never across a wait: who closes a gate waits for
/// all of them, and nobody enters meanwhile. A thread enters once at a time.
pub(crate) struct Entered<'a>(RwLockReadGuard<'a, BTreeSet<TopicPartition>>);

impl AppendGate {
    /// Writes may begin, to those partitions that are not closed.
    pub(crate) fn enter(&self) -> Entered<'_> {
        Entered(self.closed.read())
    }

    /// Nobody writes to `id` any more.
    pub(crate) fn close(&self, id: TopicPartition) {
        self.closed.write().insert(id);
    }

    /// `id` may be written to again.
    pub(crate) fn open(&self, id: TopicPartition) {
        self.closed.write().remove(&id);
    }
}

impl Entered<'_> {
    /// Whether nothing is closed, as nearly always.
    pub(crate) fn is_free(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `id` has to wait.
    pub(crate) fn is_closed(&self, id: TopicPartition) -> bool {
        !self.0.is_empty() && self.0.contains(&id)
    }
}
