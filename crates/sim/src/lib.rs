//! What must stay true under faults: the real storage and broker code on a disk that crashes.
//!
//! Everything here is decided by a seed: no wall clock, no thread, no iteration in random order.
//! The same seed gives the same run, in every process.

mod trace;

pub mod disk;
pub mod oracle;

mod batch_maker;
mod clock;
mod excuse;
mod large_batches;
mod report;
mod totals;

mod journal_world;
mod storage_world;

mod broker_world;

mod runner;

#[cfg(feature = "planted-bugs")]
mod planted;

#[cfg(feature = "planted-bugs")]
pub use planted::{Found, find};
pub use report::RunReport;
pub use runner::{Failure, Run, World};
pub use totals::Totals;
pub use trace::Trace;

/// Steps of a run when nothing else is asked for.
pub const STEPS_DEFAULT: u64 = 2_000;
