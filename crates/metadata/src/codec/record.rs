use super::{CodecError, broker, cluster, config, partition, producer_ids, topic};
use crate::record::Record;
use ottla_protocol::messages::no_op_record::NoOpRecord;
use ottla_protocol::{Message, Reader, Writer};

/// Kafka's frame around every record of its metadata log.
const FRAME_VERSION: u32 = 1;

/// The frame's name in errors.
const FRAME: &str = "the frame of a metadata record";

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
    let mut reader = Reader::new(bytes);
    let malformed = |cause| CodecError::Malformed { what: FRAME, cause };
    let frame_version = reader.uvarint().map_err(malformed)?;
    if frame_version != FRAME_VERSION {
        return Err(CodecError::NewerVersion {
            what: FRAME,
            version: frame_version,
            known: FRAME_VERSION,
        });
    }
    let record_type = reader.uvarint().map_err(malformed)?;
    let version = reader.uvarint().map_err(malformed)?;
    let body = &mut Body { reader, version };
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

/// What follows a record's frame.
pub(super) struct Body<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) version: u32,
}

impl<'a> Body<'a> {
    /// Reads the message, which must be all there is.
    pub(super) fn message<M: Message<'a>>(&mut self) -> Result<M, CodecError> {
        let known = *M::VERSIONS.end();
        let version = i16::try_from(self.version).ok();
        let version = version.filter(|version| *version <= known).ok_or({
            CodecError::NewerVersion {
                what: M::NAME,
                version: self.version,
                known: known as u32,
            }
        })?;
        let message =
            M::decode(&mut self.reader, version).map_err(|cause| CodecError::Malformed {
                what: M::NAME,
                cause,
            })?;
        self.end(M::NAME)?;
        Ok(message)
    }

    /// Refuses bytes left over.
    pub(super) fn end(&self, what: &'static str) -> Result<(), CodecError> {
        match self.reader.remaining() {
            0 => Ok(()),
            count => Err(CodecError::BytesLeftOver { what, count }),
        }
    }
}

/// Appends the frame and the message.
pub(super) fn encode_message<'a, M: Message<'a>>(
    record_type: i16,
    version: i16,
    message: &M,
    writer: &mut Writer,
) {
    encode_frame(record_type as u32, version as u32, writer);
    message.encode(writer, version).expect(
        "names and lists were bounded when they were admitted, and the version has the fields",
    );
}

/// Appends the frame alone.
pub(super) fn encode_frame(record_type: u32, version: u32, writer: &mut Writer) {
    writer.uvarint(FRAME_VERSION);
    writer.uvarint(record_type);
    writer.uvarint(version);
}
