use super::topic_metadata::{
    CLUSTER_OPERATIONS, OPERATIONS_UNKNOWN, TOPIC_OPERATIONS, partition_metadata,
};
use crate::controller_desk::Waiting;
use crate::request::{Handled, Request};
use ottla_metadata::{Command, Mode, NewTopic, Topic, is_internal_topic};
use ottla_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use ottla_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_types::{ErrorCode, TopicId, Uuid, validate_topic_name};
use std::borrow::Cow;
use std::collections::BTreeSet;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: MetadataRequest<'_> = request.decode()?;
    let version = request.version();
    // Version 0 has no null: there an empty list means all.
    let named = match &message.topics {
        Some(topics) if version == 0 && topics.is_empty() => None,
        named => named.as_deref(),
    };
    if let Some(named) = named.filter(|named| version < 12 && named.iter().any(is_unusual)) {
        return refuse(&request, named);
    }
    let operations = match message.include_topic_authorized_operations {
        true => TOPIC_OPERATIONS,
        false => OPERATIONS_UNKNOWN,
    };
    let mut missing = Vec::new();
    let mut topics: Vec<MetadataResponseTopic<'_>> = Vec::new();
    match named {
        None => {
            let all = request.view.image.topics_by_name_from("");
            topics.extend(all.map(|topic| describe(&request, topic, operations)));
        }
        Some(named) => {
            let mut seen = BTreeSet::new();
            for topic in named {
                let key = (topic.topic_id, topic.name.as_deref().unwrap_or(""));
                if seen.insert(key) {
                    topics.push(describe_named(&request, topic, operations, &mut missing));
                }
            }
        }
    }
    let may_create = request.broker.config.topics.auto_create
        && (version < 4 || message.allow_auto_topic_creation);
    if may_create {
        create_missing(&request, missing);
    }
    let response = MetadataResponse {
        brokers: brokers(&request),
        cluster_id: request.view.image.cluster_id().map(Cow::Borrowed),
        controller_id: controller_id(&request),
        topics,
        cluster_authorized_operations: match message.include_cluster_authorized_operations {
            true if (8..=10).contains(&version) => CLUSTER_OPERATIONS,
            _ => OPERATIONS_UNKNOWN,
        },
        ..MetadataResponse::default()
    };
    request.reply(&response)
}

/// Topics without a name, or by their ids, which nobody can ask for before version 12.
fn is_unusual(topic: &MetadataRequestTopic<'_>) -> bool {
    topic.name.is_none() || topic.topic_id != Uuid::ZERO
}

fn refuse(request: &Request<'_>, named: &[MetadataRequestTopic<'_>]) -> Handled {
    let code = ErrorCode::InvalidRequest;
    request.broker.metrics.error(code);
    let topics = named.iter().map(|topic| MetadataResponseTopic {
        error_code: code.code(),
        name: Some(topic.name.as_deref().unwrap_or("").into()),
        topic_id: topic.topic_id,
        topic_authorized_operations: OPERATIONS_UNKNOWN,
        ..MetadataResponseTopic::default()
    });
    request.reply(&MetadataResponse {
        controller_id: -1,
        cluster_authorized_operations: OPERATIONS_UNKNOWN,
        topics: topics.collect(),
        ..MetadataResponse::default()
    })
}

/// Any live broker: each passes requests for the controller on.
pub(super) fn controller_id(request: &Request<'_>) -> i32 {
    let node_id = request.broker.config.node_id;
    match request.view.image.broker(node_id) {
        Some(_) => node_id.get(),
        None => -1,
    }
}

fn brokers<'a>(request: &'a Request<'_>) -> Vec<MetadataResponseBroker<'a>> {
    let reached = &request.connection.reached;
    let live = request
        .view
        .image
        .brokers()
        .filter(|broker| broker.is_active());
    let described = live.filter_map(|broker| {
        let endpoint = broker.endpoint(&reached.listener)?;
        let is_me = broker.id == request.broker.config.node_id;
        let (host, port) = reached.address(&request.broker.config, endpoint, is_me);
        Some(MetadataResponseBroker {
            node_id: broker.id.get(),
            host,
            port,
            rack: broker.rack.as_deref().map(Cow::Borrowed),
        })
    });
    described.collect()
}

fn describe<'a>(
    request: &'a Request<'_>,
    topic: &'a Topic,
    operations: i32,
) -> MetadataResponseTopic<'a> {
    let version = request.version();
    let listener = &request.connection.reached.listener;
    let partitions = topic.numbered().map(|(number, partition)| {
        let shown = partition_metadata(&request.view.image, partition, listener);
        let error = match shown.error {
            // Clients before version 6 do not know the error.
            ErrorCode::ListenerNotFound if version < 6 => ErrorCode::LeaderNotAvailable,
            error => error,
        };
        MetadataResponsePartition {
            error_code: error.code(),
            partition_index: number.get(),
            leader_id: shown.leader_id,
            leader_epoch: shown.leader_epoch,
            replica_nodes: shown.replicas,
            isr_nodes: shown.isr,
            offline_replicas: shown.offline,
        }
    });
    MetadataResponseTopic {
        error_code: ErrorCode::None.code(),
        name: Some(Cow::Borrowed(&topic.name)),
        topic_id: topic.id.uuid(),
        is_internal: topic.is_internal(),
        partitions: partitions.collect(),
        topic_authorized_operations: operations,
    }
}

fn describe_named<'a>(
    request: &'a Request<'_>,
    named: &'a MetadataRequestTopic<'_>,
    operations: i32,
    missing: &mut Vec<&'a str>,
) -> MetadataResponseTopic<'a> {
    let image = &request.view.image;
    let is_by_id = named.topic_id != Uuid::ZERO && 12 <= request.version();
    let name = named.name.as_deref().filter(|_| !is_by_id);
    let found = match name {
        Some(name) => image.topic_by_name(name),
        None => image.topic(TopicId::new(named.topic_id)),
    };
    if let Some(topic) = found {
        return describe(request, topic, operations);
    }
    let code = match name {
        None => ErrorCode::UnknownTopicId,
        Some(name) if validate_topic_name(name).is_err() => ErrorCode::InvalidTopicException,
        Some(name) => {
            missing.push(name);
            ErrorCode::UnknownTopicOrPartition
        }
    };
    request.broker.metrics.error(code);
    MetadataResponseTopic {
        error_code: code.code(),
        // Before version 12 there is no null.
        name: match (name, request.version()) {
            (Some(name), _) => Some(Cow::Borrowed(name)),
            (None, version) if version < 12 => Some(Cow::Borrowed("")),
            (None, _) => None,
        },
        topic_id: named.topic_id,
        is_internal: name.is_some_and(is_internal_topic),
        // A name may be asked about before there is a topic of that name.
        topic_authorized_operations: name.map_or(OPERATIONS_UNKNOWN, |_| operations),
        ..MetadataResponseTopic::default()
    }
}

/// Has missing topics created on the side: the client asks again, and finds them.
fn create_missing(request: &Request<'_>, missing: Vec<&str>) {
    let topics: Vec<NewTopic> = missing
        .into_iter()
        .filter(|name| !is_internal_topic(name))
        .map(|name| NewTopic {
            name: name.to_owned(),
            partitions: -1,
            replication_factor: -1,
            assignments: Vec::new(),
            configs: Vec::new(),
        })
        .collect();
    if topics.is_empty() {
        return;
    }
    let mode = Mode::Commit;
    let command = Command::CreateTopics { topics, mode };
    request.broker.submit_own(&command, Waiting::Nobody);
}
