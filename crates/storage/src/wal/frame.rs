//! Frames: one group commit each, on a page boundary, with checksums for header, directory and bodies.
//! docs/formats/wal.md has the byte table.

use super::entry::{DIRECTORY_RECORD_SIZE, DirectoryRecord};
use crate::checksum::crc32c;
use bytes::Bytes;
use ottla_types::Lsn;

/// Frames start on multiples of this, so that a synced page is never written again.
pub const PAGE_SIZE: u64 = 4096;

/// Size in bytes of a frame's header: within one device sector, so it is there whole or not at all.
pub(crate) const FRAME_HEADER_SIZE: usize = 96;

/// The format of frames whose bodies lie one right behind the other,
pub(crate) const FRAME_FORMAT_VERSION: u16 = 1;
/// and of those with zeros before some bodies: the newest we read.
const FRAME_FORMAT_VERSION_GAPS: u16 = 2;

const MAGIC: [u8; 4] = *b"OtFr";
const CRC_POSITION: usize = FRAME_HEADER_SIZE - 4;

static ZEROS: [u8; PAGE_SIZE as usize] = [0; PAGE_SIZE as usize];

/// What a frame says about itself and about the frames before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Which activation of a file, or which recovery, wrote it.
    pub(crate) ring_epoch: u64,
    /// The first frame of that epoch: frames of older epochs from there on are leftovers.
    pub(crate) epoch_start_seq: u64,
    /// Its number; continuous across files.
    pub(crate) frame_seq: u64,
    /// The highest frame known to be fsynced when this one was written.
    pub(crate) synced_seq: u64,
    /// LSN of its first entry, or the next one's when it has none.
    pub(crate) first_lsn: Lsn,
    /// The file it was written to,
    pub(crate) file_number: u32,
    /// and the page there: a misdirected write is not taken for a frame.
    pub(crate) page: u32,
    /// How many entries it has.
    pub(crate) entries_count: u32,
    /// Size in bytes of its directory.
    pub(crate) directory_size: u32,
    /// Size in bytes of all bodies, with the zeros before them.
    pub(crate) bodies_size: u64,
    /// There are zeros before bodies.
    pub(crate) has_gaps: bool,
    /// CRC-32C of the directory.
    pub(crate) directory_crc: u32,
}

/// Why bytes are not a frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// There is none.
    Absent,
    /// There is one of a format we do not know.
    Newer(u16),
}

impl FrameHeader {
    /// Its bytes.
    pub(crate) fn encode(&self) -> [u8; FRAME_HEADER_SIZE] {
        let mut bytes = [0; FRAME_HEADER_SIZE];
        bytes[0..4].copy_from_slice(&MAGIC);
        let version = match self.has_gaps {
            false => FRAME_FORMAT_VERSION,
            true => FRAME_FORMAT_VERSION_GAPS,
        };
        bytes[4..6].copy_from_slice(&version.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.ring_epoch.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.epoch_start_seq.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.frame_seq.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.synced_seq.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_lsn.get().to_le_bytes());
        bytes[48..52].copy_from_slice(&self.file_number.to_le_bytes());
        bytes[52..56].copy_from_slice(&self.page.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.entries_count.to_le_bytes());
        bytes[60..64].copy_from_slice(&self.directory_size.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.bodies_size.to_le_bytes());
        bytes[72..76].copy_from_slice(&self.directory_crc.to_le_bytes());
        let crc = crc32c(&bytes[..CRC_POSITION]);
        bytes[CRC_POSITION..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header at the start of `bytes`. `check_crc` is off only for a planted bug.
    pub(crate) fn decode(bytes: &[u8], check_crc: bool) -> Result<FrameHeader, HeaderFault> {
        if bytes.len() < FRAME_HEADER_SIZE || bytes[0..4] != MAGIC {
            return Err(HeaderFault::Absent);
        }
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
        if check_crc && crc32c(&bytes[..CRC_POSITION]) != half(CRC_POSITION) {
            return Err(HeaderFault::Absent);
        }
        let version = u16::from_le_bytes([bytes[4], bytes[5]]);
        if !(FRAME_FORMAT_VERSION..=FRAME_FORMAT_VERSION_GAPS).contains(&version) {
            return Err(HeaderFault::Newer(version));
        }
        let header = FrameHeader {
            ring_epoch: word(8),
            epoch_start_seq: word(16),
            frame_seq: word(24),
            synced_seq: word(32),
            first_lsn: Lsn::new(word(40)),
            file_number: half(48),
            page: half(52),
            entries_count: half(56),
            directory_size: half(60),
            bodies_size: word(64),
            has_gaps: version == FRAME_FORMAT_VERSION_GAPS,
            directory_crc: half(72),
        };
        let directory_size = u64::from(header.entries_count) * DIRECTORY_RECORD_SIZE as u64;
        if u64::from(header.directory_size) != directory_size || header.bodies_size >> 40 != 0 {
            return Err(HeaderFault::Absent);
        }
        Ok(header)
    }

    /// Its size on disk in bytes, whole pages.
    pub(crate) fn frame_size(&self) -> u64 {
        frame_size(self.entries_count as usize, self.bodies_size)
    }

    /// LSN of the first entry after it.
    pub(crate) fn end_lsn(&self) -> Lsn {
        Lsn::new(self.first_lsn.get() + u64::from(self.entries_count))
    }
}

/// Size on disk in bytes, whole pages, of a frame with so many entries whose bodies have `bodies_size` bytes.
pub(crate) fn frame_size(entries_count: usize, bodies_size: u64) -> u64 {
    let head = FRAME_HEADER_SIZE + entries_count * DIRECTORY_RECORD_SIZE;
    (head as u64 + bodies_size).next_multiple_of(PAGE_SIZE)
}

/// Collects the directory of a frame in a buffer that is used again for each frame.
#[derive(Debug, Default)]
pub(crate) struct FrameBuilder {
    head: Vec<u8>,
    entries_count: usize,
    /// With the gaps, once they are known.
    bodies_size: u64,
    /// Bodies that are to lie in the frame as they lie in memory.
    aligned: Vec<AlignedBody>,
}

#[derive(Debug)]
struct AlignedBody {
    /// Of its entry.
    index: usize,
    /// Bodies before it have so many bytes.
    bodies_before: u64,
    /// How far it lies behind a page's border.
    lies_at: u16,
    /// Zeros before it, once they are known.
    gap: u16,
}

/// What the journal knows when a frame is sealed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FramePlace {
    pub(crate) ring_epoch: u64,
    pub(crate) epoch_start_seq: u64,
    pub(crate) frame_seq: u64,
    pub(crate) synced_seq: u64,
    pub(crate) first_lsn: Lsn,
    pub(crate) file_number: u32,
    pub(crate) position: u64,
}

impl FrameBuilder {
    /// Forgets the frame before.
    pub(crate) fn clear(&mut self) {
        self.head.clear();
        self.head.resize(FRAME_HEADER_SIZE, 0);
        self.entries_count = 0;
        self.bodies_size = 0;
        self.aligned.clear();
    }

    /// Adds an entry; its body will be written after the bodies before it.
    pub(crate) fn push(&mut self, record: &DirectoryRecord) {
        self.head.extend_from_slice(&record.encode());
        self.entries_count += 1;
        self.bodies_size += u64::from(record.body_size);
    }

    /// The same for a body that is to lie as far behind a page's border as it does in memory, where it begins
    /// `lies_at` behind one: it can be written from there.
    pub(crate) fn push_aligned(&mut self, record: &DirectoryRecord, lies_at: u16) {
        self.aligned.push(AlignedBody {
            index: self.entries_count,
            bodies_before: self.bodies_size,
            lies_at,
            gap: 0,
        });
        self.push(record);
    }

    /// All entries are there: finds the place of each body. No entry may be pushed afterwards.
    pub(crate) fn place_bodies(&mut self) {
        let head_size = self.head.len() as u64;
        let mut gaps = 0;
        for body in &mut self.aligned {
            let position = head_size + body.bodies_before + gaps;
            let gap = (u64::from(body.lies_at) + PAGE_SIZE - position % PAGE_SIZE) % PAGE_SIZE;
            body.gap = gap as u16;
            let record = FRAME_HEADER_SIZE + body.index * DIRECTORY_RECORD_SIZE;
            DirectoryRecord::set_gap(&mut self.head[record..], body.gap);
            gaps += gap;
        }
        self.bodies_size += gaps;
    }

    /// Zeros before the body of entry `index`, if there are some.
    pub(crate) fn gap_before(&self, index: usize) -> &'static [u8] {
        let at = self.aligned.binary_search_by_key(&index, |body| body.index);
        &ZEROS[..at.map_or(0, |at| self.aligned[at].gap.into())]
    }

    pub(crate) fn entries_count(&self) -> usize {
        self.entries_count
    }

    /// Size on disk of the frame as it is.
    pub(crate) fn size(&self) -> u64 {
        frame_size(self.entries_count, self.bodies_size)
    }

    /// Size on disk, at most, if one more entry with such a body were pushed.
    pub(crate) fn size_with(&self, body_size: usize, is_aligned: bool) -> u64 {
        let gaps_max = (self.aligned.len() as u64 + u64::from(is_aligned)) * PAGE_SIZE;
        let bodies_size = self.bodies_size + body_size as u64;
        frame_size(self.entries_count + 1, bodies_size + gaps_max)
    }

    /// Writes the header. What goes to disk is [`head`](FrameBuilder::head), the bodies and
    /// [`padding`](FrameBuilder::padding).
    pub(crate) fn seal(&mut self, place: &FramePlace) {
        let header = FrameHeader {
            ring_epoch: place.ring_epoch,
            epoch_start_seq: place.epoch_start_seq,
            frame_seq: place.frame_seq,
            synced_seq: place.synced_seq,
            first_lsn: place.first_lsn,
            file_number: place.file_number,
            page: (place.position / PAGE_SIZE) as u32,
            entries_count: self.entries_count as u32,
            directory_size: (self.head.len() - FRAME_HEADER_SIZE) as u32,
            bodies_size: self.bodies_size,
            has_gaps: self.aligned.iter().any(|body| 0 < body.gap),
            directory_crc: crc32c(&self.head[FRAME_HEADER_SIZE..]),
        };
        self.head[..FRAME_HEADER_SIZE].copy_from_slice(&header.encode());
    }

    /// Header and directory.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Zeros up to the page's end: a page that is written whole need not be read first.
    pub(crate) fn padding(&self) -> &'static [u8] {
        let used = self.head.len() as u64 + self.bodies_size;
        &ZEROS[..(self.size() - used) as usize]
    }
}

/// A frame read back: the header is good, the rest is to be checked.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) header: FrameHeader,
    /// All its pages.
    pub(crate) bytes: Bytes,
}

/// An entry of a frame that was read back.
#[derive(Clone, Debug)]
pub(crate) struct FrameEntry {
    pub(crate) lsn: Lsn,
    pub(crate) record: DirectoryRecord,
    pub(crate) body: Bytes,
}

impl Frame {
    /// True when the directory is as it was written.
    pub(crate) fn is_directory_valid(&self) -> bool {
        let end = FRAME_HEADER_SIZE + self.header.directory_size as usize;
        if self.bytes.len() < end {
            return false;
        }
        let directory = &self.bytes[FRAME_HEADER_SIZE..end];
        let bodies_size: u64 = directory
            .chunks_exact(DIRECTORY_RECORD_SIZE)
            .map(DirectoryRecord::decode)
            .map(|record| u64::from(record.gap) + u64::from(record.body_size))
            .sum();
        crc32c(directory) == self.header.directory_crc && bodies_size == self.header.bodies_size
    }

    /// Its entries in order. The directory must be valid; the bodies are not checked here.
    pub(crate) fn entries(&self) -> impl Iterator<Item = FrameEntry> + '_ {
        let end = FRAME_HEADER_SIZE + self.header.directory_size as usize;
        let mut lsn = self.header.first_lsn;
        let mut at = end;
        self.bytes[FRAME_HEADER_SIZE..end]
            .chunks_exact(DIRECTORY_RECORD_SIZE)
            .map(move |record| {
                let record = DirectoryRecord::decode(record);
                at += usize::from(record.gap);
                let body_end = (at + record.body_size as usize).min(self.bytes.len());
                let body = self.bytes.slice(at.min(body_end)..body_end);
                let entry = FrameEntry { lsn, record, body };
                (lsn, at) = (lsn.next(), body_end);
                entry
            })
    }

    /// True when directory and all bodies are as they were written.
    pub(crate) fn is_valid(&self) -> bool {
        self.is_directory_valid() && self.entries().all(|entry| entry.is_valid())
    }
}

impl FrameEntry {
    /// True when the body is as it was written.
    pub(crate) fn is_valid(&self) -> bool {
        let crc = if self.body.is_empty() {
            0
        } else {
            crc32c(&self.body)
        };
        self.body.len() == self.record.body_size as usize && crc == self.record.body_crc
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::entry::DurabilityClass;
    use ottla_types::TopicId;

    fn record(body: &[u8]) -> DirectoryRecord {
        DirectoryRecord {
            kind: 1,
            class: DurabilityClass::Fsync,
            gap: 0,
            topic_id: TopicId::default(),
            partition: 3,
            base: 4,
            end: 5,
            argument: 6,
            body_size: body.len() as u32,
            body_crc: if body.is_empty() { 0 } else { crc32c(body) },
        }
    }

    fn seal(builder: &mut FrameBuilder) {
        builder.seal(&FramePlace {
            ring_epoch: 9,
            epoch_start_seq: 4,
            frame_seq: 7,
            synced_seq: 6,
            first_lsn: Lsn::new(100),
            file_number: 2,
            position: 3 * PAGE_SIZE,
        });
    }

    fn frame(bodies: &[&'static [u8]]) -> (FrameBuilder, Vec<u8>) {
        let mut builder = FrameBuilder::default();
        builder.clear();
        for body in bodies {
            builder.push(&record(body));
        }
        seal(&mut builder);
        let mut bytes = builder.head().to_vec();
        bodies.iter().for_each(|body| bytes.extend_from_slice(body));
        bytes.extend_from_slice(builder.padding());
        (builder, bytes)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (builder, bytes) = frame(&[b"one", b"", b"three"]);
        assert_eq!(bytes.len() as u64, builder.size());
        let header = FrameHeader::decode(&bytes, true).unwrap();
        assert_eq!(
            (header.frame_seq, header.page, header.frame_size()),
            (7, 3, PAGE_SIZE)
        );
        assert_eq!(header.end_lsn(), Lsn::new(103));
        let frame = Frame {
            header,
            bytes: bytes.into(),
        };
        assert!(frame.is_valid());
        let bodies: Vec<Bytes> = frame.entries().map(|entry| entry.body).collect();
        assert_eq!(bodies, [&b"one"[..], b"", b"three"]);
        assert_eq!(frame.entries().last().unwrap().lsn, Lsn::new(102));
    }

    #[test]
    fn a_body_lies_in_the_frame_as_it_lies_in_memory() {
        let bodies = [vec![1; 100], vec![2; 9_000], vec![3; 5_000], vec![4; 7]];
        let lies_at = [None, Some(4_095), Some(0), None];
        let mut builder = FrameBuilder::default();
        builder.clear();
        let mut size_max = 0;
        for (body, lies_at) in bodies.iter().zip(lies_at) {
            size_max = builder.size_with(body.len(), lies_at.is_some());
            let record = record(body);
            match lies_at {
                Some(lies_at) => builder.push_aligned(&record, lies_at),
                None => builder.push(&record),
            }
        }
        builder.place_bodies();
        seal(&mut builder);
        let mut bytes = builder.head().to_vec();
        for (index, body) in bodies.iter().enumerate() {
            bytes.extend_from_slice(builder.gap_before(index));
            if let Some(lies_at) = lies_at[index] {
                assert_eq!(bytes.len() as u64 % PAGE_SIZE, u64::from(lies_at));
            }
            bytes.extend_from_slice(body);
        }
        bytes.extend_from_slice(builder.padding());
        assert_eq!(bytes.len() as u64, builder.size());
        assert!(builder.size() <= size_max);
        let header = FrameHeader::decode(&bytes, true).unwrap();
        assert_eq!(header.frame_size(), builder.size());
        let frame = Frame {
            header,
            bytes: bytes.into(),
        };
        assert!(frame.is_valid());
        let read: Vec<Bytes> = frame.entries().map(|entry| entry.body).collect();
        assert_eq!(read, bodies);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let (_, bytes) = frame(&[b"one", b"three"]);
        let used = FRAME_HEADER_SIZE + 2 * DIRECTORY_RECORD_SIZE + 8;
        for bit in 0..used * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let valid = FrameHeader::decode(&flipped, true).is_ok_and(|header| {
                Frame {
                    header,
                    bytes: flipped.clone().into(),
                }
                .is_valid()
            });
            // The flags of a directory record are covered by the directory's checksum.
            assert!(!valid, "bit {bit}");
        }
    }

    #[test]
    fn a_newer_format_is_told_from_garbage() {
        let (_, mut bytes) = frame(&[]);
        bytes[4] = 3;
        let crc = crc32c(&bytes[..CRC_POSITION]);
        bytes[CRC_POSITION..FRAME_HEADER_SIZE].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(
            FrameHeader::decode(&bytes, true),
            Err(HeaderFault::Newer(3))
        );
        assert_eq!(
            FrameHeader::decode(&[0; 4096], true),
            Err(HeaderFault::Absent)
        );
    }
}
