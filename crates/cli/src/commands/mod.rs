//! One file per command.

pub mod bench;
pub mod client;
pub mod cluster;
pub mod completion;
pub mod config;
pub mod consume;
pub mod debug;
pub mod dev;
pub mod doctor;
pub mod explain;
pub mod group;
pub mod produce;
pub mod profile;
pub mod run;
pub mod start;
pub mod status;
pub mod topic;
