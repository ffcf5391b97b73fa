use crate::request::{Handled, Request};
use ottla_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition,
};
use ottla_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use ottla_types::{ErrorCode, LeaderEpoch, Offset};
use std::borrow::Cow;

pub(crate) fn handle(request: Request<'_>) -> Handled {
    let message: OffsetForLeaderEpochRequest<'_> = request.decode()?;
    let topics = message
        .topics
        .iter()
        .map(|topic| OffsetForLeaderTopicResult {
            topic: Cow::Borrowed(&topic.topic),
            partitions: topic
                .partitions
                .iter()
                .map(|partition| answer(&request, &topic.topic, partition))
                .collect(),
        });
    let topics = topics.collect();
    request.reply(&OffsetForLeaderEpochResponse {
        topics,
        ..OffsetForLeaderEpochResponse::default()
    })
}

fn answer(
    request: &Request<'_>,
    topic: &str,
    partition: &OffsetForLeaderPartition,
) -> EpochEndOffset {
    let (code, found) = match find(request, topic, partition) {
        Ok(found) => (ErrorCode::None, found),
        Err(code) => (code, None),
    };
    request.broker.metrics.error(code);
    EpochEndOffset {
        error_code: code.code(),
        partition: partition.partition,
        leader_epoch: found.map_or(-1, |(epoch, _)| epoch.get()),
        end_offset: found.map_or(-1, |(_, end)| end.get()),
    }
}

/// The largest epoch not above the one asked for, and its end. Nothing above the high watermark is
/// revealed: a client asks to find out whether what it has read is still true.
fn find(
    request: &Request<'_>,
    topic: &str,
    partition: &OffsetForLeaderPartition,
) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
    let local = request.view.by_name(topic, partition.partition)?;
    let client_epoch = LeaderEpoch::from_wire(partition.current_leader_epoch);
    let read = local.read_view(client_epoch)?;
    let Some(epoch) = LeaderEpoch::from_wire(partition.leader_epoch) else {
        return Ok(None);
    };
    let found = local.epoch_end(&read, epoch);
    Ok(found.map(|(epoch, end)| (epoch, end.min(read.high_watermark))))
}
