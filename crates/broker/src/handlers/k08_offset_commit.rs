use super::group_texts::{code_of, instance, mixed_up, only, refused, shared};
use crate::broker::Broker;
use crate::groups::Answered;
use crate::request::{Handled, ReplyTo, Request};
use crate::response::Outcome;
use ottla_coordinator::group::{
    CommitOffsets, CommitPartition, CommitTopic, GroupCommand, GroupReply, MemberIdentity,
};
use ottla_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ottla_protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use ottla_types::{ErrorCode, PartitionId, TopicId, Uuid};
use std::time::Duration;

/// From here on topics are named by id.
const VERSION_BY_ID: i16 = 10;
/// From here on clients know the error for a group that does not exist (KIP-848).
const VERSION_OF_UNKNOWN_GROUP: i16 = 9;

/// A topic of the request: its answer as far as it is known, and what of it is to be committed.
struct Asked {
    name: String,
    id: Uuid,
    /// Each partition with its code; the coordinator's are filled in.
    partitions: Vec<(i32, Option<ErrorCode>)>,
}

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: OffsetCommitRequest<'_> = request.decode()?;
    let mut topics = Vec::new();
    let mut asked = Vec::with_capacity(message.topics.len());
    for topic in &message.topics {
        let (known, commits) = check_topic(&request, topic);
        asked.push(known);
        topics.extend(commits);
    }
    let reply_to = request.reply_to();
    if topics.is_empty() {
        return finish(reply_to, asked, Ok(Vec::new()));
    }
    let command = CommitOffsets {
        identity: MemberIdentity {
            group: (&*message.group_id).into(),
            member: (&*message.member_id).into(),
            instance: instance(message.group_instance_id.as_deref()),
            generation: message.generation_id_or_member_epoch,
        },
        retention: u64::try_from(message.retention_time_ms)
            .ok()
            .map(Duration::from_millis),
        understands_unknown_group: VERSION_OF_UNKNOWN_GROUP <= request.version(),
        topics,
    };
    let finish = move |broker: &Broker, answers: Vec<Answered>| {
        let codes = match only(answers) {
            Ok(GroupReply::CommitOffsets(Ok(results))) => {
                let results = results.into_iter().flatten();
                Ok(results.map(|error| code_of(broker, error)).collect())
            }
            Ok(GroupReply::CommitOffsets(Err(error))) => Err(code_of(broker, Some(error))),
            Ok(other) => Err(mixed_up(&other)),
            Err(refusal) => Err(refused(broker, refusal)),
        };
        finish(reply_to, asked, codes)
    };
    request.ask_groups(vec![GroupCommand::CommitOffsets(command)], Box::new(finish))
}

/// What of a topic exists is for the coordinator; the rest is refused here.
fn check_topic(
    request: &Request<'_>,
    topic: &OffsetCommitRequestTopic<'_>,
) -> (Asked, Option<CommitTopic>) {
    let image = &request.view.image;
    let by_id = VERSION_BY_ID <= request.version();
    let found = match by_id {
        true => image.topic(TopicId::new(topic.topic_id)),
        false => image.topic_by_name(&topic.name),
    };
    let missing = match by_id {
        true => ErrorCode::UnknownTopicId,
        false => ErrorCode::UnknownTopicOrPartition,
    };
    let mut asked = Asked {
        name: topic.name.to_string(),
        id: topic.topic_id,
        partitions: Vec::with_capacity(topic.partitions.len()),
    };
    let mut commits = Vec::new();
    for partition in &topic.partitions {
        let number = partition.partition_index;
        let exists = found.is_some_and(|topic| {
            let number = PartitionId::from_wire(number);
            number.is_some_and(|number| topic.partition(number).is_some())
        });
        let code = match (found.is_some(), exists) {
            (false, _) => Some(missing),
            (true, false) => Some(ErrorCode::UnknownTopicOrPartition),
            (true, true) => {
                commits.push(commit_partition(partition));
                None
            }
        };
        if let Some(code) = code {
            request.broker.metrics.error(code);
        }
        asked.partitions.push((number, code));
    }
    let commits = found
        .filter(|_| !commits.is_empty())
        .map(|topic| CommitTopic {
            name: topic.name.clone(),
            id: topic.id,
            partitions: commits,
        });
    (asked, commits)
}

fn commit_partition(partition: &OffsetCommitRequestPartition<'_>) -> CommitPartition {
    CommitPartition {
        partition: partition.partition_index,
        offset: partition.committed_offset,
        leader_epoch: Some(partition.committed_leader_epoch).filter(|epoch| *epoch != -1),
        metadata: shared(partition.committed_metadata.as_deref().unwrap_or("")),
    }
}

/// `codes` are those of the partitions that the coordinator was asked about, in order, or one for all.
fn finish(
    reply_to: ReplyTo,
    asked: Vec<Asked>,
    codes: Result<Vec<ErrorCode>, ErrorCode>,
) -> Handled {
    let mut each = codes.as_ref().map_or(&[][..], |codes| codes).iter();
    let all = codes.as_ref().err().copied();
    let mut next = || match all {
        Some(code) => code,
        None => *each.next().expect("one for each that was asked about"),
    };
    let topics = asked.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|(number, code)| {
            let code = code.unwrap_or_else(&mut next);
            OffsetCommitResponsePartition {
                partition_index: number,
                error_code: code.code(),
            }
        });
        OffsetCommitResponseTopic {
            partitions: partitions.collect(),
            name: topic.name.into(),
            topic_id: topic.id,
        }
    });
    let response = OffsetCommitResponse {
        topics: topics.collect(),
        ..OffsetCommitResponse::default()
    };
    reply_to.encode(&response).map(Outcome::Reply)
}
