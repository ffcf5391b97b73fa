//! CRC-32C, the checksum of everything this crate writes (and of Kafka's batches).

use crc_fast::CrcAlgorithm;

/// CRC-32C (Castagnoli) of `bytes`.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

/// CRC-32C of `parts` one after the other.
pub fn crc32c_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut digest = crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi);
    for part in parts {
        digest.update(part);
    }
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_value_and_parts_agree() {
        // RFC 3720, B.4: 32 bytes of zeros.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        let text = b"the journal of one directory";
        let whole = crc32c(text);
        for at in 0..=text.len() {
            let (first, second) = text.split_at(at);
            assert_eq!(crc32c_parts([first, second]), whole);
        }
    }
}
