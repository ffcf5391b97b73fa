use crate::config::{TopicConfig, TopicTimestamps};
use crate::fetch::{FetchSet, Told};
use crate::metrics::TopicMetrics;
use crate::response::Token;
use arc_swap::{ArcSwap, Guard};
use ottla_metadata::Partition as PartitionImage;
use ottla_records::{Codec, CompressionLevel, KeyRule, ProduceRules, TimestampType};
use ottla_replication::{EpochError, IsrChange, Leader, LeaderStart};
use ottla_storage::log_dir::{DirHealth, LogDir};
use ottla_storage::partition::Ends;
use ottla_types::{BrokerId, ErrorCode, LeaderEpoch, Offset, PartitionSlot, TopicPartition};
use parking_lot::{Mutex, MutexGuard};
use std::fmt;
use std::sync::{Arc, Weak};

/// Where a partition's log is.
pub(crate) struct LogHome {
    /// Which of the broker's log directories.
    pub(crate) directory: usize,
    pub(crate) log_dir: Arc<LogDir>,
    pub(crate) slot: PartitionSlot,
}

/// A partition this broker holds: where its log is, whether we lead it, and who waits for it.
///
/// Lock order: fetch set, then partition. Who tells watchers has let go of the partition before.
pub(crate) struct LocalPartition {
    pub(crate) id: TopicPartition,
    pub(crate) topic: Arc<str>,
    pub(crate) metrics: Arc<TopicMetrics>,
    /// Changes only under the lock of `state`, and while the gate keeps appends away.
    home: ArcSwap<LogHome>,
    state: Mutex<PartitionState>,
    /// Who waits for the cold read that is under way; `None` while none is.
    cold_read: Mutex<Option<Vec<Token>>>,
}

struct PartitionState {
    /// `None` while another broker leads, and before this incarnation is registered.
    leader: Option<Leader>,
    config: Arc<TopicConfig>,
    /// Fetches that want to hear when high watermark or log start move.
    watchers: Vec<Watcher>,
    /// What the watchers heard last.
    announced: Option<Told>,
    is_gone: bool,
}

struct Watcher {
    set: Weak<FetchSet>,
    index: usize,
}

/// What an append needs to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProduceView {
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) rules: ProduceRules,
    /// How batches are stored; `None`: as they come.
    pub(crate) compression: Option<(Codec, CompressionLevel)>,
    /// Whether acks=all may be accepted.
    pub(crate) has_enough_replicas: bool,
}

/// What a read needs to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadView {
    pub(crate) leader_epoch: LeaderEpoch,
    /// Exclusive; from it on nobody may read.
    pub(crate) high_watermark: Offset,
    pub(crate) log_start_offset: Offset,
    /// Exclusive; the next record gets it.
    pub(crate) log_end_offset: Offset,
    /// Whether everything an earlier leader may have shown is below the high watermark.
    pub(crate) is_certain: bool,
}

impl ReadView {
    /// Nothing is ever part of a transaction here, so the last stable offset is the high watermark.
    pub(crate) fn last_stable_offset(&self) -> Offset {
        self.high_watermark
    }

    pub(crate) fn told(&self) -> Told {
        Told {
            high_watermark: self.high_watermark,
            log_start_offset: self.log_start_offset,
        }
    }
}

impl LocalPartition {
    pub(crate) fn new(
        id: TopicPartition,
        topic: Arc<str>,
        metrics: Arc<TopicMetrics>,
        home: LogHome,
        config: Arc<TopicConfig>,
    ) -> LocalPartition {
        LocalPartition {
            id,
            topic,
            metrics,
            home: ArcSwap::from_pointee(home),
            state: Mutex::new(PartitionState {
                leader: None,
                config,
                watchers: Vec::new(),
                announced: None,
                is_gone: false,
            }),
            cold_read: Mutex::default(),
        }
    }

    /// Where its log is now. Whoever appends has passed the gate before, and asks for it once.
    pub(crate) fn home(&self) -> Guard<Arc<LogHome>> {
        self.home.load()
    }

    /// Does `act` where the log is: again if it moved meanwhile, for what is found at the old place is nothing
    /// any more.
    pub(crate) fn at_home<T>(&self, mut act: impl FnMut(&LogHome) -> T) -> T {
        loop {
            let home = self.home.load();
            let result = act(&home);
            if Arc::ptr_eq(&home, &self.home.load()) {
                return result;
            }
        }
    }

    /// The log is at `home` from now on, as long as at the old place. Tells the watchers, since what they were
    /// told may have been read there.
    pub(crate) fn move_to(&self, home: LogHome) -> Vec<Token> {
        let mut state = self.state.lock();
        self.home.store(Arc::new(home));
        state.announced = None;
        drop(state);
        self.announce()
    }

    /// Follows the metadata: leads in the epoch it names, or not. Returns whether that is a new epoch.
    pub(crate) fn follow(&self, me: BrokerId, image: &PartitionImage) -> bool {
        let mut state = self.state.lock();
        let ends = self.ends().filter(|_| image.leader == Some(me));
        let Some(ends) = ends else {
            state.leader = None;
            return false;
        };
        let current = state.leader.as_ref().map(Leader::leader_epoch);
        if current == Some(image.leader_epoch) {
            let leader = state.leader.as_mut().expect("it has an epoch");
            leader.isr_changed(IsrChange {
                isr: &image.isr,
                partition_epoch: image.partition_epoch,
            });
            return false;
        }
        state.leader = Some(Leader::new(LeaderStart {
            me,
            leader_epoch: image.leader_epoch,
            partition_epoch: image.partition_epoch,
            replicas: &image.replicas,
            isr: &image.isr,
            min_insync_replicas: state.config.min_insync_replicas as usize,
            log_start: ends.log_start,
            high_watermark: ends.log_start,
            appended_end: ends.appended_end,
            durable_end: ends.durable_end,
        }));
        true
    }

    pub(crate) fn set_config(&self, config: Arc<TopicConfig>) {
        let mut state = self.state.lock();
        if let Some(leader) = &mut state.leader {
            leader.min_insync_replicas_changed(config.min_insync_replicas as usize);
        }
        state.config = config;
    }

    /// The topic's configuration in force.
    pub(crate) fn config(&self) -> Arc<TopicConfig> {
        Arc::clone(&self.state.lock().config)
    }

    /// The partition is no longer ours to serve; tells the watchers.
    pub(crate) fn leave(&self) -> Vec<Token> {
        let mut state = self.state.lock();
        state.is_gone = true;
        state.leader = None;
        tell(state)
    }

    /// What a failed operation of the log means to a client: a topic that was deleted meanwhile is
    /// unknown, whatever the log said.
    pub(crate) fn error_unless_gone(&self, code: ErrorCode) -> ErrorCode {
        match (code, self.is_gone()) {
            (ErrorCode::NotLeaderOrFollower, true) => ErrorCode::UnknownTopicOrPartition,
            (code, _) => code,
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.state.lock().is_gone
    }

    /// What an append must obey.
    pub(crate) fn produce_view(&self) -> Result<ProduceView, ErrorCode> {
        let state = self.state.lock();
        let leader = state.leader.as_ref();
        let leader = leader.ok_or_else(|| self.refusal(&state))?;
        Ok(ProduceView {
            leader_epoch: leader.leader_epoch(),
            rules: produce_rules(&state.config),
            compression: state.config.compression,
            has_enough_replicas: leader.check_min_isr().is_ok(),
        })
    }

    /// The largest batch in bytes that may come of compressing one again; `None` when batches are stored as they come.
    pub(crate) fn recompresses_up_to(&self) -> Option<usize> {
        let state = self.state.lock();
        let rules = produce_rules(&state.config);
        state.config.compression.map(|_| rules.max_message_bytes)
    }

    /// Where the log starts, as answers show it: -1 when its directory has failed.
    pub(crate) fn log_start(&self) -> i64 {
        self.ends().map_or(-1, |ends| ends.log_start.get())
    }

    /// What a client that believes in `client_epoch` may read.
    pub(crate) fn read_view(
        &self,
        client_epoch: Option<LeaderEpoch>,
    ) -> Result<ReadView, ErrorCode> {
        let mut state = self.state.lock();
        let refusal = self.refusal(&state);
        let ends = self.ends().ok_or(refusal)?;
        let leader = state.leader.as_mut().ok_or(refusal)?;
        leader
            .check_epoch(client_epoch)
            .map_err(|error| match error {
                EpochError::Fenced { .. } => ErrorCode::FencedLeaderEpoch,
                EpochError::Unknown { .. } => ErrorCode::UnknownLeaderEpoch,
            })?;
        Ok(advance(leader, ends))
    }

    /// The journal got further, or the log start moved: moves the high watermark and tells those who
    /// wait for it. Returns the requests to wake.
    pub(crate) fn announce(&self) -> Vec<Token> {
        let mut state = self.state.lock();
        let ends = self.ends();
        let (Some(leader), Some(ends)) = (state.leader.as_mut(), ends) else {
            return Vec::new();
        };
        let told = advance(leader, ends).told();
        if state.announced == Some(told) {
            return Vec::new();
        }
        state.announced = Some(told);
        // Retention and compaction go no further.
        let home = self.home();
        home.log_dir
            .set_high_watermark(home.slot, told.high_watermark);
        tell(state)
    }

    /// A fetch needs a cold read, and `token` waits for it, if anybody does. Returns whether the caller
    /// must do it: of one partition only one is under way at a time. Whoever needs another one asks again when
    /// that one is over.
    pub(crate) fn begin_cold_read(&self, token: Option<Token>) -> bool {
        let mut cold_read = self.cold_read.lock();
        let is_first = cold_read.is_none();
        let waiting = cold_read.get_or_insert_default();
        waiting.extend(token.filter(|token| !waiting.contains(token)));
        is_first
    }

    /// The cold read is over. Returns who waits for it.
    pub(crate) fn end_cold_read(&self) -> Vec<Token> {
        self.cold_read.lock().take().unwrap_or_default()
    }

    /// The largest epoch not above `epoch` and where it ended, as of `read`: an epoch that is still
    /// led ends with the log. `None` for an epoch nobody has led yet (`LeaderEpochFileCache.endOffsetFor`).
    pub(crate) fn epoch_end(
        &self,
        read: &ReadView,
        epoch: LeaderEpoch,
    ) -> Option<(LeaderEpoch, Offset)> {
        if epoch == read.leader_epoch {
            return Some((epoch, read.log_end_offset));
        }
        self.at_home(|home| home.log_dir.epoch_end_offset(home.slot, epoch))
    }

    /// From now on `set`'s item `index` hears of every move.
    pub(crate) fn watch(&self, set: &Arc<FetchSet>, index: usize) {
        let set = Arc::downgrade(set);
        self.state.lock().watchers.push(Watcher { set, index });
    }

    /// `set` hears of no more moves.
    pub(crate) fn unwatch(&self, set: &Arc<FetchSet>) {
        let set = Arc::as_ptr(set);
        let mut state = self.state.lock();
        state.watchers.retain(|watcher| watcher.set.as_ptr() != set);
    }
}

impl LocalPartition {
    /// The ends of the log. Under the lock of the state they are those of one place.
    fn ends(&self) -> Option<Ends> {
        let home = self.home();
        home.log_dir.ends(home.slot)
    }

    /// Why nothing can be done here: a request that began before its topic was deleted hears that it
    /// is gone, and not that it should look for another leader; so does one for what a failed directory holds.
    fn refusal(&self, state: &PartitionState) -> ErrorCode {
        match self.home().log_dir.health() {
            _ if state.is_gone => ErrorCode::UnknownTopicOrPartition,
            DirHealth::Offline { .. } => ErrorCode::KafkaStorageError,
            DirHealth::Online | DirHealth::Full => ErrorCode::NotLeaderOrFollower,
        }
    }
}

fn advance(leader: &mut Leader, ends: Ends) -> ReadView {
    leader.appended(ends.appended_end);
    leader.durable(ends.durable_end);
    let high_watermark = leader.high_watermark();
    leader.log_start_moved(ends.log_start.min(high_watermark));
    ReadView {
        leader_epoch: leader.leader_epoch(),
        high_watermark,
        log_start_offset: ends.log_start,
        log_end_offset: ends.appended_end,
        is_certain: leader.is_high_watermark_certain(),
    }
}

/// Tells every watcher, after letting go of the partition.
fn tell(mut state: MutexGuard<'_, PartitionState>) -> Vec<Token> {
    if state.watchers.is_empty() {
        return Vec::new();
    }
    let mut sets = Vec::with_capacity(state.watchers.len());
    state
        .watchers
        .retain(|watcher| match watcher.set.upgrade() {
            Some(set) => {
                sets.push((set, watcher.index));
                true
            }
            None => false,
        });
    drop(state);
    let moved = sets.into_iter();
    moved.filter_map(|(set, index)| set.moved(index)).collect()
}

fn produce_rules(config: &TopicConfig) -> ProduceRules {
    ProduceRules {
        max_message_bytes: config.max_message_bytes as usize,
        timestamp_type: match config.timestamps {
            TopicTimestamps::CreateTime => TimestampType::CreateTime,
            TopicTimestamps::LogAppendTime => TimestampType::LogAppendTime,
        },
        timestamp_before_max_ms: config.timestamp_before_max_ms,
        timestamp_after_max_ms: config.timestamp_after_max_ms,
        keys: if config.compacts {
            KeyRule::Required
        } else {
            KeyRule::Optional
        },
        record_bytes_max: config.max_decompressed_record_bytes as usize,
    }
}

impl fmt::Debug for LocalPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.id.partition)
    }
}
