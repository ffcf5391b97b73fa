//! How a number stands in text or bytes.

use std::io::{self, Write};

/// The form of a number. What does not fit a form is cut to its low bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberForm {
    /// Decimal digits.
    Ascii,
    /// So many hexadecimal digits.
    Hex(usize),
    /// So many bytes, the most significant first.
    Big(usize),
    /// So many bytes, the least significant first.
    Little(usize),
    /// `true` unless it is 0.
    Bool,
}

impl NumberForm {
    /// By its name in a format.
    pub fn parse(name: &str) -> Option<NumberForm> {
        Some(match name {
            "ascii" | "number" => NumberForm::Ascii,
            "hex" | "hex64" => NumberForm::Hex(16),
            "hex32" => NumberForm::Hex(8),
            "hex16" => NumberForm::Hex(4),
            "hex8" => NumberForm::Hex(2),
            "hex4" => NumberForm::Hex(1),
            "big64" => NumberForm::Big(8),
            "big32" => NumberForm::Big(4),
            "big16" => NumberForm::Big(2),
            "big8" | "byte" | "little8" => NumberForm::Big(1),
            "little64" => NumberForm::Little(8),
            "little32" => NumberForm::Little(4),
            "little16" => NumberForm::Little(2),
            "bool" => NumberForm::Bool,
            _ => return None,
        })
    }

    /// Writes a number.
    pub fn write(self, number: i64, out: &mut impl Write) -> io::Result<()> {
        match self {
            NumberForm::Ascii => write!(out, "{number}"),
            NumberForm::Hex(digits) => {
                let text = format!("{:016x}", number);
                out.write_all(&text.as_bytes()[16 - digits..])
            }
            NumberForm::Big(size) => out.write_all(&number.to_be_bytes()[8 - size..]),
            NumberForm::Little(size) => out.write_all(&number.to_le_bytes()[..size]),
            NumberForm::Bool => write!(out, "{}", number != 0),
        }
    }

    /// How many bytes it always takes; `None` if that depends on the number.
    pub fn size(self) -> Option<usize> {
        match self {
            NumberForm::Hex(size) | NumberForm::Big(size) | NumberForm::Little(size) => Some(size),
            NumberForm::Ascii | NumberForm::Bool => None,
        }
    }

    /// The number that these bytes are. Fixed sizes are unsigned below 8 bytes.
    pub fn read(self, bytes: &[u8]) -> Option<i64> {
        match self {
            NumberForm::Ascii => std::str::from_utf8(bytes).ok()?.trim().parse().ok(),
            NumberForm::Hex(_) => {
                let text = std::str::from_utf8(bytes).ok()?;
                u64::from_str_radix(text, 16).ok().map(u64::cast_signed)
            }
            NumberForm::Big(_) => Some(
                bytes
                    .iter()
                    .fold(0, |number, byte| number << 8 | i64::from(*byte)),
            ),
            NumberForm::Little(_) => Some(
                bytes
                    .iter()
                    .rev()
                    .fold(0, |number, byte| number << 8 | i64::from(*byte)),
            ),
            NumberForm::Bool => match bytes {
                b"true" => Some(1),
                b"false" => Some(0),
                _ => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_in_their_forms_and_come_back() {
        for (name, number, expected) in [
            ("ascii", -7, &b"-7"[..]),
            ("hex64", 255, b"00000000000000ff"),
            ("hex", -1, b"ffffffffffffffff"),
            ("hex8", 0x1fe, b"fe"),
            ("hex4", 10, b"a"),
            ("big32", 258, b"\0\0\x01\x02"),
            ("big64", -2, b"\xff\xff\xff\xff\xff\xff\xff\xfe"),
            ("little16", 258, b"\x02\x01"),
            ("byte", 65, b"A"),
            ("bool", 3, b"true"),
            ("bool", 0, b"false"),
        ] {
            let form = NumberForm::parse(name).unwrap();
            let mut out = Vec::new();
            form.write(number, &mut out).unwrap();
            assert_eq!(out, expected, "{name}");
            assert_eq!(form.size().unwrap_or(out.len()), out.len(), "{name}");
            let read = form.read(&out).unwrap();
            let is_cut = matches!((name, number), ("hex8", 0x1fe) | ("bool", 3));
            assert!(is_cut || read == number, "{name}: {read}");
        }
        assert_eq!(NumberForm::parse("big24"), None);
        assert_eq!(NumberForm::Ascii.read(b"x"), None);
    }
}
