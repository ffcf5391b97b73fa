//! kcat's language, where `%s` is the value and `%T` the timestamp.

use super::number::NumberForm;
use super::syntax::{BytesField, NumberField, Piece, escaped};
use super::text::TextForm;
use super::time::TimeForm;

pub fn parse(text: &str) -> Result<Vec<Piece>, String> {
    let ascii = |field| Piece::Number(field, NumberForm::Ascii);
    let raw = |field| Piece::Bytes(field, TextForm::Raw);
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        if character == '\\' {
            let (byte, after) = escaped(rest)?;
            rest = after;
            pieces.push(Piece::Literal(vec![byte]));
            continue;
        }
        if character != '%' {
            pieces.push(Piece::Literal(character.to_string().into_bytes()));
            continue;
        }
        let verb = rest.chars().next().ok_or("the format ends in a %")?;
        rest = &rest[verb.len_utf8()..];
        pieces.push(match verb {
            's' => raw(BytesField::Value),
            'S' => ascii(NumberField::ValueSizeOrNull),
            'R' => Piece::Number(NumberField::ValueSizeOrNull, NumberForm::Big(4)),
            'k' => raw(BytesField::Key),
            'K' => ascii(NumberField::KeySizeOrNull),
            'T' => Piece::Time(TimeForm::Number(NumberForm::Ascii)),
            'h' => Piece::HeaderList,
            't' => raw(BytesField::Topic),
            'p' => ascii(NumberField::Partition),
            'o' => ascii(NumberField::Offset),
            '%' => Piece::Literal(b"%".to_vec()),
            other => return Err(format!("kcat has no %{other}")),
        });
    }
    Ok(pieces)
}
