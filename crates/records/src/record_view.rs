use crate::varint;
use ottla_types::{Offset, Timestamp};

/// Why a record, or the sequence of records, cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// The payload ends before the record does.
    #[error("the record ends beyond its batch")]
    Truncated,
    /// A field runs beyond the record, or a variable-length integer does not end.
    #[error("a field does not fit into the record")]
    FieldOverrun,
    /// A length or count is negative where it must not be.
    #[error("invalid negative {field}")]
    Negative {
        /// Which field.
        field: &'static str,
    },
    /// The record's fields end before the record does.
    #[error("the record has {size} bytes more than its fields need")]
    LeftOver {
        /// Bytes between the end of the fields and the end of the record.
        size: usize,
    },
    /// Bytes stand behind the last record.
    #[error("{size} bytes follow the last record")]
    TrailingBytes {
        /// How many.
        size: usize,
    },
    /// The offset would not be a valid one.
    #[error("the offset delta {delta} does not fit the batch")]
    OffsetDelta {
        /// The record's distance from the base offset.
        delta: i32,
    },
}

/// One record, borrowed from its batch or from the decompressor's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Place in the partition.
    pub offset: Offset,
    /// When it was made, or appended (the batch says which); -1 is Kafka's "no timestamp".
    pub timestamp: Timestamp,
    /// The key; `None` is a null key.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a null value (a tombstone on compacted topics).
    pub value: Option<&'a [u8]>,
    /// The headers, in order.
    pub headers: Headers<'a>,
}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name; UTF-8 by convention, never checked by brokers.
    pub key: &'a [u8],
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
}

/// The headers of a record whose bytes have been walked once already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    count: u32,
}

impl Headers<'_> {
    /// No headers.
    pub const EMPTY: Headers<'static> = Headers {
        bytes: &[],
        count: 0,
    };
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.count = self.count.checked_sub(1)?;
        let mut fields = Fields {
            bytes: self.bytes,
            at: 0,
        };
        let header = fields
            .header()
            .expect("the headers were walked when the record was read");
        self.bytes = &self.bytes[fields.at..];
        Some(header)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count as usize, Some(self.count as usize))
    }
}

impl ExactSizeIterator for Headers<'_> {}

/// A record as its bytes say, before the batch's base values are added.
#[derive(Clone, Copy)]
pub(crate) struct RawRecord<'a> {
    /// Bytes without the length field.
    pub(crate) size: usize,
    pub(crate) timestamp_delta: i64,
    pub(crate) offset_delta: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Headers<'a>,
}

/// Reads the record at `*at` and moves `at` behind it.
#[inline]
pub(crate) fn read_record<'a>(
    bytes: &'a [u8],
    at: &mut usize,
) -> Result<RawRecord<'a>, RecordFault> {
    let size = varint::read_i32(bytes, at).ok_or(RecordFault::Truncated)?;
    let size = usize::try_from(size).map_err(|_| RecordFault::Negative {
        field: "record size",
    })?;
    let end = at.checked_add(size).ok_or(RecordFault::Truncated)?;
    let record = bytes.get(*at..end).ok_or(RecordFault::Truncated)?;
    // The attributes byte stands first and has no meaning yet.
    let mut fields = Fields {
        bytes: record,
        at: 1,
    };
    let timestamp_delta = fields.varlong()?;
    let offset_delta = fields.varint()?;
    let key = fields.nullable()?;
    let value = fields.nullable()?;
    let headers = fields.headers()?;
    if fields.at != record.len() {
        return Err(RecordFault::LeftOver {
            size: record.len() - fields.at,
        });
    }
    *at = end;
    Ok(RawRecord {
        size,
        timestamp_delta,
        offset_delta,
        key,
        value,
        headers,
    })
}

/// A cursor over the fields of one record.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    #[inline]
    fn varint(&mut self) -> Result<i32, RecordFault> {
        varint::read_i32(self.bytes, &mut self.at).ok_or(RecordFault::FieldOverrun)
    }

    #[inline]
    fn varlong(&mut self) -> Result<i64, RecordFault> {
        varint::read_i64(self.bytes, &mut self.at).ok_or(RecordFault::FieldOverrun)
    }

    /// Bytes with a length before them; any negative length is null, as in Kafka.
    #[inline]
    fn nullable(&mut self) -> Result<Option<&'a [u8]>, RecordFault> {
        match usize::try_from(self.varint()?) {
            Ok(size) => self.take(size).map(Some),
            Err(_) => Ok(None),
        }
    }

    #[inline]
    fn take(&mut self, size: usize) -> Result<&'a [u8], RecordFault> {
        // `at` is at most the length and `size` at most i32::MAX: the sum cannot wrap.
        let taken = self
            .bytes
            .get(self.at..self.at + size)
            .ok_or(RecordFault::FieldOverrun)?;
        self.at += size;
        Ok(taken)
    }

    #[inline]
    fn headers(&mut self) -> Result<Headers<'a>, RecordFault> {
        let count = self.varint()?;
        if count == 0 {
            return Ok(Headers::EMPTY);
        }
        let count = u32::try_from(count).map_err(|_| RecordFault::Negative {
            field: "number of headers",
        })?;
        let start = self.at;
        for _ in 0..count {
            self.header()?;
        }
        Ok(Headers {
            bytes: &self.bytes[start..self.at],
            count,
        })
    }

    fn header(&mut self) -> Result<Header<'a>, RecordFault> {
        let size = usize::try_from(self.varint()?).map_err(|_| RecordFault::Negative {
            field: "header key size",
        })?;
        let key = self.take(size)?;
        let value = self.nullable()?;
        Ok(Header { key, value })
    }
}

/// The records of one batch, in order. Gives one error and then ends when the bytes are wrong.
#[derive(Clone, Debug)]
pub struct Records<'s> {
    bytes: &'s [u8],
    at: usize,
    remaining: u32,
    base_offset: Offset,
    base_timestamp: i64,
    /// Set for batches with LogAppendTime: every record has it.
    append_time: Option<Timestamp>,
}

impl<'s> Records<'s> {
    pub(crate) fn new(
        bytes: &'s [u8],
        count: u32,
        base_offset: Offset,
        base_timestamp: i64,
        append_time: Option<Timestamp>,
    ) -> Records<'s> {
        Records {
            bytes,
            at: 0,
            remaining: count,
            base_offset,
            base_timestamp,
            append_time,
        }
    }

    fn read(&mut self) -> Result<RecordView<'s>, RecordFault> {
        let raw = read_record(self.bytes, &mut self.at)?;
        let offset = self
            .base_offset
            .get()
            .checked_add(i64::from(raw.offset_delta))
            .and_then(Offset::from_wire)
            .ok_or(RecordFault::OffsetDelta {
                delta: raw.offset_delta,
            })?;
        let created = Timestamp::from_millis(self.base_timestamp.wrapping_add(raw.timestamp_delta));
        Ok(RecordView {
            offset,
            timestamp: self.append_time.unwrap_or(created),
            key: raw.key,
            value: raw.value,
            headers: raw.headers,
        })
    }
}

impl<'s> Iterator for Records<'s> {
    type Item = Result<RecordView<'s>, RecordFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            return None;
        }
        let record = self.read();
        self.remaining = if record.is_ok() {
            self.remaining - 1
        } else {
            0
        };
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.remaining as usize))
    }
}
