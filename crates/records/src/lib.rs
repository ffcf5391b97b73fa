//! What a batch is: record batch v2 seen in place, checked, stamped, built, compressed.
//!
//! This crate never does I/O, never reads a clock, never copies record data that it only looks at,
//! and never trusts a length: hostile bytes give an error, not a panic and not an allocation beyond
//! the stated limit.
//!
//! ```
//! use ottla_records::{BatchBuilder, Codec, Compressor, Decompressor, batches};
//! use ottla_types::Timestamp;
//!
//! let mut builder = BatchBuilder::new(Codec::Lz4);
//! builder.push(Timestamp::from_millis(1_000), Some(b"key"), Some(b"value"), &[]);
//! let bytes = builder.finish(&mut Compressor::default());
//!
//! let mut decompressor = Decompressor::default();
//! for batch in batches(&bytes) {
//!     for record in batch?.records(&mut decompressor)? {
//!         assert_eq!(record?.value, Some(&b"value"[..]));
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod layout;
mod varint;

mod codec;
mod record_view;

mod batch_view;
mod batches;

mod batch_builder;
mod batch_filter;
mod control;
mod produce_batch;
mod recompression;
mod stamp;

pub use batch_builder::BatchBuilder;
pub use batch_filter::{BatchFilter, Filtered, write_empty_batch};
pub use batch_view::{BatchError, BatchView, ProducerBatch, RecordsError, TimestampType};
pub use batches::{Batches, batches};
pub use codec::{
    Codec, CompressionLevel, Compressor, DECOMPRESSED_BYTES_MAX_DEFAULT, DecompressError,
    Decompressor,
};
pub use control::{ControlBatch, ControlRecord, ControlRecordError, ControlType, control_batch};
pub use layout::HEADER_SIZE;
pub use produce_batch::{
    KeyRule, ProduceBatchError, ProduceRules, RecordRefusal, RefusedRecord, Scratch, ValidBatch,
    validate_produce,
};
pub use recompression::recompress;
pub use record_view::{Header, Headers, RecordFault, RecordView, Records};
pub use stamp::{crc32c, stamp, stamp_log_append_time, stamp_max_timestamp, stamp_producer};
