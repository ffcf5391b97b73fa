use super::topic_metadata::{TOPIC_OPERATIONS, partition_metadata};
use crate::request::{Handled, Request};
use ottla_metadata::{Topic, is_internal_topic};
use ottla_protocol::messages::describe_topic_partitions_request::DescribeTopicPartitionsRequest;
use ottla_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use ottla_types::{BrokerId, ErrorCode, validate_topic_name};
use std::borrow::Cow;
use std::collections::BTreeSet;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: DescribeTopicPartitionsRequest<'_> = request.decode()?;
    let image = &request.view.image;
    let (first_topic, first_partition) = match &message.cursor {
        Some(cursor) => match usize::try_from(cursor.partition_index) {
            Ok(partition) => (&*cursor.topic_name, partition),
            Err(_) => return refuse_cursor(&request, &message),
        },
        None => ("", 0),
    };
    let requested: BTreeSet<&str> = match message.topics.is_empty() {
        true => image
            .topics_by_name_from(first_topic)
            .map(|topic| &*topic.name)
            .collect(),
        false => message.topics.iter().map(|topic| &*topic.name).collect(),
    };
    let is_named = message.topics.is_empty() || requested.contains(first_topic);
    if message.cursor.is_some() && !is_named {
        return refuse_cursor(&request, &message);
    }
    let limit_max = request.broker.config.requests.described_partitions_max;
    let limit = usize::try_from(message.response_partition_limit).unwrap_or(0);
    let mut left = limit.clamp(1, limit_max.max(1));
    let mut topics = Vec::new();
    let mut next_cursor = None;
    for name in requested.range(first_topic..) {
        let first = match *name == first_topic {
            true => first_partition,
            false => 0,
        };
        if left == 0 {
            next_cursor = Some(cursor(name, first));
            break;
        }
        let Some(topic) = image.topic_by_name(name) else {
            let code = match validate_topic_name(name) {
                Ok(()) => ErrorCode::UnknownTopicOrPartition,
                Err(_) => ErrorCode::InvalidTopicException,
            };
            request.broker.metrics.error(code);
            topics.push(DescribeTopicPartitionsResponseTopic {
                topic_authorized_operations: TOPIC_OPERATIONS,
                ..refused(name, code)
            });
            continue;
        };
        let described = describe(&request, topic, first, left);
        left -= described.partitions.len();
        let end = first + described.partitions.len();
        topics.push(described);
        if end < topic.partitions.len() {
            next_cursor = Some(cursor(name, end));
            break;
        }
    }
    request.reply(&DescribeTopicPartitionsResponse {
        topics,
        next_cursor,
        ..DescribeTopicPartitionsResponse::default()
    })
}

fn cursor<'a>(name: &'a str, partition: usize) -> Cursor<'a> {
    Cursor {
        topic_name: Cow::Borrowed(name),
        partition_index: i32::try_from(partition).unwrap_or(i32::MAX),
    }
}

/// A cursor before the first partition, or in a topic that was not asked for: nothing of the request is answered.
fn refuse_cursor(request: &Request<'_>, message: &DescribeTopicPartitionsRequest<'_>) -> Handled {
    let code = ErrorCode::InvalidRequest;
    request.broker.metrics.error(code);
    let topics = message.topics.iter();
    request.reply(&DescribeTopicPartitionsResponse {
        topics: topics.map(|topic| refused(&topic.name, code)).collect(),
        ..DescribeTopicPartitionsResponse::default()
    })
}

fn refused(name: &str, code: ErrorCode) -> DescribeTopicPartitionsResponseTopic<'_> {
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        name: Some(Cow::Borrowed(name)),
        is_internal: is_internal_topic(name),
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn describe<'a>(
    request: &'a Request<'_>,
    topic: &'a Topic,
    first: usize,
    count_max: usize,
) -> DescribeTopicPartitionsResponseTopic<'a> {
    let listener = &request.connection.reached.listener;
    let ids = |brokers: &[BrokerId]| brokers.iter().map(|id| id.get()).collect::<Vec<i32>>();
    let partitions = topic.numbered().skip(first).take(count_max);
    let partitions = partitions.map(|(number, partition)| {
        let shown = partition_metadata(&request.view.image, partition, listener);
        DescribeTopicPartitionsResponsePartition {
            error_code: shown.error.code(),
            partition_index: number.get(),
            leader_id: shown.leader_id,
            leader_epoch: shown.leader_epoch,
            replica_nodes: shown.replicas,
            isr_nodes: shown.isr,
            eligible_leader_replicas: Some(ids(&partition.eligible_leader_replicas)),
            last_known_elr: Some(ids(&partition.last_known_elr)),
            offline_replicas: shown.offline,
        }
    });
    DescribeTopicPartitionsResponseTopic {
        name: Some(Cow::Borrowed(&topic.name)),
        topic_id: topic.id.uuid(),
        is_internal: topic.is_internal(),
        partitions: partitions.collect(),
        topic_authorized_operations: TOPIC_OPERATIONS,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}
