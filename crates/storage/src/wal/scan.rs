//! Reading ring files back: what they start with, the frame at a place, and what lies further on.

use super::file_header::FileHeader;
use super::frame::{Frame, FrameHeader, HeaderFault, PAGE_SIZE};
use super::ring::{ring_number, ring_path};
use super::{WalError, WalOptions};
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::planted::{Planted, PlantedBug};
use bytes::Bytes;
use ottla_types::Lsn;
use std::path::Path;
use std::sync::Arc;

/// Files are read in pieces of this size, larger for a larger frame.
const CHUNK_SIZE: u64 = 256 << 10;
/// And of this size where frames are large: the device works on several parts of one read at once.
const LARGE_CHUNK_SIZE: u64 = 8 << 20;
/// In search of later headers in pieces of this size: what lies between them is not looked at.
const SEARCH_CHUNK_SIZE: u64 = 64 << 10;

/// A ring file as recovery finds it.
pub(crate) struct ScanFile {
    pub(crate) number: u32,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) size: u64,
    /// `None` when neither its header nor its first frame says.
    pub(crate) start: Option<FileStart>,
}

/// With what a file starts since its last activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStart {
    pub(crate) ring_epoch: u64,
    pub(crate) first_seq: u64,
    pub(crate) first_lsn: Lsn,
}

/// A header found further on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) place: Place,
    pub(crate) header: FrameHeader,
}

/// A position in one of the scanned files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file_index: usize,
    pub(crate) position: u64,
}

/// All files of a ring.
pub(crate) struct Scan {
    pub(crate) files: Vec<ScanFile>,
    planted: Planted,
    /// Frames from this size on were written past the system's memory, and are read so.
    uncached_size_min: u64,
    chunk: Option<(Place, Bytes)>,
    pub(crate) bytes_read: u64,
    /// The part of them that was read in search of later frames.
    pub(crate) bytes_searched: u64,
}

impl Scan {
    /// Opens all ring files of `dir` and removes those whose preparation was not finished.
    pub(crate) fn open(
        disk: &dyn Disk,
        dir: &Path,
        options: &WalOptions,
    ) -> Result<Scan, WalError> {
        let mut scan = Scan {
            files: Vec::new(),
            planted: options.planted,
            uncached_size_min: options.uncached_size_min,
            chunk: None,
            bytes_read: 0,
            bytes_searched: 0,
        };
        for entry in disk.list(dir)? {
            if entry.name.ends_with(".new") {
                disk.remove_file(&dir.join(&entry.name))?;
                continue;
            }
            let Some(number) = ring_number(&entry.name) else {
                continue;
            };
            let path = ring_path(dir, number);
            let file = disk.open(&path, OpenMode::ReadWrite)?;
            let size = file.size()? / PAGE_SIZE * PAGE_SIZE;
            scan.files.push(ScanFile {
                number,
                file,
                size,
                start: None,
            });
            let file_index = scan.files.len() - 1;
            scan.files[file_index].start = scan.start_of(file_index, &path)?;
        }
        Ok(scan)
    }

    fn start_of(&mut self, file_index: usize, path: &Path) -> Result<Option<FileStart>, WalError> {
        let number = self.files[file_index].number;
        let mut page = [0; PAGE_SIZE as usize];
        let size = self.files[file_index].file.read_at(0, &mut page)?;
        self.bytes_read += size as u64;
        let header = FileHeader::decode(&page[..size], path)?;
        let header = header
            .filter(|header| header.file_number == number)
            .map(|header| FileStart {
                ring_epoch: header.ring_epoch,
                first_seq: header.first_seq,
                first_lsn: header.first_lsn,
            });
        // The first frame was written together with the header: one of the two is enough.
        let size = self.files[file_index].file.read_at(PAGE_SIZE, &mut page)?;
        self.bytes_read += size as u64;
        let place = Place {
            file_index,
            position: PAGE_SIZE,
        };
        let frame = self.decode(place, &page[..size])?.map(|frame| FileStart {
            ring_epoch: frame.ring_epoch,
            first_seq: frame.frame_seq,
            first_lsn: frame.first_lsn,
        });
        Ok(match (header, frame) {
            (Some(header), Some(frame)) if header.ring_epoch < frame.ring_epoch => Some(frame),
            (Some(header), _) => Some(header),
            (None, frame) => frame,
        })
    }

    /// The file whose frames begin with `seq` in an epoch after `floor`.
    pub(crate) fn file_starting_with(&self, seq: u64, floor: u64) -> Option<usize> {
        let starts = |file: &ScanFile| {
            file.start
                .is_some_and(|start| start.first_seq == seq && floor < start.ring_epoch)
        };
        let candidates = (0..self.files.len()).filter(|index| starts(&self.files[*index]));
        candidates.max_by_key(|index| self.files[*index].start.map(|start| start.ring_epoch))
    }

    /// The header at `place`, if there is one that was written there.
    pub(crate) fn header_at(&mut self, place: Place) -> Result<Option<FrameHeader>, WalError> {
        self.header_within(place, CHUNK_SIZE)
    }

    /// The same, reading pieces of `chunk_size`.
    fn header_within(
        &mut self,
        place: Place,
        chunk_size: u64,
    ) -> Result<Option<FrameHeader>, WalError> {
        if self.files[place.file_index].size < place.position + PAGE_SIZE {
            return Ok(None);
        }
        let page = self.read(place, PAGE_SIZE, chunk_size)?;
        self.decode(place, &page)
    }

    /// The frame whose header is at `place`; `None` when it would go past the file's end.
    pub(crate) fn frame_at(
        &mut self,
        place: Place,
        header: FrameHeader,
    ) -> Result<Option<Frame>, WalError> {
        let size = header.frame_size();
        if self.files[place.file_index].size < place.position + size {
            return Ok(None);
        }
        let chunk_size = match self.uncached_size_min <= size {
            true => LARGE_CHUNK_SIZE,
            false => CHUNK_SIZE,
        };
        // With the header of the next frame.
        let bytes = self.read(place, size, chunk_size.max(size + PAGE_SIZE))?;
        Ok(Some(Frame { header, bytes }))
    }

    /// All headers from `from` to the end of its file, then in files that start after frame `seq`, then in
    /// files whose start is unknown; of epochs from `floor` on, without leftovers.
    pub(crate) fn look_on(
        &mut self,
        from: Option<Place>,
        seq: u64,
        floor: u64,
    ) -> Result<Vec<Found>, WalError> {
        let mut found = Vec::new();
        let bytes_before = self.bytes_read;
        if let Some(from) = from {
            self.look_through(from, &mut found)?;
        }
        let here = from.map(|from| from.file_index);
        let mut others: Vec<(u64, usize)> = Vec::new();
        for (index, file) in self
            .files
            .iter()
            .enumerate()
            .filter(|(index, _)| Some(*index) != here)
        {
            match file.start {
                Some(start) if floor < start.ring_epoch && seq < start.first_seq => {
                    others.push((start.first_seq, index));
                }
                Some(_) => {}
                None => others.push((u64::MAX, index)),
            }
        }
        others.sort_unstable();
        for (_, file_index) in others {
            self.look_through(
                Place {
                    file_index,
                    position: PAGE_SIZE,
                },
                &mut found,
            )?;
        }
        self.bytes_searched += self.bytes_read - bytes_before;
        found.retain(|it| seq <= it.header.frame_seq && floor <= it.header.ring_epoch);
        Ok(without_leftovers(&found))
    }

    fn look_through(&mut self, from: Place, found: &mut Vec<Found>) -> Result<(), WalError> {
        let mut place = from;
        while let Some(header) = self.next_header(&mut place)? {
            found.push(Found { place, header });
            // Bodies hold what clients sent: they are not searched for headers.
            place.position += header.frame_size();
        }
        Ok(())
    }

    /// The first header at or behind `place` in its file; moves `place` there.
    fn next_header(&mut self, place: &mut Place) -> Result<Option<FrameHeader>, WalError> {
        while place.position + PAGE_SIZE <= self.files[place.file_index].size {
            if let Some(header) = self.header_within(*place, SEARCH_CHUNK_SIZE)? {
                return Ok(Some(header));
            }
            place.position += PAGE_SIZE;
        }
        Ok(None)
    }

    fn decode(&self, place: Place, page: &[u8]) -> Result<Option<FrameHeader>, WalError> {
        let check_crc = !self.planted.is(PlantedBug::CrcIgnored);
        let number = self.files[place.file_index].number;
        match FrameHeader::decode(page, check_crc) {
            Ok(header) => {
                let page_number = place.position / PAGE_SIZE;
                let is_here = header.file_number == number && u64::from(header.page) == page_number;
                Ok(is_here.then_some(header))
            }
            Err(HeaderFault::Absent) => Ok(None),
            Err(HeaderFault::Newer(version)) => Err(WalError::NewerFormat {
                path: ring_path(Path::new(""), number),
                version,
            }),
        }
    }

    /// The end of the last piece from `place` on, so that nothing is read twice.
    fn known_from(&self, place: Place) -> &[u8] {
        let Some((start, chunk)) = &self.chunk else {
            return &[];
        };
        if start.file_index != place.file_index || place.position < start.position {
            return &[];
        }
        let at = (place.position - start.position) as usize;
        chunk.get(at..).unwrap_or_default()
    }

    /// `size` bytes at `place`, which must lie in the file; a slice of a piece of `chunk_size` if the file has so much.
    fn read(&mut self, place: Place, size: u64, chunk_size: u64) -> Result<Bytes, WalError> {
        if let Some((start, chunk)) = &self.chunk
            && start.file_index == place.file_index
            && start.position <= place.position
            && place.position + size <= start.position + chunk.len() as u64
        {
            let at = (place.position - start.position) as usize;
            return Ok(chunk.slice(at..at + size as usize));
        }
        let file = &self.files[place.file_index];
        let chunk_size = chunk_size.min(file.size - place.position);
        // On a page's border in memory too, for the sake of direct reads.
        let mut buf = vec![0; (chunk_size + PAGE_SIZE) as usize];
        let start = buf.as_ptr().align_offset(PAGE_SIZE as usize) % PAGE_SIZE as usize;
        let pages = &mut buf[start..][..chunk_size as usize];
        let known = self.known_from(place);
        let (first, unknown) = pages.split_at_mut(known.len());
        first.copy_from_slice(known);
        let at = place.position + known.len() as u64;
        // Whatever is missing reads as zeros, which no checksum accepts.
        match self.uncached_size_min <= size {
            true => file.file.read_uncached(at, unknown)?,
            false => file.file.read_at(at, unknown)?,
        };
        self.bytes_read += unknown.len() as u64;
        let chunk = Bytes::from(buf).slice(start..start + chunk_size as usize);
        self.chunk = Some((place, chunk.clone()));
        Ok(chunk.slice(..size as usize))
    }
}

/// Drops frames that a later epoch has taken back: that epoch began at or before their number.
fn without_leftovers(found: &[Found]) -> Vec<Found> {
    let is_leftover = |it: &Found| {
        found.iter().any(|other| {
            it.header.ring_epoch < other.header.ring_epoch
                && other.header.epoch_start_seq <= it.header.frame_seq
        })
    };
    found
        .iter()
        .filter(|it| !is_leftover(it))
        .copied()
        .collect()
}
