use super::CodecError;
use super::frame::{Body, encode_message};
use crate::record::Record;
use ottla_protocol::messages::producer_ids_record::ProducerIdsRecord;
use ottla_protocol::{Message, Writer};
use ottla_types::{BrokerEpoch, BrokerId, ProducerId};

pub(super) fn encode(
    broker: BrokerId,
    broker_epoch: BrokerEpoch,
    next: ProducerId,
    writer: &mut Writer,
) {
    let message = ProducerIdsRecord {
        broker_id: broker.get(),
        broker_epoch: broker_epoch.get(),
        next_producer_id: next.get(),
    };
    encode_message(ProducerIdsRecord::RECORD_TYPE, 0, &message, writer);
}

pub(super) fn decode(body: &mut Body<'_>) -> Result<Record, CodecError> {
    let message = body.message::<ProducerIdsRecord>()?;
    let invalid = |field| CodecError::InvalidField {
        what: ProducerIdsRecord::NAME,
        field,
    };
    Ok(Record::ProducerIds {
        broker: BrokerId::from_wire(message.broker_id).ok_or(invalid("BrokerId"))?,
        broker_epoch: BrokerEpoch::from_wire(message.broker_epoch).ok_or(invalid("BrokerEpoch"))?,
        next: ProducerId::from_wire(message.next_producer_id).ok_or(invalid("NextProducerId"))?,
    })
}
