use crate::request::{Handled, Request};
use ottla_metadata::{Partition, Topic};
use ottla_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;
use ottla_protocol::messages::list_partition_reassignments_response::{
    ListPartitionReassignmentsResponse, OngoingPartitionReassignment, OngoingTopicReassignment,
};
use ottla_types::{BrokerId, PartitionId};
use std::borrow::Cow;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: ListPartitionReassignmentsRequest<'_> = request.decode()?;
    let image = &request.view.image;
    let topics: Vec<OngoingTopicReassignment<'_>> = match &message.topics {
        None => {
            let all = image.topics_by_name_from("");
            all.filter_map(|topic| ongoing(topic, |_| true)).collect()
        }
        Some(named) => {
            let found = named.iter().filter_map(|named| {
                let topic = image.topic_by_name(&named.name)?;
                ongoing(topic, |number| {
                    named.partition_indexes.contains(&number.get())
                })
            });
            found.collect()
        }
    };
    request.reply(&ListPartitionReassignmentsResponse {
        error_message: None,
        topics,
        ..ListPartitionReassignmentsResponse::default()
    })
}

fn ongoing(
    topic: &Topic,
    is_wanted: impl Fn(PartitionId) -> bool,
) -> Option<OngoingTopicReassignment<'_>> {
    let ids = |brokers: &[BrokerId]| brokers.iter().map(|id| id.get()).collect();
    let is_moving =
        |partition: &Partition| !partition.adding.is_empty() || !partition.removing.is_empty();
    let moving = topic
        .numbered()
        .filter(|(number, partition)| is_wanted(*number) && is_moving(partition));
    let partitions: Vec<_> = moving
        .map(|(number, partition)| OngoingPartitionReassignment {
            partition_index: number.get(),
            replicas: ids(&partition.replicas),
            adding_replicas: ids(&partition.adding),
            removing_replicas: ids(&partition.removing),
        })
        .collect();
    (!partitions.is_empty()).then(|| OngoingTopicReassignment {
        name: Cow::Borrowed(&topic.name),
        partitions,
    })
}
