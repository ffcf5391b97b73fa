//! Who is in sync and what is readable: the leader's half of one partition.
//!
//! This crate never does I/O, never reads a clock and sends nothing: it is told what happened and
//! says what follows from it.

mod leader;

pub use leader::{
    EpochError, Follower, IsrChange, Leader, LeaderStart, NotEnoughReplicas, ReplicaError,
};
