use ottla_types::Mono;
use std::collections::BTreeSet;

/// When which parked request is out of time. Ordered, so that the same steps give the same order.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    entries: BTreeSet<(Mono, u64)>,
}

impl Deadlines {
    pub(crate) fn insert(&mut self, at: Mono, number: u64) {
        self.entries.insert((at, number));
    }

    pub(crate) fn remove(&mut self, at: Mono, number: u64) {
        self.entries.remove(&(at, number));
    }

    /// The next one, if there is any.
    pub(crate) fn next(&self) -> Option<Mono> {
        self.entries.first().map(|(at, _)| *at)
    }

    /// Takes out one whose time has come.
    pub(crate) fn pop_due(&mut self, now: Mono) -> Option<u64> {
        let (at, number) = *self.entries.first()?;
        if now < at {
            return None;
        }
        self.entries.pop_first();
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_ones_come_in_order_and_removed_ones_never() {
        let mut deadlines = Deadlines::default();
        for (millis, number) in [(30, 1), (10, 2), (20, 3), (10, 4)] {
            deadlines.insert(Mono::from_millis(millis), number);
        }
        deadlines.remove(Mono::from_millis(20), 3);
        assert_eq!(deadlines.next(), Some(Mono::from_millis(10)));
        let now = Mono::from_millis(10);
        assert_eq!(deadlines.pop_due(now), Some(2));
        assert_eq!(deadlines.pop_due(now), Some(4));
        assert_eq!(deadlines.pop_due(now), None);
        assert_eq!(deadlines.pop_due(Mono::from_millis(99)), Some(1));
        assert_eq!(deadlines.next(), None);
    }
}
