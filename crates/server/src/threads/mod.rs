//! The threads behind the workers: each calls one pump of a log directory, or that of the moves between them, and sleeps
//! while that has nothing to do.

mod blocking_pool;
mod pump_thread;

mod cleaner;
mod directory_watch;
mod flusher;
mod journal;
mod mover;
mod scrubber;

pub use blocking_pool::BlockingPool;
pub use cleaner::Cleaner;
pub use flusher::Flusher;
pub use journal::{Journal, JournalCounters};
pub use mover::{Mover, MoverWaker};

pub use scrubber::Scrubber;
