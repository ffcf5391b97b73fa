use super::CodecError;
use super::frame::{Body, encode_message};
use crate::config_resource::{ConfigResource, ResourceKind};
use crate::record::Record;
use ottla_protocol::messages::config_record::ConfigRecord;
use ottla_protocol::messages::feature_level_record::FeatureLevelRecord;
use ottla_protocol::{Message, Writer};

pub(super) fn encode(
    resource: &ConfigResource,
    name: &str,
    value: Option<&str>,
    writer: &mut Writer,
) {
    let message = ConfigRecord {
        resource_type: resource.kind.to_wire(),
        resource_name: resource.name.as_str().into(),
        name: name.into(),
        value: value.map(Into::into),
    };
    encode_message(ConfigRecord::RECORD_TYPE, 0, &message, writer);
}

pub(super) fn decode(body: &mut Body<'_>) -> Result<Record, CodecError> {
    let message = body.message::<ConfigRecord<'_>>()?;
    let kind = ResourceKind::from_wire(message.resource_type).ok_or(CodecError::InvalidField {
        what: ConfigRecord::NAME,
        field: "ResourceType",
    })?;
    Ok(Record::Config {
        resource: ConfigResource {
            kind,
            name: message.resource_name.into_owned(),
        },
        name: message.name.into_owned(),
        value: message.value.map(|value| value.into_owned()),
    })
}

pub(super) fn encode_feature(name: &str, level: i16, writer: &mut Writer) {
    let message = FeatureLevelRecord {
        name: name.into(),
        feature_level: level,
    };
    encode_message(FeatureLevelRecord::RECORD_TYPE, 0, &message, writer);
}

pub(super) fn decode_feature(body: &mut Body<'_>) -> Result<Record, CodecError> {
    let message = body.message::<FeatureLevelRecord<'_>>()?;
    Ok(Record::FeatureLevel {
        name: message.name.into_owned(),
        level: message.feature_level,
    })
}
