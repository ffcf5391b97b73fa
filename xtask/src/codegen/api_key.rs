//! The enum of API keys, out of the requests' schemas.

use super::message::MARKER;
use super::schema::{Kind, Message};

/// `api_key.rs` (not yet formatted).
pub fn generate(messages: &[Message]) -> String {
    let mut requests: Vec<&Message> = messages
        .iter()
        .filter(|m| m.kind == Kind::Request)
        .collect();
    requests.sort_by_key(|m| m.key);
    let name = |m: &Message| m.name.trim_end_matches("Request").to_owned();

    let mut variants = String::new();
    let mut keys = String::new();
    let mut numbers = String::new();
    let mut facts = String::new();
    for m in &requests {
        let name = name(m);
        let stable_last = if m.unstable.is_empty() {
            m.versions.last
        } else {
            m.unstable.first - 1
        };
        let flexible_first = match m.flexible.is_empty() {
            true => "None".to_owned(),
            false => format!("Some({})", m.flexible.first.max(m.versions.first)),
        };
        emit_line!(
            variants,
            "/// {} to {}.\n{name} = {},",
            m.versions.first,
            stable_last,
            m.key
        );
        emit_line!(keys, "ApiKey::{name},");
        emit_line!(numbers, "{} => ApiKey::{name},", m.key);
        emit_line!(
            facts,
            "ApiKey::{name} => Facts {{ name: {name:?}, first: {}, last: {stable_last}, parsed_last: {}, \
             flexible_first: {flexible_first}, is_on_broker: {}, is_on_controller: {} }},",
            m.versions.first,
            m.versions.last,
            m.on_broker,
            m.on_controller
        );
    }
    format!(
        "{MARKER} schemas/api; do not edit.\n\n\
         use std::fmt;\nuse std::ops::RangeInclusive;\n\n\
         /// The APIs of Kafka 4.4 with the versions that clients may use.\n\
         #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]\n\
         #[repr(i16)]\n\
         pub enum ApiKey {{ {variants} }}\n\n\
         /// Every API, in the order of their numbers.\n\
         pub const ALL_API_KEYS: [ApiKey; {}] = [ {keys} ];\n\n\
         struct Facts {{ name: &'static str, first: i16, last: i16, parsed_last: i16, \
         flexible_first: Option<i16>, is_on_broker: bool, is_on_controller: bool }}\n\n\
         impl ApiKey {{\n\
         /// The API with this number.\n\
         pub const fn from_i16(number: i16) -> Option<ApiKey> {{ Some(match number {{ {numbers} _ => return None }}) }}\n\n\
         const fn facts(self) -> Facts {{ match self {{ {facts} }} }}\n\n\
         {METHODS}\n}}\n\n{DISPLAY}",
        requests.len()
    )
}

const METHODS: &str = r#"
/// Its number.
pub const fn number(self) -> i16 { self as i16 }

/// Kafka's name.
pub const fn name(self) -> &'static str { self.facts().name }

/// The stable versions.
pub const fn versions(self) -> RangeInclusive<i16> { let f = self.facts(); f.first..=f.last }

/// The versions that can be parsed: the stable ones and those still in the making.
pub const fn parsed_versions(self) -> RangeInclusive<i16> { let f = self.facts(); f.first..=f.parsed_last }

/// The versions that ApiVersions names: librdkafka up to 2.10 stops compressing without Produce 0, so
/// Kafka names versions there that it then refuses (KAFKA-18659).
pub const fn advertised_versions(self) -> RangeInclusive<i16> {
    let f = self.facts();
    match self { ApiKey::Produce => 0..=f.last, _ => f.first..=f.last }
}

/// The first version with compact lengths and tagged fields; `None` if there is no such one.
pub const fn first_flexible(self) -> Option<i16> { self.facts().flexible_first }

/// Whether `version` has compact lengths and tagged fields.
pub const fn is_flexible(self, version: i16) -> bool {
    match self.facts().flexible_first { Some(first) => first <= version, None => false }
}

/// Version of the header of a request of `version`.
pub const fn request_header_version(self, version: i16) -> i16 { if self.is_flexible(version) { 2 } else { 1 } }

/// Version of the header of a response to a request of `version`. ApiVersions never has tagged fields
/// there: a client must be able to read the answer before it knows what the broker speaks (KIP-511).
pub const fn response_header_version(self, version: i16) -> i16 {
    match self { ApiKey::ApiVersions => 0, _ => if self.is_flexible(version) { 1 } else { 0 } }
}

/// Whether brokers serve it to clients.
pub const fn is_on_broker(self) -> bool { self.facts().is_on_broker }

/// Whether controllers serve it on their own listener.
pub const fn is_on_controller(self) -> bool { self.facts().is_on_controller }
"#;

const DISPLAY: &str = "impl fmt::Display for ApiKey {\n\
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(self.name()) }\n}\n";
