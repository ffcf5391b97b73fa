//! Snappy as the Java client writes it: blocks in the framing of the xerial library.
//!
//! ```text
//! 0x82 "SNAPPY" 0x00 | version i32 = 1 | lowest readable version i32 = 1 | { size i32 | raw snappy block }...
//! ```
//! All integers are big endian. Some clients (librdkafka among them) write one raw block instead.

use super::decompressor::{DecompressError, Output};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const HEADER_SIZE: usize = 16;

/// Bytes of input in one block, as in the xerial library.
const BLOCK_BYTES_MAX: usize = 32 << 10;

/// A raw block of n bytes holds less than this times n: a copy of 64 bytes takes three.
const RATIO_MAX: usize = 22;

#[derive(Default)]
pub(super) struct Decoder(snap::raw::Decoder);

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("snappy::Decoder")
    }
}

impl Decoder {
    pub(super) fn decompress(
        &mut self,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), DecompressError> {
        if !input.starts_with(&MAGIC) {
            return self.block(input, output);
        }
        let mut rest = input
            .get(HEADER_SIZE..)
            .ok_or_else(|| output.malformed("the xerial header is cut off"))?;
        while let Some((size, after)) = rest.split_first_chunk::<4>() {
            let size = usize::try_from(i32::from_be_bytes(*size))
                .ok()
                .filter(|size| *size <= after.len())
                .ok_or_else(|| output.malformed("a block is cut off"))?;
            let (block, after) = after.split_at(size);
            // Concatenated streams repeat the header where a block's size would stand; as a size
            // it is negative, so it cannot be mistaken.
            self.block(block, output)?;
            rest = after;
        }
        if rest.is_empty() {
            Ok(())
        } else {
            Err(output.malformed("a block size is cut off"))
        }
    }

    fn block(&mut self, block: &[u8], output: &mut Output<'_>) -> Result<(), DecompressError> {
        let size = snap::raw::decompress_len(block).map_err(|error| output.malformed(error))?;
        if size > block.len().saturating_mul(RATIO_MAX) {
            return Err(output.malformed("a block claims more than it can hold"));
        }
        let start = output.bytes.len();
        let target = output.extend(size)?;
        match self.0.decompress(block, target) {
            Ok(written) => {
                output.bytes.truncate(start + written);
                Ok(())
            }
            Err(error) => Err(output.malformed(error)),
        }
    }
}

/// Appends `input` in xerial framing.
pub(super) fn compress(encoder: &mut snap::raw::Encoder, input: &[u8], output: &mut Vec<u8>) {
    output.extend_from_slice(&MAGIC);
    output.extend_from_slice(&1i32.to_be_bytes());
    output.extend_from_slice(&1i32.to_be_bytes());
    for block in input.chunks(BLOCK_BYTES_MAX) {
        let start = output.len();
        output.resize(start + 4 + snap::raw::max_compress_len(block.len()), 0);
        let size = encoder
            .compress(block, &mut output[start + 4..])
            .expect("the output is as large as a block can become");
        output[start..start + 4].copy_from_slice(&(size as i32).to_be_bytes());
        output.truncate(start + 4 + size);
    }
}
