//! The broker on a disk in memory, spoken to in frames, one module per API.

mod harness;

mod admin;
mod administration;
mod configs;
mod fetch;
mod fetch_sessions;
mod groups;
mod list_offsets;
mod log_directories;
mod metadata;
mod moves;
mod moves_in_trouble;
mod produce;
mod threads;
mod versions;
