//! Which records are wanted: `value.eur > 10 && key != "x"`.

mod parser;
mod value;

use ottla_client::ConsumedRecord;
use regex_lite::Regex;

use value::Value;

/// What `--where` says in its help.
pub const WHERE_HELP: &str = "\
  value.eur > 10 && !(key startsWith \"x\")       headers.source == 'radar' || partition in [0, 3]
Names    topic partition offset ts key value headers.NAME key_size value_size; value.a.b[0] and
         key.a look into JSON
Compare  == != < <= > >= contains startsWith endsWith, ~ and !~ (a regular expression), in [a, b];
         a time is \"2026-11-22T10:00\" or @-1h
Combine  && || ! ( ), or and or not. A name alone is true if it is there and not false, 0 or empty.";

/// A condition on records.
#[derive(Clone, Debug)]
pub struct WhereExpression(Node);

/// One node of a condition.
#[derive(Clone, Debug)]
enum Node {
    Literal(Value<'static>),
    List(Vec<Node>),
    Path(Root, Vec<Step>),
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Compare(Box<Node>, Comparison, Box<Node>),
    Matches(Box<Node>, Regex),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Root {
    Topic,
    Partition,
    Offset,
    Time,
    Key,
    Value,
    Headers,
    KeySize,
    ValueSize,
}

/// One step into JSON, or to a header.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    Index(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
    StartsWith,
    EndsWith,
    In,
}

impl WhereExpression {
    /// Reads a condition; the error says what is wrong and where.
    pub fn parse(text: &str) -> Result<WhereExpression, String> {
        parser::parse(text).map(WhereExpression)
    }

    /// Whether the record is wanted.
    pub fn is_met_by(&self, record: &ConsumedRecord) -> bool {
        evaluate(&self.0, record).is_true()
    }
}

fn evaluate<'a>(node: &'a Node, record: &'a ConsumedRecord) -> Value<'a> {
    match node {
        Node::Literal(value) => value.borrowed(),
        Node::List(_) => Value::Missing, // Stands behind `in` only.
        Node::Path(root, steps) => path(*root, steps, record),
        Node::Not(node) => Value::Bool(!evaluate(node, record).is_true()),
        Node::And(left, right) => {
            Value::Bool(evaluate(left, record).is_true() && evaluate(right, record).is_true())
        }
        Node::Or(left, right) => {
            Value::Bool(evaluate(left, record).is_true() || evaluate(right, record).is_true())
        }
        Node::Compare(left, Comparison::In, right) => {
            let left = evaluate(left, record);
            let Node::List(items) = &**right else {
                return Value::Bool(evaluate(right, record).holds(&left));
            };
            let is_one = |item: &Node| evaluate(item, record).equals(&left);
            Value::Bool(items.iter().any(is_one))
        }
        Node::Compare(left, comparison, right) => {
            let (left, right) = (evaluate(left, record), evaluate(right, record));
            Value::Bool(compare(&left, *comparison, &right))
        }
        Node::Matches(node, regex) => {
            let value = evaluate(node, record);
            Value::Bool(value.text().is_some_and(|text| regex.is_match(&text)))
        }
    }
}

fn compare(left: &Value<'_>, comparison: Comparison, right: &Value<'_>) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let order = || left.order(right);
    let texts = |is_so: fn(&str, &str) -> bool| match (left.text(), right.text()) {
        (Some(left), Some(right)) => is_so(&left, &right),
        _ => false,
    };
    match comparison {
        Comparison::Equal => left.equals(right),
        Comparison::NotEqual => !left.equals(right),
        Comparison::Less => order() == Some(Less),
        Comparison::LessOrEqual => matches!(order(), Some(Less | Equal)),
        Comparison::Greater => order() == Some(Greater),
        Comparison::GreaterOrEqual => matches!(order(), Some(Greater | Equal)),
        Comparison::Contains => left.holds(right),
        Comparison::StartsWith => texts(|text, start| text.starts_with(start)),
        Comparison::EndsWith => texts(|text, end| text.ends_with(end)),
        Comparison::In => right.holds(left),
    }
}

fn path<'a>(root: Root, steps: &[Step], record: &'a ConsumedRecord) -> Value<'a> {
    let size = |bytes: &Option<bytes::Bytes>| match bytes {
        Some(bytes) => Value::integer(bytes.len() as i64),
        None => Value::Null,
    };
    let bytes = |bytes: &'a Option<bytes::Bytes>, steps: &[Step]| match bytes {
        Some(bytes) => Value::of_bytes(bytes).at(steps),
        None if steps.is_empty() => Value::Null,
        None => Value::Missing,
    };
    match root {
        Root::Topic => Value::text_of(&record.partition.topic),
        Root::Partition => Value::integer(record.partition.partition.into()),
        Root::Offset => Value::integer(record.offset.get()),
        Root::Time => Value::Time(record.timestamp.as_millis()),
        Root::Key => bytes(&record.key, steps),
        Root::Value => bytes(&record.value, steps),
        Root::KeySize => size(&record.key),
        Root::ValueSize => size(&record.value),
        Root::Headers => {
            let Some((Step::Name(name), steps)) = steps.split_first() else {
                return Value::integer(record.headers.len() as i64);
            };
            // The last one counts, as Kafka's lastHeader has it.
            let mut headers = record.headers.iter().rev();
            match headers.find(|(key, _)| **key == *name.as_bytes()) {
                Some((_, value)) => bytes(value, steps),
                None => Value::Missing,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ottla_client::{Codec, PartitionKey};
    use ottla_types::{Offset, Timestamp};

    fn record(key: Option<&'static str>, value: Option<&'static str>) -> ConsumedRecord {
        let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
        ConsumedRecord {
            partition: PartitionKey::new("orders", 3),
            offset: Offset::new(9_007_199_254_740_993),
            timestamp: Timestamp::from_millis(1_000),
            timestamp_type: ottla_records::TimestampType::CreateTime,
            leader_epoch: None,
            codec: Codec::None,
            producer: None,
            is_transactional: false,
            key: key.map(bytes),
            value: value.map(bytes),
            headers: vec![
                (bytes("source"), Some(bytes("old"))),
                (bytes("source"), Some(bytes("radar"))),
                (bytes("content-type"), None),
            ],
        }
    }

    fn check(cases: &[(&str, bool)], record: &ConsumedRecord) {
        for (text, expected) in cases {
            let expression = WhereExpression::parse(text);
            let expression = expression.unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(expression.is_met_by(record), *expected, "{text}");
        }
    }

    #[test]
    fn values_are_looked_into_and_compared() {
        let value =
            r#"{"eur":42.5,"id":"7","tags":["a","b"],"paid":true,"none":null,"to":{"c":"DE"}}"#;
        check(
            &[
                ("value.eur > 10", true),
                ("value.eur == 42.50", true),
                ("value.eur >= 43 || value.to.c == 'DE'", true),
                ("value.id == 7 && value.id == \"7\"", true),
                (
                    "value.tags contains 'b' && !(value.tags contains 'c')",
                    true,
                ),
                ("value.tags[1] == 'b' and value.tags[2] != 'b'", true),
                ("value['to']['c'] in ['AT', 'DE']", true),
                ("value.paid", true),
                ("not value.paid", false),
                ("value.none == null && value.absent == null", true),
                ("value.none || value.absent", false),
                ("value.absent > 1 || value.absent < 1", false),
                ("value contains '\"eur\":42'", true),
                ("value.to.c ~ '^D.$' && value.to.c !~ 'A'", true),
                ("10 < value.eur", true),
                ("'b' in value.tags", true),
                ("value_size > 20 && key_size == null", true),
            ],
            &record(None, Some(value)),
        );
    }

    #[test]
    fn everything_else_of_a_record_can_be_asked() {
        check(
            &[
                (
                    "key == 'k1' && key startsWith 'k' && key endsWith '1'",
                    true,
                ),
                ("value == null", true),
                ("value", false),
                ("topic == 'orders' && partition in [0, 3]", true),
                ("offset == 9007199254740993", true),
                ("offset == 9007199254740992", false),
                (
                    "ts < '1970-01-01T00:00:02' && ts >= @1970-01-01T00:00:01",
                    true,
                ),
                ("ts > @-1h", false),
                ("ts == 1000", true),
                ("headers.source == 'radar'", true),
                ("headers['content-type'] == null", true),
                ("headers.absent", false),
                ("headers == 3", true),
                ("true", true),
                ("(false or true) and not false", true),
            ],
            &record(Some("k1"), None),
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "",
            "value.",
            "value >",
            "value > 1 1",
            "valu > 1",
            "key == 'x",
            "(key",
            "key)",
            "value ~ '('",
            "value ~ 1",
            "key & key",
            "ts > @soon",
            "value[",
            "value[-1]",
            "in",
        ] {
            assert!(WhereExpression::parse(text).is_err(), "{text}");
        }
        let error = WhereExpression::parse("value.eur >> 1").unwrap_err();
        assert!(error.contains("column 12"), "{error}");
    }
}
