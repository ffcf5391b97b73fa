use super::group_texts::{code_of, instance, member, mixed_up, only, refused, shared};
use crate::broker::Broker;
use crate::groups::Answered;
use crate::request::{Handled, ReplyTo, Request};
use crate::response::Outcome;
use bytes::Bytes;
use ottla_coordinator::group::{
    GroupCommand, GroupReply, JoinFeatures, JoinGroup, Joined, Protocol,
};
use ottla_protocol::messages::join_group_request::JoinGroupRequest;
use ottla_protocol::messages::join_group_response::{JoinGroupResponse, JoinGroupResponseMember};
use ottla_types::ErrorCode;
use std::borrow::Cow;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: JoinGroupRequest<'_> = request.decode()?;
    let version = request.version();
    let protocols = message.protocols.iter().map(|protocol| Protocol {
        name: shared(&protocol.name),
        metadata: Bytes::copy_from_slice(&protocol.metadata),
    });
    let command = JoinGroup {
        group: (&*message.group_id).into(),
        member: member(&message.member_id),
        instance: instance(message.group_instance_id.as_deref()),
        client_id: shared(request.header.client_id.unwrap_or("")),
        // As Java prints an address.
        client_host: format!("/{}", request.connection.peer.ip().to_canonical()).into(),
        session_timeout_ms: message.session_timeout_ms,
        rebalance_timeout_ms: match version {
            0 => message.session_timeout_ms,
            _ => message.rebalance_timeout_ms,
        },
        protocol_type: shared(&message.protocol_type),
        protocols: protocols.collect(),
        understands: JoinFeatures {
            member_id_required: 4 <= version,
            skipped_assignment: 9 <= version,
        },
    };
    let reply_to = request.reply_to();
    let asked_as = message.member_id.into_owned();
    let finish = move |broker: &Broker, answers: Vec<Answered>| {
        finish(broker, reply_to, &asked_as, only(answers))
    };
    request.ask_groups(vec![GroupCommand::Join(command)], Box::new(finish))
}

fn finish(broker: &Broker, reply_to: ReplyTo, asked_as: &str, answered: Answered) -> Handled {
    let (code, member) = match &answered {
        Ok(GroupReply::Join(Ok(joined))) => return accepted(reply_to, joined),
        Ok(GroupReply::Join(Err(refused))) => {
            let member = refused.member.as_ref().map_or("", |member| member.as_str());
            (code_of(broker, Some(refused.error)), member)
        }
        Ok(other) => (mixed_up(other), asked_as),
        Err(refusal) => (refused(broker, *refusal), asked_as),
    };
    refuse(reply_to, code, member)
}

fn refuse(reply_to: ReplyTo, code: ErrorCode, member: &str) -> Handled {
    let response = JoinGroupResponse {
        error_code: code.code(),
        generation_id: -1,
        protocol_name: protocol_name(reply_to, None),
        member_id: Cow::Borrowed(member),
        ..JoinGroupResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}

fn accepted(reply_to: ReplyTo, joined: &Joined) -> Handled {
    let members = joined.members.iter().map(|member| JoinGroupResponseMember {
        member_id: Cow::Borrowed(member.member.as_str()),
        group_instance_id: member
            .instance
            .as_ref()
            .map(|instance| Cow::Borrowed(instance.as_str())),
        metadata: Cow::Borrowed(&member.metadata),
    });
    let leader = joined.leader.as_ref().map_or("", |leader| leader.as_str());
    let response = JoinGroupResponse {
        generation_id: joined.generation,
        protocol_type: joined.protocol_type.as_deref().map(Cow::Borrowed),
        protocol_name: protocol_name(reply_to, joined.protocol.as_deref()),
        leader: Cow::Borrowed(leader),
        skip_assignment: joined.skip_assignment,
        member_id: Cow::Borrowed(joined.member.as_str()),
        members: members.collect(),
        ..JoinGroupResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}

/// Before version 7 there is no null.
fn protocol_name(reply_to: ReplyTo, name: Option<&str>) -> Option<Cow<'_, str>> {
    match name {
        None if reply_to.version < 7 => Some(Cow::Borrowed("")),
        name => name.map(Cow::Borrowed),
    }
}
