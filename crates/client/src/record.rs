use bytes::Bytes;
use ottla_types::Timestamp;
use std::sync::Arc;

/// A record to be sent.
///
/// ```
/// use ottla_client::Record;
///
/// let record = Record::to("flights").key("AA").value("{\"delay\":12}").header("source", "radar");
/// assert_eq!(record.key.as_deref(), Some(&b"AA"[..]));
/// assert_eq!(record.partition, None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition; `None` lets the key decide, or without key wherever a batch is being filled.
    pub partition: Option<i32>,
    /// When it was made; `None` is now.
    pub timestamp: Option<Timestamp>,
    /// The key; `None` is null.
    pub key: Option<Bytes>,
    /// The value; `None` is null.
    pub value: Option<Bytes>,
    /// The headers, in order.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

impl Record {
    /// A record without key and value.
    pub fn to(topic: impl Into<Arc<str>>) -> Record {
        Record {
            topic: topic.into(),
            partition: None,
            timestamp: None,
            key: None,
            value: None,
            headers: Vec::new(),
        }
    }

    /// With this key.
    pub fn key(mut self, key: impl Into<Bytes>) -> Record {
        self.key = Some(key.into());
        self
    }

    /// With this value.
    pub fn value(mut self, value: impl Into<Bytes>) -> Record {
        self.value = Some(value.into());
        self
    }

    /// To this partition.
    pub fn partition(mut self, partition: i32) -> Record {
        self.partition = Some(partition);
        self
    }

    /// With this timestamp.
    pub fn timestamp(mut self, timestamp: Timestamp) -> Record {
        self.timestamp = Some(timestamp);
        self
    }

    /// With one more header.
    pub fn header(mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Record {
        self.headers.push((key.into(), Some(value.into())));
        self
    }

    /// About how many bytes it takes in a buffer.
    pub(crate) fn weight(&self) -> usize {
        const OVERHEAD: usize = 64;
        let size = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let headers: usize = self
            .headers
            .iter()
            .map(|(key, value)| key.len() + size(value))
            .sum();
        OVERHEAD + size(&self.key) + size(&self.value) + headers
    }
}
