use crate::broker::Broker;
use crate::controller_desk::ControllerResult;
use crate::request::{Handled, ReplyTo, Request, outcome};
use crate::response::Outcome;
use crate::waiting::PromisedAnswer;
use ottla_metadata::{Command, ControllerError, Election, ElectionScope, Reply};
use ottla_protocol::messages::elect_leaders_request::ElectLeadersRequest;
use ottla_protocol::messages::elect_leaders_response::{
    ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};
use ottla_types::ErrorCode;
use std::collections::BTreeMap;

/// Kafka's numbers of the elections.
const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: ElectLeadersRequest<'_> = request.decode()?;
    let reply_to = request.reply_to();
    let named = message.topic_partitions.as_ref().map(|topics| {
        let pairs = topics.iter().flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|partition| (topic.topic.to_string(), *partition))
        });
        pairs.collect::<Vec<_>>()
    });
    let topics = message.topic_partitions.iter().flatten();
    let bare = topics.filter(|topic| topic.partitions.is_empty());
    let bare: Vec<String> = bare.map(|topic| topic.topic.to_string()).collect();
    let election = match message.election_type {
        PREFERRED => Election::Preferred,
        UNCLEAN => Election::Unclean,
        unknown => {
            let message = format!("Unknown election type {unknown}");
            let refusal = (ErrorCode::InvalidRequest, Some(message));
            let results = named.into_iter().flatten();
            let results = results.map(|partition| (partition, Err(refusal.clone())));
            let topics = by_topic(request.broker, results.collect());
            return encode(reply_to, refusal.0, topics);
        }
    };
    let patience = request.patience(message.timeout_ms);
    let command = Command::ElectLeaders {
        election,
        scope: named
            .clone()
            .map_or(ElectionScope::All, ElectionScope::Some),
    };
    let answer = move |broker: &Broker, result: ControllerResult| {
        PromisedAnswer::Done(outcome(answer(broker, reply_to, named, bare, result)))
    };
    let core = request.connection.core;
    Ok(request
        .broker
        .submit(core, &command, patience, Box::new(answer)))
}

type Refusal = (ErrorCode, Option<String>);
type Elected = ((String, i32), Result<(), Refusal>);

fn answer(
    broker: &Broker,
    reply_to: ReplyTo,
    named: Option<Vec<(String, i32)>>,
    bare: Vec<String>,
    result: ControllerResult,
) -> Handled {
    let is_everything = named.is_none() && result.is_ok();
    let refusal = |error: ControllerError| (error.code(), error.message());
    let (code, results): (ErrorCode, Vec<Elected>) = match (result, named) {
        (Ok(Reply::LeadersElected(results)), Some(named)) => {
            let results = results.into_iter().map(|result| result.map_err(refusal));
            (ErrorCode::None, named.into_iter().zip(results).collect())
        }
        (Ok(_), _) => (ErrorCode::None, Vec::new()),
        (Err(error), named) => {
            let refused = refusal(error);
            let named = named.into_iter().flatten();
            let results = named.map(|partition| (partition, Err(refused.clone())));
            (refused.0, results.collect())
        }
    };
    let mut topics = by_topic(broker, results);
    for topic in bare {
        topics.entry(topic).or_default();
    }
    if is_everything {
        // Every topic is named, none with a partition: what needs no election is not spoken of.
        let image = broker.image();
        let names = image.topics_by_name_from("");
        topics.extend(names.map(|topic| (topic.name.to_string(), Vec::new())));
    }
    encode(reply_to, code, topics)
}

type Topics = BTreeMap<String, Vec<PartitionResult<'static>>>;

fn by_topic(broker: &Broker, results: Vec<Elected>) -> Topics {
    let mut topics = Topics::new();
    for ((topic, partition), result) in results {
        let (code, message) = result.err().unwrap_or((ErrorCode::None, None));
        broker.metrics.error(code);
        topics.entry(topic).or_default().push(PartitionResult {
            partition_id: partition,
            error_code: code.code(),
            error_message: message.map(Into::into),
        });
    }
    topics
}

fn encode(reply_to: ReplyTo, code: ErrorCode, topics: Topics) -> Handled {
    let results = topics
        .into_iter()
        .map(|(topic, partition_result)| ReplicaElectionResult {
            topic: topic.into(),
            partition_result,
        });
    let response = ElectLeadersResponse {
        // Version 0 has no place for it.
        error_code: if 1 <= reply_to.version {
            code.code()
        } else {
            0
        },
        replica_election_results: results.collect(),
        ..ElectLeadersResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}
