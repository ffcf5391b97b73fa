//! What one broker does: requests in, replies out, and what a reply must wait for.
//!
//! This crate never opens a socket or a file, never reads a clock, never starts a thread.

pub mod config;
