//! The consumer's machine for assigned partitions: where to start, what to fetch from whom, what to
//! do when leaders move.
//!
//! Each broker has at most one fetch under way. A partition is fetched ahead of the application by
//! one or two chunks; [`FetcherConfig::buffer_bytes_max`] bounds all of them together.

mod config;
mod session;

mod answers;

pub use config::{
    FetchFault, FetchFaultKind, FetcherConfig, OffsetReset, PartitionProgress, StartOffset,
};

use crate::core::call::{
    BrokerEndpoint, Call, CallId, FetchCall, FetchCallPartition, ListOffsetsCall, Request, Target,
};
use crate::core::consumed::FetchedChunk;
use crate::core::metadata::Metadata;
use crate::core::partition_key::PartitionKey;
use ottla_types::{BrokerId, LeaderEpoch, Mono, Offset, Prng};
use session::Session;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Chunks of one partition that wait for the application before it is not fetched further.
const CHUNKS_PER_PARTITION_MAX: usize = 2;

/// Where fetching stands; ahead of the application by what is buffered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// To be looked up.
    Wanted(StartOffset),
    /// Being looked up.
    Asked(StartOffset),
    /// The next offset to fetch.
    At(Offset),
    /// Somebody else is looking it up: see [`FetcherCore::hold`].
    Held,
    /// Reported as a fault.
    Stopped,
}

impl From<StartOffset> for Position {
    fn from(start: StartOffset) -> Position {
        match start {
            StartOffset::At(offset) => Position::At(offset),
            start => Position::Wanted(start),
        }
    }
}

#[derive(Debug)]
struct Assigned {
    position: Position,
    /// Grows with every seek: what was asked before it is not wanted any more.
    version: u64,
    consumed: Option<Offset>,
    chunks: usize,
    not_before: Mono,
    failures: u32,
    paused: bool,
    log_start_offset: Option<Offset>,
    high_watermark: Option<Offset>,
    last_stable_offset: Option<Offset>,
}

#[derive(Debug)]
enum Pending {
    Metadata,
    ListOffsets(Vec<(PartitionKey, u64)>),
    Fetch {
        broker: BrokerId,
        partitions: Vec<FetchedPartition>,
    },
}

/// A partition that a fetch asks for (also if only the session mentions it).
#[derive(Clone, Debug)]
struct FetchedPartition {
    request: FetchCallPartition,
    version: u64,
}

/// See the module's description.
///
/// Invariants: at most one fetch per broker; chunks are given out in the order of their offsets.
#[derive(Debug)]
pub struct FetcherCore {
    config: FetcherConfig,
    metadata: Metadata,
    prng: Prng,
    assigned: BTreeMap<PartitionKey, Assigned>,
    sessions: BTreeMap<BrokerId, Session>,
    pending: BTreeMap<CallId, Pending>,
    next_call: u64,
    next_version: u64,
    ready: VecDeque<FetchedChunk>,
    buffered_bytes: usize,
    faults: VecDeque<FetchFault>,
    /// Why the last fetch or look-up brought nothing.
    obstacle: Option<String>,
    /// Topics that stay known even if nothing of them is assigned.
    kept_topics: BTreeSet<Arc<str>>,
}

impl FetcherCore {
    /// A fetcher without partitions.
    pub fn new(config: FetcherConfig) -> FetcherCore {
        let metadata = Metadata::new(
            config.allow_auto_topic_creation,
            config.metadata_age_max,
            config.backoff,
        );
        FetcherCore {
            metadata,
            prng: Prng::new(config.seed),
            assigned: BTreeMap::new(),
            sessions: BTreeMap::new(),
            pending: BTreeMap::new(),
            next_call: 1,
            next_version: 1,
            ready: VecDeque::new(),
            buffered_bytes: 0,
            faults: VecDeque::new(),
            obstacle: None,
            kept_topics: BTreeSet::new(),
            config,
        }
    }

    /// What is known of the cluster.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// How it works.
    pub fn config(&self) -> &FetcherConfig {
        &self.config
    }

    /// Makes sure the topic is looked up, so that its partitions become known.
    pub fn want_topic(&mut self, topic: &Arc<str>, now: Mono) {
        self.metadata.want(topic, now);
    }

    /// Keeps these topics known instead of those named before, whatever is assigned.
    pub fn keep_topics(&mut self, topics: BTreeSet<Arc<str>>, now: Mono) {
        for topic in &topics {
            self.metadata.want(topic, now);
        }
        for topic in std::mem::replace(&mut self.kept_topics, topics) {
            self.forget_if_unused(&topic);
        }
    }

    fn forget_if_unused(&mut self, topic: &Arc<str>) {
        let assigned = self.assigned.keys().any(|other| other.topic == *topic);
        if !assigned && !self.kept_topics.contains(topic) {
            self.metadata.forget(topic);
        }
    }

    /// Reads this partition from `start` on; also moves a partition that is read already, which then
    /// is not paused any more.
    pub fn assign(&mut self, key: PartitionKey, start: StartOffset, now: Mono) {
        self.begin(key, start.into(), now);
    }

    /// Takes this partition over without reading it: where to begin is being looked up elsewhere, and
    /// said with [`FetcherCore::seek`]. Gives the number by which [`FetcherCore::is_held`] knows it.
    pub fn hold(&mut self, key: PartitionKey, now: Mono) -> u64 {
        self.begin(key, Position::Held, now)
    }

    /// Whether the partition still waits since the [`FetcherCore::hold`] that gave this number.
    pub fn is_held(&self, key: &PartitionKey, number: u64) -> bool {
        self.assigned.get(key).is_some_and(|assigned| {
            assigned.version == number && assigned.position == Position::Held
        })
    }

    /// The number of the [`FetcherCore::hold`] that the partition waits since, if it does.
    pub fn held_number(&self, key: &PartitionKey) -> Option<u64> {
        let assigned = self.assigned.get(key)?;
        (assigned.position == Position::Held).then_some(assigned.version)
    }

    /// Moves a partition that is assigned; it stays paused if it is. False if it is not assigned.
    pub fn seek(&mut self, key: &PartitionKey, start: StartOffset, now: Mono) -> bool {
        let Some(assigned) = self.assigned.get(key) else {
            return false;
        };
        let paused = assigned.paused;
        self.begin(key.clone(), start.into(), now);
        if paused {
            self.pause(key);
        }
        true
    }

    /// Gives a partition up as unreadable; a seek makes it go on.
    pub fn stop(&mut self, key: &PartitionKey, kind: FetchFaultKind) {
        self.fault(key, kind);
    }

    fn begin(&mut self, key: PartitionKey, position: Position, now: Mono) -> u64 {
        self.metadata.want(&key.topic, now);
        self.drop_buffered(&key);
        let version = self.next_version;
        self.next_version += 1;
        let consumed = match position {
            Position::At(offset) => Some(offset),
            _ => None,
        };
        let assigned = Assigned {
            position,
            version,
            consumed,
            chunks: 0,
            not_before: Mono::ZERO,
            failures: 0,
            paused: false,
            log_start_offset: None,
            high_watermark: None,
            last_stable_offset: None,
        };
        self.assigned.insert(key, assigned);
        version
    }

    /// Reads this partition no more.
    pub fn unassign(&mut self, key: &PartitionKey) {
        self.drop_buffered(key);
        if self.assigned.remove(key).is_some() {
            self.forget_if_unused(&key.topic);
        }
    }

    /// Fetches nothing of this partition until [`FetcherCore::resume`]. What is buffered still comes.
    pub fn pause(&mut self, key: &PartitionKey) {
        if let Some(assigned) = self.assigned.get_mut(key) {
            assigned.paused = true;
        }
    }

    /// Ends a pause.
    pub fn resume(&mut self, key: &PartitionKey) {
        if let Some(assigned) = self.assigned.get_mut(key) {
            assigned.paused = false;
        }
    }

    fn drop_buffered(&mut self, key: &PartitionKey) {
        let buffered = &mut self.buffered_bytes;
        self.ready.retain(|chunk| {
            let keep = chunk.partition != *key;
            if !keep {
                *buffered -= chunk.bytes.len();
            }
            keep
        });
    }

    /// The partitions that are read.
    pub fn assignment(&self) -> impl Iterator<Item = &PartitionKey> {
        self.assigned.keys()
    }

    /// How far a partition has been read; `None` if it is not assigned.
    pub fn progress(&self, key: &PartitionKey) -> Option<PartitionProgress> {
        let assigned = self.assigned.get(key)?;
        Some(PartitionProgress {
            position: assigned.consumed,
            log_start_offset: assigned.log_start_offset,
            high_watermark: assigned.high_watermark,
            last_stable_offset: assigned.last_stable_offset,
        })
    }

    /// The next chunk for the application, whose position moves behind it.
    pub fn take_chunk(&mut self) -> Option<FetchedChunk> {
        let chunk = self.ready.pop_front()?;
        self.buffered_bytes -= chunk.bytes.len();
        if let Some(assigned) = self.assigned.get_mut(&chunk.partition)
            && assigned.version == chunk.version
        {
            assigned.chunks -= 1;
            assigned.consumed = Some(chunk.end_offset);
        }
        Some(chunk)
    }

    /// What stands in the way of reading at the moment, if anything does.
    pub fn waiting_for(&self) -> Option<&str> {
        self.obstacle.as_deref().or(self.metadata.last_failure())
    }

    /// The next fault to report.
    pub fn take_fault(&mut self) -> Option<FetchFault> {
        self.faults.pop_front()
    }

    /// The application found that what it took cannot be read: stops the partition there.
    pub fn on_unreadable(&mut self, chunk: &FetchedChunk, reason: String) {
        let kind = FetchFaultKind::Unreadable {
            position: chunk.fetch_offset,
            reason,
        };
        self.fault(&chunk.partition, kind);
    }

    fn fault(&mut self, key: &PartitionKey, kind: FetchFaultKind) {
        if let Some(assigned) = self.assigned.get_mut(key) {
            assigned.position = Position::Stopped;
        }
        self.faults.push_back(FetchFault {
            partition: key.clone(),
            kind,
        });
    }

    /// Adds the calls that are to be made now.
    pub fn poll(&mut self, now: Mono, calls: &mut Vec<Call>) {
        if let Some((target, request)) = self.metadata.poll(now) {
            self.push_call(calls, target, request, Pending::Metadata, Duration::ZERO);
        }
        let mut lookups: BTreeMap<BrokerEndpoint, Vec<(PartitionKey, StartOffset)>> =
            BTreeMap::new();
        let mut fetches: BTreeMap<BrokerEndpoint, Vec<PartitionKey>> = BTreeMap::new();
        let mut leader_missing = false;
        for (key, assigned) in &self.assigned {
            if assigned.not_before > now || !self.is_wanted(assigned) {
                continue;
            }
            let Some((leader, _)) = self.metadata.leader(key) else {
                leader_missing = true;
                continue;
            };
            match assigned.position {
                Position::Wanted(start) => {
                    lookups
                        .entry(leader.clone())
                        .or_default()
                        .push((key.clone(), start));
                }
                Position::At(_) => fetches.entry(leader.clone()).or_default().push(key.clone()),
                Position::Asked(_) | Position::Held | Position::Stopped => {}
            }
        }
        if leader_missing {
            self.metadata.refresh(now);
        }
        for (leader, partitions) in lookups {
            self.push_lookup(leader, partitions, calls);
        }
        for (leader, keys) in fetches {
            let busy = self.sessions.entry(leader.id).or_default().is_busy;
            if !busy && self.buffered_bytes < self.config.buffer_bytes_max {
                self.push_fetch(leader, keys, calls);
            }
        }
    }

    fn is_wanted(&self, assigned: &Assigned) -> bool {
        match assigned.position {
            Position::Wanted(_) => true,
            Position::At(_) => !assigned.paused && assigned.chunks < CHUNKS_PER_PARTITION_MAX,
            Position::Asked(_) | Position::Held | Position::Stopped => false,
        }
    }

    fn push_call(
        &mut self,
        calls: &mut Vec<Call>,
        target: Target,
        request: Request,
        pending: Pending,
        server_wait: Duration,
    ) {
        let id = CallId(self.next_call);
        self.next_call += 1;
        self.pending.insert(id, pending);
        let timeout = self.config.request_timeout + server_wait;
        calls.push(Call {
            id,
            target,
            request,
            timeout,
        });
    }

    fn leader_epoch(&self, key: &PartitionKey) -> i32 {
        let epoch = self.metadata.leader(key).and_then(|(_, epoch)| epoch);
        epoch.map_or(-1, LeaderEpoch::get)
    }

    fn push_lookup(
        &mut self,
        leader: BrokerEndpoint,
        partitions: Vec<(PartitionKey, StartOffset)>,
        calls: &mut Vec<Call>,
    ) {
        let mut wanted = Vec::new();
        let mut versions = Vec::new();
        for (key, start) in partitions {
            let timestamp = match start {
                StartOffset::Latest => -1,
                StartOffset::Earliest => -2,
                StartOffset::Time(timestamp) => timestamp.as_millis().max(0),
                StartOffset::At(_) => unreachable!("a known offset needs no look-up"),
            };
            wanted.push((key.clone(), self.leader_epoch(&key), timestamp));
            if let Some(assigned) = self.assigned.get_mut(&key) {
                assigned.position = Position::Asked(start);
                versions.push((key, assigned.version));
            }
        }
        let timeout_ms = i32::try_from(self.config.request_timeout.as_millis()).unwrap_or(i32::MAX);
        let call = ListOffsetsCall {
            isolation: self.config.isolation,
            partitions: wanted,
            timeout_ms,
        };
        let pending = Pending::ListOffsets(versions);
        let target = Target::Broker(leader);
        self.push_call(
            calls,
            target,
            Request::ListOffsets(call),
            pending,
            Duration::ZERO,
        );
    }

    fn push_fetch(
        &mut self,
        leader: BrokerEndpoint,
        keys: Vec<PartitionKey>,
        calls: &mut Vec<Call>,
    ) {
        let mut partitions = Vec::new();
        for key in keys {
            let Some(assigned) = self.assigned.get(&key) else {
                continue;
            };
            let Position::At(offset) = assigned.position else {
                continue;
            };
            let request = FetchCallPartition {
                topic_id: self.metadata.topic_id(&key.topic),
                fetch_offset: offset.get(),
                leader_epoch: self.leader_epoch(&key),
                max_bytes: wire_size(self.config.partition_bytes_max),
                key,
            };
            partitions.push(FetchedPartition {
                request,
                version: assigned.version,
            });
        }
        let session = self.sessions.entry(leader.id).or_default();
        let plan = session.plan(
            partitions.iter().map(|part| &part.request),
            self.config.sessions,
        );
        session.is_busy = true;
        let wait = self.config.fetch_wait_max;
        let call = FetchCall {
            max_wait_ms: i32::try_from(wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: wire_size(self.config.fetch_bytes_min),
            max_bytes: wire_size(self.config.fetch_bytes_max),
            isolation: self.config.isolation,
            session_id: plan.session_id,
            session_epoch: plan.session_epoch,
            partitions: plan.partitions,
            forgotten: plan.forgotten,
        };
        let pending = Pending::Fetch {
            broker: leader.id,
            partitions,
        };
        let target = Target::Broker(leader);
        self.push_call(calls, target, Request::Fetch(call), pending, wait);
    }

    /// When [`FetcherCore::poll`] wants to be called without an answer having come.
    pub fn next_deadline(&self, now: Mono) -> Option<Mono> {
        let mut deadline = self.metadata.next_deadline();
        for (key, assigned) in &self.assigned {
            if !self.is_wanted(assigned) {
                continue;
            }
            let Some((leader, _)) = self.metadata.leader(key) else {
                continue;
            };
            let fetches = matches!(assigned.position, Position::At(_));
            let busy = self
                .sessions
                .get(&leader.id)
                .is_some_and(|session| session.is_busy);
            let full = self.buffered_bytes >= self.config.buffer_bytes_max;
            if fetches && (busy || full) {
                continue;
            }
            let at = assigned.not_before.max(now);
            deadline = Some(deadline.map_or(at, |known| known.min(at)));
        }
        deadline
    }
}

fn wire_size(size: usize) -> i32 {
    i32::try_from(size).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
