//! Formats taken apart.

use super::number::NumberForm;
use super::text::TextForm;
use super::time::TimeForm;

/// One piece of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// What stands there itself.
    Literal(Vec<u8>),
    /// A number in its form.
    Number(NumberField, NumberForm),
    /// Bytes in their form.
    Bytes(BytesField, TextForm),
    /// The timestamp.
    Time(TimeForm),
    /// The codec of the record's batch, by its name.
    CodecName,
    /// A format for each header.
    Headers(Vec<Piece>),
    /// All headers as `name=value,name=value`.
    HeaderList,
}

/// A field that is a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberField {
    Partition,
    Offset,
    LeaderEpoch,
    TopicSize,
    KeySize,
    ValueSize,
    /// As [`NumberField::KeySize`], and -1 for null.
    KeySizeOrNull,
    /// As [`NumberField::ValueSize`], and -1 for null.
    ValueSizeOrNull,
    HeaderCount,
    ProducerId,
    ProducerEpoch,
    /// Number of the record, from 1.
    Count,
    LogStartOffset,
    LastStableOffset,
    HighWatermark,
    Codec,
    TimestampType,
    IsTransactional,
    IsControl,
}

/// A field that is bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BytesField {
    Topic,
    Key,
    Value,
}

/// Reads a format; the error says what is wrong.
pub fn parse(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        match character {
            '%' => {
                let verb = rest.chars().next().ok_or("the format ends in a %")?;
                rest = &rest[verb.len_utf8()..];
                if matches!(verb, '%' | '{' | '}') {
                    literal.extend(verb.to_string().as_bytes());
                    continue;
                }
                let (spec, after) = spec(rest)?;
                rest = after;
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(field(verb, spec)?);
            }
            '\\' => {
                let (byte, after) = escaped(rest)?;
                literal.push(byte);
                rest = after;
            }
            other => {
                let mut buffer = [0; 4];
                literal.extend(other.encode_utf8(&mut buffer).as_bytes());
            }
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

/// What stands in the braces behind a field, and what follows.
fn spec(text: &str) -> Result<(Option<&str>, &str), String> {
    if !text.starts_with('{') {
        return Ok((None, text));
    }
    let mut depth = 0;
    let mut is_escaped = false;
    for (index, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            // `%{` and `%}` are braces of the text; `%%` must not make the next one so. A field's own
            // brace, as in `%v{hex}`, stands behind a letter.
            '%' => {
                let next = text[index + 1..].chars().next();
                is_escaped = matches!(next, Some('{' | '}' | '%'));
            }
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok((Some(&text[1..index]), &text[index + 1..]));
        }
    }
    Err(format!("'{text}' has no closing brace"))
}

/// One escaped byte, and what follows.
pub fn escaped(text: &str) -> Result<(u8, &str), String> {
    let mut characters = text.chars();
    let byte = match characters.next() {
        Some('n') => b'\n',
        Some('t') => b'\t',
        Some('r') => b'\r',
        Some('0') => 0,
        Some('\\') => b'\\',
        Some('x') => {
            let digits = text.get(1..3).ok_or("\\x needs two digits")?;
            let byte = u8::from_str_radix(digits, 16).map_err(|_| "\\x needs two digits")?;
            return Ok((byte, &text[3..]));
        }
        Some(other) => return Err(format!("there is no \\{other}")),
        None => return Err("the format ends in a \\".to_owned()),
    };
    Ok((byte, characters.as_str()))
}

fn field(verb: char, spec: Option<&str>) -> Result<Piece, String> {
    let number = match verb {
        'p' => Some(NumberField::Partition),
        'o' => Some(NumberField::Offset),
        'e' => Some(NumberField::LeaderEpoch),
        'T' => Some(NumberField::TopicSize),
        'K' => Some(NumberField::KeySize),
        'V' => Some(NumberField::ValueSize),
        'H' => Some(NumberField::HeaderCount),
        'x' => Some(NumberField::ProducerId),
        'y' => Some(NumberField::ProducerEpoch),
        'i' => Some(NumberField::Count),
        '[' => Some(NumberField::LogStartOffset),
        '|' => Some(NumberField::LastStableOffset),
        ']' => Some(NumberField::HighWatermark),
        _ => None,
    };
    if let Some(number) = number {
        return Ok(Piece::Number(number, number_form(spec)?));
    }
    let bytes = |field| -> Result<Piece, String> {
        let form = spec.map_or(Ok(TextForm::Raw), TextForm::parse)?;
        Ok(Piece::Bytes(field, form))
    };
    match verb {
        't' => bytes(BytesField::Topic),
        'k' => bytes(BytesField::Key),
        'v' => bytes(BytesField::Value),
        'd' => {
            let plain = Ok(TimeForm::Number(NumberForm::Ascii));
            spec.map_or(plain, TimeForm::parse).map(Piece::Time)
        }
        'D' if spec.is_none() => Ok(Piece::Time(TimeForm::Iso)),
        'h' => match spec {
            Some(spec) => parse(spec).map(Piece::Headers),
            None => Ok(Piece::HeaderList),
        },
        'a' => attribute(spec.ok_or("%a needs the name of an attribute: %a{compression}")?),
        other => Err(format!("there is no %{other}")),
    }
}

fn number_form(spec: Option<&str>) -> Result<NumberForm, String> {
    match spec {
        None => Ok(NumberForm::Ascii),
        Some(name) => {
            NumberForm::parse(name).ok_or_else(|| format!("'{name}' is no form of a number"))
        }
    }
}

fn attribute(spec: &str) -> Result<Piece, String> {
    let (name, form) = match spec.split_once(';') {
        Some((name, form)) => (name, Some(form)),
        None => (spec, None),
    };
    let field = match name {
        "compression" if form.is_none() => return Ok(Piece::CodecName),
        "compression" => NumberField::Codec,
        "timestamp-type" => NumberField::TimestampType,
        "transactional-bit" => NumberField::IsTransactional,
        "control-bit" => NumberField::IsControl,
        other => return Err(format!("there is no attribute '{other}'")),
    };
    Ok(Piece::Number(field, number_form(form)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Piece {
        Piece::Literal(text.as_bytes().to_vec())
    }

    #[test]
    fn pieces_are_found() {
        let raw = |field| Piece::Bytes(field, TextForm::Raw);
        assert_eq!(
            parse("%t[%p]@%o %% %{\\x41%}\\n"),
            Ok(vec![
                raw(BytesField::Topic),
                literal("["),
                Piece::Number(NumberField::Partition, NumberForm::Ascii),
                literal("]@"),
                Piece::Number(NumberField::Offset, NumberForm::Ascii),
                literal(" % {A}\n"),
            ])
        );
        assert_eq!(
            parse("%h{%k=%v{hex}%%%}}ü%]"),
            Ok(vec![
                Piece::Headers(vec![
                    raw(BytesField::Key),
                    literal("="),
                    Piece::Bytes(BytesField::Value, TextForm::Hex),
                    literal("%}"),
                ]),
                literal("ü"),
                Piece::Number(NumberField::HighWatermark, NumberForm::Ascii),
            ])
        );
        for wrong in [
            "%",
            "%q",
            "%v{",
            "%v{hex",
            "\\",
            "\\q",
            "\\x4",
            "%p{hex3}",
            "%v{utf9}",
            "%a",
            "%a{colour}",
            "%a{compression;x}",
            "%d{x}",
            "%h{%q}",
            "%D{x}",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
