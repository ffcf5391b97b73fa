use super::group_texts::{code_of, instance, member, mixed_up, only, refused};
use crate::broker::Broker;
use crate::groups::Answered;
use crate::request::{Handled, ReplyTo, Request};
use crate::response::Outcome;
use ottla_coordinator::group::{
    GroupCommand, GroupError, GroupReply, LeaveGroup, LeavingMember, Left,
};
use ottla_protocol::messages::leave_group_request::LeaveGroupRequest;
use ottla_protocol::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};
use ottla_types::ErrorCode;
use std::borrow::Cow;

/// From here on several members leave at once, and static ones can be made to (KIP-345).
const VERSION_OF_MANY: i16 = 3;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: LeaveGroupRequest<'_> = request.decode()?;
    let members: Vec<LeavingMember> = match request.version() < VERSION_OF_MANY {
        true => vec![LeavingMember {
            member: member(&message.member_id),
            instance: None,
        }],
        false => message
            .members
            .iter()
            .map(|leaving| LeavingMember {
                member: member(&leaving.member_id),
                instance: instance(leaving.group_instance_id.as_deref()),
            })
            .collect(),
    };
    let asked = members.clone();
    let group = (&*message.group_id).into();
    let reply_to = request.reply_to();
    let finish = move |broker: &Broker, answers: Vec<Answered>| {
        finish(broker, reply_to, asked, only(answers))
    };
    let command = LeaveGroup { group, members };
    request.ask_groups(vec![GroupCommand::Leave(command)], Box::new(finish))
}

fn finish(
    broker: &Broker,
    reply_to: ReplyTo,
    asked: Vec<LeavingMember>,
    answered: Answered,
) -> Handled {
    let (code, left) = match answered {
        Ok(GroupReply::Leave(Ok(left))) => (ErrorCode::None, left),
        Ok(GroupReply::Leave(Err(GroupError::UnknownMember))) => {
            // Without the group nobody is in it.
            let left = asked.into_iter().map(|leaving| Left {
                member: leaving.member,
                instance: leaving.instance,
                error: Some(GroupError::UnknownMember),
            });
            (ErrorCode::None, left.collect())
        }
        Ok(GroupReply::Leave(Err(error))) => (code_of(broker, Some(error)), Vec::new()),
        Ok(other) => (mixed_up(&other), Vec::new()),
        Err(refusal) => (refused(broker, refusal), Vec::new()),
    };
    let members = left.iter().map(|left| MemberResponse {
        member_id: Cow::Borrowed(left.member.as_ref().map_or("", |member| member.as_str())),
        group_instance_id: left
            .instance
            .as_ref()
            .map(|instance| Cow::Borrowed(instance.as_str())),
        error_code: code_of(broker, left.error).code(),
    });
    let members: Vec<MemberResponse<'_>> = members.collect();
    // One member's error is the request's where only one can leave.
    let only_error = members.first().map_or(0, |member| member.error_code);
    let response = match reply_to.version < VERSION_OF_MANY {
        true if code == ErrorCode::None => LeaveGroupResponse {
            error_code: only_error,
            ..LeaveGroupResponse::default()
        },
        true => LeaveGroupResponse {
            error_code: code.code(),
            ..LeaveGroupResponse::default()
        },
        false => LeaveGroupResponse {
            error_code: code.code(),
            members,
            ..LeaveGroupResponse::default()
        },
    };
    reply_to.encode(&response).map(Outcome::Reply)
}
