//! What to do about an error: one sentence each.

use ottla_types::ErrorCode;

/// What a person can do about a broker's error, where that is not obvious.
pub fn for_code(code: ErrorCode) -> Option<&'static str> {
    Some(match code {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId => {
            "create the topic first (ottla topic create NAME), or check its spelling"
        }
        ErrorCode::TopicAlreadyExists => "choose another name, or use the topic that is there",
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => {
            "raise the topic's max.message.bytes, or lower the producer's batch.size"
        }
        ErrorCode::InvalidTimestamp => {
            "set record timestamps near the present, or widen the topic's message.timestamp.after.max.ms \
             and message.timestamp.before.max.ms"
        }
        ErrorCode::InvalidRecord => "records of a compacted topic need a key",
        ErrorCode::NotEnoughReplicas | ErrorCode::NotEnoughReplicasAfterAppend => {
            "fewer replicas are in sync than min.insync.replicas asks for: bring brokers back"
        }
        ErrorCode::InvalidReplicationFactor => {
            "the replication factor is larger than the number of brokers"
        }
        ErrorCode::TopicAuthorizationFailed | ErrorCode::ClusterAuthorizationFailed => {
            "this user lacks the permission: have an ACL added"
        }
        ErrorCode::UnsupportedVersion => {
            "client and broker have no version of the request in common: ottla cluster api-versions shows \
             what the broker speaks"
        }
        ErrorCode::SaslAuthenticationFailed => {
            "check user, password and sasl.mechanism: only the broker's log says which of them is wrong"
        }
        ErrorCode::OutOfOrderSequenceNumber => {
            "records of this producer are missing before these: two producers use one id, or records were \
             lost; a new producer starts afresh"
        }
        ErrorCode::InvalidProducerEpoch | ErrorCode::ProducerFenced => {
            "a newer producer with the same transactional.id took over: every instance needs its own"
        }
        ErrorCode::KafkaStorageError => {
            "the broker's log directory is offline or full: see its log"
        }
        ErrorCode::OffsetOutOfRange => {
            "the records at this offset were deleted or never written: start at the earliest or latest offset"
        }
        ErrorCode::InvalidTopicException => {
            "names have 1 to 249 letters, digits, '.', '_' and '-'; internal topics cannot be written"
        }
        ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator
        | ErrorCode::CoordinatorLoadInProgress => {
            "the group's offsets are not ready yet: wait; if it lasts, look at __consumer_offsets"
        }
        ErrorCode::RebalanceInProgress => "the group is rebalancing: poll, then try again",
        ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
            "the member was thrown out of its group: it polled too rarely or was out of touch; partitions \
             have moved to others"
        }
        ErrorCode::FencedInstanceId => {
            "another consumer uses the same group.instance.id: every member needs its own"
        }
        ErrorCode::InconsistentGroupProtocol => {
            "the members have no partition.assignment.strategy in common, or the group is not one of consumers"
        }
        ErrorCode::InvalidSessionTimeout => {
            "session.timeout.ms must lie between the broker's group.min.session.timeout.ms and \
             group.max.session.timeout.ms"
        }
        ErrorCode::InvalidGroupId => "give the group a name that is not empty",
        ErrorCode::GroupMaxSizeReached => {
            "the group is as large as the broker allows (group.max.size)"
        }
        ErrorCode::GroupAuthorizationFailed => "this user may not use the group: have an ACL added",
        ErrorCode::NonEmptyGroup => "the group has active members: stop them first",
        ErrorCode::GroupIdNotFound => "there is no such group: ottla group list shows them",
        ErrorCode::GroupSubscribedToTopic => {
            "an active member of the group subscribes to the topic: stop it first"
        }
        _ => return None,
    })
}

/// What the first bytes of a "frame" say about who is really there.
pub(crate) fn for_frame_size(size: u32) -> Option<&'static str> {
    match size.to_be_bytes() {
        [0x15, 3, _, _] => Some(
            "the port answers with TLS: this listener wants an encrypted connection, use a plaintext one",
        ),
        [b'H', b'T', b'T', b'P'] => Some("the port answers with HTTP: this is not the Kafka port"),
        [b'S', b'S', b'H', b'-'] => Some("the port answers with SSH: this is not the Kafka port"),
        _ => None,
    }
}

/// What to do when nothing could be reached.
pub(crate) const NO_CONNECTION: &str = "check that the broker runs and listens there, and that its advertised.listeners name an address \
     that this machine can reach";
