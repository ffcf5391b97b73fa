use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ottla_broker::Broker;
use ottla_protocol::ApiKey;
use ottla_storage::log_dir::DirHealth;
use ottla_storage::log_dir::LogDir;
use ottla_types::Mono;

use crate::clock::Clock;
use crate::http::{Check, Report};
use crate::metrics::{API_KEYS, CloseKind, CoreCounters, Exposition, HistogramSum};
use crate::network::{Gauges, Workers};
use crate::threads::JournalCounters;

/// Health and metrics of a running broker.
pub struct ServerReport {
    broker: Arc<Broker>,
    directories: Vec<ReportedDirectory>,
    workers: Workers,
    gauges: Gauges,
    clock: Clock,
    is_serving: AtomicBool,
}

/// A log directory with its journal's counters.
pub struct ReportedDirectory {
    /// As configured.
    pub path: String,
    /// Its logs.
    pub log_dir: Arc<LogDir>,
    /// What its journal's thread counts.
    pub journal: Arc<JournalCounters>,
}

impl ServerReport {
    /// Reports on these.
    pub fn new(
        broker: Arc<Broker>,
        directories: Vec<ReportedDirectory>,
        workers: Workers,
        gauges: Gauges,
        clock: Clock,
    ) -> ServerReport {
        ServerReport {
            broker,
            directories,
            workers,
            gauges,
            clock,
            is_serving: AtomicBool::new(false),
        }
    }

    /// Whether clients are answered: true from the end of the start to the beginning of the end.
    pub fn set_serving(&self, is_serving: bool) {
        self.is_serving.store(is_serving, Ordering::Release);
    }

    fn sum_cores(&self, counter: impl Fn(&CoreCounters) -> &AtomicU64) -> u64 {
        let counters = self.workers.counters();
        counters
            .map(|core| counter(core).load(Ordering::Relaxed))
            .sum()
    }

    fn process(&self, text: &mut Exposition) {
        text.gauge("build_info", "Always 1; its labels say what runs.");
        text.count("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        text.gauge("node_info", "Always 1; its labels say which node this is.");
        let image = self.broker.image();
        let node = self.broker.config().node_id.to_string();
        let cluster = image.cluster_id().unwrap_or_default().to_owned();
        text.count("node_info", &[("node", &node), ("cluster", &cluster)], 1);
        text.gauge("uptime_seconds", "Time since the process started.");
        let uptime = self.clock.mono().since(Mono::ZERO);
        text.value("uptime_seconds", &[], uptime.as_secs_f64());
    }

    fn connections(&self, text: &mut Exposition) {
        let (open, refused) = self.gauges.connections();
        text.gauge("connections", "Open client connections.");
        text.count("connections", &[], open as u64);
        text.counter("connections_total", "Client connections accepted.");
        text.count(
            "connections_total",
            &[],
            self.sum_cores(|core| &core.connections),
        );
        text.counter(
            "connections_refused_total",
            "Client connections refused by a limit.",
        );
        text.count("connections_refused_total", &[], refused);
        text.counter(
            "connections_closed_total",
            "Client connections closed, by who or what did.",
        );
        for kind in CloseKind::ALL {
            let closed = self.sum_cores(|core| &core.closed[kind as usize]);
            text.count(
                "connections_closed_total",
                &[("reason", kind.name())],
                closed,
            );
        }
        text.counter(
            "network_received_bytes_total",
            "Bytes received from clients.",
        );
        let received = self.sum_cores(|core| &core.received_bytes);
        text.count("network_received_bytes_total", &[], received);
        text.counter("network_sent_bytes_total", "Bytes sent to clients.");
        text.count(
            "network_sent_bytes_total",
            &[],
            self.sum_cores(|core| &core.sent_bytes),
        );
        text.counter(
            "cold_reads_total",
            "Reads for clients that had to wait for a device.",
        );
        text.count(
            "cold_reads_total",
            &[],
            self.sum_cores(|core| &core.cold_loads),
        );
        text.counter(
            "request_memory_waits_total",
            "Times a connection waited for memory.",
        );
        text.count(
            "request_memory_waits_total",
            &[],
            self.sum_cores(|core| &core.memory_waits),
        );
        text.gauge("memory_bytes", "Memory in use, by what for.");
        let requests = self.gauges.request_memory_bytes() as u64;
        text.count("memory_bytes", &[("pool", "requests")], requests);
        let tails = self
            .directories
            .iter()
            .map(|dir| dir.log_dir.stats().tail_bytes as u64);
        text.count("memory_bytes", &[("pool", "tails")], tails.sum());
    }

    fn requests(&self, text: &mut Exposition) {
        let mut sums = vec![HistogramSum::default(); API_KEYS];
        let mut unanswered = vec![0; API_KEYS];
        for core in self.workers.counters() {
            for key in 0..API_KEYS {
                core.requests[key].add_to(&mut sums[key]);
                unanswered[key] += core.unanswered[key].load(Ordering::Relaxed);
            }
        }
        let seen = (0..API_KEYS).filter(|&key| sums[key].count() + unanswered[key] > 0);
        let seen: Vec<(usize, &str)> = seen.map(|key| (key, api_name(key))).collect();
        text.counter("requests_total", "Requests, by API.");
        for (key, api) in &seen {
            text.count(
                "requests_total",
                &[("api", api)],
                sums[*key].count() + unanswered[*key],
            );
        }
        let help = "From a request's last byte to its answer's last byte, waiting included.";
        text.histogram("request_duration_seconds", help);
        for (key, api) in &seen {
            text.buckets("request_duration_seconds", &[("api", api)], &sums[*key]);
        }
        let metrics = self.broker.metrics();
        text.counter("request_errors_total", "Errors answered, by name.");
        for (error, count) in metrics.errors() {
            let name = error.to_string();
            text.count("request_errors_total", &[("error", &name)], count);
        }
        text.gauge(
            "parked_requests",
            "Requests that wait for data, durability or a decision.",
        );
        let parked = metrics.parked_requests.load(Ordering::Relaxed);
        text.count("parked_requests", &[], parked);
        text.gauge("fetch_sessions", "Incremental fetch sessions.");
        text.count(
            "fetch_sessions",
            &[],
            self.broker.fetch_sessions_count() as u64,
        );
        text.gauge(
            "client_software",
            "Connections so far, by what clients say they are.",
        );
        for (software, count) in metrics.clients() {
            let labels = [("name", &*software.name), ("version", &*software.version)];
            text.count("client_software", &labels, count);
        }
    }

    fn topics(&self, text: &mut Exposition) {
        let metrics = self.broker.metrics();
        let topics = metrics.topics();
        type Counter = fn(&ottla_broker::TopicMetrics) -> &AtomicU64;
        let families: [(&str, &str, Counter); 5] = [
            (
                "topic_bytes_in_total",
                "Bytes of record batches appended.",
                |t| &t.bytes_in,
            ),
            (
                "topic_bytes_out_total",
                "Bytes of record batches fetched.",
                |t| &t.bytes_out,
            ),
            ("topic_records_in_total", "Records appended.", |t| {
                &t.records_in
            }),
            ("produce_failed_total", "Batches refused.", |t| {
                &t.produce_failed
            }),
            (
                "fetch_failed_total",
                "Fetches of a partition refused.",
                |t| &t.fetch_failed,
            ),
        ];
        for (name, help, counter) in families {
            text.counter(name, help);
            for (topic, counters) in &topics {
                let count = counter(counters).load(Ordering::Relaxed);
                text.count(name, &[("topic", topic)], count);
            }
        }
        let totals = [
            (
                "produced_batches_total",
                "Batches appended.",
                &metrics.produced_batches,
            ),
            (
                "duplicate_batches_total",
                "Batches a producer sent again.",
                &metrics.duplicate_batches,
            ),
            (
                "out_of_sequence_total",
                "Batches out of sequence.",
                &metrics.out_of_sequence,
            ),
        ];
        for (name, help, counter) in totals {
            text.counter(name, help);
            text.count(name, &[], counter.load(Ordering::Relaxed));
        }
    }

    fn storage(&self, text: &mut Exposition) {
        self.directory_gauges(text);
        text.histogram("fsync_seconds", "Time of one fsync of the journal.");
        for dir in &self.directories {
            let mut sum = HistogramSum::default();
            dir.journal.syncs.add_to(&mut sum);
            text.buckets("fsync_seconds", &[("dir", &dir.path)], &sum);
        }
        text.counter("wal_commits_total", "Groups written to the journal.");
        for dir in &self.directories {
            let writes = dir.journal.writes.load(Ordering::Relaxed);
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
            ("tail_bytes", "Appended and not in segments yet.", |s| {
                s.tail_bytes as u64
            }),
            ("partitions", "Partitions in the directory.", |s| {
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

impl Report for ServerReport {
    fn readiness(&self) -> Vec<Check> {
        let is_serving = self.is_serving.load(Ordering::Acquire);
        let serving = if is_serving {
            Ok(())
        } else {
            Err("starting or draining".to_owned())
        };
        let is_registered = self.broker.is_ready();
        let registered = if is_registered {
            Ok(())
        } else {
            Err("not registered".to_owned())
        };
        let offline = self
            .directories
            .iter()
            .find_map(|dir| match dir.log_dir.health() {
                DirHealth::Offline { reason } => Some(format!("{} is offline: {reason}", dir.path)),
                DirHealth::Online | DirHealth::Full => None,
            });
        vec![
            Check {
                name: "serving clients",
                result: serving,
            },
            Check {
                name: "registered in the metadata",
                result: registered,
            },
            Check {
                name: "log directories online",
                result: offline.map_or(Ok(()), Err),
            },
        ]
    }

    fn metrics(&self) -> String {
        let mut text = Exposition::default();
        self.process(&mut text);
        self.connections(&mut text);
        self.requests(&mut text);
        self.topics(&mut text);
        self.storage(&mut text);
        text.into_text()
    }
}

fn api_name(key: usize) -> &'static str {
    let key = i16::try_from(key).ok();
    key.and_then(ApiKey::from_i16)
        .map_or("unknown", ApiKey::name)
}

fn state_name(health: &DirHealth) -> &'static str {
    match health {
        DirHealth::Online => "online",
        DirHealth::Full => "full",
        DirHealth::Offline { .. } => "offline",
    }
}
