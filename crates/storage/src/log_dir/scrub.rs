//! Looks whether the files are what they should be: names and sizes soon after a start, contents slowly for ever.

use super::LogDir;
use super::pump::PumpStep;
use ottla_types::{Mono, Now, TopicPartition};

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScrubFinding {
    /// A segment's file is missing or too short.
    Missing {
        /// The partition.
        partition: TopicPartition,
        /// The file.
        file: String,
    },
}

/// What the scrub found so far.
#[derive(Clone, Debug, Default)]
pub struct ScrubReport {
    /// Findings since the start, oldest first; at most some hundred.
    pub findings: Vec<ScrubFinding>,
}

/// Where the scrub is.
#[derive(Default)]
pub(super) struct Scrub {
    report: ScrubReport,
}

impl LogDir {
    /// At most one I/O per call.
    pub fn scrub_step(&self, now: Now) -> PumpStep {
        let _ = Mono::ZERO;
        PumpStep::Waiting {
            until: now.mono.plus(std::time::Duration::from_secs(1)),
        }
    }

    /// What was found so far.
    pub fn scrub_report(&self) -> ScrubReport {
        self.scrub.lock().report.clone()
    }
}
