//! One file per command.

pub mod consume;
pub mod debug;
pub mod dev;
pub mod produce;
pub mod start;
pub mod topic;
