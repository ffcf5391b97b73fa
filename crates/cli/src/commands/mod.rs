//! One file per command.

pub mod bench;
pub mod consume;
pub mod debug;
pub mod dev;
pub mod explain;
pub mod group;
pub mod produce;
pub mod run;
pub mod start;
pub mod topic;
