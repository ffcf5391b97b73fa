use super::CodecError;
use super::frame::{Body, encode_message};
use crate::partition::{LeaderRecovery, Partition};
use crate::record::{PartitionChange, Record};
use ottla_protocol::messages::partition_change_record::PartitionChangeRecord;
use ottla_protocol::messages::partition_record::PartitionRecord;
use ottla_protocol::{Message, Writer};
use ottla_types::{BrokerId, DirectoryId, LeaderEpoch, PartitionId, TopicId, Uuid};

const PARTITION_VERSION: i16 = 2;
const CHANGE_VERSION: i16 = 2;

/// Kafka's "nobody leads" and "the leader stays" (`LeaderConstants`).
const NO_LEADER: i32 = -1;
const NO_LEADER_CHANGE: i32 = -2;
const NO_RECOVERY_CHANGE: i8 = -1;

pub(super) fn encode(
    topic_id: TopicId,
    partition: PartitionId,
    state: &Partition,
    writer: &mut Writer,
) {
    let unless_empty = |ids: &[BrokerId]| (!ids.is_empty()).then(|| to_wire(ids));
    let message = PartitionRecord {
        partition_id: partition.get(),
        topic_id: topic_id.uuid(),
        replicas: to_wire(&state.replicas),
        isr: to_wire(&state.isr),
        removing_replicas: to_wire(&state.removing),
        adding_replicas: to_wire(&state.adding),
        leader: state.leader.map_or(NO_LEADER, BrokerId::get),
        leader_recovery_state: state.leader_recovery.to_wire(),
        leader_epoch: state.leader_epoch.get(),
        partition_epoch: state.partition_epoch,
        directories: state.directories.iter().map(|id| id.uuid()).collect(),
        eligible_leader_replicas: unless_empty(&state.eligible_leader_replicas),
        last_known_elr: unless_empty(&state.last_known_elr),
    };
    encode_message(
        PartitionRecord::RECORD_TYPE,
        PARTITION_VERSION,
        &message,
        writer,
    );
}

pub(super) fn decode(body: &mut Body<'_>) -> Result<Record, CodecError> {
    let message = body.message::<PartitionRecord>()?;
    let invalid = |field| CodecError::InvalidField {
        what: PartitionRecord::NAME,
        field,
    };
    let ids = |ids: &[i32], field| from_wire(ids).ok_or(invalid(field));
    let replicas = ids(&message.replicas, "Replicas")?;
    // Version 0 has no directories.
    let directories = match message.directories.is_empty() {
        true => vec![Uuid::ZERO; replicas.len()],
        false => message.directories,
    };
    let leader = match message.leader {
        NO_LEADER => None,
        id => Some(BrokerId::from_wire(id).ok_or(invalid("Leader"))?),
    };
    let state = Partition {
        replicas: replicas.into(),
        directories: directories.into_iter().map(DirectoryId::new).collect(),
        isr: ids(&message.isr, "Isr")?.into(),
        removing: ids(&message.removing_replicas, "RemovingReplicas")?,
        adding: ids(&message.adding_replicas, "AddingReplicas")?,
        eligible_leader_replicas: ids(
            &message.eligible_leader_replicas.unwrap_or_default(),
            "EligibleLeaderReplicas",
        )?,
        last_known_elr: ids(&message.last_known_elr.unwrap_or_default(), "LastKnownElr")?,
        leader,
        leader_epoch: LeaderEpoch::from_wire(message.leader_epoch).ok_or(invalid("LeaderEpoch"))?,
        partition_epoch: match message.partition_epoch {
            epoch if epoch < 0 => return Err(invalid("PartitionEpoch")),
            epoch => epoch,
        },
        leader_recovery: LeaderRecovery::from_wire(message.leader_recovery_state)
            .ok_or(invalid("LeaderRecoveryState"))?,
    };
    Ok(Record::Partition {
        topic_id: TopicId::new(message.topic_id),
        partition: PartitionId::from_wire(message.partition_id).ok_or(invalid("PartitionId"))?,
        state,
    })
}

pub(super) fn encode_change(change: &PartitionChange, writer: &mut Writer) {
    let message = PartitionChangeRecord {
        partition_id: change.partition.get(),
        topic_id: change.topic_id.uuid(),
        isr: change.isr.as_deref().map(to_wire),
        leader: match change.leader {
            None => NO_LEADER_CHANGE,
            Some(None) => NO_LEADER,
            Some(Some(id)) => id.get(),
        },
        replicas: change.replicas.as_deref().map(to_wire),
        removing_replicas: change.removing.as_deref().map(to_wire),
        adding_replicas: change.adding.as_deref().map(to_wire),
        leader_recovery_state: change
            .leader_recovery
            .map_or(NO_RECOVERY_CHANGE, LeaderRecovery::to_wire),
        directories: change
            .directories
            .as_ref()
            .map(|ids| ids.iter().map(|id| id.uuid()).collect()),
        eligible_leader_replicas: change.eligible_leader_replicas.as_deref().map(to_wire),
        last_known_elr: change.last_known_elr.as_deref().map(to_wire),
    };
    encode_message(
        PartitionChangeRecord::RECORD_TYPE,
        CHANGE_VERSION,
        &message,
        writer,
    );
}

pub(super) fn decode_change(body: &mut Body<'_>) -> Result<Record, CodecError> {
    let message = body.message::<PartitionChangeRecord>()?;
    let invalid = |field| CodecError::InvalidField {
        what: PartitionChangeRecord::NAME,
        field,
    };
    let ids = |ids: Option<Vec<i32>>, field| {
        ids.map(|ids| from_wire(&ids).ok_or(invalid(field)))
            .transpose()
    };
    Ok(Record::PartitionChange(PartitionChange {
        topic_id: TopicId::new(message.topic_id),
        partition: PartitionId::from_wire(message.partition_id).ok_or(invalid("PartitionId"))?,
        isr: ids(message.isr, "Isr")?.map(Into::into),
        leader: match message.leader {
            NO_LEADER_CHANGE => None,
            NO_LEADER => Some(None),
            id => Some(Some(BrokerId::from_wire(id).ok_or(invalid("Leader"))?)),
        },
        replicas: ids(message.replicas, "Replicas")?.map(Into::into),
        directories: message
            .directories
            .map(|ids| ids.into_iter().map(DirectoryId::new).collect()),
        removing: ids(message.removing_replicas, "RemovingReplicas")?,
        adding: ids(message.adding_replicas, "AddingReplicas")?,
        eligible_leader_replicas: ids(message.eligible_leader_replicas, "EligibleLeaderReplicas")?,
        last_known_elr: ids(message.last_known_elr, "LastKnownElr")?,
        leader_recovery: match message.leader_recovery_state {
            NO_RECOVERY_CHANGE => None,
            state => Some(LeaderRecovery::from_wire(state).ok_or(invalid("LeaderRecoveryState"))?),
        },
    }))
}

fn to_wire(ids: &[BrokerId]) -> Vec<i32> {
    ids.iter().map(|id| id.get()).collect()
}

fn from_wire(ids: &[i32]) -> Option<Vec<BrokerId>> {
    ids.iter().map(|id| BrokerId::from_wire(*id)).collect()
}
