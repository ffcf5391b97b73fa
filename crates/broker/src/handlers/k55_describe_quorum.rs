use crate::request::{Handled, Request};
use ottla_metadata::quorum::{QuorumStatus, Voter};
use ottla_protocol::messages::describe_quorum_request::DescribeQuorumRequest;
use ottla_protocol::messages::describe_quorum_response::{
    DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};
use ottla_types::{ErrorCode, Uuid};
use std::borrow::Cow;

/// The only partition that has a quorum.
const METADATA_TOPIC: &str = "__cluster_metadata";
const METADATA_PARTITION: i32 = 0;
/// Kafka's texts for both ways it can go.
const UNKNOWN_PARTITION: &str = "This server does not host this topic-partition.";

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: DescribeQuorumRequest<'_> = request.decode()?;
    let status = request.broker.desk.lock().controller.quorum_status();
    let mut is_asked = false;
    let topics = message.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let index = partition.partition_index;
            if topic.topic_name != METADATA_TOPIC || index != METADATA_PARTITION {
                request
                    .broker
                    .metrics
                    .error(ErrorCode::UnknownTopicOrPartition);
                return unknown(index);
            }
            is_asked = true;
            described(&request, &status)
        });
        TopicData {
            topic_name: Cow::Borrowed(&*topic.topic_name),
            partitions: partitions.collect(),
        }
    });
    let topics = topics.collect();
    request.reply(&DescribeQuorumResponse {
        error_message: Some("".into()),
        topics,
        nodes: match is_asked && 2 <= request.version() {
            true => nodes(&request, &status),
            false => Vec::new(),
        },
        ..DescribeQuorumResponse::default()
    })
}

fn unknown(partition_index: i32) -> PartitionData<'static> {
    PartitionData {
        partition_index,
        error_code: ErrorCode::UnknownTopicOrPartition.code(),
        error_message: Some(UNKNOWN_PARTITION.into()),
        ..PartitionData::default()
    }
}

fn described(request: &Request<'_>, status: &QuorumStatus) -> PartitionData<'static> {
    let number = |index: u64| i64::try_from(index).unwrap_or(i64::MAX);
    let now = request.now.wall.as_millis();
    let me = request.broker.config.node_id;
    let state = |voter: &Voter| {
        let is_known = voter.node == me;
        ReplicaState {
            replica_id: voter.node.get(),
            replica_directory_id: match request.version() {
                0..=1 => Uuid::ZERO,
                _ => voter.directory.uuid(),
            },
            // Only its own log is known here; ends are exclusive.
            log_end_offset: if is_known {
                number(status.last_index.saturating_add(1))
            } else {
                -1
            },
            last_fetch_timestamp: if is_known { now } else { -1 },
            last_caught_up_timestamp: if is_known { now } else { -1 },
        }
    };
    PartitionData {
        partition_index: METADATA_PARTITION,
        error_message: Some("".into()),
        leader_id: status.leader.map_or(-1, |leader| leader.get()),
        leader_epoch: i32::try_from(status.term).unwrap_or(i32::MAX),
        high_watermark: number(status.applied_index.saturating_add(1)),
        current_voters: status.voters.iter().map(state).collect(),
        ..PartitionData::default()
    }
}

/// Where the voters are reached: controllers and brokers are the same processes here.
fn nodes<'a>(request: &'a Request<'_>, status: &QuorumStatus) -> Vec<Node<'a>> {
    let reached = &request.connection.reached;
    let config = &request.broker.config;
    let registered = status.voters.iter().filter_map(|voter| {
        let registration = request.view.image.broker(voter.node)?;
        let listeners = registration.endpoints.iter().map(|endpoint| {
            let is_me = voter.node == config.node_id;
            let (host, port) = reached.address(config, endpoint, is_me);
            Listener {
                name: Cow::Borrowed(&*endpoint.listener),
                host,
                port: u16::try_from(port).unwrap_or(0),
            }
        });
        Some(Node {
            node_id: voter.node.get(),
            listeners: listeners.collect(),
        })
    });
    registered.collect()
}
