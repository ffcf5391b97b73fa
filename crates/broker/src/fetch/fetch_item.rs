use crate::partition::LocalPartition;
use crate::response::ResponsePart;
use ottla_types::{ErrorCode, LeaderEpoch, Offset, TopicId};
use std::sync::Arc;

/// How a fetch names a topic: by name before version 13, by id from then on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TopicKey {
    /// By name.
    Name(Arc<str>),
    /// By id.
    Id(TopicId),
}

/// What a client wants of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FetchPosition {
    /// The next offset it wants, as sent.
    pub(crate) fetch_offset: i64,
    /// Bytes it takes at most, as sent.
    pub(crate) bytes_max: i32,
    /// The leader epoch it believes in.
    pub(crate) current_leader_epoch: Option<LeaderEpoch>,
    /// The epoch of the last record it has (KIP-595).
    pub(crate) last_fetched_epoch: Option<LeaderEpoch>,
}

/// One partition of a fetch, with what the client was told about it last.
#[derive(Debug)]
pub(crate) struct FetchItem {
    pub(crate) topic: TopicKey,
    /// Number of the partition, as sent.
    pub(crate) partition: i32,
    pub(crate) position: FetchPosition,
    /// The partition it means; looked up again when it is gone.
    pub(crate) target: Option<Arc<LocalPartition>>,
    /// High watermark and log start of the last answer; an error forgets them.
    pub(crate) told: Option<Told>,
    /// Whether the item is in its set's queue.
    pub(super) queued: bool,
    /// Whether the partition puts the item into the queue when it moves.
    pub(crate) watching: bool,
}

/// What a session's client knows about a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) high_watermark: Offset,
    pub(crate) log_start_offset: Offset,
}

/// What a look at a partition found for a fetch.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) error: ErrorCode,
    /// `None` with an error.
    pub(crate) told: Option<Told>,
    /// Records, whole batches.
    pub(crate) records: Vec<ResponsePart>,
    /// Bytes of the records.
    pub(crate) size: usize,
    /// Records are there that did not fit any more.
    pub(crate) is_withheld: bool,
    /// Where the client's log parts from ours: our epoch at most its last one, and that epoch's end.
    pub(crate) diverging: Option<(LeaderEpoch, Offset)>,
}

/// A look with what it was about.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) topic: TopicKey,
    pub(crate) partition: i32,
    pub(crate) target: Option<Arc<LocalPartition>>,
    pub(crate) look: Look,
}

impl Look {
    /// A partition that cannot be fetched from.
    pub(crate) fn error(error: ErrorCode) -> Look {
        Look {
            error,
            told: None,
            records: Vec::new(),
            size: 0,
            is_withheld: false,
            diverging: None,
        }
    }

    /// A partition without news for its client.
    pub(crate) fn empty(told: Told) -> Look {
        Look {
            told: Some(told),
            ..Look::error(ErrorCode::None)
        }
    }

    /// Whether the answer must go out at once.
    pub(super) fn is_urgent(&self) -> bool {
        self.error != ErrorCode::None || self.diverging.is_some()
    }

    /// Whether a client that was told `told` learns anything from this.
    pub(super) fn is_news(&self, told: Option<Told>) -> bool {
        self.is_urgent() || 0 < self.size || self.is_withheld || self.told != told
    }

    /// Whether the partition has something to say again after this was answered, even if it does
    /// not move: the client may ask for the same once more.
    pub(super) fn has_more(&self) -> bool {
        self.is_urgent() || 0 < self.size || self.is_withheld
    }
}
