//! `<base offset>.timeindex`: Kafka's sparse time index, for Kafka's own tools.
//!
//! ```text
//! per entry, both fields ascending: timestamp i64 (the largest so far),
//!     relative_offset i32 (last offset of the first batch that has it, minus the segment's base offset)
//! ```

use ottla_types::Timestamp;

/// Size of an entry in bytes.
pub const TIME_ENTRY_SIZE: usize = 12;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeEntry {
    /// The largest timestamp up to here.
    pub timestamp: Timestamp,
    /// Last offset of the first batch that has it, relative to the segment's base offset.
    pub relative_offset: u32,
}

impl TimeEntry {
    /// The 12 bytes of the file.
    pub fn encode(&self) -> [u8; TIME_ENTRY_SIZE] {
        let mut out = [0; TIME_ENTRY_SIZE];
        out[..8].copy_from_slice(&self.timestamp.as_millis().to_be_bytes());
        out[8..].copy_from_slice(&self.relative_offset.to_be_bytes());
        out
    }

    /// The entry in these 12 bytes.
    pub fn decode(bytes: &[u8; TIME_ENTRY_SIZE]) -> TimeEntry {
        let timestamp = bytes[..8].try_into().expect("the range has this size");
        let offset = bytes[8..].try_into().expect("the range has this size");
        TimeEntry {
            timestamp: Timestamp::from_millis(i64::from_be_bytes(timestamp)),
            relative_offset: u32::from_be_bytes(offset),
        }
    }
}
