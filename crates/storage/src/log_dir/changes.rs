//! What journal entries of kind `Segments` say in their argument (docs/formats/segment.md has the table), and those of
//! kind `Truncate` in their body.

use bytes::Bytes;
use ottla_types::Timestamp;

/// A segment with base offset `base_offset` was added; the body is the partition's directory name.
pub(super) const SEGMENT_ADDED: u64 = 1;
/// Segments with base offsets in `base_offset..end_offset` were removed.
pub(super) const SEGMENTS_REMOVED: u64 = 2;
/// Segments with base offsets in `base_offset..end_offset` were replaced by those that the body names; it also says up to
/// where the log is compacted.
pub(super) const SEGMENTS_REPLACED: u64 = 3;
/// From `base_offset` on, what lay in one segment lies in one of its own: what is before it is damaged.
pub(super) const SEGMENT_SPLIT: u64 = 4;

/// The body of a `Truncate` entry: the largest timestamp before the cut in the segment file that it goes through, little
/// endian; nothing when that is not known.
pub(super) fn encode_largest(timestamp: Option<Timestamp>) -> Bytes {
    timestamp.map_or(Bytes::new(), |timestamp| {
        Bytes::copy_from_slice(&timestamp.as_millis().to_le_bytes())
    })
}

/// Reads what [`encode_largest`] wrote.
pub(super) fn decode_largest(body: &[u8]) -> Option<Timestamp> {
    let millis = i64::from_le_bytes(body.try_into().ok()?);
    Some(Timestamp::from_millis(millis))
}
