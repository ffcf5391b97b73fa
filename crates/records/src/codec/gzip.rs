//! The gzip container (RFC 1952) around a reused inflate state.

use super::decompressor::{DecompressError, Output};
use flate2::{Compression, Decompress, FlushDecompress, Status, write::GzEncoder};
use std::io::Write;

const HEADER_SIZE: usize = 10;
const TRAILER_SIZE: usize = 8;

const FLAG_HEADER_CRC: u8 = 2;
const FLAG_EXTRA: u8 = 4;
const FLAG_NAME: u8 = 8;
const FLAG_COMMENT: u8 = 16;
const FLAGS_RESERVED: u8 = 0xe0;

/// The inflate state, allocated with the first gzip batch (it is 40 KiB).
#[derive(Debug, Default)]
pub(super) struct Inflater(Option<Decompress>);

impl Inflater {
    /// Appends what all members of `input` hold.
    pub(super) fn decompress(
        &mut self,
        mut input: &[u8],
        output: &mut Output<'_>,
    ) -> Result<(), DecompressError> {
        loop {
            input = self.member(input, output)?;
            if input.is_empty() {
                return Ok(());
            }
        }
    }

    /// Reads one member and gives back what follows it.
    fn member<'a>(
        &mut self,
        input: &'a [u8],
        output: &mut Output<'_>,
    ) -> Result<&'a [u8], DecompressError> {
        let body = header_end(input).ok_or_else(|| output.malformed("not a gzip header"))?;
        let inflate = self.0.get_or_insert_with(|| Decompress::new(false));
        inflate.reset(false);
        let start = output.bytes.len();
        let mut at = body;
        loop {
            if output.bytes.len() == output.bytes.capacity() {
                output.grow(input.len().saturating_mul(2))?;
            }
            let (before_in, before_out) = (inflate.total_in(), output.bytes.len());
            let status = inflate
                .decompress_vec(&input[at..], output.bytes, FlushDecompress::None)
                .map_err(|error| output.malformed(error))?;
            at += (inflate.total_in() - before_in) as usize;
            output.check()?;
            if status == Status::StreamEnd {
                break;
            }
            let full = output.bytes.len() == output.bytes.capacity();
            let progress =
                at > body && inflate.total_in() > before_in || output.bytes.len() > before_out;
            if !full && (at == input.len() || !progress) {
                return Err(output.malformed("the stream ends early"));
            }
        }
        let trailer = input
            .get(at..at + TRAILER_SIZE)
            .ok_or_else(|| output.malformed("the trailer is cut off"))?;
        let member = &output.bytes[start..];
        let stated = |at: usize| {
            u32::from_le_bytes(
                trailer[at..at + 4]
                    .try_into()
                    .expect("the range has 4 bytes"),
            )
        };
        if stated(0) != crc_fast::crc32_iso_hdlc(member) || stated(4) != member.len() as u32 {
            return Err(output.malformed("checksum or size of the trailer do not fit"));
        }
        Ok(&input[at + TRAILER_SIZE..])
    }
}

/// Where the deflate stream begins; `None` when this is no whole gzip header.
fn header_end(input: &[u8]) -> Option<usize> {
    let header = input.get(..HEADER_SIZE)?;
    let flags = header[3];
    if header[..3] != [0x1f, 0x8b, 8] || flags & FLAGS_RESERVED != 0 {
        return None;
    }
    let mut at = HEADER_SIZE;
    if flags & FLAG_EXTRA != 0 {
        let size = input.get(at..at + 2)?;
        at += 2 + usize::from(u16::from_le_bytes([size[0], size[1]]));
    }
    for flag in [FLAG_NAME, FLAG_COMMENT] {
        if flags & flag != 0 {
            at += input.get(at..)?.iter().position(|byte| *byte == 0)? + 1;
        }
    }
    if flags & FLAG_HEADER_CRC != 0 {
        at += 2;
    }
    (at <= input.len()).then_some(at)
}

/// Appends `input` as one gzip member. `level` is 1 to 9.
pub(super) fn compress(input: &[u8], level: u32, output: &mut Vec<u8>) {
    let mut encoder = GzEncoder::new(output, Compression::new(level));
    encoder
        .write_all(input)
        .and_then(|()| encoder.finish().map(drop))
        .expect("writing to memory does not fail");
}
