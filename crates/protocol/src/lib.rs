//! What Kafka 4.4 says on the wire: every message as a struct, read from and written to bytes.
//!
//! This crate never does I/O, never copies record data when it decodes, and never allocates more than
//! the bytes it was given justify. Bytes from outside cause an error, never a panic.

mod error;
mod reader;
mod writer;

mod message;
mod records;

mod api_key;
mod header;
pub mod messages;

pub use api_key::{ALL_API_KEYS, ApiKey};
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use header::{RequestHeader, ResponseHeader};
pub use message::Message;
pub use reader::{ARRAY_COUNT_MAX, Reader, STRING_SIZE_MAX, TAGGED_FIELDS_COUNT_MAX};
pub use records::{External, Records};
pub use writer::Writer;
