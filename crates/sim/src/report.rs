use crate::disk::FaultCounts;
use ottla_storage::marker::Marker;
use std::collections::BTreeMap;
use std::fmt;

/// What a run did, for reports and for the test of markers.
#[derive(Clone, Debug, Default)]
pub struct RunReport {
    /// Steps taken.
    pub steps: u64,
    /// Batches appended.
    pub appended: u64,
    /// Batches recognised as duplicates.
    pub duplicates: u64,
    /// Logs that moved to another directory.
    pub moves: u64,
    /// Bytes read and compared.
    pub bytes_read: u64,
    /// Crashes, those during recovery included.
    pub crashes: u64,
    /// Crashes and failures while the directory was being opened.
    pub recovery_crashes: u64,
    /// Changes that a crash took back, none of them acknowledged.
    pub changes_lost: u64,
    /// How often each marker of storage was reached.
    pub markers: BTreeMap<Marker, u64>,
    /// How often each fault of the disk struck.
    pub faults: FaultCounts,
    /// Hash of the trace.
    pub trace_hash: u64,
}

impl RunReport {
    /// Markers that no run counted here has reached.
    pub fn never_reached(&self) -> Vec<Marker> {
        let missed = |marker: &Marker| !self.markers.contains_key(marker);
        Marker::ALL.iter().copied().filter(missed).collect()
    }
}

impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} steps, {} batches appended, {} duplicates recognised, {} bytes read and compared",
            self.steps, self.appended, self.duplicates, self.bytes_read
        )?;
        writeln!(
            f,
            "{} crashes, {} failed attempts to open, {} unacknowledged changes taken back, {} logs moved",
            self.crashes, self.recovery_crashes, self.changes_lost, self.moves
        )?;
        writeln!(f, "{:?}", self.faults)?;
        let reached: Vec<String> = self
            .markers
            .iter()
            .map(|(marker, count)| format!("{} {count}", marker.name()))
            .collect();
        writeln!(f, "reached: {}", reached.join(", "))?;
        let missed: Vec<&str> = self
            .never_reached()
            .iter()
            .map(|marker| marker.name())
            .collect();
        write!(f, "not reached: {}", missed.join(", "))
    }
}
