//! Memory for the batches of tails.
//!
//! Tails fill and are flushed all the time, from different threads. Given back to the allocator, large pieces go on
//! to the operating system and cost a page fault per page when they are needed again: as much as ten copies of it.

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::sync::Arc;

/// Four sizes per power of two, from 8 KiB to 28 MiB: at most a fifth of a buffer is unused.
const CLASSES_COUNT: usize = 48;

/// What direct writes are made of.
const BLOCK: usize = 4096;

/// Buffers of tails, used again and again. Small batches are left to the allocator, which keeps their memory itself.
#[derive(Clone, Debug)]
pub(crate) struct TailMemory {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    free: Mutex<Free>,
    kept_bytes_max: usize,
}

#[derive(Debug)]
struct Free {
    classes: [Class; CLASSES_COUNT],
    kept_bytes: usize,
}

#[derive(Debug, Default)]
struct Class {
    buffers: Vec<Vec<u8>>,
    /// The fewest there were since the last trim: so many were not needed.
    idle_count: usize,
}

/// A batch's copy, as long as it may still be changed.
#[derive(Debug)]
pub(crate) enum TailBuffer {
    Small(BytesMut),
    Pooled(Pooled),
}

/// A buffer that goes back where it came from.
#[derive(Debug)]
pub(crate) struct Pooled {
    bytes: Vec<u8>,
    /// Where the batch begins; what is before it is only there for the sake of its place in memory.
    start: usize,
    class: usize,
    shared: Arc<Shared>,
}

impl TailMemory {
    /// Keeps at most `kept_bytes_max` bytes that nobody uses.
    pub(crate) fn new(kept_bytes_max: usize) -> TailMemory {
        let free = Free {
            classes: std::array::from_fn(|_| Class::default()),
            kept_bytes: 0,
        };
        TailMemory {
            shared: Arc::new(Shared {
                free: Mutex::new(free),
                kept_bytes_max,
            }),
        }
    }

    /// A copy of `bytes` in memory of its own.
    pub(crate) fn copy(&self, bytes: &[u8]) -> TailBuffer {
        let mut buffer = self.buffer(bytes.len());
        buffer.extend(bytes);
        buffer
    }

    fn buffer(&self, size: usize) -> TailBuffer {
        if size <= class_size(0) / 2 {
            return TailBuffer::Small(BytesMut::with_capacity(size));
        }
        match self.pooled(size) {
            Some(pooled) => TailBuffer::Pooled(pooled),
            None => TailBuffer::Small(BytesMut::with_capacity(size)),
        }
    }

    /// An empty buffer for `size` bytes that are to be written at `position` of a file: blocks of the file are
    /// blocks of memory too, so that they can be written from there.
    pub(crate) fn buffer_for(&self, size: usize, position: u64) -> TailBuffer {
        let Some(mut pooled) = self.pooled(size + BLOCK) else {
            return TailBuffer::Small(BytesMut::with_capacity(size));
        };
        let border = pooled.bytes.as_ptr().align_offset(BLOCK) % BLOCK;
        pooled.start = (border + (position % BLOCK as u64) as usize) % BLOCK;
        pooled.bytes.resize(pooled.start, 0);
        TailBuffer::Pooled(pooled)
    }

    fn pooled(&self, size: usize) -> Option<Pooled> {
        let class = (0..CLASSES_COUNT).find(|class| size <= class_size(*class))?;
        let kept = self.shared.free.lock().take(class);
        Some(Pooled {
            bytes: kept.unwrap_or_else(|| Vec::with_capacity(class_size(class))),
            start: 0,
            class,
            shared: Arc::clone(&self.shared),
        })
    }

    /// Called now and then: gives half of what was not needed since the last call to the allocator.
    pub(crate) fn trim(&self) {
        let mut unused = Vec::new();
        let mut free = self.shared.free.lock();
        let mut freed_bytes = 0;
        for (index, class) in free.classes.iter_mut().enumerate() {
            let count = class.idle_count.div_ceil(2);
            freed_bytes += count * class_size(index);
            unused.extend(class.buffers.drain(..count));
            class.idle_count = class.buffers.len();
        }
        free.kept_bytes -= freed_bytes;
        drop(free);
        // Freed outside the lock.
        drop(unused);
    }
}

impl Free {
    fn take(&mut self, index: usize) -> Option<Vec<u8>> {
        let class = &mut self.classes[index];
        let buffer = class.buffers.pop()?;
        class.idle_count = class.idle_count.min(class.buffers.len());
        self.kept_bytes -= class_size(index);
        Some(buffer)
    }
}

impl TailBuffer {
    /// Puts `bytes` at its end.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        match self {
            TailBuffer::Small(buffer) => buffer.extend_from_slice(bytes),
            TailBuffer::Pooled(pooled) => pooled.bytes.extend_from_slice(bytes),
        }
    }

    /// Its bytes, to be changed.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            TailBuffer::Small(bytes) => bytes,
            TailBuffer::Pooled(pooled) => &mut pooled.bytes[pooled.start..],
        }
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            TailBuffer::Small(bytes) => bytes,
            TailBuffer::Pooled(pooled) => &pooled.bytes[pooled.start..],
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            TailBuffer::Small(bytes) => bytes.len(),
            TailBuffer::Pooled(pooled) => pooled.bytes.len() - pooled.start,
        }
    }

    /// Its bytes, to be shared.
    pub(crate) fn freeze(self) -> Bytes {
        match self {
            TailBuffer::Small(bytes) => bytes.freeze(),
            TailBuffer::Pooled(pooled) => Bytes::from_owner(pooled),
        }
    }
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.bytes);
        buffer.clear();
        let size = class_size(self.class);
        let mut free = self.shared.free.lock();
        if free.kept_bytes + size <= self.shared.kept_bytes_max {
            free.kept_bytes += size;
            free.classes[self.class].buffers.push(buffer);
        }
    }
}

/// Bytes of the buffers of a class.
fn class_size(class: usize) -> usize {
    (4 + class % 4) << (11 + class / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(memory: &TailMemory) -> usize {
        let free = memory.shared.free.lock();
        let sum = free
            .classes
            .iter()
            .enumerate()
            .map(|(index, class)| class.buffers.len() * class_size(index));
        assert_eq!(sum.sum::<usize>(), free.kept_bytes);
        free.kept_bytes
    }

    #[test]
    fn a_buffer_comes_back_when_its_last_reader_is_gone() {
        let memory = TailMemory::new(1 << 20);
        let mut buffer = memory.copy(&[1; 20_000]);
        buffer.bytes_mut()[0] = 2;
        let bytes = buffer.freeze();
        let reader = bytes.slice(..10);
        let place = bytes.as_ptr();
        drop(bytes);
        assert_eq!(kept(&memory), 0);
        assert_eq!(reader[..2], [2, 1]);
        drop(reader);
        assert_eq!(kept(&memory), 20 << 10);
        let again = memory.copy(&[3; 17_000]).freeze();
        assert_eq!(again.as_ptr(), place);
        assert_eq!(again[..], [3; 17_000]);
    }

    #[test]
    fn a_buffer_for_a_place_in_a_file_lies_like_it() {
        let memory = TailMemory::new(1 << 20);
        for position in [0, 1, 4_095, 4_096, 123_457] {
            let bytes: Vec<u8> = (0..200_000).map(|at| at as u8).collect();
            let mut buffer = memory.buffer_for(bytes.len(), position);
            buffer.extend(&bytes);
            assert_eq!(buffer.len(), bytes.len());
            buffer.bytes_mut()[0] = 0;
            let frozen = buffer.freeze();
            assert_eq!(frozen, bytes);
            assert_eq!(frozen.as_ptr() as u64 % 4_096, position % 4_096);
        }
        assert!(kept(&memory) < 300_000, "the same one each time");
    }

    #[test]
    fn what_is_kept_is_bounded_and_goes_when_it_is_not_needed() {
        let memory = TailMemory::new(100 << 10);
        let buffers: Vec<_> = (0..10).map(|_| memory.copy(&[0; 16 << 10])).collect();
        drop(buffers);
        assert_eq!(kept(&memory), 96 << 10);
        memory.trim();
        assert_eq!(kept(&memory), 96 << 10, "they were in use since then");
        let used = memory.copy(&[0; 16 << 10]);
        drop(used);
        memory.trim();
        assert_eq!(kept(&memory), 48 << 10, "half of the five that lay still");
        for _ in 0..10 {
            memory.trim();
        }
        assert_eq!(kept(&memory), 0);
    }

    #[test]
    fn sizes_that_have_no_class_are_copied_too() {
        let memory = TailMemory::new(1 << 20);
        for size in [0, 1, 4096, 4097, 8192, 28 << 20, (28 << 20) + 1] {
            let bytes = vec![7; size];
            assert_eq!(memory.copy(&bytes).freeze(), bytes);
        }
    }
}
