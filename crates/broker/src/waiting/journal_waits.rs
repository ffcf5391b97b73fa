use ottla_types::Lsn;
use std::collections::VecDeque;

/// What one core waits for from one journal, in the order in which it will come.
///
/// Nearly every entry is appended at the end, because a core asks in the order of its own appends.
#[derive(Debug)]
pub(crate) struct JournalWaits<T> {
    entries: VecDeque<(Lsn, T)>,
}

impl<T> Default for JournalWaits<T> {
    fn default() -> JournalWaits<T> {
        JournalWaits {
            entries: VecDeque::new(),
        }
    }
}

impl<T> JournalWaits<T> {
    /// Adds `item`, to come out once the journal reached `lsn`; behind others of the same number.
    pub(crate) fn push(&mut self, lsn: Lsn, item: T) {
        let behind = self
            .entries
            .iter()
            .rev()
            .take_while(|(other, _)| lsn < *other)
            .count();
        self.entries
            .insert(self.entries.len() - behind, (lsn, item));
    }

    /// Takes out the first whose number is at most `reached` (inclusive).
    pub(crate) fn pop_reached(&mut self, reached: Lsn) -> Option<T> {
        let (lsn, _) = self.entries.front()?;
        if reached < *lsn {
            return None;
        }
        self.entries.pop_front().map(|(_, item)| item)
    }

    /// The lowest number that is waited for.
    pub(crate) fn first(&self) -> Option<Lsn> {
        self.entries.front().map(|(lsn, _)| *lsn)
    }

    /// Takes everything out, for a journal that will never get further.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.entries.drain(..).map(|(_, item)| item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_types::Prng;

    #[test]
    fn items_come_out_in_the_order_of_their_numbers() {
        let mut prng = Prng::new(5);
        for _ in 0..200 {
            let mut waits = JournalWaits::default();
            let mut expected = Vec::new();
            for item in 0..prng.range(1, 40) {
                let lsn = Lsn::new(prng.below(10));
                waits.push(lsn, item);
                expected.push((lsn, item));
            }
            expected.sort_unstable(); // Items rise, so equal numbers keep their order.
            let reached = Lsn::new(prng.below(12));
            let due = expected.iter().take_while(|(lsn, _)| *lsn <= reached);
            for (_, item) in due {
                assert_eq!(waits.pop_reached(reached), Some(*item));
            }
            assert_eq!(waits.pop_reached(reached), None);
            let left = expected.iter().find(|(lsn, _)| reached < *lsn);
            assert_eq!(waits.first(), left.map(|(lsn, _)| *lsn));
        }
    }
}
