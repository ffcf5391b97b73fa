use super::{CodecError, FORMAT, decode_record, encode_record};
use crate::record::Record;
use ottla_protocol::{DecodeError, Reader, Writer};

/// The format's name in errors.
const NAME: &str = "an entry of the metadata log";

/// An entry's payload: a batch and the term it was decided in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedEntry {
    /// The term in which the controller decided. When the entry was written in another one, the batch
    /// was decided on a state that may not have come about: it is applied as if it were empty.
    pub term: u64,
    /// The batch.
    pub records: Vec<Record>,
}

/// The payload of an entry that is proposed in `term`.
pub fn encode_entry(term: u64, records: &[Record]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(&[FORMAT]);
    writer.raw(&term.to_be_bytes());
    write_records(records, &mut writer);
    writer.into_buf()
}

/// Reads a payload.
pub fn decode_entry(bytes: &[u8]) -> Result<DecodedEntry, CodecError> {
    let mut reader = Reader::new(bytes);
    read_format(&mut reader, NAME)?;
    let term = read_u64(&mut reader, NAME)?;
    let records = read_records(&mut reader, NAME)?;
    Ok(DecodedEntry { term, records })
}

/// Appends records, each with its size, and how many there are.
pub(super) fn write_records(records: &[Record], writer: &mut Writer) {
    writer.uvarint(u32::try_from(records.len()).expect("a batch is bounded by its command"));
    let mut buf = Vec::new();
    for record in records {
        buf.clear();
        let mut one = Writer::with_buf(std::mem::take(&mut buf));
        encode_record(record, &mut one);
        buf = one.into_buf();
        writer.uvarint(u32::try_from(buf.len()).expect("a record is bounded by its fields"));
        writer.raw(&buf);
    }
}

/// Reads what [`write_records`] wrote; it must be all that is left.
pub(super) fn read_records(
    reader: &mut Reader<'_>,
    what: &'static str,
) -> Result<Vec<Record>, CodecError> {
    let malformed = |cause: DecodeError| CodecError::Malformed { what, cause };
    let count = reader.uvarint().map_err(malformed)? as usize;
    // A record has at least a size and three bytes of frame.
    let mut records = Vec::with_capacity(count.min(reader.remaining() / 4));
    for _ in 0..count {
        let size = reader.uvarint().map_err(malformed)? as usize;
        records.push(decode_record(reader.take(size).map_err(malformed)?)?);
    }
    match reader.remaining() {
        0 => Ok(records),
        count => Err(CodecError::BytesLeftOver { what, count }),
    }
}

pub(super) fn read_format(reader: &mut Reader<'_>, what: &'static str) -> Result<(), CodecError> {
    let bytes = reader
        .take(1)
        .map_err(|cause| CodecError::Malformed { what, cause })?;
    if bytes[0] != FORMAT {
        return Err(CodecError::NewerVersion {
            what,
            version: bytes[0].into(),
            known: FORMAT.into(),
        });
    }
    Ok(())
}

pub(super) fn read_u64(reader: &mut Reader<'_>, what: &'static str) -> Result<u64, CodecError> {
    let value = reader
        .i64()
        .map_err(|cause| CodecError::Malformed { what, cause })?;
    Ok(value as u64)
}
