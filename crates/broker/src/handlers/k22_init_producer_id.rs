use crate::producer_ids::failure;
use crate::request::{Handled, Request};
use ottla_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use ottla_types::ErrorCode;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: InitProducerIdRequest<'_> = request.decode()?;
    let refusal = match message.transactional_id.as_deref() {
        Some("") => Some(ErrorCode::InvalidRequest),
        // Transactions come with a later release. Clients do not try again after this error, and
        // name the transactional id in what they tell their user.
        Some(_) => Some(ErrorCode::TransactionalIdAuthorizationFailed),
        None if !is_consistent(&message) => Some(ErrorCode::InvalidRequest),
        None => None,
    };
    if let Some(code) = refusal {
        request.broker.metrics.error(code);
        return Ok(failure(request.reply_to(), code));
    }
    let core = request.connection.core;
    Ok(request.broker.give_producer_id(core, request.reply_to()))
}

/// Producer id and epoch are both there or both not (KIP-360).
fn is_consistent(message: &InitProducerIdRequest<'_>) -> bool {
    (message.producer_id == -1) == (message.producer_epoch == -1)
}
