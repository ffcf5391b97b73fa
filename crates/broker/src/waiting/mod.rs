//! Requests that wait: for the journal, for data, for the controller, for their time to run out.

mod deadlines;
mod journal_waits;

mod core;

pub(crate) use self::deadlines::Deadlines;

pub(crate) use self::core::{
    Core, CoreState, FailedReply, HeldBefore, HeldPatience, HeldRequest, JournalPlace, Keep,
    Parked, ParkedReply, PromisedAnswer, Recompressed, Waiter, WrittenBatch,
};
