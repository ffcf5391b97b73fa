use super::partition_log::PartitionLog;
use super::question::{Answered, Question};
use super::settings;
use crate::broker::Broker;
use crate::config::BrokerConfig;
use crate::partition::LocalPartition;
use crate::response::CoreId;
use crate::waiting::Deadlines;
use ottla_coordinator::group::{GroupCommand, GroupConfig, GroupCoordinator};
use ottla_coordinator::{Log, Refusal, Shard, ShardOptions, Waiter};
use ottla_storage::planted::PlantedBug;
use ottla_types::{LeaderEpoch, Mono, Now, PartitionId, Prng, TopicId};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The groups that are coordinated here.
pub(crate) struct Groups {
    pub(super) config: Arc<GroupConfig>,
    pub(super) options: ShardOptions,
    pub(super) shards: RwLock<BTreeMap<PartitionId, Arc<GroupShard>>>,
    pub(super) prng: Mutex<Prng>,
    /// For each core: when which of its shards, by partition, has something to do.
    pub(super) timers: Vec<Mutex<Deadlines>>,
}

/// One partition of the offsets topic, led from here.
///
/// Lock order: a shard, then everything below partitions and cores. Questions are answered after
/// the shard was let go.
pub(crate) struct GroupShard {
    pub(super) partition: Arc<LocalPartition>,
    pub(super) leader_epoch: LeaderEpoch,
    /// The core on which its timers ring.
    pub(super) core: CoreId,
    /// Its log cannot be read: it is no use to begin again.
    pub(super) is_unreadable: AtomicBool,
    state: Mutex<ShardState>,
}

struct ShardState {
    shard: Shard<GroupCoordinator>,
    askers: BTreeMap<Waiter, Asker>,
    askers_count: u64,
    /// When the core looks at it next.
    armed: Option<Mono>,
    /// What waits until the log has changed its directory, in its order.
    deferred: Vec<(CoreId, Waiter, GroupCommand)>,
    /// Set while there may be offsets of topics that are gone: when they are looked for, once it serves.
    cleanup: Option<Mono>,
}

/// How soon it is looked again whether the log has changed its directory. Whoever asks is told at once.
const DIRECTORY_RETRY: Duration = Duration::from_millis(5);

/// How soon offsets of topics that are gone are looked for again when the log takes no appends.
const CLEANUP_RETRY: Duration = Duration::from_secs(1);

/// A part of a question.
pub(super) struct Asker {
    pub(super) question: Arc<Question>,
    pub(super) index: usize,
}

impl Groups {
    /// No shards yet. `batch_bytes_max` is what every log directory takes in one append.
    pub(crate) fn new(
        config: &BrokerConfig,
        batch_bytes_max: usize,
        cores_count: usize,
        prng: Prng,
    ) -> Groups {
        Groups {
            config: Arc::new(settings::group_config(config, batch_bytes_max)),
            options: settings::shard_options(config),
            shards: RwLock::default(),
            prng: Mutex::new(prng),
            timers: (0..cores_count).map(|_| Mutex::default()).collect(),
        }
    }

    pub(super) fn get(&self, partition: PartitionId) -> Option<Arc<GroupShard>> {
        self.shards.read().get(&partition).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<GroupShard>> {
        self.shards.read().values().cloned().collect()
    }

    /// When the core has to look at one of its shards.
    pub(crate) fn next_deadline(&self, core: CoreId) -> Option<Mono> {
        self.timers[core.index()].lock().next()
    }
}

impl ShardState {
    /// Puts a command to the shard whose answer nobody waits for.
    fn tell(&mut self, command: GroupCommand, log: &mut PartitionLog<'_>, now: Now) {
        self.askers_count += 1;
        let waiter = Waiter::new(self.askers_count);
        self.shard.execute(waiter, command, log, now);
    }
}

impl GroupShard {
    pub(super) fn new(
        groups: &Groups,
        partition: Arc<LocalPartition>,
        leader_epoch: LeaderEpoch,
    ) -> Option<GroupShard> {
        let ends = partition.at_home(|home| home.log_dir.ends(home.slot))?;
        let seed = groups.prng.lock().next_u64();
        let machine = GroupCoordinator::new(Arc::clone(&groups.config), seed);
        let number = partition.id.partition.get() as usize;
        Some(GroupShard {
            leader_epoch,
            core: CoreId::new((number % groups.timers.len()) as u16),
            is_unreadable: AtomicBool::new(false),
            state: Mutex::new(ShardState {
                shard: Shard::new(machine, groups.options, ends.log_start, ends.appended_end),
                askers: BTreeMap::new(),
                askers_count: 0,
                armed: None,
                deferred: Vec::new(),
                // A topic may have been deleted while nobody served.
                cleanup: Some(Mono::ZERO),
            }),
            partition,
        })
    }

    /// Whether it was loaded for this leadership.
    pub(super) fn is_for(&self, partition: &Arc<LocalPartition>, epoch: LeaderEpoch) -> bool {
        Arc::ptr_eq(&self.partition, partition) && self.leader_epoch == epoch
    }

    /// Lets `act` work on the shard, and hands on what becomes answerable by it.
    pub(super) fn work<R>(
        &self,
        broker: &Broker,
        act: impl FnOnce(&mut Shard<GroupCoordinator>) -> R,
    ) -> R {
        let mut state = self.state.lock();
        let result = act(&mut state.shard);
        self.settle(broker, state);
        result
    }

    /// Lets `see` look at the groups, if they are served.
    pub(crate) fn look(&self, see: impl FnOnce(&GroupCoordinator)) {
        let state = self.state.lock();
        if state.shard.is_serving() {
            see(state.shard.machine());
        }
    }

    /// Puts a command to the shard.
    pub(super) fn ask(
        &self,
        broker: &Broker,
        core: CoreId,
        command: GroupCommand,
        asker: Option<Asker>,
        now: Now,
    ) {
        let mut state = self.state.lock();
        state.askers_count += 1;
        let waiter = Waiter::new(state.askers_count);
        if let Some(asker) = asker {
            state.askers.insert(waiter, asker);
        }
        match self.log(broker, core) {
            // In their order: none overtakes those that wait.
            Some(log) if state.deferred.is_empty() => {
                self.execute(broker, &mut state, (waiter, command), log, now);
            }
            Some(_) | None => state.deferred.push((core, waiter, command)),
        }
        self.settle(broker, state);
    }

    /// Whether commands wait until the log has changed its directory.
    pub(super) fn has_deferred(&self) -> bool {
        !self.state.lock().deferred.is_empty()
    }

    /// The log has changed its directory, or stays where it is: what had to wait goes on.
    pub(super) fn resume(&self, broker: &Broker, now: Now) {
        let mut state = self.state.lock();
        for (core, waiter, command) in std::mem::take(&mut state.deferred) {
            match self.log(broker, core) {
                Some(log) if state.deferred.is_empty() => {
                    self.execute(broker, &mut state, (waiter, command), log, now);
                }
                Some(_) | None => state.deferred.push((core, waiter, command)),
            }
        }
        self.settle(broker, state);
    }

    fn execute(
        &self,
        broker: &Broker,
        state: &mut ShardState,
        (waiter, command): (Waiter, GroupCommand),
        mut log: PartitionLog<'_>,
        now: Now,
    ) {
        state.shard.execute(waiter, command, &mut log, now);
        if self.has_planted(PlantedBug::CoordinatorAnswersEarly)
            && let Some(ends) = self.partition.at_home(|home| home.log_dir.ends(home.slot))
        {
            state.shard.committed(ends.appended_end);
        }
        if broker.is_draining() {
            // Nobody begins to wait for others any more.
            state.shard.send_away();
        }
    }

    /// A topic is gone, and the image knows: so are its offsets, now or as soon as they can be.
    pub(super) fn forget_topic(&self, broker: &Broker, name: &Arc<str>, id: TopicId, now: Now) {
        let mut state = self.state.lock();
        let mut log = self.log(broker, self.core);
        if let Some(log) = &mut log
            && state.shard.is_serving()
            && log.admit().is_ok()
        {
            let name = Arc::clone(name);
            state.tell(GroupCommand::ForgetTopic { name, id }, log, now);
        } else {
            state.cleanup = Some(now.mono);
        }
        drop(log);
        self.settle(broker, state);
    }

    /// Removes the offsets of topics that are gone, if it is time and the log takes appends.
    fn clean_up(broker: &Broker, state: &mut ShardState, log: &mut PartitionLog<'_>, now: Now) {
        let is_due = state.cleanup.is_some_and(|at| at <= now.mono);
        if !is_due || !state.shard.is_serving() {
            return;
        }
        if log.admit().is_err() {
            state.cleanup = Some(now.mono.plus(CLEANUP_RETRY));
            return;
        }
        state.cleanup = None;
        let view = broker.view.load();
        let topics = state.shard.machine().offset_topics();
        let gone = topics.filter(|(_, id)| view.image.topic(*id).is_none());
        let gone: BTreeSet<(Arc<str>, TopicId)> =
            gone.map(|(name, id)| (Arc::clone(name), id)).collect();
        for (name, id) in gone {
            state.tell(GroupCommand::ForgetTopic { name, id }, log, now);
        }
    }

    /// The core's look at it.
    pub(super) fn tick(&self, broker: &Broker, now: Now) {
        let mut state = self.state.lock();
        state.armed = None;
        let Some(mut log) = self.log(broker, self.core) else {
            return self.arm(broker, &mut state, now.mono.plus(DIRECTORY_RETRY));
        };
        state.shard.tick(&mut log, now);
        // What was loaded may be committed since, without an append to tell.
        if let Ok(view) = self.partition.read_view(None) {
            state.shard.committed(view.high_watermark);
        }
        Self::clean_up(broker, &mut state, &mut log, now);
        drop(log);
        self.settle(broker, state);
    }

    /// Whether this bug is planted; never outside the simulator.
    pub(super) fn has_planted(&self, bug: PlantedBug) -> bool {
        self.partition.home().log_dir.options().planted.is(bug)
    }

    /// `None` while the log changes its directory.
    fn log<'a>(&'a self, broker: &'a Broker, core: CoreId) -> Option<PartitionLog<'a>> {
        PartitionLog::open(broker, &self.partition, self.leader_epoch, core)
    }

    fn settle(&self, broker: &Broker, mut state: parking_lot::MutexGuard<'_, ShardState>) {
        let answers = state.shard.take_answers();
        let answers = answers.into_iter().filter_map(|(waiter, answered)| {
            let asker = state.askers.remove(&waiter)?;
            Some((asker, answered))
        });
        let mut answers: Vec<(Asker, Answered)> = answers.collect();
        if state.shard.is_gone() {
            // What was never put to the shard is not answered by it.
            for (_, waiter, _) in std::mem::take(&mut state.deferred) {
                let asker = state.askers.remove(&waiter);
                answers.extend(asker.map(|asker| (asker, Err(Refusal::NotCoordinator))));
            }
        }
        let cleanup = state.cleanup.filter(|_| state.shard.is_serving());
        if let Some(next) = state.shard.next_deadline().into_iter().chain(cleanup).min()
            && state.armed.is_none_or(|armed| next < armed)
        {
            self.arm(broker, &mut state, next);
        }
        let is_gone = state.shard.is_gone();
        drop(state);
        if is_gone {
            broker.shard_is_gone(self);
        }
        for (asker, answered) in answers {
            asker.question.answer(broker, asker.index, answered);
        }
    }

    fn arm(&self, broker: &Broker, state: &mut ShardState, at: Mono) {
        let number = self.partition.id.partition.get() as u64;
        let mut timers = broker.groups.timers[self.core.index()].lock();
        if let Some(armed) = state.armed.replace(at) {
            timers.remove(armed, number);
        }
        let is_first = timers.next().is_none_or(|first| at < first);
        timers.insert(at, number);
        drop(timers);
        if is_first {
            broker.wake_core(self.core);
        }
    }
}
