//! Clusters as other tools keep them: their files are read into profiles, with the names that Kafka's
//! clients and librdkafka have for what they say.

mod kaf;
mod kcl;
mod rpk;
mod section;
mod yaml;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::Value;

use crate::failure::Failure;
use crate::properties::read_file;
use crate::time_text::parse_span;
use section::Section;

/// Whose file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tool {
    /// rpk.yaml of rpk: its profiles.
    Rpk,
    /// The config of kaf: its clusters.
    Kaf,
    /// config.toml of kcl: its profiles, or the one cluster it is about.
    Kcl,
    /// kcat.conf: one cluster.
    Kcat,
    /// client.properties of Kafka's tools: one cluster.
    Properties,
}

/// A cluster of another tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignProfile {
    /// What it is called there; `None` where clusters have no names.
    pub name: Option<String>,
    /// Its properties, as `key=value` lines.
    pub lines: Vec<String>,
    /// What else was said about it there, which has no counterpart here.
    pub ignored: Vec<String>,
}

impl Tool {
    /// What a profile is called that has no name in the tool's file.
    pub fn name(self) -> &'static str {
        match self {
            Tool::Rpk => "rpk",
            Tool::Kaf => "kaf",
            Tool::Kcl => "kcl",
            Tool::Kcat => "kcat",
            Tool::Properties => "client",
        }
    }

    /// Where the tool itself looks for its file; `None` if it is always told.
    pub fn file(self) -> Option<PathBuf> {
        let dir = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = || dir("HOME").map(PathBuf::from);
        let config = || {
            let xdg = dir("XDG_CONFIG_HOME").map(PathBuf::from);
            xdg.or_else(|| Some(home()?.join(".config")))
        };
        match self {
            Tool::Rpk => Some(config()?.join("rpk/rpk.yaml")),
            Tool::Kaf => Some(home()?.join(".kaf/config")),
            Tool::Kcl => Some(config()?.join("kcl/config.toml")),
            Tool::Kcat => Some(home()?.join(".config/kcat.conf")),
            Tool::Properties => None,
        }
    }

    /// The clusters of its file.
    pub fn read(self, path: &Path) -> Result<Vec<ForeignProfile>, Failure> {
        if let Tool::Kcat | Tool::Properties = self {
            return Ok(vec![ForeignProfile {
                lines: read_file(path)?,
                ..ForeignProfile::default()
            }]);
        }
        let at =
            |error: &dyn std::fmt::Display| Failure::failed(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| at(&error))?;
        self.parse(&text).map_err(|error| at(&error))
    }

    fn parse(self, text: &str) -> Result<Vec<ForeignProfile>, String> {
        let tree: Value = match self {
            // Not the whole error, which quotes lines that may have passwords.
            Tool::Kcl => toml::from_str(text).map_err(|error| error.message().to_owned())?,
            _ => yaml::parse(text)?,
        };
        let file = Section::of(tree, "")?;
        match self {
            Tool::Rpk => rpk::profiles(file),
            Tool::Kaf => kaf::profiles(file),
            Tool::Kcl => kcl::profiles(file),
            Tool::Kcat | Tool::Properties => Err("these are lines, not a tree".to_owned()),
        }
    }
}

/// Properties that say how a client proves who it is and how it hides what it says.
pub fn security_properties(lines: &[String]) -> Vec<&str> {
    let pairs = lines.iter().filter_map(|line| line.split_once('='));
    let security = pairs.filter(|(key, value)| {
        let key = key.trim();
        let is_plain = value.trim().eq_ignore_ascii_case("plaintext");
        let is_about_it = ["sasl.", "ssl.", "enable.ssl."]
            .iter()
            .any(|start| key.starts_with(start));
        is_about_it || (key == "security.protocol" && !is_plain)
    });
    security.map(|(key, _)| key.trim()).collect()
}

/// TLS as it is said everywhere, by other names.
struct Tls {
    ca: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
    is_unverified: bool,
}

/// SASL as it is said everywhere, by other names.
struct Sasl {
    mechanism: Option<String>,
    user: Option<String>,
    password: Option<String>,
}

/// The properties that say the same, by librdkafka's names: Kafka's are about key stores of Java.
fn security(
    protocol: Option<String>,
    tls: Option<Tls>,
    sasl: Option<Sasl>,
) -> Vec<(&'static str, Option<String>)> {
    let derived = match (&tls, &sasl) {
        (None, None) => None,
        (Some(_), None) => Some("SSL"),
        (None, Some(_)) => Some("SASL_PLAINTEXT"),
        (Some(_), Some(_)) => Some("SASL_SSL"),
    };
    let protocol = protocol.or_else(|| derived.map(str::to_owned));
    let mut properties = vec![("security.protocol", protocol)];
    if let Some(sasl) = sasl {
        properties.extend([
            ("sasl.mechanism", sasl.mechanism),
            ("sasl.username", sasl.user),
            ("sasl.password", sasl.password),
        ]);
    }
    if let Some(tls) = tls {
        let unverified = tls.is_unverified.then(|| "false".to_owned());
        properties.extend([
            ("ssl.ca.location", tls.ca),
            ("ssl.certificate.location", tls.certificate),
            ("ssl.key.location", tls.key),
            ("enable.ssl.certificate.verification", unverified),
        ]);
    }
    properties
}

/// Lines of those that are set. A line cannot hold every text.
fn lines(properties: Vec<(&'static str, Option<String>)>) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    for (key, value) in properties {
        let Some(value) = value else { continue };
        if value != value.trim() || value.contains(char::is_control) {
            return Err(format!(
                "{key} begins or ends with a space or has several lines, which a profile cannot hold"
            ));
        }
        lines.push(format!("{key}={value}"));
    }
    Ok(lines)
}

/// `5s` or `1m30s` in the milliseconds of a property; zero stands for the tool's own default.
fn millis(text: Option<String>) -> Result<Option<String>, String> {
    let Some(text) = text else { return Ok(None) };
    let mut rest = text.as_str();
    let mut millis: u128 = 0;
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit());
        let after = unit.and_then(|at| {
            rest[at..]
                .find(|c: char| c.is_ascii_digit())
                .map(|n| at + n)
        });
        let (span, next) = rest.split_at(after.unwrap_or(rest.len()));
        let span = parse_span(span).map_err(|_| format!("'{text}' is no time: 500ms, 1m30s"))?;
        millis += span.as_millis();
        rest = next;
    }
    Ok((millis != 0).then(|| millis.to_string()))
}

#[cfg(test)]
mod tests;
