//! How a timestamp stands in text: strftime and Go's layouts.

use std::io::{self, Write};

use super::number::NumberForm;
use super::text::unwrap;
use crate::time_text::{Civil, format_millis};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// Go writes a layout as its reference time would stand in it; longer words are looked for first.
const GO_WORDS: [(&str, &str); 26] = [
    ("January", "%B"),
    ("Monday", "%A"),
    ("Z07:00", "%:Z"),
    ("-07:00", "%:z"),
    ("2006", "%Y"),
    ("-0700", "%z"),
    (".000", ".%f"),
    ("Jan", "%b"),
    ("Mon", "%a"),
    ("MST", "%Z"),
    ("01", "%m"),
    ("02", "%d"),
    ("03", "%I"),
    ("04", "%M"),
    ("05", "%S"),
    ("06", "%y"),
    ("15", "%H"),
    ("_2", "%e"),
    ("PM", "%p"),
    ("pm", "%P"),
    ("002", "%j"),
    ("1", "%-m"),
    ("2", "%-d"),
    ("3", "%-I"),
    ("4", "%-M"),
    ("5", "%-S"),
];

/// The form of a timestamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeForm {
    /// Milliseconds since 1970.
    Number(NumberForm),
    /// `2026-11-22T10:01:07.213Z`.
    Iso,
    /// As strftime(3) has it; `%f` are the milliseconds.
    Strftime(String),
}

impl TimeForm {
    /// What stands in the braces of `%d{…}`.
    pub fn parse(text: &str) -> Result<TimeForm, String> {
        if let Some(form) = NumberForm::parse(text) {
            return Ok(TimeForm::Number(form));
        }
        let layout = if let Some(wrapped) = text.strip_prefix("strftime") {
            unwrap(wrapped).to_owned()
        } else if let Some(wrapped) = text.strip_prefix("go") {
            from_go(unwrap(wrapped))
        } else {
            return Err(format!(
                "'{text}' is no form of a time: strftime[…], go[…] or a number's"
            ));
        };
        // A layout that cannot be written is wrong before the first record.
        strftime(&layout, 0, &mut io::sink()).map_err(|error| error.to_string())?;
        Ok(TimeForm::Strftime(layout))
    }

    /// Writes a time.
    pub fn write(&self, millis: i64, out: &mut impl Write) -> io::Result<()> {
        match self {
            TimeForm::Number(form) => form.write(millis, out),
            TimeForm::Iso => out.write_all(format_millis(millis).as_bytes()),
            TimeForm::Strftime(layout) => strftime(layout, millis, out),
        }
    }
}

fn from_go(layout: &str) -> String {
    let mut out = String::new();
    let mut rest = layout;
    while let Some(character) = rest.chars().next() {
        match GO_WORDS.iter().find(|(word, _)| rest.starts_with(word)) {
            Some((word, directive)) => {
                out.push_str(directive);
                rest = &rest[word.len()..];
            }
            None => {
                out.push_str(if character == '%' { "%%" } else { "" });
                if character != '%' {
                    out.push(character);
                }
                rest = &rest[character.len_utf8()..];
            }
        }
    }
    out
}

fn strftime(layout: &str, millis: i64, out: &mut impl Write) -> io::Result<()> {
    let time = Civil::from_millis(millis);
    let mut characters = layout.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            write!(out, "{character}")?;
            continue;
        }
        let mut directive = characters.next();
        let flag = directive.filter(|flag| matches!(flag, '-' | ':'));
        if flag.is_some() {
            directive = characters.next();
        }
        let Some(directive) = directive else {
            return Err(io::Error::other("the time's form ends in a %"));
        };
        write_directive(directive, flag, &time, millis, out)?;
    }
    Ok(())
}

fn write_directive(
    directive: char,
    flag: Option<char>,
    time: &Civil,
    millis: i64,
    out: &mut impl Write,
) -> io::Result<()> {
    let month = MONTHS[(time.month - 1) as usize % 12];
    let weekday = WEEKDAYS[time.weekday as usize % 7];
    let hour_12 = (time.hour + 11) % 12 + 1;
    let half = if time.hour < 12 { "AM" } else { "PM" };
    let mut padded = |number: i64| match flag {
        Some('-') => write!(out, "{number}"),
        _ => write!(out, "{number:02}"),
    };
    match directive {
        'Y' => write!(out, "{}", time.year),
        'C' => padded(time.year / 100),
        'y' => padded(time.year % 100),
        'm' => padded(time.month),
        'd' => padded(time.day),
        'H' => padded(time.hour),
        'I' => padded(hour_12),
        'M' => padded(time.minute),
        'S' => padded(time.second),
        'e' => write!(out, "{:2}", time.day),
        'k' => write!(out, "{:2}", time.hour),
        'l' => write!(out, "{hour_12:2}"),
        'j' => write!(out, "{:03}", time.day_of_year),
        'f' => write!(out, "{:03}", time.milli),
        's' => write!(out, "{}", millis.div_euclid(1000)),
        'u' => write!(out, "{}", (time.weekday + 6) % 7 + 1),
        'w' => write!(out, "{}", time.weekday),
        'b' | 'h' => out.write_all(&month.as_bytes()[..3]),
        'B' => out.write_all(month.as_bytes()),
        'a' => out.write_all(&weekday.as_bytes()[..3]),
        'A' => out.write_all(weekday.as_bytes()),
        'p' => out.write_all(half.as_bytes()),
        'P' => out.write_all(half.to_lowercase().as_bytes()),
        'Z' if flag == Some(':') => out.write_all(b"Z"),
        'z' if flag == Some(':') => out.write_all(b"+00:00"),
        'Z' => out.write_all(b"UTC"),
        'z' => out.write_all(b"+0000"),
        'n' => out.write_all(b"\n"),
        't' => out.write_all(b"\t"),
        '%' => out.write_all(b"%"),
        'F' => strftime("%Y-%m-%d", millis, out),
        'T' | 'X' => strftime("%H:%M:%S", millis, out),
        'R' => strftime("%H:%M", millis, out),
        'r' => strftime("%I:%M:%S %p", millis, out),
        'D' | 'x' => strftime("%m/%d/%y", millis, out),
        'v' => strftime("%e-%b-%Y", millis, out),
        'c' => strftime("%a %b %e %H:%M:%S %Y", millis, out),
        other => Err(io::Error::other(format!("a time has no %{other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_moment_in_many_forms() {
        let written = |form: &str| {
            let mut out = Vec::new();
            TimeForm::parse(form)
                .unwrap()
                .write(1_709_210_096_789, &mut out)
                .unwrap();
            String::from_utf8(out).unwrap()
        };
        for (form, expected) in [
            ("ascii", "1709210096789"),
            ("strftime[%F %T]", "2024-02-29 12:34:56"),
            (
                "strftime=== [%Y/%j %a %A %b %B] ===",
                "2024/060 Thu Thursday Feb February",
            ),
            (
                "strftime[%c %p %I %e %s.%f %%]",
                "Thu Feb 29 12:34:56 2024 PM 12 29 1709210096.789 %",
            ),
            (
                "strftime[%D %R %u %w %y %-m %z %Z]",
                "02/29/24 12:34 4 4 24 2 +0000 UTC",
            ),
            ("go##2006-01-02T15:04:05Z07:00##", "2024-02-29T12:34:56Z"),
            (
                "go[Mon Jan _2 15:04:05.000 MST 2006]",
                "Thu Feb 29 12:34:56.789 UTC 2024",
            ),
            ("go[1/2/06 3:04PM 100%]", "2/29/24 12:34PM 200%"),
        ] {
            assert_eq!(written(form), expected, "{form}");
        }
        for wrong in ["strftime[%Q]", "strftime[%", "iso"] {
            assert!(TimeForm::parse(wrong).is_err(), "{wrong}");
        }
    }
}
