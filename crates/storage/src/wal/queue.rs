//! Where entries wait for the pump. The only part of the journal that request workers touch.

use super::entry::{DurabilityClass, Entry, EntryKind};
use crate::sync::Mutex;
use ottla_types::Lsn;
use std::sync::atomic::{AtomicU64, Ordering};

/// Entries in LSN order, and the numbers that everybody may read without a lock.
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    next_lsn: AtomicU64,
    written: AtomicU64,
    durable: AtomicU64,
    queued_bytes: AtomicU64,
}

struct Inner {
    entries: Vec<Entry>,
    /// Bytes of their bodies.
    bytes: u64,
    /// An fsync is awaited of some of them.
    is_awaited: bool,
    next_lsn: Lsn,
    is_closed: bool,
    /// The pump sleeps until so many entries are there; `usize::MAX` while it is awake.
    wake_at: usize,
}

/// Who brings an entry to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// The pump, which is woken.
    Pump,
    /// Who queues it: the pump may sleep on.
    Caller,
}

/// What became of an entry.
pub(crate) enum Enqueued {
    /// It is in the queue; the pump sleeps and must be woken.
    Wake(Lsn),
    /// It is in the queue.
    Queued(Lsn),
    /// The journal is offline.
    Refused,
}

/// What somebody else than the pump gets.
pub(crate) enum Taken {
    /// Everything.
    All,
    /// Nothing: the pump is on its way for an entry that waits for an fsync.
    Awaited,
    /// Nothing: it is the pump's, who may be asleep.
    TooMuch,
}

impl Queue {
    /// Empty, with everything below `next_lsn` durable.
    pub(crate) fn new(next_lsn: Lsn) -> Queue {
        let last = next_lsn.get() - 1;
        Queue {
            inner: Mutex::new(Inner {
                entries: Vec::new(),
                bytes: 0,
                is_awaited: false,
                next_lsn,
                is_closed: false,
                wake_at: usize::MAX,
            }),
            next_lsn: AtomicU64::new(next_lsn.get()),
            written: AtomicU64::new(last),
            durable: AtomicU64::new(last),
            queued_bytes: AtomicU64::new(0),
        }
    }

    /// Puts an entry behind all others. With `overtakes`, which is a planted bug, it comes before one of the same
    /// partition, as when two threads queue what they appended after they left the partition's lock.
    pub(crate) fn push(&self, entry: Entry, writer: Writer, overtakes: bool) -> Enqueued {
        let size = entry.body_size() as u64;
        let mut inner = self.inner.lock();
        if inner.is_closed {
            return Enqueued::Refused;
        }
        let lsn = inner.next_lsn;
        inner.next_lsn = lsn.next();
        inner.bytes += size;
        inner.is_awaited |= entry.class() == DurabilityClass::Fsync;
        inner.entries.push(entry);
        if overtakes {
            swap_last(&mut inner.entries);
        }
        let is_wanted = writer == Writer::Pump && inner.wake_at <= inner.entries.len();
        if is_wanted {
            inner.wake_at = usize::MAX;
        }
        // Inside the lock, so that the number never goes back.
        self.next_lsn.store(lsn.get() + 1, Ordering::Release);
        self.queued_bytes.fetch_add(size, Ordering::Relaxed);
        drop(inner);
        if is_wanted {
            Enqueued::Wake(lsn)
        } else {
            Enqueued::Queued(lsn)
        }
    }

    /// How many entries wait. When fewer than `enough`, the pump is woken as soon as there are: asking and
    /// arming are one step, so no entry comes between them unnoticed.
    pub(crate) fn count_or_arm(&self, enough: usize) -> usize {
        let mut inner = self.inner.lock();
        let count = inner.entries.len();
        inner.wake_at = if count < enough { enough } else { usize::MAX };
        count
    }

    /// Moves all entries into `spare`, which must be empty.
    pub(crate) fn take(&self, spare: &mut Vec<Entry>) {
        let mut inner = self.inner.lock();
        inner.wake_at = usize::MAX;
        inner.take(spare);
    }

    /// The same for somebody else than the pump, who takes no more than `bytes_max` and nothing that an fsync is
    /// awaited of. When the pump is to be woken stays as it is.
    pub(crate) fn take_unawaited(&self, bytes_max: u64, spare: &mut Vec<Entry>) -> Taken {
        let mut inner = self.inner.lock();
        if inner.is_awaited {
            return Taken::Awaited;
        }
        if bytes_max < inner.bytes {
            return Taken::TooMuch;
        }
        inner.take(spare);
        Taken::All
    }

    /// Refuses everything from now on and forgets what waits.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.is_closed = true;
        let mut entries = Vec::new();
        inner.take(&mut entries);
        // Nothing is written any more: what the pump holds is forgotten too.
        self.queued_bytes.store(0, Ordering::Relaxed);
        drop(inner);
        // Freed outside the lock: there may be many.
        drop(entries);
    }

    /// LSN the next entry gets.
    pub(crate) fn next_lsn(&self) -> Lsn {
        Lsn::new(self.next_lsn.load(Ordering::Acquire))
    }

    /// The highest LSN that, with all below it, was handed to the operating system.
    pub(crate) fn written(&self) -> Lsn {
        Lsn::new(self.written.load(Ordering::Acquire))
    }

    /// The highest LSN that, with all below it, is fsynced.
    pub(crate) fn durable(&self) -> Lsn {
        Lsn::new(self.durable.load(Ordering::Acquire))
    }

    /// Bytes of bodies that were queued and not written yet.
    pub(crate) fn queued_bytes(&self) -> u64 {
        self.queued_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn publish_written(&self, last: Lsn, bytes: u64) {
        self.written.store(last.get(), Ordering::Release);
        // A journal that was closed meanwhile has forgotten them already.
        let less = |queued: u64| Some(queued.saturating_sub(bytes));
        let _ = self
            .queued_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    pub(crate) fn publish_durable(&self, last: Lsn) {
        self.durable.store(last.get(), Ordering::Release);
    }
}

impl Inner {
    fn take(&mut self, spare: &mut Vec<Entry>) {
        std::mem::swap(&mut self.entries, spare);
        (self.bytes, self.is_awaited) = (0, false);
    }
}

/// The planted bug: the last entry goes before the one before it, if both are batches of one partition.
fn swap_last(entries: &mut [Entry]) {
    if let [.., one, other] = entries {
        let is_batch = |entry: &Entry| entry.header().kind == EntryKind::Append;
        let is_same = one.header().topic_partition == other.header().topic_partition;
        if is_same && is_batch(one) && is_batch(other) {
            std::mem::swap(one, other);
        }
    }
}
