/// A record of a coordinator's log as it is written: key and value are Kafka's persisted schemas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// What the record is about; compaction keeps the last record of each key.
    pub key: Vec<u8>,
    /// What is so from now on; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

impl LogRecord {
    /// Bytes it takes in a batch, at most.
    pub fn size_max(&self) -> usize {
        /// Lengths, deltas and counts around key and value, each a varint.
        const AROUND: usize = 32;
        AROUND + self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
}
