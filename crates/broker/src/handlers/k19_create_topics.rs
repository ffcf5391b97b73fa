use super::config_entries::topic_entries;
use crate::broker::Broker;
use crate::controller_desk::ControllerResult;
use crate::following::with_layers;
use crate::request::{Handled, ReplyTo, Request, outcome};
use crate::response::Outcome;
use crate::waiting::PromisedAnswer;
use ottla_metadata::{Command, ControllerError, CreatedTopic, Mode, NewTopic, Reply};
use ottla_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use ottla_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
};
use ottla_types::{BrokerId, ErrorCode, PartitionId};
use std::borrow::Cow;
use std::collections::BTreeSet;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: CreateTopicsRequest<'_> = request.decode()?;
    let reply_to = request.reply_to();
    let patience = request.patience(message.timeout_ms);
    // A topic the controller must not even see keeps its place in the answer.
    let mut plans = Vec::with_capacity(message.topics.len());
    let mut topics = Vec::new();
    for topic in &message.topics {
        let name = topic.name.to_string();
        match new_topic(topic) {
            Ok(topic) => {
                topics.push(topic);
                plans.push((name, None));
            }
            Err(refusal) => plans.push((name, Some(refusal))),
        }
    }
    let mode = match message.validate_only {
        true => Mode::ValidateOnly,
        false => Mode::Commit,
    };
    let command = Command::CreateTopics { topics, mode };
    let answer = move |broker: &Broker, result: ControllerResult| {
        PromisedAnswer::Done(outcome(answer(broker, reply_to, plans, result)))
    };
    Ok(request.broker.submit(
        request.connection.core,
        &command,
        patience,
        Box::new(answer),
    ))
}

type Refusal = (ErrorCode, Option<String>);

fn new_topic(topic: &CreatableTopic<'_>) -> Result<NewTopic, Refusal> {
    let refuse = |message: &str| {
        (
            ErrorCode::InvalidReplicaAssignment,
            Some(message.to_owned()),
        )
    };
    let mut assignments = Vec::with_capacity(topic.assignments.len());
    for assignment in &topic.assignments {
        let partition = PartitionId::from_wire(assignment.partition_index)
            .ok_or_else(|| refuse("partitions should be a consecutive 0-based integer sequence"))?;
        let brokers = assignment
            .broker_ids
            .iter()
            .map(|id| BrokerId::from_wire(*id));
        let brokers: Option<Vec<BrokerId>> = brokers.collect();
        let brokers = brokers.ok_or_else(|| refuse(&nobody(&assignment.broker_ids)))?;
        assignments.push((partition, brokers));
    }
    let configs = topic.configs.iter();
    let configs = configs.map(|config| {
        let value = config.value.as_ref().map(ToString::to_string);
        (config.name.to_string(), value)
    });
    Ok(NewTopic {
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments,
        configs: configs.collect(),
    })
}

/// What Kafka says of a replica on a broker that cannot be.
pub(super) fn nobody(broker_ids: &[i32]) -> String {
    let broker = broker_ids.iter().find(|id| **id < 0).copied();
    let broker = broker.unwrap_or(-1);
    ControllerError::AssignedToUnknownBroker { broker }.to_string()
}

fn answer(
    broker: &Broker,
    reply_to: ReplyTo,
    plans: Vec<(String, Option<Refusal>)>,
    result: ControllerResult,
) -> Handled {
    let mut decided = match result {
        Ok(Reply::TopicsCreated(results)) => Ok(results.into_iter()),
        Ok(_) => Err(ControllerError::NotController),
        Err(error) => Err(error),
    };
    // What is named twice is answered once, as by Kafka.
    let mut answered = BTreeSet::new();
    let topics = plans.into_iter().filter_map(|(name, refusal)| {
        let created = match (refusal, &mut decided) {
            (Some(refusal), _) => Err(refusal),
            (None, Ok(results)) => match results.next() {
                Some(result) => result.map_err(|error| (error.code(), error.message())),
                None => Err((ErrorCode::UnknownServerError, None)),
            },
            (None, Err(error)) => Err((error.code(), error.message())),
        };
        let is_first = answered.insert(name.clone());
        is_first.then(|| wire_result(broker, reply_to.version, name, created))
    });
    let topics = topics.collect();
    let response = CreateTopicsResponse {
        topics,
        ..CreateTopicsResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}

fn wire_result(
    broker: &Broker,
    version: i16,
    name: String,
    created: Result<CreatedTopic, Refusal>,
) -> CreatableTopicResult<'static> {
    let created = match created {
        Ok(created) => created,
        Err((code, message)) => {
            broker.metrics.error(code);
            return CreatableTopicResult {
                name: name.into(),
                error_code: code.code(),
                error_message: message.map(Into::into),
                ..CreatableTopicResult::default()
            };
        }
    };
    let configs = (5 <= version).then(|| configs_of(broker, &created));
    CreatableTopicResult {
        name: name.into(),
        topic_id: created.id.uuid(),
        error_message: None,
        num_partitions: created.partitions,
        replication_factor: created.replication_factor,
        configs: Some(configs.unwrap_or_default()),
        ..CreatableTopicResult::default()
    }
}

fn configs_of(broker: &Broker, created: &CreatedTopic) -> Vec<CreatableTopicConfigs<'static>> {
    let view = broker.view.load();
    let entries = with_layers(broker, &view.image, |layers| {
        topic_entries(&created.configs, layers)
    });
    let wire = entries.into_iter().map(|entry| CreatableTopicConfigs {
        // What was asked for is shown as it was written.
        value: created
            .configs
            .get(&entry.name)
            .cloned()
            .or(entry.value)
            .map(Cow::Owned),
        name: entry.name.into(),
        read_only: entry.is_read_only,
        config_source: entry.source as i8,
        is_sensitive: entry.is_sensitive,
    });
    wire.collect()
}
