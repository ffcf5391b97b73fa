use ottla_storage::log_dir::CleanerStats;

use super::ServerReport;
use crate::metrics::Exposition;

impl ServerReport {
    /// What the log cleaners do.
    pub(super) fn compaction(&self, text: &mut Exposition) {
        type Value = fn(&CleanerStats) -> u64;
        let counters: [(&str, &str, Value); 5] = [
            (
                "cleaner_rounds_total",
                "Logs that were compacted, counted once each time.",
                |s| s.rounds_count,
            ),
            (
                "cleaner_read_bytes_total",
                "Bytes read by compaction, for noting keys and for rewriting.",
                |s| s.bytes_read,
            ),
            (
                "cleaner_written_bytes_total",
                "Bytes of segments that compaction wrote.",
                |s| s.bytes_written,
            ),
            (
                "cleaner_records_kept_total",
                "Records that compaction looked at and left.",
                |s| s.records_kept,
            ),
            (
                "cleaner_records_removed_total",
                "Records that compaction removed.",
                |s| s.records_removed,
            ),
        ];
        let gauges: [(&str, &str, Value); 6] = [
            (
                "cleaner_dirtiest_percent",
                "Share of bytes not compacted yet in the log that has most of them.",
                |s| u64::from(s.dirtiest_percent),
            ),
            (
                "cleaner_last_reduction_percent",
                "Share of bytes that the last round removed.",
                |s| u64::from(s.last_reduction_percent),
            ),
            (
                "cleaner_last_round_milliseconds",
                "How long the last round took.",
                |s| s.last_round.as_millis() as u64,
            ),
            (
                "cleaner_max_lag_over_seconds",
                "How long the oldest record has waited beyond max.compaction.lag.ms.",
                |s| s.max_lag_over.as_secs(),
            ),
            (
                "cleaner_buffer_used_percent",
                "Share of log.cleaner.dedupe.buffer.size that the last round used.",
                |s| u64::from(s.map_used_percent),
            ),
            (
                "cleaner_uncleanable_partitions",
                "Partitions that are not compacted any more because they cannot be read.",
                |s| s.uncleanable_count as u64,
            ),
        ];
        let stats: Vec<_> = self
            .directories
            .iter()
            .map(|dir| (&dir.path, dir.log_dir.cleaner_stats()))
            .collect();
        for (name, help, value) in counters {
            text.counter(name, help);
            for (path, stats) in &stats {
                text.count(name, &[("dir", path)], value(stats));
            }
        }
        for (name, help, value) in gauges {
            text.gauge(name, help);
            for (path, stats) in &stats {
                text.count(name, &[("dir", path)], value(stats));
            }
        }
    }
}
