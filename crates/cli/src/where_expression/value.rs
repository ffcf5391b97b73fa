use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value as Json;

use super::Step;
use crate::time_text::parse_millis;

/// What a condition compares. Texts and numbers that say the same are equal: keys and headers have no
/// types.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Not there. Equal to null, in no order to anything.
    Missing,
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(Cow<'a, str>),
    /// Milliseconds since 1970.
    Time(i64),
    /// An object or an array.
    Json(Json),
    /// Bytes that are no text.
    Binary,
}

impl<'a> Value<'a> {
    pub fn integer(number: i64) -> Value<'static> {
        Value::Number(number.into())
    }

    pub fn text_of(text: &'a str) -> Value<'a> {
        Value::Text(Cow::Borrowed(text))
    }

    pub fn of_bytes(bytes: &'a [u8]) -> Value<'a> {
        std::str::from_utf8(bytes).map_or(Value::Binary, Value::text_of)
    }

    fn of_json(json: Json) -> Value<'static> {
        match json {
            Json::Null => Value::Null,
            Json::Bool(is_so) => Value::Bool(is_so),
            Json::Number(number) => Value::Number(number),
            Json::String(text) => Value::Text(Cow::Owned(text)),
            other => Value::Json(other),
        }
    }

    /// The same, without its own copy.
    pub fn borrowed(&'a self) -> Value<'a> {
        match self {
            Value::Text(text) => Value::Text(Cow::Borrowed(text)),
            other => other.clone(),
        }
    }

    /// What lies there in JSON.
    pub fn at(self, steps: &[Step]) -> Value<'a> {
        if steps.is_empty() {
            return self;
        }
        let Value::Text(text) = &self else {
            return Value::Missing;
        };
        let Ok(json) = serde_json::from_str::<Json>(text) else {
            return Value::Missing;
        };
        let found = steps.iter().try_fold(&json, |json, step| match step {
            Step::Name(name) => json.get(name),
            Step::Index(index) => json.get(index),
        });
        found.cloned().map_or(Value::Missing, Value::of_json)
    }

    /// Whether it decides for a record by itself.
    pub fn is_true(&self) -> bool {
        match self {
            Value::Missing | Value::Null => false,
            Value::Bool(is_so) => *is_so,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::Text(text) => !text.is_empty(),
            Value::Time(_) | Value::Json(_) | Value::Binary => true,
        }
    }

    /// As text, if it can be said in text.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::Missing | Value::Null | Value::Binary => None,
            Value::Bool(is_so) => Some(Cow::Borrowed(if *is_so { "true" } else { "false" })),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            Value::Text(text) => Some(Cow::Borrowed(text)),
            Value::Time(millis) => Some(Cow::Owned(millis.to_string())),
            Value::Json(json) => Some(Cow::Owned(json.to_string())),
        }
    }

    pub fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Missing | Value::Null, Value::Missing | Value::Null) => true,
            (Value::Json(left), Value::Json(right)) => left == right,
            _ => self.order(other) == Some(Ordering::Equal),
        }
    }

    /// Which is larger, if they can be compared.
    pub fn order(&self, other: &Value<'_>) -> Option<Ordering> {
        match (self, other) {
            (Value::Time(time), other) => Some(time.cmp(&other.as_millis()?)),
            (other, Value::Time(time)) => Some(other.as_millis()?.cmp(time)),
            (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
            (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
            (Value::Bool(_), Value::Text(_)) | (Value::Text(_), Value::Bool(_)) => {
                Some(self.text()?.cmp(&other.text()?))
            }
            (left, right) => order_numbers(&left.number()?, &right.number()?),
        }
    }

    fn as_millis(&self) -> Option<i64> {
        match self {
            Value::Time(millis) => Some(*millis),
            Value::Number(number) => number.as_i64(),
            Value::Text(text) => parse_millis(text, 0),
            _ => None,
        }
    }

    fn number(&self) -> Option<serde_json::Number> {
        match self {
            Value::Number(number) => Some(number.clone()),
            Value::Text(text) => serde_json::from_str(text).ok(),
            _ => None,
        }
    }

    /// Whether the other is an element of it, a name in it or a part of its text.
    pub fn holds(&self, other: &Value<'_>) -> bool {
        match self {
            Value::Json(Json::Array(items)) => items
                .iter()
                .any(|item| Value::of_json(item.clone()).equals(other)),
            Value::Json(Json::Object(fields)) => {
                other.text().is_some_and(|name| fields.contains_key(&*name))
            }
            _ => match (self.text(), other.text()) {
                (Some(text), Some(part)) => text.contains(&*part),
                _ => false,
            },
        }
    }
}

/// Whole numbers exactly, others as floating-point numbers.
fn order_numbers(left: &serde_json::Number, right: &serde_json::Number) -> Option<Ordering> {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}
