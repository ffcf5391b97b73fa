//! Base64 with the standard alphabet (RFC 4648, section 4).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// With `=` at the end when `padded`, so that the length is a multiple of 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    Padded,
    Raw,
}

pub fn encode(bytes: &[u8], padding: Padding) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for digit in 0..=chunk.len() {
            let index = bits >> (18 - 6 * digit) & 0x3f;
            text.push(ALPHABET[index as usize]);
        }
        if padding == Padding::Padded {
            text.resize(text.len() + 3 - chunk.len(), b'=');
        }
    }
    text
}

/// Reads both paddings; `None` if it is not base64.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let digits = match text {
        [digits @ .., b'=', b'='] | [digits @ .., b'='] if text.len().is_multiple_of(4) => digits,
        _ => text,
    };
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3);
    for chunk in digits.chunks(4) {
        let mut bits = 0_u32;
        for digit in chunk {
            let value = ALPHABET.iter().position(|known| known == digit)?;
            bits = bits << 6 | u32::try_from(value).ok()?;
        }
        bits <<= 6 * (4 - chunk.len());
        let [_, first, second, third] = bits.to_be_bytes();
        match chunk.len() {
            4 => bytes.extend([first, second, third]),
            3 => bytes.extend([first, second]),
            2 => bytes.push(first),
            _ => return None,
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_rfc() {
        for (plain, padded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let text = encode(plain.as_bytes(), Padding::Padded);
            assert_eq!(text, padded.as_bytes());
            let raw = encode(plain.as_bytes(), Padding::Raw);
            assert_eq!(raw, padded.trim_end_matches('=').as_bytes());
            assert_eq!(decode(&text).as_deref(), Some(plain.as_bytes()));
            assert_eq!(decode(&raw).as_deref(), Some(plain.as_bytes()));
        }
        for wrong in ["Z", "Zg=", "Zm9v=", "Zm 9v", "===="] {
            assert_eq!(decode(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn every_byte_comes_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&bytes, Padding::Raw)), Some(bytes));
    }
}
