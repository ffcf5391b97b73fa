//! The frame around every record (`AbstractApiMessageSerde`), and what the codecs of the records need of it.

use super::CodecError;
use ottla_protocol::{Message, Reader, Writer};

/// Kafka's frame around every record of its metadata log.
const FRAME_VERSION: u32 = 1;

/// The frame's name in errors.
const FRAME: &str = "the frame of a metadata record";

/// What follows a record's frame.
pub(super) struct Body<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) version: u32,
}

impl<'a> Body<'a> {
    /// Reads the frame: the record's type, and what follows.
    pub(super) fn read(bytes: &'a [u8]) -> Result<(u32, Body<'a>), CodecError> {
        let mut reader = Reader::new(bytes);
        let malformed = |cause| CodecError::Malformed { what: FRAME, cause };
        let frame_version = reader.uvarint().map_err(malformed)?;
        if frame_version != FRAME_VERSION {
            return Err(CodecError::NewerVersion {
                what: FRAME,
                version: frame_version,
                known: FRAME_VERSION,
            });
        }
        let record_type = reader.uvarint().map_err(malformed)?;
        let version = reader.uvarint().map_err(malformed)?;
        Ok((record_type, Body { reader, version }))
    }

    /// Reads the message, which must be all there is.
    pub(super) fn message<M: Message<'a>>(&mut self) -> Result<M, CodecError> {
        let known = *M::VERSIONS.end();
        let version = i16::try_from(self.version).ok();
        let version = version.filter(|version| *version <= known).ok_or({
            CodecError::NewerVersion {
                what: M::NAME,
                version: self.version,
                known: known as u32,
            }
        })?;
        let message =
            M::decode(&mut self.reader, version).map_err(|cause| CodecError::Malformed {
                what: M::NAME,
                cause,
            })?;
        self.end(M::NAME)?;
        Ok(message)
    }

    /// Refuses bytes left over.
    pub(super) fn end(&self, what: &'static str) -> Result<(), CodecError> {
        match self.reader.remaining() {
            0 => Ok(()),
            count => Err(CodecError::BytesLeftOver { what, count }),
        }
    }
}

/// Appends the frame and the message.
pub(super) fn encode_message<'a, M: Message<'a>>(
    record_type: i16,
    version: i16,
    message: &M,
    writer: &mut Writer,
) {
    encode_frame(record_type as u32, version as u32, writer);
    message.encode(writer, version).expect(
        "names and lists were bounded when they were admitted, and the version has the fields",
    );
}

/// Appends the frame alone.
pub(super) fn encode_frame(record_type: u32, version: u32, writer: &mut Writer) {
    writer.uvarint(FRAME_VERSION);
    writer.uvarint(record_type);
    writer.uvarint(version);
}
