use std::fmt;

/// One config as Kafka 4.4 (or we) define it.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Its full name.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// The default as text; `None` is "no value".
    pub default: Option<&'static str>,
    /// Which values are accepted.
    pub valid: Valid,
    /// How much Kafka's documentation makes of it.
    pub importance: Importance,
    /// Whether it is listed without being set.
    pub visibility: Visibility,
    /// Whether and at which level it can change while the broker runs.
    pub dynamic: Dynamic,
    /// What it does in this broker.
    pub support: Support,
    /// Other names for the same thing, the first that is set wins. For a topic config: the broker
    /// config that is its default.
    pub synonyms: &'static [&'static str],
    /// One sentence of documentation; may be empty, see [`Definition::documentation`].
    pub doc: &'static str,
}

/// A row of a config table.
#[expect(
    clippy::too_many_arguments,
    reason = "a table row has that many columns"
)]
pub(super) const fn def(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    valid: Valid,
    importance: Importance,
    visibility: Visibility,
    dynamic: Dynamic,
    support: Support,
    synonyms: &'static [&'static str],
    doc: &'static str,
) -> Definition {
    Definition {
        name,
        kind,
        default,
        valid,
        importance,
        visibility,
        dynamic,
        support,
        synonyms,
        doc,
    }
}

/// The type of a config's value, in the order of Kafka's `DescribeConfigsResponse.ConfigType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// Any text.
    String,
    /// 32 bits.
    Int,
    /// 16 bits.
    Short,
    /// 64 bits.
    Long,
    /// A floating point number.
    Double,
    /// Texts separated by commas.
    List,
    /// A Java class name.
    Class,
    /// A text that is never shown.
    Password,
}

impl Kind {
    /// The number in DescribeConfigs answers.
    pub const fn wire(self) -> i8 {
        match self {
            Kind::Boolean => 1,
            Kind::String => 2,
            Kind::Int => 3,
            Kind::Short => 4,
            Kind::Long => 5,
            Kind::Double => 6,
            Kind::List => 7,
            Kind::Class => 8,
            Kind::Password => 9,
        }
    }
}

/// Which values of the right type are accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Valid {
    /// All.
    Any,
    /// Numbers from this one on.
    AtLeast(i64),
    /// Numbers between these, both inclusive.
    Between(i64, i64),
    /// Fractions between these, both inclusive.
    Fraction(f64, f64),
    /// 1 to 9, or -1 for the codec's own default.
    GzipLevel,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts in upper or lower case.
    OneOfAnyCase(&'static [&'static str]),
    /// A list of some of these, none twice; may be empty.
    Subset(&'static [&'static str]),
    /// A list of at least one of these, none twice.
    NonEmptySubset(&'static [&'static str]),
    /// A list without duplicates.
    Distinct,
    /// A list without duplicates that is not empty.
    DistinctNotEmpty,
    /// Some text.
    NotEmpty,
    /// Any value, but a value.
    NotNull,
    /// `earliest`, `latest` or `by_duration:` with a duration of ISO 8601.
    OffsetReset,
    /// A list of `id@host:port`.
    Voters,
    /// A list of `host:port`.
    HostPorts,
    /// `*` or a list of `partition:broker`.
    ThrottledReplicas,
}

/// How much Kafka's documentation makes of a config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// Look at it before going to production.
    High,
    /// Sometimes useful.
    Medium,
    /// Rarely touched.
    Low,
}

/// Whether a config is listed without being set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Listed.
    Public,
    /// Listed only where it is set.
    Internal,
}

/// Whether and at which level a config can change while the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dynamic {
    /// Only by a restart.
    ReadOnly,
    /// For one broker at a time.
    PerBroker,
    /// For one broker or for all.
    ClusterWide,
}

/// What a config does in this broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It works.
    Applied,
    /// Accepted; there is nothing here that it could change.
    NoEffect,
    /// Accepted; it belongs to a feature that a later release brings.
    Later,
    /// Values other than the default are refused: silently ignoring them would be dangerous.
    Refused,
}

/// A value that a definition does not accept. The text is Kafka's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue {
    /// The config.
    pub name: String,
    /// The value as it was given.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Invalid value {} for configuration {}: {}",
            self.value, self.name, self.reason
        )
    }
}

impl std::error::Error for InvalidValue {}

impl Definition {
    /// The documentation in one sentence.
    pub fn documentation(&self) -> String {
        let about = if self.doc.is_empty() {
            format!("Means what Apache Kafka's {} means.", self.name)
        } else {
            self.doc.to_owned()
        };
        match self.support {
            Support::Applied => about,
            Support::NoEffect => format!("{about} Accepted; has no effect here."),
            Support::Later => format!("{about} Accepted; the feature comes with a later release."),
            Support::Refused => {
                format!("{about} Only the default is accepted until the feature exists.")
            }
        }
    }

    /// True when the value must never be shown.
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// Checks `text` and returns it as Kafka prints it.
    pub fn parse(&self, text: &str) -> Result<String, InvalidValue> {
        let text = text.trim();
        let refuse = |reason: String| InvalidValue {
            name: self.name.to_owned(),
            value: if self.is_sensitive() {
                "[hidden]".to_owned()
            } else {
                text.to_owned()
            },
            reason,
        };
        let printed = match self.kind {
            Kind::Boolean => parse_boolean(text).map_err(refuse)?,
            Kind::Short => self
                .parse_integer(text, i16::MIN.into(), i16::MAX.into(), "SHORT")
                .map_err(refuse)?,
            Kind::Int => self
                .parse_integer(text, i32::MIN.into(), i32::MAX.into(), "INT")
                .map_err(refuse)?,
            Kind::Long => self
                .parse_integer(text, i64::MIN, i64::MAX, "LONG")
                .map_err(refuse)?,
            Kind::Double => self.parse_double(text).map_err(refuse)?,
            Kind::List => {
                if let Some((item, allowed)) = self.stranger(text) {
                    let refusal = refuse(format!("String must be one of: {}", allowed.join(", ")));
                    return Err(InvalidValue {
                        value: item.to_owned(),
                        ..refusal
                    });
                }
                self.parse_list(text).map_err(refuse)?
            }
            Kind::String | Kind::Class | Kind::Password => self.parse_text(text).map_err(refuse)?,
        };
        if self.support == Support::Refused && !self.is_default(&printed) {
            return Err(refuse(
                "this comes with a later release, and ignoring it would be dangerous".to_owned(),
            ));
        }
        Ok(printed)
    }

    fn is_default(&self, printed: &str) -> bool {
        match self.default {
            Some(default) => default == printed,
            None => printed.is_empty(),
        }
    }

    fn parse_integer(&self, text: &str, low: i64, high: i64, kind: &str) -> Result<String, String> {
        let value = text
            .parse::<i64>()
            .ok()
            .filter(|value| (low..=high).contains(value))
            .ok_or_else(|| format!("Not a number of type {kind}"))?;
        match self.valid {
            Valid::AtLeast(least) if value < least => {
                Err(format!("Value must be at least {least}"))
            }
            Valid::Between(first, _) if value < first => {
                Err(format!("Value must be at least {first}"))
            }
            Valid::Between(_, last) if last < value => {
                Err(format!("Value must be no more than {last}"))
            }
            Valid::GzipLevel if value != -1 && !(1..=9).contains(&value) => {
                Err("Value must be between 1 and 9 or equal to -1".to_owned())
            }
            _ => Ok(value.to_string()),
        }
    }

    fn parse_double(&self, text: &str) -> Result<String, String> {
        let value: f64 = text
            .parse()
            .map_err(|_| "Not a number of type DOUBLE".to_owned())?;
        let (first, last) = match self.valid {
            Valid::Fraction(first, last) => (first, last),
            Valid::AtLeast(least) => (least as f64, f64::INFINITY),
            _ => (f64::NEG_INFINITY, f64::INFINITY),
        };
        if value < first || value.is_nan() {
            return Err(format!("Value must be at least {first}"));
        }
        if last < value {
            return Err(format!("Value must be no more than {last}"));
        }
        // As Java prints it: plainly within these bounds, else as it was written.
        match (1e-3..1e7).contains(&value.abs()) {
            true => Ok(format!("{value:?}")),
            false => Ok(text.to_owned()),
        }
    }

    fn parse_text(&self, text: &str) -> Result<String, String> {
        match self.valid {
            Valid::OneOf(allowed) if !allowed.contains(&text) => {
                Err(format!("String must be one of: {}", allowed.join(", ")))
            }
            Valid::OneOfAnyCase(allowed)
                if !allowed.iter().any(|word| word.eq_ignore_ascii_case(text)) =>
            {
                let allowed = allowed.join(", ").to_uppercase();
                Err(format!(
                    "String must be one of (case insensitive): {allowed}"
                ))
            }
            Valid::NotEmpty if text.is_empty() => Err("String must be non-empty".to_owned()),
            Valid::OffsetReset if !is_offset_reset(text) => Err(format!(
                "Invalid value `{text}` for configuration {}. The value must be either 'earliest', \
                 'latest' or of the format 'by_duration:<PnDTnHnMn.nS>'.",
                self.name
            )),
            _ => Ok(text.to_owned()),
        }
    }

    /// The first item of a list that is not one of those that may be in it, and those.
    fn stranger<'a>(&self, text: &'a str) -> Option<(&'a str, &'static [&'static str])> {
        let (Valid::Subset(allowed) | Valid::NonEmptySubset(allowed)) = self.valid else {
            return None;
        };
        let items = split_list(text);
        let stranger = items.into_iter().find(|item| !allowed.contains(item))?;
        Some((stranger, allowed))
    }

    fn parse_list(&self, text: &str) -> Result<String, String> {
        let mut items = split_list(text);
        if !matches!(self.valid, Valid::Any | Valid::ThrottledReplicas) {
            items = distinct(&items);
        }
        match self.valid {
            Valid::Voters => {
                for item in &items {
                    check_voter(item)?;
                }
            }
            Valid::HostPorts => {
                for item in &items {
                    check_host_port(item)?;
                }
            }
            Valid::ThrottledReplicas => check_throttled_replicas(self.name, &items)?,
            _ => {}
        }
        let must_have = matches!(
            self.valid,
            Valid::NonEmptySubset(_) | Valid::DistinctNotEmpty
        );
        if must_have && items.is_empty() {
            return Err(format!("Configuration '{}' must not be empty", self.name));
        }
        Ok(items.join(","))
    }
}

/// The items of a list, trimmed; an empty text is an empty list.
pub fn split_list(text: &str) -> Vec<&str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .collect()
}

fn parse_boolean(text: &str) -> Result<String, String> {
    if text.eq_ignore_ascii_case("true") {
        Ok("true".to_owned())
    } else if text.eq_ignore_ascii_case("false") {
        Ok("false".to_owned())
    } else {
        Err("Expected value to be either true or false".to_owned())
    }
}

/// The items without repetitions, as Kafka reads a list.
fn distinct<'a>(items: &[&'a str]) -> Vec<&'a str> {
    let mut seen = Vec::with_capacity(items.len());
    for item in items {
        if !seen.contains(item) {
            seen.push(*item);
        }
    }
    seen
}

fn check_voter(item: &str) -> Result<(), String> {
    let (id, address) = item
        .split_once('@')
        .ok_or_else(|| format!("Invalid voter {item}: expected id@host:port"))?;
    if !is_id(id) {
        return Err(format!("Invalid voter {item}: the id is not a number"));
    }
    check_host_port(address)
}

fn check_host_port(item: &str) -> Result<(), String> {
    item.rsplit_once(':')
        .filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        .map(|_| ())
        .ok_or_else(|| format!("Invalid address {item}: expected host:port"))
}

fn check_throttled_replicas(name: &str, items: &[&str]) -> Result<(), String> {
    if items == ["*"] {
        return Ok(());
    }
    let is_pair = |item: &&str| {
        item.split_once(':')
            .is_some_and(|(partition, broker)| is_id(partition) && is_id(broker))
    };
    if items.iter().all(is_pair) {
        Ok(())
    } else {
        Err(format!(
            "{name} must be the literal '*' or a list of replicas in the following format: \
             [partitionId]:[brokerId],[partitionId]:[brokerId],..."
        ))
    }
}

fn is_offset_reset(text: &str) -> bool {
    let duration = match text.split_once(':') {
        None => return matches!(text, "earliest" | "latest"),
        Some(("by_duration", duration)) => duration,
        Some(_) => return false,
    };
    let Some(parts) = duration.strip_prefix('P') else {
        return false;
    };
    let (days, time) = parts.split_once('T').unwrap_or((parts, ""));
    let ends_well = !parts.is_empty() && !parts.ends_with('T');
    ends_well && has_units(days, "D") && has_units(time, "HMS")
}

/// Whether `text` is numbers, each with another of `units`, in their order; seconds may have fractions.
fn has_units(mut text: &str, units: &str) -> bool {
    for unit in units.chars() {
        if let Some((number, rest)) = text.split_once(unit) {
            let is_number = match unit {
                'S' => number.parse::<f64>().is_ok_and(f64::is_finite),
                _ => number.parse::<u64>().is_ok(),
            };
            if !is_number {
                return false;
            }
            text = rest;
        }
    }
    text.is_empty()
}

/// True for a number that fits a non-negative `i32`.
fn is_id(text: &str) -> bool {
    text.parse::<i32>().is_ok_and(|id| 0 <= id)
}
