use crate::metrics::ClientSoftware;
use parking_lot::Mutex;
use std::sync::Arc;

/// What the client of one connection calls itself. Its connection writes, any thread reads.
#[derive(Debug, Default)]
pub struct ClientIdentity(Mutex<SaidByClient>);

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
        self.0.lock().clone()
    }

    pub(crate) fn says(&self, said: &SaidByClient) {
        self.0.lock().clone_from(said);
    }
}
