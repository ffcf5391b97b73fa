use super::CodecError;
use super::frame::{Body, encode_message};
use crate::broker_registration::{
    BrokerRegistration, Endpoint, FeatureRange, Fencing, SecurityProtocol,
};
use crate::record::Record;
use ottla_protocol::messages::broker_registration_change_record::BrokerRegistrationChangeRecord;
use ottla_protocol::messages::register_broker_record::{
    BrokerEndpoint, BrokerFeature, RegisterBrokerRecord,
};
use ottla_protocol::messages::unregister_broker_record::UnregisterBrokerRecord;
use ottla_protocol::{Message, Writer};
use ottla_types::{BrokerEpoch, BrokerId, DirectoryId, IncarnationId, Uuid};

const REGISTER_VERSION: i16 = 4;
const CHANGE_VERSION: i16 = 3;

pub(super) fn encode_register(registration: &BrokerRegistration, writer: &mut Writer) {
    let end_points = registration
        .endpoints
        .iter()
        .map(|endpoint| BrokerEndpoint {
            name: endpoint.listener.as_str().into(),
            host: endpoint.host.as_str().into(),
            port: endpoint.port,
            security_protocol: endpoint.security_protocol as i16,
        });
    let features = registration
        .features
        .iter()
        .map(|(name, range)| BrokerFeature {
            name: name.as_str().into(),
            min_supported_version: range.min,
            max_supported_version: range.max,
        });
    let message = RegisterBrokerRecord {
        broker_id: registration.id.get(),
        is_migrating_zk_broker: false,
        incarnation_id: registration.incarnation.uuid(),
        broker_epoch: registration.epoch.get(),
        end_points: end_points.collect(),
        features: features.collect(),
        rack: registration.rack.as_deref().map(Into::into),
        fenced: registration.fencing == Fencing::Fenced,
        in_controlled_shutdown: registration.fencing == Fencing::ControlledShutdown,
        log_dirs: to_uuids(&registration.directories),
        cordoned_log_dirs: Some(to_uuids(&registration.cordoned)).filter(|ids| !ids.is_empty()),
    };
    encode_message(
        RegisterBrokerRecord::RECORD_TYPE,
        REGISTER_VERSION,
        &message,
        writer,
    );
}

pub(super) fn decode_register(body: &mut Body<'_>) -> Result<Record, CodecError> {
    let message = body.message::<RegisterBrokerRecord<'_>>()?;
    let invalid = |field| CodecError::InvalidField {
        what: RegisterBrokerRecord::NAME,
        field,
    };
    if message.is_migrating_zk_broker {
        return Err(invalid("IsMigratingZkBroker"));
    }
    let endpoints = message.end_points.into_iter().map(|end_point| {
        let security_protocol = SecurityProtocol::from_wire(end_point.security_protocol)
            .ok_or(invalid("SecurityProtocol"))?;
        Ok(Endpoint {
            listener: end_point.name.into_owned(),
            host: end_point.host.into_owned(),
            port: end_point.port,
            security_protocol,
        })
    });
    let features = message.features.into_iter().map(|feature| {
        let range = FeatureRange {
            min: feature.min_supported_version,
            max: feature.max_supported_version,
        };
        (feature.name.into_owned(), range)
    });
    let fencing = match (message.fenced, message.in_controlled_shutdown) {
        (true, _) => Fencing::Fenced,
        (false, true) => Fencing::ControlledShutdown,
        (false, false) => Fencing::Unfenced,
    };
    Ok(Record::RegisterBroker(BrokerRegistration {
        id: BrokerId::from_wire(message.broker_id).ok_or(invalid("BrokerId"))?,
        epoch: BrokerEpoch::from_wire(message.broker_epoch).ok_or(invalid("BrokerEpoch"))?,
        incarnation: IncarnationId::new(message.incarnation_id),
        endpoints: endpoints.collect::<Result<_, CodecError>>()?,
        features: features.collect(),
        rack: message.rack.map(|rack| rack.into_owned()),
        fencing,
        directories: to_directories(message.log_dirs),
        cordoned: to_directories(message.cordoned_log_dirs.unwrap_or_default()),
    }))
}

pub(super) fn encode_unregister(broker: BrokerId, epoch: BrokerEpoch, writer: &mut Writer) {
    let message = UnregisterBrokerRecord {
        broker_id: broker.get(),
        broker_epoch: epoch.get(),
    };
    encode_message(UnregisterBrokerRecord::RECORD_TYPE, 0, &message, writer);
}

pub(super) fn decode_unregister(body: &mut Body<'_>) -> Result<Record, CodecError> {
    let message = body.message::<UnregisterBrokerRecord>()?;
    let invalid = |field| CodecError::InvalidField {
        what: UnregisterBrokerRecord::NAME,
        field,
    };
    Ok(Record::UnregisterBroker {
        broker: BrokerId::from_wire(message.broker_id).ok_or(invalid("BrokerId"))?,
        epoch: BrokerEpoch::from_wire(message.broker_epoch).ok_or(invalid("BrokerEpoch"))?,
    })
}

/// Kafka's numbers for "becomes", "stays" and "ceases to be" (`BrokerRegistrationFencingChange`).
const BECOMES: i8 = 1;
const STAYS: i8 = 0;
const CEASES: i8 = -1;

pub(super) fn encode_change(
    broker: BrokerId,
    epoch: BrokerEpoch,
    fencing: Option<Fencing>,
    directories: Option<&[DirectoryId]>,
    cordoned: Option<&[DirectoryId]>,
    writer: &mut Writer,
) {
    // Both flags are written with every change of the fencing, so that what they were before does
    // not matter.
    let (fenced, in_controlled_shutdown) = match fencing {
        None => (STAYS, STAYS),
        Some(Fencing::Fenced) => (BECOMES, CEASES),
        Some(Fencing::Unfenced) => (CEASES, CEASES),
        Some(Fencing::ControlledShutdown) => (CEASES, BECOMES),
    };
    let message = BrokerRegistrationChangeRecord {
        broker_id: broker.get(),
        broker_epoch: epoch.get(),
        fenced,
        in_controlled_shutdown,
        log_dirs: directories.map(to_uuids).unwrap_or_default(),
        cordoned_log_dirs: cordoned.map(to_uuids),
    };
    encode_message(
        BrokerRegistrationChangeRecord::RECORD_TYPE,
        CHANGE_VERSION,
        &message,
        writer,
    );
}

pub(super) fn decode_change(body: &mut Body<'_>) -> Result<Record, CodecError> {
    let message = body.message::<BrokerRegistrationChangeRecord>()?;
    let invalid = |field| CodecError::InvalidField {
        what: BrokerRegistrationChangeRecord::NAME,
        field,
    };
    let fencing = match (message.fenced, message.in_controlled_shutdown) {
        (STAYS, STAYS) => None,
        (BECOMES, CEASES) => Some(Fencing::Fenced),
        (CEASES, CEASES) => Some(Fencing::Unfenced),
        (CEASES, BECOMES) => Some(Fencing::ControlledShutdown),
        _ => return Err(invalid("Fenced")),
    };
    let directories = match message.log_dirs.is_empty() {
        true => None,
        false => Some(to_directories(message.log_dirs)),
    };
    Ok(Record::BrokerRegistrationChange {
        broker: BrokerId::from_wire(message.broker_id).ok_or(invalid("BrokerId"))?,
        epoch: BrokerEpoch::from_wire(message.broker_epoch).ok_or(invalid("BrokerEpoch"))?,
        fencing,
        directories,
        cordoned: message.cordoned_log_dirs.map(to_directories),
    })
}

fn to_uuids(directories: &[DirectoryId]) -> Vec<Uuid> {
    directories.iter().map(|id| id.uuid()).collect()
}

fn to_directories(uuids: Vec<Uuid>) -> Vec<DirectoryId> {
    uuids.into_iter().map(DirectoryId::new).collect()
}
