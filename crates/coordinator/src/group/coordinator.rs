use super::classic::{ClassicGroup, GroupState};
use super::command::{CommitOffsets, GroupCommand, JoinGroup};
use super::committed_offset::CommittedOffset;
use super::config::GroupConfig;
use super::error::GroupError;
use super::group_id::{GroupId, MemberId};
use super::offsets::fetched;
use super::one_group::Group;
use super::records::{self, GroupRecord, millis, read_record};
use super::reply::{DescribedGroup, DescribedMember, GroupReply, JoinRefused, ListedGroup};
use super::turn::{Timer, Turn};
use crate::machine::{Effects, Machine, ReplayError, Waiter, WriteNumber};
use crate::timers::{Alarm, Timers};
use bytes::Bytes;
use ottla_types::{Mono, Now, Prng, Timestamp, TopicId};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

/// Timers that one tick lets ring, at most.
const TIMERS_PER_TICK: usize = 256;
/// Groups that one tick looks through for expired offsets, at most.
const SWEPT_GROUPS_PER_TICK: usize = 512;
/// Records after which a tick stops looking.
const SWEPT_RECORDS_PER_TICK: usize = 4096;

/// The groups whose state is in one partition of `__consumer_offsets`.
#[derive(Debug)]
pub struct GroupCoordinator {
    config: Arc<GroupConfig>,
    prng: Prng,
    groups: BTreeMap<GroupId, Group>,
    timers: Timers<Timer>,
    sweep: Sweep,
    /// The last write of all: what is said of all groups depends on it.
    last_write: WriteNumber,
    /// The last write that removed a group: that there is none depends on it.
    last_removal: WriteNumber,
    /// Records of kinds of groups that this release does not have.
    foreign_count: u64,
}

/// The search for expired offsets.
#[derive(Debug, Default)]
struct Sweep {
    alarm: Alarm,
    /// The group to go on behind, in the middle of a search.
    behind: Option<GroupId>,
}

impl GroupCoordinator {
    /// A coordinator without groups; `seed` makes ids of members.
    pub fn new(config: Arc<GroupConfig>, seed: u64) -> GroupCoordinator {
        GroupCoordinator {
            config,
            prng: Prng::new(seed),
            groups: BTreeMap::new(),
            timers: Timers::default(),
            sweep: Sweep::default(),
            last_write: WriteNumber::LOADED,
            last_removal: WriteNumber::LOADED,
            foreign_count: 0,
        }
    }

    /// How many groups there are.
    pub fn groups_count(&self) -> usize {
        self.groups.len()
    }

    /// Every group's members, by group.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupId, &ClassicGroup)> {
        self.groups.iter().map(|(id, group)| (id, &group.classic))
    }

    /// How many requests committed offsets since the groups were loaded, by group.
    pub fn commits(&self) -> impl Iterator<Item = (&GroupId, u64)> {
        let groups = self.groups.iter();
        groups.map(|(id, group)| (id, group.commits_count))
    }

    /// Every offset that is kept, with its group, topic and partition.
    pub fn offsets(&self) -> impl Iterator<Item = (&GroupId, &Arc<str>, i32, &CommittedOffset)> {
        let groups = self.groups.iter();
        groups.flat_map(|(id, group)| {
            group.offsets.iter().flat_map(move |(topic, partitions)| {
                let partitions = partitions.iter();
                partitions.map(move |(number, offset)| (id, topic, *number, offset))
            })
        })
    }

    /// How many offsets there are.
    pub fn offsets_count(&self) -> usize {
        let groups = self.groups.values();
        let topics = groups.flat_map(|group| group.offsets.values());
        topics.map(BTreeMap::len).sum()
    }

    /// The topics that offsets are kept of, as far as their ids are known. The same one may come often.
    pub fn offset_topics(&self) -> impl Iterator<Item = (&Arc<str>, TopicId)> {
        let offsets = self.groups.values().flat_map(|group| &group.offsets);
        offsets.flat_map(|(name, partitions)| {
            let ids = partitions.values().filter_map(|offset| offset.topic_id);
            ids.map(move |id| (name, id))
        })
    }

    /// Records it was loaded from that belong to kinds of groups this release does not have.
    pub fn foreign_count(&self) -> u64 {
        self.foreign_count
    }

    /// Whether everything it knows is in its records.
    pub fn is_at_rest(&self) -> bool {
        self.groups.values().all(|group| group.classic.is_at_rest())
    }

    /// Panics where an invariant does not hold. For tests and the simulator.
    pub fn check(&self) {
        for group in self.groups.values() {
            group.classic.check();
            assert!(
                group
                    .offsets
                    .values()
                    .all(|partitions| !partitions.is_empty())
            );
        }
    }

    /// Lets `act` work on a group that is there.
    fn turn<R>(
        &mut self,
        id: &GroupId,
        now: Now,
        effects: &mut Effects<GroupReply>,
        act: impl FnOnce(&mut Turn<'_>) -> R,
    ) -> Option<R> {
        let group = self.groups.get_mut(id)?;
        let result = act(&mut Turn {
            id,
            group,
            config: &self.config,
            timers: &mut self.timers,
            prng: &mut self.prng,
            effects,
            now,
        });
        self.last_write = self.last_write.max(group.last_write);
        Some(result)
    }

    fn join(
        &mut self,
        waiter: Waiter,
        request: JoinGroup,
        now: Now,
        effects: &mut Effects<GroupReply>,
    ) {
        let is_new = !self.groups.contains_key(&request.group);
        if let Err(error) = self.check_join(&request, is_new) {
            let member = request.member;
            let reply = GroupReply::Join(Err(JoinRefused { error, member }));
            return effects.reply(waiter, reply, self.last_removal);
        }
        let id = request.group.clone();
        if is_new {
            self.groups.insert(id.clone(), Group::empty(now.wall));
        }
        self.turn(&id, now, effects, |turn| {
            if is_new {
                // The group is to be found after a restart, whatever becomes of its member.
                turn.write_group();
            }
            turn.join(waiter, request);
        });
    }

    fn check_join(&self, request: &JoinGroup, is_new: bool) -> Result<(), GroupError> {
        if request.group.as_str().is_empty() {
            return Err(GroupError::InvalidGroupId);
        }
        let timeout = request.session_timeout_ms;
        let (min, max) = (
            self.config.session_timeout_min,
            self.config.session_timeout_max,
        );
        if timeout < 0 || millis(timeout) < min || max < millis(timeout) {
            return Err(GroupError::InvalidSessionTimeout);
        }
        if is_new && request.member.is_some() {
            return Err(GroupError::UnknownMember);
        }
        Ok(())
    }

    fn commit_offsets(
        &mut self,
        waiter: Waiter,
        request: &CommitOffsets,
        now: Now,
        effects: &mut Effects<GroupReply>,
    ) {
        let id = &request.identity.group;
        let is_new = !self.groups.contains_key(id);
        if is_new && 0 <= request.identity.generation {
            let error = match request.understands_unknown_group {
                true => GroupError::UnknownGroup,
                false => GroupError::IllegalGeneration,
            };
            let reply = GroupReply::CommitOffsets(Err(error));
            return effects.reply(waiter, reply, self.last_removal);
        }
        if is_new {
            let mut group = Group::empty(now.wall);
            group.last_write = self.last_removal;
            self.groups.insert(id.clone(), group);
        }
        let keeps_nothing = self.turn(id, now, effects, |turn| {
            turn.commit_offsets(waiter, request);
            turn.group.offsets.is_empty()
        });
        if is_new && keeps_nothing == Some(true) {
            self.groups.remove(id);
        }
    }

    fn delete(&mut self, id: &GroupId, now: Now, effects: &mut Effects<GroupReply>) -> GroupReply {
        let Some(group) = self.groups.get(id) else {
            return GroupReply::Delete(Err(GroupError::UnknownGroup));
        };
        if !group.classic.is_in(GroupState::Empty) {
            return GroupReply::Delete(Err(GroupError::NonEmptyGroup));
        }
        effects.is_divisible();
        self.turn(id, now, effects, |turn| turn.delete_all_offsets());
        self.remove_group(id, effects);
        GroupReply::Delete(Ok(()))
    }

    /// Removes a group that has nothing left.
    fn remove_group(&mut self, id: &GroupId, effects: &mut Effects<GroupReply>) {
        self.groups.remove(id);
        let write = effects.write(records::no_group(id));
        self.last_removal = write;
        self.last_write = write;
    }

    /// What a statement about `id` depends on.
    fn dependency(&self, id: &GroupId) -> WriteNumber {
        let group = self.groups.get(id);
        group.map_or(self.last_removal, |group| group.last_write)
    }

    fn describe(&self, id: &GroupId) -> Option<DescribedGroup> {
        let group = &self.groups.get(id)?.classic;
        // What members can do has no meaning before something is chosen.
        let protocol = group.protocol().filter(|_| group.is_in(GroupState::Stable));
        let members = group.members().map(|member| DescribedMember {
            member: member.id.clone(),
            instance: member.parts.instance.clone(),
            client_id: member.parts.client_id.clone(),
            client_host: member.parts.client_host.clone(),
            metadata: protocol
                .and_then(|protocol| member.metadata(protocol))
                .cloned()
                .unwrap_or_else(Bytes::new),
            assignment: member.assignment.clone(),
        });
        Some(DescribedGroup {
            state: group.state(),
            protocol_type: group.protocol_type().cloned().unwrap_or_else(|| "".into()),
            protocol: protocol.cloned(),
            generation: group.generation(),
            members: members.collect(),
        })
    }

    fn list(&self, states: Option<&[GroupState]>) -> Vec<ListedGroup> {
        let listed = self.groups.iter().filter(|(_, group)| {
            states.is_none_or(|states| states.contains(&group.classic.state()))
        });
        let listed = listed.map(|(id, group)| ListedGroup {
            group: id.clone(),
            protocol_type: group
                .classic
                .protocol_type()
                .cloned()
                .unwrap_or_else(|| "".into()),
            state: group.classic.state(),
        });
        listed.collect()
    }

    /// The offsets of a topic that is gone. Those of one that has its name now are others.
    fn forget_topic(
        &mut self,
        name: &str,
        id: TopicId,
        now: Now,
        effects: &mut Effects<GroupReply>,
    ) {
        effects.is_divisible();
        let with_topic = self.groups.iter();
        let with_topic = with_topic.filter(|(_, group)| group.offsets.contains_key(name));
        let with_topic: Vec<GroupId> = with_topic.map(|(group, _)| group.clone()).collect();
        for group in with_topic {
            self.turn(&group, now, effects, |turn| {
                let partitions = turn.group.offsets.get(name).expect("it was just found");
                let gone = partitions
                    .iter()
                    .filter(|(_, offset)| offset.topic_id.is_none_or(|of| of == id));
                let gone: Vec<i32> = gone.map(|(partition, _)| *partition).collect();
                for partition in gone {
                    turn.delete_offset(name, partition);
                }
            });
        }
    }

    fn ring(&mut self, at: Mono, timer: Timer, now: Now, effects: &mut Effects<GroupReply>) {
        match &timer {
            Timer::Sweep => {
                let Sweep { alarm, .. } = &mut self.sweep;
                if alarm.rings(at, now.mono, || Timer::Sweep, &mut self.timers) {
                    self.sweep(now, effects);
                }
            }
            Timer::Session { group, member } => {
                self.turn(group, now, effects, |turn| {
                    if turn.rings(at, &timer, |classic| classic.session_alarm(member.as_str())) {
                        turn.session_is_over(member);
                    }
                });
            }
            Timer::Join { group } => {
                self.turn(group, now, effects, |turn| {
                    if turn.rings(at, &timer, |classic| Some(&mut classic.join_alarm)) {
                        turn.join_time_is_over();
                    }
                });
            }
            Timer::Sync { group } => {
                self.turn(group, now, effects, |turn| {
                    if turn.rings(at, &timer, |classic| Some(&mut classic.sync_alarm)) {
                        turn.sync_time_is_over();
                    }
                });
            }
        }
    }

    /// Looks through some groups for expired offsets.
    fn sweep(&mut self, now: Now, effects: &mut Effects<GroupReply>) {
        effects.is_divisible();
        let from = match self.sweep.behind.take() {
            Some(behind) => Bound::Excluded(behind),
            None => Bound::Unbounded,
        };
        let ahead = self
            .groups
            .range((from, Bound::Unbounded))
            .map(|(id, _)| id);
        let some: Vec<GroupId> = ahead.take(SWEPT_GROUPS_PER_TICK).cloned().collect();
        let mut is_done = some.len() < SWEPT_GROUPS_PER_TICK;
        for id in some {
            let may_go = self.turn(&id, now, effects, |turn| turn.expire_offsets());
            let group = &self.groups[&id].classic;
            if may_go == Some(true) && group.is_in(GroupState::Empty) {
                self.remove_group(&id, effects);
            }
            self.sweep.behind = Some(id);
            if SWEPT_RECORDS_PER_TICK <= effects.records_count() {
                is_done = false;
                break;
            }
        }
        let at = match is_done {
            true => {
                self.sweep.behind = None;
                now.mono.plus(self.config.offsets_retention_check)
            }
            false => now.mono,
        };
        self.sweep.alarm.set(at, || Timer::Sweep, &mut self.timers);
    }
}

impl Turn<'_> {
    fn rings(
        &mut self,
        at: Mono,
        timer: &Timer,
        alarm: impl FnOnce(&mut ClassicGroup) -> Option<&mut Alarm>,
    ) -> bool {
        let Some(alarm) = alarm(&mut self.group.classic) else {
            return false;
        };
        alarm.rings(at, self.now.mono, || timer.clone(), self.timers)
    }
}

impl Machine for GroupCoordinator {
    type Command = GroupCommand;
    type Reply = GroupReply;

    fn replay(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), ReplayError> {
        match read_record(key, value)? {
            GroupRecord::Offset {
                group,
                topic,
                partition,
                offset: Some(offset),
            } => {
                // A group that never had members has no record of its own.
                let group = self.groups.entry(group);
                let group = group.or_insert_with(|| Group::empty(Timestamp::from_millis(0)));
                group.set_offset(&topic, partition, offset);
            }
            GroupRecord::Offset {
                group,
                topic,
                partition,
                offset: None,
            } => {
                // The group stays, as it did then: its own tombstone removes it.
                if let Some(found) = self.groups.get_mut(&group) {
                    found.remove_offset(&topic, partition);
                }
            }
            GroupRecord::Group {
                group,
                parts: Some(parts),
            } => {
                let entry = self.groups.entry(group);
                let group = entry.or_insert_with(|| Group::empty(Timestamp::from_millis(0)));
                group.classic = ClassicGroup::from_parts(parts);
            }
            GroupRecord::Group { group, parts: None } => {
                // Its offsets have tombstones of their own, which came first.
                if let Some(found) = self.groups.get_mut(&group) {
                    found.classic = ClassicGroup::empty(Timestamp::from_millis(0));
                    if found.offsets.is_empty() {
                        self.groups.remove(&group);
                    }
                }
            }
            GroupRecord::Foreign { .. } => self.foreign_count += 1,
        }
        Ok(())
    }

    fn loaded(&mut self, now: Now, effects: &mut Effects<GroupReply>) {
        let ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        let count_max = self.config.members_count_max;
        for id in ids {
            self.turn(&id, now, effects, |turn| {
                let members: Vec<MemberId> = turn.classic().member_ids();
                for member in &members {
                    turn.restart_session(member);
                }
                if count_max < members.len() {
                    // The limit was lowered. A rebalance lets everybody commit before some must go.
                    turn.prepare_rebalance();
                }
            });
        }
        let at = now.mono.plus(self.config.offsets_retention_check);
        self.sweep.alarm.set(at, || Timer::Sweep, &mut self.timers);
    }

    fn may_write(&self, command: &GroupCommand) -> bool {
        match command {
            GroupCommand::Join(_)
            | GroupCommand::Sync(_)
            | GroupCommand::Leave(_)
            | GroupCommand::CommitOffsets(_)
            | GroupCommand::DeleteOffsets(_)
            | GroupCommand::Delete(_)
            | GroupCommand::ForgetTopic { .. } => true,
            GroupCommand::Heartbeat(_)
            | GroupCommand::FetchOffsets(_)
            | GroupCommand::Describe(_)
            | GroupCommand::List(_) => false,
        }
    }

    fn execute(
        &mut self,
        waiter: Waiter,
        command: GroupCommand,
        now: Now,
        effects: &mut Effects<GroupReply>,
    ) {
        match command {
            GroupCommand::Join(request) => self.join(waiter, request, now, effects),
            GroupCommand::Sync(request) => {
                let group = request.identity.group.clone();
                let absent = GroupReply::Sync(Err(absent(&group)));
                let done = self.turn(&group, now, effects, |turn| turn.sync(waiter, request));
                if done.is_none() {
                    effects.reply(waiter, absent, self.last_removal);
                }
            }
            GroupCommand::Heartbeat(request) => {
                let group = &request.identity.group;
                let act = |turn: &mut Turn<'_>| turn.heartbeat(waiter, &request);
                if self.turn(group, now, effects, act).is_none() {
                    let reply = GroupReply::Heartbeat(Err(absent(group)));
                    effects.reply(waiter, reply, self.last_removal);
                }
            }
            GroupCommand::Leave(request) => {
                let group = request.group;
                let act = |turn: &mut Turn<'_>| turn.leave(waiter, request.members);
                if self.turn(&group, now, effects, act).is_none() {
                    let reply = GroupReply::Leave(Err(absent(&group)));
                    effects.reply(waiter, reply, self.last_removal);
                }
            }
            GroupCommand::CommitOffsets(request) => {
                self.commit_offsets(waiter, &request, now, effects);
            }
            GroupCommand::FetchOffsets(request) => {
                let after = self.dependency(&request.group);
                let topics = fetched(self.groups.get(&request.group), request);
                effects.reply(waiter, GroupReply::FetchOffsets(topics), after);
            }
            GroupCommand::DeleteOffsets(request) => {
                let act = |turn: &mut Turn<'_>| turn.delete_offsets(waiter, &request.topics);
                if self.turn(&request.group, now, effects, act).is_none() {
                    let reply = GroupReply::DeleteOffsets(Err(GroupError::UnknownGroup));
                    effects.reply(waiter, reply, self.last_removal);
                }
            }
            GroupCommand::Describe(group) => {
                let after = self.dependency(&group);
                effects.reply(waiter, GroupReply::Describe(self.describe(&group)), after);
            }
            GroupCommand::List(states) => {
                let listed = self.list(states.as_deref());
                effects.reply(waiter, GroupReply::List(listed), self.last_write);
            }
            GroupCommand::Delete(group) => {
                let reply = self.delete(&group, now, effects);
                effects.reply(waiter, reply, self.dependency(&group));
            }
            GroupCommand::ForgetTopic { name, id } => {
                self.forget_topic(&name, id, now, effects);
                effects.reply(waiter, GroupReply::Done, self.last_write);
            }
        }
    }

    fn next_deadline(&self) -> Option<Mono> {
        self.timers.next()
    }

    fn tick(&mut self, now: Now, effects: &mut Effects<GroupReply>) {
        for _ in 0..TIMERS_PER_TICK {
            let Some((at, timer)) = self.timers.pop_due(now.mono) else {
                return;
            };
            let is_sweep = timer == Timer::Sweep;
            self.ring(at, timer, now, effects);
            if is_sweep {
                return; // It may have been long.
            }
        }
    }

    fn release_waiters(&mut self) -> Vec<Waiter> {
        let mut waiters = Vec::new();
        for group in self.groups.values_mut() {
            for id in group.classic.member_ids() {
                waiters.extend(group.classic.take_join(id.as_str()));
                let member = group.classic.member_mut(id.as_str());
                waiters.extend(member.expect("just listed").sync.take());
            }
        }
        waiters
    }
}

/// What a member is told of a group that is not there.
fn absent(group: &GroupId) -> GroupError {
    match group.as_str().is_empty() {
        true => GroupError::InvalidGroupId,
        false => GroupError::UnknownMember,
    }
}
