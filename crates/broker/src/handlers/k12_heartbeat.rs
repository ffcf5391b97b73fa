use super::group_texts::{code_of, instance, mixed_up, only, refused};
use crate::broker::Broker;
use crate::groups::Answered;
use crate::request::{Handled, ReplyTo, Request};
use crate::response::Outcome;
use ottla_coordinator::Refusal;
use ottla_coordinator::group::{GroupCommand, GroupReply, Heartbeat, MemberIdentity};
use ottla_protocol::messages::heartbeat_request::HeartbeatRequest;
use ottla_protocol::messages::heartbeat_response::HeartbeatResponse;
use ottla_types::ErrorCode;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: HeartbeatRequest<'_> = request.decode()?;
    let command = Heartbeat {
        identity: MemberIdentity {
            group: (&*message.group_id).into(),
            member: (&*message.member_id).into(),
            instance: instance(message.group_instance_id.as_deref()),
            generation: message.generation_id,
        },
    };
    let reply_to = request.reply_to();
    let finish =
        move |broker: &Broker, answers: Vec<Answered>| finish(broker, reply_to, &only(answers));
    request.ask_groups(vec![GroupCommand::Heartbeat(command)], Box::new(finish))
}

fn finish(broker: &Broker, reply_to: ReplyTo, answered: &Answered) -> Handled {
    let code = match answered {
        Ok(GroupReply::Heartbeat(result)) => code_of(broker, result.err()),
        Ok(other) => mixed_up(other),
        // Sessions begin anew once the group is loaded: there is nothing to be alarmed about.
        Err(Refusal::Loading) => ErrorCode::None,
        Err(refusal) => refused(broker, *refusal),
    };
    let response = HeartbeatResponse {
        error_code: code.code(),
        ..HeartbeatResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}
