use super::group_texts::refused;
use crate::broker::Broker;
use crate::groups::Answered;
use crate::request::{Handled, ReplyTo, Request};
use crate::response::Outcome;
use ottla_coordinator::Refusal;
use ottla_coordinator::group::{GroupCommand, GroupReply, GroupState, ListedGroup as Listed};
use ottla_protocol::messages::list_groups_request::ListGroupsRequest;
use ottla_protocol::messages::list_groups_response::{ListGroupsResponse, ListedGroup};
use ottla_types::ErrorCode;
use std::borrow::Cow;

/// Kafka's name of the only type of groups there is so far.
const CLASSIC: &str = "classic";

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: ListGroupsRequest<'_> = request.decode()?;
    let reply_to = request.reply_to();
    let types = &message.types_filter;
    let wants_classic =
        types.is_empty() || types.iter().any(|name| name.eq_ignore_ascii_case(CLASSIC));
    // A state that no group can be in is asked for in vain, not in error.
    let states = (!message.states_filter.is_empty()).then(|| {
        let named = |state: &GroupState| {
            let mut names = message.states_filter.iter();
            names.any(|name| name.trim().eq_ignore_ascii_case(state.name()))
        };
        GroupState::ALL.into_iter().filter(named).collect()
    });
    if !wants_classic {
        return answer(reply_to, ErrorCode::None, &[]);
    }
    let finish = move |broker: &Broker, answers: Vec<Answered>| finish(broker, reply_to, answers);
    request.ask_all_groups(&GroupCommand::List(states), Box::new(finish))
}

fn finish(broker: &Broker, reply_to: ReplyTo, answers: Vec<Answered>) -> Handled {
    let mut listed = Vec::new();
    for answered in answers {
        match answered {
            Ok(GroupReply::List(groups)) => listed.extend(groups),
            Ok(_) => return answer(reply_to, ErrorCode::UnknownServerError, &[]),
            // Somebody else is asked about those.
            Err(Refusal::NotCoordinator) => {}
            Err(refusal) => {
                // A list that lacks some of its groups is not one.
                return answer(reply_to, refused(broker, refusal), &[]);
            }
        }
    }
    answer(reply_to, ErrorCode::None, &listed)
}

fn answer(reply_to: ReplyTo, code: ErrorCode, listed: &[Listed]) -> Handled {
    let groups = listed.iter().map(|group| ListedGroup {
        group_id: Cow::Borrowed(group.group.as_str()),
        protocol_type: Cow::Borrowed(&group.protocol_type),
        group_state: Cow::Borrowed(group.state.name()),
        group_type: Cow::Borrowed(CLASSIC),
    });
    let response = ListGroupsResponse {
        error_code: code.code(),
        groups: groups.collect(),
        ..ListGroupsResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}
