//! Limits that more than one crate must agree on, each with its reason.

/// Kafka's limit for topic names: the directory name `<topic>-<partition>` must fit 255 bytes.
pub const TOPIC_NAME_CHARS_MAX: usize = 249;

/// Bytes before the part that a batch's length field counts: base offset and the length itself.
pub const BATCH_LENGTH_PREFIX_SIZE: usize = 12;
