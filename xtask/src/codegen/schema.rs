//! The schema files' grammar: text in, facts out. `schemas/README.md` describes it for people.

use std::fmt;

/// Versions `first..=last`; empty if `last < first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub first: i16,
    pub last: i16,
}

impl Versions {
    pub const NONE: Versions = Versions { first: 0, last: -1 };

    pub fn is_empty(self) -> bool {
        self.last < self.first
    }

    pub fn contains(self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }

    pub fn intersect(self, other: Versions) -> Versions {
        let both = Versions {
            first: self.first.max(other.first),
            last: self.last.min(other.last),
        };
        if both.is_empty() {
            Versions::NONE
        } else {
            both
        }
    }

    /// The smallest range with every version of both.
    pub fn hull(self, other: Versions) -> Versions {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => self,
            _ => Versions {
                first: self.first.min(other.first),
                last: self.last.max(other.last),
            },
        }
    }

    fn parse(text: &str) -> Option<Versions> {
        if text == "none" {
            return Some(Versions::NONE);
        }
        if let Some(first) = text.strip_suffix('+') {
            return Some(Versions {
                first: first.parse().ok()?,
                last: i16::MAX,
            });
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some(Versions {
            first: first.parse().ok()?,
            last: last.parse().ok()?,
        })
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            v if v.is_empty() => write!(f, "none"),
            v if v.last == i16::MAX => write!(f, "{}+", v.first),
            v if v.first == v.last => write!(f, "{}", v.first),
            v => write!(f, "{}-{}", v.first, v.last),
        }
    }
}

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Request,
    Response,
    /// A record of the metadata log.
    Record,
    /// A record key of a coordinator's topic.
    Key,
    /// A record value of a coordinator's topic.
    Value,
    Data,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Int64,
    Float64,
    Uuid,
    String,
    Bytes,
    Records,
    Struct(String),
    Array(Box<Type>),
}

impl Type {
    fn parse(text: &str) -> Type {
        if let Some(element) = text.strip_prefix("[]") {
            return Type::Array(Box::new(Type::parse(element)));
        }
        match text {
            "bool" => Type::Bool,
            "int8" => Type::Int8,
            "int16" => Type::Int16,
            "uint16" => Type::Uint16,
            "int32" => Type::Int32,
            "int64" => Type::Int64,
            "float64" => Type::Float64,
            "uuid" => Type::Uuid,
            "string" => Type::String,
            "bytes" => Type::Bytes,
            "records" => Type::Records,
            name => Type::Struct(name.to_owned()),
        }
    }

    /// The struct that this type is or is an array of.
    pub fn struct_name(&self) -> Option<&str> {
        match self {
            Type::Struct(name) => Some(name),
            Type::Array(element) => element.struct_name(),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub kind: Type,
    pub versions: Versions,
    pub tag: Option<u32>,
    pub nullable: Versions,
    /// As written; `None` is the type's zero.
    pub default: Option<String>,
    pub ignorable: bool,
}

#[derive(Clone, Debug)]
pub struct Struct {
    pub name: String,
    pub fields: Vec<Field>,
}

#[derive(Clone, Debug)]
pub struct Message {
    pub kind: Kind,
    /// API key or record type; 0 for [`Kind::Data`].
    pub key: i16,
    pub name: String,
    pub versions: Versions,
    pub flexible: Versions,
    pub unstable: Versions,
    pub on_broker: bool,
    pub on_controller: bool,
    /// The message itself first, then every struct it uses.
    pub structs: Vec<Struct>,
}

impl Message {
    pub fn find_struct(&self, name: &str) -> &Struct {
        self.structs
            .iter()
            .find(|s| s.name == name)
            .unwrap_or_else(|| panic!("{} has no struct {name}", self.name))
    }
}

/// Reads one schema file.
pub fn parse(text: &str) -> Result<Vec<Message>, String> {
    let mut messages: Vec<Message> = Vec::new();
    // Indices of the structs that the lines read so far are inside of, outermost first.
    let mut open: Vec<usize> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let at = |what: &str| format!("line {}: {what}: {line}", index + 1);
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.is_empty() {
            continue;
        }
        let depth = (line.len() - line.trim_start().len()) / 2;
        if depth > 0 {
            let message = messages.last_mut().ok_or_else(|| at("no message yet"))?;
            if depth > open.len() {
                return Err(at("indented too deep"));
            }
            open.truncate(depth);
            let field = parse_field(&words).ok_or_else(|| at("not a field"))?;
            let owner = open[depth - 1];
            // Deeper lines, if any, describe the struct that this field introduces.
            if let Some(name) = field.kind.struct_name()
                && is_deeper(text, index, depth)
            {
                open.push(message.structs.len());
                message.structs.push(Struct {
                    name: name.to_owned(),
                    fields: Vec::new(),
                });
            }
            message.structs[owner].fields.push(field);
        } else if words[0] == "struct" {
            let message = messages.last_mut().ok_or_else(|| at("no message yet"))?;
            let name = words.get(1).ok_or_else(|| at("a struct needs a name"))?;
            open = vec![message.structs.len()];
            message.structs.push(Struct {
                name: (*name).to_owned(),
                fields: Vec::new(),
            });
        } else {
            messages.push(parse_message(&words).ok_or_else(|| at("not a message"))?);
            open = vec![0];
        }
    }
    Ok(messages)
}

fn is_deeper(text: &str, index: usize, depth: usize) -> bool {
    text.lines()
        .nth(index + 1)
        .is_some_and(|next| (next.len() - next.trim_start().len()) / 2 > depth)
}

fn parse_message(words: &[&str]) -> Option<Message> {
    let (kind, is_keyed) = match words[0] {
        "request" => (Kind::Request, true),
        "response" => (Kind::Response, true),
        "record" => (Kind::Record, true),
        "key" => (Kind::Key, true),
        "value" => (Kind::Value, true),
        "data" => (Kind::Data, false),
        _ => return None,
    };
    let mut rest = words[1..].iter();
    let key = if is_keyed {
        rest.next()?.parse().ok()?
    } else {
        0
    };
    let name = (*rest.next()?).to_owned();
    let mut message = Message {
        kind,
        key,
        versions: Versions::parse(rest.next()?)?,
        flexible: Versions::NONE,
        unstable: Versions::NONE,
        on_broker: false,
        on_controller: false,
        structs: vec![Struct {
            name: name.clone(),
            fields: Vec::new(),
        }],
        name,
    };
    for word in rest {
        match word.split_once('=')? {
            ("flexible", versions) => message.flexible = Versions::parse(versions)?,
            ("unstable", versions) => message.unstable = Versions::parse(versions)?,
            ("on", listeners) => {
                message.on_broker = listeners.split(',').any(|l| l == "broker");
                message.on_controller = listeners.split(',').any(|l| l == "controller");
            }
            _ => return None,
        }
    }
    Some(message)
}

fn parse_field(words: &[&str]) -> Option<Field> {
    let [name, kind, versions, attributes @ ..] = words else {
        return None;
    };
    let mut field = Field {
        name: (*name).to_owned(),
        kind: Type::parse(kind),
        versions: Versions::parse(versions)?,
        tag: None,
        nullable: Versions::NONE,
        default: None,
        ignorable: false,
    };
    for attribute in attributes {
        match attribute.split_once('=') {
            None if *attribute == "ignorable" => field.ignorable = true,
            None if *attribute == "null" => field.nullable = field.versions,
            // Says which fields name an element; nothing is generated from it.
            None if *attribute == "key" => {}
            Some(("tag", tag)) => field.tag = Some(tag.parse().ok()?),
            Some(("null", versions)) => field.nullable = Versions::parse(versions)?,
            Some(("default", value)) => field.default = Some(value.to_owned()),
            _ => return None,
        }
    }
    Some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
request 1 ThingRequest 2-5 flexible=4+ unstable=5 on=controller
  Name string 0+ null=3+ default=null ignorable key
  Parts []Part 3-4
    Size int32 3+ default=-1
    Inner Shared 4+ tag=2 null
struct Shared 4+
  Ids []uuid 4+

response 1 ThingResponse 2-5
";

    #[test]
    fn a_schema_is_read() {
        let messages = parse(TEXT).expect("it is a schema");
        let [request, response] = &messages[..] else {
            panic!("two messages: {messages:?}")
        };
        assert_eq!((request.kind, request.key), (Kind::Request, 1));
        assert!(request.on_controller && !request.on_broker);
        assert_eq!(request.versions.to_string(), "2-5");
        assert_eq!(
            request.flexible.intersect(request.versions).to_string(),
            "4-5"
        );
        assert_eq!(request.unstable.to_string(), "5");
        let names: Vec<&str> = request.structs.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["ThingRequest", "Part", "Shared"]);
        let [name, parts] = &request.structs[0].fields[..] else {
            panic!("two fields")
        };
        assert_eq!((name.kind.clone(), name.ignorable), (Type::String, true));
        assert_eq!(
            (name.nullable.first, name.default.as_deref()),
            (3, Some("null"))
        );
        assert_eq!(
            parts.kind,
            Type::Array(Box::new(Type::Struct("Part".into())))
        );
        let inner = &request.find_struct("Part").fields[1];
        assert_eq!((inner.tag, inner.nullable), (Some(2), inner.versions));
        assert_eq!(
            (response.flexible, response.structs[0].fields.len()),
            (Versions::NONE, 0)
        );
    }

    #[test]
    fn a_fault_is_named_by_its_line() {
        for (text, line) in [
            ("  Name string 0+", "line 1"),
            ("request x ThingRequest 0", "line 1"),
            ("data Thing 0\n  Name string", "line 2"),
            ("data Thing 0\n  Name string 0+ ignored", "line 2"),
            (
                "data Thing 0\n  Name string 0+\n      Deep int8 0+",
                "line 3",
            ),
        ] {
            let fault = parse(text).expect_err("it is no schema");
            assert!(fault.starts_with(line), "{fault}");
        }
    }
}
