//! Binary values in readable form: `unpack[>Iq]`.

use std::io::{self, Write};

/// What is taken out of bytes, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpack(Vec<Step>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    BigEndian,
    LittleEndian,
    Skip,
    Number { size: usize, signed: bool },
    Character,
    Rest,
    End,
}

impl Unpack {
    /// `x` skips a byte; `<` and `>` choose the byte order of what follows (big-endian before);
    /// `bBhHiIqQ` are numbers of 1, 2, 4 and 8 bytes, unsigned if large; `c` and `.` a character; `s`
    /// the rest as text; `$` must be the end.
    pub fn parse(text: &str) -> Result<Unpack, String> {
        let number = |size, signed| Step::Number { size, signed };
        let step = |letter| {
            Ok(match letter {
                '>' => Step::BigEndian,
                '<' => Step::LittleEndian,
                'x' => Step::Skip,
                'b' => number(1, true),
                'B' => number(1, false),
                'h' => number(2, true),
                'H' => number(2, false),
                'i' => number(4, true),
                'I' => number(4, false),
                'q' => number(8, true),
                'Q' => number(8, false),
                'c' | '.' => Step::Character,
                's' => Step::Rest,
                '$' => Step::End,
                other => return Err(format!("unpack does not know '{other}'")),
            })
        };
        text.chars().map(step).collect::<Result<_, _>>().map(Unpack)
    }

    /// Writes what the bytes hold. Bytes that do not fit end in a remark.
    pub fn write(&self, mut bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        let mut is_big = true;
        for step in &self.0 {
            match step {
                Step::BigEndian => is_big = true,
                Step::LittleEndian => is_big = false,
                Step::End if bytes.is_empty() => {}
                Step::End => return write!(out, "(there are {} bytes more)", bytes.len()),
                Step::Rest => {
                    out.write_all(bytes)?;
                    bytes = &[];
                }
                Step::Skip | Step::Character | Step::Number { .. } => {
                    let size = match step {
                        Step::Number { size, .. } => *size,
                        _ => 1,
                    };
                    let Some((taken, rest)) = bytes.split_at_checked(size) else {
                        return out.write_all(b"(there are not enough bytes)");
                    };
                    bytes = rest;
                    match step {
                        Step::Character => out.write_all(taken)?,
                        Step::Number { signed, .. } => {
                            write!(out, "{}", number(taken, is_big, *signed))?;
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }
}

fn number(bytes: &[u8], is_big: bool, signed: bool) -> i128 {
    let add = |number: i128, byte: &u8| number << 8 | i128::from(*byte);
    let unsigned = match is_big {
        true => bytes.iter().fold(0, add),
        false => bytes.iter().rev().fold(0, add),
    };
    let bits = 8 * bytes.len();
    match signed && unsigned >> (bits - 1) == 1 {
        true => unsigned - (1 << bits),
        false => unsigned,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_taken_apart() {
        for (spec, bytes, expected) in [
            (">I", &b"\0\0\x01\x02"[..], "258"),
            ("<I", b"\x02\x01\0\0", "258"),
            ("b", b"\xff", "-1"),
            ("B$", b"\xff", "255"),
            ("q", b"\xff\xff\xff\xff\xff\xff\xff\xfe", "-2"),
            (
                "Q",
                b"\xff\xff\xff\xff\xff\xff\xff\xff",
                "18446744073709551615",
            ),
            ("xh<Hc.s", b"!\0\x01\x02\0abrest", "12abrest"),
            ("I", b"\0\0\0", "(there are not enough bytes)"),
            ("B$", b"\x01\x02", "1(there are 1 bytes more)"),
        ] {
            let mut out = Vec::new();
            Unpack::parse(spec).unwrap().write(bytes, &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{spec}");
        }
        assert!(Unpack::parse("z").is_err());
    }
}
