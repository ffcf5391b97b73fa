//! The generated `decode` functions.

use super::condition::{Condition, condition, used};
use super::facts::{Facts, tagged_fields};
use super::names::field_name;
use super::schema::{Field, Struct, Type, Versions};

impl Facts<'_> {
    pub fn write_decode(&self, out: &mut String, s: &Struct, versions: Versions, is_message: bool) {
        let mut body = String::new();
        let tagged = tagged_fields(s);
        for field in &s.fields {
            emit!(body, "{}: ", field_name(&field.name));
            let default = self.default_value(field);
            match condition(field.versions, versions) {
                _ if field.tag.is_some() => body.push_str(&default),
                Condition::Always => body.push_str(&self.read(field, versions)),
                Condition::Never => body.push_str(&default),
                Condition::When(test) => {
                    let read = self.read(field, versions.intersect(field.versions));
                    emit!(body, "if {test} {{ {read} }} else {{ {default} }}");
                }
            }
            body.push_str(",\n");
        }
        let flexible = condition(self.message.flexible, versions);
        let message = if tagged.is_empty() {
            "message"
        } else {
            "mut message"
        };
        let (open, close) = match flexible {
            Condition::Never => ("Ok(Self {".to_owned(), "})\n".to_owned()),
            _ => {
                let skip = self.read_tagged(&tagged, versions);
                let skip = match &flexible {
                    Condition::When(_) => format!("if flexible {{ {skip} }}\n"),
                    _ => skip,
                };
                (
                    format!("let {message} = Self {{"),
                    format!("}};\n{skip}Ok(message)\n"),
                )
            }
        };
        let body = self.with_flexible(versions, format!("{open}\n{body}{close}"));
        let reader = if self.borrowing.contains(s.name.as_str()) || is_message {
            "&mut Reader<'a>"
        } else {
            "&mut Reader<'_>"
        };
        let r = used(&body, "r");
        let version = if is_message {
            "version".to_owned()
        } else {
            used(&body, "version")
        };
        emit_line!(
            out,
            "fn decode({r}: {reader}, {version}: i16) -> Result<Self, DecodeError> {{"
        );
        if is_message {
            out.push_str(
                "if !Self::VERSIONS.contains(&version) {\n\
                 return Err(r.error(DecodeErrorKind::UnsupportedVersion)); }\n",
            );
        }
        out.push_str(&body);
        out.push_str("}\n");
    }

    /// Statements that read the tagged fields into `message`.
    fn read_tagged(&self, tagged: &[&Field], versions: Versions) -> String {
        if tagged.is_empty() {
            return "r.skip_tagged_fields()?;\n".into();
        }
        let versions = versions.intersect(self.message.flexible);
        let mut out = String::from("r.tagged_fields(&mut |tag, r| {\nmatch tag {\n");
        for field in tagged {
            let guard = match condition(field.versions, versions) {
                Condition::Always => String::new(),
                Condition::Never => continue,
                Condition::When(test) => format!("if {test}"),
            };
            let tag = field.tag.expect("only tagged fields are passed");
            let read = self.read(field, versions.intersect(field.versions));
            let name = field_name(&field.name);
            emit_line!(out, "{tag} {guard} => message.{name} = {read},");
        }
        out.push_str("_ => r.skip_rest()?,\n}\nOk(())\n})?;\n");
        out
    }

    /// An expression that reads the field in `versions`, all of which carry it.
    fn read(&self, field: &Field, versions: Versions) -> String {
        // Tagged fields exist in flexible versions only.
        let flexible = match field.tag {
            Some(_) => "true",
            None => self.flexible_word(versions),
        };
        let plain = self.read_value(&field.kind, flexible, versions, "");
        if !self.is_option(field) {
            return plain;
        }
        let nullable = match &field.kind {
            Type::Struct(_) => {
                let present = match field.tag {
                    Some(_) => "is_present_in_tag",
                    None => "is_present",
                };
                format!("if r.{present}()? {{ Some({plain}) }} else {{ None }}")
            }
            kind => self.read_value(kind, flexible, versions, "nullable_"),
        };
        match condition(field.nullable, versions) {
            Condition::Always => nullable,
            Condition::Never => format!("Some({plain})"),
            Condition::When(test) => format!("if {test} {{ {nullable} }} else {{ Some({plain}) }}"),
        }
    }

    fn read_value(&self, kind: &Type, flexible: &str, versions: Versions, prefix: &str) -> String {
        match kind {
            Type::Bool => "r.bool()?".into(),
            Type::Int8 => "r.i8()?".into(),
            Type::Int16 => "r.i16()?".into(),
            Type::Uint16 => "r.u16()?".into(),
            Type::Int32 => "r.i32()?".into(),
            Type::Int64 => "r.i64()?".into(),
            Type::Float64 => "r.f64()?".into(),
            Type::Uuid => "r.uuid()?".into(),
            Type::String => format!("r.{prefix}string({flexible})?"),
            Type::Bytes => format!("r.{prefix}bytes({flexible})?"),
            Type::Records => format!("r.{prefix}records({flexible})?"),
            Type::Struct(name) => format!("{name}::decode(r, version)?"),
            Type::Array(element) => {
                let size = self.element_size_min(element, versions);
                let read = match &**element {
                    Type::Struct(name) => format!("{name}::decode(r, version)"),
                    element => self
                        .read_value(element, flexible, versions, "")
                        .trim_end_matches('?')
                        .to_owned(),
                };
                format!("r.{prefix}array({flexible}, {size}, |r| {read})?")
            }
        }
    }

    /// The fewest bytes that an element can have in any of `versions`.
    fn element_size_min(&self, element: &Type, versions: Versions) -> usize {
        let size = (versions.first..=versions.last)
            .map(|version| self.size_min(element, version, false))
            .min()
            .expect("no versions, no reading");
        assert!(
            size > 0,
            "{}: elements of no bytes have no bound",
            self.message.name
        );
        size
    }

    fn size_min(&self, kind: &Type, version: i16, is_nullable: bool) -> usize {
        let is_flexible = self.message.flexible.contains(version);
        match kind {
            Type::Bool | Type::Int8 => 1,
            Type::Int16 | Type::Uint16 => 2,
            Type::Int32 => 4,
            Type::Int64 | Type::Float64 => 8,
            Type::Uuid => 16,
            Type::String => {
                if is_flexible {
                    1
                } else {
                    2
                }
            }
            Type::Bytes | Type::Records | Type::Array(_) => {
                if is_flexible {
                    1
                } else {
                    4
                }
            }
            Type::Struct(_) if is_nullable => 1,
            Type::Struct(name) => {
                let fields = &self.message.find_struct(name).fields;
                let carried = fields
                    .iter()
                    .filter(|f| f.tag.is_none() && f.versions.contains(version));
                let sum: usize = carried
                    .map(|f| self.size_min(&f.kind, version, f.nullable.contains(version)))
                    .sum();
                sum + usize::from(is_flexible)
            }
        }
    }
}
