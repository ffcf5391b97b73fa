use std::borrow::Cow;

use ottla_types::Uuid;

use crate::{DecodeError, DecodeErrorKind, Records};

/// Most elements of one array, as in Kafka 4.4.
pub const ARRAY_COUNT_MAX: usize = 1_000_000;

/// Most tagged fields of one struct, as in Kafka 4.4.
pub const TAGGED_FIELDS_COUNT_MAX: u32 = 10_000;

/// Most bytes of one string: what the two-byte length of the older versions can say.
pub const STRING_SIZE_MAX: usize = i16::MAX as usize;

/// Memory that a message's arrays may take for each byte of it. Ordinary messages stay below 3; what is
/// far above is nothing but empty strings, and a large frame of them would take gigabytes.
const MEMORY_PER_BYTE: usize = 8;

/// Memory that a message's arrays may always take, however small it is.
const MEMORY_AT_LEAST: usize = 1024 * 1024;

/// Most bytes an array reserves before its elements have been read. Longer arrays grow as they are
/// read, so that a count which is a lie costs no more than this.
const RESERVED_BYTES_MAX: usize = 64 * 1024;

/// Reads values one after the other from bytes it does not own.
///
/// `flexible` in the methods below chooses the compact lengths of KIP-482 over the fixed ones.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Position of the end of `rest`, counted from the start of the outermost reader.
    end_position: usize,
    /// How many bytes of memory further arrays may take.
    memory_left: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader {
            rest: bytes,
            end_position: bytes.len(),
            memory_left: MEMORY_PER_BYTE
                .saturating_mul(bytes.len())
                .saturating_add(MEMORY_AT_LEAST),
        }
    }

    /// How many bytes have been read.
    pub fn position(&self) -> usize {
        self.end_position - self.rest.len()
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes that are left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// That the bytes at this position are not what they should be.
    #[cold]
    pub fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError {
            kind,
            position: self.position(),
        }
    }

    /// The next `size` bytes.
    #[inline]
    pub fn take(&mut self, size: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(size) else {
            return Err(self.error(DecodeErrorKind::EndOfBytes));
        };
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array_of<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.error(DecodeErrorKind::EndOfBytes));
        };
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte; everything but 0 is true, as in Kafka.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? != 0)
    }

    /// One byte.
    #[inline]
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        Ok(i8::from_be_bytes(self.array_of()?))
    }

    /// Two bytes, big endian.
    #[inline]
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        Ok(i16::from_be_bytes(self.array_of()?))
    }

    /// Two bytes, big endian.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array_of()?))
    }

    /// Four bytes, big endian.
    #[inline]
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array_of()?))
    }

    /// Eight bytes, big endian.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array_of()?))
    }

    /// Eight bytes, big endian, IEEE 754.
    #[inline]
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        Ok(f64::from_be_bytes(self.array_of()?))
    }

    /// Sixteen bytes.
    #[inline]
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        Ok(Uuid::from_bytes(self.array_of()?))
    }

    /// A varint of at most 32 bits, seven bits a byte, lowest first.
    #[inline]
    pub fn uvarint(&mut self) -> Result<u32, DecodeError> {
        // Nearly every varint of the protocol is a length or count below 128.
        match self.rest.first() {
            Some(&byte) if byte < 0x80 => {
                self.rest = &self.rest[1..];
                Ok(u32::from(byte))
            }
            _ => self.uvarint_of_several_bytes(),
        }
    }

    fn uvarint_of_several_bytes(&mut self) -> Result<u32, DecodeError> {
        let mut value = 0u32;
        for index in 0..5 {
            let Some(&byte) = self.rest.get(index) else {
                return Err(self.error(DecodeErrorKind::EndOfBytes));
            };
            let bits = u32::from(byte & 0x7f);
            if index == 4 && bits > 0x0f {
                break;
            }
            value |= bits << (7 * index);
            if byte < 0x80 {
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(self.error(DecodeErrorKind::VarintTooLong))
    }

    /// A string; null is an error.
    pub fn string(&mut self, flexible: bool) -> Result<Cow<'a, str>, DecodeError> {
        let before = self.clone();
        self.nullable_string(flexible)?
            .ok_or_else(|| before.error(DecodeErrorKind::UnexpectedNull))
    }

    /// A string or null.
    pub fn nullable_string(&mut self, flexible: bool) -> Result<Option<Cow<'a, str>>, DecodeError> {
        Ok(self.nullable_str(flexible)?.map(Cow::Borrowed))
    }

    /// A string or null.
    pub fn nullable_str(&mut self, flexible: bool) -> Result<Option<&'a str>, DecodeError> {
        let before = self.clone();
        let size = if flexible {
            self.compact_length()?
        } else {
            usize::try_from(self.i16()?).ok()
        };
        let Some(size) = size else { return Ok(None) };
        if size > STRING_SIZE_MAX {
            return Err(before.error(DecodeErrorKind::StringTooLong));
        }
        match std::str::from_utf8(self.take(size)?) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(before.error(DecodeErrorKind::NotUtf8)),
        }
    }

    /// Bytes; null is an error.
    pub fn bytes(&mut self, flexible: bool) -> Result<Cow<'a, [u8]>, DecodeError> {
        let before = self.clone();
        self.nullable_bytes(flexible)?
            .ok_or_else(|| before.error(DecodeErrorKind::UnexpectedNull))
    }

    /// Bytes or null.
    pub fn nullable_bytes(&mut self, flexible: bool) -> Result<Option<Cow<'a, [u8]>>, DecodeError> {
        Ok(self.nullable_slice(flexible)?.map(Cow::Borrowed))
    }

    /// Record batches; null is an error.
    pub fn records(&mut self, flexible: bool) -> Result<Records<'a>, DecodeError> {
        let before = self.clone();
        self.nullable_records(flexible)?
            .ok_or_else(|| before.error(DecodeErrorKind::UnexpectedNull))
    }

    /// Record batches or null.
    pub fn nullable_records(&mut self, flexible: bool) -> Result<Option<Records<'a>>, DecodeError> {
        Ok(self.nullable_slice(flexible)?.map(Records::Slice))
    }

    fn nullable_slice(&mut self, flexible: bool) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.length(flexible)? {
            None => Ok(None),
            Some(size) => self.take(size).map(Some),
        }
    }

    /// An array; null is an error. See [`Reader::nullable_array`].
    pub fn array<T>(
        &mut self,
        flexible: bool,
        element_size_min: usize,
        element: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let before = self.clone();
        self.nullable_array(flexible, element_size_min, element)?
            .ok_or_else(|| before.error(DecodeErrorKind::UnexpectedNull))
    }

    /// An array or null. `element_size_min` is the fewest bytes an element can have, at least 1: a count
    /// that cannot be true is refused before anything is allocated.
    pub fn nullable_array<T>(
        &mut self,
        flexible: bool,
        element_size_min: usize,
        mut element: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        let Some(count) = self.count(flexible, element_size_min)? else {
            return Ok(None);
        };
        let step_min = (RESERVED_BYTES_MAX / size_of::<T>().max(1)).max(1);
        let mut elements = Vec::new();
        while elements.len() < count {
            // At first no more than a little, then as many again as have been read.
            let step = (count - elements.len()).min(elements.len().max(step_min));
            self.take_memory(step * size_of::<T>())?;
            elements.reserve_exact(step);
            for _ in 0..step {
                elements.push(element(self)?);
            }
        }
        Ok(Some(elements))
    }

    /// Notes that an array is about to take so many bytes of memory.
    fn take_memory(&mut self, size: usize) -> Result<(), DecodeError> {
        match self.memory_left.checked_sub(size) {
            Some(left) => self.memory_left = left,
            None => return Err(self.error(DecodeErrorKind::TooMuchMemory)),
        }
        Ok(())
    }

    /// The count of an array whose elements have at least `element_size_min` bytes each.
    fn count(
        &mut self,
        flexible: bool,
        element_size_min: usize,
    ) -> Result<Option<usize>, DecodeError> {
        let before = self.clone();
        let Some(count) = self.length(flexible)? else {
            return Ok(None);
        };
        if count > ARRAY_COUNT_MAX {
            return Err(before.error(DecodeErrorKind::TooManyElements));
        }
        // At most a million times the few bytes of a struct of fixed fields: no overflow.
        if count * element_size_min.max(1) > self.remaining() {
            return Err(before.error(DecodeErrorKind::EndOfBytes));
        }
        Ok(Some(count))
    }

    /// The length of bytes or of an array.
    #[inline]
    fn length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        if flexible {
            return self.compact_length();
        }
        // As Kafka does, not only -1 is taken for null: clients whose length overflows rely on it.
        Ok(usize::try_from(self.i32()?).ok())
    }

    /// A length plus one, 0 for null.
    #[inline]
    fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        Ok(self.uvarint()?.checked_sub(1).map(|length| length as usize))
    }

    /// Whether a nullable struct follows: one byte before it says so.
    pub fn is_present(&mut self) -> Result<bool, DecodeError> {
        Ok(self.i8()? >= 0)
    }

    /// The same inside of a tagged field, where Kafka writes it as a varint.
    pub fn is_present_in_tag(&mut self) -> Result<bool, DecodeError> {
        Ok(self.uvarint()? > 0)
    }

    /// The tagged fields at the end of a struct (KIP-482). `field` is given each one's tag and a reader of
    /// its content; what it does not read by [`Reader::skip_rest`] or by reading it is an error.
    ///
    /// As in Kafka, neither order nor uniqueness of the tags is demanded; the last one wins.
    #[inline]
    pub fn tagged_fields(
        &mut self,
        field: &mut dyn FnMut(u32, &mut Reader<'a>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        // Nearly every struct has none.
        if self.rest.first() == Some(&0) {
            self.rest = &self.rest[1..];
            return Ok(());
        }
        self.some_tagged_fields(field)
    }

    fn some_tagged_fields(
        &mut self,
        field: &mut dyn FnMut(u32, &mut Reader<'a>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let count = self.uvarint()?;
        if count > TAGGED_FIELDS_COUNT_MAX {
            return Err(self.error(DecodeErrorKind::TooManyTaggedFields));
        }
        for _ in 0..count {
            let tag = self.uvarint()?;
            let size = self.uvarint()?;
            let content = self.take(size as usize)?;
            let mut content = Reader {
                rest: content,
                end_position: self.position(),
                memory_left: self.memory_left,
            };
            field(tag, &mut content)?;
            self.memory_left = content.memory_left;
            if content.remaining() > 0 {
                return Err(content.error(DecodeErrorKind::TaggedFieldSize));
            }
        }
        Ok(())
    }

    /// Tagged fields of which none is known.
    #[inline]
    pub fn skip_tagged_fields(&mut self) -> Result<(), DecodeError> {
        self.tagged_fields(&mut |_, content| content.skip_rest())
    }

    /// Reads and forgets all that is left.
    pub fn skip_rest(&mut self) -> Result<(), DecodeError> {
        self.rest = &[];
        Ok(())
    }
}

#[cfg(test)]
mod tests;
