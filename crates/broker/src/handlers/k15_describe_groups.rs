use super::group_texts::{mixed_up, refused};
use super::topic_metadata::OPERATIONS_UNKNOWN;
use crate::broker::Broker;
use crate::groups::Answered;
use crate::request::{Handled, ReplyTo, Request};
use crate::response::Outcome;
use ottla_coordinator::group::{DescribedGroup as Described, GroupCommand, GroupReply};
use ottla_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use ottla_protocol::messages::describe_groups_response::{
    DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use ottla_types::ErrorCode;
use std::borrow::Cow;

/// From here on a group that does not exist is an error (KIP-1043).
const VERSION_OF_UNKNOWN_GROUP: i16 = 6;

/// Kafka's state of a group that does not exist.
const DEAD: &str = "Dead";

/// Operations on a group: READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS, ALTER_CONFIGS, as bits of Kafka's
/// `AclOperation` numbers. Without an authorizer everybody may do all.
const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: DescribeGroupsRequest<'_> = request.decode()?;
    let ids: Vec<String> = message.groups.into_iter().map(Cow::into_owned).collect();
    let commands = ids.iter();
    let commands = commands.map(|id| GroupCommand::Describe(id.as_str().into()));
    let commands = commands.collect();
    let reply_to = request.reply_to();
    let operations = match message.include_authorized_operations {
        true => GROUP_OPERATIONS,
        false => OPERATIONS_UNKNOWN,
    };
    let finish = move |broker: &Broker, answers: Vec<Answered>| {
        finish(broker, reply_to, operations, &ids, &answers)
    };
    request.ask_groups(commands, Box::new(finish))
}

fn finish(
    broker: &Broker,
    reply_to: ReplyTo,
    operations: i32,
    ids: &[String],
    answers: &[Answered],
) -> Handled {
    let groups = ids.iter().zip(answers).map(|(id, answered)| {
        let described = match answered {
            Ok(GroupReply::Describe(Some(group))) => describe(group),
            Ok(GroupReply::Describe(None)) => unknown(broker, reply_to.version, id),
            Ok(other) => failed(mixed_up(other)),
            Err(refusal) => failed(refused(broker, *refusal)),
        };
        DescribedGroup {
            group_id: Cow::Borrowed(id),
            authorized_operations: match described.error_code {
                0 => operations,
                _ => OPERATIONS_UNKNOWN,
            },
            ..described
        }
    });
    let response = DescribeGroupsResponse {
        groups: groups.collect(),
        ..DescribeGroupsResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}

fn describe(group: &Described) -> DescribedGroup<'_> {
    let members = group.members.iter().map(|member| DescribedGroupMember {
        member_id: Cow::Borrowed(member.member.as_str()),
        group_instance_id: member
            .instance
            .as_ref()
            .map(|instance| Cow::Borrowed(instance.as_str())),
        client_id: Cow::Borrowed(&member.client_id),
        client_host: Cow::Borrowed(&member.client_host),
        member_metadata: Cow::Borrowed(&member.metadata),
        member_assignment: Cow::Borrowed(&member.assignment),
    });
    DescribedGroup {
        group_state: Cow::Borrowed(group.state.name()),
        protocol_type: Cow::Borrowed(&group.protocol_type),
        protocol_data: Cow::Borrowed(group.protocol.as_deref().unwrap_or("")),
        members: members.collect(),
        ..DescribedGroup::default()
    }
}

fn unknown<'a>(broker: &Broker, version: i16, id: &str) -> DescribedGroup<'a> {
    let dead = DescribedGroup {
        group_state: Cow::Borrowed(DEAD),
        ..DescribedGroup::default()
    };
    if version < VERSION_OF_UNKNOWN_GROUP {
        return dead;
    }
    let code = ErrorCode::GroupIdNotFound;
    broker.metrics.error(code);
    DescribedGroup {
        error_code: code.code(),
        error_message: Some(format!("Group {id} not found.").into()),
        ..dead
    }
}

fn failed<'a>(code: ErrorCode) -> DescribedGroup<'a> {
    DescribedGroup {
        error_code: code.code(),
        ..DescribedGroup::default()
    }
}
