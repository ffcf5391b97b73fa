use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use ottla_broker::ClientIdentity;
use ottla_types::{Mono, Now};
use parking_lot::Mutex;

use super::mailbox::ConnectionNumber;
use crate::metrics::add;

/// The open connections of one worker, for other threads to look at.
#[derive(Debug, Default)]
pub struct Roster(Mutex<BTreeMap<ConnectionNumber, Arc<ConnectionEntry>>>);

/// One open connection as others see it. Only its worker writes.
#[derive(Debug)]
pub struct ConnectionEntry {
    /// The client's address.
    pub peer: SocketAddr,
    /// Name of the listener it came in by.
    pub listener: Arc<str>,
    /// When it was accepted.
    pub since: Now,
    /// What the client calls itself.
    pub identity: Arc<ClientIdentity>,
    /// From the client.
    pub received_bytes: AtomicU64,
    /// To the client.
    pub sent_bytes: AtomicU64,
    requests: AtomicU64,
    /// When the last request was there in full, in nanoseconds of the monotonic clock.
    last_request_at: AtomicU64,
    /// Key and version of the last request, 16 bits each.
    last_request: AtomicU32,
}

/// The last request of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastRequest {
    /// As on the wire; may be unknown.
    pub api_key: i16,
    /// As on the wire.
    pub api_version: i16,
    /// When it was there in full.
    pub at: Mono,
}

impl ConnectionEntry {
    pub(super) fn new(
        peer: SocketAddr,
        listener: Arc<str>,
        identity: Arc<ClientIdentity>,
        since: Now,
    ) -> ConnectionEntry {
        ConnectionEntry {
            peer,
            listener,
            since,
            identity,
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            last_request_at: AtomicU64::new(0),
            last_request: AtomicU32::new(0),
        }
    }

    /// A request is there in full.
    pub(super) fn request(&self, api_key: i16, api_version: i16, now: Mono) {
        let [a, b] = api_key.to_be_bytes();
        let [c, d] = api_version.to_be_bytes();
        let packed = u32::from_be_bytes([a, b, c, d]);
        self.last_request.store(packed, Ordering::Relaxed);
        self.last_request_at
            .store(now.as_nanos(), Ordering::Relaxed);
        add(&self.requests, 1);
    }

    /// How many requests there were.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The last request, if there was one.
    pub fn last_request(&self) -> Option<LastRequest> {
        let [a, b, c, d] = self.last_request.load(Ordering::Relaxed).to_be_bytes();
        (0 < self.requests()).then(|| LastRequest {
            api_key: i16::from_be_bytes([a, b]),
            api_version: i16::from_be_bytes([c, d]),
            at: Mono::from_nanos(self.last_request_at.load(Ordering::Relaxed)),
        })
    }
}

impl Roster {
    pub(super) fn enter(&self, number: ConnectionNumber, entry: Arc<ConnectionEntry>) {
        self.0.lock().insert(number, entry);
    }

    pub(super) fn leave(&self, number: ConnectionNumber) {
        self.0.lock().remove(&number);
    }

    /// Everybody who is connected now, in the order they came.
    pub fn entries(&self) -> Vec<Arc<ConnectionEntry>> {
        self.0.lock().values().map(Arc::clone).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ottla_types::Timestamp;

    #[test]
    fn an_entry_tells_the_last_request_once_there_was_one() {
        let since = Now {
            mono: Mono::ZERO,
            wall: Timestamp::from_millis(0),
        };
        let peer = "127.0.0.1:1".parse().expect("an address");
        let entry = ConnectionEntry::new(peer, "A".into(), Arc::default(), since);
        assert_eq!(entry.last_request(), None);
        for (api_key, api_version) in [(0, 13), (18, 4), (-1, -1)] {
            let at = Mono::from_nanos(7);
            entry.request(api_key, api_version, at);
            let told = LastRequest {
                api_key,
                api_version,
                at,
            };
            assert_eq!(entry.last_request(), Some(told));
        }
        assert_eq!(entry.requests(), 3);
    }
}
