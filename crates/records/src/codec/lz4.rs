//! The LZ4 frame format.

use super::decompressor::{DecompressError, Output};
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use std::io::{BufRead, Write};

/// Appends what all frames of `input` hold.
pub(super) fn decompress(input: &[u8], output: &mut Output<'_>) -> Result<(), DecompressError> {
    let mut rest = input;
    while !rest.is_empty() {
        let mut decoder = FrameDecoder::new(rest);
        loop {
            let block = decoder
                .fill_buf()
                .map_err(|error| output.malformed(error))?;
            if block.is_empty() {
                break;
            }
            let size = block.len();
            output.append(block)?;
            decoder.consume(size);
        }
        let after = decoder.into_inner();
        if after.len() == rest.len() {
            return Err(output.malformed("no frame"));
        }
        rest = after;
    }
    Ok(())
}

/// Appends `input` as one frame of independent 64 KiB blocks, as the Java client writes it.
pub(super) fn compress(input: &[u8], output: &mut Vec<u8>) {
    let info = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, output);
    encoder
        .write_all(input)
        .and_then(|()| encoder.finish().map(drop).map_err(Into::into))
        .expect("writing to memory does not fail");
}
