use crate::broker::Broker;
use crate::controller_desk::{ControllerResult, Patience};
use crate::request::{Handled, ReplyTo, Request, outcome};
use crate::response::Outcome;
use crate::waiting::PromisedAnswer;
use ottla_metadata::{Command, ControllerError};
use ottla_protocol::messages::unregister_broker_request::UnregisterBrokerRequest;
use ottla_protocol::messages::unregister_broker_response::UnregisterBrokerResponse;
use ottla_types::{BrokerId, ErrorCode};

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: UnregisterBrokerRequest = request.decode()?;
    let reply_to = request.reply_to();
    let Some(broker) = BrokerId::from_wire(message.broker_id) else {
        let text = format!(
            "Broker ID {} is not currently registered",
            message.broker_id
        );
        let refusal = (ErrorCode::BrokerIdNotRegistered, Some(text));
        return answer(request.broker, reply_to, Some(refusal));
    };
    let command = Command::UnregisterBroker { broker };
    let answer = move |broker: &Broker, result: ControllerResult| {
        let refusal = result.err();
        let refusal = refusal.map(|error: ControllerError| (error.code(), error.message()));
        PromisedAnswer::Done(outcome(answer(broker, reply_to, refusal)))
    };
    let core = request.connection.core;
    Ok(request
        .broker
        .submit(core, &command, Patience::Forever, Box::new(answer)))
}

fn answer(
    broker: &Broker,
    reply_to: ReplyTo,
    refusal: Option<(ErrorCode, Option<String>)>,
) -> Handled {
    let (code, message) = refusal.unwrap_or((ErrorCode::None, None));
    broker.metrics.error(code);
    let response = UnregisterBrokerResponse {
        error_code: code.code(),
        error_message: message.map(Into::into),
        ..UnregisterBrokerResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}
