//! Groups as their coordinator sees them. Every test of groups runs twice: as it is, and with the
//! shard unloaded and loaded again, from a compacted log, before every command that finds the groups
//! at rest. What is lost by being unloaded in the middle of a rebalance, clients must survive: the
//! model's do.

mod harness;

mod commits;
mod joining;
mod leaving;
mod loading;
mod model;
mod offsets;
mod static_members;
mod syncing;
