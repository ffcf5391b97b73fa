use std::fmt::Debug;

use ottla_protocol::{DecodeError, EncodeError, Message, Reader, Writer};

/// How tests reach one message without knowing its type.
pub struct Entry {
    /// Path of its schema below `schemas/`.
    pub schema: &'static str,
    pub name: &'static str,
    pub api_key: Option<i16>,
    pub is_request: bool,
    pub recode: fn(&[u8], i16) -> Result<Recoded, DecodeError>,
    /// Decodes and forgets.
    pub probe: fn(&[u8], i16),
    pub show: fn(&[u8], i16) -> String,
}

/// What became of bytes that were decoded and encoded again.
#[derive(Debug)]
pub struct Recoded {
    /// Bytes that decoding left over.
    pub left_over: usize,
    pub encoded: Result<Vec<u8>, EncodeError>,
}

/// Decodes and encodes again.
pub fn recode<'a, T: Message<'a>>(bytes: &'a [u8], version: i16) -> Result<Recoded, DecodeError> {
    let mut reader = Reader::new(bytes);
    let message = T::decode(&mut reader, version)?;
    let left_over = reader.remaining();
    let mut writer = Writer::new();
    let encoded = message
        .encode(&mut writer, version)
        .map(|()| writer.into_buf());
    Ok(Recoded { left_over, encoded })
}

/// The message as text for people, or why there is none.
pub fn show<'a, T: Message<'a> + Debug>(bytes: &'a [u8], version: i16) -> String {
    format!("{:?}", T::decode(&mut Reader::new(bytes), version))
}

/// Decodes and forgets: what it takes to decode is all it takes.
pub fn probe<'a, T: Message<'a>>(bytes: &'a [u8], version: i16) {
    // Whether it can be decoded is for others to ask.
    let _ = T::decode(&mut Reader::new(bytes), version);
}
