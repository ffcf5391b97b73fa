use super::CodecError;
use super::frame::{Body, encode_message};
use crate::record::Record;
use ottla_protocol::Writer;
use ottla_protocol::messages::remove_topic_record::RemoveTopicRecord;
use ottla_protocol::messages::topic_record::TopicRecord;
use ottla_types::TopicId;

pub(super) fn encode(name: &str, id: TopicId, writer: &mut Writer) {
    let message = TopicRecord {
        name: name.into(),
        topic_id: id.uuid(),
    };
    encode_message(TopicRecord::RECORD_TYPE, 0, &message, writer);
}

pub(super) fn decode(body: &mut Body<'_>) -> Result<Record, CodecError> {
    let message = body.message::<TopicRecord<'_>>()?;
    Ok(Record::Topic {
        name: message.name.into_owned(),
        id: TopicId::new(message.topic_id),
    })
}

pub(super) fn encode_remove(id: TopicId, writer: &mut Writer) {
    let message = RemoveTopicRecord {
        topic_id: id.uuid(),
    };
    encode_message(RemoveTopicRecord::RECORD_TYPE, 0, &message, writer);
}

pub(super) fn decode_remove(body: &mut Body<'_>) -> Result<Record, CodecError> {
    let message = body.message::<RemoveTopicRecord>()?;
    Ok(Record::RemoveTopic {
        id: TopicId::new(message.topic_id),
    })
}
