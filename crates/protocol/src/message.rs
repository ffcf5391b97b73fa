use std::ops::RangeInclusive;

use crate::{DecodeError, EncodeError, Reader, Writer};

/// A message of the protocol or a persisted record, without the header or frame around it.
/// `Default` is Kafka's defaults.
pub trait Message<'a>: Sized + Default {
    /// Kafka's name.
    const NAME: &'static str;
    /// The versions that can be read and written; clients may be offered fewer (`ApiKey::versions`).
    const VERSIONS: RangeInclusive<i16>;

    /// Reads it. Strings and bytes are slices of what the reader reads from. Bytes left over are the
    /// caller's to judge.
    fn decode(r: &mut Reader<'a>, version: i16) -> Result<Self, DecodeError>;

    /// Appends it. A field that the version does not carry is left out if it has its default or may be
    /// ignored; otherwise that is an error. After an error the writer holds a part of the message.
    fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError>;
}
