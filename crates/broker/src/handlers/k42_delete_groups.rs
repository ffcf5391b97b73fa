use super::group_texts::{code_of, mixed_up, refused};
use crate::broker::Broker;
use crate::groups::Answered;
use crate::request::{Handled, ReplyTo, Request};
use crate::response::Outcome;
use ottla_coordinator::group::{GroupCommand, GroupReply};
use ottla_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use ottla_protocol::messages::delete_groups_response::{
    DeletableGroupResult, DeleteGroupsResponse,
};
use std::borrow::Cow;
use std::collections::BTreeSet;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: DeleteGroupsRequest<'_> = request.decode()?;
    // A group that is named twice is deleted once.
    let mut seen = BTreeSet::new();
    let names = message.groups_names.into_iter();
    let names = names.filter(|name| seen.insert(name.clone()));
    let ids: Vec<String> = names.map(Cow::into_owned).collect();
    let commands = ids.iter();
    let commands = commands.map(|id| GroupCommand::Delete(id.as_str().into()));
    let commands = commands.collect();
    let reply_to = request.reply_to();
    let finish =
        move |broker: &Broker, answers: Vec<Answered>| finish(broker, reply_to, &ids, answers);
    request.ask_groups(commands, Box::new(finish))
}

fn finish(broker: &Broker, reply_to: ReplyTo, ids: &[String], answers: Vec<Answered>) -> Handled {
    let results = ids.iter().zip(answers).map(|(id, answered)| {
        let code = match answered {
            Ok(GroupReply::Delete(result)) => code_of(broker, result.err()),
            Ok(other) => mixed_up(&other),
            Err(refusal) => refused(broker, refusal),
        };
        // Kafka has no words for classic groups: the code says it.
        DeletableGroupResult {
            group_id: Cow::Borrowed(id),
            error_code: code.code(),
            error_message: None,
        }
    });
    let response = DeleteGroupsResponse {
        results: results.collect(),
        ..DeleteGroupsResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}
