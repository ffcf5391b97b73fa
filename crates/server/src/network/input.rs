use std::ops::Range;

use super::buffer_pool::{BufferPool, LARGEST};
use super::connection::HEAD_SIZE;
use super::request_memory::{RequestMemory, Reservation};

/// A frame's buffer is at most this many times what was received of it: a client that announces 100 MiB and sends
/// nothing costs nothing. Only where more than the size has come is it as large as the frame before it was.
const GROWTH: usize = 4;
/// But never grown to less than this.
const GROWTH_MIN: usize = 64 << 10;
/// The size of a frame stands before it, in this many bytes.
const FRAME_SIZE_BYTES: usize = 4;
/// Frames of this size are read to their end and not beyond, so that nothing is moved behind them.
const READ_ALONE: usize = 64 << 10;
/// As much as the frame before it had if its beginning has come, up to this: a client that sends such frames will go on.
const EXPECTED_MAX: usize = LARGEST;

/// Received bytes that could not be executed yet, in a pooled buffer; none while there are none.
///
/// Invariant: `start <= end <= buffer.len()`, and the buffer is empty while nothing is held.
#[derive(Debug, Default)]
pub struct Input {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    reservation: Reservation,
}

impl Input {
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Where the held bytes are in the buffer.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// To lend the buffer out while `self` is in use.
    pub fn buffer_mut(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// The size of the first frame with its size field, if enough of it is there to know.
    pub fn frame_size(&self) -> Option<usize> {
        let head = self.buffer[self.range()].first_chunk::<FRAME_SIZE_BYTES>()?;
        // A size that is not allowed ends the connection before anybody asks for it here.
        Some(FRAME_SIZE_BYTES + usize::try_from(i32::from_be_bytes(*head)).unwrap_or(0))
    }

    /// Whether the first frame may be there as a whole.
    pub fn may_hold_frame(&self) -> bool {
        let held = self.end - self.start;
        self.frame_size().is_some_and(|size| size <= held)
    }

    /// Keeps bytes that were received elsewhere. They are there, so this is never refused. The frame before them had
    /// `last_frame_size` bytes.
    pub fn keep(
        &mut self,
        bytes: &[u8],
        last_frame_size: usize,
        pool: &BufferPool,
        memory: &RequestMemory,
    ) {
        assert!(self.buffer.is_empty(), "kept twice");
        // At once as large as the frame, if that is allowed: what is kept is moved once.
        let frame_size = bytes.first_chunk::<FRAME_SIZE_BYTES>().map_or(0, |head| {
            FRAME_SIZE_BYTES + usize::try_from(i32::from_be_bytes(*head)).unwrap_or(0)
        });
        let expected = match bytes.len() {
            0..HEAD_SIZE => 0,
            _ => last_frame_size.min(EXPECTED_MAX),
        };
        let size_max = (GROWTH * bytes.len()).max(GROWTH_MIN).max(expected);
        let size = frame_size.clamp(bytes.len(), size_max);
        let size = BufferPool::class_size(size);
        if memory.grow(&mut self.reservation, size) {
            self.buffer = pool.take(size);
        } else {
            self.buffer = pool.take(bytes.len());
            memory.grow_unasked(&mut self.reservation, self.buffer.len());
        }
        self.buffer[..bytes.len()].copy_from_slice(bytes);
        (self.start, self.end) = (0, bytes.len());
    }

    /// Makes sure that more of the first frame can be read; `false`: request memory is short.
    pub fn make_room(
        &mut self,
        frame_size: Option<usize>,
        pool: &BufferPool,
        memory: &RequestMemory,
    ) -> bool {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let wanted = frame_size.unwrap_or(GROWTH_MIN);
        if self.end < self.buffer.len() {
            return true;
        }
        let size = wanted
            .min((GROWTH * self.end).max(GROWTH_MIN))
            .max(self.end + 1);
        if !memory.grow(&mut self.reservation, BufferPool::class_size(size)) {
            return false;
        }
        let mut grown = pool.take(size);
        grown[..self.end].copy_from_slice(&self.buffer[..self.end]);
        pool.give(std::mem::replace(&mut self.buffer, grown));
        true
    }

    /// Where the next bytes go in a buffer of `size`.
    pub fn window(&self, frame_size: Option<usize>, size: usize) -> Range<usize> {
        let frame_end = frame_size
            .filter(|&frame_size| frame_size >= READ_ALONE)
            .map_or(size, |frame_size| self.start + frame_size);
        self.end..frame_end.min(size)
    }

    /// `size` bytes came into the window.
    pub fn filled(&mut self, size: usize) {
        self.end += size;
        assert!(self.end <= self.buffer.len());
    }

    /// The first `size` bytes are done with.
    pub fn consume(&mut self, size: usize) {
        self.start += size;
        assert!(self.start <= self.end);
    }

    /// Drops what is held; gives whether memory became free.
    pub fn release(&mut self, pool: &BufferPool, memory: &RequestMemory) -> bool {
        (self.start, self.end) = (0, 0);
        if self.buffer.is_empty() {
            return false;
        }
        pool.give(std::mem::take(&mut self.buffer));
        memory.release(&mut self.reservation);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_grows_with_what_was_received_and_not_with_what_was_announced() {
        let (pool, memory) = (
            BufferPool::default(),
            RequestMemory::new(1 << 30, Default::default()),
        );
        let mut input = Input::default();
        input.keep(&(100_i32 << 20).to_be_bytes(), 0, &pool, &memory);
        let mut received = 4;
        while received < 101 << 20 {
            assert!(input.make_room(input.frame_size(), &pool, &memory));
            let window = input.window(input.frame_size(), input.buffer.len());
            if window.is_empty() {
                break;
            }
            let allowed = (GROWTH * received).max(GROWTH_MIN);
            assert!(
                input.buffer.len() <= BufferPool::class_size(allowed),
                "at {received}"
            );
            received += window.len();
            input.filled(window.len());
        }
        assert!(input.may_hold_frame());
        assert_eq!(received, (100 << 20) + 4, "and not beyond the frame");
        assert!(input.release(&pool, &memory));
        assert_eq!(memory.used_bytes(), 0);
    }

    #[test]
    fn a_frame_like_the_one_before_has_its_buffer_at_once() {
        let (pool, memory) = (
            BufferPool::default(),
            RequestMemory::new(1 << 30, Default::default()),
        );
        let held_of = |size: i32, last_frame_size, received: usize| {
            let mut input = Input::default();
            let mut begun = vec![0; received];
            begun[..FRAME_SIZE_BYTES].copy_from_slice(&size.to_be_bytes());
            input.keep(&begun, last_frame_size, &pool, &memory);
            let held = input.buffer.len();
            input.release(&pool, &memory);
            held
        };
        let held = |size: i32, last_frame_size| held_of(size, last_frame_size, HEAD_SIZE);
        let size = BufferPool::class_size(1_000_004);
        assert_eq!(held(1_000_000, 1_000_004), size);
        assert_eq!(held(1_000_000, 0), GROWTH_MIN);
        assert_eq!(held(1_000_000, 300 << 20), size, "no more than it needs");
        let size_max = BufferPool::class_size(EXPECTED_MAX);
        assert_eq!(
            held(300 << 20, 300 << 20),
            size_max,
            "announced is not sent"
        );
        for received in [FRAME_SIZE_BYTES, HEAD_SIZE - 1] {
            let held = held_of(300 << 20, 300 << 20, received);
            assert_eq!(held, GROWTH_MIN, "{received} bytes");
        }
    }

    #[test]
    fn bytes_kept_in_the_middle_of_a_size_field_are_completed() {
        let (pool, memory) = (
            BufferPool::default(),
            RequestMemory::new(1 << 20, Default::default()),
        );
        let mut input = Input::default();
        input.keep(&[0, 0], 0, &pool, &memory);
        assert_eq!(input.frame_size(), None);
        assert!(input.make_room(None, &pool, &memory));
        let window = input.window(None, input.buffer.len());
        input.buffer[window.start..window.start + 4].copy_from_slice(&[0, 2, 7, 8]);
        input.filled(4);
        assert_eq!(input.frame_size(), Some(6));
        assert!(input.may_hold_frame());
        input.consume(6);
        assert!(input.is_empty());
    }
}
