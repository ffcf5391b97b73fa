use ottla_types::Mono;
use std::time::Duration;

/// A piece is at most so large, in bytes.
const PIECE_MAX: u64 = 1 << 20;
/// A piece is about this large where less may be copied in a second.
const PIECE_MIN: u64 = 64 << 10;
/// How soon it is looked again whether anything may be copied at all.
const STOPPED_RETRY: Duration = Duration::from_secs(1);

/// Keeps all moves together below `replica.alter.log.dirs.io.max.bytes.per.second`. What counts is the limit of the
/// moment: a higher one ends a wait that a lower one began.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    last: Option<(Mono, u64)>,
}

impl Pace {
    /// When the next piece may be begun; `now` or earlier: at once.
    pub(crate) fn ready_at(&self, now: Mono, bytes_per_second: u64) -> Mono {
        match (bytes_per_second, self.last) {
            (0, _) => now.plus(STOPPED_RETRY),
            (_, None) => now,
            (rate, Some((at, bytes))) => {
                let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
                at.plus(Duration::from_nanos(
                    u64::try_from(nanos).unwrap_or(u64::MAX),
                ))
            }
        }
    }

    /// How large the next piece may be, unless one batch is larger.
    pub(crate) fn piece_bytes(bytes_per_second: u64) -> usize {
        bytes_per_second.clamp(PIECE_MIN, PIECE_MAX) as usize
    }

    /// A piece was copied.
    pub(crate) fn copied(&mut self, now: Mono, bytes: u64) {
        self.last = Some((now, bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_paid_for_at_the_rate_of_the_moment() {
        let at = Mono::from_millis;
        let mut pace = Pace::default();
        assert_eq!(pace.ready_at(at(7), 1000), at(7));
        assert_eq!(pace.ready_at(at(7), 0), at(1007), "nothing may be copied");
        pace.copied(at(10), 5000);
        assert_eq!(pace.ready_at(at(11), 1000), at(5010));
        assert_eq!(pace.ready_at(at(11), 1_000_000), at(15));
        assert_eq!(pace.ready_at(at(11), i64::MAX as u64), at(10));
        assert_eq!(Pace::piece_bytes(1), 64 << 10);
        assert_eq!(Pace::piece_bytes(100_000), 100_000);
        assert_eq!(Pace::piece_bytes(i64::MAX as u64), 1 << 20);
    }
}
