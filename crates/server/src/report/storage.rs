use std::sync::atomic::Ordering;

use ottla_storage::log_dir::DirHealth;

use super::ServerReport;
use crate::metrics::{Exposition, HistogramSum};

impl ServerReport {
    pub(super) fn storage(&self, text: &mut Exposition) {
        self.directory_gauges(text);
        text.histogram("fsync_seconds", "Time of one fsync of the journal.");
        for dir in &self.directories {
            let mut sum = HistogramSum::default();
            dir.journal.syncs.add_to(&mut sum);
            text.buckets("fsync_seconds", &[("dir", &dir.path)], &sum);
        }
        text.counter("wal_commits_total", "Groups written to the journal.");
        for dir in &self.directories {
            let writes = dir.log_dir.stats().wal.frames_written;
            text.count("wal_commits_total", &[("dir", &dir.path)], writes);
        }
        text.counter(
            "wal_stalls_total",
            "Times no file of the journal's ring was free.",
        );
        for dir in &self.directories {
            let stalls = dir.journal.stalls.load(Ordering::Relaxed);
            text.count("wal_stalls_total", &[("dir", &dir.path)], stalls);
        }
    }

    fn directory_gauges(&self, text: &mut Exposition) {
        type Gauge = fn(&ottla_storage::log_dir::LogDirStats) -> u64;
        let families: [(&str, &str, Gauge); 8] = [
            ("disk_free_bytes", "Free on the directory's disk.", |s| {
                s.free_bytes
            }),
            ("disk_total_bytes", "Size of the directory's disk.", |s| {
                s.total_bytes
            }),
            ("wal_ring_bytes", "Size of the journal's files.", |s| {
                s.wal.ring_bytes
            }),
            ("wal_span_bytes", "What a restart would replay.", |s| {
                s.wal.span_bytes
            }),
            (
                "wal_queued_bytes",
                "Waiting to be written to the journal.",
                |s| s.wal.queued_bytes,
            ),
            (
                "tail_bytes",
                "Memory of what is appended and not in segments yet.",
                |s| s.tail_bytes as u64,
            ),
            ("dir_partitions", "Partitions in the directory.", |s| {
                s.partitions_count as u64
            }),
            ("producer_ids", "Producers remembered.", |s| {
                s.producers_count as u64
            }),
        ];
        let stats: Vec<_> = self
            .directories
            .iter()
            .map(|dir| (&dir.path, dir.log_dir.stats()))
            .collect();
        for (name, help, gauge) in families {
            text.gauge(name, help);
            for (path, stats) in &stats {
                text.count(name, &[("dir", path)], gauge(stats));
            }
        }
        text.gauge(
            "disk_state",
            "1 for the state the directory is in, 0 for the others.",
        );
        for dir in &self.directories {
            let state = state_name(&dir.log_dir.health());
            for name in ["online", "full", "offline"] {
                let labels = [("dir", &*dir.path), ("state", name)];
                text.count("disk_state", &labels, u64::from(state == name));
            }
        }
        for dir in self.broker.failed_directories() {
            for name in ["online", "full", "offline"] {
                let labels = [("dir", &*dir.path), ("state", name)];
                text.count("disk_state", &labels, u64::from(name == "offline"));
            }
        }
        text.counter(
            "storage_damage_total",
            "Stretches of files that are lost or unreadable, found by readers or by the scrub.",
        );
        for dir in &self.directories {
            let count = dir.log_dir.findings().damage_count();
            text.count("storage_damage_total", &[("dir", &dir.path)], count);
        }
        text.counter(
            "storage_findings_total",
            "Things on disk that were not as they should be, damage included.",
        );
        for dir in &self.directories {
            let count = dir.log_dir.findings().count();
            text.count("storage_findings_total", &[("dir", &dir.path)], count);
        }
        self.moves(text);
        text.counter("scrub_bytes_total", "Bytes of segments the scrub has read.");
        for dir in &self.directories {
            let bytes = dir.log_dir.scrub_stats().bytes_read;
            text.count("scrub_bytes_total", &[("dir", &dir.path)], bytes);
        }
        text.gauge(
            "damaged_partitions",
            "Partitions that lost data and refuse produce.",
        );
        for dir in &self.directories {
            let partitions = dir.log_dir.partitions();
            let damaged = partitions
                .iter()
                .filter(|(slot, _, _)| dir.log_dir.damage(*slot).is_some());
            text.count(
                "damaged_partitions",
                &[("dir", &dir.path)],
                damaged.count() as u64,
            );
        }
    }
}

impl ServerReport {
    fn moves(&self, text: &mut Exposition) {
        let metrics = self.broker.metrics();
        text.gauge(
            "moving_partitions",
            "Partitions on their way from one directory to another.",
        );
        let moving = self.broker.moving_count() as u64;
        text.count("moving_partitions", &[], moving);
        let counters = [
            (
                "moved_bytes_total",
                "Bytes copied from one directory to another.",
                &metrics.moved_bytes,
            ),
            (
                "moves_completed_total",
                "Partitions that came into another directory.",
                &metrics.moves_completed,
            ),
            (
                "moves_failed_total",
                "Moves given up because a directory failed.",
                &metrics.moves_failed,
            ),
            (
                "moves_unanswered_total",
                "Times the metadata did not say where a log is; its partition takes no appends until it does.",
                &metrics.moves_unanswered,
            ),
        ];
        for (name, help, count) in counters {
            text.counter(name, help);
            text.count(name, &[], count.load(Ordering::Relaxed));
        }
    }
}

fn state_name(health: &DirHealth) -> &'static str {
    match health {
        DirHealth::Online => "online",
        DirHealth::Full => "full",
        DirHealth::Offline { .. } => "offline",
    }
}
