use super::fetch_set::FetchSet;
use ottla_types::{ErrorCode, Mono, Prng};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A session that rested for so long may be given up for another, and a session may be given up for
/// a larger one only when it is that old (Kafka's `MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS`).
const EVICTION_AGE: Duration = Duration::from_secs(120);

/// A fetch session (KIP-227): what a client fetches, so that it need not say it again.
pub(crate) struct FetchSession {
    /// From 1 to `i32::MAX`.
    pub(crate) id: i32,
    pub(crate) set: Arc<FetchSet>,
    pub(crate) uses_topic_ids: bool,
    created: Mono,
}

/// All fetch sessions of a broker.
pub(crate) struct SessionCache {
    state: Mutex<CacheState>,
    sessions_max: usize,
}

struct CacheState {
    sessions: BTreeMap<i32, Entry>,
    prng: Prng,
}

struct Entry {
    session: Arc<FetchSession>,
    /// The epoch the next request must carry.
    epoch: i32,
    size: usize,
    last_used: Mono,
}

/// A session that was made, and the one it pushed out.
pub(crate) struct Created {
    /// `None`: no room.
    pub(crate) session: Option<Arc<FetchSession>>,
    pub(crate) evicted: Option<Arc<FetchSession>>,
}

/// The epoch after `epoch`: from 1 on, never 0 again.
pub(crate) fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

impl SessionCache {
    pub(crate) fn new(sessions_max: usize, prng: Prng) -> SessionCache {
        SessionCache {
            state: Mutex::new(CacheState {
                sessions: BTreeMap::new(),
                prng,
            }),
            sessions_max,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().sessions.len()
    }

    /// Makes a session of `set` with `size` partitions, if there is room or somebody who may go.
    pub(crate) fn create(
        &self,
        set: Arc<FetchSet>,
        size: usize,
        uses_topic_ids: bool,
        now: Mono,
    ) -> Created {
        let mut state = self.state.lock();
        let mut evicted = None;
        if self.sessions_max <= state.sessions.len() {
            let Some(id) = state.evictable(size, now) else {
                return Created {
                    session: None,
                    evicted: None,
                };
            };
            evicted = state.sessions.remove(&id).map(|entry| entry.session);
        }
        let id = state.unused_id();
        let session = Arc::new(FetchSession {
            id,
            set,
            uses_topic_ids,
            created: now,
        });
        let entry = Entry {
            session: Arc::clone(&session),
            epoch: 1,
            size,
            last_used: now,
        };
        state.sessions.insert(id, entry);
        Created {
            session: Some(session),
            evicted,
        }
    }

    /// The session for an incremental request; its epoch moves on.
    pub(crate) fn use_session(
        &self,
        id: i32,
        epoch: i32,
        uses_topic_ids: bool,
        now: Mono,
    ) -> Result<Arc<FetchSession>, ErrorCode> {
        let mut state = self.state.lock();
        let entry = state.sessions.get_mut(&id);
        let entry = entry.ok_or(ErrorCode::FetchSessionIdNotFound)?;
        if entry.epoch != epoch {
            return Err(ErrorCode::InvalidFetchSessionEpoch);
        }
        if entry.session.uses_topic_ids != uses_topic_ids {
            return Err(ErrorCode::FetchSessionTopicIdError);
        }
        entry.epoch = next_epoch(epoch);
        entry.last_used = now;
        Ok(Arc::clone(&entry.session))
    }

    /// Whether a request with this epoch is still the session's last one.
    pub(crate) fn is_current(&self, id: i32, epoch: i32) -> bool {
        let state = self.state.lock();
        let entry = state.sessions.get(&id);
        entry.is_some_and(|entry| entry.epoch == next_epoch(epoch))
    }

    /// A request changed how many partitions the session has.
    pub(crate) fn set_size(&self, id: i32, size: usize) {
        if let Some(entry) = self.state.lock().sessions.get_mut(&id) {
            entry.size = size;
        }
    }

    /// Ends a session.
    pub(crate) fn remove(&self, id: i32) -> Option<Arc<FetchSession>> {
        let entry = self.state.lock().sessions.remove(&id);
        entry.map(|entry| entry.session)
    }
}

impl CacheState {
    /// Who may go for a session of `size` partitions. Walks all; only a full cache asks.
    fn evictable(&self, size: usize, now: Mono) -> Option<i32> {
        let oldest = self
            .sessions
            .iter()
            .min_by_key(|(_, entry)| entry.last_used);
        if let Some((id, entry)) = oldest
            && EVICTION_AGE < now.since(entry.last_used)
        {
            return Some(*id);
        }
        let is_old = |entry: &Entry| EVICTION_AGE < now.since(entry.session.created);
        let candidates = self.sessions.iter().filter(|(_, entry)| is_old(entry));
        candidates
            .filter(|(_, entry)| entry.size < size)
            .min_by_key(|(_, entry)| entry.size)
            .map(|(id, _)| *id)
    }

    fn unused_id(&mut self) -> i32 {
        loop {
            let id = self.prng.range(1, i32::MAX as u64 + 1) as i32;
            if !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::from_millis(seconds * 1000)
    }

    fn create(cache: &SessionCache, size: usize, seconds: u64) -> Created {
        cache.create(FetchSet::new(), size, true, at(seconds))
    }

    #[test]
    fn epochs_rise_from_one_and_wrap_to_one() {
        let cache = SessionCache::new(10, Prng::new(1));
        let id = create(&cache, 1, 0).session.expect("room").id;
        let using = |epoch, ids| cache.use_session(id, epoch, ids, at(1)).map(|s| s.id);
        assert_eq!(using(2, true), Err(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(using(1, false), Err(ErrorCode::FetchSessionTopicIdError));
        assert_eq!(using(1, true), Ok(id));
        assert!(cache.is_current(id, 1));
        assert_eq!(using(1, true), Err(ErrorCode::InvalidFetchSessionEpoch));
        assert_eq!(using(2, true), Ok(id));
        assert!(!cache.is_current(id, 1));
        assert_eq!(next_epoch(i32::MAX), 1);
        let other = cache.use_session(if id == 1 { 2 } else { 1 }, 1, true, at(1));
        assert_eq!(other.map(|s| s.id), Err(ErrorCode::FetchSessionIdNotFound));
        assert!(cache.remove(id).is_some());
        assert_eq!(using(3, true), Err(ErrorCode::FetchSessionIdNotFound));
    }

    #[test]
    fn a_full_cache_gives_up_idle_or_smaller_sessions_only() {
        let cache = SessionCache::new(2, Prng::new(1));
        let small = create(&cache, 3, 0).session.expect("room").id;
        let large = create(&cache, 30, 1).session.expect("room").id;
        assert!(create(&cache, 10, 100).session.is_none(), "both are young");
        assert!(cache.use_session(small, 1, true, at(100)).is_ok());
        assert!(cache.use_session(large, 1, true, at(100)).is_ok());
        assert!(create(&cache, 2, 130).session.is_none(), "none is smaller");
        let created = create(&cache, 10, 130);
        assert_eq!(created.evicted.map(|s| s.id), Some(small));
        let created = create(&cache, 1, 230);
        assert_eq!(created.evicted.map(|s| s.id), Some(large), "it is idle");
        assert_eq!(cache.len(), 2);
    }
}
