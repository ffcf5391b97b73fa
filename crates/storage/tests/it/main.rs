//! Crashes at any operation, decided by a seed, and files written by the first version.

mod crash_disk;
mod golden;
mod raft_log_crash;
mod wal_crash;
