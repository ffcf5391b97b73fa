use crate::broker::Broker;
use crate::controller_desk::ControllerResult;
use crate::request::{Handled, ReplyTo, Request, outcome};
use crate::response::Outcome;
use crate::waiting::PromisedAnswer;
use ottla_metadata::{Command, ControllerError, Reassignment, Reply};
use ottla_protocol::messages::alter_partition_reassignments_request::AlterPartitionReassignmentsRequest;
use ottla_protocol::messages::alter_partition_reassignments_response::{
    AlterPartitionReassignmentsResponse, ReassignablePartitionResponse, ReassignableTopicResponse,
};
use ottla_types::ErrorCode;

/// A topic of the request with the numbers of its partitions.
type Named = (String, Vec<i32>);

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: AlterPartitionReassignmentsRequest<'_> = request.decode()?;
    let reply_to = request.reply_to();
    let may_change_factor = message.allow_replication_factor_change;
    let mut named: Vec<Named> = Vec::with_capacity(message.topics.len());
    let mut reassignments = Vec::new();
    for topic in &message.topics {
        let partitions = topic.partitions.iter();
        let numbers = partitions.map(|partition| partition.partition_index);
        named.push((topic.name.to_string(), numbers.collect()));
        let partitions = topic.partitions.iter();
        reassignments.extend(partitions.map(|partition| Reassignment {
            topic: topic.name.to_string(),
            partition: partition.partition_index,
            replicas: partition.replicas.clone(),
        }));
    }
    let command = Command::ReassignPartitions { reassignments };
    let patience = request.patience(message.timeout_ms);
    let answer = move |broker: &Broker, result: ControllerResult| {
        let answered = answer(broker, reply_to, may_change_factor, named, result);
        PromisedAnswer::Done(outcome(answered))
    };
    let core = request.connection.core;
    Ok(request
        .broker
        .submit(core, &command, patience, Box::new(answer)))
}

fn answer(
    broker: &Broker,
    reply_to: ReplyTo,
    may_change_factor: bool,
    named: Vec<Named>,
    result: ControllerResult,
) -> Handled {
    let (refusal, results) = match result {
        Ok(Reply::PartitionsReassigned(results)) => (None, results),
        Ok(_) => (Some(ControllerError::NotController), Vec::new()),
        Err(error) => (Some(error), Vec::new()),
    };
    let is_empty = named.is_empty();
    let mut results = results.into_iter();
    let responses = named.into_iter().map(|(name, partitions)| {
        let partitions = partitions.into_iter().map(|partition_index| {
            let decided = results.next();
            let error = decided.and_then(Result::err);
            let code = error
                .as_ref()
                .map_or(ErrorCode::None, ControllerError::code);
            broker.metrics.error(code);
            ReassignablePartitionResponse {
                partition_index,
                error_code: code.code(),
                error_message: match code {
                    // Kafka has no words for it.
                    ErrorCode::NoReassignmentInProgress => None,
                    _ => error.and_then(|error| Some(error.message()?.into())),
                },
            }
        });
        ReassignableTopicResponse {
            name: name.into(),
            partitions: partitions.collect(),
        }
    });
    let responses = match refusal {
        Some(_) => Vec::new(),
        None => responses.collect(),
    };
    let response = AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: may_change_factor,
        error_code: refusal.as_ref().map_or(0, |error| error.code().code()),
        error_message: match refusal {
            Some(error) => error.message().map(Into::into),
            None if is_empty => Some("".into()), // As from Kafka.
            None => None,
        },
        responses,
        ..AlterPartitionReassignmentsResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}
