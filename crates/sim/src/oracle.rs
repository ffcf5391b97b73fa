//! What must be true, kept beside the real code and compared with it after every step.

mod compacted;
mod history;
mod log_state;
mod one_value;

pub use compacted::{CompactionRule, difference as compacted_difference};
pub use history::{Change, Floor, History, Producers, Recovered};
pub use log_state::{LogState, SequenceVerdict, StoredBatch};
pub use one_value::OneValue;

use std::fmt;

/// A promise that was broken: which, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Name of the invariant; stable, for tables and for comparing runs.
    pub invariant: &'static str,
    /// What was seen and what should have been.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.detail)
    }
}

/// Ends a check with a [`Violation`] unless the condition holds.
#[macro_export]
macro_rules! hold {
    ($condition:expr, $invariant:expr, $($detail:tt)*) => {
        if !$condition {
            return Err($crate::oracle::Violation {
                invariant: $invariant,
                detail: format!($($detail)*),
            });
        }
    };
}
