//! Zstandard with a reused context.

use super::decompressor::{DecompressError, Output, RETAINED_BYTES_MAX};
use std::fmt;
use zstd::zstd_safe::{
    DCtx, DParameter, ErrorCode, InBuffer, OutBuffer, ResetDirective, get_error_name,
};

/// Windows up to 2^27 bytes (128 MiB) are read, the limit of zstd's own tools and of the Java client, whatever comes
/// out at most: a client that compresses with level 22 announces that much for the smallest batch. A window that is
/// announced and not filled costs addresses, not memory: of it, what has come out is touched.
const WINDOW_LOG_MAX: u32 = 27;

/// The decompression context, allocated with the first batch.
#[derive(Default)]
pub(super) struct Decoder(Option<DCtx<'static>>);

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("zstandard::Decoder")
    }
}

impl Decoder {
    /// Appends what all frames of `input` hold.
    pub(super) fn decompress(
        &mut self,
        input: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), DecompressError> {
        // Taken out for the time of the call: a context that met an error is not used again.
        let decoder = match self.0.take() {
            Some(mut decoder) => decoder.reset(ResetDirective::SessionOnly).map(|_| decoder),
            None => new_decoder(),
        };
        let mut decoder = decoder.map_err(|error| output.malformed(get_error_name(error)))?;
        let mut source = InBuffer::around(input);
        loop {
            if output.bytes.len() == output.bytes.capacity() {
                output.grow(input.len().saturating_mul(4))?;
            }
            let (before_in, before_out) = (source.pos(), output.bytes.len());
            let mut target = OutBuffer::around_pos(output.bytes, before_out);
            // 0 means: a frame has ended and all of it has come out.
            let hint = decoder.decompress_stream(&mut target, &mut source);
            let hint = hint.map_err(|error| output.malformed(get_error_name(error)))?;
            output.check()?;
            let at_end = source.pos() == input.len();
            if hint == 0 && at_end {
                break;
            }
            let full = output.bytes.len() == output.bytes.capacity();
            let progress = source.pos() > before_in || output.bytes.len() > before_out;
            if !full && (at_end || !progress) {
                return Err(output.malformed("the frame ends early"));
            }
        }
        // One batch with a large window must not cost its room for ever.
        self.0 = Some(decoder).filter(|decoder| decoder.sizeof() <= RETAINED_BYTES_MAX);
        Ok(())
    }

    /// Bytes that are kept for the next batch.
    #[cfg(test)]
    pub(super) fn retained_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, DCtx::sizeof)
    }
}

fn new_decoder() -> Result<DCtx<'static>, ErrorCode> {
    let mut decoder = DCtx::create();
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
    Ok(decoder)
}
