use super::{Codec, gzip, lz4, snappy};

/// How hard to compress, in the codec's own scale; `None` takes Kafka's default.
/// gzip 1..=9 (6), zstd -131072..=22 (3). lz4 and snappy have one level here.
pub type CompressionLevel = Option<i32>;

const GZIP_LEVEL_DEFAULT: i32 = 6;
const ZSTD_LEVEL_DEFAULT: i32 = 3;

/// Compression contexts, reused from batch to batch.
#[derive(Default)]
pub struct Compressor {
    level: CompressionLevel,
    snappy: Option<snap::raw::Encoder>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor")
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

impl Compressor {
    /// Compresses at `level`; levels outside a codec's range are moved to its nearest end.
    pub fn with_level(level: CompressionLevel) -> Compressor {
        Compressor {
            level,
            ..Compressor::default()
        }
    }

    /// Appends `input`, compressed by `codec`, to `output`.
    pub fn compress(&mut self, codec: Codec, input: &[u8], output: &mut Vec<u8>) {
        match codec {
            Codec::None => output.extend_from_slice(input),
            Codec::Gzip => {
                let level = self.level.unwrap_or(GZIP_LEVEL_DEFAULT).clamp(1, 9);
                gzip::compress(input, level as u32, output);
            }
            Codec::Snappy => {
                let encoder = self.snappy.get_or_insert_with(snap::raw::Encoder::new);
                snappy::compress(encoder, input, output);
            }
            Codec::Lz4 => lz4::compress(input, output),
            Codec::Zstd => self.zstd(input, output),
        }
    }

    fn zstd(&mut self, input: &[u8], output: &mut Vec<u8>) {
        let level = self.level.unwrap_or(ZSTD_LEVEL_DEFAULT);
        let level = level.clamp(*zstd::compression_level_range().start(), 22);
        let compressor = self.zstd.get_or_insert_with(|| {
            zstd::bulk::Compressor::new(level).expect("the level is in zstd's range")
        });
        let start = output.len();
        output.resize(start + zstd::zstd_safe::compress_bound(input.len()), 0);
        let size = compressor
            .compress_to_buffer(input, &mut output[start..])
            .expect("the output is as large as a frame can become");
        output.truncate(start + size);
    }
}
