mod clients;
mod compaction;
mod groups;
mod jmx_names;
mod lag_history;
mod metadata;
mod process;
mod requests;
mod storage;
mod topics;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ottla_broker::Broker;
use ottla_storage::log_dir::DirHealth;
use ottla_storage::log_dir::LogDir;
use parking_lot::Mutex;

use crate::clock::Clock;
use crate::http::{Check, HttpCounters, MetricNames, Report};
use crate::metrics::Exposition;
use crate::network::{Gauges, Workers};
use crate::quorum_slot::QuorumSlot;
use crate::threads::JournalCounters;
use jmx_names::JMX_NAMES;
use lag_history::LagHistory;

/// Health and metrics of a running broker.
pub struct ServerReport {
    broker: Arc<Broker>,
    quorum: Arc<QuorumSlot>,
    directories: Vec<ReportedDirectory>,
    workers: Workers,
    gauges: Gauges,
    clock: Clock,
    is_serving: AtomicBool,
    http: HttpCounters,
    /// How groups got on, each time metrics were asked for.
    lag_history: Mutex<LagHistory>,
}

/// A log directory with its journal's counters.
pub struct ReportedDirectory {
    /// As configured.
    pub path: String,
    /// Its logs.
    pub log_dir: Arc<LogDir>,
    /// What its journal's thread counts.
    pub journal: Arc<JournalCounters>,
}

impl ServerReport {
    /// Reports on these.
    pub fn new(
        broker: Arc<Broker>,
        quorum: Arc<QuorumSlot>,
        directories: Vec<ReportedDirectory>,
        workers: Workers,
        gauges: Gauges,
        clock: Clock,
    ) -> ServerReport {
        ServerReport {
            broker,
            quorum,
            directories,
            workers,
            gauges,
            clock,
            is_serving: AtomicBool::new(false),
            http: HttpCounters::default(),
            lag_history: Mutex::default(),
        }
    }

    /// Whether clients are answered: true from the end of the start to the beginning of the end.
    pub fn set_serving(&self, is_serving: bool) {
        self.is_serving.store(is_serving, Ordering::Release);
    }
}

impl ServerReport {
    /// With one directory left clients can be sent here: what lies in the others says for itself that it is
    /// offline.
    fn directories_online(&self) -> Check {
        let running = self.directories.iter();
        let mut offline: Vec<String> = running
            .filter_map(|dir| match dir.log_dir.health() {
                DirHealth::Offline { reason } => Some(format!("{} is offline: {reason}", dir.path)),
                DirHealth::Online | DirHealth::Full => None,
            })
            .collect();
        let is_one_left = offline.len() < self.directories.len();
        let failed = self.broker.failed_directories().iter();
        offline.extend(failed.map(|dir| format!("{} is offline: {}", dir.path, dir.reason)));
        let missing = self.broker.partition_states().missing;
        if 0 < missing {
            let text = "partitions are in log directories that are not here";
            offline.push(format!("{missing} {text}"));
        }
        let told = (!offline.is_empty()).then(|| offline.join("; "));
        let (result, warning) = match (told, is_one_left) {
            (Some(told), false) => (Err(told), None),
            (told, _) => (Ok(()), told),
        };
        Check {
            name: "log directories online",
            result,
            warning,
        }
    }
}

impl Report for ServerReport {
    fn readiness(&self) -> Vec<Check> {
        let is_serving = self.is_serving.load(Ordering::Acquire);
        let serving = if is_serving {
            Ok(())
        } else {
            Err("starting or draining".to_owned())
        };
        let is_registered = self.broker.is_ready();
        let registered = if is_registered {
            Ok(())
        } else {
            Err("not registered".to_owned())
        };
        vec![
            Check {
                name: "serving clients",
                result: serving,
                warning: None,
            },
            Check {
                name: "registered in the metadata",
                result: registered,
                warning: None,
            },
            Check {
                name: "metadata log online",
                result: match self.broker.metadata_failure() {
                    Some(reason) => Err(format!("it failed, only a restart helps: {reason}")),
                    None => Ok(()),
                },
                warning: None,
            },
            self.directories_online(),
        ]
    }

    fn metrics(&self, names: MetricNames) -> String {
        let mut text = match names {
            MetricNames::Native => Exposition::default(),
            MetricNames::Jmx => Exposition::renamed(&JMX_NAMES),
        };
        self.process(&mut text);
        self.connections(&mut text);
        self.requests(&mut text);
        self.http_requests(&mut text);
        self.metadata(&mut text);
        self.topics(&mut text);
        self.sizes(&mut text);
        self.groups(&mut text);
        self.storage(&mut text);
        self.compaction(&mut text);
        text.into_text()
    }

    fn clients(&self) -> String {
        self.connected().to_string()
    }

    fn counters(&self) -> &HttpCounters {
        &self.http
    }
}
