//! What journal entries of kind `Segments` say in their argument. docs/formats/segment.md has the table.

/// A segment with base offset `base_offset` was added; the body is the partition's directory name.
pub(super) const SEGMENT_ADDED: u64 = 1;
/// Segments with base offsets in `base_offset..end_offset` were removed.
pub(super) const SEGMENTS_REMOVED: u64 = 2;
