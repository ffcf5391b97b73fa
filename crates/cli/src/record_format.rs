//! The language that says how records stand in text: `%k`, `%v` and friends, as rpk and kcl have it.

use std::io::{BufRead, Write};

use ottla_client::ConsumedRecord;

use crate::time_text::format_millis;

/// One piece of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Field(u8),
}

/// How records are printed: `%t` topic, `%p` partition, `%o` offset, `%k` key, `%v` value, `%d`
/// timestamp in milliseconds, `%D` timestamp as a date, `%e` leader epoch, `%h` headers, `%K` and
/// `%V` sizes of key and value, `%%` a percent sign.
#[derive(Clone, Debug)]
pub struct OutputFormat(Vec<Piece>);

/// How records are read: `%k`, `%v`, `%p` and the text between them.
#[derive(Clone, Debug)]
pub struct InputFormat(Vec<Piece>);

/// What was read of one record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputRecord {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub partition: Option<i32>,
}

fn pieces(text: &str, fields: &[u8]) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => match bytes.next() {
                Some(b'%') => literal.push(b'%'),
                Some(field) if fields.contains(&field) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Field(field));
                }
                Some(other) => return Err(format!("there is no %{}", char::from(other))),
                None => return Err("the format ends in a %".to_owned()),
            },
            b'\\' => literal.push(escaped(&mut bytes)?),
            other => literal.push(other),
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    Ok(pieces)
}

fn escaped(bytes: &mut std::str::Bytes<'_>) -> Result<u8, String> {
    match bytes.next() {
        Some(b'n') => Ok(b'\n'),
        Some(b't') => Ok(b'\t'),
        Some(b'r') => Ok(b'\r'),
        Some(b'0') => Ok(0),
        Some(b'\\') => Ok(b'\\'),
        Some(b'x') => two_digits(bytes).ok_or_else(|| "\\x needs two digits".to_owned()),
        Some(other) => Err(format!("there is no \\{}", char::from(other))),
        None => Err("the format ends in a \\".to_owned()),
    }
}

fn two_digits(bytes: &mut std::str::Bytes<'_>) -> Option<u8> {
    let high = char::from(bytes.next()?).to_digit(16)?;
    let low = char::from(bytes.next()?).to_digit(16)?;
    u8::try_from(high * 16 + low).ok()
}

impl OutputFormat {
    /// Reads a format; the error says what is wrong.
    pub fn parse(text: &str) -> Result<OutputFormat, String> {
        pieces(text, b"tpokvdDehKV").map(OutputFormat)
    }

    /// Prints one record.
    pub fn write(&self, record: &ConsumedRecord, out: &mut impl Write) -> std::io::Result<()> {
        let size = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, |bytes| bytes.len());
        for piece in &self.0 {
            let field = match piece {
                Piece::Text(text) => {
                    out.write_all(text)?;
                    continue;
                }
                Piece::Field(field) => *field,
            };
            match field {
                b't' => out.write_all(record.partition.topic.as_bytes())?,
                b'p' => write!(out, "{}", record.partition.partition)?,
                b'o' => write!(out, "{}", record.offset.get())?,
                b'k' => out.write_all(record.key.as_deref().unwrap_or_default())?,
                b'v' => out.write_all(record.value.as_deref().unwrap_or_default())?,
                b'd' => write!(out, "{}", record.timestamp.as_millis())?,
                b'D' => out.write_all(format_millis(record.timestamp.as_millis()).as_bytes())?,
                b'e' => write!(
                    out,
                    "{}",
                    record.leader_epoch.map_or(-1, |epoch| epoch.get())
                )?,
                b'K' => write!(out, "{}", size(&record.key))?,
                b'V' => write!(out, "{}", size(&record.value))?,
                _ => write_headers(record, out)?,
            }
        }
        Ok(())
    }
}

fn write_headers(record: &ConsumedRecord, out: &mut impl Write) -> std::io::Result<()> {
    for (index, (name, value)) in record.headers.iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        out.write_all(name)?;
        out.write_all(b"=")?;
        out.write_all(value.as_deref().unwrap_or_default())?;
    }
    Ok(())
}

impl InputFormat {
    /// Reads a format; the error says what is wrong. Every field is followed by a text that ends it.
    pub fn parse(text: &str) -> Result<InputFormat, String> {
        let pieces = pieces(text, b"kvp")?;
        let fields = pieces.iter().enumerate();
        for (index, _) in fields.filter(|(_, piece)| matches!(piece, Piece::Field(_))) {
            if !matches!(pieces.get(index + 1), Some(Piece::Text(_))) {
                return Err(format!(
                    "in '{text}' a field has no text behind it that ends it"
                ));
            }
        }
        if !pieces.iter().any(|piece| matches!(piece, Piece::Field(_))) {
            return Err(format!("'{text}' has neither %k nor %v"));
        }
        Ok(InputFormat(pieces))
    }

    /// Reads the next record; `None` at the end. The last record need not be ended.
    pub fn read(&self, input: &mut impl BufRead) -> std::io::Result<Option<InputRecord>> {
        let mut record = InputRecord::default();
        let mut field = None;
        let mut is_at_start = true;
        for piece in &self.0 {
            let text = match piece {
                Piece::Field(name) => {
                    field = Some(*name);
                    continue;
                }
                Piece::Text(text) => text,
            };
            let mut bytes = Vec::new();
            let is_ended = read_until(input, text, &mut bytes)?;
            if !is_ended && is_at_start && bytes.is_empty() {
                return Ok(None);
            }
            is_at_start = false;
            match field.take() {
                Some(b'k') => record.key = Some(bytes),
                Some(b'v') => record.value = Some(bytes),
                Some(_) => record.partition = Some(partition(&bytes)?),
                None if bytes.is_empty() => {}
                None => return Err(invalid("the input does not begin as the format says")),
            }
        }
        Ok(Some(record))
    }
}

fn partition(bytes: &[u8]) -> std::io::Result<i32> {
    let text = std::str::from_utf8(bytes).ok();
    let number = text.and_then(|text| text.trim().parse().ok());
    number.ok_or_else(|| invalid("a partition is not a number"))
}

fn invalid(message: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, message)
}

/// Reads to `end` and past it, or to the end of the input; gives whether `end` was there.
fn read_until(input: &mut impl BufRead, end: &[u8], bytes: &mut Vec<u8>) -> std::io::Result<bool> {
    let last = end[end.len() - 1];
    loop {
        if input.read_until(last, bytes)? == 0 {
            return Ok(false);
        }
        if bytes.ends_with(end) {
            bytes.truncate(bytes.len() - end.len());
            return Ok(true);
        }
        if bytes.last() != Some(&last) {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(format: &str, input: &str) -> Vec<(Option<String>, Option<String>)> {
        let format = InputFormat::parse(format).unwrap();
        let mut input = input.as_bytes();
        let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8(bytes).unwrap());
        std::iter::from_fn(|| format.read(&mut input).unwrap())
            .map(|record| (text(record.key), text(record.value)))
            .collect()
    }

    fn some(key: &str, value: &str) -> (Option<String>, Option<String>) {
        (Some(key.to_owned()), Some(value.to_owned()))
    }

    #[test]
    fn lines_are_records_and_the_last_one_needs_no_end() {
        let value = |text: &str| (None, Some(text.to_owned()));
        assert_eq!(
            read_all("%v\\n", "a\n\nb"),
            [value("a"), value(""), value("b")]
        );
        assert_eq!(read_all("%v\\n", ""), []);
    }

    #[test]
    fn keys_and_values_are_parted_by_any_text() {
        assert_eq!(
            read_all("%k::%v\\n", "a:b::c\n::\n"),
            [some("a:b", "c"), some("", "")]
        );
        assert_eq!(read_all("%v\\t%k\\n", "1\t2\n"), [some("2", "1")]);
        assert_eq!(
            read_all("<%k>%v;", "<a>b;<c>d;"),
            [some("a", "b"), some("c", "d")]
        );
    }

    #[test]
    fn formats_that_cannot_work_are_refused() {
        for text in ["%k%v\\n", "%v", "plain", "%q\\n", "%v%", "%v\\", "%v\\xZZ"] {
            assert!(InputFormat::parse(text).is_err(), "{text}");
        }
        assert!(OutputFormat::parse("%t[%p]@%o %% \\x41\\n").is_ok());
    }
}
