use ottla_types::{Timestamp, TopicId};
use std::sync::Arc;

/// How far a group has read a partition, as it said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read, as the client said it.
    pub offset: i64,
    /// Epoch of the last record that was read, if the client knew it.
    pub leader_epoch: Option<i32>,
    /// Whatever the client wanted to remember.
    pub metadata: Arc<str>,
    /// When it was committed.
    pub committed_at: Timestamp,
    /// Up to when an old client wanted it kept; otherwise the broker decides.
    pub expires_at: Option<Timestamp>,
    /// The topic it is of, if known: another may have its name by now.
    pub topic_id: Option<TopicId>,
}
