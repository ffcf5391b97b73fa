//! What must stay true under faults: the real storage and broker code on a disk that crashes.
//!
//! Everything here is decided by a seed: no wall clock, no thread, no iteration in random order.
//! The same seed gives the same run, in every process.

mod trace;

pub mod disk;

pub use trace::Trace;
