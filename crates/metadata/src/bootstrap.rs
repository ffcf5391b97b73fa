use crate::command::{PRODUCER_ID_BLOCK_SIZE, RegisterBroker};
use crate::decide::first_registration;
use crate::record::Record;
use ottla_types::{BrokerEpoch, ProducerId};
use std::collections::BTreeMap;
use std::ops::Range;

/// What a new cluster begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// The cluster's id; 22 characters of base64 by custom.
    pub cluster_id: String,
    /// Finalized feature levels; 0 leaves a feature off.
    pub features: BTreeMap<String, i16>,
    /// The node that makes the cluster, so that it is registered with the first batch.
    pub registration: RegisterBroker,
}

impl Bootstrap {
    /// The first batch of the metadata log, and the epoch in which the node is registered by it.
    pub fn records(&self) -> (Vec<Record>, BrokerEpoch) {
        let mut records = vec![Record::Cluster {
            id: self.cluster_id.clone(),
        }];
        let features = self.features.iter().filter(|(_, level)| **level != 0);
        records.extend(features.map(|(name, level)| Record::FeatureLevel {
            name: name.clone(),
            level: *level,
        }));
        let (registration, epoch) = first_registration(&self.registration);
        records.push(registration);
        (records, epoch)
    }

    /// The same, and the node gets the first block of producer ids with it: its first producer need not
    /// wait for another entry.
    pub fn records_with_producer_ids(&self) -> (Vec<Record>, Range<i64>) {
        let (mut records, broker_epoch) = self.records();
        let block = 0..PRODUCER_ID_BLOCK_SIZE;
        records.push(Record::ProducerIds {
            broker: self.registration.broker,
            broker_epoch,
            next: ProducerId::new(block.end),
        });
        (records, block)
    }
}
