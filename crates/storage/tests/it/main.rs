//! Crashes at any operation, decided by a seed.

mod crash_disk;
mod raft_log_crash;
mod wal_crash;
