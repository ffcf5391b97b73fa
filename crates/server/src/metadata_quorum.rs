use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use ottla_broker::Broker;
use ottla_broker::config::BrokerConfig;
use ottla_metadata::QuorumStore;
use ottla_metadata::quorum::QuorumEvent;
use ottla_storage::disk::DiskLock;

use crate::clock::Clock;
use crate::quorum::{OpenraftQuorum, QuorumOptions};
use crate::quorum_slot::QuorumSlot;
use crate::start_error::StartError;

/// One node elects itself and registers within milliseconds, or never.
const REGISTRATION_MAX: Duration = Duration::from_secs(30);

/// The lock of the metadata's directory, if it is not a log directory's.
pub struct MetadataQuorum {
    _lock: Option<DiskLock>,
}

/// Joins the quorum and waits until this broker is registered and, being the only voter, leads: from
/// then on no request finds the controller missing.
pub fn start(
    config: &BrokerConfig,
    store: QuorumStore,
    lock: Option<DiskLock>,
    broker: &Arc<Broker>,
    slot: &Arc<QuorumSlot>,
    clock: Clock,
) -> Result<MetadataQuorum, StartError> {
    let failed = |message: String| StartError::Quorum {
        path: config.metadata_log_dir.clone(),
        message,
    };
    let (sender, progress) = channel();
    let (following, filled) = (Arc::clone(broker), Arc::clone(slot));
    let mut is_leading = false;
    let sink = move |event| {
        filled.wait();
        if let QuorumEvent::Failed { reason } = &event {
            // Before the broker tells anyone: who is refused finds the reason in the log.
            tracing::error!(
                "the metadata log failed: no topic, config or broker can change until a restart: {reason}"
            );
        }
        following.on_quorum_event(&event, clock.now());
        filled.followed(&event);
        match event {
            QuorumEvent::Failed { reason } => {
                let _ = sender.send(Err(reason)); // Nobody listens after the start.
                return;
            }
            QuorumEvent::Leading { .. } => is_leading = true,
            QuorumEvent::Following { .. } => is_leading = false,
            _ => {}
        }
        if is_leading && following.is_ready() {
            let _ = sender.send(Ok(())); // Nobody listens after the first time.
        }
    };
    let quorum = OpenraftQuorum::start(store, &QuorumOptions::default(), Box::new(sink))
        .map_err(|error| failed(format!("cannot start the thread of the quorum: {error}")))?;
    slot.fill(Arc::new(quorum));
    match progress.recv_timeout(REGISTRATION_MAX) {
        Ok(Ok(())) => Ok(MetadataQuorum { _lock: lock }),
        Ok(Err(reason)) => Err(failed(reason)),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            Err(failed("this node could not register itself".to_owned()))
        }
    }
}
