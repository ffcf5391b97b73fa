//! Writing past the page cache (O_DIRECT).
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
/// Size in bytes of one direct write.
const CHUNK_SIZE: usize = 1 << 20;

thread_local! {
    /// Few threads write so much, and they go on doing so: it is made once and kept.
    static CHUNK: RefCell<Chunk> = RefCell::new(Chunk::new());
}

/// The second descriptor of a file, for direct writes; opened when first needed.
pub struct UncachedFile {
    fd: OnceLock<Option<OwnedFd>>,
    works: Arc<AtomicBool>,
}

/// Which half of a write failed.
pub enum Failure {
    Direct(Errno),
    Cached(DiskError),
}

impl UncachedFile {
    /// `works` is shared by all files of a disk, and cleared by the first one that cannot be opened so.
    pub fn new(works: Arc<AtomicBool>) -> UncachedFile {
        UncachedFile {
            fd: OnceLock::new(),
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
            let flags = OFlags::WRONLY | OFlags::DIRECT | OFlags::CLOEXEC;
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
/// them by `cached`.
pub fn write(
    direct: &OwnedFd,
    mut position: u64,
    parts: &[&[u8]],
    cached: impl Fn(u64, &[u8]) -> Result<(), DiskError>,
) -> Result<(), Failure> {
    // A copy would be for nothing.
    if is_on_blocks(position, parts)
        && write_as_they_lie(direct, position, parts).map_err(Failure::Direct)?
    {
        return Ok(());
    }
    CHUNK.with_borrow_mut(|chunk| {
        let chunk = chunk.bytes();
        let mut source = Source::new(parts);
        let head_size = (BLOCK - (position % BLOCK as u64) as usize) % BLOCK;
        let filled = source.fill(&mut chunk[..head_size]);
        if 0 < filled {
            cached(position, &chunk[..filled]).map_err(Failure::Cached)?;
            position += filled as u64;
        }
        loop {
            let filled = source.fill(chunk);
            let whole = filled - filled % BLOCK;
            let done = write_blocks(direct, position, &chunk[..whole]).map_err(Failure::Direct)?;
            let rest = &chunk[done..filled];
            if !rest.is_empty() {
                cached(position + done as u64, rest).map_err(Failure::Cached)?;
            }
            position += filled as u64;
            if filled < chunk.len() {
                return Ok(());
            }
        }
    })
}

fn is_on_blocks(position: u64, parts: &[&[u8]]) -> bool {
    let is_part_on_blocks =
        |part: &&[u8]| part.as_ptr().align_offset(BLOCK) == 0 && part.len().is_multiple_of(BLOCK);
    position.is_multiple_of(BLOCK as u64)
        && parts.len() <= PARTS_MAX
        && parts.iter().all(is_part_on_blocks)
}

/// False when the file system does not take them so.
fn write_as_they_lie(direct: &OwnedFd, mut position: u64, parts: &[&[u8]]) -> Result<bool, Errno> {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut rest = slices.as_mut_slice();
    IoSlice::advance_slices(&mut rest, 0); // Past those that are empty.
    while !rest.is_empty() {
        match rustix::io::pwritev(direct, rest, position) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => {
                position += written as u64;
                IoSlice::advance_slices(&mut rest, written);
            }
            Err(Errno::INTR) => {}
            Err(Errno::INVAL) => return Ok(false),
            Err(errno) => return Err(errno),
        }
    }
    Ok(true)
}

/// Returns how much was written: all, or less when the file system does not take these blocks so.
fn write_blocks(direct: &OwnedFd, position: u64, bytes: &[u8]) -> Result<usize, Errno> {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pwrite(direct, &bytes[done..], position + done as u64) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) if written % BLOCK == 0 => done += written,
            // The place behind it is not one for a direct write any more.
            Ok(written) => return Ok(done + written),
            Err(Errno::INTR) => {}
            Err(Errno::INVAL) => return Ok(done),
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
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
