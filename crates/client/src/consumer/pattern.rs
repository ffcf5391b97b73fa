use super::handle::Shared;
use crate::admin::Admin;
use crate::pool::Pool;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long after a look that failed the next one begins.
const RETRY: Duration = Duration::from_secs(1);

type Matches = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// Topics that are subscribed to by their names, those that are still to come too.
pub(super) struct Pattern {
    matches: Matches,
    /// From one look at the cluster's topics to the next.
    interval: Duration,
    next: Instant,
    looking: Arc<Mutex<Looking>>,
    topics: BTreeSet<Arc<str>>,
}

enum Looking {
    Idle,
    UnderWay,
    /// The names of all topics but internal ones.
    Found(Vec<String>),
    Failed,
}

impl Pattern {
    pub(super) fn new(matches: Matches, interval: Duration) -> Pattern {
        Pattern {
            matches,
            interval,
            next: Instant::now(),
            looking: Arc::new(Mutex::new(Looking::Idle)),
            topics: BTreeSet::new(),
        }
    }

    /// When [`Pattern::step`] has something to do again.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Begins to look when it is time, without waiting; gives the topics to subscribe to if they are
    /// others than before. What a look finds is told through the consumer's progress.
    pub(super) fn step(
        &mut self,
        shared: &Arc<Shared>,
        pool: &Arc<Pool>,
    ) -> Option<BTreeSet<Arc<str>>> {
        let now = Instant::now();
        let mut looking = self.looking.lock();
        let mut changed = None;
        match std::mem::replace(&mut *looking, Looking::Idle) {
            Looking::Idle => {}
            Looking::UnderWay => {
                *looking = Looking::UnderWay;
                self.next = now + self.interval; // It tells when it is done.
            }
            Looking::Failed => self.next = now + RETRY,
            Looking::Found(names) => {
                self.next = now + self.interval;
                let wanted = names.into_iter().filter(|name| (self.matches)(name));
                let topics: BTreeSet<Arc<str>> = wanted.map(Arc::from).collect();
                if topics != self.topics {
                    self.topics = topics.clone();
                    changed = Some(topics);
                }
            }
        }
        if self.next <= now && matches!(*looking, Looking::Idle) {
            *looking = Looking::UnderWay;
            self.next = now + self.interval;
            tokio::spawn(look(pool.clone(), self.looking.clone(), shared.clone()));
        }
        changed
    }
}

async fn look(pool: Arc<Pool>, looking: Arc<Mutex<Looking>>, shared: Arc<Shared>) {
    let found = match Admin::new(pool).describe_all_topics().await {
        Ok(topics) => {
            let visible = topics
                .into_iter()
                .filter(|(_, topic)| topic.as_ref().is_ok_and(|topic| !topic.is_internal));
            Looking::Found(visible.map(|(name, _)| name).collect())
        }
        Err(error) => {
            tracing::debug!(%error, "the topics cannot be listed");
            Looking::Failed
        }
    };
    *looking.lock() = found;
    shared.progress.notify_waiters();
}
