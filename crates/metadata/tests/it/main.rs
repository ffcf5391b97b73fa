//! The metadata crate through its public face.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod codec;
mod controller;
mod crash;
mod create_topics;
mod directories;
mod elect_leaders;
mod fixtures;
mod local_quorum;
mod other_commands;
mod register_broker;
