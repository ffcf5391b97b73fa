use super::group_texts::{code_of, instance, mixed_up, only, refused, shared};
use crate::broker::Broker;
use crate::groups::Answered;
use crate::request::{Handled, ReplyTo, Request};
use crate::response::Outcome;
use bytes::Bytes;
use ottla_coordinator::group::{GroupCommand, GroupReply, MemberIdentity, SyncGroup, Synced};
use ottla_protocol::messages::sync_group_request::SyncGroupRequest;
use ottla_protocol::messages::sync_group_response::SyncGroupResponse;
use ottla_types::ErrorCode;
use std::borrow::Cow;

/// From here on a member says what it believes was chosen (KIP-559).
const VERSION_WITH_PROTOCOL: i16 = 5;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: SyncGroupRequest<'_> = request.decode()?;
    let reply_to = request.reply_to();
    let says_protocol = message.protocol_type.is_some() && message.protocol_name.is_some();
    if VERSION_WITH_PROTOCOL <= request.version() && !says_protocol {
        let code = ErrorCode::InconsistentGroupProtocol;
        request.broker.metrics.error(code);
        return refuse(reply_to, code);
    }
    let assignments = message.assignments.iter().map(|assignment| {
        let bytes = Bytes::copy_from_slice(&assignment.assignment);
        ((&*assignment.member_id).into(), bytes)
    });
    let command = SyncGroup {
        identity: MemberIdentity {
            group: (&*message.group_id).into(),
            member: (&*message.member_id).into(),
            instance: instance(message.group_instance_id.as_deref()),
            generation: message.generation_id,
        },
        protocol_type: message.protocol_type.as_deref().map(shared),
        protocol: message.protocol_name.as_deref().map(shared),
        assignments: assignments.collect(),
    };
    let finish =
        move |broker: &Broker, answers: Vec<Answered>| finish(broker, reply_to, only(answers));
    request.ask_groups(vec![GroupCommand::Sync(command)], Box::new(finish))
}

fn finish(broker: &Broker, reply_to: ReplyTo, answered: Answered) -> Handled {
    let code = match &answered {
        Ok(GroupReply::Sync(Ok(synced))) => return accepted(reply_to, synced),
        Ok(GroupReply::Sync(Err(error))) => code_of(broker, Some(*error)),
        Ok(other) => mixed_up(other),
        Err(refusal) => refused(broker, *refusal),
    };
    refuse(reply_to, code)
}

fn accepted(reply_to: ReplyTo, synced: &Synced) -> Handled {
    let response = SyncGroupResponse {
        protocol_type: synced.protocol_type.as_deref().map(Cow::Borrowed),
        protocol_name: synced.protocol.as_deref().map(Cow::Borrowed),
        assignment: Cow::Borrowed(&synced.assignment),
        ..SyncGroupResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}

fn refuse(reply_to: ReplyTo, code: ErrorCode) -> Handled {
    let response = SyncGroupResponse {
        error_code: code.code(),
        ..SyncGroupResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}
