//! How records, entries and images become bytes. Kafka's schemas where Kafka has one.
//!
//! ```text
//! record := frame_version uvarint (1) | type uvarint | version uvarint | body
//! entry  := format u8 (1) | term i64 | count uvarint | count * (size uvarint | record)
//! image  := format u8 (1) | index i64 | count uvarint | count * (size uvarint | record)
//! ```
//!
//! Integers are big endian. A record is framed as Kafka frames it in `__cluster_metadata`
//! (`AbstractApiMessageSerde`). Whatever is newer or unknown is refused with a message, never
//! guessed, and so are bytes left over.

mod broker;
mod cluster;
mod config;
mod entry;
mod frame;
mod image;
mod partition;
mod producer_ids;
mod raft;
mod record;
mod topic;

pub use entry::{DecodedEntry, decode_entry, encode_entry};
pub use image::{decode_image, encode_image};
pub use raft::{
    decode_payload, decode_snapshot_meta, decode_vote, encode_payload, encode_snapshot_meta,
    encode_vote,
};
pub use record::{decode_record, encode_record};

use crate::image::ReplayError;
use ottla_protocol::DecodeError;

/// Bytes of the metadata log that this version of Ottla cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes are not what their type and version say.
    #[error("{what} is damaged: {cause}")]
    Malformed {
        /// A record's name, or what was being read.
        what: &'static str,
        /// The place and kind of the damage.
        cause: DecodeError,
    },
    /// The value cannot be.
    #[error("{what} has an impossible value in {field}")]
    InvalidField {
        /// A record's name.
        what: &'static str,
        /// Kafka's name of the field.
        field: &'static str,
    },
    /// Something was written by a newer version.
    #[error(
        "{what} has version {version}, and this version of Ottla knows {known} at most: it was \
         written by a newer one"
    )]
    NewerVersion {
        /// A record's name or a format's.
        what: &'static str,
        /// Found.
        version: u32,
        /// The highest that is known.
        known: u32,
    },
    /// A record that this version does not have.
    #[error("metadata records of type {record_type} are not known to this version of Ottla")]
    UnknownRecordType {
        /// Its number.
        record_type: u32,
    },
    /// There are more bytes than the value has.
    #[error("{what} is followed by {count} bytes that do not belong to it")]
    BytesLeftOver {
        /// A record's name or a format's.
        what: &'static str,
        /// How many.
        count: usize,
    },
    /// The records of an image contradict each other.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

/// The version byte of entries and images.
const FORMAT: u8 = 1;
