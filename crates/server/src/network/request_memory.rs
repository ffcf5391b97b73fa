use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The memory that half-received requests of all connections may hold together.
///
/// At the cap a connection is not failed: it stops reading until another one is done. So that two
/// connections cannot wait for each other for ever, one connection at a time may go over the cap.
#[derive(Debug)]
pub struct RequestMemory {
    used_bytes: AtomicUsize,
    /// What the service keeps of requests it cannot execute yet.
    held_bytes: Arc<AtomicUsize>,
    /// 1 while a connection is over the cap.
    over_cap_holders: AtomicUsize,
    bytes_max: usize,
}

/// How a reservation was granted; given back with [`RequestMemory::release`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reservation {
    bytes: usize,
    over_cap: bool,
}

impl RequestMemory {
    /// With a cap in bytes, for the connections and for what the service counts in `held_bytes`.
    pub fn new(bytes_max: usize, held_bytes: Arc<AtomicUsize>) -> RequestMemory {
        RequestMemory {
            used_bytes: AtomicUsize::new(0),
            held_bytes,
            over_cap_holders: AtomicUsize::new(0),
            bytes_max,
        }
    }

    /// Makes `reservation` hold `bytes` in all; `false` means: wait and ask again.
    pub fn grow(&self, reservation: &mut Reservation, bytes: usize) -> bool {
        let more = bytes.saturating_sub(reservation.bytes);
        let used = self.used_bytes.fetch_add(more, Ordering::Relaxed) + more;
        let used = used + self.held_bytes.load(Ordering::Relaxed);
        if used > self.bytes_max && !reservation.over_cap {
            let first =
                self.over_cap_holders
                    .compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed);
            if first.is_err() {
                self.used_bytes.fetch_sub(more, Ordering::Relaxed);
                return false;
            }
            reservation.over_cap = true;
        }
        reservation.bytes += more;
        true
    }

    /// Makes `reservation` hold `bytes` in all, for bytes that have been received already.
    pub fn grow_unasked(&self, reservation: &mut Reservation, bytes: usize) {
        let more = bytes.saturating_sub(reservation.bytes);
        self.used_bytes.fetch_add(more, Ordering::Relaxed);
        reservation.bytes += more;
    }

    /// Gives all of it back.
    pub fn release(&self, reservation: &mut Reservation) {
        self.used_bytes
            .fetch_sub(reservation.bytes, Ordering::Relaxed);
        if reservation.over_cap {
            self.over_cap_holders.store(0, Ordering::Relaxed);
        }
        *reservation = Reservation::default();
    }

    /// Bytes held now.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed) + self.held_bytes.load(Ordering::Relaxed)
    }

    /// Whether the cap is reached, and somebody may be waiting.
    pub fn is_short(&self) -> bool {
        self.used_bytes() >= self.bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_service_keeps_counts() {
        let held = Arc::new(AtomicUsize::new(90));
        let memory = RequestMemory::new(100, Arc::clone(&held));
        let (mut a, mut b) = Default::default();
        assert!(memory.grow(&mut a, 11), "one may go over the cap");
        assert!(!memory.grow(&mut b, 1));
        assert_eq!((memory.used_bytes(), memory.is_short()), (101, true));
        held.store(0, Ordering::Relaxed);
        assert!(memory.grow(&mut b, 1));
    }

    #[test]
    fn at_the_cap_one_goes_on_and_the_others_wait() {
        let memory = RequestMemory::new(100, Arc::default());
        let (mut a, mut b, mut c) = Default::default();
        assert!(memory.grow(&mut a, 60));
        assert!(memory.grow(&mut b, 39));
        assert!(!memory.is_short());
        assert!(memory.grow(&mut b, 40));
        assert!(memory.is_short());
        assert!(memory.grow(&mut a, 90));
        assert!(!memory.grow(&mut b, 50));
        assert!(!memory.grow(&mut c, 1));
        assert!(memory.grow(&mut a, 500));
        memory.release(&mut a);
        assert!(!memory.is_short());
        assert!(memory.grow(&mut b, 50));
        assert!(memory.grow(&mut c, 1));
        memory.release(&mut b);
        memory.release(&mut c);
        assert_eq!(memory.used_bytes(), 0);
    }
}
