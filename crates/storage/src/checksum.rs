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

/// CRC-32C of two stretches of bytes one after the other, from theirs: what was read once need not be read again.
/// Costs as much as reading some 8 KiB.
pub fn crc32c_joined(first: u32, second: u32, second_size: usize) -> u32 {
    multiply(power_of_x(second_size), first) ^ second
}

/// The polynomial of CRC-32C, bits reversed as everywhere in it: the highest bit is x^0.
const POLYNOMIAL: u32 = 0x82f6_3b78;
const ONE: u32 = 1 << 31;
/// x^(2^k) modulo the polynomial: enough for sizes of 32 bits.
const POWERS: [u32; 36] = {
    let mut powers = [ONE >> 1; 36];
    let mut k = 1;
    while k < powers.len() {
        powers[k] = multiply(powers[k - 1], powers[k - 1]);
        k += 1;
    }
    powers
};

/// x^(8 * size) modulo the polynomial: what `size` bytes more do to what stands before them.
fn power_of_x(size: usize) -> u32 {
    let mut product = ONE;
    for (bit, power) in POWERS[3..].iter().enumerate() {
        if size >> bit & 1 == 1 {
            product = multiply(*power, product);
        }
    }
    product
}

/// The product of two polynomials modulo that of the CRC.
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = ONE;
    while bit != 0 {
        if a & bit != 0 {
            product ^= b;
        }
        b = if b & 1 == 1 {
            b >> 1 ^ POLYNOMIAL
        } else {
            b >> 1
        };
        bit >>= 1;
    }
    product
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

    #[test]
    fn checksums_of_parts_make_that_of_the_whole() {
        let bytes: Vec<u8> = (0..300_000u32).map(|at| ((at * 31) >> 7) as u8).collect();
        let whole = crc32c(&bytes);
        for at in [0, 1, 60, 4_095, 131_072, 299_999, 300_000] {
            let (first, second) = bytes.split_at(at);
            assert_eq!(
                crc32c_joined(crc32c(first), crc32c(second), second.len()),
                whole,
                "{at}"
            );
        }
    }
}
