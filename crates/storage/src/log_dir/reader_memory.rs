//! What answers to readers hold in memory.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A reader that is given a part of a tail holds it until its client has taken it, which may be long after the tail
/// was flushed and its bytes were counted as free: slow clients could so keep any amount of memory.
#[derive(Debug)]
pub(super) struct ReaderMemory {
    held_bytes: Arc<AtomicUsize>,
    held_bytes_max: usize,
}

/// Bytes that are counted until the last of their readers is gone.
struct Held {
    bytes: Bytes,
    held_bytes: Arc<AtomicUsize>,
}

impl ReaderMemory {
    /// From `held_bytes_max` bytes on readers get little at a time.
    pub(super) fn new(held_bytes_max: usize) -> ReaderMemory {
        ReaderMemory {
            held_bytes: Arc::new(AtomicUsize::new(0)),
            held_bytes_max,
        }
    }

    /// How much there is. What two readers hold of the same batch counts twice.
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }

    /// Whether readers hold so much that they get little at a time.
    pub(super) fn is_short(&self) -> bool {
        self.held_bytes_max <= self.held_bytes()
    }

    /// How much a reader that asks for `bytes_max` may get: nothing but the first batch while others hold too much.
    /// It asks again when it has that, and meanwhile the tail may be in its segment, where nobody holds it.
    pub(super) fn portion(&self, bytes_max: usize) -> usize {
        match self.is_short() {
            true => 0,
            false => bytes_max,
        }
    }

    /// The same bytes, counted as long as somebody has them.
    pub(super) fn held(&self, bytes: Bytes) -> Bytes {
        self.held_bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        Bytes::from_owner(Held {
            bytes,
            held_bytes: Arc::clone(&self.held_bytes),
        })
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.held_bytes
            .fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}
