//! What one broker does: requests in, replies out, and what a reply must wait for.
//!
//! This crate never opens a socket or a file, never reads a clock, never starts a thread. All it does,
//! it does inside the calls of the threads around it:
//!
//! * [`Broker::handle`] carries out one request and returns at once: an answer, or a [`Token`] for one
//!   that depends on something that is not durable, not there or not decided yet;
//! * [`Broker::completions`] hands out answers whose time has come, core by core;
//! * [`Broker::on_commit`] and [`Broker::on_quorum_event`] say what became durable and decided.

pub mod config;

mod counter;
mod error_map;
mod loggers;
mod metrics;
mod response;

mod client_identity;
mod connection;

mod append_gate;
mod partition;
mod view;

mod fetch;
mod waiting;

mod group_report;
mod groups;

mod config_rules;
mod controller_desk;
mod dispatch;
mod handlers;
mod producer_ids;
mod ratio_histogram;
mod request;
mod size_histogram;

mod broker;
mod following;
mod log_directories;
mod moving;
mod parking;
mod partition_report;

pub use broker::{BlockingWork, Broker, BrokerStart, Directory, FailedDirectory, Wake};
pub use client_identity::{ClientIdentity, SaidByClient};
pub use connection::{Connection, ConnectionInfo};
pub use group_report::{GroupClient, GroupReport, PartitionLag};
pub use loggers::{LogLevel, Loggers, ROOT_LOGGER};
pub use metrics::{
    BrokerMetrics, ClientRequest, ClientSoftware, FailureCounts, SeenClient, TopicMetrics,
    codec_names,
};
pub use moving::MoveStep;
pub use partition_report::{PartitionStates, ReadableOffsets};
pub use ratio_histogram::RatioHistogram;
pub use response::{CloseReason, CoreId, Outcome, Response, ResponsePart, Token};
pub use size_histogram::SizeHistogram;

pub use ottla_coordinator::group::Rebalances;
