//! What the cluster is: the image of its state, the records that change it, the controller that
//! decides on them, and the quorum they are replicated by.
//!
//! This crate never does I/O, never reads a clock, never waits, and speaks no wire protocol but the
//! schemas of Kafka's metadata records.

mod shared_map;

mod broker_registration;
mod config_resource;
mod partition;
mod topic;

mod record;

mod changes;
mod image;

pub mod quorum;

mod raft_types;

pub mod codec;

mod command;
mod config_rules;
mod controller_error;
mod decide;

mod bootstrap;
mod controller;

mod local_quorum;
#[cfg(any(test, feature = "testing"))]
pub mod quorum_conformance;
mod quorum_store;
mod state_machine;

pub use bootstrap::Bootstrap;
pub use broker_registration::{
    BrokerRegistration, Endpoint, FeatureRange, Fencing, SecurityProtocol,
};
pub use changes::Changes;
pub use command::*;
pub use config_resource::{ConfigResource, Configs, ResourceKind};
pub use config_rules::ConfigRules;
pub use controller::{Controller, Progress, RequestId, Submission};
pub use controller_error::ControllerError;
pub use decide::{Decision, decide};
pub use image::{Image, ReplayError};
pub use local_quorum::{Disturbance, LocalQuorum, LocalQuorumOptions};
pub use partition::{BrokerIds, LeaderRecovery, Partition};
pub use quorum_store::{QuorumStore, QuorumStoreError, QuorumStoreOptions, StoredSnapshot};
pub use raft_types::{LogPosition, Membership, Payload, StoredEntry, Vote};
pub use record::{PartitionChange, Record};
pub use shared_map::SharedMap;
pub use state_machine::StateMachine;
pub use topic::{Topic, is_internal_topic};
