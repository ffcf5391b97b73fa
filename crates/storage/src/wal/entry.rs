//! What a partition's state changes look like in the journal.

use super::frame::PAGE_SIZE;
use crate::checksum::{crc32c, crc32c_parts};
use bytes::Bytes;
use ottla_types::{Lsn, Offset, PartitionId, TopicId, TopicPartition, Uuid};

/// Size in bytes of an entry's record in the directory of its frame.
pub const DIRECTORY_RECORD_SIZE: usize = 56;

/// What an entry changes. The numbers are persisted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EntryKind {
    /// Batches `base_offset..end_offset` were appended; the body is their bytes.
    Append = 1,
    /// Replaces every earlier live entry of the partition from `base_offset` on; the body is their bytes.
    Tail = 2,
    /// As `Append`, of a batch that lies in a file of its own, synced; the body says which, and has the batch's header.
    Large = 3,
    /// The segment is durable up to `end_offset` and position `argument`.
    Synced = 4,
    /// The log was cut: `base_offset` is its new end.
    Truncate = 5,
    /// The log starts at `base_offset` now.
    LogStart = 6,
    /// Segments were added, removed or replaced; the body says which.
    Segments = 7,
    /// The partition is gone.
    Drop = 8,
    /// The log begins here, empty, at `base_offset`: what the journal said of the partition before was of another one, that
    /// was dropped. `argument` is 1 when it is a future log; the body names its directory.
    Begin = 9,
    /// What a log knows that its batches do not say; the body has it.
    Remember = 10,
    /// The log is no future one any more.
    Promote = 11,
}

impl EntryKind {
    /// The kind with this number.
    pub fn from_u8(number: u8) -> Option<EntryKind> {
        Some(match number {
            1 => EntryKind::Append,
            2 => EntryKind::Tail,
            3 => EntryKind::Large,
            4 => EntryKind::Synced,
            5 => EntryKind::Truncate,
            6 => EntryKind::LogStart,
            7 => EntryKind::Segments,
            8 => EntryKind::Drop,
            9 => EntryKind::Begin,
            10 => EntryKind::Remember,
            11 => EntryKind::Promote,
            _ => return None,
        })
    }
}

/// What has to happen before an entry counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurabilityClass {
    /// Its frame is fsynced.
    Fsync,
    /// Its frame is written: it survives a kill, not a power cut.
    Os,
}

/// The part of an entry that stands in the frame's directory, so that damage to its body can be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryHeader {
    /// What it changes.
    pub kind: EntryKind,
    /// In which partition.
    pub topic_partition: TopicPartition,
    /// First offset, as [`EntryKind`] says; otherwise 0. Of batches: where the log ended before them, which is below the
    /// first one when offsets were left out.
    pub base_offset: Offset,
    /// End offset, exclusive, as [`EntryKind`] says; otherwise 0.
    pub end_offset: Offset,
    /// A number whose meaning [`EntryKind`] gives; otherwise 0.
    pub argument: u64,
}

/// The bytes of an entry, owned, possibly in pieces.
#[derive(Clone, Debug, Default)]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// In one piece.
    One(Bytes),
    /// In several pieces, one after the other.
    Many(Vec<Bytes>),
}

impl Body {
    /// The pieces.
    pub fn parts(&self) -> &[Bytes] {
        match self {
            Body::Empty => &[],
            Body::One(bytes) => std::slice::from_ref(bytes),
            Body::Many(parts) => parts,
        }
    }

    /// Size in bytes of all pieces.
    pub fn size(&self) -> usize {
        self.parts().iter().map(Bytes::len).sum()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body::One(bytes)
    }
}

impl From<Vec<Bytes>> for Body {
    fn from(parts: Vec<Bytes>) -> Body {
        Body::Many(parts)
    }
}

/// A state change on its way into the journal.
#[derive(Clone, Debug)]
pub struct Entry {
    header: EntryHeader,
    class: DurabilityClass,
    body_crc: u32,
    body_size: usize,
    body: Body,
    lies_at: Option<u16>,
}

impl Entry {
    /// Computes the body's checksum: about 15 ns per KiB that is in the cache.
    pub fn new(header: EntryHeader, class: DurabilityClass, body: impl Into<Body>) -> Entry {
        let body = body.into();
        let body_crc = match &body {
            Body::Empty => 0,
            Body::One(bytes) => crc32c(bytes),
            Body::Many(parts) => crc32c_parts(parts.iter().map(|part| &part[..])),
        };
        Entry::with_crc(header, class, body, body_crc)
    }

    /// The same for a body whose checksum is known.
    pub fn with_crc(
        header: EntryHeader,
        class: DurabilityClass,
        body: impl Into<Body>,
        body_crc: u32,
    ) -> Entry {
        let body = body.into();
        Entry {
            header,
            class,
            body_crc,
            body_size: body.size(),
            body,
            lies_at: None,
        }
    }

    /// The body begins so many bytes behind a page's border in memory, and is put so in its frame: that way it can be
    /// written from where it lies. Worth it for large bodies only; if it is not so, the frame is only larger.
    pub fn lying_at(mut self, lies_at: u16) -> Entry {
        assert!(u64::from(lies_at) < PAGE_SIZE, "within a page");
        self.lies_at = Some(lies_at);
        self
    }

    pub(crate) fn lies_at(&self) -> Option<u16> {
        self.lies_at
    }

    /// What it changes and where.
    pub fn header(&self) -> &EntryHeader {
        &self.header
    }

    /// What has to happen before it counts.
    pub fn class(&self) -> DurabilityClass {
        self.class
    }

    /// CRC-32C of its bytes.
    pub fn body_crc(&self) -> u32 {
        self.body_crc
    }

    /// Its bytes.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Size of its body in bytes.
    pub fn body_size(&self) -> usize {
        self.body_size
    }

    /// Its record in the directory.
    pub(crate) fn directory_record(&self) -> DirectoryRecord {
        DirectoryRecord {
            kind: self.header.kind as u8,
            class: self.class,
            gap: 0,
            topic_id: self.header.topic_partition.topic_id,
            partition: self.header.topic_partition.partition.get(),
            base: self.header.base_offset.get() as u64,
            end: self.header.end_offset.get() as u64,
            argument: self.header.argument,
            body_size: self.body_size as u32,
            body_crc: self.body_crc,
        }
    }
}

/// An entry that recovery read back. Its body is a slice of a larger read buffer: copy what is kept.
#[derive(Clone, Debug)]
pub struct ReplayedEntry {
    /// Its place in the journal.
    pub lsn: Lsn,
    /// What it changes and where.
    pub header: EntryHeader,
    /// What it had to wait for.
    pub class: DurabilityClass,
    /// Its bytes, checked.
    pub body: Bytes,
}

/// A record of a frame's directory, shared by the data journal and the Raft log (docs/formats/wal.md):
///
/// ```text
///  0 kind u8 | 1 flags u8 (bit 0: os) | 2 gap u16 | 4 partition i32 | 8 topic id, 16 bytes
/// 24 base u64 | 32 end u64 | 40 argument u64 | 48 body size u32 | 52 body CRC-32C u32     (little endian)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryRecord {
    pub(crate) kind: u8,
    pub(crate) class: DurabilityClass,
    /// So many zeros stand before the body.
    pub(crate) gap: u16,
    pub(crate) topic_id: TopicId,
    pub(crate) partition: i32,
    pub(crate) base: u64,
    pub(crate) end: u64,
    pub(crate) argument: u64,
    pub(crate) body_size: u32,
    pub(crate) body_crc: u32,
}

const FLAG_OS: u8 = 1;

impl DirectoryRecord {
    /// Its bytes.
    pub(crate) fn encode(&self) -> [u8; DIRECTORY_RECORD_SIZE] {
        let mut bytes = [0; DIRECTORY_RECORD_SIZE];
        bytes[0] = self.kind;
        bytes[1] = match self.class {
            DurabilityClass::Fsync => 0,
            DurabilityClass::Os => FLAG_OS,
        };
        DirectoryRecord::set_gap(&mut bytes, self.gap);
        bytes[4..8].copy_from_slice(&self.partition.to_le_bytes());
        bytes[8..24].copy_from_slice(self.topic_id.uuid().as_bytes());
        bytes[24..32].copy_from_slice(&self.base.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.end.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.argument.to_le_bytes());
        bytes[48..52].copy_from_slice(&self.body_size.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.body_crc.to_le_bytes());
        bytes
    }

    /// Notes in the bytes of a record how many zeros stand before the body.
    pub(crate) fn set_gap(bytes: &mut [u8], gap: u16) {
        bytes[2..4].copy_from_slice(&gap.to_le_bytes());
    }

    /// Reads what [`DirectoryRecord::encode`] wrote; `bytes` is exactly one record.
    pub(crate) fn decode(bytes: &[u8]) -> DirectoryRecord {
        let word = |at: usize| {
            u64::from_le_bytes(
                bytes[at..at + 8]
                    .try_into()
                    .expect("eight bytes were asked for"),
            )
        };
        let half = |at: usize| {
            u32::from_le_bytes(
                bytes[at..at + 4]
                    .try_into()
                    .expect("four bytes were asked for"),
            )
        };
        let mut topic_id = [0; 16];
        topic_id.copy_from_slice(&bytes[8..24]);
        DirectoryRecord {
            kind: bytes[0],
            class: if bytes[1] & FLAG_OS == 0 {
                DurabilityClass::Fsync
            } else {
                DurabilityClass::Os
            },
            gap: u16::from_le_bytes([bytes[2], bytes[3]]),
            topic_id: TopicId::new(Uuid::from_bytes(topic_id)),
            partition: half(4) as i32,
            base: word(24),
            end: word(32),
            argument: word(40),
            body_size: half(48),
            body_crc: half(52),
        }
    }

    /// The entry's header, unless the kind or an offset is not one we know.
    pub(crate) fn entry_header(&self) -> Option<EntryHeader> {
        Some(EntryHeader {
            kind: EntryKind::from_u8(self.kind)?,
            topic_partition: TopicPartition {
                topic_id: self.topic_id,
                partition: PartitionId::from_wire(self.partition)?,
            },
            base_offset: Offset::from_wire(self.base as i64)?,
            end_offset: Offset::from_wire(self.end as i64)?,
            argument: self.argument,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_records_round_trip() {
        for kind in 1..=11 {
            let header = EntryHeader {
                kind: EntryKind::from_u8(kind).unwrap(),
                topic_partition: TopicPartition {
                    topic_id: TopicId::new(Uuid::from_bytes([kind; 16])),
                    partition: PartitionId::new(i32::MAX),
                },
                base_offset: Offset::new(i64::MAX),
                end_offset: Offset::new(7),
                argument: u64::MAX,
            };
            let body = Bytes::from_static(b"abc");
            let entry = Entry::new(header, DurabilityClass::Os, body);
            let record = entry.directory_record();
            assert_eq!(DirectoryRecord::decode(&record.encode()), record);
            assert_eq!(record.entry_header(), Some(header));
            assert_eq!(record.body_crc, crc32c(b"abc"));
        }
        assert_eq!(EntryKind::from_u8(0), None);
        assert_eq!(EntryKind::from_u8(12), None);
    }

    #[test]
    fn a_body_in_pieces_has_the_checksum_of_the_whole() {
        let header = EntryHeader {
            kind: EntryKind::Tail,
            topic_partition: TopicPartition {
                topic_id: TopicId::default(),
                partition: PartitionId::new(0),
            },
            base_offset: Offset::ZERO,
            end_offset: Offset::ZERO,
            argument: 0,
        };
        let parts = vec![
            Bytes::from_static(b"ab"),
            Bytes::from_static(b""),
            Bytes::from_static(b"c"),
        ];
        let entry = Entry::new(header, DurabilityClass::Fsync, parts);
        assert_eq!(entry.directory_record().body_crc, crc32c(b"abc"));
        assert_eq!(entry.body_size(), 3);
    }
}
