use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ottla_types::Mono;
use parking_lot::Mutex;

use super::histogram::{Histogram, add};

/// API keys of Kafka are below this; what is not counts under the last one.
pub const API_KEYS: usize = 128;

/// Versions of an API are below this; what is not counts under the last one.
pub const API_VERSIONS: usize = 32;

/// What one worker counts. Only its own thread writes, so nothing is shared on the hot path.
#[derive(Debug, Default)]
pub struct CoreCounters {
    /// From clients.
    pub received_bytes: AtomicU64,
    /// To clients.
    pub sent_bytes: AtomicU64,
    /// Pieces of file ranges that were there to be sent at once.
    pub warm_loads: AtomicU64,
    /// Those that had to be read by the reader pool.
    pub cold_loads: AtomicU64,
    /// Times a connection had to wait for request memory.
    pub memory_waits: AtomicU64,
    /// By the listener that clients came in by; grows with the first client of each.
    listeners: Mutex<BTreeMap<Arc<str>, Arc<ListenerCounters>>>,
}

/// What one worker counts of the clients of one listener.
#[derive(Debug)]
pub struct ListenerCounters {
    /// By API key: from the request's last byte received to its answer's last byte sent.
    pub durations: Box<[Histogram]>,
    /// By API key and version.
    requests: Box<[[AtomicU64; API_VERSIONS]]>,
    /// Connections taken over.
    pub connections: AtomicU64,
    /// Connections that ended, by [`CloseKind`].
    pub closed: [AtomicU64; CloseKind::ALL.len()],
}

/// Why a connection ended, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseKind {
    /// The client closed it, or the network did.
    Client,
    /// Nothing was heard for `connections.max.idle.ms`.
    Idle,
    /// It broke the protocol, or spoke another one.
    Protocol,
    /// A limit refused it.
    Limit,
    /// We are shutting down, or could not read what it asked for.
    Server,
}

impl CloseKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [CloseKind; 5] = [
        CloseKind::Client,
        CloseKind::Idle,
        CloseKind::Protocol,
        CloseKind::Limit,
        CloseKind::Server,
    ];

    /// As a label's value.
    pub const fn name(self) -> &'static str {
        match self {
            CloseKind::Client => "client",
            CloseKind::Idle => "idle",
            CloseKind::Protocol => "protocol",
            CloseKind::Limit => "limit",
            CloseKind::Server => "server",
        }
    }
}

impl Default for ListenerCounters {
    fn default() -> ListenerCounters {
        ListenerCounters {
            durations: (0..API_KEYS).map(|_| Histogram::default()).collect(),
            requests: (0..API_KEYS).map(|_| Default::default()).collect(),
            connections: AtomicU64::new(0),
            closed: Default::default(),
        }
    }
}

impl CoreCounters {
    /// Where the clients of `listener` are counted. For a connection to keep.
    pub fn listener(&self, listener: &Arc<str>) -> Arc<ListenerCounters> {
        let mut listeners = self.listeners.lock();
        Arc::clone(listeners.entry(Arc::clone(listener)).or_default())
    }

    /// All listeners that clients came in by.
    pub fn listeners(&self) -> Vec<(Arc<str>, Arc<ListenerCounters>)> {
        let listeners = self.listeners.lock();
        let copied = listeners.iter();
        copied
            .map(|(name, counters)| (Arc::clone(name), Arc::clone(counters)))
            .collect()
    }
}

impl ListenerCounters {
    /// A request was received in full.
    pub fn received(&self, api_key: i16, version: i16) {
        let versions = &self.requests[index(api_key, API_KEYS)];
        add(&versions[index(version, API_VERSIONS)], 1);
    }

    /// A request was answered.
    pub fn answered(&self, api_key: i16, received: Mono, now: Mono) {
        self.durations[index(api_key, API_KEYS)].record(now.since(received));
    }

    /// A connection ended.
    pub fn closed(&self, kind: CloseKind) {
        add(&self.closed[kind as usize], 1);
    }

    /// How many requests of `api_key` came in `version`, both as indexes.
    pub fn requests(&self, api_key: usize, version: usize) -> u64 {
        self.requests[api_key][version].load(Ordering::Relaxed)
    }
}

fn index(number: i16, count: usize) -> usize {
    usize::try_from(number).map_or(count - 1, |number| number.min(count - 1))
}
