use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ottla_storage::Finding;
use ottla_storage::log_dir::{DirHealth, LogDir};
use ottla_types::{Mono, TopicPartition};

/// How often partitions are looked through for damage.
const DAMAGE_EVERY: Duration = Duration::from_secs(5);

/// Tells a person when a log directory gets well or ill, once each time.
pub struct DirectoryWatch {
    path: String,
    log_dir: Arc<LogDir>,
    health: DirHealth,
    findings_told: usize,
    damaged: BTreeSet<TopicPartition>,
    next_damage_look: Mono,
}

impl DirectoryWatch {
    /// What was damaged at the start was told by recovery.
    pub fn new(path: String, log_dir: Arc<LogDir>) -> DirectoryWatch {
        DirectoryWatch {
            health: DirHealth::Online,
            findings_told: 0,
            damaged: damaged(&log_dir).into_iter().map(|(id, _)| id).collect(),
            next_damage_look: Mono::ZERO,
            path,
            log_dir,
        }
    }

    /// Looks, and tells what changed. Returns whether the directory failed since the last time.
    pub fn look(&mut self, now: Mono) -> bool {
        let health = self.log_dir.health();
        let has_failed = health != self.health && matches!(health, DirHealth::Offline { .. });
        if health != self.health {
            let path = &self.path;
            match &health {
                DirHealth::Online => {
                    tracing::info!("{path}: there is room again, records are taken");
                }
                DirHealth::Full => tracing::error!(
                    "{path}: the disk is full, records are refused; deleting topics or records \
                     and shorter retention make room"
                ),
                DirHealth::Offline { reason } => tracing::error!(
                    "{path} is offline until a restart, what was acknowledged is safe: {reason}"
                ),
            }
            self.health = health;
        }
        for finding in self.log_dir.findings().since(self.findings_told) {
            self.findings_told += 1;
            let path = &self.path;
            match &finding {
                Finding::Foreign { .. } | Finding::Stray { .. } | Finding::Uncleanable { .. } => {
                    tracing::warn!("{path}: {finding}");
                }
                Finding::Leftover { .. } | Finding::Mended { .. } => {
                    tracing::info!("{path}: {finding}");
                }
                Finding::Corrupt { .. }
                | Finding::Missing { .. }
                | Finding::TooShort { .. }
                | Finding::CutOff { .. }
                | Finding::Unreadable { .. } => tracing::error!("{path}: {finding}"),
            }
        }
        if self.next_damage_look <= now {
            self.next_damage_look = now.plus(DAMAGE_EVERY);
            for (id, reason) in damaged(&self.log_dir) {
                if self.damaged.insert(id) {
                    tracing::error!("{}: partition {id} is damaged: {reason}", self.path);
                }
            }
        }
        has_failed
    }
}

fn damaged(log_dir: &LogDir) -> Vec<(TopicPartition, String)> {
    let partitions = log_dir.partitions().into_iter();
    partitions
        .filter_map(|(slot, id, _)| Some((id, log_dir.damage(slot)?)))
        .collect()
}
