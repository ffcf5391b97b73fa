//! Writing and reading past the page cache (O_DIRECT).
//!
//! Bytes that nobody is about to read need no page of memory each. On a machine whose free memory is cold (a guest
//! that gave it back to its host) getting those pages costs ten times the write; elsewhere it still costs more.
//! docs/decisions/uncached-segments.md has the figures.

use std::cell::RefCell;
use std::io::IoSlice;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use ottla_storage::disk::DiskError;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Memory, position and size of a direct write are multiples of it: what every device is content with.
const BLOCK: usize = 4096;
/// The kernel takes no more parts in one write.
const PARTS_MAX: usize = 1024;
/// Bytes that are copied for one direct write.
const CHUNK_SIZE: usize = 1 << 20;
/// Smaller parts are copied: the borders of a part are copied in any case, a block each.
const IN_PLACE_SIZE_MIN: usize = 64 << 10;

/// Threads that share a large read,
const READERS_MAX: usize = 4;
/// each of at least so many bytes.
const READ_PART_SIZE_MIN: usize = 1 << 20;

thread_local! {
    /// Few threads write so much, and they go on doing so: it is made once and kept.
    static CHUNK: RefCell<Chunk> = RefCell::new(Chunk::new());
}

/// The second descriptor of a file, for direct writes and reads; opened when first needed.
pub struct UncachedFile {
    fd: OnceLock<Option<OwnedFd>>,
    is_writable: bool,
    works: Arc<AtomicBool>,
}

/// Which half of a write failed.
pub enum Failure {
    Direct(Errno),
    Cached(DiskError),
}

impl UncachedFile {
    /// `works` is shared by all files of a disk, and cleared by the first one that cannot be opened so.
    pub fn new(is_writable: bool, works: Arc<AtomicBool>) -> UncachedFile {
        UncachedFile {
            fd: OnceLock::new(),
            is_writable,
            works,
        }
    }

    /// The descriptor; `None` where the file system has no such thing.
    pub fn open(&self, file: &OwnedFd) -> Option<&OwnedFd> {
        if !self.works.load(Ordering::Relaxed) {
            return None;
        }
        let open = || {
            // By its descriptor: the file may have been renamed since it was opened.
            let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
            let access = match self.is_writable {
                true => OFlags::RDWR,
                false => OFlags::RDONLY,
            };
            let flags = access | OFlags::DIRECT | OFlags::CLOEXEC;
            let opened = rustix::fs::open(&path, flags, Mode::empty());
            if opened.is_err() {
                self.works.store(false, Ordering::Relaxed);
            }
            opened.ok()
        };
        self.fd.get_or_init(open).as_ref()
    }
}

/// Writes `parts` from `position` on: whole blocks past the cache, what is before the first and behind the last of
/// them by `cached`. Large parts whose blocks lie in memory as they will lie in the file are written from there.
pub fn write(
    direct: &OwnedFd,
    position: u64,
    parts: &[&[u8]],
    cached: impl Fn(u64, &[u8]) -> Result<(), DiskError>,
) -> Result<(), Failure> {
    // No copy, and no chunk to copy to, for who takes care of everything.
    if is_on_blocks(position, parts) {
        let slices = parts.iter().map(|part| IoSlice::new(part)).collect();
        return write_slices(direct, position, slices, &cached);
    }
    CHUNK.with_borrow_mut(|chunk| {
        let mut source = Source::new(parts);
        let head_size = (BLOCK - (position % BLOCK as u64) as usize) % BLOCK;
        let chunk = chunk.bytes();
        let filled = source.fill(&mut chunk[..head_size]);
        if 0 < filled {
            cached(position, &chunk[..filled]).map_err(Failure::Cached)?;
        }
        let mut position = position + filled as u64;
        while !source.is_empty() {
            let group = Group::gather(&mut source, chunk);
            let slices = group.blocks(chunk);
            write_slices(direct, position, slices, &cached)?;
            position += group.blocks_size as u64;
            let rest = &chunk[group.copied_size - group.rest_size..group.copied_size];
            if !rest.is_empty() {
                cached(position, rest).map_err(Failure::Cached)?;
            }
            position += rest.len() as u64;
        }
        Ok(())
    })
}

fn is_on_blocks(position: u64, parts: &[&[u8]]) -> bool {
    let is_part_on_blocks =
        |part: &&[u8]| part.as_ptr().align_offset(BLOCK) == 0 && part.len().is_multiple_of(BLOCK);
    position.is_multiple_of(BLOCK as u64)
        && parts.len() <= PARTS_MAX
        && parts.iter().all(is_part_on_blocks)
}

/// Reads whole blocks past the cache, from a block's border on; gives how many bytes were read, and less than `buf` has
/// when it ends within a block, or where the file system does not read so.
///
/// Much is read by several threads: the device does several reads at once, and each thread pays for the first touch of
/// its part of the memory.
pub fn read(direct: &OwnedFd, position: u64, buf: &mut [u8]) -> Result<usize, Errno> {
    let is_on_blocks =
        position.is_multiple_of(BLOCK as u64) && buf.as_ptr().align_offset(BLOCK) == 0;
    if !is_on_blocks {
        return Ok(0);
    }
    let blocks_size = buf.len() / BLOCK * BLOCK;
    let part_size = blocks_size.div_ceil(READERS_MAX).next_multiple_of(BLOCK);
    let part_size = part_size.max(READ_PART_SIZE_MIN);
    let (own, others) = buf[..blocks_size].split_at_mut(part_size.min(blocks_size));
    let counts = std::thread::scope(|scope| {
        let mut at = position + own.len() as u64;
        let mut readers = Vec::with_capacity(READERS_MAX);
        for part in others.chunks_mut(part_size) {
            let (from, size) = (at, part.len());
            at += size as u64;
            let reader = std::thread::Builder::new()
                .name("reader".to_owned())
                .spawn_scoped(scope, move || read_blocks(direct, from, part));
            readers.push((size, reader.ok()));
        }
        let mut counts = vec![(own.len(), read_blocks(direct, position, own))];
        for (size, reader) in readers {
            // Without a thread nothing of its part was read.
            let count = reader.map_or(Ok(0), |reader| {
                reader.join().expect("a read does not panic")
            });
            counts.push((size, count));
        }
        counts
    });
    let mut done = 0;
    for (size, count) in counts {
        let count = count?;
        done += count;
        if count < size {
            break; // What is behind it is not known to follow.
        }
    }
    Ok(done)
}

fn read_blocks(direct: &OwnedFd, position: u64, buf: &mut [u8]) -> Result<usize, Errno> {
    let mut done = 0;
    while done < buf.len() {
        match rustix::io::pread(direct, &mut buf[done..], position + done as u64) {
            Ok(0) => break,
            Ok(read) => {
                done += read;
                if read % BLOCK != 0 {
                    break; // The end of the file.
                }
            }
            Err(Errno::INTR) => {}
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}

/// What one direct write takes, in the order of the file.
struct Group<'a> {
    pieces: Vec<Piece<'a>>,
    /// Bytes that were copied to the chunk; what is written from where it lies counts as nothing there.
    copied_size: usize,
    /// Bytes of whole blocks, copied or not.
    blocks_size: usize,
    /// Copied bytes behind the last whole block: the end of everything.
    rest_size: usize,
}

enum Piece<'a> {
    /// So many bytes of the chunk.
    Copied(usize),
    InPlace(&'a [u8]),
}

impl<'a> Group<'a> {
    /// Takes from `source`, which is at a block's border, until `chunk` is full or there is no more.
    fn gather(source: &mut Source<'a>, chunk: &mut [u8]) -> Group<'a> {
        let mut group = Group {
            pieces: Vec::new(),
            copied_size: 0,
            blocks_size: 0,
            rest_size: 0,
        };
        while group.copied_size < chunk.len()
            && (group.pieces.len() < PARTS_MAX - 1 || !group.copied_size.is_multiple_of(BLOCK))
        {
            let to_border = BLOCK - group.copied_size % BLOCK;
            if to_border == BLOCK
                && let Some(blocks) = source.take_blocks()
            {
                group.pieces.push(Piece::InPlace(blocks));
                group.blocks_size += blocks.len();
                continue;
            }
            // A block at a time where the next part may go on in place behind it.
            let free = &mut chunk[group.copied_size..];
            let size = match source.may_take_blocks(to_border % BLOCK) {
                true => to_border,
                false => source.part.len().clamp(to_border, free.len()),
            };
            let filled = source.fill(&mut free[..size]);
            if filled == 0 {
                break;
            }
            group.copied_size += filled;
            match group.pieces.last_mut() {
                Some(Piece::Copied(size)) => *size += filled,
                _ => group.pieces.push(Piece::Copied(filled)),
            }
        }
        group.rest_size = group.copied_size % BLOCK;
        group.blocks_size += group.copied_size - group.rest_size;
        group
    }

    /// The whole blocks.
    fn blocks<'b>(&self, mut chunk: &'b [u8]) -> Vec<IoSlice<'b>>
    where
        'a: 'b,
    {
        let mut slices = Vec::with_capacity(self.pieces.len());
        for piece in &self.pieces {
            slices.push(IoSlice::new(match piece {
                Piece::InPlace(bytes) => bytes,
                Piece::Copied(size) => {
                    let (piece, behind) = chunk.split_at(*size);
                    chunk = behind;
                    &piece[..size - size % BLOCK]
                }
            }));
        }
        slices
    }
}

/// Writes whole blocks; by `cached` where the file system does not take them so.
fn write_slices(
    direct: &OwnedFd,
    mut position: u64,
    mut slices: Vec<IoSlice<'_>>,
    cached: impl Fn(u64, &[u8]) -> Result<(), DiskError>,
) -> Result<(), Failure> {
    let mut rest = slices.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0); // Past those that are empty.
    while !rest.is_empty() {
        match rustix::io::pwritev(direct, rest, position) {
            Ok(0) => return Err(Failure::Direct(Errno::NOSPC)),
            Ok(written) => {
                position += written as u64;
                IoSlice::advance_slices(&mut rest, written);
                if written % BLOCK == 0 {
                    continue;
                }
                // The place behind it is not one for a direct write any more.
            }
            Err(Errno::INTR) => continue,
            Err(Errno::INVAL) => {}
            Err(errno) => return Err(Failure::Direct(errno)),
        }
        for slice in rest.iter() {
            cached(position, slice).map_err(Failure::Cached)?;
            position += slice.len() as u64;
        }
        return Ok(());
    }
    Ok(())
}

/// Memory that begins at a block's border.
struct Chunk {
    memory: Vec<u8>,
    start: usize,
}

impl Chunk {
    fn new() -> Chunk {
        let memory = vec![0; CHUNK_SIZE + BLOCK];
        let start = memory.as_ptr().align_offset(BLOCK);
        Chunk { memory, start }
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..CHUNK_SIZE]
    }
}

/// Takes bytes from parts, one after the other.
struct Source<'a> {
    parts: std::slice::Iter<'a, &'a [u8]>,
    part: &'a [u8],
}

impl<'a> Source<'a> {
    fn new(parts: &'a [&'a [u8]]) -> Source<'a> {
        Source {
            parts: parts.iter(),
            part: &[],
        }
    }

    /// The part that comes next, or nothing.
    fn next_part(&mut self) -> &'a [u8] {
        while self.part.is_empty() {
            let Some(part) = self.parts.next() else { break };
            self.part = part;
        }
        self.part
    }

    fn is_empty(&mut self) -> bool {
        self.next_part().is_empty()
    }

    /// Whether `take_blocks` would give something after `skipped` bytes.
    fn may_take_blocks(&mut self, skipped: usize) -> bool {
        let part = self.next_part();
        IN_PLACE_SIZE_MIN + skipped <= part.len()
            && part[skipped..].as_ptr().align_offset(BLOCK) == 0
    }

    /// The whole blocks at the start of a large part that lies on blocks.
    fn take_blocks(&mut self) -> Option<&'a [u8]> {
        if !self.may_take_blocks(0) {
            return None;
        }
        let (blocks, rest) = self.part.split_at(self.part.len() / BLOCK * BLOCK);
        self.part = rest;
        Some(blocks)
    }

    /// Fills `buffer` as far as there is something; returns how far.
    fn fill(&mut self, buffer: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.part.is_empty() {
                let Some(part) = self.parts.next() else {
                    break;
                };
                self.part = part;
                continue;
            }
            let size = self.part.len().min(buffer.len() - filled);
            let (now, later) = self.part.split_at(size);
            buffer[filled..filled + size].copy_from_slice(now);
            self.part = later;
            filled += size;
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;
    use std::os::unix::fs::FileExt;

    /// A buffer whose byte `skip` lies on a block's border, and where that is.
    fn aligned(size: usize, skip: usize, seed: u8) -> (Vec<u8>, usize) {
        let mut memory = vec![0; size + 2 * BLOCK];
        let start = memory.as_ptr().align_offset(BLOCK) + (BLOCK - skip % BLOCK) % BLOCK;
        for (at, byte) in memory[start..start + size].iter_mut().enumerate() {
            *byte = (at % 251) as u8 ^ seed;
        }
        (memory, start)
    }

    #[test]
    fn whatever_lies_where_it_will_lie_is_written_as_a_whole() {
        let dir = TestDir::new();
        // Sizes of parts, and whether each lies in memory as in the file.
        let cases: [(u64, &[(usize, bool)]); 8] = [
            (0, &[(1 << 20, true)]),
            (
                0,
                &[(100, false), (300_000, true), (300_001, true), (7, false)],
            ),
            (4_000, &[(200_000, true), (5_000, false), (90_000, true)]),
            (4_097, &[(3_000_000, false), (131_072, true)]),
            (
                8_192,
                &[
                    (65_536, true),
                    (65_536, true),
                    (65_536, false),
                    (4_096, false),
                ],
            ),
            (10, &[(65_535, true), (70_000, true)]),
            (12_288, &[(50, false); 40]),
            (1, &[(1, false)]),
        ];
        for (number, (position, parts)) in cases.into_iter().enumerate() {
            let path = dir.path().join(number.to_string());
            let file = std::fs::File::create_new(&path).unwrap();
            file.set_len(position).unwrap();
            let mut at = position as usize;
            let buffers: Vec<(Vec<u8>, usize, usize)> = parts
                .iter()
                .map(|(size, is_in_place)| {
                    let border = (BLOCK - at % BLOCK) % BLOCK;
                    let (memory, start) =
                        aligned(*size, border + usize::from(!is_in_place), at as u8);
                    at += size;
                    (memory, start, *size)
                })
                .collect();
            let parts: Vec<&[u8]> = buffers
                .iter()
                .map(|(memory, start, size)| &memory[*start..start + size])
                .collect();
            let fd = OwnedFd::from(file.try_clone().unwrap());
            let uncached = UncachedFile::new(true, Arc::new(AtomicBool::new(true)));
            // Where there is no direct writing, an ordinary descriptor shows the same division.
            let direct = uncached.open(&fd).unwrap_or(&fd);
            let written = write(direct, position, &parts, |position, bytes| {
                file.write_all_at(bytes, position)
                    .map_err(|_| DiskError::Full {
                        operation: ottla_storage::disk::DiskOperation::Write,
                        path: path.clone(),
                    })
            });
            assert!(written.is_ok(), "case {number}");
            let read = std::fs::read(&path).unwrap();
            assert!(read[position as usize..] == parts.concat(), "case {number}");
        }
    }
}
