use super::fetch_set::{FetchLimits, FetchSet};
use super::session_cache::FetchSession;
use crate::connection::Reached;
use ottla_types::Mono;
use std::sync::Arc;

/// How the answer to a fetch is written.
#[derive(Clone, Debug)]
pub(crate) struct FetchReply {
    pub(crate) version: i16,
    pub(crate) correlation_id: i32,
    /// Whether `AbortedTransactions` is a list (read_committed) or null.
    pub(crate) is_read_committed: bool,
    /// How the client reached us, for the addresses it is told.
    pub(crate) reached: Reached,
}

/// What a fetch has to do with sessions.
pub(crate) enum SessionUse {
    /// Nothing.
    None,
    /// It asks for a session.
    Wanted,
    /// It is an incremental request, with this epoch.
    Of(Arc<FetchSession>, i32),
}

/// A fetch that has been read, and everything needed to answer it now or later.
pub(crate) struct ParkedFetch {
    pub(crate) set: Arc<FetchSet>,
    pub(crate) limits: FetchLimits,
    pub(crate) session: SessionUse,
    /// Until then the client waits for data (exclusive).
    pub(crate) data_deadline: Mono,
    /// Until then it is worth to wait for a cold read, when there is nothing else to say (exclusive).
    pub(crate) read_deadline: Mono,
    /// When it is answered in any case: one of the two.
    pub(crate) deadline: Mono,
    pub(crate) reply: FetchReply,
}
