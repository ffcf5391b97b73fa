use std::collections::BTreeMap;
use std::time::Duration;

use crate::failure::Failure;

/// Client properties of `-X`, by their Java or librdkafka names. What is read is taken out; what is
/// left at the end has no effect here.
#[derive(Debug, Default)]
pub struct Properties(BTreeMap<String, String>);

impl Properties {
    /// From `key=value` texts; a later one wins.
    pub fn parse(texts: &[String]) -> Result<Properties, Failure> {
        let mut properties = BTreeMap::new();
        for text in texts {
            let Some((key, value)) = text.split_once('=') else {
                return Err(Failure::usage(format!("-X {text}: expected key=value")));
            };
            properties.insert(key.trim().to_owned(), value.trim().to_owned());
        }
        Ok(Properties(properties))
    }

    /// The value of the first of `names` that is set; they mean the same.
    pub fn take(&mut self, names: &[&str]) -> Option<String> {
        let mut found = None;
        for name in names {
            let value = self.0.remove(*name);
            found = found.or(value);
        }
        found
    }

    /// A number, a word, anything that is parsed.
    pub fn take_parsed<T: std::str::FromStr>(
        &mut self,
        names: &[&str],
    ) -> Result<Option<T>, Failure> {
        let Some(text) = self.take(names) else {
            return Ok(None);
        };
        let parsed = text.parse().map_err(|_| {
            Failure::usage(format!(
                "-X {}={text}: this is not a value for it",
                names[0]
            ))
        })?;
        Ok(Some(parsed))
    }

    /// Milliseconds.
    pub fn take_millis(&mut self, names: &[&str]) -> Result<Option<Duration>, Failure> {
        Ok(self.take_parsed(names)?.map(Duration::from_millis))
    }

    /// Says which ones were not read.
    pub fn report_rest(&self) {
        for key in self.0.keys() {
            errln!("note: -X {key} has no effect here");
        }
    }
}

/// The `key=value` lines of a file.
pub fn read_file(path: &std::path::Path) -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::failed(format!("{}: {error}", path.display())))?;
    let lines = text.lines().map(str::trim);
    let set = lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
    Ok(set.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn synonyms_are_one_property_and_the_rest_is_left() {
        let texts = ["acks=all", "linger.ms=5", "x=y=z"].map(str::to_owned);
        let mut properties = Properties::parse(&texts).unwrap();
        assert_eq!(
            properties.take(&["request.required.acks", "acks"]).unwrap(),
            "all"
        );
        let linger = properties
            .take_millis(&["linger.ms", "queue.buffering.max.ms"])
            .unwrap();
        assert_eq!(linger, Some(Duration::from_millis(5)));
        assert_eq!(
            properties.0.into_iter().collect::<Vec<_>>(),
            [("x".into(), "y=z".into())]
        );
        assert!(Properties::parse(&["x".to_owned()]).is_err());
    }
}
