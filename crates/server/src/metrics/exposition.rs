use std::fmt::Write;
use std::time::Duration;

use ottla_broker::{RatioHistogram, SizeHistogram};

use super::histogram::HistogramSum;
use super::renaming::{Alias, Renaming};

/// Metrics as text in Prometheus's format (0.0.4). Every name gets the prefix `ottla_`, unless they are
/// wanted under other names.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    renaming: Option<Renaming>,
}

/// Of all our names.
const PREFIX: &str = "ottla_";

/// A label's name and value.
pub type Label<'a> = (&'a str, &'a str);

impl Exposition {
    /// One that writes what `aliases` has names for, under these, and nothing else.
    pub fn renamed(aliases: &'static [Alias]) -> Exposition {
        Exposition {
            text: String::new(),
            renaming: Some(Renaming::new(aliases)),
        }
    }

    /// Starts a metric that only grows. `name` ends in `_total`.
    pub fn counter(&mut self, name: &str, help: &str) {
        self.family(name, "counter", help);
    }

    /// Starts a metric that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str) {
        self.family(name, "gauge", help);
    }

    /// Starts a histogram. `name` ends in its unit.
    pub fn histogram(&mut self, name: &str, help: &str) {
        self.family(name, "histogram", help);
    }

    /// One value of the metric started last under `name`.
    pub fn value(&mut self, name: &str, labels: &[Label<'_>], value: impl Into<f64>) {
        self.sample(name, labels, value.into());
    }

    /// A count; exact up to 2^53, as all of Prometheus is.
    pub fn count(&mut self, name: &str, labels: &[Label<'_>], count: u64) {
        self.sample(name, labels, count as f64);
    }

    /// The samples of a histogram.
    pub fn buckets(&mut self, name: &str, labels: &[Label<'_>], sum: &HistogramSum) {
        let bucket = format!("{name}_bucket");
        for (bound, count) in sum.cumulative() {
            let bound = bound.map_or("+Inf".to_owned(), |bound| bound.to_string());
            let mut with_bound = labels.to_vec();
            with_bound.push(("le", &bound));
            self.count(&bucket, &with_bound, count);
        }
        self.value(&format!("{name}_sum"), labels, sum.sum_seconds());
        self.count(&format!("{name}_count"), labels, sum.count());
    }

    /// The samples of a histogram of sizes.
    pub fn size_buckets(&mut self, name: &str, labels: &[Label<'_>], sizes: &SizeHistogram) {
        let bucket = format!("{name}_bucket");
        let cumulative = sizes.cumulative();
        for (bound, count) in &cumulative {
            let bound = bound.map_or("+Inf".to_owned(), |bound| bound.to_string());
            let mut with_bound = labels.to_vec();
            with_bound.push(("le", &bound));
            self.count(&bucket, &with_bound, *count);
        }
        self.count(&format!("{name}_sum"), labels, sizes.sum());
        let all = cumulative.last().map_or(0, |(_, count)| *count);
        self.count(&format!("{name}_count"), labels, all);
    }

    /// The samples of a histogram of ratios.
    pub fn ratio_buckets(&mut self, name: &str, labels: &[Label<'_>], ratios: &RatioHistogram) {
        let bucket = format!("{name}_bucket");
        let cumulative = ratios.cumulative();
        for (bound, count) in &cumulative {
            let bound = bound.map_or("+Inf".to_owned(), |bound| bound.to_string());
            let mut with_bound = labels.to_vec();
            with_bound.push(("le", &bound));
            self.count(&bucket, &with_bound, *count);
        }
        self.value(&format!("{name}_sum"), labels, ratios.sum());
        let all = cumulative.last().map_or(0, |(_, count)| *count);
        self.count(&format!("{name}_count"), labels, all);
    }

    /// Starts a count of things together with how long they took. `name` ends in its unit.
    pub fn summary(&mut self, name: &str, help: &str) {
        self.family(name, "summary", help);
    }

    /// The samples of a summary.
    pub fn summed(&mut self, name: &str, labels: &[Label<'_>], count: u64, sum: Duration) {
        self.value(&format!("{name}_sum"), labels, sum.as_secs_f64());
        self.count(&format!("{name}_count"), labels, count);
    }

    /// The whole text.
    pub fn into_text(self) -> String {
        match self.renaming {
            Some(renaming) => renaming.into_text(),
            None => self.text,
        }
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        match &mut self.renaming {
            Some(renaming) => renaming.family(name, help),
            None => write_family(&mut self.text, PREFIX, name, kind, help),
        }
    }

    fn sample(&mut self, name: &str, labels: &[Label<'_>], value: f64) {
        match &mut self.renaming {
            Some(renaming) => renaming.sample(name, labels, value),
            None => {
                write_head(&mut self.text, PREFIX, name, labels);
                let _ = writeln!(self.text, " {value}");
            }
        }
    }
}

/// What a metric is, before its samples. Its name is `prefix` and `name`.
pub(super) fn write_family(text: &mut String, prefix: &str, name: &str, kind: &str, help: &str) {
    let _ = writeln!(
        text,
        "# HELP {prefix}{name} {help}\n# TYPE {prefix}{name} {kind}"
    );
}

/// A sample up to its value. Its name is `prefix` and `name`.
pub(super) fn write_head(text: &mut String, prefix: &str, name: &str, labels: &[Label<'_>]) {
    text.push_str(prefix);
    text.push_str(name);
    for (index, (label, content)) in labels.iter().enumerate() {
        text.push(if index == 0 { '{' } else { ',' });
        let _ = write!(text, "{label}=\"");
        for character in content.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    if !labels.is_empty() {
        text.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Histogram;

    #[test]
    fn the_text_is_prometheus() {
        let mut text = Exposition::default();
        text.gauge("connections", "Open connections.");
        text.count("connections", &[("listener", "A\"B\\")], 3);
        let histogram = Histogram::default();
        histogram.record(Duration::from_millis(2));
        let mut sum = HistogramSum::default();
        histogram.add_to(&mut sum);
        text.histogram("fsync_seconds", "Time of one fdatasync.");
        text.buckets("fsync_seconds", &[], &sum);
        let text = text.into_text();
        for line in [
            "# HELP ottla_connections Open connections.",
            "# TYPE ottla_connections gauge",
            r#"ottla_connections{listener="A\"B\\"} 3"#,
            r#"ottla_fsync_seconds_bucket{le="0.001"} 0"#,
            r#"ottla_fsync_seconds_bucket{le="0.0025"} 1"#,
            r#"ottla_fsync_seconds_bucket{le="+Inf"} 1"#,
            "ottla_fsync_seconds_sum 0.002",
            "ottla_fsync_seconds_count 1",
        ] {
            assert!(
                text.lines().any(|l| l == line),
                "{line} is missing in\n{text}"
            );
        }
    }
}
