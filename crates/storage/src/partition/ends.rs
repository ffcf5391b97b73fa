use ottla_types::{Lsn, Offset};
use std::collections::VecDeque;

/// The ends of a partition; all exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The first offset that may be read.
    pub log_start: Offset,
    /// The next record gets it.
    pub appended_end: Offset,
    /// End of the contiguous prefix whose journal frames are durable; counts for the high watermark.
    pub durable_end: Offset,
    /// Below it, bytes are in segment files.
    pub written_end: Offset,
    /// Below it, segment files are synced and the journal may forget.
    pub synced_end: Offset,
}

/// Appends whose journal frames were not durable yet when somebody last looked.
///
/// Invariant: LSNs and offsets ascend strictly.
#[derive(Debug, Default)]
pub(crate) struct PendingAppends {
    queue: VecDeque<PendingAppend>,
}

#[derive(Clone, Copy, Debug)]
struct PendingAppend {
    lsn: Lsn,
    base_offset: Offset,
}

impl PendingAppends {
    /// Notes an append.
    pub(crate) fn push(&mut self, lsn: Lsn, base_offset: Offset) {
        self.queue.push_back(PendingAppend { lsn, base_offset });
    }

    /// Forgets what is durable up to `durable` (inclusive).
    pub(crate) fn forget_durable(&mut self, durable: Lsn) {
        while self.queue.front().is_some_and(|first| first.lsn <= durable) {
            self.queue.pop_front();
        }
        if self.queue.is_empty() && self.queue.capacity() > 64 {
            self.queue = VecDeque::new();
        }
    }

    /// Where the durable prefix ends in a log that ends at `appended_end`.
    pub(crate) fn durable_end(&self, durable: Lsn, appended_end: Offset) -> Offset {
        let first = self.queue.partition_point(|append| append.lsn <= durable);
        self.queue
            .get(first)
            .map_or(appended_end, |append| append.base_offset)
    }

    /// The same as far as somebody looked.
    pub(crate) fn known_durable_end(&self, appended_end: Offset) -> Offset {
        let first = self.queue.front();
        first.map_or(appended_end, |append| append.base_offset)
    }

    /// The entry that must be durable before the record at `offset` is; [`Lsn::ZERO`] when it is already.
    pub(crate) fn lsn_of(&self, offset: Offset) -> Lsn {
        let above = self
            .queue
            .partition_point(|append| append.base_offset <= offset);
        above
            .checked_sub(1)
            .map_or(Lsn::ZERO, |index| self.queue[index].lsn)
    }

    /// The log now ends at `end`.
    pub(crate) fn truncate_to(&mut self, end: Offset) {
        while self
            .queue
            .back()
            .is_some_and(|append| end <= append.base_offset)
        {
            self.queue.pop_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_durable_prefix_is_contiguous() {
        let mut pending = PendingAppends::default();
        for (lsn, base) in [(3, 10), (5, 12), (9, 20)] {
            pending.push(Lsn::new(lsn), Offset::new(base));
        }
        let end = Offset::new(25);
        for (durable, expected) in [(0, 10), (3, 12), (4, 12), (5, 20), (8, 20), (9, 25)] {
            let durable_end = pending.durable_end(Lsn::new(durable), end);
            assert_eq!(durable_end, Offset::new(expected), "{durable}");
        }
        assert_eq!(pending.lsn_of(Offset::new(9)), Lsn::ZERO);
        assert_eq!(pending.lsn_of(Offset::new(11)), Lsn::new(3));
        assert_eq!(pending.lsn_of(Offset::new(24)), Lsn::new(9));
        pending.forget_durable(Lsn::new(4));
        assert_eq!(pending.lsn_of(Offset::new(11)), Lsn::ZERO);
        pending.truncate_to(Offset::new(12));
        assert_eq!(
            pending.durable_end(Lsn::ZERO, Offset::new(12)),
            Offset::new(12)
        );
    }
}
