use super::member::{ClassicMember, MemberParts};
use super::state::GroupState;
use crate::group::command::Protocol;
use crate::group::error::GroupError;
use crate::group::group_id::{InstanceId, MemberId};
use crate::group::subscription::{CONSUMER, subscribed_topics};
use crate::machine::Waiter;
use crate::timers::Alarm;
use ottla_types::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Members, generation and state of one group; what a step of it leads to is decided elsewhere.
///
/// Invariants, checked by [`ClassicGroup::check`]: who leads is a member; static members lead to
/// members; `supported` counts each member's protocols, `awaiting_join` each waiting JoinGroup;
/// an empty group has no members, one past joining has a protocol that all of them support.
#[derive(Clone, Debug)]
pub struct ClassicGroup {
    state: GroupState,
    previous_state: GroupState,
    /// When the state was entered; `None` in groups that an old release wrote.
    state_since: Option<Timestamp>,
    pub(crate) generation: i32,
    pub(crate) protocol_type: Option<Arc<str>>,
    pub(crate) protocol: Option<Arc<str>>,
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, ClassicMember>,
    static_members: BTreeMap<InstanceId, MemberId>,
    /// Members that were given an id and have not come back with it yet.
    pub(crate) pending_joins: BTreeMap<MemberId, Alarm>,
    /// Members of the generation that have not asked for their assignment.
    pub(crate) pending_syncs: BTreeSet<MemberId>,
    /// How many members can do what.
    supported: BTreeMap<Arc<str>, usize>,
    awaiting_join: usize,
    /// Bytes of the members in the group's record, about, without assignments.
    members_size: usize,
    /// A member came while an empty group waited for more.
    pub(crate) has_new_member: bool,
    /// What the members of the generation read; `None` when that cannot be known.
    subscribed: Option<BTreeSet<String>>,
    pub(crate) join_alarm: Alarm,
    /// Set while an empty group waits for more members: how much longer it may wait after this.
    pub(crate) initial_delay: Option<InitialDelay>,
    pub(crate) sync_alarm: Alarm,
    /// Since when it has been rebalancing, while it does.
    rebalance_began: Option<Timestamp>,
    rebalances: Rebalances,
}

/// The rebalances of a group that came to an end with everybody at work, since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebalances {
    /// How many.
    pub count: u64,
    /// How long they took together.
    pub took: Duration,
}

/// How long an empty group still waits for more members.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InitialDelay {
    pub(crate) current: Duration,
    pub(crate) remaining: Duration,
}

/// What of a group is in its record.
#[derive(Clone, Debug)]
pub struct GroupParts {
    /// What the group is for; empty when nobody has said.
    pub protocol_type: Arc<str>,
    /// The generation.
    pub generation: i32,
    /// What was chosen.
    pub protocol: Option<Arc<str>>,
    /// Who leads.
    pub leader: Option<MemberId>,
    /// When the state was entered, if known.
    pub state_since: Option<Timestamp>,
    /// The members: none in an empty group, everybody in a stable one.
    pub members: Vec<ClassicMember>,
}

impl ClassicGroup {
    /// A group nobody is in.
    pub fn empty(now: Timestamp) -> ClassicGroup {
        ClassicGroup {
            state: GroupState::Empty,
            previous_state: GroupState::Empty,
            state_since: Some(now),
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_joins: BTreeMap::new(),
            pending_syncs: BTreeSet::new(),
            supported: BTreeMap::new(),
            awaiting_join: 0,
            members_size: 0,
            has_new_member: false,
            subscribed: None,
            join_alarm: Alarm::default(),
            initial_delay: None,
            sync_alarm: Alarm::default(),
            rebalance_began: None,
            rebalances: Rebalances::default(),
        }
    }

    /// The group its record tells of.
    pub fn from_parts(parts: GroupParts) -> ClassicGroup {
        let mut group = ClassicGroup::empty(Timestamp::from_millis(0));
        let is_empty = parts.members.is_empty();
        group.state_since = parts.state_since;
        group.generation = parts.generation;
        group.protocol_type = Some(parts.protocol_type).filter(|text| !text.is_empty());
        group.protocol = parts.protocol;
        for member in parts.members {
            // A record may name a member or a static member twice, if it is not ours: the last one counts.
            group.remove(member.id.as_str());
            let instance = member.parts.instance.as_ref();
            let earlier = instance.and_then(|instance| group.static_members.get(instance));
            if let Some(earlier) = earlier.cloned() {
                group.remove(earlier.as_str());
            }
            group.add(member);
        }
        group.leader = parts
            .leader
            .filter(|leader| group.members.contains_key(leader));
        if !is_empty {
            group.elect_any();
            group.state = GroupState::Stable;
        }
        group.subscribed = group.find_subscribed();
        group
    }

    /// Where it is in its life.
    pub fn state(&self) -> GroupState {
        self.state
    }

    /// Whether it is in this state.
    pub fn is_in(&self, state: GroupState) -> bool {
        self.state == state
    }

    /// The state before this one.
    pub(crate) fn previous_state(&self) -> GroupState {
        self.previous_state
    }

    /// When the state was entered, if known.
    pub fn state_since(&self) -> Option<Timestamp> {
        self.state_since
    }

    /// Enters a state.
    pub(crate) fn enter(&mut self, state: GroupState, now: Timestamp) {
        self.previous_state = self.state;
        self.state = state;
        self.state_since = Some(now);
        self.time_rebalance(now);
    }

    /// A rebalance that begins anew before it came to an end goes on.
    fn time_rebalance(&mut self, now: Timestamp) {
        match self.state {
            GroupState::Empty => self.rebalance_began = None,
            GroupState::PreparingRebalance | GroupState::CompletingRebalance => {
                self.rebalance_began.get_or_insert(now);
            }
            GroupState::Stable => {
                let Some(began) = self.rebalance_began.take() else {
                    return;
                };
                let millis = now.as_millis().saturating_sub(began.as_millis());
                // A clock that was set back takes no time off.
                let took = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
                self.rebalances.count += 1;
                self.rebalances.took = self.rebalances.took.saturating_add(took);
            }
        }
    }

    /// Its rebalances since it was loaded.
    pub fn rebalances(&self) -> Rebalances {
        self.rebalances
    }

    /// Its generation.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// What it is for.
    pub fn protocol_type(&self) -> Option<&Arc<str>> {
        self.protocol_type.as_ref()
    }

    /// What was chosen.
    pub fn protocol(&self) -> Option<&Arc<str>> {
        self.protocol.as_ref()
    }

    /// Who leads.
    pub fn leader(&self) -> Option<&MemberId> {
        self.leader.as_ref()
    }

    /// Whether `member` leads.
    pub fn is_leader(&self, member: &str) -> bool {
        self.leader
            .as_ref()
            .is_some_and(|leader| leader.as_str() == member)
    }

    /// A member.
    pub fn member(&self, id: &str) -> Option<&ClassicMember> {
        self.members.get(id)
    }

    pub(crate) fn member_mut(&mut self, id: &str) -> Option<&mut ClassicMember> {
        self.members.get_mut(id)
    }

    /// What rings when `id`, a member or about to become one, was silent for too long.
    pub(crate) fn session_alarm(&mut self, id: &str) -> Option<&mut Alarm> {
        match self.pending_joins.contains_key(id) {
            true => self.pending_joins.get_mut(id),
            false => self.members.get_mut(id).map(|member| &mut member.session),
        }
    }

    /// Everybody, by id.
    pub fn members(&self) -> impl Iterator<Item = &ClassicMember> {
        self.members.values()
    }

    /// The ids of everybody.
    pub(crate) fn member_ids(&self) -> Vec<MemberId> {
        self.members.keys().cloned().collect()
    }

    /// How many members it has.
    pub fn members_count(&self) -> usize {
        self.members.len()
    }

    /// Who is the static member called `instance`.
    pub fn static_member(&self, instance: &str) -> Option<&MemberId> {
        self.static_members.get(instance)
    }

    /// How many members wait in a JoinGroup.
    pub(crate) fn awaiting_join(&self) -> usize {
        self.awaiting_join
    }

    /// Bytes of the members in the group's record, about, without assignments.
    pub(crate) fn members_size(&self) -> usize {
        self.members_size
    }

    /// Bytes of the assignments.
    pub(crate) fn assignments_size(&self) -> usize {
        self.members
            .values()
            .map(|member| member.assignment.len())
            .sum()
    }

    /// Whether everybody who may come to the next generation is there.
    pub(crate) fn has_everybody_joined(&self) -> bool {
        self.awaiting_join == self.members.len() && self.pending_joins.is_empty()
    }

    /// The longest that a member may take to come to a rebalance.
    pub(crate) fn rebalance_timeout(&self) -> Duration {
        let timeouts = self.members.values();
        let timeouts = timeouts.map(|member| member.parts.rebalance_timeout);
        timeouts.max().unwrap_or_default()
    }

    /// Whether a member with these protocols fits to the others.
    pub(crate) fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.is_in(GroupState::Empty) {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let is_same = self.protocol_type.as_deref() == Some(protocol_type);
        let is_common = |protocol: &Protocol| {
            self.supported.get(&protocol.name).copied().unwrap_or(0) == self.members.len()
        };
        is_same && protocols.iter().any(is_common)
    }

    /// Whether `member` is in the group, and is still who it was (`ClassicGroup.validateMember`).
    pub(crate) fn check_member(
        &self,
        member: &str,
        instance: Option<&InstanceId>,
    ) -> Result<(), GroupError> {
        if let Some(instance) = instance {
            match self.static_members.get(instance) {
                None => return Err(GroupError::UnknownMember),
                Some(current) if current.as_str() != member => {
                    return Err(GroupError::FencedInstance);
                }
                Some(_) => {}
            }
        }
        match self.members.contains_key(member) {
            true => Ok(()),
            false => Err(GroupError::UnknownMember),
        }
    }

    /// Takes a member in.
    pub(crate) fn add(&mut self, member: ClassicMember) {
        if let Some(instance) = &member.parts.instance {
            let earlier = self
                .static_members
                .insert(instance.clone(), member.id.clone());
            assert!(earlier.is_none(), "a static member is replaced, not added");
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        self.pending_joins.remove(&member.id);
        count(&mut self.supported, &member.parts.protocols);
        self.awaiting_join += usize::from(member.join.is_some());
        self.members_size += member.size();
        let earlier = self.members.insert(member.id.clone(), member);
        assert!(earlier.is_none(), "a member is added once");
    }

    /// Lets a member go. The group may have no leader afterwards, or another.
    pub(crate) fn remove(&mut self, id: &str) -> Option<ClassicMember> {
        self.pending_joins.remove(id);
        self.pending_syncs.remove(id);
        let member = self.members.remove(id)?;
        if let Some(instance) = &member.parts.instance {
            self.static_members.remove(instance);
        }
        uncount(&mut self.supported, &member.parts.protocols);
        self.awaiting_join -= usize::from(member.join.is_some());
        self.members_size -= member.size();
        if self.is_leader(id) {
            self.leader = None;
            self.elect_any();
        }
        Some(member)
    }

    /// What the member can do and how long it may take changes; its JoinGroup waits from now on.
    /// Returns who waited before.
    pub(crate) fn update(
        &mut self,
        id: &str,
        protocols: Vec<Protocol>,
        session_timeout: Duration,
        rebalance_timeout: Duration,
        join: Waiter,
    ) -> Option<Waiter> {
        let member = self.members.get_mut(id).expect("a member is updated");
        uncount(&mut self.supported, &member.parts.protocols);
        self.members_size -= member.size();
        member.parts.protocols = protocols;
        member.parts.session_timeout = session_timeout;
        member.parts.rebalance_timeout = rebalance_timeout;
        count(&mut self.supported, &member.parts.protocols);
        self.members_size += member.size();
        let earlier = member.join.replace(join);
        self.awaiting_join += usize::from(earlier.is_none());
        earlier
    }

    /// The waiting JoinGroup of a member, to be answered.
    pub(crate) fn take_join(&mut self, id: &str) -> Option<Waiter> {
        let waiter = self.members.get_mut(id)?.join.take()?;
        self.awaiting_join -= 1;
        Some(waiter)
    }

    /// A static member came back under another id. Returns who it was; nothing of it waits here.
    pub(crate) fn replace_static(
        &mut self,
        instance: &InstanceId,
        new: MemberId,
        parts: MemberParts,
    ) -> ClassicMember {
        let current = self.static_members.get(instance).expect("it is known");
        let current = current.clone();
        let old = self.members.remove(&current).expect("it is a member");
        self.awaiting_join -= usize::from(old.join.is_some());
        self.members_size -= old.size();
        uncount(&mut self.supported, &old.parts.protocols);
        self.pending_syncs.remove(&current);
        count(&mut self.supported, &parts.protocols);
        let mut member = ClassicMember::new(new.clone(), parts);
        member.assignment = old.assignment.clone();
        self.members_size += member.size();
        self.members.insert(new.clone(), member);
        if self.leader.as_ref() == Some(&current) {
            self.leader = Some(new.clone());
        }
        self.static_members.insert(instance.clone(), new);
        old
    }

    fn elect_any(&mut self) {
        if self.leader.is_none() {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Makes somebody lead who has joined. Returns whether anybody has.
    pub(crate) fn elect_joined(&mut self) -> bool {
        let has_joined = |id: &MemberId| self.members[id].join.is_some();
        match &self.leader {
            None => false,
            Some(leader) if has_joined(leader) => true,
            Some(_) => {
                let Some(joined) = self.members.keys().find(|id| has_joined(id)) else {
                    return false;
                };
                self.leader = Some(joined.clone());
                true
            }
        }
    }

    /// What everybody can do and most like best. Among equals the leader's first counts.
    pub(crate) fn select_protocol(&self) -> Option<Arc<str>> {
        let everybody = self.members.len();
        let candidates = self
            .supported
            .iter()
            .filter(|(_, count)| **count == everybody);
        let candidates: BTreeMap<Arc<str>, usize> =
            candidates.map(|(name, _)| (Arc::clone(name), 0)).collect();
        let mut votes = candidates.clone();
        for member in self.members.values() {
            if let Some(name) = member.vote(&candidates) {
                *votes.get_mut(name).expect("a candidate") += 1;
            }
        }
        let most = votes.values().copied().max()?;
        let best = votes.into_iter().filter(|(_, count)| *count == most);
        let best: BTreeMap<Arc<str>, usize> = best.collect();
        let leader = self.members.get(self.leader.as_ref()?)?;
        let chosen = leader.vote(&best).cloned();
        chosen.or_else(|| best.into_keys().next())
    }

    /// Begins the next generation with those who are there.
    pub(crate) fn begin_generation(&mut self, now: Timestamp) {
        self.generation = self.generation.checked_add(1).unwrap_or(0);
        self.pending_syncs.clear();
        if self.members.is_empty() {
            self.protocol = None;
            self.enter(GroupState::Empty, now);
        } else {
            self.protocol = self.select_protocol();
            self.enter(GroupState::CompletingRebalance, now);
        }
        self.subscribed = self.find_subscribed();
    }

    /// Whether its members are consumers.
    pub fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER)
    }

    /// Whether a member reads `topic`, or may: nobody knows what members read that speak of it in
    /// words we cannot read.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.is_of_consumers(),
        }
    }

    /// Whether it is known what its members read.
    pub(crate) fn knows_subscriptions(&self) -> bool {
        self.subscribed.is_some()
    }

    fn find_subscribed(&self) -> Option<BTreeSet<String>> {
        if !self.is_of_consumers() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        // Most members say the same as the one before them.
        let mut last: Option<&[u8]> = None;
        for member in self.members.values() {
            let metadata = member.metadata(protocol)?;
            if last != Some(&**metadata) {
                topics.extend(subscribed_topics(metadata)?);
                last = Some(metadata);
            }
        }
        Some(topics)
    }

    /// What its record says.
    pub fn to_parts(&self) -> GroupParts {
        GroupParts {
            protocol_type: self.protocol_type.clone().unwrap_or_else(|| "".into()),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_since: self.state_since,
            members: self.members.values().cloned().collect(),
        }
    }

    /// Whether everything it knows is in its record.
    pub fn is_at_rest(&self) -> bool {
        let is_waiting = self.awaiting_join != 0
            || !self.pending_joins.is_empty()
            || !self.pending_syncs.is_empty();
        match self.state {
            GroupState::Empty | GroupState::Stable => !is_waiting,
            GroupState::PreparingRebalance | GroupState::CompletingRebalance => false,
        }
    }

    /// Panics where an invariant does not hold.
    pub fn check(&self) {
        if let Some(leader) = &self.leader {
            assert!(self.members.contains_key(leader), "who leads is a member");
        }
        assert_eq!(self.leader.is_none(), self.members.is_empty());
        let mut supported = BTreeMap::new();
        let (mut awaiting_join, mut static_members) = (0, 0);
        for (id, member) in &self.members {
            assert_eq!(*id, member.id);
            count(&mut supported, &member.parts.protocols);
            awaiting_join += usize::from(member.join.is_some());
            if let Some(instance) = &member.parts.instance {
                static_members += 1;
                assert_eq!(self.static_members.get(instance), Some(id));
            }
            assert!(!self.pending_joins.contains_key(id));
        }
        assert_eq!(supported, self.supported);
        assert_eq!(awaiting_join, self.awaiting_join);
        let size: usize = self.members.values().map(ClassicMember::size).sum();
        assert_eq!(size, self.members_size);
        assert_eq!(static_members, self.static_members.len());
        match self.state {
            GroupState::Empty => assert!(self.members.is_empty()),
            GroupState::CompletingRebalance | GroupState::Stable => {
                let protocol = self.protocol.as_ref().expect("one was chosen");
                assert_eq!(self.supported.get(protocol), Some(&self.members.len()));
            }
            GroupState::PreparingRebalance => {}
        }
        for id in &self.pending_syncs {
            assert!(self.members.contains_key(id));
        }
    }
}

fn count(supported: &mut BTreeMap<Arc<str>, usize>, protocols: &[Protocol]) {
    for protocol in protocols {
        *supported.entry(Arc::clone(&protocol.name)).or_default() += 1;
    }
}

fn uncount(supported: &mut BTreeMap<Arc<str>, usize>, protocols: &[Protocol]) {
    for protocol in protocols {
        let count = supported.get_mut(&protocol.name).expect("it was counted");
        *count -= 1;
        if *count == 0 {
            supported.remove(&protocol.name);
        }
    }
}
