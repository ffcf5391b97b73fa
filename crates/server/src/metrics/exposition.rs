use std::fmt::Write;
use std::time::Duration;

use ottla_broker::{RatioHistogram, SizeHistogram};

use super::histogram::HistogramSum;

/// Metrics as text in Prometheus's format (0.0.4). Every name gets the prefix `ottla_`.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

/// A label's name and value.
pub type Label<'a> = (&'a str, &'a str);

impl Exposition {
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
        self.text
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let text = &mut self.text;
        let _ = writeln!(
            text,
            "# HELP ottla_{name} {help}\n# TYPE ottla_{name} {kind}"
        );
    }

    fn sample(&mut self, name: &str, labels: &[Label<'_>], value: f64) {
        let text = &mut self.text;
        let _ = write!(text, "ottla_{name}");
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
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(text, "{close} {value}");
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
