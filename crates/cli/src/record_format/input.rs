use std::io::{self, BufRead};

use super::input_record::{InputRecord, invalid};
use super::kafka_lines::KafkaLines;
use super::number::NumberForm;
use super::syntax::{self, BytesField, NumberField, Piece};
use super::text::TextForm;
use super::time::TimeForm;

/// How records are read.
#[derive(Clone, Debug)]
pub enum InputFormat {
    /// As a format says.
    Pieces(Vec<Piece>),
    /// As Kafka's console producer has them.
    KafkaLines(KafkaLines),
}

impl InputFormat {
    /// Reads a format; the error says what is wrong. A field ends where the text behind it begins,
    /// or is as large as a size before it has said: `%K{big32}%k`.
    pub fn parse(text: &str) -> Result<InputFormat, String> {
        let pieces = syntax::parse(text)?;
        check(&pieces, &mut Sizes::default(), text)?;
        let is_bytes = |piece: &Piece| matches!(piece, Piece::Bytes(..));
        if !pieces.iter().any(is_bytes) {
            return Err(format!("'{text}' has neither %k nor %v"));
        }
        Ok(InputFormat::Pieces(pieces))
    }

    /// Reads the next record; `None` at the end. What ends the last record may be missing.
    pub fn read(&mut self, input: &mut impl BufRead) -> io::Result<Option<InputRecord>> {
        match self {
            InputFormat::Pieces(pieces) => read_pieces(pieces, input),
            InputFormat::KafkaLines(lines) => lines.read(input),
        }
    }
}

fn read_pieces(pieces: &[Piece], input: &mut impl BufRead) -> io::Result<Option<InputRecord>> {
    if let Some(Piece::Bytes(_, TextForm::Json)) = pieces.first() {
        skip_whitespace(input)?; // What stands between two values belongs to neither.
    }
    if input.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let mut record = InputRecord::default();
    let mut reading = Reading {
        input,
        sizes: Sizes::default(),
        header_count: 0,
    };
    reading.read(pieces, &mut record)?;
    // A format without a value has records with an empty one: tombstones are asked for otherwise.
    record.value.get_or_insert_default();
    Ok(Some(record))
}

/// Sizes of fields that are still to come; for checking a format, any number.
#[derive(Default)]
struct Sizes {
    topic: Option<usize>,
    key: Option<usize>,
    value: Option<usize>,
}

impl Sizes {
    fn of(&mut self, field: BytesField) -> &mut Option<usize> {
        match field {
            BytesField::Topic => &mut self.topic,
            BytesField::Key => &mut self.key,
            BytesField::Value => &mut self.value,
        }
    }
}

/// Whose size a number is.
fn sized(field: NumberField) -> Option<BytesField> {
    match field {
        NumberField::TopicSize => Some(BytesField::Topic),
        NumberField::KeySize => Some(BytesField::Key),
        NumberField::ValueSize => Some(BytesField::Value),
        _ => None,
    }
}

fn check(pieces: &[Piece], sizes: &mut Sizes, text: &str) -> Result<(), String> {
    let mut has_header_count = false;
    for (index, piece) in pieces.iter().enumerate() {
        let is_ended = matches!(pieces.get(index + 1), Some(Piece::Literal(_)));
        let endless = || {
            Err(format!(
                "in '{text}' a field has no text behind it that ends it"
            ))
        };
        match piece {
            Piece::Literal(_) => {}
            Piece::Bytes(_, TextForm::Unpack(_)) => {
                return Err(format!("in '{text}': unpack is for printing only"));
            }
            Piece::Bytes(field, form) => {
                let is_sized = sizes.of(*field).take().is_some();
                if !is_sized && !is_ended && *form != TextForm::Json {
                    return endless();
                }
            }
            Piece::Number(field, form) => {
                match field {
                    NumberField::HeaderCount => has_header_count = true,
                    NumberField::Partition => {}
                    other => match sized(*other) {
                        Some(of) => *sizes.of(of) = Some(0),
                        None => return Err(format!("in '{text}' a field cannot be produced")),
                    },
                }
                if form.size().is_none() && !is_ended {
                    return endless();
                }
            }
            Piece::Time(TimeForm::Number(form)) => {
                if form.size().is_none() && !is_ended {
                    return endless();
                }
            }
            Piece::Headers(_) if !has_header_count => {
                return Err(format!("in '{text}' %H must say how many headers %h reads"));
            }
            Piece::Headers(pieces) => check(pieces, &mut Sizes::default(), text)?,
            Piece::HeaderList => {
                return Err(format!("in '{text}' %h needs a format: %h{{%k=%v }}"));
            }
            Piece::Time(_) | Piece::CodecName => {
                return Err(format!("in '{text}' a field cannot be produced"));
            }
        }
    }
    Ok(())
}

struct Reading<'a, R> {
    input: &'a mut R,
    sizes: Sizes,
    header_count: i64,
}

impl<R: BufRead> Reading<'_, R> {
    fn read(&mut self, pieces: &[Piece], record: &mut InputRecord) -> io::Result<()> {
        let mut pieces = pieces;
        while let Some((piece, rest)) = pieces.split_first() {
            pieces = rest;
            let end = match rest.first() {
                Some(Piece::Literal(text)) => Some(text.as_slice()),
                _ => None,
            };
            let is_last = rest.len() == 1;
            let mut has_read_end = false;
            match piece {
                Piece::Literal(text) => self.expect(text)?,
                Piece::Bytes(field, form) => {
                    let bytes = match (self.sizes.of(*field).take(), form, end) {
                        (Some(size), _, _) => self.exactly(size)?,
                        (None, TextForm::Json, _) => self.json_value()?,
                        (None, _, Some(end)) => {
                            has_read_end = true;
                            self.until(end, is_last)?
                        }
                        (None, _, None) => unreachable!("a format is checked when it is read"),
                    };
                    let bytes = form.read(bytes).ok_or_else(|| {
                        invalid("a field is not in the form that the format says")
                    })?;
                    match field {
                        BytesField::Key => record.key = Some(bytes),
                        BytesField::Value => record.value = Some(bytes),
                        BytesField::Topic => {
                            let name = String::from_utf8(bytes);
                            record.topic = Some(name.map_err(|_| invalid("a topic is not text"))?);
                        }
                    }
                }
                Piece::Number(field, form) => {
                    let number = self.number(*form, end, is_last, &mut has_read_end)?;
                    self.took_number(*field, number, record)?;
                }
                Piece::Time(TimeForm::Number(form)) => {
                    let number = self.number(*form, end, is_last, &mut has_read_end)?;
                    record.timestamp = Some(number);
                }
                Piece::Headers(pieces) => {
                    for _ in 0..self.header_count {
                        let mut header = InputRecord::default();
                        self.read(pieces, &mut header)?;
                        let InputRecord { key, value, .. } = header;
                        let pair = (key.unwrap_or_default(), Some(value.unwrap_or_default()));
                        record.headers.push(pair);
                    }
                }
                Piece::HeaderList | Piece::Time(_) | Piece::CodecName => {
                    unreachable!("a format is checked when it is read")
                }
            }
            if has_read_end {
                pieces = &pieces[1..];
            }
        }
        Ok(())
    }

    fn number(
        &mut self,
        form: NumberForm,
        end: Option<&[u8]>,
        is_last: bool,
        has_read_end: &mut bool,
    ) -> io::Result<i64> {
        let bytes = match (form.size(), end) {
            (Some(size), _) => self.exactly(size)?,
            (None, Some(end)) => {
                *has_read_end = true;
                self.until(end, is_last)?
            }
            (None, None) => unreachable!("a format is checked when it is read"),
        };
        form.read(&bytes)
            .ok_or_else(|| invalid("a number is not in the form that the format says"))
    }

    fn took_number(
        &mut self,
        field: NumberField,
        number: i64,
        record: &mut InputRecord,
    ) -> io::Result<()> {
        /// More than any broker takes.
        const SIZE_MAX: i64 = 1 << 30;
        if field == NumberField::Partition {
            let partition = i32::try_from(number);
            record.partition = Some(partition.map_err(|_| invalid("a partition is too large"))?);
            return Ok(());
        }
        if !(0..=SIZE_MAX).contains(&number) {
            return Err(invalid("a size is not one"));
        }
        match sized(field) {
            Some(of) => *self.sizes.of(of) = Some(number as usize),
            None => self.header_count = number,
        }
        Ok(())
    }

    fn expect(&mut self, text: &[u8]) -> io::Result<()> {
        let mut found = Vec::new();
        let input = &mut *self.input;
        io::Read::read_to_end(&mut io::Read::take(input, text.len() as u64), &mut found)?;
        // Nothing at all is the end of the last record.
        match found.is_empty() || found == text {
            true => Ok(()),
            false => Err(invalid("the input is not as the format says")),
        }
    }

    fn exactly(&mut self, size: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let input = &mut *self.input;
        io::Read::read_to_end(&mut io::Read::take(input, size as u64), &mut bytes)?;
        match bytes.len() == size {
            true => Ok(bytes),
            false => Err(invalid("the input ends within a record")),
        }
    }

    /// Reads to `end` and past it; the last one may be missing.
    fn until(&mut self, end: &[u8], is_last: bool) -> io::Result<Vec<u8>> {
        let last = end[end.len() - 1];
        let mut bytes = Vec::new();
        loop {
            let is_over = self.input.read_until(last, &mut bytes)? == 0;
            if bytes.ends_with(end) {
                bytes.truncate(bytes.len() - end.len());
                return Ok(bytes);
            }
            if is_over {
                return match is_last {
                    true => Ok(bytes),
                    false => Err(invalid("the input ends within a record")),
                };
            }
        }
    }

    /// One JSON value: it ends where it is complete.
    fn json_value(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut depth = 0_usize;
        let (mut in_string, mut is_escaped) = (false, false);
        loop {
            let Some(byte) = self.input.fill_buf()?.first().copied() else {
                return Ok(bytes);
            };
            let is_plain = !in_string && depth == 0 && !bytes.is_empty();
            let ends_plain = byte.is_ascii_whitespace()
                || matches!(byte, b',' | b':' | b'{' | b'[' | b'"' | b']' | b'}');
            if is_plain && ends_plain {
                return Ok(bytes); // A number or a word.
            }
            self.input.consume(1);
            if bytes.is_empty() && byte.is_ascii_whitespace() {
                continue;
            }
            bytes.push(byte);
            match byte {
                _ if is_escaped => is_escaped = false,
                b'\\' if in_string => is_escaped = true,
                b'"' => in_string = !in_string,
                _ if in_string => {}
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => continue,
            }
            let closes = matches!(byte, b'"' | b'}' | b']');
            if closes && !in_string && depth == 0 {
                return Ok(bytes);
            }
        }
    }
}

fn skip_whitespace(input: &mut impl BufRead) -> io::Result<()> {
    while let Some(byte) = input.fill_buf()?.first()
        && byte.is_ascii_whitespace()
    {
        input.consume(1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_read_all(format: &str, input: &[u8]) -> io::Result<Vec<InputRecord>> {
        let mut format = InputFormat::parse(format).unwrap();
        let mut input = input;
        std::iter::from_fn(|| format.read(&mut input).transpose()).collect()
    }

    /// Key and value of each record.
    fn read_all(format: &str, input: &str) -> Vec<(Option<String>, Option<String>)> {
        let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8(bytes).unwrap());
        let records = try_read_all(format, input.as_bytes()).unwrap();
        let pair = |record: InputRecord| (text(record.key), text(record.value));
        records.into_iter().map(pair).collect()
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
        assert!(try_read_all("%k::%v\\n", b"a::b\nc").is_err());
        assert!(try_read_all("<%k>%v;", b"<a>b;c").is_err());
    }

    #[test]
    fn fields_are_as_large_as_was_said() {
        assert_eq!(
            read_all("%K{big16}%V{byte}%k%v", "\0\x02\x03abcde\0\0\0"),
            [some("ab", "cde"), some("", "")]
        );
        assert_eq!(
            read_all("%V %v", "5 a b c3 xyz"),
            [
                (None, Some("a b c".to_owned())),
                (None, Some("xyz".to_owned())),
            ]
        );
        assert!(try_read_all("%V %v", b"5 abc").is_err());
        assert!(try_read_all("%V %v", b"-1 abc").is_err());
    }

    #[test]
    fn forms_are_read_back() {
        assert_eq!(
            read_all("%k{hex} %v{base64}\\n", "6b31 Zm9v\n"),
            [some("k1", "foo")]
        );
        assert_eq!(
            read_all(
                "%k{json}%v{json}\\n",
                "1 {\"a\": \"}\\\"\\\\\"}\n\"x\" [1,[2]]\n"
            ),
            [
                some("1", "{\"a\": \"}\\\"\\\\\"}"),
                some("\"x\"", "[1,[2]]")
            ]
        );
        assert_eq!(read_all("%v{json}", "1 2\n\n").len(), 2);
        assert!(try_read_all("%v{hex}\\n", b"0g\n").is_err());
        assert!(try_read_all("%v{json}", b"{\"a\":").is_err());
    }

    #[test]
    fn everything_else_of_a_record_is_read() {
        let records = try_read_all("%t %p %d %H %h{%k=%v;}%v\\n", b"t 3 77 2 a=1;b=;x\n").unwrap();
        let header = |name: &str, value: &str| (name.into(), Some(value.into()));
        assert_eq!(
            records,
            [InputRecord {
                topic: Some("t".to_owned()),
                key: None,
                value: Some(b"x".to_vec()),
                partition: Some(3),
                timestamp: Some(77),
                headers: vec![header("a", "1"), header("b", "")],
            }]
        );
    }

    #[test]
    fn formats_that_cannot_work_are_refused() {
        for text in [
            "%k%v\\n",
            "%v",
            "plain",
            "%q\\n",
            "%v%",
            "%v\\",
            "%v\\xZZ",
            "%h{%k=%v;}%v\\n",
            "%H %h%v\\n",
            "%o %v\\n",
            "%V%v",
            "%v{unpack[b]}\\n",
            "%D %v\\n",
            "%H %h{%k%v}%v\\n",
        ] {
            assert!(InputFormat::parse(text).is_err(), "{text}");
        }
    }
}
