//! The records of groups in `__consumer_offsets`: a key that begins with the record's type, a value
//! that begins with its version.

use super::classic::{ClassicGroup, ClassicMember, GroupParts, MemberParts};
use super::command::Protocol;
use super::committed_offset::CommittedOffset;
use super::group_id::GroupId;
use crate::log_record::LogRecord;
use crate::machine::ReplayError;
use bytes::Bytes;
use ottla_protocol::messages::group_metadata_key::GroupMetadataKey;
use ottla_protocol::messages::group_metadata_value::{GroupMetadataValue, MemberMetadata};
use ottla_protocol::messages::legacy_offset_commit_key::LegacyOffsetCommitKey;
use ottla_protocol::messages::offset_commit_key::OffsetCommitKey;
use ottla_protocol::messages::offset_commit_value::OffsetCommitValue;
use ottla_protocol::{Message, Reader, Writer};
use ottla_types::{Timestamp, TopicId, Uuid};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Version of every key.
const KEY_VERSION: i16 = 0;
/// Offsets that say when they expire: only this version can.
const OFFSET_VERSION_WITH_EXPIRY: i16 = 1;
/// Offsets of a topic whose id is not known.
const OFFSET_VERSION: i16 = 3;
/// Offsets with the topic's id.
const OFFSET_VERSION_WITH_ID: i16 = 4;
/// What every release from Kafka 2.3 on reads.
const GROUP_VERSION: i16 = 3;

/// A record as it was read.
#[derive(Debug)]
pub enum GroupRecord {
    /// An offset, or that there is none any more.
    Offset {
        /// Whose.
        group: GroupId,
        /// Of which topic.
        topic: Arc<str>,
        /// Of which partition.
        partition: i32,
        /// How far.
        offset: Option<CommittedOffset>,
    },
    /// A group, or that there is none any more.
    Group {
        /// Which.
        group: GroupId,
        /// As it is.
        parts: Option<GroupParts>,
    },
    /// One of another kind of group, which this release does not have.
    Foreign {
        /// The record's type.
        record_type: i16,
    },
}

/// Reads a record of `__consumer_offsets`.
pub fn read_record(key: &[u8], value: Option<&[u8]>) -> Result<GroupRecord, ReplayError> {
    let mut reader = Reader::new(key);
    let record_type = reader.i16().map_err(unreadable)?;
    match record_type {
        LegacyOffsetCommitKey::RECORD_TYPE => {
            let key =
                LegacyOffsetCommitKey::decode(&mut reader, KEY_VERSION).map_err(unreadable)?;
            offset_record(&key.group, &key.topic, key.partition, value)
        }
        OffsetCommitKey::RECORD_TYPE => {
            let key = OffsetCommitKey::decode(&mut reader, KEY_VERSION).map_err(unreadable)?;
            offset_record(&key.group, &key.topic, key.partition, value)
        }
        GroupMetadataKey::RECORD_TYPE => {
            let key = GroupMetadataKey::decode(&mut reader, KEY_VERSION).map_err(unreadable)?;
            Ok(GroupRecord::Group {
                group: (&*key.group).into(),
                parts: value.map(read_group).transpose()?,
            })
        }
        record_type => Ok(GroupRecord::Foreign { record_type }),
    }
}

fn offset_record(
    group: &str,
    topic: &str,
    partition: i32,
    value: Option<&[u8]>,
) -> Result<GroupRecord, ReplayError> {
    Ok(GroupRecord::Offset {
        group: group.into(),
        topic: topic.into(),
        partition,
        offset: value.map(read_offset).transpose()?,
    })
}

fn read_offset(value: &[u8]) -> Result<CommittedOffset, ReplayError> {
    let mut reader = Reader::new(value);
    let version = reader.i16().map_err(unreadable)?;
    let value = OffsetCommitValue::decode(&mut reader, version).map_err(unreadable)?;
    Ok(CommittedOffset {
        offset: value.offset,
        leader_epoch: Some(value.leader_epoch).filter(|epoch| 0 <= *epoch),
        metadata: (&*value.metadata).into(),
        committed_at: Timestamp::from_millis(value.commit_timestamp),
        expires_at: Some(value.expire_timestamp)
            .filter(|time| *time != -1)
            .map(Timestamp::from_millis),
        topic_id: Some(value.topic_id)
            .filter(|id| *id != Uuid::ZERO)
            .map(TopicId::new),
    })
}

fn read_group(value: &[u8]) -> Result<GroupParts, ReplayError> {
    let mut reader = Reader::new(value);
    let version = reader.i16().map_err(unreadable)?;
    let value = GroupMetadataValue::decode(&mut reader, version).map_err(unreadable)?;
    let protocol: Option<Arc<str>> = value.protocol.as_deref().map(Into::into);
    if protocol.is_none() && !value.members.is_empty() {
        return Err(ReplayError {
            reason: "a group with members has no protocol".to_owned(),
        });
    }
    // Members of one host share its name.
    let mut shared = Shared::default();
    let name: Arc<str> = protocol.clone().unwrap_or_else(|| "".into());
    let members = value.members.iter();
    let members = members.map(|member| read_member(member, &name, &mut shared));
    Ok(GroupParts {
        protocol_type: (&*value.protocol_type).into(),
        generation: value.generation,
        protocol,
        leader: value.leader.as_deref().map(Into::into),
        state_since: Some(value.current_state_timestamp)
            .filter(|time| *time != -1)
            .map(Timestamp::from_millis),
        members: members.collect(),
    })
}

fn read_member(
    member: &MemberMetadata<'_>,
    protocol: &Arc<str>,
    shared: &mut Shared,
) -> ClassicMember {
    let rebalance_timeout = match member.rebalance_timeout {
        -1 => member.session_timeout, // Version 0 has none.
        timeout => timeout,
    };
    let parts = MemberParts {
        instance: member.group_instance_id.as_deref().map(Into::into),
        client_id: shared.client_id.get(&member.client_id),
        client_host: shared.client_host.get(&member.client_host),
        session_timeout: millis(member.session_timeout),
        rebalance_timeout: millis(rebalance_timeout),
        protocols: vec![Protocol {
            name: Arc::clone(protocol),
            metadata: Bytes::copy_from_slice(&member.subscription),
        }],
    };
    let mut read = ClassicMember::new((&*member.member_id).into(), parts);
    read.assignment = Bytes::copy_from_slice(&member.assignment);
    read
}

/// Texts that repeat from member to member.
#[derive(Default)]
struct Shared {
    client_id: LastText,
    client_host: LastText,
}

#[derive(Default)]
struct LastText(Option<Arc<str>>);

impl LastText {
    fn get(&mut self, text: &str) -> Arc<str> {
        match &self.0 {
            Some(last) if &**last == text => Arc::clone(last),
            _ => Arc::clone(self.0.insert(text.into())),
        }
    }
}

/// A time in milliseconds; below 0 is none.
pub(crate) fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

fn to_millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// The record of an offset.
pub(crate) fn offset(
    group: &GroupId,
    topic: &str,
    partition: i32,
    offset: &CommittedOffset,
) -> LogRecord {
    let value = OffsetCommitValue {
        offset: offset.offset,
        leader_epoch: offset.leader_epoch.unwrap_or(-1),
        metadata: Cow::Borrowed(&offset.metadata),
        commit_timestamp: offset.committed_at.as_millis(),
        expire_timestamp: offset.expires_at.map_or(-1, Timestamp::as_millis),
        topic_id: offset.topic_id.map_or(Uuid::ZERO, TopicId::uuid),
    };
    let version = match (offset.expires_at, offset.topic_id) {
        (Some(_), _) => OFFSET_VERSION_WITH_EXPIRY,
        (None, Some(_)) => OFFSET_VERSION_WITH_ID,
        (None, None) => OFFSET_VERSION,
    };
    LogRecord {
        key: offset_key(group, topic, partition),
        value: Some(versioned(version, &value)),
    }
}

/// The record that there is no offset any more.
pub(crate) fn no_offset(group: &GroupId, topic: &str, partition: i32) -> LogRecord {
    LogRecord {
        key: offset_key(group, topic, partition),
        value: None,
    }
}

fn offset_key(group: &GroupId, topic: &str, partition: i32) -> Vec<u8> {
    let key = OffsetCommitKey {
        group: Cow::Borrowed(group.as_str()),
        topic: Cow::Borrowed(topic),
        partition,
    };
    typed(OffsetCommitKey::RECORD_TYPE, &key)
}

/// The record of a group.
pub(crate) fn group(id: &GroupId, group: &ClassicGroup) -> LogRecord {
    let protocol = group.protocol();
    let members = group.members().map(|member| {
        let metadata = protocol.and_then(|protocol| member.metadata(protocol));
        MemberMetadata {
            member_id: Cow::Borrowed(member.id.as_str()),
            group_instance_id: member
                .parts
                .instance
                .as_ref()
                .map(|instance| Cow::Borrowed(instance.as_str())),
            client_id: Cow::Borrowed(&member.parts.client_id),
            client_host: Cow::Borrowed(&member.parts.client_host),
            rebalance_timeout: to_millis(member.parts.rebalance_timeout),
            session_timeout: to_millis(member.parts.session_timeout),
            subscription: Cow::Borrowed(metadata.map_or(&[], |metadata| metadata)),
            assignment: Cow::Borrowed(&member.assignment),
        }
    });
    let value = GroupMetadataValue {
        protocol_type: Cow::Borrowed(group.protocol_type().map_or("", |text| text)),
        generation: group.generation(),
        protocol: protocol.map(|protocol| Cow::Borrowed(&**protocol)),
        leader: group.leader().map(|leader| Cow::Borrowed(leader.as_str())),
        current_state_timestamp: group.state_since().map_or(-1, Timestamp::as_millis),
        members: members.collect(),
    };
    LogRecord {
        key: group_key(id),
        value: Some(versioned(GROUP_VERSION, &value)),
    }
}

/// The record that there is no such group any more.
pub(crate) fn no_group(id: &GroupId) -> LogRecord {
    LogRecord {
        key: group_key(id),
        value: None,
    }
}

fn group_key(id: &GroupId) -> Vec<u8> {
    let key = GroupMetadataKey {
        group: Cow::Borrowed(id.as_str()),
    };
    typed(GroupMetadataKey::RECORD_TYPE, &key)
}

fn typed<'m>(record_type: i16, key: &impl Message<'m>) -> Vec<u8> {
    write(record_type, KEY_VERSION, key)
}

fn versioned<'m>(version: i16, value: &impl Message<'m>) -> Vec<u8> {
    write(version, version, value)
}

fn write<'m>(first: i16, version: i16, message: &impl Message<'m>) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.i16(first);
    message
        .encode(&mut writer, version)
        .expect("texts came in requests, which have the same limits");
    writer.into_buf()
}

fn unreadable(error: ottla_protocol::DecodeError) -> ReplayError {
    ReplayError {
        reason: error.to_string(),
    }
}
