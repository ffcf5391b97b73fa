//! Who reads what: the runtime of coordinators, and consumer groups on it.
//!
//! A coordinator keeps its state in a partition of an internal topic, in Kafka's own record schemas.
//! Each partition is one [`Shard`]: a pure machine that turns a command into records and replies,
//! replays its records after a restart, and lets no reply go before what it depends on is committed.
//!
//! This crate never does I/O, never reads a clock, never waits, and knows neither API versions nor
//! Kafka's error codes.

mod log_record;
mod partitioner;
mod timers;

mod machine;
mod shard;

pub mod group;

pub use log_record::LogRecord;
pub use machine::{Effects, Machine, ReplayError, Waiter, WriteNumber};
pub use partitioner::partition_for;
pub use shard::{Answer, LoadError, Log, Refusal, Shard, ShardOptions};
pub use timers::{Alarm, Timers};
