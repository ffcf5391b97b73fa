use crate::report::RunReport;
use std::fmt;

/// Sums over many runs.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// How many runs.
    pub runs: u64,
    /// Their sums.
    pub sums: RunReport,
}

impl Totals {
    /// Adds one run.
    pub fn add(&mut self, report: &RunReport) {
        self.merge(&Totals {
            runs: 1,
            sums: report.clone(),
        });
    }

    /// Adds other runs.
    pub fn merge(&mut self, other: &Totals) {
        self.runs += other.runs;
        let report = &other.sums;
        let sums = &mut self.sums;
        sums.steps += report.steps;
        sums.appended += report.appended;
        sums.duplicates += report.duplicates;
        sums.moves += report.moves;
        sums.bytes_read += report.bytes_read;
        sums.crashes += report.crashes;
        sums.recovery_crashes += report.recovery_crashes;
        sums.changes_lost += report.changes_lost;
        for (marker, count) in &report.markers {
            *sums.markers.entry(*marker).or_default() += count;
        }
        sums.faults.add(&report.faults);
        // So that totals of the same seeds can be compared, too.
        sums.trace_hash = sums.trace_hash.rotate_left(1) ^ report.trace_hash;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} runs", self.runs)?;
        self.sums.fmt(f)
    }
}
