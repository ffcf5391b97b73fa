//! The first page of a ring file.

use super::WalError;
use super::frame::PAGE_SIZE;
use crate::checksum::crc32c;
use ottla_types::Lsn;
use std::path::Path;

const FILE_MAGIC: [u8; 4] = *b"OtWa";
const FILE_HEADER_SIZE: usize = 64;
pub(super) const FORMAT_VERSION: u16 = 1;

/// What the first page of a ring file says: written together with the first frame of each activation.
///
/// ```text
///  0 magic "OtWa" | 4 version u16 | 6 zero u16 | 8 ring epoch u64 | 16 first frame_seq u64 | 24 first LSN u64
/// 32 file number u32 | 36 size in pages u32 | 40 zeros | 60 CRC-32C of bytes 0..60               (little endian)
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) ring_epoch: u64,
    pub(crate) first_seq: u64,
    pub(crate) first_lsn: Lsn,
    pub(crate) file_number: u32,
    pub(crate) pages: u32,
}

impl FileHeader {
    /// The whole page.
    pub(crate) fn encode(&self) -> [u8; PAGE_SIZE as usize] {
        let mut bytes = [0; PAGE_SIZE as usize];
        bytes[0..4].copy_from_slice(&FILE_MAGIC);
        bytes[4..6].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.ring_epoch.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_lsn.get().to_le_bytes());
        bytes[32..36].copy_from_slice(&self.file_number.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.pages.to_le_bytes());
        seal(&mut bytes[..FILE_HEADER_SIZE]);
        bytes
    }

    /// `None` when there is no valid header.
    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Option<FileHeader>, WalError> {
        if !is_sealed(bytes, FILE_MAGIC, FILE_HEADER_SIZE, path)? {
            return Ok(None);
        }
        Ok(Some(FileHeader {
            ring_epoch: word(bytes, 8),
            first_seq: word(bytes, 16),
            first_lsn: Lsn::new(word(bytes, 24)),
            file_number: half(bytes, 32),
            pages: half(bytes, 36),
        }))
    }
}

pub(super) fn seal(bytes: &mut [u8]) {
    let at = bytes.len() - 4;
    let crc = crc32c(&bytes[..at]);
    bytes[at..].copy_from_slice(&crc.to_le_bytes());
}

/// True when `bytes` starts with a record of `size` bytes that [`seal`] closed.
pub(super) fn is_sealed(
    bytes: &[u8],
    magic: [u8; 4],
    size: usize,
    path: &Path,
) -> Result<bool, WalError> {
    if bytes.len() < size
        || bytes[0..4] != magic
        || crc32c(&bytes[..size - 4]) != half(bytes, size - 4)
    {
        return Ok(false);
    }
    match u16::from_le_bytes([bytes[4], bytes[5]]) {
        FORMAT_VERSION => Ok(true),
        version => Err(WalError::NewerFormat {
            path: path.to_owned(),
            version,
        }),
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(
        bytes[at..at + 8]
            .try_into()
            .expect("eight bytes were asked for"),
    )
}

pub(super) fn half(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(
        bytes[at..at + 4]
            .try_into()
            .expect("four bytes were asked for"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip_and_damage_is_no_header() {
        let header = FileHeader {
            ring_epoch: 5,
            first_seq: 6,
            first_lsn: Lsn::new(7),
            file_number: 8,
            pages: 9,
        };
        let path = Path::new("ring");
        let mut bytes = header.encode();
        assert_eq!(FileHeader::decode(&bytes, path).unwrap(), Some(header));
        bytes[20] ^= 1;
        assert_eq!(FileHeader::decode(&bytes, path).unwrap(), None);
        let mut newer = header.encode();
        newer[4] = 2;
        seal(&mut newer[..FILE_HEADER_SIZE]);
        let error = FileHeader::decode(&newer, path).unwrap_err();
        assert!(matches!(error, WalError::NewerFormat { version: 2, .. }));
    }
}
