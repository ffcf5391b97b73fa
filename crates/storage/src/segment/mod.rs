//! The files of a segment: batches exactly as Kafka keeps them, and what is needed to find and check them.

pub mod names;
pub mod offset_index;
pub mod sidecar;
pub mod time_index;

pub(crate) mod chain;
mod file;
pub(crate) mod small_files;
mod units;

pub use file::{Access, ReadFault, SegmentFile};
pub(crate) use file::{Rebuild, RebuildFault, read_exact, read_into};
pub(crate) use units::{Units, UnitsCursor};
