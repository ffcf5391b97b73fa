use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// No file of a tool is nested so deeply.
const DEPTH_MAX: usize = 32;

/// A list or keys that have begun.
enum Open {
    List(Vec<Value>),
    /// Those there are, and the last one while its value is not there yet.
    Keys(Map<String, Value>, Option<String>),
}

/// The one document of a text. Scalars are texts as they are written, since what `0123` or `no` is depends
/// on who reads it; only a null is known as such. Anchors and tags are refused.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut open: Vec<Open> = Vec::new();
    let mut document = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        let at = |what: &str| format!("line {}: {what}", span.start.line());
        let done = match event {
            Event::Scalar(text, style, 0, None) => scalar(&text, style),
            Event::SequenceStart(0, None) => {
                open.push(Open::List(Vec::new()));
                None
            }
            Event::MappingStart(0, None) => {
                open.push(Open::Keys(Map::new(), None));
                None
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(Open::into_value),
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                return Err(at("anchors and tags are not read"));
            }
            Event::Alias(_) => return Err(at("aliases are not read")),
            _ => None,
        };
        if DEPTH_MAX < open.len() {
            return Err(at("this is nested too deeply"));
        }
        let Some(value) = done else { continue };
        match open.last_mut() {
            Some(parent) => parent.add(value).map_err(|what| at(&what))?,
            None if document.is_some() => return Err(at("there is a second document")),
            None => document = Some(value),
        }
    }
    Ok(document.unwrap_or_default())
}

fn scalar(text: &str, style: ScalarStyle) -> Option<Value> {
    let is_null =
        style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
    Some(match is_null {
        true => Value::Null,
        false => Value::String(text.to_owned()),
    })
}

impl Open {
    fn add(&mut self, value: Value) -> Result<(), String> {
        match self {
            Open::List(values) => values.push(value),
            Open::Keys(fields, key) => match (key.take(), value) {
                (Some(name), value) => {
                    fields.insert(name, value);
                }
                (None, Value::String(name)) if fields.contains_key(&name) => {
                    return Err(format!("{name} is there twice"));
                }
                (None, Value::String(name)) => *key = Some(name),
                (None, _) => return Err("a key is no text".to_owned()),
            },
        }
        Ok(())
    }

    fn into_value(self) -> Value {
        match self {
            Open::List(values) => Value::Array(values),
            Open::Keys(fields, _) => Value::Object(fields),
        }
    }
}
