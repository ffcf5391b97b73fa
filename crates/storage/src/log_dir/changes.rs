//! What journal entries of kind `Segments` say in their argument. docs/formats/segment.md has the table.

/// A segment with base offset `base_offset` was added; the body is the partition's directory name.
pub(super) const SEGMENT_ADDED: u64 = 1;
/// Segments with base offsets in `base_offset..end_offset` were removed.
pub(super) const SEGMENTS_REMOVED: u64 = 2;
/// Segments with base offsets in `base_offset..end_offset` were replaced by those that the body names; it also says up to
/// where the log is compacted.
pub(super) const SEGMENTS_REPLACED: u64 = 3;
/// From `base_offset` on, what lay in one segment lies in one of its own: what is before it is damaged.
pub(super) const SEGMENT_SPLIT: u64 = 4;
