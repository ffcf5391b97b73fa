use std::fmt;
use std::sync::Arc;

/// A partition as clients name it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition within it, from 0.
    pub partition: i32,
}

impl PartitionKey {
    /// Names a partition.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> PartitionKey {
        PartitionKey {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}
