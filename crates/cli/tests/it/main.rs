//! The binary as a person and an orchestrator meet it: real processes, real sockets, real signals.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod admin_client;
mod broker;
mod clients;
mod commands;
mod debug_log;
mod groups;
mod http;
mod kafka_tools;
mod pipes;
mod start;
