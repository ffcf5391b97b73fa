use ottla_types::Uuid;

use crate::{EncodeError, External, Records, STRING_SIZE_MAX};

/// Appends values one after the other to a buffer that it owns.
///
/// `flexible` in the methods below chooses the compact lengths of KIP-482 over the fixed ones.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    buf: Vec<u8>,
    externals: Vec<External>,
}

/// Position of a count of tagged fields that is still growing.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct TaggedFields(usize);

/// Position of a tagged field's content whose size is not known yet.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct TaggedField(usize);

impl Writer {
    /// A writer with an empty buffer.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// A writer that appends to `buf`, for example to one that has been used before.
    pub fn with_buf(buf: Vec<u8>) -> Writer {
        Writer {
            buf,
            externals: Vec::new(),
        }
    }

    /// What has been written, without external bytes.
    pub fn buf(&self) -> &[u8] {
        &self.buf
    }

    /// Where external bytes belong, in order of position.
    pub fn externals(&self) -> &[External] {
        &self.externals
    }

    /// Both.
    pub fn into_parts(self) -> (Vec<u8>, Vec<External>) {
        (self.buf, self.externals)
    }

    /// What has been written; there must be no external bytes.
    pub fn into_buf(self) -> Vec<u8> {
        assert!(self.externals.is_empty(), "external bytes would be lost");
        self.buf
    }

    /// Bytes that will be sent: what has been written and what is external.
    pub fn size(&self) -> usize {
        self.buf.len()
            + self
                .externals
                .iter()
                .map(|e| e.size as usize)
                .sum::<usize>()
    }

    /// Leaves room for a frame's size; [`Writer::finish_frame`] fills it in.
    pub fn begin_frame(&mut self) -> usize {
        self.buf.extend_from_slice(&[0; 4]);
        self.buf.len()
    }

    /// Fills in the size of the frame whose content began at `start`, external bytes included.
    pub fn finish_frame(&mut self, start: usize) -> Result<(), EncodeError> {
        let external: usize = self
            .externals
            .iter()
            .filter(|e| e.at >= start)
            .map(|e| e.size as usize)
            .sum();
        let size = self.buf.len() - start + external;
        let size_on_wire = i32::try_from(size).map_err(|_| EncodeError::TooLong { size })?;
        self.buf[start - 4..start].copy_from_slice(&size_on_wire.to_be_bytes());
        Ok(())
    }

    /// The bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    /// One byte.
    pub fn bool(&mut self, value: bool) {
        self.buf.push(u8::from(value));
    }

    /// One byte.
    pub fn i8(&mut self, value: i8) {
        self.raw(&value.to_be_bytes());
    }

    /// Two bytes, big endian.
    pub fn i16(&mut self, value: i16) {
        self.raw(&value.to_be_bytes());
    }

    /// Two bytes, big endian.
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    /// Four bytes, big endian.
    pub fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    /// Eight bytes, big endian.
    pub fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    /// Eight bytes, big endian, IEEE 754.
    pub fn f64(&mut self, value: f64) {
        self.raw(&value.to_be_bytes());
    }

    /// Sixteen bytes.
    pub fn uuid(&mut self, value: Uuid) {
        self.raw(value.as_bytes());
    }

    /// A varint, seven bits a byte, lowest first.
    pub fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buf.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buf.push(value as u8);
    }

    /// A string.
    pub fn string(&mut self, flexible: bool, value: &str) -> Result<(), EncodeError> {
        self.nullable_string(flexible, Some(value))
    }

    /// A string or null.
    pub fn nullable_string(
        &mut self,
        flexible: bool,
        value: Option<&str>,
    ) -> Result<(), EncodeError> {
        let size = value.map_or(0, str::len);
        if size > STRING_SIZE_MAX {
            return Err(EncodeError::StringTooLong { size });
        }
        match (flexible, value) {
            (true, _) => self.nullable_length(true, value.map(str::len))?,
            (false, None) => self.i16(-1),
            (false, Some(_)) => self.i16(size as i16),
        }
        self.raw(value.unwrap_or_default().as_bytes());
        Ok(())
    }

    /// Bytes.
    pub fn bytes(&mut self, flexible: bool, value: &[u8]) -> Result<(), EncodeError> {
        self.nullable_bytes(flexible, Some(value))
    }

    /// Bytes or null.
    pub fn nullable_bytes(
        &mut self,
        flexible: bool,
        value: Option<&[u8]>,
    ) -> Result<(), EncodeError> {
        self.nullable_length(flexible, value.map(<[u8]>::len))?;
        self.raw(value.unwrap_or_default());
        Ok(())
    }

    /// Record batches, or their length and a note where they belong.
    pub fn records(&mut self, flexible: bool, value: Records<'_>) -> Result<(), EncodeError> {
        self.nullable_records(flexible, Some(value))
    }

    /// Record batches, or their length and a note where they belong, or null.
    pub fn nullable_records(
        &mut self,
        flexible: bool,
        value: Option<Records<'_>>,
    ) -> Result<(), EncodeError> {
        self.nullable_length(flexible, value.map(|records| records.size()))?;
        match value {
            None => {}
            Some(Records::Slice(bytes)) => self.raw(bytes),
            Some(Records::External { id, size }) => self.externals.push(External {
                at: self.buf.len(),
                id,
                size,
            }),
        }
        Ok(())
    }

    /// The size of bytes or the count of an array, which the caller writes next.
    pub fn length(&mut self, flexible: bool, length: usize) -> Result<(), EncodeError> {
        self.nullable_length(flexible, Some(length))
    }

    /// The same, or null.
    pub fn nullable_length(
        &mut self,
        flexible: bool,
        length: Option<usize>,
    ) -> Result<(), EncodeError> {
        let size = length.unwrap_or_default();
        // One less than can be said, for the compact form counts from one.
        let on_wire = match i32::try_from(size) {
            Ok(size) if size < i32::MAX => size,
            _ => return Err(EncodeError::TooLong { size }),
        };
        match (flexible, length) {
            (true, None) => self.uvarint(0),
            (true, Some(_)) => self.uvarint(on_wire as u32 + 1),
            (false, None) => self.i32(-1),
            (false, Some(_)) => self.i32(on_wire),
        }
        Ok(())
    }

    /// Whether a nullable struct follows.
    pub fn presence(&mut self, is_present: bool) {
        self.i8(if is_present { 1 } else { -1 });
    }

    /// The same inside of a tagged field, where Kafka writes it as a varint.
    pub fn presence_in_tag(&mut self, is_present: bool) {
        self.uvarint(u32::from(is_present));
    }

    /// The end of a struct without tagged fields.
    pub fn no_tagged_fields(&mut self) {
        self.buf.push(0);
    }

    /// Begins the tagged fields at the end of a struct; so far there are none.
    pub fn tagged_fields(&mut self) -> TaggedFields {
        let at = self.buf.len();
        self.buf.push(0);
        TaggedFields(at)
    }

    /// Begins a tagged field; tags must rise.
    pub fn begin_tagged_field(&mut self, fields: TaggedFields, tag: u32) -> TaggedField {
        // No schema has as many as 128 tags, so the count stays one byte.
        self.buf[fields.0] += 1;
        assert!(
            self.buf[fields.0] < 0x80,
            "more tagged fields than any schema has"
        );
        self.uvarint(tag);
        let at = self.buf.len();
        self.buf.push(0);
        TaggedField(at)
    }

    /// Ends a tagged field: its size is known now.
    pub fn end_tagged_field(&mut self, field: TaggedField) -> Result<(), EncodeError> {
        let size = self.buf.len() - field.0 - 1;
        if size < 0x80 {
            self.buf[field.0] = size as u8;
            return Ok(());
        }
        // Rare: the size needs more than the one byte kept for it, so the content moves. No schema has
        // records in a tagged field, so no external position moves with it.
        assert!(
            self.externals.iter().all(|e| e.at <= field.0),
            "records in a tagged field"
        );
        let on_wire = u32::try_from(size).map_err(|_| EncodeError::TooLong { size })?;
        let mut varint = Writer::new();
        varint.uvarint(on_wire);
        self.buf.splice(field.0..=field.0, varint.buf);
        Ok(())
    }
}

/// That a version which has no null for a field is given none.
pub(crate) fn forbid_null(
    is_null: bool,
    field: &'static str,
    version: i16,
) -> Result<(), EncodeError> {
    match is_null {
        false => Ok(()),
        true => Err(EncodeError::NullNotInVersion { field, version }),
    }
}

/// That a version which does not carry a field is given its default.
pub(crate) fn forbid_value(
    is_default: bool,
    field: &'static str,
    version: i16,
) -> Result<(), EncodeError> {
    match is_default {
        true => Ok(()),
        false => Err(EncodeError::FieldNotInVersion { field, version }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reader;

    #[test]
    fn external_records_are_noted_and_counted() {
        let mut w = Writer::new();
        w.raw(&[9]);
        let start = w.begin_frame();
        w.records(true, Records::Slice(&[7])).unwrap();
        w.records(true, Records::External { id: 5, size: 300 })
            .unwrap();
        w.i8(1);
        w.nullable_records(false, None).unwrap();
        w.finish_frame(start).unwrap();
        assert_eq!(
            w.externals(),
            [External {
                at: 9,
                id: 5,
                size: 300
            }]
        );
        assert_eq!(w.size(), w.buf().len() + 300);
        // Compact 1 + byte, compact 300, the external bytes, one byte, null.
        let size = 2 + 2 + 300 + 1 + 4;
        assert_eq!(w.buf()[1..5], i32::to_be_bytes(size));
        assert_eq!(w.buf()[5..], [2, 7, 0xad, 0x02, 1, 0xff, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn tagged_fields_of_any_size() {
        for size in [0, 1, 127, 128, 300, 20_000] {
            let mut w = Writer::new();
            let tagged = w.tagged_fields();
            for tag in [3, 200] {
                let field = w.begin_tagged_field(tagged, tag);
                w.raw(&vec![tag as u8; size]);
                w.end_tagged_field(field).unwrap();
            }
            w.i8(9);
            let bytes = w.into_buf();
            let mut r = Reader::new(&bytes);
            let mut seen = Vec::new();
            r.tagged_fields(&mut |tag, content| {
                assert!(content.rest().iter().all(|byte| *byte == tag as u8));
                seen.push((tag, content.remaining()));
                content.skip_rest()
            })
            .unwrap();
            assert_eq!(seen, [(3, size), (200, size)]);
            assert_eq!(r.rest(), [9]);
        }
    }

    #[test]
    fn what_the_wire_cannot_say_is_refused() {
        let long = "a".repeat(STRING_SIZE_MAX + 1);
        for flexible in [false, true] {
            let mut w = Writer::new();
            w.string(flexible, &long[1..]).unwrap();
            let refused = w.string(flexible, &long);
            assert_eq!(
                refused,
                Err(EncodeError::StringTooLong { size: long.len() })
            );
            let size = i32::MAX as usize;
            assert_eq!(w.length(flexible, size), Err(EncodeError::TooLong { size }));
            w.length(flexible, size - 1).unwrap();
        }
    }

    #[test]
    #[should_panic(expected = "external bytes would be lost")]
    fn external_records_cannot_be_forgotten() {
        let mut w = Writer::new();
        w.records(true, Records::External { id: 1, size: 1 })
            .unwrap();
        w.into_buf();
    }
}
