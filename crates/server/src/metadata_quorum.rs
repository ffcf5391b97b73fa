use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use ottla_broker::Broker;
use ottla_broker::config::BrokerConfig;
use ottla_metadata::Bootstrap;
use ottla_metadata::quorum::{QuorumEvent, Voter};
use ottla_storage::disk::DiskLock;

use crate::clock::Clock;
use crate::data_directory::{self, DataDirectory};
use crate::quorum::{OpenraftQuorum, QuorumOptions};
use crate::quorum_slot::QuorumSlot;
use crate::start_error::StartError;

/// The metadata log's directory, below `metadata.log.dir`.
const METADATA_DIR: &str = "metadata";
/// One node elects itself and registers within milliseconds, or never.
const REGISTRATION_MAX: Duration = Duration::from_secs(30);

/// The lock of the metadata's directory, if it is not a log directory's.
pub struct MetadataQuorum {
    _lock: Option<DiskLock>,
}

/// Opens the metadata's store and waits until this broker is registered in it. A new store begins
/// with the cluster and this broker in one synced batch.
pub fn start(
    config: &BrokerConfig,
    directories: &[DataDirectory],
    broker: &Arc<Broker>,
    slot: &Arc<QuorumSlot>,
    clock: Clock,
) -> Result<MetadataQuorum, StartError> {
    let failed = |message: String| StartError::Quorum {
        path: config.metadata_log_dir.clone(),
        message,
    };
    let (disk, lock) = data_directory::metadata_disk(config, directories)?;
    let identity = &directories[0].identity;
    let me = Voter {
        node: config.node_id,
        directory: identity.directory_id,
    };
    let registration = broker.registration();
    let supported = registration.features.iter();
    let bootstrap = Bootstrap {
        cluster_id: identity.cluster_id.clone(),
        features: supported
            .map(|(name, range)| (name.clone(), range.max))
            .collect(),
        registration,
    };
    let first_batch = move || bootstrap.records().0;
    let options = QuorumOptions::new(me);
    let (registered, is_registered) = channel();
    let (following, filled) = (Arc::clone(broker), Arc::clone(slot));
    let sink = move |event| {
        filled.wait();
        if let QuorumEvent::Failed { reason } = &event {
            tracing::error!("no topic, config or broker can change until a restart: {reason}");
        }
        following.on_quorum_event(&event, clock.now());
        if following.is_ready() {
            let _ = registered.send(()); // Nobody listens after the first time.
        }
    };
    let dir = Path::new(METADATA_DIR);
    let quorum = OpenraftQuorum::start(disk, dir, &options, first_batch, Box::new(sink))
        .map_err(|error| failed(error.to_string()))?;
    slot.fill(Arc::new(quorum));
    match is_registered.recv_timeout(REGISTRATION_MAX) {
        Ok(()) => Ok(MetadataQuorum { _lock: lock }),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            Err(failed("this node could not register itself".to_owned()))
        }
    }
}
