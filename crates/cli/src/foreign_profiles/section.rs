use serde_json::{Map, Value};

/// A part of a file with keys. What is read is taken out; what is left at the end was not understood.
#[derive(Debug, Default)]
pub struct Section {
    /// Where it is, for messages: `profiles.prod.`.
    place: String,
    fields: Map<String, Value>,
}

impl Section {
    pub fn of(value: Value, place: &str) -> Result<Section, String> {
        match value {
            Value::Object(fields) => Ok(Section {
                place: place.to_owned(),
                fields,
            }),
            Value::Null => Ok(Section {
                place: place.to_owned(),
                fields: Map::new(),
            }),
            _ => Err(format!("{}: expected keys", place.trim_end_matches('.'))),
        }
    }

    fn take(&mut self, key: &str) -> Value {
        self.fields.remove(key).unwrap_or_default()
    }

    /// Leaves out what need not be told.
    pub fn skip(&mut self, key: &str) {
        self.take(key);
    }

    fn wrong(&self, key: &str, expected: &str) -> String {
        format!("{}{key}: expected {expected}", self.place)
    }

    /// A part of this one; `None` if it is not there or null. An empty one is there.
    pub fn section(&mut self, key: &str) -> Result<Option<Section>, String> {
        let place = format!("{}{key}.", self.place);
        match self.take(key) {
            Value::Null => Ok(None),
            value => Section::of(value, &place).map(Some),
        }
    }

    /// The parts of a list.
    pub fn sections(&mut self, key: &str) -> Result<Vec<Section>, String> {
        match self.take(key) {
            Value::Null => Ok(Vec::new()),
            Value::Array(values) => {
                let place = |number| format!("{}{key}[{number}].", self.place);
                let numbered = values.into_iter().enumerate();
                numbered
                    .map(|(number, value)| Section::of(value, &place(number)))
                    .collect()
            }
            _ => Err(self.wrong(key, "a list")),
        }
    }

    /// The parts of a part, by their names.
    pub fn named(&mut self, key: &str) -> Result<Vec<(String, Section)>, String> {
        let Some(section) = self.section(key)? else {
            return Ok(Vec::new());
        };
        let place = section.place;
        let named = section.fields.into_iter();
        named
            .map(|(name, value)| {
                let section = Section::of(value, &format!("{place}{name}."))?;
                Ok((name, section))
            })
            .collect()
    }

    /// A text, or a number as it is written; `None` if it is not there or empty.
    pub fn text(&mut self, key: &str) -> Result<Option<String>, String> {
        match self.take(key) {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text).filter(|text| !text.is_empty())),
            Value::Number(number) => Ok(Some(number.to_string())),
            _ => Err(self.wrong(key, "a text")),
        }
    }

    /// The texts of a list, with commas between them; `None` if there are none.
    pub fn texts(&mut self, key: &str) -> Result<Option<String>, String> {
        let values = match self.take(key) {
            Value::Null => return Ok(None),
            Value::Array(values) => values,
            _ => return Err(self.wrong(key, "a list of texts")),
        };
        let texts = values.iter().map(Value::as_str);
        let texts: Option<Vec<&str>> = texts.collect();
        let texts = texts.ok_or_else(|| self.wrong(key, "a list of texts"))?;
        Ok(Some(texts.join(",")).filter(|text| !text.is_empty()))
    }

    /// Whether it is set.
    pub fn flag(&mut self, key: &str) -> Result<Option<bool>, String> {
        match self.take(key) {
            Value::Null => Ok(None),
            Value::Bool(flag) => Ok(Some(flag)),
            // YAML is read without types.
            Value::String(text) if matches!(&*text, "true" | "True" | "TRUE") => Ok(Some(true)),
            Value::String(text) if matches!(&*text, "false" | "False" | "FALSE") => Ok(Some(false)),
            _ => Err(self.wrong(key, "true or false")),
        }
    }

    /// The keys that nobody read and that say something: tools write all they know, set or not.
    pub fn rest(self) -> Vec<String> {
        let place = self.place;
        let said = self.fields.into_iter().filter(|(_, value)| says(value));
        said.map(|(key, _)| format!("{place}{key}")).collect()
    }
}

fn says(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(_) => true,
        Value::String(text) => !matches!(text.as_str(), "" | "false" | "0s"),
        Value::Array(values) => values.iter().any(says),
        Value::Object(fields) => fields.values().any(says),
    }
}
