//! One member of a consumer group, as the classic protocol has it: find the coordinator, join, be
//! assigned, send heartbeats, join again when the others change.
//!
//! ```text
//!  Away ── subscribe ──> Preparing ── events done ──> JoinWanted ──> Joining
//!                          ^                                            │ JoinGroup answered
//!      heartbeat says so   │                                            v
//!  Stable ─────────────────┘<─ something was revoked ─ Installing <── Syncing <── Assigning (leader)
//! ```
//!
//! Partitions change hands only where the application is: [`GroupEvent`]s wait until it took them and
//! said [`GroupCore::event_done`]. What a member gives up is given up before it joins (eager), or
//! before it joins the second time (cooperative): nobody else gets it earlier.

mod answers;
mod offsets;

pub(crate) use answers::coordinator_of;
pub(crate) use offsets::committed_offsets;
pub use offsets::{CommittedOffsets, OffsetsId, OffsetsOutcome};

use super::assignor::Assignor;
use super::config::{GroupConfig, GroupEvent, GroupFault};
use super::member::GroupMember;
use super::subscription::{Subscription, encode_assignment};
use crate::core::call::{BrokerEndpoint, Call, CallId, Request, Target};
use crate::core::group_call::{GroupCall, MemberIdentityCall};
use crate::core::metadata::Metadata;
use crate::core::partition_key::PartitionKey;
use offsets::OffsetsJob;
use ottla_types::{Mono, Prng};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Beyond the time a rebalance may take, for the way there and back.
const JOIN_SLACK: Duration = Duration::from_secs(5);

/// Calls are numbered from here, so that those of a [`FetcherCore`](crate::core::FetcherCore) beside
/// this machine never have the same numbers.
const FIRST_CALL: u64 = 1 << 63;

/// Where the group's coordinator is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Coordinator {
    /// To be looked up, not before this time.
    Unknown(Mono),
    Asked,
    Known(BrokerEndpoint),
}

/// See the module's picture.
#[derive(Clone, Debug)]
enum Phase {
    /// Not a member and not on the way to become one.
    Away,
    /// The application has something to give up; then JoinGroup.
    Preparing,
    /// JoinGroup as soon as there is a coordinator.
    JoinWanted,
    Joining,
    /// Before SyncGroup. If we lead, with all members, whose topics' partitions must be known first.
    Assigning(Vec<GroupMember>),
    Syncing,
    /// The application is told what changed; then [`Phase::Stable`].
    Installing,
    Stable,
    /// The application has something to give up; then LeaveGroup.
    LeavePreparing,
    /// LeaveGroup as soon as there is a coordinator.
    LeaveWanted,
    Leaving,
}

#[derive(Debug)]
enum Pending {
    FindCoordinator,
    /// With the number of the attempt: answers to an earlier one are of no interest.
    Join(u64),
    Sync(u64),
    Heartbeat(u64),
    Leave,
    Offsets(OffsetsId),
}

/// See the module's description.
///
/// Invariants: while an event is outstanding no JoinGroup and no LeaveGroup leaves; `owned` changes
/// only when the application has been told.
#[derive(Debug)]
pub struct GroupCore {
    config: GroupConfig,
    prng: Prng,
    coordinator: Coordinator,
    coordinator_failures: u32,
    phase: Phase,
    /// Grows when what is under way is of no interest any more.
    attempt: u64,
    /// The topics the application wants.
    topics: BTreeSet<Arc<str>>,
    /// Those that the last JoinGroup named.
    joined_topics: BTreeSet<Arc<str>>,
    /// Empty as long as the coordinator has given none.
    member_id: Arc<str>,
    /// -1 outside of every generation.
    generation: i32,
    assignor: Option<Assignor>,
    owned: BTreeSet<PartitionKey>,
    /// What was assigned last, and in which generation, for assignors that move as little as possible.
    previous: (BTreeSet<PartitionKey>, i32),
    /// If we lead: the topics of all members and how many partitions they had.
    led_topics: Option<BTreeMap<Arc<str>, u32>>,
    events: VecDeque<GroupEvent>,
    /// The event that the application is busy with.
    event_out: Option<GroupEvent>,
    /// Another round is needed; why.
    rejoin: Option<String>,
    /// Not before this time.
    not_before: Mono,
    failures: u32,
    next_heartbeat: Mono,
    /// When the coordinator last answered as if we were a member.
    last_contact: Mono,
    heartbeat_under_way: bool,
    pending: BTreeMap<CallId, Pending>,
    next_call: u64,
    jobs: BTreeMap<OffsetsId, OffsetsJob>,
    next_job: u64,
    outcomes: Vec<(OffsetsId, OffsetsOutcome)>,
    fault: Option<GroupFault>,
    obstacle: Option<String>,
    rebalances: u64,
}

impl GroupCore {
    /// Not a member yet.
    pub fn new(config: GroupConfig) -> GroupCore {
        assert!(!config.assignors.is_empty(), "a member offers an assignor");
        GroupCore {
            prng: Prng::new(config.seed),
            config,
            coordinator: Coordinator::Unknown(Mono::ZERO),
            coordinator_failures: 0,
            phase: Phase::Away,
            attempt: 0,
            topics: BTreeSet::new(),
            joined_topics: BTreeSet::new(),
            member_id: Arc::from(""),
            generation: -1,
            assignor: None,
            owned: BTreeSet::new(),
            previous: (BTreeSet::new(), -1),
            led_topics: None,
            events: VecDeque::new(),
            event_out: None,
            rejoin: None,
            not_before: Mono::ZERO,
            failures: 0,
            next_heartbeat: Mono::ZERO,
            last_contact: Mono::ZERO,
            heartbeat_under_way: false,
            pending: BTreeMap::new(),
            next_call: FIRST_CALL,
            jobs: BTreeMap::new(),
            next_job: 1,
            outcomes: Vec::new(),
            fault: None,
            obstacle: None,
            rebalances: 0,
        }
    }

    /// Whether a call with this number is one of a [`GroupCore`].
    pub fn is_own(id: CallId) -> bool {
        id.0 >= FIRST_CALL
    }

    /// How it behaves.
    pub fn config(&self) -> &GroupConfig {
        &self.config
    }

    /// Becomes a member that reads these topics instead of those before. Takes a fault back.
    pub fn subscribe(&mut self, topics: BTreeSet<Arc<str>>) {
        self.fault = None;
        self.topics = topics;
        if matches!(self.phase, Phase::Away) {
            self.phase = Phase::Preparing;
            self.rejoin = Some("the consumer subscribes".to_owned());
            self.advance();
        }
    }

    /// The topics the application wants.
    pub fn topics(&self) -> &BTreeSet<Arc<str>> {
        &self.topics
    }

    /// Topics whose partitions must be known: ours, and those of all members while we lead.
    pub fn topics_to_know(&self) -> BTreeSet<Arc<str>> {
        let mut topics = self.topics.clone();
        if let Phase::Assigning(members) = &self.phase {
            topics.extend(
                members
                    .iter()
                    .flat_map(|m| m.subscription.topics.iter().cloned()),
            );
        }
        topics.extend(self.led_topics.iter().flat_map(|led| led.keys().cloned()));
        topics
    }

    /// Gives everything up and leaves. Static members only stop: their place is kept for them until
    /// the session ends.
    pub fn leave(&mut self) {
        self.topics.clear();
        if matches!(
            self.phase,
            Phase::Away | Phase::LeavePreparing | Phase::LeaveWanted
        ) {
            return;
        }
        self.attempt += 1;
        // What the application has not heard of it never had.
        self.events
            .retain(|event| matches!(event, GroupEvent::Lost(_)));
        if self.generation >= 0 {
            self.events
                .push_back(GroupEvent::Revoked(self.owned.clone()));
        }
        self.phase = Phase::LeavePreparing;
        self.advance();
    }

    /// Not a member, and not on the way.
    pub fn is_away(&self) -> bool {
        matches!(self.phase, Phase::Away)
    }

    /// A member that owns what it was assigned, with no rebalance under way.
    pub fn is_stable(&self) -> bool {
        matches!(self.phase, Phase::Stable)
    }

    /// What the application owns, as far as it has been told.
    pub fn owned(&self) -> &BTreeSet<PartitionKey> {
        &self.owned
    }

    /// The member's id and generation, while it has them.
    pub fn member(&self) -> Option<(&str, i32)> {
        (self.generation >= 0).then_some((&*self.member_id, self.generation))
    }

    /// The assignor the group chose last.
    pub fn assignor(&self) -> Option<Assignor> {
        self.assignor
    }

    /// Whether the member led its group in the last round.
    pub fn is_leader(&self) -> bool {
        self.led_topics.is_some()
    }

    /// Rounds that were completed.
    pub fn rebalances(&self) -> u64 {
        self.rebalances
    }

    /// Why the consumer cannot be a member, if so.
    pub fn fault(&self) -> Option<&GroupFault> {
        self.fault.as_ref()
    }

    /// What stands in the way at the moment, if anything does.
    pub fn waiting_for(&self) -> Option<&str> {
        self.obstacle.as_deref()
    }

    /// Whether something waits for the application.
    pub fn has_event(&self) -> bool {
        !self.events.is_empty() || self.event_out.is_some()
    }

    /// The next event, if the application is not busy with one.
    pub fn take_event(&mut self) -> Option<GroupEvent> {
        if self.event_out.is_some() {
            return None;
        }
        let event = match self.events.pop_front()? {
            GroupEvent::Revoked(keys) => {
                GroupEvent::Revoked(keys.intersection(&self.owned).cloned().collect())
            }
            GroupEvent::Lost(_) => GroupEvent::Lost(self.owned.clone()),
            GroupEvent::Assigned(keys) => {
                self.owned.extend(keys.iter().cloned());
                GroupEvent::Assigned(keys)
            }
        };
        self.event_out = Some(event.clone());
        Some(event)
    }

    /// The application has done what it wanted about the event.
    pub fn event_done(&mut self) {
        match self.event_out.take() {
            Some(GroupEvent::Revoked(keys) | GroupEvent::Lost(keys)) => {
                self.owned.retain(|key| !keys.contains(key));
            }
            Some(GroupEvent::Assigned(_)) | None => {}
        }
        self.advance();
    }

    /// The application has not come back in time: gives the place up, so that others can go on.
    pub fn on_poll_overdue(&mut self, now: Mono) {
        if self.generation < 0 {
            return;
        }
        if self.config.instance_id.is_none() {
            let call = GroupCall::LeaveGroup {
                member: self.identity(),
                reason: "the application has not polled within max.poll.interval.ms".to_owned(),
            };
            self.jobs_leave(call);
        }
        self.lose_membership("the application did not poll in time", now);
        self.member_id = Arc::from("");
    }

    /// A goodbye whose answer does not matter; it goes with the next poll.
    fn jobs_leave(&mut self, call: GroupCall) {
        let id = self.new_job();
        self.jobs.insert(id, OffsetsJob::goodbye(call));
    }

    /// After events, or when there are none: the next step.
    fn advance(&mut self) {
        if self.has_event() {
            return;
        }
        match self.phase {
            Phase::Preparing => self.phase = Phase::JoinWanted,
            Phase::Installing => {
                self.phase = Phase::Stable;
                if let Some(reason) = self.rejoin.take() {
                    self.begin_round(reason);
                }
            }
            Phase::LeavePreparing => {
                if self.member_id.is_empty() || self.config.instance_id.is_some() {
                    self.go_away();
                } else {
                    self.phase = Phase::LeaveWanted;
                }
            }
            _ => {}
        }
    }

    /// From [`Phase::Stable`]: another JoinGroup, after what must be given up first.
    fn begin_round(&mut self, reason: String) {
        if !matches!(self.phase, Phase::Stable) {
            self.rejoin.get_or_insert(reason);
            return;
        }
        self.rejoin = Some(reason);
        self.phase = Phase::Preparing;
        let mut revoked = self.owned.clone();
        if self.config.is_cooperative() {
            revoked.retain(|key| !self.topics.contains(&key.topic));
        }
        if !revoked.is_empty() {
            self.events.push_back(GroupEvent::Revoked(revoked));
        }
        self.advance();
    }

    /// The coordinator no longer knows us in this generation: what we own may be others'.
    fn lose_membership(&mut self, reason: &str, now: Mono) {
        tracing::info!(group = &*self.config.group_id, reason, "no longer a member");
        self.attempt += 1;
        self.heartbeat_under_way = false;
        self.generation = -1;
        self.led_topics = None;
        self.events.clear();
        if !self.owned.is_empty() {
            self.events.push_back(GroupEvent::Lost(BTreeSet::new()));
        }
        self.not_before = now;
        match self.phase {
            Phase::LeavePreparing | Phase::LeaveWanted | Phase::Leaving | Phase::Away => {
                self.member_id = Arc::from("");
                self.phase = Phase::LeavePreparing;
            }
            _ => {
                self.rejoin = Some(reason.to_owned());
                self.phase = Phase::Preparing;
            }
        }
        self.advance();
    }

    /// Has left; unless it was told to come back meanwhile.
    fn go_away(&mut self) {
        self.forget_membership();
        self.phase = Phase::Away;
        if !self.topics.is_empty() {
            self.subscribe(self.topics.clone());
        }
    }

    fn forget_membership(&mut self) {
        self.attempt += 1;
        self.heartbeat_under_way = false;
        self.member_id = Arc::from("");
        self.generation = -1;
        self.led_topics = None;
        self.rejoin = None;
    }

    fn identity(&self) -> MemberIdentityCall {
        MemberIdentityCall {
            group_id: self.config.group_id.clone(),
            member_id: self.member_id.clone(),
            instance_id: self.config.instance_id.clone(),
            generation: self.generation,
        }
    }

    /// Adds the calls that are to be made now. `metadata` is asked how many partitions topics have:
    /// see [`GroupCore::topics_to_know`].
    pub fn poll(&mut self, now: Mono, metadata: &Metadata, calls: &mut Vec<Call>) {
        self.look_for_changes(metadata);
        self.expire_jobs(now);
        self.watch_session(now);
        if self.needs_coordinator()
            && let Coordinator::Unknown(at) = self.coordinator
            && at <= now
        {
            self.coordinator = Coordinator::Asked;
            let group_id = self.config.group_id.clone();
            let call = GroupCall::FindCoordinator { group_id };
            let timeout = self.config.request_timeout;
            self.push_call(calls, Target::Any, call, Pending::FindCoordinator, timeout);
        }
        let Coordinator::Known(coordinator) = self.coordinator.clone() else {
            return;
        };
        match &self.phase {
            Phase::JoinWanted if self.not_before <= now => self.push_join(&coordinator, calls),
            Phase::Assigning(_) => self.push_assignment(&coordinator, metadata, calls),
            Phase::LeaveWanted => self.push_leave(&coordinator, calls),
            _ => {}
        }
        if self.is_heartbeat_wanted() && self.next_heartbeat <= now {
            self.heartbeat_under_way = true;
            self.next_heartbeat = now.plus(self.config.heartbeat_interval);
            let call = GroupCall::Heartbeat {
                member: self.identity(),
            };
            let timeout = self.config.request_timeout.min(self.config.session_timeout);
            let pending = Pending::Heartbeat(self.attempt);
            self.push_call(
                calls,
                Target::Broker(coordinator.clone()),
                call,
                pending,
                timeout,
            );
        }
        self.push_jobs(&coordinator, now, calls);
    }

    fn needs_coordinator(&self) -> bool {
        !matches!(self.phase, Phase::Away) || !self.jobs.is_empty()
    }

    fn is_heartbeat_wanted(&self) -> bool {
        let is_member = matches!(
            self.phase,
            Phase::Preparing | Phase::Assigning(_) | Phase::Installing | Phase::Stable
        );
        is_member && self.generation >= 0 && !self.heartbeat_under_way
    }

    /// A coordinator that has not answered for a whole session may have moved.
    fn watch_session(&mut self, now: Mono) {
        let silent = self.last_contact.plus(self.config.session_timeout) <= now;
        if silent && matches!(self.phase, Phase::Stable | Phase::Preparing) && self.generation >= 0
        {
            self.last_contact = now;
            self.on_coordinator_gone("it did not answer for a session timeout", now);
        }
    }

    /// Starts a new round when the topics we want, or the partitions of topics we lead, have changed.
    fn look_for_changes(&mut self, metadata: &Metadata) {
        if !matches!(self.phase, Phase::Stable) {
            return;
        }
        if self.joined_topics != self.topics {
            return self.begin_round("the subscription has changed".to_owned());
        }
        let Some(led) = &self.led_topics else { return };
        let changed = led.iter().find(|(topic, count)| {
            metadata
                .partitions_count(topic)
                .is_some_and(|known| known != **count)
        });
        if let Some((topic, _)) = changed {
            let reason = format!("the partitions of topic {topic} have changed");
            self.begin_round(reason);
        }
    }

    fn push_call(
        &mut self,
        calls: &mut Vec<Call>,
        target: Target,
        call: GroupCall,
        pending: Pending,
        timeout: Duration,
    ) {
        let id = CallId(self.next_call);
        self.next_call += 1;
        self.pending.insert(id, pending);
        calls.push(Call {
            id,
            target,
            request: Request::Group(call),
            timeout,
        });
    }

    fn push_join(&mut self, coordinator: &BrokerEndpoint, calls: &mut Vec<Call>) {
        assert!(!self.has_event(), "the application is asked before joining");
        self.phase = Phase::Joining;
        self.attempt += 1;
        self.heartbeat_under_way = false;
        self.joined_topics = self.topics.clone();
        let protocols = self
            .config
            .assignors
            .iter()
            .map(|assignor| {
                (
                    assignor.name(),
                    self.subscription(*assignor).encode(*assignor),
                )
            })
            .collect();
        let millis = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        let call = GroupCall::JoinGroup {
            member: self.identity(),
            session_timeout_ms: millis(self.config.session_timeout),
            rebalance_timeout_ms: millis(self.config.poll_interval_max),
            protocols,
            reason: self.rejoin.clone().unwrap_or_default(),
        };
        let timeout = self
            .config
            .request_timeout
            .max(self.config.poll_interval_max + JOIN_SLACK);
        let pending = Pending::Join(self.attempt);
        self.push_call(
            calls,
            Target::Broker(coordinator.clone()),
            call,
            pending,
            timeout,
        );
    }

    fn subscription(&self, assignor: Assignor) -> Subscription {
        let (previous, generation) = &self.previous;
        let owned = if assignor.is_cooperative() {
            self.owned.clone()
        } else {
            previous.clone()
        };
        Subscription {
            topics: self.topics.clone(),
            owned,
            generation: (*generation >= 0).then_some(*generation),
            rack: self.config.rack.clone(),
        }
    }

    /// As leader: spreads the partitions once it is known how many there are.
    fn push_assignment(
        &mut self,
        coordinator: &BrokerEndpoint,
        metadata: &Metadata,
        calls: &mut Vec<Call>,
    ) {
        let Phase::Assigning(members) = &self.phase else {
            return;
        };
        if members.is_empty() {
            return self.push_sync(coordinator, Vec::new(), calls);
        }
        let topics: BTreeSet<&Arc<str>> = members
            .iter()
            .flat_map(|m| &m.subscription.topics)
            .collect();
        // A topic that does not exist is known not to.
        if !topics.iter().all(|topic| metadata.topic(topic).is_some()) {
            return;
        }
        let counts: BTreeMap<Arc<str>, u32> = topics
            .into_iter()
            .map(|topic| (topic.clone(), metadata.partitions_count(topic).unwrap_or(0)))
            .collect();
        let assignor = self.assignor.expect("the group has chosen an assignor");
        let assignments = assignor
            .assign(members, &counts)
            .iter()
            .map(|(member_id, given)| (member_id.clone(), encode_assignment(given)))
            .collect();
        self.led_topics = Some(counts);
        self.push_sync(coordinator, assignments, calls);
    }

    fn push_sync(
        &mut self,
        coordinator: &BrokerEndpoint,
        assignments: Vec<(Arc<str>, Vec<u8>)>,
        calls: &mut Vec<Call>,
    ) {
        self.phase = Phase::Syncing;
        let assignor = self.assignor.expect("the group has chosen an assignor");
        let call = GroupCall::SyncGroup {
            member: self.identity(),
            protocol: assignor.name(),
            assignments,
        };
        let timeout = self
            .config
            .request_timeout
            .max(self.config.poll_interval_max + JOIN_SLACK);
        let pending = Pending::Sync(self.attempt);
        self.push_call(
            calls,
            Target::Broker(coordinator.clone()),
            call,
            pending,
            timeout,
        );
    }

    fn push_leave(&mut self, coordinator: &BrokerEndpoint, calls: &mut Vec<Call>) {
        self.phase = Phase::Leaving;
        let call = GroupCall::LeaveGroup {
            member: self.identity(),
            reason: "the consumer is being closed".to_owned(),
        };
        let timeout = self.config.request_timeout;
        let target = Target::Broker(coordinator.clone());
        self.push_call(calls, target, call, Pending::Leave, timeout);
    }

    /// When [`GroupCore::poll`] wants to be called without an answer having come.
    pub fn next_deadline(&self) -> Option<Mono> {
        let mut deadline: Option<Mono> = None;
        let mut consider = |at: Mono| deadline = Some(deadline.map_or(at, |known| known.min(at)));
        match &self.coordinator {
            Coordinator::Unknown(at) if self.needs_coordinator() => consider(*at),
            Coordinator::Known(_) => {
                match self.phase {
                    Phase::JoinWanted => consider(self.not_before),
                    Phase::LeaveWanted => consider(Mono::ZERO),
                    _ => {}
                }
                if self.is_heartbeat_wanted() {
                    consider(self.next_heartbeat);
                }
                if let Some(at) = self.jobs.values().filter_map(OffsetsJob::due_at).min() {
                    consider(at);
                }
            }
            _ => {}
        }
        if let Some(at) = self.jobs.values().filter_map(|job| job.give_up_at).min() {
            consider(at);
        }
        if matches!(self.phase, Phase::Stable | Phase::Preparing) && self.generation >= 0 {
            consider(self.last_contact.plus(self.config.session_timeout));
        }
        deadline
    }
}

#[cfg(test)]
mod tests;
