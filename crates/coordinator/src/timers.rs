use ottla_types::Mono;
use std::collections::BTreeSet;

/// When which alarm rings first. Ordered, so that the same steps give the same order.
///
/// An alarm that is put off does not move its entry: the entry rings, finds that it is early, and is
/// put where it belongs then. A heartbeat therefore costs no work here.
#[derive(Debug)]
pub struct Timers<K> {
    entries: BTreeSet<(Mono, K)>,
}

impl<K: Ord> Default for Timers<K> {
    fn default() -> Timers<K> {
        Timers {
            entries: BTreeSet::new(),
        }
    }
}

impl<K: Ord> Timers<K> {
    /// When the first entry rings; perhaps early.
    pub fn next(&self) -> Option<Mono> {
        self.entries.first().map(|(at, _)| *at)
    }

    /// Takes out an entry that rings at `now` or before.
    pub fn pop_due(&mut self, now: Mono) -> Option<(Mono, K)> {
        if now < self.next()? {
            return None;
        }
        self.entries.pop_first()
    }

    fn insert(&mut self, at: Mono, key: K) {
        self.entries.insert((at, key));
    }
}

/// One thing that happens at its time unless it is put off or called off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Alarm {
    due: Option<Mono>,
    /// The entry in the timers that is ours. Others with our key are leftovers.
    armed: Option<Mono>,
}

impl Alarm {
    /// Rings at `at` and not before.
    pub fn set<K: Ord>(&mut self, at: Mono, key: impl FnOnce() -> K, timers: &mut Timers<K>) {
        self.due = Some(at);
        if self.armed.is_none_or(|armed| at < armed) {
            self.armed = Some(at);
            timers.insert(at, key());
        }
    }

    /// Does not ring.
    pub fn clear(&mut self) {
        self.due = None;
    }

    /// When it rings.
    pub fn due(&self) -> Option<Mono> {
        self.due
    }

    /// The entry of time `at` came out of the timers: whether the alarm rings now.
    pub fn rings<K: Ord>(
        &mut self,
        at: Mono,
        now: Mono,
        key: impl FnOnce() -> K,
        timers: &mut Timers<K>,
    ) -> bool {
        if self.armed != Some(at) {
            return false;
        }
        self.armed = None;
        match self.due {
            Some(due) if due <= now => {
                self.due = None;
                true
            }
            Some(due) => {
                self.set(due, key, timers);
                false
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(alarm: &mut Alarm, timers: &mut Timers<u8>, now: u64) -> usize {
        let now = Mono::from_millis(now);
        let mut rung = 0;
        while let Some((at, key)) = timers.pop_due(now) {
            rung += usize::from(alarm.rings(at, now, || key, timers));
        }
        rung
    }

    #[test]
    fn an_alarm_rings_once_at_its_last_time() {
        let (mut alarm, mut timers) = (Alarm::default(), Timers::default());
        let at = Mono::from_millis;
        alarm.set(at(10), || 1, &mut timers);
        alarm.set(at(30), || 1, &mut timers);
        assert_eq!(timers.next(), Some(at(10)), "the entry stays where it was");
        assert_eq!(ring(&mut alarm, &mut timers, 20), 0);
        assert_eq!(timers.next(), Some(at(30)));
        alarm.set(at(25), || 1, &mut timers);
        assert_eq!(ring(&mut alarm, &mut timers, 24), 0);
        assert_eq!(ring(&mut alarm, &mut timers, 40), 1);
        assert_eq!(timers.next(), None);
        assert_eq!(alarm.due(), None);
    }

    #[test]
    fn an_alarm_that_was_called_off_is_silent() {
        let (mut alarm, mut timers) = (Alarm::default(), Timers::default());
        alarm.set(Mono::from_millis(10), || 1, &mut timers);
        alarm.clear();
        assert_eq!(ring(&mut alarm, &mut timers, 99), 0);
        alarm.set(Mono::from_millis(100), || 1, &mut timers);
        assert_eq!(ring(&mut alarm, &mut timers, 100), 1);
    }
}
