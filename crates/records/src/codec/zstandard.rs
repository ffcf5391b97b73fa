//! Zstandard with a reused context.

use super::decompressor::{DecompressError, Output};
use std::fmt;
use zstd::stream::raw::{self, InBuffer, Operation, OutBuffer};

/// Windows up to 2^27 bytes (128 MiB) are read, the limit of zstd's own tools and of the Java client.
const WINDOW_LOG_MAX: u32 = 27;

/// The decompression context, allocated with the first batch.
#[derive(Default)]
pub(super) struct Decoder(Option<raw::Decoder<'static>>);

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
        let mut decoder = match self.0.take() {
            Some(mut decoder) => {
                decoder.reinit().map_err(|error| output.malformed(error))?;
                decoder
            }
            None => new_decoder().map_err(|error| output.malformed(error))?,
        };
        let mut source = InBuffer::around(input);
        loop {
            if output.bytes.len() == output.bytes.capacity() {
                output.grow(input.len().saturating_mul(4))?;
            }
            let (before_in, before_out) = (source.pos(), output.bytes.len());
            let mut target = OutBuffer::around_pos(output.bytes, before_out);
            // 0 means: a frame has ended and all of it has come out.
            let hint = decoder.run(&mut source, &mut target);
            let hint = hint.map_err(|error| output.malformed(error))?;
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
        self.0 = Some(decoder);
        Ok(())
    }
}

fn new_decoder() -> std::io::Result<raw::Decoder<'static>> {
    let mut decoder = raw::Decoder::new()?;
    decoder.set_parameter(raw::DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
    Ok(decoder)
}
