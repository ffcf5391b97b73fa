//! The coordinator of groups on this broker: a shard for each partition of the offsets topic that is
//! led from here, loaded from it and written to it.

mod question;
mod settings;

mod offsets_topic;
mod partition_log;
mod shard;

mod asking;
mod following;

pub(crate) use offsets_topic::OFFSETS_TOPIC;
pub(crate) use question::Answered;
pub(crate) use shard::Groups;
