//! What the handlers of groups have in common: identities in, codes out.

use crate::broker::Broker;
use crate::error_map;
use crate::groups::Answered;
use ottla_coordinator::Refusal;
use ottla_coordinator::group::{GroupReply, InstanceId, MemberId};
use ottla_types::ErrorCode;
use std::sync::Arc;

/// The wire's "" and null become nothing.
pub(super) fn member(id: &str) -> Option<MemberId> {
    (!id.is_empty()).then(|| id.into())
}

/// A static member's name, where there is one.
pub(super) fn instance(id: Option<&str>) -> Option<InstanceId> {
    id.map(Into::into)
}

/// A text as the coordinator keeps it.
pub(super) fn shared(text: &str) -> Arc<str> {
    text.into()
}

/// The code of a refusal by the shard, counted.
pub(super) fn refused(broker: &Broker, refusal: Refusal) -> ErrorCode {
    let code = error_map::group_refusal(refusal);
    broker.metrics.error(code);
    code
}

/// The code of an outcome, counted.
pub(super) fn code_of(
    broker: &Broker,
    error: Option<ottla_coordinator::group::GroupError>,
) -> ErrorCode {
    let code = error.map_or(ErrorCode::None, error_map::group);
    broker.metrics.error(code);
    code
}

/// The only answer to a question with one part.
pub(super) fn only(answers: Vec<Answered>) -> Answered {
    let mut answers = answers.into_iter();
    answers.next().expect("one shard was asked")
}

/// A shard answers what it was asked; another reply is a mistake of ours, told as a lost coordinator.
pub(super) fn mixed_up(_reply: &GroupReply) -> ErrorCode {
    ErrorCode::UnknownServerError
}
