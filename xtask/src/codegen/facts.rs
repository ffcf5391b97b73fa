//! What is derived from a message's schema before anything is written: Rust's types, defaults, versions.

use std::collections::{BTreeMap, BTreeSet};

use super::condition::{Condition, condition};
use super::names::field_name;
use super::schema::{Field, Message, Struct, Type, Versions};

/// What is derived from a message's schema before anything is written.
pub struct Facts<'m> {
    pub message: &'m Message,
    /// Versions in which each struct can occur.
    pub versions: BTreeMap<&'m str, Versions>,
    /// Structs that hold slices of the frame.
    pub borrowing: BTreeSet<&'m str>,
}

impl<'m> Facts<'m> {
    pub fn new(message: &'m Message) -> Facts<'m> {
        let mut facts = Facts {
            message,
            versions: BTreeMap::new(),
            borrowing: BTreeSet::new(),
        };
        facts.visit(&message.structs[0], message.versions, 0);
        facts
    }

    /// Notes where `s` occurs and what it holds; true if it borrows.
    fn visit(&mut self, s: &'m Struct, versions: Versions, depth: usize) -> bool {
        assert!(depth < 16, "{} nests without end", self.message.name);
        let known = self.versions.entry(&s.name).or_insert(Versions::NONE);
        *known = known.hull(versions);
        let mut is_borrowing = false;
        for field in &s.fields {
            let leaf = leaf(&field.kind);
            is_borrowing |= match leaf {
                Type::String | Type::Bytes | Type::Records => true,
                Type::Struct(name) => {
                    let inner = self.message.find_struct(name);
                    self.visit(inner, versions.intersect(field.versions), depth + 1)
                }
                _ => false,
            };
        }
        if is_borrowing {
            self.borrowing.insert(&s.name);
        }
        is_borrowing
    }

    pub fn lifetime(&self, name: &str) -> &'static str {
        if self.borrowing.contains(name) {
            "<'a>"
        } else {
            ""
        }
    }

    pub fn rust_type(&self, field: &Field) -> String {
        let plain = self.plain_type(&field.kind);
        if self.is_option(field) {
            format!("Option<{plain}>")
        } else {
            plain
        }
    }

    pub fn plain_type(&self, kind: &Type) -> String {
        match kind {
            Type::Bool => "bool".into(),
            Type::Int8 => "i8".into(),
            Type::Int16 => "i16".into(),
            Type::Uint16 => "u16".into(),
            Type::Int32 => "i32".into(),
            Type::Int64 => "i64".into(),
            Type::Float64 => "f64".into(),
            Type::Uuid => "Uuid".into(),
            Type::String => "Cow<'a, str>".into(),
            Type::Bytes => "Cow<'a, [u8]>".into(),
            Type::Records => "Records<'a>".into(),
            Type::Struct(name) => format!("{name}{}", self.lifetime(name)),
            Type::Array(element) => format!("Vec<{}>", self.plain_type(element)),
        }
    }

    /// Whether some version that can be parsed has null for the field.
    pub fn is_option(&self, field: &Field) -> bool {
        !field.nullable.intersect(self.message.versions).is_empty()
    }

    pub fn defaults_to_null(&self, field: &Field) -> bool {
        // Kafka's records default to null, whatever their schema says.
        self.is_option(field)
            && (field.default.as_deref() == Some("null") || field.kind == Type::Records)
    }

    /// Whether `Default::default()` is the field's default.
    pub fn is_zero_default(&self, field: &Field) -> bool {
        if self.is_option(field) {
            self.defaults_to_null(field)
        } else {
            field.default.is_none()
        }
    }

    pub fn default_value(&self, field: &Field) -> String {
        if self.defaults_to_null(field) {
            return "None".into();
        }
        let plain = match (&field.kind, &field.default) {
            (_, Some(value)) => extreme(&field.kind, value),
            (Type::Bool, _) => "false".into(),
            (Type::Int8 | Type::Int16 | Type::Uint16 | Type::Int32 | Type::Int64, _) => "0".into(),
            (Type::Float64, _) => "0.0".into(),
            (Type::Uuid, _) => "Uuid::ZERO".into(),
            (Type::String, _) => "Cow::Borrowed(\"\")".into(),
            (Type::Bytes, _) => "Cow::Borrowed(&[])".into(),
            (Type::Records, _) => "Records::Slice(&[])".into(),
            (Type::Struct(name), _) => format!("{name}::default()"),
            (Type::Array(_), _) => "Vec::new()".into(),
        };
        if self.is_option(field) {
            format!("Some({plain})")
        } else {
            plain
        }
    }

    /// An expression that says whether the field has its default.
    pub fn is_default(&self, field: &Field) -> String {
        let place = format!("self.{}", field_name(&field.name));
        if self.defaults_to_null(field) {
            return format!("{place}.is_none()");
        }
        match &field.kind {
            Type::Array(_) if self.is_option(field) => {
                format!("{place}.as_ref().is_some_and(|x| x.is_empty())")
            }
            Type::String if self.is_option(field) => format!("{place}.as_deref() == Some(\"\")"),
            Type::Bytes if self.is_option(field) => format!("{place}.as_deref() == Some(&[])"),
            Type::String | Type::Bytes | Type::Array(_) => format!("{place}.is_empty()"),
            Type::Uuid => format!("{place}.is_zero()"),
            Type::Bool if field.default.as_deref() == Some("true") => place,
            Type::Bool => format!("!{place}"),
            _ => format!("{place} == {}", self.default_value(field)),
        }
    }

    /// `"true"`, `"false"` or a comparison of `version`, for use in an expression.
    pub fn flexible_word(&self, versions: Versions) -> &'static str {
        match condition(self.message.flexible, versions) {
            Condition::Always => "true",
            Condition::Never => "false",
            Condition::When(_) => "flexible",
        }
    }

    /// `body`, after a statement that says what `flexible` is if it uses that.
    pub fn with_flexible(&self, versions: Versions, body: String) -> String {
        match condition(self.message.flexible, versions) {
            Condition::When(test) if body.contains("flexible") => {
                format!("let flexible = {test};\n{body}")
            }
            _ => body,
        }
    }
}

fn leaf(kind: &Type) -> &Type {
    match kind {
        Type::Array(element) => leaf(element),
        kind => kind,
    }
}

/// In the order of their tags, which is the order on the wire.
pub fn tagged_fields(s: &Struct) -> Vec<&Field> {
    let mut tagged: Vec<&Field> = s.fields.iter().filter(|f| f.tag.is_some()).collect();
    tagged.sort_by_key(|f| f.tag);
    tagged
}

/// A number as Rust names it where it has a name.
fn extreme(kind: &Type, value: &str) -> String {
    match (kind, value) {
        (Type::Int32, "2147483647") => "i32::MAX".into(),
        (Type::Int32, "-2147483648") => "i32::MIN".into(),
        (Type::Int64, "9223372036854775807") => "i64::MAX".into(),
        _ => value.into(),
    }
}
