//! The threads behind the workers: each calls one pump of a log directory, and sleeps while that
//! has nothing to do.

mod blocking_pool;
mod pump_thread;

mod cleaner;
mod directory_watch;
mod flusher;
mod journal;
mod scrubber;

pub use blocking_pool::BlockingPool;
pub use cleaner::Cleaner;
pub use flusher::Flusher;
pub use journal::{Journal, JournalCounters};

pub use scrubber::Scrubber;
