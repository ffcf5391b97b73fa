use super::k19_create_topics::nobody;
use crate::broker::Broker;
use crate::controller_desk::ControllerResult;
use crate::request::{Handled, ReplyTo, Request, outcome};
use crate::response::Outcome;
use crate::waiting::PromisedAnswer;
use ottla_metadata::{Command, ControllerError, Mode, MorePartitions, Reply};
use ottla_protocol::messages::create_partitions_request::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use ottla_protocol::messages::create_partitions_response::{
    CreatePartitionsResponse, CreatePartitionsTopicResult,
};
use ottla_types::{BrokerId, ErrorCode};
use std::collections::BTreeSet;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: CreatePartitionsRequest<'_> = request.decode()?;
    let reply_to = request.reply_to();
    let patience = request.patience(message.timeout_ms);
    // A topic the controller must not even see keeps its place in the answer.
    let mut names = Vec::with_capacity(message.topics.len());
    let mut topics = Vec::new();
    for topic in &message.topics {
        match more_partitions(topic) {
            Ok(more) => {
                topics.push(more);
                names.push((topic.name.to_string(), None));
            }
            Err(message) => names.push((topic.name.to_string(), Some(message))),
        }
    }
    let mode = match message.validate_only {
        true => Mode::ValidateOnly,
        false => Mode::Commit,
    };
    let command = Command::CreatePartitions { topics, mode };
    let answer = move |broker: &Broker, result: ControllerResult| {
        PromisedAnswer::Done(outcome(answer(broker, reply_to, names, result)))
    };
    Ok(request.broker.submit(
        request.connection.core,
        &command,
        patience,
        Box::new(answer),
    ))
}

/// Refused with a text when a broker's number is negative.
fn more_partitions(topic: &CreatePartitionsTopic<'_>) -> Result<MorePartitions, String> {
    let assignments = match &topic.assignments {
        None => None,
        Some(assignments) => {
            let read = assignments.iter().map(|assignment| {
                let brokers = assignment.broker_ids.iter();
                let brokers: Option<Vec<BrokerId>> =
                    brokers.map(|id| BrokerId::from_wire(*id)).collect();
                brokers.ok_or_else(|| nobody(&assignment.broker_ids))
            });
            Some(read.collect::<Result<Vec<Vec<BrokerId>>, String>>()?)
        }
    };
    Ok(MorePartitions {
        name: topic.name.to_string(),
        count: topic.count,
        assignments,
    })
}

fn answer(
    broker: &Broker,
    reply_to: ReplyTo,
    names: Vec<(String, Option<String>)>,
    result: ControllerResult,
) -> Handled {
    let mut decided = match result {
        Ok(Reply::PartitionsCreated(results)) => Ok(results.into_iter()),
        Ok(_) => Err(ControllerError::NotController),
        Err(error) => Err(error),
    };
    // What is named twice is answered once, as by Kafka.
    let mut answered = BTreeSet::new();
    let results = names.into_iter().filter_map(|(name, refused)| {
        let refusal = match &mut decided {
            _ if refused.is_some() => Some((ErrorCode::InvalidReplicaAssignment, refused)),
            Ok(results) => match results.next() {
                Some(Ok(())) => None,
                // Kafka says nothing about a topic it does not know.
                Some(Err(error @ ControllerError::UnknownTopicName)) => Some((error.code(), None)),
                Some(Err(error)) => Some((error.code(), error.message())),
                None => Some((ErrorCode::UnknownServerError, None)),
            },
            Err(error) => Some((error.code(), error.message())),
        };
        if !answered.insert(name.clone()) {
            return None;
        }
        let code = refusal.as_ref().map_or(ErrorCode::None, |(code, _)| *code);
        broker.metrics.error(code);
        Some(CreatePartitionsTopicResult {
            name: name.into(),
            error_code: code.code(),
            error_message: refusal.and_then(|(_, message)| Some(message?.into())),
        })
    });
    let results = results.collect();
    let response = CreatePartitionsResponse {
        results,
        ..CreatePartitionsResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}
