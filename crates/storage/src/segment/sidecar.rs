//! `<base offset>.sums`: checksums of what was flushed to a segment, and where its batches lie.
//!
//! Kafka's own checksum leaves out base offset, length, leader epoch, magic and itself, so a flipped bit there
//! would be served. The sidecar covers every byte. Layout: `docs/formats/sidecar.md`.
//!
//! It is not synced: after a power cut its end may be missing or torn, and is made again from the batches,
//! which then are checked link by link ([`crate::segment::chain`]).

use crate::batch_sums::BatchSums;
use crate::checksum::crc32c_joined;
use ottla_records::crc32c;
use ottla_types::{Offset, Timestamp};

/// Size of the header and of each unit, in bytes.
pub const UNIT_SIZE: usize = 40;
/// A unit is closed when it has this many bytes. A reader that wants less than a unit makes us read and check all
/// of it, so units are smaller than what even sparing clients ask for (64 KiB).
pub const UNIT_BYTES_MIN: usize = 32 * 1024;
/// A batch beyond this size is cut into several units, so that it can be read in pieces that are sent while they
/// are in the processor's cache.
pub const UNIT_BYTES_MAX: usize = 128 * 1024;

const MAGIC: &[u8; 4] = b"OTSC";
const VERSION: u32 = 1;
/// Set in the size field of a unit that goes on with the batch of the unit before.
const CONTINUES: u32 = 1 << 31;

/// A stretch of a segment that is checked as a whole: some batches, or a piece of one large batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Position of its first byte in the segment.
    pub position: u32,
    /// Its bytes.
    pub size: u32,
    /// True when it goes on with the batch of the unit before it.
    pub continues: bool,
    /// Base offset of its first batch, relative to the segment's base offset.
    pub base_delta: u32,
    /// Last offset (inclusive) of its last batch, relative to the segment's base offset.
    pub last_delta: u32,
    /// Last offset (inclusive) of its first batch, relative: what Kafka's offset index names.
    pub first_last_delta: u32,
    /// CRC-32C of its bytes.
    pub crc: u32,
    /// Largest timestamp of its batches.
    pub max_timestamp: Timestamp,
    /// Last offset (inclusive) of the first batch with that timestamp, relative: what Kafka's time index
    /// names.
    pub max_timestamp_delta: u32,
}

impl Unit {
    /// Position after its last byte.
    pub fn end_position(&self) -> u32 {
        self.position + self.size
    }

    /// Whether `bytes` are what was written.
    pub fn is_valid(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.size as usize && crc32c(bytes) == self.crc
    }

    /// Its bytes in the file.
    pub fn encode(&self) -> [u8; UNIT_SIZE] {
        let mut out = [0; UNIT_SIZE];
        let size = self.size | if self.continues { CONTINUES } else { 0 };
        let fields = [
            self.position,
            size,
            self.base_delta,
            self.last_delta,
            self.first_last_delta,
            self.max_timestamp_delta,
            self.crc,
        ];
        for (index, field) in fields.into_iter().enumerate() {
            out[4 + 4 * index..8 + 4 * index].copy_from_slice(&field.to_be_bytes());
        }
        out[32..].copy_from_slice(&self.max_timestamp.as_millis().to_be_bytes());
        let crc = crc32c(&out[4..]);
        out[..4].copy_from_slice(&crc.to_be_bytes());
        out
    }

    fn decode(bytes: &[u8; UNIT_SIZE]) -> Option<Unit> {
        let field = |index: usize| {
            let field = &bytes[4 * index..4 * index + 4];
            u32::from_be_bytes(field.try_into().expect("the range has this size"))
        };
        if field(0) != crc32c(&bytes[4..]) {
            return None;
        }
        let timestamp = bytes[32..].try_into().expect("the range has this size");
        Some(Unit {
            position: field(1),
            size: field(2) & !CONTINUES,
            continues: field(2) & CONTINUES != 0,
            base_delta: field(3),
            last_delta: field(4),
            first_last_delta: field(5),
            max_timestamp_delta: field(6),
            crc: field(7),
            max_timestamp: Timestamp::from_millis(i64::from_be_bytes(timestamp)),
        })
    }
}

/// The sidecar's first 40 bytes.
pub fn encode_header(base_offset: Offset) -> [u8; UNIT_SIZE] {
    let mut out = [0; UNIT_SIZE];
    out[..4].copy_from_slice(MAGIC);
    out[4..8].copy_from_slice(&VERSION.to_be_bytes());
    out[8..16].copy_from_slice(&base_offset.get().to_be_bytes());
    let crc = crc32c(&out[..36]);
    out[36..].copy_from_slice(&crc.to_be_bytes());
    out
}

/// A whole sidecar.
pub fn encode(base_offset: Offset, units: &[Unit]) -> Vec<u8> {
    let mut out = Vec::with_capacity((units.len() + 1) * UNIT_SIZE);
    out.extend_from_slice(&encode_header(base_offset));
    for unit in units {
        out.extend_from_slice(&unit.encode());
    }
    out
}

/// What a sidecar file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sidecar {
    /// The units from position 0 on without a gap, up to the first that is missing, damaged or lies beyond
    /// `segment_size`.
    Units(Vec<Unit>),
    /// Written by a newer release.
    NewerVersion(u32),
}

/// Reads a sidecar. Damage is not an error: what is missing is made again.
pub fn decode(bytes: &[u8], base_offset: Offset, segment_size: u32) -> Sidecar {
    let mut chunks = bytes.chunks_exact(UNIT_SIZE);
    let expected = encode_header(base_offset);
    match chunks.next() {
        Some(header) if header == expected => {}
        Some(header) if is_whole_header(header) => {
            let version = header[4..8].try_into().expect("the range has this size");
            let version = u32::from_be_bytes(version);
            if VERSION < version {
                return Sidecar::NewerVersion(version);
            }
            return Sidecar::Units(Vec::new());
        }
        Some(_) | None => return Sidecar::Units(Vec::new()),
    }
    let mut units: Vec<Unit> = Vec::with_capacity(bytes.len() / UNIT_SIZE);
    let mut position = 0;
    for chunk in chunks {
        let unit = Unit::decode(chunk.try_into().expect("chunks have this size"));
        let Some(unit) = unit.filter(|unit| follows(unit, units.last(), position)) else {
            break;
        };
        if segment_size < unit.end_position() {
            break;
        }
        position = unit.end_position();
        units.push(unit);
    }
    Sidecar::Units(units)
}

fn is_whole_header(header: &[u8]) -> bool {
    header[..4] == *MAGIC && header[36..] == crc32c(&header[..36]).to_be_bytes()
}

fn follows(unit: &Unit, last: Option<&Unit>, position: u32) -> bool {
    let is_next = unit.position == position
        && unit.size > 0
        && unit.position.checked_add(unit.size).is_some()
        && unit.base_delta <= unit.last_delta;
    is_next
        && match last {
            None => !unit.continues,
            Some(last) if unit.continues => last.last_delta == unit.last_delta,
            Some(last) => last.last_delta < unit.base_delta,
        }
}

/// One batch to be flushed.
#[derive(Clone, Copy, Debug)]
pub struct FlushedBatch<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record (inclusive).
    pub last_offset: Offset,
    /// Its largest timestamp.
    pub max_timestamp: Timestamp,
    /// Its checksums, if they are known.
    pub(crate) sums: Option<&'a BatchSums>,
}

/// A batch of this size is cheaper to join by its checksum than to read.
const JOINED_SIZE_MIN: usize = 8 * 1024;

/// The checksum of a unit while batches are added.
struct UnitCrc {
    crc: u32,
    /// Small batches behind those that `crc` covers.
    pending: crc_fast::Digest,
    pending_size: usize,
}

impl UnitCrc {
    fn new() -> UnitCrc {
        UnitCrc {
            crc: 0, // That of nothing.
            pending: crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi),
            pending_size: 0,
        }
    }

    fn add(&mut self, batch: &FlushedBatch<'_>) {
        let known = batch.sums.filter(|_| JOINED_SIZE_MIN <= batch.bytes.len());
        let Some(known) = known else {
            self.pending.update(batch.bytes);
            self.pending_size += batch.bytes.len();
            return;
        };
        self.join_pending();
        self.crc = crc32c_joined(self.crc, known.whole, batch.bytes.len());
    }

    fn join_pending(&mut self) {
        if self.pending_size > 0 {
            let pending = self.pending.finalize_reset() as u32;
            self.crc = crc32c_joined(self.crc, pending, self.pending_size);
            self.pending_size = 0;
        }
    }
}

/// Cuts the batches that are written at `position` into units.
pub fn cut<'a>(
    segment_base: Offset,
    mut position: u32,
    batches: impl Iterator<Item = FlushedBatch<'a>>,
) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut open: Option<(Unit, UnitCrc)> = None;
    for batch in batches {
        let base_delta = segment_base.distance_to(batch.base_offset) as u32;
        let last_delta = segment_base.distance_to(batch.last_offset) as u32;
        if batch.bytes.len() > UNIT_BYTES_MAX {
            units.extend(open.take().map(close));
            let known = batch.sums.and_then(|sums| sums.pieces.as_ref());
            for (index, piece) in batch.bytes.chunks(UNIT_BYTES_MAX).enumerate() {
                units.push(Unit {
                    position,
                    size: piece.len() as u32,
                    continues: index > 0,
                    base_delta,
                    last_delta,
                    first_last_delta: last_delta,
                    crc: known.map_or_else(|| crc32c(piece), |known| known[index]),
                    max_timestamp: batch.max_timestamp,
                    max_timestamp_delta: last_delta,
                });
                position += piece.len() as u32;
            }
            continue;
        }
        let (unit, crc) = open.get_or_insert_with(|| {
            let unit = Unit {
                position,
                size: 0,
                continues: false,
                base_delta,
                last_delta,
                first_last_delta: last_delta,
                crc: 0,
                max_timestamp: batch.max_timestamp,
                max_timestamp_delta: last_delta,
            };
            (unit, UnitCrc::new())
        });
        unit.size += batch.bytes.len() as u32;
        unit.last_delta = last_delta;
        if unit.max_timestamp < batch.max_timestamp {
            unit.max_timestamp = batch.max_timestamp;
            unit.max_timestamp_delta = last_delta;
        }
        crc.add(&batch);
        position += batch.bytes.len() as u32;
        if UNIT_BYTES_MIN <= unit.size as usize {
            units.extend(open.take().map(close));
        }
    }
    units.extend(open.map(close));
    units
}

fn close((mut unit, mut crc): (Unit, UnitCrc)) -> Unit {
    crc.join_pending();
    unit.crc = crc.crc;
    unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(sizes: &[usize]) -> (Vec<Unit>, Vec<u8>) {
        let bytes: Vec<Vec<u8>> = sizes
            .iter()
            .enumerate()
            .map(|(index, size)| vec![index as u8 + 1; *size])
            .collect();
        let batches = bytes.iter().enumerate().map(|(index, bytes)| FlushedBatch {
            bytes,
            base_offset: Offset::new(100 + 10 * index as i64),
            last_offset: Offset::new(109 + 10 * index as i64),
            max_timestamp: Timestamp::from_millis(1_000 - index as i64),
            sums: None,
        });
        (cut(Offset::new(100), 0, batches), bytes.concat())
    }

    fn file(units: &[Unit]) -> Vec<u8> {
        let mut file = encode_header(Offset::new(100)).to_vec();
        for unit in units {
            file.extend_from_slice(&unit.encode());
        }
        file
    }

    #[test]
    fn known_checksums_give_the_same_units() {
        let sizes = [
            100,
            9_000,
            10,
            20,
            12_000,
            30_000,
            2 * UNIT_BYTES_MAX + 5,
            8_192,
            7,
        ];
        let (expected, bytes) = units(&sizes);
        let mut rest = &bytes[..];
        let sums: Vec<BatchSums> = sizes
            .iter()
            .map(|size| {
                let (batch, behind) = rest.split_at(*size);
                rest = behind;
                BatchSums {
                    whole: crc32c(batch),
                    pieces: Some(batch.chunks(UNIT_BYTES_MAX).map(crc32c).collect()),
                }
            })
            .collect();
        let mut rest = &bytes[..];
        let batches = sums.iter().enumerate().map(|(index, sums)| {
            let (bytes, behind) = rest.split_at(sizes[index]);
            rest = behind;
            FlushedBatch {
                bytes,
                base_offset: Offset::new(100 + 10 * index as i64),
                last_offset: Offset::new(109 + 10 * index as i64),
                max_timestamp: Timestamp::from_millis(1_000 - index as i64),
                sums: Some(sums),
            }
        });
        assert_eq!(cut(Offset::new(100), 0, batches), expected);
    }

    #[test]
    fn units_cover_every_byte_once() {
        let large = 2 * UNIT_BYTES_MAX + 5;
        let (units, bytes) = units(&[100, 70_000, 10, large, 20, 30]);
        let mut position = 0;
        for unit in &units {
            assert_eq!(unit.position as usize, position);
            let end = unit.end_position() as usize;
            assert!(unit.is_valid(&bytes[position..end]));
            position = end;
        }
        assert_eq!(position, bytes.len());
        let shape: Vec<_> = units
            .iter()
            .map(|unit| (unit.size, unit.continues))
            .collect();
        let piece = UNIT_BYTES_MAX as u32;
        let expected = [
            (70_100, false),
            (10, false),
            (piece, false),
            (piece, true),
            (5, true),
            (50, false),
        ];
        assert_eq!(shape, expected);
        assert_eq!(units[0].max_timestamp, Timestamp::from_millis(1_000));
        assert_eq!((units[5].base_delta, units[5].last_delta), (40, 59));
    }

    #[test]
    fn a_file_comes_back_up_to_its_first_damage() {
        let (units, bytes) = units(&[70_000, 70_000, 3_000_000, 70_000]);
        let file = file(&units);
        let size = bytes.len() as u32;
        let decoded = decode(&file, Offset::new(100), size);
        assert_eq!(decoded, Sidecar::Units(units.clone()));
        for bit in 0..file.len() * 8 {
            let mut broken = file.clone();
            broken[bit / 8] ^= 1 << (bit % 8);
            let Sidecar::Units(kept) = decode(&broken, Offset::new(100), size) else {
                panic!("a flipped bit makes no newer version");
            };
            let whole = (bit / 8 / UNIT_SIZE).saturating_sub(1);
            assert_eq!(kept, units[..whole], "bit {bit}");
        }
        let shorter = decode(&file, Offset::new(100), size - 1);
        assert_eq!(shorter, Sidecar::Units(units[..units.len() - 1].to_vec()));
        assert_eq!(
            decode(&file, Offset::new(101), size),
            Sidecar::Units(Vec::new())
        );
    }

    #[test]
    fn a_newer_format_is_refused() {
        let mut header = encode_header(Offset::new(100));
        header[7] = 2;
        let crc = crc32c(&header[..36]).to_be_bytes();
        header[36..].copy_from_slice(&crc);
        assert_eq!(
            decode(&header, Offset::new(100), 0),
            Sidecar::NewerVersion(2)
        );
    }
}
