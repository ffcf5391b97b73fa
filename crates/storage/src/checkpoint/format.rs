//! The bytes of a checkpoint file (docs/formats/checkpoint.md):
//!
//! ```text
//! head     0 magic "OtCp" | 4 version u16 | 6 zero u16 | 8 number u64 | 16 journal position, 40 bytes | 56 zero u32
//!         60 CRC-32C of bytes 0..60
//! records  one after the other: topic id, 16 bytes | partition i32 | payload size u32 | state_lsn u64 | payload
//! foot     CRC-32C u32 of each started MiB of records, then the tail:
//! tail     0 magic "OtCt" | 4 version u16 | 6 zero u16 | 8 records size u64 | 16 records count u64 | 24 durable LSN u64
//!         32 number u64 | 40 zero u64 | 48 zeros | 60 CRC-32C of the CRC list and of bytes 0..60 of the tail
//! ```

use crate::checksum::{crc32c, crc32c_parts};
use crate::disk::DiskError;
use crate::wal::WalPosition;
use bytes::Bytes;
use ottla_types::{Lsn, PartitionId, TopicId, TopicPartition, Uuid};
use std::path::PathBuf;

pub(super) const HEAD_SIZE: usize = 64;
pub(super) const TAIL_SIZE: usize = 64;
pub(super) const RECORD_HEAD_SIZE: usize = 32;
/// Records are checksummed in pieces of this size.
pub(super) const PIECE_SIZE: usize = 1 << 20;

const HEAD_MAGIC: [u8; 4] = *b"OtCp";
const TAIL_MAGIC: [u8; 4] = *b"OtCt";
const FORMAT_VERSION: u16 = 1;
const CRC_POSITION: usize = 60;

/// Why a checkpoint cannot be written or read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The disk failed. When it is only full, nothing is lost: the checkpoint is given up and can be
    /// tried again.
    #[error("cannot write a checkpoint: {0}")]
    Disk(#[from] DiskError),
    /// The file was written by a newer version.
    #[error("{} has format version {version}, which this version does not know: use a newer one", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u16,
    },
}

/// The state of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRecord {
    /// Which one.
    pub topic_partition: TopicPartition,
    /// Entries of the journal up to this one are part of the state.
    pub state_lsn: Lsn,
    /// The state, in the partition's own format.
    pub payload: Bytes,
}

/// What the head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) number: u64,
    pub(super) position: WalPosition,
}

/// What the tail says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) number: u64,
    pub(super) records_size: u64,
    pub(super) records_count: u64,
    pub(super) durable: Lsn,
}

/// Why bytes are not a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Torn or damaged; which part.
    Bad(&'static str),
    /// A format we do not know.
    Newer(u16),
}

impl Head {
    pub(super) fn encode(&self) -> [u8; HEAD_SIZE] {
        let mut bytes = [0; HEAD_SIZE];
        bytes[0..4].copy_from_slice(&HEAD_MAGIC);
        bytes[4..6].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..56].copy_from_slice(&self.position.encode());
        let crc = crc32c(&bytes[..CRC_POSITION]);
        bytes[CRC_POSITION..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Head, Fault> {
        if bytes.len() < HEAD_SIZE
            || bytes[0..4] != HEAD_MAGIC
            || crc32c(&bytes[..CRC_POSITION]) != half(bytes, CRC_POSITION)
        {
            return Err(Fault::Bad("head"));
        }
        check_version(bytes)?;
        let position = bytes[16..56]
            .try_into()
            .expect("forty bytes were asked for");
        Ok(Head {
            number: word(bytes, 8),
            position: WalPosition::decode(position),
        })
    }
}

impl Tail {
    /// The tail's bytes, sealed over `crc_list` and itself.
    pub(super) fn encode(&self, crc_list: &[u8]) -> [u8; TAIL_SIZE] {
        let mut bytes = [0; TAIL_SIZE];
        bytes[0..4].copy_from_slice(&TAIL_MAGIC);
        bytes[4..6].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.records_size.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.records_count.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.durable.get().to_le_bytes());
        bytes[32..40].copy_from_slice(&self.number.to_le_bytes());
        let crc = crc32c_parts([crc_list, &bytes[..CRC_POSITION]]);
        bytes[CRC_POSITION..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the tail at the end of a whole file and checks all of it.
    pub(super) fn decode(file: &[u8]) -> Result<Tail, Fault> {
        if file.len() < HEAD_SIZE + TAIL_SIZE {
            return Err(Fault::Bad("size"));
        }
        let (rest, bytes) = file.split_at(file.len() - TAIL_SIZE);
        if bytes[0..4] != TAIL_MAGIC {
            return Err(Fault::Bad("tail"));
        }
        let tail = Tail {
            number: word(bytes, 32),
            records_size: word(bytes, 8),
            records_count: word(bytes, 16),
            durable: Lsn::new(word(bytes, 24)),
        };
        let pieces_count = tail.records_size.div_ceil(PIECE_SIZE as u64);
        let expected = pieces_count
            .checked_mul(4)
            .and_then(|it| it.checked_add(tail.records_size))
            .and_then(|it| it.checked_add(HEAD_SIZE as u64));
        if expected != Some(rest.len() as u64) {
            return Err(Fault::Bad("size"));
        }
        let records_end = HEAD_SIZE + tail.records_size as usize;
        let crc_list = &rest[records_end..];
        if crc32c_parts([crc_list, &bytes[..CRC_POSITION]]) != half(bytes, CRC_POSITION) {
            return Err(Fault::Bad("tail"));
        }
        check_version(bytes)?;
        let pieces = rest[HEAD_SIZE..records_end].chunks(PIECE_SIZE);
        for (piece, crc) in pieces.zip(crc_list.chunks_exact(4)) {
            if crc32c(piece) != half(crc, 0) {
                return Err(Fault::Bad("records"));
            }
        }
        Ok(tail)
    }
}

/// Appends a record's bytes before its payload.
pub(super) fn encode_record_head(
    out: &mut Vec<u8>,
    topic_partition: TopicPartition,
    state_lsn: Lsn,
    payload_size: u32,
) {
    out.extend_from_slice(topic_partition.topic_id.uuid().as_bytes());
    out.extend_from_slice(&topic_partition.partition.get().to_le_bytes());
    out.extend_from_slice(&payload_size.to_le_bytes());
    out.extend_from_slice(&state_lsn.get().to_le_bytes());
}

/// Takes the first record off `records`; `None` at the end or when the rest is not a record.
pub(super) fn decode_record(records: &mut Bytes) -> Option<PartitionRecord> {
    if records.len() < RECORD_HEAD_SIZE {
        return None;
    }
    let head = records.split_to(RECORD_HEAD_SIZE);
    let mut topic_id = [0; 16];
    topic_id.copy_from_slice(&head[..16]);
    let payload_size = half(&head, 20) as usize;
    if records.len() < payload_size {
        return None;
    }
    Some(PartitionRecord {
        topic_partition: TopicPartition {
            topic_id: TopicId::new(Uuid::from_bytes(topic_id)),
            partition: PartitionId::from_wire(half(&head, 16) as i32)?,
        },
        state_lsn: Lsn::new(word(&head, 24)),
        payload: records.split_to(payload_size),
    })
}

fn check_version(bytes: &[u8]) -> Result<(), Fault> {
    match u16::from_le_bytes([bytes[4], bytes[5]]) {
        FORMAT_VERSION => Ok(()),
        version => Err(Fault::Newer(version)),
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(
        bytes[at..at + 8]
            .try_into()
            .expect("eight bytes were asked for"),
    )
}

fn half(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(
        bytes[at..at + 4]
            .try_into()
            .expect("four bytes were asked for"),
    )
}
