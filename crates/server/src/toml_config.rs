use toml::de::{DeTable, DeValue, Error};

/// A configuration in TOML as the properties it means, each on the line it was on where that is
/// possible, so that what is wrong is told with its line. Tables and dots mean the same:
/// `[ottla] http.port = 8080` and `"ottla.http.port" = 8080`; an array is a list with commas.
pub fn to_properties(text: &str) -> Result<String, String> {
    let table = DeTable::parse(text).map_err(|error| at_line(text, &error))?;
    let mut entries = Vec::new();
    flatten("", table.get_ref(), &mut entries)?;
    entries.sort();
    let mut properties = String::new();
    let mut line = 0;
    for (position, key, value) in entries {
        let wanted = line_of(text, position);
        while line < wanted {
            properties.push('\n');
            line += 1;
        }
        properties.push_str(&format!("{}={}\n", escape(&key), escape(&value)));
        line += 1;
    }
    Ok(properties)
}

/// Counted from 0.
fn line_of(text: &str, position: usize) -> usize {
    let before = text.as_bytes().iter().take(position);
    before.filter(|byte| **byte == b'\n').count()
}

fn at_line(text: &str, error: &Error) -> String {
    let message = error.message();
    match error.span() {
        Some(span) => format!("line {}: {message}", line_of(text, span.start) + 1),
        None => message.to_owned(),
    }
}

type Entry = (usize, String, String);

fn flatten(prefix: &str, table: &DeTable<'_>, entries: &mut Vec<Entry>) -> Result<(), String> {
    for (name, value) in table {
        let key = match prefix {
            "" => name.get_ref().to_string(),
            prefix => format!("{prefix}.{}", name.get_ref()),
        };
        match value.get_ref() {
            DeValue::Table(table) => flatten(&key, table, entries)?,
            DeValue::Array(items) => {
                let items = items.iter().map(|item| scalar(&key, item.get_ref()));
                let items = items.collect::<Result<Vec<_>, _>>()?;
                entries.push((name.span().start, key, items.join(",")));
            }
            value => {
                let value = scalar(&key, value)?;
                entries.push((name.span().start, key, value));
            }
        }
    }
    Ok(())
}

fn scalar(key: &str, value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(|number| number.to_string())
            .map_err(|_| format!("{key}: {} is too large", number.as_str())),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(is_true) => Ok(is_true.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => Err(format!(
            "{key}: a {} is no value of a config",
            value.type_str()
        )),
    }
}

/// So that `java.util.Properties` reads back what was meant.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            ' ' | '\\' | '=' | ':' | '#' | '!' => escaped.extend(['\\', character]),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_broker::config::parse_properties;

    #[test]
    fn toml_means_what_properties_mean() {
        let text = "# a broker\nnode.id = 0x10\n\"log.dirs\" = [\"/a b\", \"/c\"]\n\n\
                    [ottla]\nhttp.port = 8_080\ndurability = 'os'\n\
                    [log]\ncleaner = { enable = true, min.cleanable.ratio = 0.5 }\nretention.ms = -1\n\
                    x = \"a=b: #\\\\ \\n\"\n";
        let properties = parse_properties(&to_properties(text).unwrap()).unwrap();
        let mut found: Vec<(&str, &str, usize)> = properties
            .iter()
            .map(|property| (&*property.key, &*property.value, property.line))
            .collect();
        found.sort_unstable();
        assert_eq!(
            found,
            [
                ("log.cleaner.enable", "true", 9),
                ("log.cleaner.min.cleanable.ratio", "0.5", 10),
                ("log.dirs", "/a b,/c", 3),
                ("log.retention.ms", "-1", 11),
                ("log.x", "a=b: #\\ \n", 12),
                ("node.id", "16", 2),
                ("ottla.durability", "os", 7),
                ("ottla.http.port", "8080", 6),
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let error = to_properties("a = 1\nb = \n").unwrap_err();
        assert!(error.starts_with("line 2: "), "{error}");
        let error = to_properties("a = 2026-11-22\n").unwrap_err();
        assert!(error.starts_with("a: a datetime is no value"), "{error}");
    }
}
