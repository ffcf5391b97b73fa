use std::collections::BTreeMap;
use std::fmt::Write;

use super::exposition::{Label, write_family, write_head};

/// A metric of ours under the name that another program has for it.
#[derive(Debug)]
pub struct Alias {
    /// In full.
    pub name: &'static str,
    /// What it is there.
    pub kind: AliasKind,
    /// Our name, without the prefix.
    pub native: &'static str,
    /// The only value of one label that is meant, where one of our metrics is several of theirs.
    pub only: Option<Label<'static>>,
    /// Our labels that are theirs too, and what they call them; what differs in other labels only is
    /// added up. A sample without one of these is left out.
    pub labels: &'static [(&'static str, &'static str)],
}

/// Types of the other program's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AliasKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// A histogram: of seconds with us, of milliseconds there.
    Milliseconds,
}

/// Writes samples under their other names. Those without one are left out.
#[derive(Debug)]
pub(super) struct Renaming {
    aliases: &'static [Alias],
    /// One for each alias.
    families: Vec<RenamedFamily>,
    /// The metric started last, and which aliases it has.
    native: String,
    current: Vec<usize>,
}

#[derive(Debug, Default)]
struct RenamedFamily {
    help: String,
    /// In the order they came: buckets have to be in that of their bounds. Names with labels, and values.
    samples: Vec<(String, f64)>,
    places: BTreeMap<String, usize>,
}

impl Renaming {
    pub(super) fn new(aliases: &'static [Alias]) -> Renaming {
        Renaming {
            aliases,
            families: aliases.iter().map(|_| RenamedFamily::default()).collect(),
            native: String::new(),
            current: Vec::new(),
        }
    }

    pub(super) fn family(&mut self, native: &str, help: &str) {
        native.clone_into(&mut self.native);
        let numbered = self.aliases.iter().enumerate();
        let named = numbered.filter(|(_, alias)| alias.native == native);
        self.current = named.map(|(number, _)| number).collect();
        for &number in &self.current {
            help.clone_into(&mut self.families[number].help);
        }
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[Label<'_>], value: f64) {
        let Some(part) = name.strip_prefix(self.native.as_str()) else {
            return;
        };
        for &number in &self.current {
            if let Some((head, value)) = self.aliases[number].rename(part, labels, value) {
                self.families[number].add(head, value);
            }
        }
    }

    pub(super) fn into_text(self) -> String {
        let mut text = String::new();
        for (alias, family) in self.aliases.iter().zip(self.families) {
            if family.samples.is_empty() {
                continue;
            }
            write_family(&mut text, "", alias.name, alias.kind.name(), &family.help);
            for (head, value) in family.samples {
                let _ = writeln!(text, "{head} {value}");
            }
        }
        text
    }
}

impl RenamedFamily {
    fn add(&mut self, head: String, value: f64) {
        match self.places.get(&head) {
            Some(&place) => self.samples[place].1 += value,
            None => {
                self.places.insert(head.clone(), self.samples.len());
                self.samples.push((head, value));
            }
        }
    }
}

impl Alias {
    /// The sample's name with its labels, and its value; `part` is `_bucket`, `_sum`, `_count`, or
    /// nothing where the metric is not made of parts.
    fn rename(&self, part: &str, labels: &[Label<'_>], value: f64) -> Option<(String, f64)> {
        if self.only.is_some_and(|only| !labels.contains(&only)) {
            return None;
        }
        let find = |wanted: &str| labels.iter().find(|(label, _)| *label == wanted);
        let mut renamed = Vec::with_capacity(self.labels.len() + 1);
        for (ours, theirs) in self.labels {
            let (_, content) = find(ours)?;
            renamed.push((*theirs, *content));
        }
        let bound = find("le").map(|(_, bound)| match bound.parse::<f64>() {
            Ok(seconds) if self.kind == AliasKind::Milliseconds && seconds.is_finite() => {
                millis(seconds).to_string()
            }
            _ => (*bound).to_owned(),
        });
        renamed.extend(bound.iter().map(|bound| ("le", bound.as_str())));
        let value = match (self.kind, part) {
            (AliasKind::Milliseconds, "_sum") => millis(value),
            _ => value,
        };
        let mut head = String::new();
        write_head(&mut head, self.name, part, &renamed);
        Some((head, value))
    }
}

impl AliasKind {
    const fn name(self) -> &'static str {
        match self {
            AliasKind::Counter => "counter",
            AliasKind::Gauge => "gauge",
            AliasKind::Milliseconds => "histogram",
        }
    }
}

fn millis(seconds: f64) -> f64 {
    seconds * 1e3
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::{Exposition, Histogram, HistogramSum};

    static ALIASES: [Alias; 4] = [
        Alias {
            name: "their_offline",
            kind: AliasKind::Gauge,
            native: "disk_state",
            only: Some(("state", "offline")),
            labels: &[],
        },
        Alias {
            name: "their_lag",
            kind: AliasKind::Gauge,
            native: "lag",
            only: None,
            labels: &[("group", "consumergroup"), ("partition", "partition")],
        },
        Alias {
            name: "their_lag_sum",
            kind: AliasKind::Gauge,
            native: "lag",
            only: None,
            labels: &[("group", "consumergroup")],
        },
        Alias {
            name: "their_ms",
            kind: AliasKind::Milliseconds,
            native: "time_seconds",
            only: None,
            labels: &[("api", "request")],
        },
    ];

    fn renamed(write: impl Fn(&mut Exposition)) -> String {
        let mut text = Exposition::renamed(&ALIASES);
        write(&mut text);
        text.into_text()
    }

    #[test]
    fn a_label_can_choose_and_other_labels_are_added_up() {
        let text = renamed(|text| {
            text.gauge("disk_state", "The state.");
            for (dir, offline) in [("/a", 1), ("/b", 1), ("/c", 0)] {
                text.count("disk_state", &[("dir", dir), ("state", "online")], 7);
                text.count("disk_state", &[("dir", dir), ("state", "offline")], offline);
            }
            text.gauge("disk_states", "No name of theirs.");
            text.count("disk_states", &[("state", "offline")], 5);
        });
        assert_eq!(
            text,
            "# HELP their_offline The state.\n# TYPE their_offline gauge\ntheir_offline 2\n"
        );
    }

    #[test]
    fn labels_get_their_names_and_samples_without_them_are_left_out() {
        let by_partition = renamed(|text| {
            text.gauge("lag", "Lag.");
            text.count("lag", &[("group", "g\""), ("partition", "0")], 3);
            text.count("lag", &[("group", "g\""), ("partition", "1")], 4);
        });
        for line in [
            r#"their_lag{consumergroup="g\"",partition="0"} 3"#,
            r#"their_lag{consumergroup="g\"",partition="1"} 4"#,
            r#"their_lag_sum{consumergroup="g\""} 7"#,
        ] {
            assert!(by_partition.lines().any(|l| l == line), "{by_partition}");
        }
        let by_topic = renamed(|text| {
            text.gauge("lag", "Lag.");
            text.count("lag", &[("group", "g")], 3);
        });
        assert!(!by_topic.contains("their_lag{"), "{by_topic}");
        assert!(by_topic.contains(r#"their_lag_sum{consumergroup="g"} 3"#));
    }

    #[test]
    fn a_histogram_of_seconds_is_one_of_milliseconds() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_micros(250));
        histogram.record(Duration::from_millis(2));
        let mut sum = HistogramSum::default();
        histogram.add_to(&mut sum);
        let text = renamed(|text| {
            text.histogram("time_seconds", "Time.");
            for listener in ["A", "B"] {
                let labels = [("api", "Fetch"), ("listener", listener)];
                text.buckets("time_seconds", &labels, &sum);
            }
        });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[..7],
            [
                "# HELP their_ms Time.",
                "# TYPE their_ms histogram",
                r#"their_ms_bucket{request="Fetch",le="0.1"} 0"#,
                r#"their_ms_bucket{request="Fetch",le="0.25"} 2"#,
                r#"their_ms_bucket{request="Fetch",le="0.5"} 2"#,
                r#"their_ms_bucket{request="Fetch",le="1"} 2"#,
                r#"their_ms_bucket{request="Fetch",le="2.5"} 4"#,
            ]
        );
        assert_eq!(
            lines[lines.len() - 3..],
            [
                r#"their_ms_bucket{request="Fetch",le="+Inf"} 4"#,
                r#"their_ms_sum{request="Fetch"} 4.5"#,
                r#"their_ms_count{request="Fetch"} 4"#,
            ]
        );
    }
}
