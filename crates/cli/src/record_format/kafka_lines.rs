use std::io::{self, BufRead};

use regex_lite::Regex;

use super::input_record::{InputHeader, InputRecord, invalid};

/// Lines as Kafka's console producer reads them: `headers TAB key TAB value`, of which the first two are
/// there if that was said (`LineMessageReader`).
#[derive(Clone, Debug)]
pub struct KafkaLines {
    /// `parse.key` and `key.separator`.
    key_separator: Option<String>,
    headers: Option<HeaderSyntax>,
    /// `ignore.error`: what cannot be parted is taken as a value.
    ignores_errors: bool,
    /// `null.marker`: a field that is this is null.
    null_marker: Option<String>,
    lines_count: u64,
}

/// `parse.headers`: `name:value,name:value`.
#[derive(Clone, Debug)]
struct HeaderSyntax {
    /// `headers.delimiter`: behind all headers.
    end: String,
    /// `headers.separator`: between two headers; a regular expression.
    between: Regex,
    /// `headers.key.separator`: between name and value.
    within: String,
}

impl KafkaLines {
    /// As `reader-property`s say, of which the last one of a name counts; the error says what is wrong.
    pub fn new(properties: &[(String, String)]) -> Result<KafkaLines, String> {
        let property = |name: &str| {
            let values = properties.iter().filter(|(key, _)| key == name);
            values.map(|(_, value)| value.clone()).next_back()
        };
        let or = |name: &str, default: &str| property(name).unwrap_or_else(|| default.to_owned());
        let is_true = |name: &str| or(name, "").trim().eq_ignore_ascii_case("true");
        let key_separator = or("key.separator", "\t");
        let (end, between) = (or("headers.delimiter", "\t"), or("headers.separator", ","));
        let within = or("headers.key.separator", ":");
        let null_marker = property("null.marker");
        let mut marks = vec![
            ("headers.delimiter", Some(&end)),
            ("headers.separator", Some(&between)),
            ("headers.key.separator", Some(&within)),
            ("null.marker", null_marker.as_ref()),
        ];
        check_distinct(&marks)?;
        // A key may end as headers do.
        marks = vec![("key.separator", Some(&key_separator)), marks[3]];
        check_distinct(&marks)?;
        let regex = Regex::new(&between);
        let headers = HeaderSyntax {
            between: regex.map_err(|error| format!("headers.separator={between}: {error}"))?,
            end,
            within,
        };
        Ok(KafkaLines {
            key_separator: is_true("parse.key").then_some(key_separator),
            headers: is_true("parse.headers").then_some(headers),
            ignores_errors: is_true("ignore.error"),
            null_marker,
            lines_count: 0,
        })
    }

    /// The next line's record; `None` at the end.
    pub fn read(&mut self, input: &mut impl BufRead) -> io::Result<Option<InputRecord>> {
        let mut line = Vec::new();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        self.lines_count += 1;
        for end in [b'\n', b'\r'] {
            line.pop_if(|last| *last == end);
        }
        self.parse(&line).map(Some).map_err(|what| {
            let (number, line) = (self.lines_count, String::from_utf8_lossy(&line));
            invalid(format!("{what} on line number {number}: '{line}'"))
        })
    }

    fn parse(&self, line: &[u8]) -> Result<InputRecord, String> {
        let mut rest = line;
        let mut headers = None;
        if let Some(syntax) = &self.headers {
            headers = self.part(&mut rest, &syntax.end, "headers delimiter")?;
        }
        let mut key = None;
        if let Some(separator) = &self.key_separator {
            key = self.part(&mut rest, separator, "key separator")?;
        }
        let mut record = InputRecord {
            key: key.and_then(|key| self.unless_null(key)),
            value: self.unless_null(rest),
            ..InputRecord::default()
        };
        if let (Some(syntax), Some(text)) = (&self.headers, headers)
            && !self.is_null(text)
        {
            record.headers = self.headers(syntax, text)?;
        }
        Ok(record)
    }

    /// Takes what stands before the separator off `rest`; `None` without one, where that is no error.
    fn part<'a>(
        &self,
        rest: &mut &'a [u8],
        separator: &str,
        what: &str,
    ) -> Result<Option<&'a [u8]>, String> {
        match split_at(rest, separator.as_bytes()) {
            Some((part, behind)) => {
                *rest = behind;
                Ok(Some(part))
            }
            None if self.ignores_errors => Ok(None),
            None => Err(format!("No {what} found")),
        }
    }

    fn headers(&self, syntax: &HeaderSyntax, text: &[u8]) -> Result<Vec<InputHeader>, String> {
        let text = String::from_utf8_lossy(text);
        let mut pairs: Vec<&str> = syntax.between.split(&text).collect();
        // As Java splits: what is empty at the end does not count.
        while 1 < pairs.len() && pairs.last().is_some_and(|pair| pair.is_empty()) {
            pairs.pop();
        }
        let mut headers = Vec::new();
        for pair in pairs {
            let Some((name, value)) = pair.split_once(&syntax.within) else {
                if self.ignores_errors {
                    headers.push((pair.as_bytes().to_vec(), None));
                    continue;
                }
                return Err(format!("No header key separator found in pair '{pair}'"));
            };
            if self.is_null(name.as_bytes()) {
                return Err(format!("A header has no name but the null marker '{name}'"));
            }
            headers.push((name.as_bytes().to_vec(), self.unless_null(value.as_bytes())));
        }
        Ok(headers)
    }

    fn is_null(&self, field: &[u8]) -> bool {
        let marker = self.null_marker.as_ref();
        marker.is_some_and(|marker| marker.as_bytes() == field)
    }

    fn unless_null(&self, field: &[u8]) -> Option<Vec<u8>> {
        (!self.is_null(field)).then(|| field.to_vec())
    }
}

/// What stands before and behind the first `separator`.
fn split_at<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    if separator.is_empty() {
        return Some((&[], bytes));
    }
    let mut windows = bytes.windows(separator.len());
    let index = windows.position(|window| window == separator)?;
    Some((&bytes[..index], &bytes[index + separator.len()..]))
}

/// Fields that end alike could not be told apart.
fn check_distinct(marks: &[(&str, Option<&String>)]) -> Result<(), String> {
    for (index, (name, mark)) in marks.iter().enumerate() {
        let same = marks[..index].iter().find(|(_, other)| other == mark);
        if let (Some(_), Some((other, _))) = (mark, same) {
            return Err(format!("{other} and {name} may not be equal"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(properties: &[&str]) -> Result<KafkaLines, String> {
        let pairs = properties.iter().map(|text| {
            let (name, value) = text.split_once('=').unwrap();
            (name.to_owned(), value.to_owned())
        });
        KafkaLines::new(&pairs.collect::<Vec<_>>())
    }

    /// `headers|key|value` of the records, with `-` for null.
    fn read(properties: &[&str], input: &[u8]) -> io::Result<Vec<String>> {
        let mut lines = lines(properties).unwrap();
        let mut input = input;
        let text = |bytes: &Option<Vec<u8>>| {
            let text = bytes.as_deref().map(String::from_utf8_lossy);
            text.map_or("-".to_owned(), |text| text.into_owned())
        };
        let records = std::iter::from_fn(|| lines.read(&mut input).transpose());
        let shown = records.map(|record| {
            let record = record?;
            let headers = record
                .headers
                .iter()
                .map(|(name, value)| format!("{}={}", String::from_utf8_lossy(name), text(value)));
            let headers = headers.collect::<Vec<_>>().join(";");
            Ok(format!(
                "{headers}|{}|{}",
                text(&record.key),
                text(&record.value)
            ))
        });
        shown.collect()
    }

    #[test]
    fn a_line_is_a_value_unless_more_is_said() {
        let read = read(&[], b"a:1\r\n\n\xff\tb").unwrap();
        assert_eq!(read, ["|-|a:1", "|-|", "|-|\u{fffd}\tb"]);
    }

    #[test]
    fn headers_key_and_value_stand_one_behind_the_other() {
        let both = ["parse.key=true", "parse.headers=TRUE"];
        let input = b"h:1,g:\tk\tv\tw\n\tk\t\n";
        let expected = read(&both, input);
        // A header has a name, if only an empty one.
        assert!(expected.is_err(), "{expected:?}");
        assert_eq!(
            read(&both, b"h:1,g:\tk\tv\tw\n").unwrap(),
            ["h=1;g=|k|v\tw"]
        );
        assert_eq!(read(&both, b"h:1,,\tk\tv\n").unwrap(), ["h=1|k|v"]);
        let other = [
            "parse.key=true",
            "key.separator=::",
            "parse.headers=true",
            "headers.delimiter=|",
            "headers.separator=[;/]",
            "headers.key.separator==",
        ];
        assert_eq!(
            read(&other, b"a=b=c;d=/e=f|k::v|::w\n").unwrap(),
            ["a=b=c;d=;e=f|k|v|::w"]
        );
    }

    #[test]
    fn what_is_missing_is_an_error_unless_errors_are_ignored() {
        let keyed = ["parse.key=true"];
        let error = read(&keyed, b"k\tv\nlonely\n").unwrap_err().to_string();
        assert_eq!(error, "No key separator found on line number 2: 'lonely'");
        let lax = ["parse.key=true", "parse.headers=true", "ignore.error=true"];
        assert_eq!(read(&lax, b"lonely\n").unwrap(), ["|-|lonely"]);
        assert_eq!(read(&lax, b"h\tlonely\n").unwrap(), ["h=-|-|lonely"]);
    }

    #[test]
    fn a_marker_stands_for_null() {
        let marked = ["parse.key=true", "parse.headers=true", "null.marker=NULL"];
        let input = b"NULL\tNULL\tNULL\na:NULL\tk\tNULLs\n";
        assert_eq!(read(&marked, input).unwrap(), ["|-|-", "a=-|k|NULLs"]);
        assert!(read(&marked, b"NULL:1\tk\tv\n").is_err());
    }

    #[test]
    fn marks_that_cannot_be_told_apart_are_refused() {
        for wrong in [
            ["headers.delimiter=,"],
            ["headers.separator=:"],
            ["headers.key.separator=\t"],
            ["null.marker=\t"],
            ["null.marker=:"],
            ["headers.separator=["],
        ] {
            assert!(lines(&wrong).is_err(), "{wrong:?}");
        }
    }
}
