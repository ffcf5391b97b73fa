use crate::broker::Broker;
use crate::controller_desk::{ControllerResult, Patience};
use crate::request::{Handled, ReplyTo, Request};
use crate::response::{CloseReason, Outcome};
use crate::waiting::{FailedReply, ParkedReply, PromisedAnswer};
use ottla_metadata::{Command, ControllerError, Reply, TopicSelector};
use ottla_protocol::messages::delete_topics_request::DeleteTopicsRequest;
use ottla_protocol::messages::delete_topics_response::{
    DeletableTopicResult, DeleteTopicsResponse,
};
use ottla_types::{ErrorCode, TopicId, Uuid};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// A topic of the request as it is answered.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    name: Option<String>,
    id: Uuid,
}

impl Named {
    /// What the controller is asked for; a topic it must not even see keeps its place in the answer.
    fn selector(&self) -> Result<TopicSelector, &'static str> {
        match &self.name {
            Some(_) if self.id != Uuid::ZERO => {
                Err("You may not specify both topic name and topic id.")
            }
            None if self.id == Uuid::ZERO => Err("Neither topic name nor id were specified."),
            Some(name) => Ok(TopicSelector::Name(name.clone())),
            None => Ok(TopicSelector::Id(TopicId::new(self.id))),
        }
    }
}

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: DeleteTopicsRequest<'_> = request.decode()?;
    let reply_to = request.reply_to();
    let patience = request.patience(message.timeout_ms);
    let named = read_topics(&message);
    if !request.broker.config.topics.delete_enable {
        // Before version 3 clients do not know the error.
        let code = match request.version() < 3 {
            true => ErrorCode::InvalidRequest,
            false => ErrorCode::TopicDeletionDisabled,
        };
        let responses = named
            .into_iter()
            .map(|topic| refused(&topic, code, Some("Topic deletion is disabled.".to_owned())));
        let responses = responses.collect();
        return encode(reply_to, responses)
            .map(|frame| Outcome::Reply(crate::response::Response::from_bytes(frame)));
    }
    let topics = named.iter().filter_map(|topic| topic.selector().ok());
    let topics = topics.collect();
    let answer = move |broker: &Broker, result: ControllerResult| {
        answer(broker, reply_to, named, patience, result)
    };
    let command = Command::DeleteTopics { topics };
    Ok(request.broker.submit(
        request.connection.core,
        &command,
        patience,
        Box::new(answer),
    ))
}

fn read_topics(message: &DeleteTopicsRequest<'_>) -> Vec<Named> {
    let by_name = message.topic_names.iter().map(|name| Named {
        name: Some(name.to_string()),
        id: Uuid::ZERO,
    });
    let selected = message.topics.iter().map(|topic| Named {
        name: topic.name.as_ref().map(ToString::to_string),
        id: topic.topic_id,
    });
    by_name.chain(selected).collect()
}

fn refused(
    topic: &Named,
    code: ErrorCode,
    message: Option<String>,
) -> DeletableTopicResult<'static> {
    DeletableTopicResult {
        name: topic.name.clone().map(Cow::Owned),
        topic_id: topic.id,
        error_code: code.code(),
        error_message: message.map(Into::into),
    }
}

fn answer(
    broker: &Broker,
    reply_to: ReplyTo,
    named: Vec<Named>,
    patience: Patience,
    result: ControllerResult,
) -> PromisedAnswer {
    let mut decided = match result {
        Ok(Reply::TopicsDeleted(results)) => Ok(results.into_iter()),
        Ok(_) => Err(ControllerError::NotController),
        Err(error) => Err(error),
    };
    let mut places = Vec::new();
    let mut responses = Vec::with_capacity(named.len());
    // What is named twice is answered once, as by Kafka.
    let mut answered = BTreeSet::new();
    for topic in named {
        if let Err(message) = topic.selector() {
            broker.metrics.error(ErrorCode::InvalidRequest);
            let message = Some(message.to_owned());
            responses.push(refused(&topic, ErrorCode::InvalidRequest, message));
            continue;
        }
        let deleted = match &mut decided {
            Ok(results) => results
                .next()
                .unwrap_or(Err(ControllerError::NotController)),
            Err(error) => Err(error.clone()),
        };
        match deleted {
            Ok(deleted) => {
                // The removal must be in the journals as well.
                places.extend(broker.take_dropped(deleted.id));
                responses.push(DeletableTopicResult {
                    name: Some(deleted.name.into()),
                    topic_id: deleted.id.uuid(),
                    ..DeletableTopicResult::default()
                });
            }
            Err(error) => {
                let topic = match &error {
                    // Both ways to name it are one topic.
                    ControllerError::TopicNamedByNameAndId { name, id } => Named {
                        name: Some(name.clone()),
                        id: id.uuid(),
                    },
                    _ => topic,
                };
                let response = refused(&topic, error.code(), error.message());
                if answered.insert(topic) {
                    broker.metrics.error(error.code());
                    responses.push(response);
                }
            }
        }
    }
    match encode(reply_to, responses) {
        Ok(frame) => PromisedAnswer::After(ParkedReply {
            frame,
            // The controller has deleted them for good; a restart drops what a journal still has.
            failure: FailedReply::Same,
            places,
            // The topics are gone for good by now: out of time, the client hears just that.
            deadline: match patience {
                Patience::Until(deadline) => Some(deadline),
                Patience::Forever | Patience::NoTime => None,
            },
        }),
        Err(reason) => PromisedAnswer::Done(Outcome::Close(reason)),
    }
}

fn encode(
    reply_to: ReplyTo,
    responses: Vec<DeletableTopicResult<'_>>,
) -> Result<Vec<u8>, CloseReason> {
    reply_to.frame(&DeleteTopicsResponse {
        responses,
        ..DeleteTopicsResponse::default()
    })
}
