use crate::uuid::TopicId;
use std::fmt;

/// Defines a newtype over an integer that is never negative on our side of the codec.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($int);

        impl $name {
            /// Wraps a value of our own making.
            pub const fn new(value: $int) -> $name {
                $name(value)
            }

            /// The value as Kafka writes it.
            pub const fn get(self) -> $int {
                self.0
            }

            /// `None` for the wire's "unknown" (any negative value).
            #[allow(unused_comparisons, reason = "one macro serves signed and unsigned ids")]
            pub const fn from_wire(value: $int) -> Option<$name> {
                if value < 0 { None } else { Some($name(value)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id! {
    /// A node's number in its cluster (`node.id`).
    BrokerId(i32)
}
id! {
    /// Number of a partition within its topic, counted from 0.
    PartitionId(i32)
}
id! {
    /// How often the leadership of a partition has changed hands or incarnations (KIP-101).
    LeaderEpoch(i32)
}
id! {
    /// The metadata log index of a broker's registration; orders its incarnations (KIP-903).
    BrokerEpoch(i64)
}
id! {
    /// Names one idempotent or transactional producer (KIP-98).
    ProducerId(i64)
}
id! {
    /// How often a producer id has been fenced and handed on.
    ProducerEpoch(i16)
}
id! {
    /// Sequence number of a record within (producer id, producer epoch, partition).
    Sequence(i32)
}
id! {
    /// Log sequence number: the place of an entry in a log directory's journal. 0 means "before all".
    Lsn(u64)
}
id! {
    /// Dense number of a partition within one log directory of this process; never persisted.
    PartitionSlot(u32)
}

impl LeaderEpoch {
    /// The epoch after this one.
    pub const fn next(self) -> LeaderEpoch {
        LeaderEpoch(self.0 + 1)
    }
}

impl Lsn {
    /// Before the first entry.
    pub const ZERO: Lsn = Lsn(0);

    /// The number after this one.
    pub const fn next(self) -> Lsn {
        Lsn(self.0 + 1)
    }
}

impl Sequence {
    /// The sequence `records` later. After `i32::MAX` comes 0, as in Kafka's `DefaultRecordBatch`.
    pub const fn plus(self, records: i32) -> Sequence {
        Sequence(((self.0 as i64 + records as i64) & i32::MAX as i64) as i32)
    }
}

/// Names a partition for ever: a topic that is deleted and created again has another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// The topic's id.
    pub topic_id: TopicId,
    /// The partition within it.
    pub partition: PartitionId,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic_id, self.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(Sequence::new(i32::MAX).plus(1), Sequence::new(0));
        assert_eq!(Sequence::new(i32::MAX - 1).plus(5), Sequence::new(3));
        assert_eq!(Sequence::new(7).plus(3), Sequence::new(10));
    }

    #[test]
    fn negative_wire_values_are_unknown() {
        assert_eq!(LeaderEpoch::from_wire(-1), None);
        assert_eq!(LeaderEpoch::from_wire(0), Some(LeaderEpoch::new(0)));
    }
}
