//! How a key, a value or a name stands in text.

use std::io::{self, Write};

use serde_json::value::RawValue;

use super::base64::{self, Padding};
use super::unpack::Unpack;

/// The form of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextForm {
    /// As they are.
    Raw,
    /// Two hexadecimal digits for each.
    Hex,
    /// Base64.
    Base64(Padding),
    /// JSON as it is, anything else as a JSON string, nothing as null.
    Json,
    /// What they hold in binary form; only for printing.
    Unpack(Unpack),
}

impl TextForm {
    /// By its name in a format.
    pub fn parse(text: &str) -> Result<TextForm, String> {
        Ok(match text {
            "hex" => TextForm::Hex,
            "base64" => TextForm::Base64(Padding::Padded),
            "base64raw" => TextForm::Base64(Padding::Raw),
            "json" => TextForm::Json,
            _ => match text.strip_prefix("unpack") {
                Some(wrapped) => TextForm::Unpack(Unpack::parse(unwrap(wrapped))?),
                None => return Err(format!("'{text}' is no form of bytes")),
            },
        })
    }

    /// Writes the bytes.
    pub fn write(&self, bytes: Option<&[u8]>, out: &mut impl Write) -> io::Result<()> {
        if let (TextForm::Json, None) = (self, bytes) {
            return out.write_all(b"null");
        }
        let bytes = bytes.unwrap_or_default();
        match self {
            TextForm::Raw => out.write_all(bytes),
            TextForm::Hex => bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}")),
            TextForm::Base64(padding) => out.write_all(&base64::encode(bytes, *padding)),
            TextForm::Json => match serde_json::from_slice::<&RawValue>(bytes) {
                Ok(raw) => out.write_all(raw.get().as_bytes()),
                Err(_) => {
                    let text = String::from_utf8_lossy(bytes);
                    serde_json::to_writer(out, &text).map_err(io::Error::from)
                }
            },
            TextForm::Unpack(unpack) => unpack.write(bytes, out),
        }
    }

    /// The bytes that were written so; `None` if they cannot have been.
    pub fn read(&self, text: Vec<u8>) -> Option<Vec<u8>> {
        match self {
            TextForm::Raw => Some(text),
            TextForm::Hex => {
                let digit = |digit: u8| char::from(digit).to_digit(16);
                let pairs = text.chunks(2).map(|pair| match pair {
                    [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
                    _ => None,
                });
                pairs.collect()
            }
            TextForm::Base64(_) => base64::decode(&text),
            TextForm::Json => {
                let is_json = serde_json::from_slice::<&RawValue>(&text).is_ok();
                is_json.then_some(text)
            }
            TextForm::Unpack(_) => None,
        }
    }
}

/// What stands between brackets, braces, `#` and `=` of any number: `[%F]`, `### %F ###`.
pub fn unwrap(text: &str) -> &str {
    let mut text = text;
    loop {
        let mut characters = text.chars();
        let ends = (characters.next(), characters.next_back());
        let is_wrapped = matches!(
            ends,
            (Some('['), Some(']'))
                | (Some('{'), Some('}'))
                | (Some('('), Some(')'))
                | (Some('#'), Some('#'))
                | (Some('='), Some('='))
                | (Some(' '), Some(' '))
        );
        if !is_wrapped {
            return text;
        }
        text = characters.as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: &str, bytes: Option<&[u8]>) -> String {
        let mut out = Vec::new();
        TextForm::parse(form)
            .unwrap()
            .write(bytes, &mut out)
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bytes_stand_in_their_forms_and_come_back() {
        assert_eq!(written("hex", Some(b"\0\xffA")), "00ff41");
        assert_eq!(written("base64", Some(b"f")), "Zg==");
        assert_eq!(written("base64raw", Some(b"f")), "Zg");
        assert_eq!(written("json", Some(b"{\"a\": 1}")), "{\"a\": 1}");
        assert_eq!(written("json", Some(b"it's \"so\"")), "\"it's \\\"so\\\"\"");
        assert_eq!(written("json", None), "null");
        assert_eq!(written("hex", None), "");
        assert_eq!(written("unpack[>H]", Some(b"\x01\0")), "256");
        let read = |form: &str, text: &[u8]| TextForm::parse(form).unwrap().read(text.to_vec());
        assert_eq!(read("hex", b"00ff41").as_deref(), Some(&b"\0\xffA"[..]));
        assert_eq!(read("base64", b"Zg==").as_deref(), Some(&b"f"[..]));
        assert_eq!(read("json", b"[1]").as_deref(), Some(&b"[1]"[..]));
        for (form, text) in [("hex", "0"), ("hex", "0g"), ("base64", "!"), ("json", "{")] {
            assert_eq!(read(form, text.as_bytes()), None, "{form} {text}");
        }
        assert!(TextForm::parse("hexx").is_err());
    }

    #[test]
    fn wrappings_are_taken_off() {
        assert_eq!(unwrap("[%F]"), "%F");
        assert_eq!(unwrap("### [%F %T] ###"), "%F %T");
        assert_eq!(unwrap("%F"), "%F");
        assert_eq!(unwrap("["), "[");
    }
}
