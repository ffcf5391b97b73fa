//! Groups: who shares the partitions of a subscription, and how far each group has read.
//!
//! The rules are those of Kafka 4.4's `GroupMetadataManager`, `ClassicGroup` and
//! `OffsetMetadataManager`, the records those of its `__consumer_offsets`.

mod config;
mod error;
mod group_id;

mod command;
mod reply;

mod committed_offset;
mod subscription;

mod classic;

mod records;

mod one_group;
mod turn;

mod rebalance;

mod expiry;
mod join;
mod liveness;
mod offsets;
mod sync;

mod coordinator;

pub use classic::{ClassicGroup, ClassicMember, GroupState, Rebalances};
pub use command::*;
pub use committed_offset::CommittedOffset;
pub use config::GroupConfig;
pub use coordinator::GroupCoordinator;
pub use error::GroupError;
pub use group_id::{GroupId, InstanceId, MemberId};
pub use records::{GroupRecord, read_record};
pub use reply::*;
