//! What things are called: the vocabulary every other crate shares.
//!
//! This crate never does I/O, never reads a clock and depends on nothing.

mod error_code;
mod ids;
mod limits;
mod offset;
mod prng;
mod time;
mod topic_name;
mod uuid;

pub use error_code::ErrorCode;
pub use ids::{
    BrokerEpoch, BrokerId, LeaderEpoch, Lsn, PartitionId, PartitionSlot, ProducerEpoch, ProducerId,
    Sequence, TopicPartition,
};
pub use limits::*;
pub use offset::Offset;
pub use prng::Prng;
pub use time::{Mono, Now, Timestamp};
pub use topic_name::{TopicNameError, topic_name_collision_key, validate_topic_name};
pub use uuid::{DirectoryId, IncarnationId, ParseUuidError, TopicId, Uuid};
