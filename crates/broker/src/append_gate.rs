use crate::response::CoreId;
use ottla_types::TopicPartition;
use parking_lot::{Mutex, MutexGuard, RwLock};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Through which every write to a partition's log goes, except what storage does of itself.
///
/// While a log is about to change its directory the gate is closed for it, and whoever wants to write to it waits.
/// Writers of other partitions never do: each core has a lock of its own, which it has nearly always to itself. Who
/// closes the gate puts up a mark, and then takes each of these locks once. So:
///
/// 1. who took a core's lock before has written, or given up, when [`AppendGate::close`] returns;
/// 2. who takes it behind sees the mark.
#[derive(Debug)]
pub(crate) struct AppendGate {
    closed: RwLock<BTreeSet<TopicPartition>>,
    closed_count: AtomicUsize,
    at_work: Vec<Mutex<()>>,
}

/// Somebody who writes. A thread enters once at a time.
pub(crate) struct Entered<'a> {
    gate: &'a AppendGate,
    _at_work: MutexGuard<'a, ()>,
}

impl AppendGate {
    /// A gate for so many cores, closed for nothing.
    pub(crate) fn new(cores_count: usize) -> AppendGate {
        AppendGate {
            closed: RwLock::default(),
            closed_count: AtomicUsize::new(0),
            at_work: (0..cores_count).map(|_| Mutex::default()).collect(),
        }
    }

    /// Writes may begin on behalf of `core`, to those partitions that are not closed.
    pub(crate) fn enter(&self, core: CoreId) -> Entered<'_> {
        Entered {
            gate: self,
            _at_work: self.at_work[core.index()].lock(),
        }
    }

    /// Whether nothing is closed, as nearly always.
    pub(crate) fn is_free(&self) -> bool {
        self.closed_count.load(Ordering::SeqCst) == 0
    }

    /// Whether `id` has to wait, at the moment: only who has entered can rely on it.
    pub(crate) fn is_closed(&self, id: TopicPartition) -> bool {
        !self.is_free() && self.closed.read().contains(&id)
    }

    /// Nobody writes to `id` any more. Waits for those who are at work, so no lock that they want may be held.
    pub(crate) fn close(&self, id: TopicPartition) {
        {
            let mut closed = self.closed.write();
            closed.insert(id);
            self.closed_count.store(closed.len(), Ordering::SeqCst);
        }
        for core in &self.at_work {
            drop(core.lock());
        }
    }

    /// `id` may be written to again.
    pub(crate) fn open(&self, id: TopicPartition) {
        let mut closed = self.closed.write();
        closed.remove(&id);
        self.closed_count.store(closed.len(), Ordering::SeqCst);
    }
}

impl Entered<'_> {
    /// Whether `id` has to wait.
    pub(crate) fn is_closed(&self, id: TopicPartition) -> bool {
        self.gate.is_closed(id)
    }
}
