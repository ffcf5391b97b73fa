//! Where the fields of a batch header stand. All integers are big endian.
//!
//! ```text
//!  0 base_offset i64            27 base_timestamp i64
//!  8 length i32 (after itself)  35 max_timestamp i64
//! 12 leader_epoch i32           43 producer_id i64 (-1: none)
//! 16 magic i8 = 2               51 producer_epoch i16
//! 17 crc u32 (of 21..end)       53 base_sequence i32
//! 21 attributes i16             57 records_count i32
//! 23 last_offset_delta i32      61 records, or one compressed blob of them
//! ```

/// Size of a batch's header in bytes; records follow.
pub const HEADER_SIZE: usize = 61;

/// Bytes that say where a batch ends and what format it has: base offset, length, epoch, magic.
pub(crate) const PREFIX_SIZE: usize = 17;

/// The only format there is since Kafka 4.0.
pub(crate) const MAGIC: i8 = 2;

pub(crate) const BASE_OFFSET: usize = 0;
pub(crate) const LENGTH: usize = 8;
pub(crate) const LEADER_EPOCH: usize = 12;
pub(crate) const MAGIC_AT: usize = 16;
pub(crate) const CRC: usize = 17;
/// The CRC covers everything from here.
pub(crate) const ATTRIBUTES: usize = 21;
pub(crate) const LAST_OFFSET_DELTA: usize = 23;
pub(crate) const BASE_TIMESTAMP: usize = 27;
pub(crate) const MAX_TIMESTAMP: usize = 35;
pub(crate) const PRODUCER_ID: usize = 43;
pub(crate) const PRODUCER_EPOCH: usize = 51;
pub(crate) const BASE_SEQUENCE: usize = 53;
pub(crate) const RECORDS_COUNT: usize = 57;

pub(crate) const ATTRIBUTE_CODEC: i16 = 0x07;
pub(crate) const ATTRIBUTE_LOG_APPEND_TIME: i16 = 0x08;
pub(crate) const ATTRIBUTE_TRANSACTIONAL: i16 = 0x10;
pub(crate) const ATTRIBUTE_CONTROL: i16 = 0x20;
pub(crate) const ATTRIBUTE_DELETE_HORIZON: i16 = 0x40;

/// Reads the integer at `at`; the caller has checked that it is there.
macro_rules! reader {
    ($name:ident, $int:ty) => {
        pub(crate) fn $name(bytes: &[u8], at: usize) -> $int {
            const SIZE: usize = size_of::<$int>();
            let field = bytes[at..at + SIZE]
                .try_into()
                .expect("the range has this size");
            <$int>::from_be_bytes(field)
        }
    };
}

reader!(read_i16, i16);
reader!(read_i32, i32);
reader!(read_u32, u32);
reader!(read_i64, i64);

/// Overwrites the bytes at `at`.
pub(crate) fn write(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}
