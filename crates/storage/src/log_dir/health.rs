use parking_lot::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

/// Whether a log directory takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirHealth {
    /// Reads and writes.
    Online,
    /// No room: appends are refused, what frees space works.
    Full,
    /// A sync or device failed: nothing is trusted any more, until a restart.
    Offline {
        /// What failed, for messages.
        reason: String,
    },
}

const ONLINE: u8 = 0;
const FULL: u8 = 1;
const OFFLINE: u8 = 2;

/// The health of a directory, cheap to ask.
#[derive(Debug, Default)]
pub(crate) struct Health {
    state: AtomicU8,
    reason: Mutex<String>,
}

impl Health {
    /// The health.
    pub(crate) fn get(&self) -> DirHealth {
        match self.state.load(Ordering::Acquire) {
            ONLINE => DirHealth::Online,
            FULL => DirHealth::Full,
            _ => DirHealth::Offline {
                reason: self.reason.lock().clone(),
            },
        }
    }

    /// True when the directory failed.
    pub(crate) fn is_offline(&self) -> bool {
        self.state.load(Ordering::Acquire) == OFFLINE
    }

    /// The directory failed; this is for good.
    pub(crate) fn fail(&self, why: String) {
        let mut reason = self.reason.lock();
        if !self.is_offline() {
            *reason = why;
            self.state.store(OFFLINE, Ordering::Release);
        }
    }

    /// There is room, or there is none. Does nothing once offline.
    pub(crate) fn set_full(&self, is_full: bool) {
        let (from, to) = if is_full {
            (ONLINE, FULL)
        } else {
            (FULL, ONLINE)
        };
        let _ = self
            .state
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire);
    }
}
