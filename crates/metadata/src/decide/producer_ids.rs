use super::Decision;
use crate::command::{PRODUCER_ID_BLOCK_SIZE, Reply};
use crate::controller_error::ControllerError;
use crate::image::Image;
use crate::record::Record;
use ottla_types::{BrokerEpoch, BrokerId, ProducerId};

/// Gives `broker` the next block of producer ids (KIP-730).
pub(super) fn allocate(
    broker: BrokerId,
    broker_epoch: BrokerEpoch,
    image: &Image,
) -> Result<Decision, ControllerError> {
    let registered = image
        .broker(broker)
        .ok_or(ControllerError::UnknownBroker { broker })?;
    if registered.epoch != broker_epoch {
        return Err(ControllerError::StaleBrokerEpoch {
            expected: registered.epoch.get(),
            actual: broker_epoch.get(),
        });
    }
    let first = image.next_producer_id().get();
    let next = first
        .checked_add(PRODUCER_ID_BLOCK_SIZE)
        .ok_or(ControllerError::ProducerIdsExhausted)?;
    Ok(Decision {
        records: vec![Record::ProducerIds {
            broker,
            broker_epoch,
            next: ProducerId::new(next),
        }],
        reply: Reply::ProducerIds(first..next),
    })
}
