use super::group_texts::{mixed_up, refused, shared};
use crate::broker::Broker;
use crate::groups::Answered;
use crate::request::{Handled, ReplyTo, Request};
use crate::response::Outcome;
use crate::view::View;
use ottla_coordinator::group::{
    CommittedOffset, FetchOffsets, FetchedTopic, GroupCommand, GroupReply, TopicPartitions,
};
use ottla_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use ottla_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use ottla_types::{ErrorCode, TopicId, Uuid};
use std::borrow::Cow;
use std::sync::Arc;

/// From here on several groups are asked about at once (KIP-709).
const VERSION_OF_GROUPS: i16 = 8;
/// From here on topics are named by id.
const VERSION_BY_ID: i16 = 10;
/// Before this version the answer has no code of its own: it stands with each partition.
const VERSION_WITH_CODE: i16 = 2;

/// A group of the request.
struct AskedGroup {
    id: String,
    /// In the order of the request; `None`: all.
    topics: Option<Vec<AskedTopic>>,
}

/// A topic of the request.
struct AskedTopic {
    name: Option<Arc<str>>,
    id: Uuid,
    partitions: Vec<i32>,
}

/// A group as it is answered.
struct AnsweredGroup {
    id: String,
    code: ErrorCode,
    topics: Vec<AnsweredTopic>,
}

/// A topic as it is answered.
struct AnsweredTopic {
    name: Arc<str>,
    id: Uuid,
    code: ErrorCode,
    partitions: Vec<(i32, Option<CommittedOffset>)>,
}

// There are no transactions yet, so every offset is stable and `require_stable` asks for nothing.
pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: OffsetFetchRequest<'_> = request.decode()?;
    let asked: Vec<AskedGroup> = match request.version() < VERSION_OF_GROUPS {
        true => vec![read_only_group(&message)],
        false => {
            let groups = message.groups.iter();
            groups.map(|group| read_group(&request, group)).collect()
        }
    };
    let commands = asked.iter().map(|group| {
        let topics = group.topics.as_ref().map(|topics| {
            let known = topics.iter().filter_map(|topic| {
                Some(TopicPartitions {
                    name: topic.name.clone()?,
                    partitions: topic.partitions.clone(),
                })
            });
            known.collect()
        });
        GroupCommand::FetchOffsets(FetchOffsets {
            group: group.id.as_str().into(),
            topics,
        })
    });
    let commands = commands.collect();
    let reply_to = request.reply_to();
    let view = Arc::clone(&request.view);
    let finish = move |broker: &Broker, answers: Vec<Answered>| {
        let groups = asked.into_iter().zip(answers);
        let version = reply_to.version;
        let groups =
            groups.map(|(asked, answered)| answer_group(broker, &view, version, asked, answered));
        let groups: Vec<AnsweredGroup> = groups.collect();
        match version < VERSION_OF_GROUPS {
            true => finish_one(reply_to, &groups[0]),
            false => finish_many(reply_to, &groups),
        }
    };
    request.ask_groups(commands, Box::new(finish))
}

fn read_only_group(message: &OffsetFetchRequest<'_>) -> AskedGroup {
    let topics = message.topics.as_ref().map(|topics| {
        let topics = topics.iter().map(|topic| AskedTopic {
            name: Some(shared(&topic.name)),
            id: Uuid::ZERO,
            partitions: topic.partition_indexes.clone(),
        });
        topics.collect()
    });
    AskedGroup {
        id: message.group_id.to_string(),
        topics,
    }
}

fn read_group(request: &Request<'_>, group: &OffsetFetchRequestGroup<'_>) -> AskedGroup {
    let read = |topic: &OffsetFetchRequestTopics<'_>| AskedTopic {
        name: match request.version() < VERSION_BY_ID {
            true => Some(shared(&topic.name)),
            false => {
                let found = request.view.image.topic(TopicId::new(topic.topic_id));
                found.map(|topic| topic.name.clone())
            }
        },
        id: topic.topic_id,
        partitions: topic.partition_indexes.clone(),
    };
    let topics = group.topics.as_ref();
    AskedGroup {
        id: group.group_id.to_string(),
        topics: topics.map(|topics| topics.iter().map(read).collect()),
    }
}

fn answer_group(
    broker: &Broker,
    view: &View,
    version: i16,
    asked: AskedGroup,
    answered: Answered,
) -> AnsweredGroup {
    let (code, fetched) = match answered {
        Ok(GroupReply::FetchOffsets(topics)) => (ErrorCode::None, topics),
        Ok(other) => (mixed_up(&other), Vec::new()),
        Err(refusal) => (refused(broker, refusal), Vec::new()),
    };
    let topics = match (asked.topics, code) {
        (Some(asked), code) if code != ErrorCode::None && version < VERSION_WITH_CODE => {
            refused_topics(asked, code)
        }
        (_, code) if code != ErrorCode::None => Vec::new(),
        (None, _) => all_topics(view, fetched),
        (Some(asked), _) => named_topics(view, asked, fetched),
    };
    AnsweredGroup {
        id: asked.id,
        code,
        topics,
    }
}

fn refused_topics(asked: Vec<AskedTopic>, code: ErrorCode) -> Vec<AnsweredTopic> {
    let topics = asked.into_iter().map(|topic| AnsweredTopic {
        name: topic.name.unwrap_or_else(|| shared("")),
        id: topic.id,
        code,
        partitions: topic
            .partitions
            .into_iter()
            .map(|partition| (partition, None))
            .collect(),
    });
    topics.collect()
}

/// Every offset there is, without those of topics that are gone.
fn all_topics(view: &View, fetched: Vec<FetchedTopic>) -> Vec<AnsweredTopic> {
    let topics = fetched.into_iter().filter_map(|topic| {
        let current = view.image.topic_id(&topic.name);
        let partitions = topic.partitions.into_iter();
        let partitions: Vec<_> = partitions
            .filter(|(_, offset)| offset.as_ref().is_some_and(|offset| is_of(offset, current)))
            .collect();
        (!partitions.is_empty()).then(|| AnsweredTopic {
            name: topic.name,
            id: current.map_or(Uuid::ZERO, TopicId::uuid),
            code: ErrorCode::None,
            partitions,
        })
    });
    topics.collect()
}

fn named_topics(
    view: &View,
    asked: Vec<AskedTopic>,
    fetched: Vec<FetchedTopic>,
) -> Vec<AnsweredTopic> {
    let mut fetched = fetched.into_iter();
    let topics = asked.into_iter().map(|topic| {
        let Some(name) = topic.name else {
            // An id that nobody has (any more).
            let partitions = topic.partitions.into_iter();
            return AnsweredTopic {
                name: shared(""),
                id: topic.id,
                code: ErrorCode::UnknownTopicId,
                partitions: partitions.map(|partition| (partition, None)).collect(),
            };
        };
        let current = view.image.topic_id(&name);
        let found = fetched
            .next()
            .expect("every topic with a name was asked for");
        let partitions = found.partitions.into_iter().map(|(partition, offset)| {
            let offset = offset.filter(|offset| is_of(offset, current));
            (partition, offset)
        });
        AnsweredTopic {
            name,
            id: topic.id,
            code: ErrorCode::None,
            partitions: partitions.collect(),
        }
    });
    topics.collect()
}

/// An offset of a topic that was deleted is not one of the topic that has its name now.
fn is_of(offset: &CommittedOffset, current: Option<TopicId>) -> bool {
    offset.topic_id.is_none_or(|id| Some(id) == current)
}

/// Offset, epoch and metadata on the wire.
fn fields(offset: Option<&CommittedOffset>) -> (i64, i32, Cow<'_, str>) {
    match offset {
        // Kafka's "none": metadata is empty, not null.
        None => (-1, -1, Cow::Borrowed("")),
        Some(offset) => (
            offset.offset,
            offset.leader_epoch.unwrap_or(-1),
            Cow::Borrowed(&offset.metadata),
        ),
    }
}

fn finish_many(reply_to: ReplyTo, groups: &[AnsweredGroup]) -> Handled {
    let groups = groups.iter().map(|group| OffsetFetchResponseGroup {
        group_id: Cow::Borrowed(&group.id),
        topics: group.topics.iter().map(topic_of_many).collect(),
        error_code: group.code.code(),
    });
    let response = OffsetFetchResponse {
        groups: groups.collect(),
        ..OffsetFetchResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}

fn topic_of_many(topic: &AnsweredTopic) -> OffsetFetchResponseTopics<'_> {
    let partitions = topic.partitions.iter().map(|(number, offset)| {
        let (committed_offset, committed_leader_epoch, metadata) = fields(offset.as_ref());
        OffsetFetchResponsePartitions {
            partition_index: *number,
            committed_offset,
            committed_leader_epoch,
            metadata: Some(metadata),
            error_code: topic.code.code(),
        }
    });
    OffsetFetchResponseTopics {
        name: Cow::Borrowed(&topic.name),
        topic_id: topic.id,
        partitions: partitions.collect(),
    }
}

fn finish_one(reply_to: ReplyTo, group: &AnsweredGroup) -> Handled {
    let topics = group.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|(number, offset)| {
            let (committed_offset, committed_leader_epoch, metadata) = fields(offset.as_ref());
            OffsetFetchResponsePartition {
                partition_index: *number,
                committed_offset,
                committed_leader_epoch,
                metadata: Some(metadata),
                error_code: topic.code.code(),
            }
        });
        OffsetFetchResponseTopic {
            name: Cow::Borrowed(&topic.name),
            partitions: partitions.collect(),
        }
    });
    let response = OffsetFetchResponse {
        topics: topics.collect(),
        error_code: group.code.code(),
        ..OffsetFetchResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}
