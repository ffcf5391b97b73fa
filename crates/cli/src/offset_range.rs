use std::str::FromStr;

use crate::time_text::{now_millis, parse_millis};

/// From where to where a partition is read, as `-o` says it: `start`, `end`, `100`, `-10`, `+10`,
/// `@2026-11-22`, each with an end behind a colon: `start:end`, `100:200`, `@-2h:@-1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRange {
    /// The first record.
    pub start: Start,
    /// Where to stop; `None`: never.
    pub end: Option<End>,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first record there is.
    Earliest,
    /// Behind the last record there is.
    Latest,
    /// At this offset.
    At(i64),
    /// So many records after the first.
    After(i64),
    /// So many records before the end.
    Before(i64),
    /// At the first record of this time (milliseconds since 1970) or a later one.
    Time(i64),
}

/// Where reading ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At what is the end now.
    Latest,
    /// Before this offset.
    At(i64),
    /// Before the first record of this time or a later one.
    Time(i64),
}

impl FromStr for OffsetRange {
    type Err = String;

    fn from_str(text: &str) -> Result<OffsetRange, String> {
        let wrong = || {
            format!(
                "-o {text}: expected start, end, an offset, -N, +N or @TIME, and :END behind it"
            )
        };
        if text.is_empty() {
            return Err(wrong());
        }
        let (start, end) = split(text);
        let start = if start.is_empty() {
            Some(Start::Earliest)
        } else {
            parse_start(start)
        };
        let end = match end {
            Some(end) => Some(parse_end(end).ok_or_else(wrong)?),
            None => None,
        };
        Ok(OffsetRange {
            start: start.ok_or_else(wrong)?,
            end,
        })
    }
}

/// At the colon that is not one of a time's: the first after which an end can be read.
fn split(text: &str) -> (&str, Option<&str>) {
    let mut colons = text.match_indices(':').map(|(index, _)| index);
    let is_split = |index: usize| {
        let (start, end) = (&text[..index], &text[index + 1..]);
        (start.is_empty() || parse_start(start).is_some()) && parse_end(end).is_some()
    };
    let is_time = text.starts_with('@') && parse_start(text).is_some();
    match colons.find(|&index| is_split(index)) {
        Some(index) if !is_time => (&text[..index], Some(&text[index + 1..])),
        _ => (text, None),
    }
}

fn parse_start(text: &str) -> Option<Start> {
    if let Some(time) = text.strip_prefix('@') {
        return parse_millis(time, now_millis()).map(Start::Time);
    }
    let count = |digits: &str| digits.parse::<i64>().ok().filter(|count| 0 <= *count);
    match text {
        "start" | "earliest" | "beginning" => Some(Start::Earliest),
        "end" | "latest" => Some(Start::Latest),
        _ => {
            if let Some(digits) = text.strip_prefix('-') {
                count(digits).map(Start::Before)
            } else if let Some(digits) = text.strip_prefix('+') {
                count(digits).map(Start::After)
            } else {
                count(text).map(Start::At)
            }
        }
    }
}

fn parse_end(text: &str) -> Option<End> {
    match text.strip_prefix('@') {
        Some(time) => parse_millis(time, now_millis()).map(End::Time),
        None if text == "end" => Some(End::Latest),
        None => text.parse().ok().filter(|offset| 0 <= *offset).map(End::At),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(Start, Option<End>)> {
        text.parse::<OffsetRange>()
            .ok()
            .map(|range| (range.start, range.end))
    }

    #[test]
    fn all_forms() {
        let at = |millis| Start::Time(millis);
        for (text, expected) in [
            ("start", (Start::Earliest, None)),
            ("end", (Start::Latest, None)),
            ("17", (Start::At(17), None)),
            ("-3", (Start::Before(3), None)),
            ("+3", (Start::After(3), None)),
            ("5:9", (Start::At(5), Some(End::At(9)))),
            (":end", (Start::Earliest, Some(End::Latest))),
            ("start:end", (Start::Earliest, Some(End::Latest))),
            ("-3:end", (Start::Before(3), Some(End::Latest))),
            ("@0:@1000", (at(0), Some(End::Time(1000)))),
            ("@1970-01-01T00:01", (at(60_000), None)),
            ("@1970-01-01T00:01:30:end", (at(90_000), Some(End::Latest))),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        for text in ["", "x", "1:x", "--1", "@", "@x", "5:-1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
