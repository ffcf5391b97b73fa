//! `<base offset>.index`: Kafka's sparse offset index, for Kafka's own tools.
//!
//! ```text
//! per entry, ascending: relative_offset i32 (last offset of a batch, minus the segment's base offset),
//!                       position i32 (where that batch begins)
//! ```
//!
//! We look positions up in the sidecar, which we have to read anyway and which carries checksums; this file is
//! written so that the directory stays one that Kafka and its tools can read.

/// Size of an entry in bytes.
pub const OFFSET_ENTRY_SIZE: usize = 8;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetEntry {
    /// Last offset of a batch, relative to the segment's base offset.
    pub relative_offset: u32,
    /// Where that batch begins.
    pub position: u32,
}

impl OffsetEntry {
    /// The 8 bytes of the file.
    pub fn encode(&self) -> [u8; OFFSET_ENTRY_SIZE] {
        let mut out = [0; OFFSET_ENTRY_SIZE];
        out[..4].copy_from_slice(&self.relative_offset.to_be_bytes());
        out[4..].copy_from_slice(&self.position.to_be_bytes());
        out
    }

    /// The entry in these 8 bytes.
    pub fn decode(bytes: &[u8; OFFSET_ENTRY_SIZE]) -> OffsetEntry {
        let field = |at: usize| {
            let field = bytes[at..at + 4].try_into();
            u32::from_be_bytes(field.expect("the range has this size"))
        };
        OffsetEntry {
            relative_offset: field(0),
            position: field(4),
        }
    }
}
