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

/// A topic of the request.
struct Asked {
    name: String,
    partitions: Vec<AskedPartition>,
}

/// Only those that exist are for the coordinator.
struct AskedPartition {
    number: i32,
    exists: bool,
}

impl Asked {
    fn existing(&self) -> impl Iterator<Item = i32> {
        let existing = self.partitions.iter().filter(|partition| partition.exists);
        existing.map(|partition| partition.number)
    }
}

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: OffsetDeleteRequest<'_> = request.decode()?;
    if message.group_id.is_empty() {
        // Unlike a commit: what was committed under no name stays until it expires.
        return refuse(request.reply_to(), ErrorCode::InvalidGroupId);
    }
    let asked = message.topics.iter().map(|topic| {
        let known = request.view.image.topic_by_name(&topic.name);
        let count = known.map_or(0, |topic| topic.partitions.len() as i32);
        let partitions = topic.partitions.iter();
        Asked {
            name: topic.name.to_string(),
            partitions: partitions
                .map(|partition| AskedPartition {
                    number: partition.partition_index,
                    exists: (0..count).contains(&partition.partition_index),
                })
                .collect(),
        }
    });
    let asked: Vec<Asked> = asked.collect();
    let topics = asked.iter().map(|topic| TopicPartitions {
        name: shared(&topic.name),
        partitions: topic.existing().collect(),
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
    let topics = asked.into_iter().zip(results).map(|(topic, results)| {
        let mut results = results.into_iter();
        let partitions = topic.partitions.iter().map(|partition| {
            let code = match partition.exists {
                true => code_of(broker, results.next().expect("one for each that exists")),
                false => ErrorCode::UnknownTopicOrPartition,
            };
            OffsetDeleteResponsePartition {
                partition_index: partition.number,
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
