//! Consumer groups: who reads which partitions, and how far they have come. The classic protocol,
//! as every client since 2016 speaks it.

mod assignor;
mod subscription;

mod member;
mod range;
mod round_robin;
mod sticky;

mod assignment;

mod config;

mod membership;

pub use assignor::Assignor;
pub use config::{CommitError, GroupConfig, GroupEvent, GroupFault};
pub use member::{Assignment, GroupMember};
pub use membership::{CommittedOffsets, GroupCore, OffsetsId, OffsetsOutcome};
pub(crate) use membership::{committed_offsets, coordinator_of};
pub use subscription::{Subscription, decode_assignment, encode_assignment};
