use std::sync::atomic::AtomicU64;

use ottla_types::Mono;

use super::histogram::{Histogram, add};

/// API keys of Kafka are below this; what is not counts under the last one.
pub const API_KEYS: usize = 128;

/// What one worker counts. Only its own thread writes, so nothing is shared on the hot path.
#[derive(Debug)]
pub struct CoreCounters {
    /// By API key: from the request's last byte received to its answer's last byte sent.
    pub requests: Box<[Histogram]>,
    /// Requests that got no answer (acks=0), by API key.
    pub unanswered: Box<[AtomicU64]>,
    /// Connections taken over.
    pub connections: AtomicU64,
    /// Connections that ended, by [`CloseKind`].
    pub closed: [AtomicU64; CloseKind::ALL.len()],
    /// From clients.
    pub received_bytes: AtomicU64,
    /// To clients.
    pub sent_bytes: AtomicU64,
    /// File ranges that had to be read by the reader pool.
    pub cold_loads: AtomicU64,
    /// Times a connection had to wait for request memory.
    pub memory_waits: AtomicU64,
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

impl Default for CoreCounters {
    fn default() -> CoreCounters {
        CoreCounters {
            requests: (0..API_KEYS).map(|_| Histogram::default()).collect(),
            unanswered: (0..API_KEYS).map(|_| AtomicU64::new(0)).collect(),
            connections: AtomicU64::new(0),
            closed: Default::default(),
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            cold_loads: AtomicU64::new(0),
            memory_waits: AtomicU64::new(0),
        }
    }
}

impl CoreCounters {
    /// A request was answered.
    pub fn answered(&self, api_key: i16, received: Mono, now: Mono) {
        self.requests[index(api_key)].record(now.since(received));
    }

    /// A request was executed that has no answer.
    pub fn not_answered(&self, api_key: i16) {
        add(&self.unanswered[index(api_key)], 1);
    }

    /// A connection ended.
    pub fn closed(&self, kind: CloseKind) {
        add(&self.closed[kind as usize], 1);
    }
}

fn index(api_key: i16) -> usize {
    usize::try_from(api_key).map_or(API_KEYS - 1, |key| key.min(API_KEYS - 1))
}
