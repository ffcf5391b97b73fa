//! The checksums of a batch that the journal and the sidecar need, taken once: while it is copied and its bytes are
//! in the processor's cache. Later it has left it, and each checksum would cost as much as another copy.

use crate::checksum::{crc32c, crc32c_joined};
use crate::segment::sidecar::UNIT_BYTES_MAX;
use crate::tail_memory::TailBuffer;
use std::sync::Arc;

/// What stamping may change lies in these bytes.
const HEADER_SIZE: usize = 61;

/// CRC-32C of a batch, and of its pieces if it is a large one.
#[derive(Clone, Debug)]
pub(crate) struct BatchSums {
    /// Of all its bytes.
    pub(crate) whole: u32,
    /// Of each unit that the sidecar cuts it into, if it is cut.
    pub(crate) pieces: Option<Arc<[u32]>>,
}

/// The checksums of a large batch's pieces, the first one without the batch's header.
#[derive(Debug)]
pub(crate) struct UnstampedSums(Vec<u32>);

impl UnstampedSums {
    /// Copies a batch of more than [`UNIT_BYTES_MAX`] bytes into an empty `buffer`.
    pub(crate) fn copy(bytes: &[u8], buffer: &mut TailBuffer) -> UnstampedSums {
        assert!(
            UNIT_BYTES_MAX < bytes.len(),
            "smaller batches have one piece"
        );
        let pieces = bytes
            .chunks(UNIT_BYTES_MAX)
            .enumerate()
            .map(|(index, piece)| {
                buffer.extend(piece);
                crc32c(match index {
                    0 => &piece[HEADER_SIZE..],
                    _ => piece,
                })
            });
        UnstampedSums(pieces.collect())
    }

    /// The batch has its final header now.
    pub(crate) fn stamped(mut self, bytes: &[u8]) -> BatchSums {
        let header = crc32c(&bytes[..HEADER_SIZE]);
        let behind = UNIT_BYTES_MAX - HEADER_SIZE;
        self.0[0] = crc32c_joined(header, self.0[0], behind);
        let sizes = bytes.chunks(UNIT_BYTES_MAX).map(<[u8]>::len);
        let join = |whole, (piece, size): (&u32, usize)| crc32c_joined(whole, *piece, size);
        BatchSums {
            whole: self.0.iter().zip(sizes).fold(0, join),
            pieces: Some(self.0.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tail_memory::TailMemory;

    #[test]
    fn they_are_those_of_the_stamped_batch() {
        let memory = TailMemory::new(0);
        for size in [UNIT_BYTES_MAX + 1, 2 * UNIT_BYTES_MAX, 1_000_000] {
            let bytes: Vec<u8> = (0..size).map(|at| ((at * 7) >> 5) as u8).collect();
            let mut buffer = memory.buffer_for(size, 0);
            let sums = UnstampedSums::copy(&bytes, &mut buffer);
            buffer.bytes_mut()[..HEADER_SIZE].fill(9);
            let stamped = buffer.freeze();
            assert_eq!(stamped[HEADER_SIZE..], bytes[HEADER_SIZE..]);
            let sums = sums.stamped(&stamped);
            assert_eq!(sums.whole, crc32c(&stamped));
            let pieces: Vec<u32> = stamped.chunks(UNIT_BYTES_MAX).map(crc32c).collect();
            assert_eq!(sums.pieces.as_deref(), Some(&pieces[..]));
        }
    }
}
