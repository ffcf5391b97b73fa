use super::{Codec, gzip, lz4, snappy, zstandard};

/// What a [`Decompressor`] gives out at most when nothing else is said: 64 MiB.
/// A client's uncompressed batch is about as large as `max.message.bytes` (1 MiB); this leaves room
/// for clients that limit the compressed size only.
pub const DECOMPRESSED_BYTES_MAX_DEFAULT: usize = 64 << 20;

/// A buffer that grew beyond this for one batch is given back before the next one.
pub(super) const RETAINED_BYTES_MAX: usize = 4 << 20;

/// Why compressed bytes could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// The attributes name a codec that does not exist.
    #[error("unknown compression codec {number}")]
    UnknownCodec {
        /// The number in the attributes.
        number: u8,
    },
    /// The bytes are not what the codec writes.
    #[error("malformed {codec} data: {reason}")]
    Malformed {
        /// The codec that the batch names.
        codec: Codec,
        /// What is wrong.
        reason: String,
    },
    /// More comes out than is allowed.
    #[error("{codec} data decompresses to more than the {limit} bytes that are allowed")]
    TooLarge {
        /// The codec that the batch names.
        codec: Codec,
        /// The limit in bytes.
        limit: usize,
    },
}

impl DecompressError {
    pub(super) fn malformed(codec: Codec, reason: impl ToString) -> DecompressError {
        DecompressError::Malformed {
            codec,
            reason: reason.to_string(),
        }
    }
}

/// Decompression contexts and one output buffer, reused from batch to batch. Every thread (or
/// connection) that reads compressed batches owns one.
#[derive(Debug)]
pub struct Decompressor {
    pub(super) output: Vec<u8>,
    output_bytes_max: usize,
    gzip: gzip::Inflater,
    snappy: snappy::Decoder,
    zstd: zstandard::Decoder,
}

impl Default for Decompressor {
    fn default() -> Decompressor {
        Decompressor::with_limit(DECOMPRESSED_BYTES_MAX_DEFAULT)
    }
}

impl Decompressor {
    /// Gives out at most `output_bytes_max` bytes per call; more is an error.
    pub fn with_limit(output_bytes_max: usize) -> Decompressor {
        Decompressor {
            output: Vec::new(),
            output_bytes_max,
            gzip: gzip::Inflater::default(),
            snappy: snappy::Decoder::default(),
            zstd: zstandard::Decoder::default(),
        }
    }

    /// The most that one call gives out, in bytes.
    pub fn limit(&self) -> usize {
        self.output_bytes_max
    }

    /// What Zstandard's context keeps for the next batch.
    #[cfg(test)]
    pub(super) fn zstd_retained_bytes(&self) -> usize {
        self.zstd.retained_bytes()
    }

    /// What `input` decompresses to; `input` itself for [`Codec::None`].
    pub fn decompress<'s>(
        &'s mut self,
        codec: Codec,
        input: &'s [u8],
    ) -> Result<&'s [u8], DecompressError> {
        if codec == Codec::None {
            return Ok(input);
        }
        self.output.clear();
        if self.output.capacity() > RETAINED_BYTES_MAX {
            self.output = Vec::new();
        }
        let mut output = Output {
            bytes: &mut self.output,
            limit: self.output_bytes_max,
            codec,
        };
        match codec {
            Codec::None => {}
            Codec::Gzip => self.gzip.decompress(input, &mut output)?,
            Codec::Snappy => self.snappy.decompress(input, &mut output)?,
            Codec::Lz4 => lz4::decompress(input, &mut output)?,
            Codec::Zstd => self.zstd.decompress(input, &mut output)?,
        }
        Ok(&self.output)
    }
}

/// The growing output of one call. It grows with what has come out, never with what a header claims.
pub(super) struct Output<'s> {
    pub(super) bytes: &'s mut Vec<u8>,
    limit: usize,
    codec: Codec,
}

impl Output<'_> {
    /// Makes room for at least one more byte and at most about what is there already.
    /// `expected` is a first guess of the whole size.
    pub(super) fn grow(&mut self, expected: usize) -> Result<(), DecompressError> {
        let size = self.bytes.len();
        // One byte more than allowed is let in, so that reaching the limit exactly is told apart.
        let end = size
            .max(expected)
            .max(4096)
            .saturating_mul(2)
            .min(self.limit.saturating_add(1));
        if end <= size {
            return Err(self.too_large());
        }
        self.bytes.reserve(end - size);
        Ok(())
    }

    /// Appends `size` zeros to be overwritten; `size` must be justified by the input.
    pub(super) fn extend(&mut self, size: usize) -> Result<&mut [u8], DecompressError> {
        let start = self.bytes.len();
        if size > self.limit - start.min(self.limit) {
            return Err(self.too_large());
        }
        self.bytes.resize(start + size, 0);
        Ok(&mut self.bytes[start..])
    }

    /// Appends bytes that have come out.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), DecompressError> {
        if bytes.len() > self.limit - self.bytes.len().min(self.limit) {
            return Err(self.too_large());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// An error once more has come out than is allowed.
    pub(super) fn check(&self) -> Result<(), DecompressError> {
        if self.bytes.len() > self.limit {
            Err(self.too_large())
        } else {
            Ok(())
        }
    }

    pub(super) fn malformed(&self, reason: impl ToString) -> DecompressError {
        DecompressError::malformed(self.codec, reason)
    }

    fn too_large(&self) -> DecompressError {
        DecompressError::TooLarge {
            codec: self.codec,
            limit: self.limit,
        }
    }
}
