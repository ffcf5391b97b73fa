use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla_protocol::ApiKey;

use super::ServerReport;
use crate::metrics::{
    API_KEYS, API_VERSIONS, CloseKind, CoreCounters, Exposition, HistogramSum, ListenerCounters,
};

/// What all workers counted of the clients of each listener.
type Listeners = BTreeMap<Arc<str>, Vec<Arc<ListenerCounters>>>;

impl ServerReport {
    fn listeners(&self) -> Listeners {
        let mut listeners = Listeners::new();
        let counters = self.workers.counters().flat_map(CoreCounters::listeners);
        for (name, counters) in counters {
            listeners.entry(name).or_default().push(counters);
        }
        listeners
    }

    fn sum_cores(&self, counter: impl Fn(&CoreCounters) -> &AtomicU64) -> u64 {
        let counters = self.workers.counters();
        counters
            .map(|core| counter(core).load(Ordering::Relaxed))
            .sum()
    }

    pub(super) fn connections(&self, text: &mut Exposition) {
        let listeners = self.listeners();
        text.gauge("connections", "Open client connections.");
        for (listener, cores) in &listeners {
            let accepted = sum(cores, |counters| &counters.connections);
            let closed = CloseKind::ALL.map(|kind| sum(cores, |c| &c.closed[kind as usize]));
            let open = accepted.saturating_sub(closed.iter().sum());
            text.count("connections", &[("listener", listener)], open);
        }
        text.counter("connections_total", "Client connections accepted.");
        for (listener, cores) in &listeners {
            let accepted = sum(cores, |counters| &counters.connections);
            text.count("connections_total", &[("listener", listener)], accepted);
        }
        let (_, refused) = self.gauges.connections();
        text.counter(
            "connections_refused_total",
            "Client connections refused by a limit.",
        );
        text.count("connections_refused_total", &[], refused);
        text.counter(
            "connections_closed_total",
            "Client connections closed, by who or what did.",
        );
        for (listener, cores) in &listeners {
            for kind in CloseKind::ALL {
                let closed = sum(cores, |counters| &counters.closed[kind as usize]);
                let labels = [("listener", &**listener), ("reason", kind.name())];
                text.count("connections_closed_total", &labels, closed);
            }
        }
        type Counter = fn(&CoreCounters) -> &AtomicU64;
        let totals: [(&str, &str, Counter); 5] = [
            (
                "network_received_bytes_total",
                "Bytes received from clients.",
                |core| &core.received_bytes,
            ),
            (
                "network_sent_bytes_total",
                "Bytes sent to clients.",
                |core| &core.sent_bytes,
            ),
            (
                "warm_reads_total",
                "Reads of segment files for clients that the page cache answered.",
                |core| &core.warm_loads,
            ),
            (
                "cold_reads_total",
                "Reads for clients that had to wait for a device.",
                |core| &core.cold_loads,
            ),
            (
                "request_memory_waits_total",
                "Times a connection waited for memory.",
                |core| &core.memory_waits,
            ),
        ];
        for (name, help, counter) in totals {
            text.counter(name, help);
            text.count(name, &[], self.sum_cores(counter));
        }
        let warm = self.sum_cores(|core| &core.warm_loads);
        let cold = self.sum_cores(|core| &core.cold_loads);
        let help = "Warm reads among all reads of segment files since the start; none: 1. What comes from \
                    memory tails reads no file.";
        text.gauge("cache_hit_ratio", help);
        let ratio = match warm + cold {
            0 => 1.0,
            all => warm as f64 / all as f64,
        };
        text.value("cache_hit_ratio", &[], ratio);
    }

    pub(super) fn http_requests(&self, text: &mut Exposition) {
        let name = "http_request_duration_seconds";
        text.histogram(name, "Time to make an answer at the HTTP endpoints.");
        for (route, sum) in self.http.routes().filter(|(_, sum)| 0 < sum.count()) {
            text.buckets(name, &[("route", route)], &sum);
        }
    }

    pub(super) fn requests(&self, text: &mut Exposition) {
        let listeners = self.listeners();
        text.counter("requests_total", "Requests received, by API and version.");
        for key in 0..API_KEYS {
            for version in 0..API_VERSIONS {
                let cores = listeners.values().flatten();
                let count: u64 = cores.map(|counters| counters.requests(key, version)).sum();
                if count > 0 {
                    let version = version.to_string();
                    let labels = [("api", api_name(key)), ("version", &version)];
                    text.count("requests_total", &labels, count);
                }
            }
        }
        let help = "From a request's last byte to its answer's last byte, waiting included.";
        text.histogram("request_duration_seconds", help);
        for (listener, cores) in &listeners {
            for key in 0..API_KEYS {
                let mut sum = HistogramSum::default();
                cores
                    .iter()
                    .for_each(|counters| counters.durations[key].add_to(&mut sum));
                if sum.count() > 0 {
                    let labels = [("api", api_name(key)), ("listener", listener)];
                    text.buckets("request_duration_seconds", &labels, &sum);
                }
            }
        }
        let metrics = self.broker.metrics();
        text.counter("request_errors_total", "Errors answered, by name.");
        for (error, count) in metrics.errors() {
            let name = error.to_string();
            text.count("request_errors_total", &[("error", &name)], count);
        }
        let help = "Requests received and not answered yet: they wait for data, durability, a decision or room.";
        text.gauge("request_queue_depth", help);
        let parked = metrics.parked_requests.load(Ordering::Relaxed);
        text.count("request_queue_depth", &[], parked);
        let help = "Times a produce request waited for memory or room in the journal.";
        text.counter("held_requests_total", help);
        let held = metrics.held_requests.load(Ordering::Relaxed);
        text.count("held_requests_total", &[], held);
        let help =
            "Records of the offsets topic that were passed over because they could not be read.";
        text.counter("groups_unreadable_records_total", help);
        let unreadable = metrics.groups_unreadable_records.load(Ordering::Relaxed);
        text.count("groups_unreadable_records_total", &[], unreadable);
        text.gauge("inflight_bytes", "Bytes of requests in memory.");
        let bytes = self.gauges.request_memory_bytes() as u64;
        text.count("inflight_bytes", &[], bytes);
        text.gauge("fetch_sessions", "Incremental fetch sessions.");
        let sessions = self.broker.fetch_sessions_count() as u64;
        text.count("fetch_sessions", &[], sessions);
        text.gauge(
            "client_software",
            "Connections so far, by what clients say they are.",
        );
        for (software, seen) in metrics.clients() {
            let labels = [
                ("name", &*software.name),
                ("version", &*software.version),
                (
                    "supported",
                    if seen.is_supported { "true" } else { "false" },
                ),
            ];
            text.count("client_software", &labels, seen.connections);
        }
        let requests = metrics.client_requests();
        if requests.is_empty() {
            return; // Nobody asked to tell clients apart.
        }
        text.counter(
            "client_requests_total",
            "Requests carried out, by what the client says it is, API and version.",
        );
        for (request, count) in requests {
            let key = usize::try_from(request.api_key).unwrap_or(API_KEYS);
            let version = request.api_version.to_string();
            let labels = [
                ("name", &*request.software.name),
                ("version", &*request.software.version),
                ("api", api_name(key)),
                ("api_version", &version),
            ];
            text.count("client_requests_total", &labels, count);
        }
    }
}

fn sum(cores: &[Arc<ListenerCounters>], counter: impl Fn(&ListenerCounters) -> &AtomicU64) -> u64 {
    let counts = cores.iter();
    counts
        .map(|counters| counter(counters).load(Ordering::Relaxed))
        .sum()
}

fn api_name(key: usize) -> &'static str {
    let key = i16::try_from(key).ok();
    key.and_then(ApiKey::from_i16)
        .map_or("unknown", ApiKey::name)
}
