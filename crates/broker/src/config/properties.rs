use std::fmt;

/// One `key=value` of a properties file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The key, unescaped.
    pub key: String,
    /// The value, unescaped; blanks at its end are part of it, as in Java.
    pub value: String,
    /// Line on which it starts, counted from 1.
    pub line: usize,
}

/// An escape that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertiesError {
    /// Line on which the property starts, counted from 1.
    pub line: usize,
}

impl fmt::Display for PropertiesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}: \\u must be followed by four hex digits",
            self.line
        )
    }
}

impl std::error::Error for PropertiesError {}

/// Reads text in the format of `java.util.Properties`: `#` and `!` begin comments, `=`, `:` or a
/// blank ends the key, a backslash at the end of a line continues it.
pub fn parse_properties(text: &str) -> Result<Vec<Property>, PropertiesError> {
    let mut properties = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let line = line.trim_start_matches(BLANKS);
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = line.to_owned();
        while ends_with_odd_backslashes(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim_start_matches(BLANKS));
        }
        let line = index + 1;
        let (key, value) = split_key(&logical);
        properties.push(Property {
            key: unescape(key).ok_or(PropertiesError { line })?,
            value: unescape(value).ok_or(PropertiesError { line })?,
            line,
        });
    }
    Ok(properties)
}

const BLANKS: [char; 3] = [' ', '\t', '\u{c}'];

fn ends_with_odd_backslashes(line: &str) -> bool {
    let count = line.bytes().rev().take_while(|byte| *byte == b'\\').count();
    count % 2 == 1
}

fn split_key(line: &str) -> (&str, &str) {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '=' || c == ':' || BLANKS.contains(&c) {
            let rest = line[at..].trim_start_matches(BLANKS);
            let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
            return (&line[..at], rest.trim_start_matches(BLANKS));
        }
    }
    (line, "")
}

fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let is_code = digits.len() == 4 && digits.bytes().all(|c| c.is_ascii_hexdigit());
                let code = u32::from_str_radix(&digits, 16).ok().filter(|_| is_code)?;
                out.push(char::from_u32(code)?);
            }
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some(other) => out.push(other),
            None => {}
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let properties = parse_properties(text).expect("well formed");
        properties.into_iter().map(|p| (p.key, p.value)).collect()
    }

    #[test]
    fn the_format_is_javas() {
        let text = "# comment\n! comment\n\n a = b\nc:d\ne f g\nh\nlong=1,\\\n   2,\\\n   3\n\
                    path=C:\\\\data\\tx\nu=\\u0041\nspace\\ key=v \nlast=x\\";
        let expected = [
            ("a", "b"),
            ("c", "d"),
            ("e", "f g"),
            ("h", ""),
            ("long", "1,2,3"),
            ("path", "C:\\data\tx"),
            ("u", "A"),
            ("space key", "v "),
            ("last", "x"),
        ];
        let expected = expected.map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(pairs(text), expected);
        assert_eq!(
            parse_properties("a=\\u00"),
            Err(PropertiesError { line: 1 })
        );
        assert_eq!(parse_properties("\n\nx=y").expect("fine")[0].line, 3);
    }
}
