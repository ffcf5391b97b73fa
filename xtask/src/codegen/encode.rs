//! The generated `encode` functions.

use super::condition::{Condition, condition, negated, used};
use super::facts::{Facts, tagged_fields};
use super::names::field_name;
use super::schema::{Field, Struct, Type, Versions};

impl Facts<'_> {
    pub fn write_encode(&self, out: &mut String, s: &Struct, versions: Versions, is_message: bool) {
        let mut body = String::new();
        for field in s.fields.iter().filter(|f| f.tag.is_none()) {
            let write = self.write_field(field, s, versions);
            let forbid = self.forbid_value(field, s);
            match condition(field.versions, versions) {
                Condition::Always => body.push_str(&write),
                Condition::Never => body.push_str(&forbid),
                Condition::When(test) => {
                    emit!(body, "if {test} {{\n{write}}}");
                    if !forbid.is_empty() {
                        emit!(body, " else {{\n{forbid}}}");
                    }
                    body.push('\n');
                }
            }
        }
        let tagged = tagged_fields(s);
        match condition(self.message.flexible, versions) {
            Condition::Never => {}
            Condition::Always => body.push_str(&self.write_tagged(&tagged, s, versions)),
            Condition::When(_) => {
                let write = self.write_tagged(&tagged, s, versions);
                let forbid: String = tagged.iter().map(|f| self.forbid_value(f, s)).collect();
                emit!(body, "if flexible {{\n{write}}}");
                if !forbid.is_empty() {
                    emit!(body, " else {{\n{forbid}}}");
                }
                body.push('\n');
            }
        }
        let body = self.with_flexible(versions, body);
        let w = used(&body, "w");
        let version = if is_message {
            "version".to_owned()
        } else {
            used(&body, "version")
        };
        emit_line!(
            out,
            "fn encode(&self, {w}: &mut Writer, {version}: i16) -> Result<(), EncodeError> {{"
        );
        if is_message {
            out.push_str(
                "if !Self::VERSIONS.contains(&version) {\n\
                 return Err(EncodeError::UnsupportedVersion { message: Self::NAME, version }); }\n",
            );
        }
        out.push_str(&body);
        out.push_str("Ok(())\n}\n");
    }

    /// A statement for the versions that do not carry the field.
    fn forbid_value(&self, field: &Field, s: &Struct) -> String {
        if field.ignorable {
            return String::new();
        }
        let is_default = self.is_default(field);
        format!(
            "forbid_value({is_default}, \"{}.{}\", version)?;\n",
            s.name, field.name
        )
    }

    fn write_tagged(&self, tagged: &[&Field], s: &Struct, versions: Versions) -> String {
        let mut forbidden = String::new();
        let mut out = String::new();
        for field in tagged {
            let tag = field.tag.expect("only tagged fields are passed");
            let has_value = negated(&self.is_default(field));
            let write = format!(
                "{{\nlet field = w.begin_tagged_field(tagged, {tag});\n{}\
                 w.end_tagged_field(field)?;\n}}",
                self.write_field(field, s, versions)
            );
            let forbid = self.forbid_value(field, s);
            match condition(field.versions, versions.intersect(self.message.flexible)) {
                Condition::Always => emit_line!(out, "if {has_value} {write}"),
                Condition::Never => forbidden.push_str(&forbid),
                Condition::When(test) if forbid.is_empty() => {
                    emit_line!(out, "if {test} && {has_value} {write}");
                }
                Condition::When(test) => {
                    let otherwise = format!("else {{\n{forbid}}}");
                    emit_line!(out, "if {test} {{\nif {has_value} {write}\n}} {otherwise}");
                }
            }
        }
        if out.is_empty() {
            return forbidden + "w.no_tagged_fields();\n";
        }
        format!("{forbidden}let tagged = w.tagged_fields();\n{out}")
    }

    /// Statements that write the field in a version that carries it.
    fn write_field(&self, field: &Field, s: &Struct, versions: Versions) -> String {
        let within = versions.intersect(field.versions);
        if within.is_empty() {
            return String::new();
        }
        let flexible = match field.tag {
            Some(_) => "true",
            None => self.flexible_word(within),
        };
        let place = format!("self.{}", field_name(&field.name));
        let is_option = self.is_option(field);
        let mut out = String::new();
        if is_option {
            let is_null = match condition(field.nullable, within) {
                Condition::Always => None,
                Condition::Never => Some(format!("{place}.is_none()")),
                Condition::When(test) => Some(format!("{place}.is_none() && {}", negated(&test))),
            };
            if let Some(is_null) = is_null {
                emit_line!(
                    out,
                    "forbid_null({is_null}, \"{}.{}\", version)?;",
                    s.name,
                    field.name
                );
            }
        }
        match &field.kind {
            Type::Struct(_) if is_option => {
                let presence = match (field.tag, condition(field.nullable, within)) {
                    (Some(_), _) => "presence_in_tag",
                    (None, Condition::Always) => "presence",
                    _ => panic!(
                        "{}: a struct that is nullable in some versions only",
                        s.name
                    ),
                };
                emit_line!(
                    out,
                    "w.{presence}({place}.is_some());\n\
                     if let Some(value) = &{place} {{ value.encode(w, version)?; }}"
                );
            }
            Type::Array(element) => {
                let write = write_value(element, flexible, "", "value", true);
                let (length, iterator) = if is_option {
                    (
                        format!("w.nullable_length({flexible}, {place}.as_ref().map(Vec::len))?;"),
                        format!("{place}.iter().flatten()"),
                    )
                } else {
                    (
                        format!("w.length({flexible}, {place}.len())?;"),
                        format!("&{place}"),
                    )
                };
                emit_line!(out, "{length}\nfor value in {iterator} {{ {write} }}");
            }
            kind if is_option => {
                out.push_str(&write_value(kind, flexible, "nullable_", &place, false));
            }
            kind => out.push_str(&write_value(kind, flexible, "", &place, false)),
        }
        out
    }
}

/// A statement that writes `place`, which is a reference or not.
fn write_value(kind: &Type, flexible: &str, prefix: &str, place: &str, is_ref: bool) -> String {
    let star = if is_ref { "*" } else { "" };
    let (amp, deref) = match (prefix, is_ref) {
        ("", false) => ("&", ""),
        ("", true) => ("", ""),
        _ => ("", ".as_deref()"),
    };
    match kind {
        Type::Bool => format!("w.bool({star}{place});\n"),
        Type::Int8 => format!("w.i8({star}{place});\n"),
        Type::Int16 => format!("w.i16({star}{place});\n"),
        Type::Uint16 => format!("w.u16({star}{place});\n"),
        Type::Int32 => format!("w.i32({star}{place});\n"),
        Type::Int64 => format!("w.i64({star}{place});\n"),
        Type::Float64 => format!("w.f64({star}{place});\n"),
        Type::Uuid => format!("w.uuid({star}{place});\n"),
        Type::String => format!("w.{prefix}string({flexible}, {amp}{place}{deref})?;\n"),
        Type::Bytes => format!("w.{prefix}bytes({flexible}, {amp}{place}{deref})?;\n"),
        Type::Records => format!("w.{prefix}records({flexible}, {star}{place})?;\n"),
        Type::Struct(_) => format!("{place}.encode(w, version)?;\n"),
        Type::Array(_) => panic!("Kafka has no arrays of arrays"),
    }
}
