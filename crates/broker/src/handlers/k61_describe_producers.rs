use crate::request::{Handled, Request};
use ottla_protocol::messages::describe_producers_request::DescribeProducersRequest;
use ottla_protocol::messages::describe_producers_response::{
    DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};
use ottla_storage::producer_state::ProducerEntry;
use ottla_types::{ErrorCode, validate_topic_name};
use std::borrow::Cow;

/// Kafka's "no transaction" and "no coordinator".
const NONE: i32 = -1;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: DescribeProducersRequest<'_> = request.decode()?;
    let topics = message.topics.iter().map(|topic| {
        let partitions = topic
            .partition_indexes
            .iter()
            .map(|index| describe(&request, &topic.name, *index));
        TopicResponse {
            name: Cow::Borrowed(&*topic.name),
            partitions: partitions.collect(),
        }
    });
    let topics = topics.collect();
    request.reply(&DescribeProducersResponse {
        topics,
        ..DescribeProducersResponse::default()
    })
}

fn describe(
    request: &Request<'_>,
    topic: &str,
    partition_index: i32,
) -> PartitionResponse<'static> {
    let mut response = PartitionResponse {
        partition_index,
        ..PartitionResponse::default()
    };
    let mut refuse = |code: ErrorCode, message: Option<String>| {
        request.broker.metrics.error(code);
        response.error_code = code.code();
        response.error_message = message.map(Into::into);
    };
    if let Err(error) = validate_topic_name(topic) {
        refuse(ErrorCode::InvalidTopicException, Some(error.to_string()));
        return response;
    }
    if request.view.image.topic_by_name(topic).is_none() {
        let message = "This server does not host this topic-partition.".to_owned();
        refuse(ErrorCode::UnknownTopicOrPartition, Some(message));
        return response;
    }
    match request.view.by_name(topic, partition_index) {
        Ok(local) => {
            let producers = local.at_home(|home| home.log_dir.producers(home.slot));
            response.active_producers = producers.iter().filter_map(state).collect();
        }
        Err(code) => refuse(code, None),
    }
    response
}

/// `None` for a producer of which no batch is left.
fn state(producer: &ProducerEntry) -> Option<ProducerState> {
    let last = producer.last()?;
    Some(ProducerState {
        producer_id: producer.id().get(),
        producer_epoch: i32::from(producer.epoch().get()),
        last_sequence: last.last_sequence.get(),
        last_timestamp: producer.last_used().as_millis(),
        coordinator_epoch: NONE,
        current_txn_start_offset: producer
            .transaction_start()
            .map_or(i64::from(NONE), |start| start.get()),
    })
}
