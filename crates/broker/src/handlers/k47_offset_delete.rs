use super::group_texts::{code_of, mixed_up, only, refused, shared};
use crate::broker::Broker;
use crate::groups::Answered;
use crate::request::{Handled, ReplyTo, Request};
use crate::response::Outcome;
use ottla_coordinator::group::{DeleteOffsets, GroupCommand, GroupReply, TopicPartitions};
use ottla_protocol::messages::offset_delete_request::OffsetDeleteRequest;
use ottla_protocol::messages::offset_delete_response::{
    OffsetDeleteResponse, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use ottla_types::ErrorCode;

/// A topic of the request; only those that exist are for the coordinator.
struct Asked {
    name: String,
    exists: bool,
    partitions: Vec<i32>,
}

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: OffsetDeleteRequest<'_> = request.decode()?;
    let asked: Vec<Asked> = message
        .topics
        .iter()
        .map(|topic| {
            let partitions = topic.partitions.iter();
            Asked {
                name: topic.name.to_string(),
                exists: request.view.image.topic_by_name(&topic.name).is_some(),
                partitions: partitions
                    .map(|partition| partition.partition_index)
                    .collect(),
            }
        })
        .collect();
    let existing = asked.iter().filter(|topic| topic.exists);
    let topics = existing.map(|topic| TopicPartitions {
        name: shared(&topic.name),
        partitions: topic.partitions.clone(),
    });
    let command = DeleteOffsets {
        group: (&*message.group_id).into(),
        topics: topics.collect(),
    };
    let reply_to = request.reply_to();
    let finish = move |broker: &Broker, answers: Vec<Answered>| {
        finish(broker, reply_to, asked, only(answers))
    };
    request.ask_groups(vec![GroupCommand::DeleteOffsets(command)], Box::new(finish))
}

fn finish(broker: &Broker, reply_to: ReplyTo, asked: Vec<Asked>, answered: Answered) -> Handled {
    let results = match answered {
        Ok(GroupReply::DeleteOffsets(Ok(results))) => results,
        Ok(GroupReply::DeleteOffsets(Err(error))) => {
            return refuse(reply_to, code_of(broker, Some(error)));
        }
        Ok(other) => return refuse(reply_to, mixed_up(&other)),
        Err(refusal) => return refuse(reply_to, refused(broker, refusal)),
    };
    let mut results = results.into_iter();
    let topics = asked.into_iter().map(|topic| {
        let result = match topic.exists {
            true => results.next().expect("one for each topic that exists"),
            false => Vec::new(),
        };
        let partitions = topic.partitions.iter().enumerate().map(|(index, number)| {
            let code = match topic.exists {
                true => code_of(broker, result[index]),
                false => ErrorCode::UnknownTopicOrPartition,
            };
            OffsetDeleteResponsePartition {
                partition_index: *number,
                error_code: code.code(),
            }
        });
        OffsetDeleteResponseTopic {
            partitions: partitions.collect(),
            name: topic.name.into(),
        }
    });
    let response = OffsetDeleteResponse {
        topics: topics.collect(),
        ..OffsetDeleteResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}

fn refuse(reply_to: ReplyTo, code: ErrorCode) -> Handled {
    let response = OffsetDeleteResponse {
        error_code: code.code(),
        ..OffsetDeleteResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}
