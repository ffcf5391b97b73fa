use crate::disk::DiskError;
use crate::segment::{Access, ReadFault};
use ottla_types::{
    LeaderEpoch, Lsn, Offset, PartitionSlot, ProducerEpoch, Sequence, Timestamp, TopicPartition,
};
use std::sync::Arc;

/// Why a batch was not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The slot names no partition (any more).
    #[error("no such partition")]
    UnknownPartition,
    /// The leader epoch is older than the newest one seen.
    #[error("leader epoch {given} is older than {current}")]
    FencedLeaderEpoch {
        /// The caller's epoch.
        given: LeaderEpoch,
        /// The newest one.
        current: LeaderEpoch,
    },
    /// A replica's batch begins before the end of the log.
    #[error("the batch begins at {base_offset}, the log goes up to {appended_end}")]
    Overlaps {
        /// Where it begins.
        base_offset: Offset,
        /// Where it may begin at the earliest.
        appended_end: Offset,
    },
    /// A replica's batch is not one.
    #[error("not a batch that a leader appended: {reason}")]
    Malformed {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Not the producer's next sequence.
    #[error(
        "out of order sequence number: {base_sequence} (incoming), {} (current end)",
        last_sequence.map_or(-1, Sequence::get)
    )]
    OutOfOrderSequence {
        /// The batch's first sequence.
        base_sequence: Sequence,
        /// Sequence of the last record known.
        last_sequence: Option<Sequence>,
        /// The refusal reveals an append that must be durable before it may be sent.
        durability: Lsn,
    },
    /// A fenced producer.
    #[error("producer epoch {given} is older than {current}")]
    InvalidProducerEpoch {
        /// The batch's epoch.
        given: ProducerEpoch,
        /// The newest one.
        current: ProducerEpoch,
        /// The refusal reveals an append that must be durable before it may be sent.
        durability: Lsn,
    },
    /// The batch belongs to no transaction although one of its producer is open here.
    #[error("the producer has an open transaction on this partition")]
    OpenTransaction {
        /// The refusal reveals an append that must be durable before it may be sent.
        durability: Lsn,
    },
    /// Larger than a segment may be.
    #[error("the batch has {size} bytes, a segment holds {segment_bytes}")]
    RecordListTooLarge {
        /// Bytes of the batch.
        size: usize,
        /// `segment.bytes`.
        segment_bytes: u32,
    },
    /// Beyond `around_bytes`, and not written beside the journal ([`crate::log_dir::LogDir::write_large`]).
    #[error("the batch is too large for the journal and was not written before")]
    Large,
    /// No room on the disk.
    #[error("the disk is full")]
    Full,
    /// The directory failed.
    #[error("the log directory is offline")]
    Offline,
    /// The partition lost data and refuses appends.
    #[error("the partition is damaged: {reason}")]
    Damaged {
        /// What was lost.
        reason: String,
    },
    /// The producer snapshot cannot be read.
    #[error(transparent)]
    Fault(#[from] ReadFault),
}

/// A read that would have to wait for the device: [`crate::log_dir::LogDir::finish_read`] waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadTicket {
    /// Of [`crate::log_dir::LogDir::read`].
    Range {
        /// Its argument.
        slot: PartitionSlot,
        /// Its argument.
        from: Offset,
        /// Its argument.
        limit: super::ReadLimit,
    },
    /// Of [`crate::log_dir::LogDir::offset_for_timestamp`], which can be called again with
    /// [`Access::Wait`].
    Timestamp {
        /// Its argument.
        slot: PartitionSlot,
        /// Its argument.
        target: Timestamp,
    },
    /// Of [`crate::log_dir::LogDir::max_timestamp`], which can be called again with [`Access::Wait`].
    MaxTimestamp {
        /// Its argument.
        slot: PartitionSlot,
    },
}

/// Why nothing was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The slot names no partition (any more).
    #[error("no such partition")]
    UnknownPartition,
    /// The offset is not in the log.
    #[error("the log holds {log_start}..{end}")]
    OutOfRange {
        /// First offset.
        log_start: Offset,
        /// End offset (exclusive).
        end: Offset,
    },
    /// The device would have to be waited for ([`Access::Try`] only).
    #[error("the device would have to be waited for")]
    WouldBlock(ReadTicket),
    /// The bytes are not what was written, or cannot be read.
    #[error(transparent)]
    Fault(#[from] ReadFault),
    /// The directory failed.
    #[error("the log directory is offline")]
    Offline,
}

impl From<DiskError> for ReadError {
    fn from(error: DiskError) -> ReadError {
        ReadError::Fault(ReadFault::Disk(error))
    }
}

/// Why an operation on a partition was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The slot names no partition (any more).
    #[error("no such partition")]
    UnknownPartition,
    /// The offset is not in the log.
    #[error("the log holds {log_start}..{end}")]
    OutOfRange {
        /// First offset.
        log_start: Offset,
        /// End offset (exclusive, but allowed as an argument).
        end: Offset,
    },
    /// Entries of the partition have to be durable first.
    #[error("the journal has to be durable up to {durability} first")]
    Undurable {
        /// The last of them.
        durability: Lsn,
    },
    /// The partition lost data: a copy of it would not say so, or is none.
    #[error("the partition is damaged: {reason}")]
    Damaged {
        /// What was lost.
        reason: String,
    },
    /// The partition has a log in this directory already.
    #[error("the partition has a log in this directory")]
    AlreadyThere,
    /// An earlier log of the partition is still being removed from this directory. The caller tries again a little later.
    #[error("an earlier log of the partition is being removed from this directory")]
    BeingRemoved,
    /// The directory failed.
    #[error("the log directory is offline")]
    Offline,
    /// A file could not be read.
    #[error(transparent)]
    Fault(#[from] ReadFault),
}

/// Why a log directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else uses it.
    #[error("the log directory is in use by another process")]
    Locked,
    /// The disk refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The journal cannot be opened.
    #[error(transparent)]
    Wal(#[from] crate::wal::WalError),
    /// A file from a newer release, or one that contradicts itself.
    #[error("{0}")]
    Format(String),
    /// Two directories claim the same partition.
    #[error("{first} and {second} both say that they hold partition {id}: move one of them away")]
    Twice {
        /// The partition.
        id: TopicPartition,
        /// One directory.
        first: Arc<str>,
        /// The other one.
        second: Arc<str>,
    },
}

impl Access {
    /// The ticket as an error when a read may not wait.
    pub(crate) fn blocked(self, ticket: ReadTicket) -> ReadError {
        ReadError::WouldBlock(ticket)
    }
}
