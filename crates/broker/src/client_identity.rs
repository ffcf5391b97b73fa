use crate::metrics::ClientSoftware;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many topics are remembered of one connection: with more it is no application, but something that
/// goes through all of them.
pub(crate) const TOPICS_PER_CLIENT_MAX: usize = 64;

/// What is known about the client of one connection. Its connection writes, any thread reads.
#[derive(Debug, Default)]
pub struct ClientIdentity {
    said: Mutex<SaidByClient>,
    topics: Mutex<BTreeSet<Arc<str>>>,
}

/// What a client has said about itself so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SaidByClient {
    /// Of its last request.
    pub client_id: Option<Arc<str>>,
    /// What it is, if it says so (KIP-511).
    pub software: Option<Arc<ClientSoftware>>,
}

impl ClientIdentity {
    /// What is known now.
    pub fn said(&self) -> SaidByClient {
        self.said.lock().clone()
    }

    /// The topics it has written to or read from, by name; not all of them if
    /// they are very many.
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.topics.lock().iter().map(Arc::clone).collect()
    }

    pub(crate) fn says(&self, said: &SaidByClient) {
        self.said.lock().clone_from(said);
    }

    pub(crate) fn uses(&self, topic: &Arc<str>) {
        let mut topics = self.topics.lock();
        if topics.len() < TOPICS_PER_CLIENT_MAX {
            topics.insert(Arc::clone(topic));
        }
    }
}
