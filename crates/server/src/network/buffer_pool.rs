use std::cell::RefCell;

/// Sizes in bytes of the pooled buffers. One holds Kafka's default `max.message.bytes` with room for the
/// request around it.
const CLASSES: [usize; 7] = [
    4 << 10,
    16 << 10,
    64 << 10,
    256 << 10,
    1088 << 10,
    4352 << 10,
    LARGEST,
];

/// The largest pooled buffer.
pub const LARGEST: usize = 17 << 20;

/// What one worker keeps at most, in bytes. Freed pages are dear to get back (a page fault costs as
/// much as ten copies of the page), so buffers are kept for good up to this.
const RETAINED_BYTES_MAX: usize = 64 << 20;

/// Receive buffers of one worker, in size classes, allocated once and reused.
#[derive(Debug, Default)]
pub struct BufferPool {
    free: RefCell<Free>,
}

#[derive(Debug, Default)]
struct Free {
    classes: [Vec<Vec<u8>>; CLASSES.len()],
    retained_bytes: usize,
}

impl BufferPool {
    /// An initialised buffer of at least `size` bytes; its length is its capacity.
    pub fn take(&self, size: usize) -> Vec<u8> {
        let Some(class) = CLASSES.iter().position(|&class| size <= class) else {
            return vec![0; size];
        };
        let mut free = self.free.borrow_mut();
        match free.classes[class].pop() {
            Some(buffer) => {
                free.retained_bytes -= buffer.len();
                buffer
            }
            None => vec![0; CLASSES[class]],
        }
    }

    /// The size of the buffer that `take(size)` gives.
    pub fn class_size(size: usize) -> usize {
        CLASSES
            .iter()
            .copied()
            .find(|&class| size <= class)
            .unwrap_or(size)
    }

    /// Takes a buffer back; one that fits no class, or is over what is kept, is freed.
    pub fn give(&self, buffer: Vec<u8>) {
        let Some(class) = CLASSES.iter().position(|&class| buffer.len() == class) else {
            return;
        };
        let mut free = self.free.borrow_mut();
        if free.retained_bytes + buffer.len() <= RETAINED_BYTES_MAX {
            free.retained_bytes += buffer.len();
            free.classes[class].push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_given_back_is_taken_again() {
        let pool = BufferPool::default();
        let mut buffer = pool.take(5000);
        assert_eq!(buffer.len(), 16 << 10);
        buffer[0] = 7;
        pool.give(buffer);
        assert_eq!(pool.take(16 << 10)[0], 7);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let pool = BufferPool::default();
        let size = CLASSES[CLASSES.len() - 1];
        let buffers: Vec<_> = (0..20).map(|_| pool.take(size)).collect();
        buffers.into_iter().for_each(|buffer| pool.give(buffer));
        assert!(pool.free.borrow().retained_bytes <= RETAINED_BYTES_MAX);
        assert_eq!(
            pool.free.borrow().classes[CLASSES.len() - 1].len(),
            RETAINED_BYTES_MAX / size
        );
    }

    #[test]
    fn above_the_largest_class_the_size_is_exact() {
        let pool = BufferPool::default();
        let size = 100 << 20;
        assert_eq!(pool.take(size).len(), size);
        assert_eq!(BufferPool::class_size(size), size);
    }
}
