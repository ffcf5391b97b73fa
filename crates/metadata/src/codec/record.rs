use super::frame::{Body, encode_message};
use super::{CodecError, broker, cluster, config, partition, producer_ids, topic};
use crate::record::Record;
use ottla_protocol::Writer;
use ottla_protocol::messages::no_op_record::NoOpRecord;

/// Appends `record` with its frame to what `writer` holds.
pub fn encode_record(record: &Record, writer: &mut Writer) {
    match record {
        Record::Cluster { id } => cluster::encode(id, writer),
        Record::RegisterBroker(registration) => broker::encode_register(registration, writer),
        Record::UnregisterBroker { broker, epoch } => {
            broker::encode_unregister(*broker, *epoch, writer)
        }
        Record::BrokerRegistrationChange {
            broker,
            epoch,
            fencing,
            directories,
            cordoned,
        } => broker::encode_change(
            *broker,
            *epoch,
            *fencing,
            directories.as_deref(),
            cordoned.as_deref(),
            writer,
        ),
        Record::Topic { name, id } => topic::encode(name, *id, writer),
        Record::RemoveTopic { id } => topic::encode_remove(*id, writer),
        Record::Partition {
            topic_id,
            partition,
            state,
        } => partition::encode(*topic_id, *partition, state, writer),
        Record::PartitionChange(change) => partition::encode_change(change, writer),
        Record::Config {
            resource,
            name,
            value,
        } => config::encode(resource, name, value.as_deref(), writer),
        Record::FeatureLevel { name, level } => config::encode_feature(name, *level, writer),
        Record::ProducerIds {
            broker,
            broker_epoch,
            next,
        } => producer_ids::encode(*broker, *broker_epoch, *next, writer),
        Record::NoOp => encode_message(NoOpRecord::RECORD_TYPE, 0, &NoOpRecord::default(), writer),
    }
}

/// Reads one record with its frame from all of `bytes`.
pub fn decode_record(bytes: &[u8]) -> Result<Record, CodecError> {
    let (record_type, mut body) = Body::read(bytes)?;
    let body = &mut body;
    match record_type {
        0 => broker::decode_register(body),
        1 => broker::decode_unregister(body),
        2 => topic::decode(body),
        3 => partition::decode(body),
        4 => config::decode(body),
        5 => partition::decode_change(body),
        9 => topic::decode_remove(body),
        12 => config::decode_feature(body),
        15 => producer_ids::decode(body),
        17 => broker::decode_change(body),
        20 => body.message::<NoOpRecord>().map(|_| Record::NoOp),
        cluster::RECORD_TYPE => cluster::decode(body),
        _ => Err(CodecError::UnknownRecordType { record_type }),
    }
}
