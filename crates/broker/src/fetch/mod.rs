//! Fetches and fetch sessions (KIP-227): what costs as much as has changed.

mod fetch_item;
mod fetch_set;
mod session_cache;

mod look;
mod parked_fetch;

#[cfg(test)]
mod tests;

pub(crate) use fetch_item::{FetchItem, FetchPosition, Look, Looked, Told, TopicKey};
pub(crate) use fetch_set::{Coverage, Evaluation, FetchLimits, FetchSet, FetchSetState};
pub(crate) use look::{ColdRead, find_target, look};
pub(crate) use parked_fetch::{FetchReply, ParkedFetch, SessionUse};
pub(crate) use session_cache::{FetchSession, SessionCache};
