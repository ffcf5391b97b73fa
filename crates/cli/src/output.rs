//! What commands print. Data goes to stdout by `out!` and `outln!`, all else to stderr by `err!` and
//! `errln!`; a server, which goes on when nobody reads what it says, greets by `say!`.

use std::fmt;
use std::io::{ErrorKind, Write};

use serde_json::{Map, Value, json};

/// As `print!` of the standard library, which panics when stdout is closed.
macro_rules! out {
    ($($text:tt)*) => { $crate::output::write_out(format_args!($($text)*)) };
}

/// As [`out!`], with the end of a line.
macro_rules! outln {
    () => { out!("\n") };
    ($($text:tt)*) => { out!("{}\n", format_args!($($text)*)) };
}

/// As `eprint!` of the standard library, which panics when stderr is closed.
macro_rules! err {
    ($($text:tt)*) => { $crate::output::write_err(format_args!($($text)*)) };
}

/// As [`err!`], with the end of a line.
macro_rules! errln {
    ($($text:tt)*) => { err!("{}\n", format_args!($($text)*)) };
}

/// A line on stdout of a process that goes on whether or not somebody reads it.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::write_if_read(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes to stdout. Who reads it may stop when it has seen enough (`ottla topic list | head -1`): then
/// the command ends, and has done what it was asked. What cannot be written otherwise is a failure.
pub fn write_out(text: fmt::Arguments<'_>) {
    let Err(error) = std::io::stdout().lock().write_fmt(text) else {
        return;
    };
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    write_err(format_args!("error: stdout: {error}\n"));
    std::process::exit(1);
}

/// Writes to stderr, if somebody reads that.
pub fn write_err(text: fmt::Arguments<'_>) {
    let _ = std::io::stderr().lock().write_fmt(text);
}

/// Writes to stdout, if somebody reads that.
pub fn write_if_read(text: fmt::Arguments<'_>) {
    let _ = std::io::stdout().lock().write_fmt(text);
}

/// Prints a JSON answer: an object that names the command and the version of its form.
pub fn print_json(command: &str, content: Value) {
    let mut object = Map::new();
    object.insert("_command".to_owned(), json!(command));
    object.insert("_version".to_owned(), json!(1));
    if let Value::Object(content) = content {
        object.extend(content);
    }
    outln!("{}", Value::Object(object));
}

/// `17 B`, `1.5 KiB`, `20.0 GiB`.
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().expect("there are units");
    while 1024.0 <= size
        && let Some(next) = units.next()
    {
        size /= 1024.0;
        unit = next;
    }
    format!("{size:.1} {unit}")
}

/// `1 record`, `2 records`.
pub fn counted(count: i64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// `text` as it may be shown on a terminal. Clients and topics have names that others chose, so what a
/// terminal would obey is written out: `\x1b`, `\n`, `\u{202e}`.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if c.is_control() => shown.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if reorders(c) => shown.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown
}

/// Whether it changes the order in which others are shown, or ends a line.
fn reorders(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Rows with aligned columns for people, of cells that are [`printable`]. Numbers are for the
/// right, but a column of words is far more often read from the left, so all are.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a line of headings.
    pub fn new(headings: &[&str]) -> Table {
        Table {
            rows: vec![
                headings
                    .iter()
                    .map(|heading| (*heading).to_owned())
                    .collect(),
            ],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        let cells = cells.iter().map(|cell| printable(cell));
        self.rows.push(cells.collect());
    }

    /// Prints it.
    pub fn print(&self) {
        out!("{}", self.text());
    }

    fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (20 << 30, "20.0 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(format_bytes(bytes), text);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["NAME", "N"]);
        table.row(vec!["a".into(), "100".into()]);
        table.row(vec!["longer".into(), String::new()]);
        assert_eq!(table.text(), "NAME    N\na       100\nlonger\n");
    }

    /// What a client or a topic is called is not for the terminal to obey.
    #[test]
    fn cells_are_shown_and_not_obeyed() {
        let mut table = Table::new(&["CLIENT", "N"]);
        table.row(vec!["\x1b[2Jx\ny\r\t\0\x7f".into(), "1".into()]);
        table.row(vec!["a\u{9b}31m\u{202e}b\u{2028}".into(), "2".into()]);
        table.row(vec!["größe 日本 \\x1b".into(), "3".into()]);
        let lines = [
            "CLIENT                       N",
            r"\x1b[2Jx\ny\r\t\x00\x7f     1",
            r"a\x9b31m\u{202e}b\u{2028}     2",
            r"größe 日本 \x1b               3",
        ];
        let shown = table.text();
        let words = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            shown.split_terminator('\n').map(words).collect::<Vec<_>>(),
            lines.map(words)
        );
    }
}
