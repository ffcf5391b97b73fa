use std::fmt;

/// Position of a record in a partition log, counted in records from 0.
///
/// The wire's -1 ("unknown") becomes `None` in the codec, so an `Offset` is never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(i64);

impl Offset {
    /// The first offset of every log.
    pub const ZERO: Offset = Offset(0);

    /// `None` for the wire's negative values.
    pub const fn from_wire(value: i64) -> Option<Offset> {
        if value < 0 { None } else { Some(Offset(value)) }
    }

    /// An offset we produced ourselves; a negative value is a bug.
    pub const fn new(value: i64) -> Offset {
        assert!(value >= 0, "an offset is never negative");
        Offset(value)
    }

    /// The value as Kafka writes it.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The offset after this one.
    pub const fn next(self) -> Offset {
        Offset::new(self.0 + 1)
    }

    /// This offset moved forward by `records`.
    pub const fn plus(self, records: i64) -> Offset {
        Offset::new(self.0 + records)
    }

    /// How many records lie in `self..end`; 0 when `end` is not above.
    pub const fn distance_to(self, end: Offset) -> u64 {
        if end.0 <= self.0 {
            0
        } else {
            (end.0 - self.0) as u64
        }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
