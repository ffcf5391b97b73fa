//! Counters of the server, and their text for Prometheus.

mod core_counters;
mod exposition;
mod histogram;
mod renaming;

pub use core_counters::{API_KEYS, API_VERSIONS, CloseKind, CoreCounters, ListenerCounters};
pub use exposition::Exposition;
pub use histogram::{Histogram, HistogramSum, add};
pub use renaming::{Alias, AliasKind};
