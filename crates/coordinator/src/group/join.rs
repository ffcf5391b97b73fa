//! JoinGroup.

use super::classic::{ClassicMember, GroupState, MemberParts};
use super::command::{JoinGroup, Protocol};
use super::error::GroupError;
use super::group_id::{InstanceId, MemberId};
use super::records::millis;
use super::reply::{GroupReply, Joined};
use super::turn::{Timer, Turn};
use crate::machine::Waiter;

/// Most bytes of a client's own text in a member id: ids travel and are stored with every member.
const MEMBER_ID_PREFIX_SIZE_MAX: usize = 512;

impl Turn<'_> {
    /// A member wants to be part of the next generation.
    pub(crate) fn join(&mut self, waiter: Waiter, mut request: JoinGroup) {
        keep_first_of_each_name(&mut request.protocols);
        if !self.has_place_for(request.member.as_ref()) {
            if let Some(member) = &request.member {
                self.remove_member(member.as_str());
            }
            return self.refuse_join(waiter, GroupError::GroupFull, None);
        }
        let group = &self.group.classic;
        if !group.supports(&request.protocol_type, &request.protocols) {
            let error = GroupError::InconsistentProtocol;
            return self.refuse_join(waiter, error, request.member);
        }
        let metadata = request.protocols.iter();
        let metadata = metadata.map(|protocol| protocol.metadata.len()).max();
        // A static member may take the place of its former self in a group that stays as it is.
        let assigned = match request.instance {
            Some(_) => self.group.classic.assignments_size(),
            None => 0,
        };
        if !self.has_room_for(metadata.unwrap_or(0) + assigned) {
            return self.refuse_join(waiter, GroupError::StateTooLarge, request.member);
        }
        match request.member.clone() {
            None => self.join_as_new(waiter, request),
            Some(member) => self.join_again(waiter, member, request),
        }
    }

    /// `GroupMetadataManager.acceptJoiningMember`.
    fn has_place_for(&self, member: Option<&MemberId>) -> bool {
        let group = &self.group.classic;
        let known = member.and_then(|member| group.member(member.as_str()));
        let count_max = self.config.members_count_max;
        match group.state() {
            GroupState::Empty => true,
            // Those who have come count, not those who are known: so the last to come are kept out
            // when the limit was lowered.
            GroupState::PreparingRebalance => {
                known.is_some_and(|member| member.join.is_some())
                    || group.awaiting_join() < count_max
            }
            GroupState::CompletingRebalance | GroupState::Stable => {
                known.is_some() || group.members_count() < count_max
            }
        }
    }

    fn join_as_new(&mut self, waiter: Waiter, request: JoinGroup) {
        if let Some(instance) = request.instance.clone() {
            let id = self.new_member_id(instance.as_str());
            if self
                .group
                .classic
                .static_member(instance.as_str())
                .is_some()
            {
                return self.join_in_place_of(waiter, &instance, id, request);
            }
            return self.take_in(waiter, id, request);
        }
        let id = self.new_member_id(&request.client_id);
        if !request.understands.member_id_required {
            return self.take_in(waiter, id, request);
        }
        // It must come back with its id: a client that gives up before would leave a member behind.
        let at = self.now.mono.plus(millis(request.session_timeout_ms));
        let timer = || Timer::Session {
            group: self.id.clone(),
            member: id.clone(),
        };
        let alarm = self.group.classic.pending_joins.entry(id.clone());
        alarm.or_default().set(at, timer, self.timers);
        self.refuse_join(waiter, GroupError::MemberIdRequired, Some(id));
    }

    fn new_member_id(&mut self, prefix: &str) -> MemberId {
        let mut end = prefix.len().min(MEMBER_ID_PREFIX_SIZE_MAX);
        while !prefix.is_char_boundary(end) {
            end -= 1;
        }
        loop {
            let mut random = [0; 16];
            self.prng.fill(&mut random);
            let id: MemberId = format!("{}-{}", &prefix[..end], random_uuid(random)).into();
            let group = &self.group.classic;
            if group.member(id.as_str()).is_none() && !group.pending_joins.contains_key(&id) {
                return id;
            }
        }
    }

    fn join_again(&mut self, waiter: Waiter, member: MemberId, request: JoinGroup) {
        let group = &self.group.classic;
        if group.pending_joins.contains_key(&member) {
            if request.instance.is_some() {
                // Only members without an instance are given an id before they are taken in.
                let error = GroupError::UnknownMember;
                return self.refuse_join(waiter, error, Some(member));
            }
            return self.take_in(waiter, member, request);
        }
        if let Err(error) = group.check_member(member.as_str(), request.instance.as_ref()) {
            return self.refuse_join(waiter, error, Some(member));
        }
        let found = group.member(member.as_str()).expect("just checked");
        let is_unchanged = found.parts.protocols == request.protocols;
        match group.state() {
            // It did not get the answer, or wants to be sure: the generation is the same.
            GroupState::CompletingRebalance if is_unchanged => self.reply_joined(waiter, &member),
            GroupState::Stable if is_unchanged && !group.is_leader(member.as_str()) => {
                self.reply_joined(waiter, &member);
            }
            // In a stable group the leader can force a rebalance: what it knows of topics changed.
            GroupState::PreparingRebalance
            | GroupState::CompletingRebalance
            | GroupState::Stable => self.join_changed(waiter, &member, request),
            GroupState::Empty => unreachable!("an empty group has no members"),
        }
    }

    fn join_changed(&mut self, waiter: Waiter, member: &MemberId, request: JoinGroup) {
        self.update_member(waiter, member, request);
        self.rebalance();
    }

    fn update_member(&mut self, waiter: Waiter, member: &MemberId, request: JoinGroup) {
        let earlier = self.group.classic.update(
            member.as_str(),
            request.protocols,
            millis(request.session_timeout_ms),
            millis(request.rebalance_timeout_ms),
            waiter,
        );
        if let Some(earlier) = earlier {
            // The client gave up on that one; if it still listens, it asks again.
            let error = GroupError::RebalanceInProgress;
            self.refuse_join(earlier, error, Some(member.clone()));
        }
    }

    fn take_in(&mut self, waiter: Waiter, id: MemberId, request: JoinGroup) {
        let group = &mut self.group.classic;
        let was_pending = group.pending_joins.remove(&id);
        let mut member = ClassicMember::new(id.clone(), parts(&request));
        member.join = Some(waiter);
        member.is_new = true;
        // Its leftovers in the timers are the same entries.
        member.session = was_pending.unwrap_or_default();
        if group.is_in(GroupState::PreparingRebalance)
            && group.previous_state() == GroupState::Empty
        {
            group.has_new_member = true;
        }
        if group.members_count() == 0 {
            group.protocol_type = Some(request.protocol_type);
        }
        group.add(member);
        // A new member cannot send heartbeats before it is answered, and may never ask again.
        let at = self.now.mono.plus(self.config.new_member_join_timeout);
        let timer = || Timer::Session {
            group: self.id.clone(),
            member: id.clone(),
        };
        let member = self.group.classic.member_mut(id.as_str());
        let member = member.expect("just added");
        member.session.set(at, timer, self.timers);
        self.rebalance();
    }

    /// A static member comes back without its id (KIP-345).
    fn join_in_place_of(
        &mut self,
        waiter: Waiter,
        instance: &InstanceId,
        id: MemberId,
        request: JoinGroup,
    ) {
        let leader_before = self.group.classic.leader().cloned();
        let understands = request.understands;
        let old = self
            .group
            .classic
            .replace_static(instance, id.clone(), parts(&request));
        self.dismiss(old, GroupError::FencedInstance);
        self.restart_session(&id);
        let group = &mut self.group.classic;
        match group.state() {
            GroupState::Stable if group.select_protocol() == group.protocol().cloned() => {
                // Nothing changes for the others. The new id must survive us before it is told.
                self.write_group();
                let is_leader = self.group.classic.is_leader(id.as_str());
                let skips = understands.skipped_assignment;
                let group = &self.group.classic;
                let joined = Joined {
                    member: id,
                    generation: group.generation(),
                    protocol_type: group.protocol_type().cloned(),
                    protocol: group.protocol().cloned(),
                    // A client that cannot skip the assignment must not believe that it leads.
                    leader: match skips {
                        true => group.leader().cloned(),
                        false => leader_before,
                    },
                    skip_assignment: skips && is_leader,
                    members: match skips && is_leader {
                        true => self.everybody(),
                        false => Vec::new(),
                    },
                };
                self.reply(waiter, GroupReply::Join(Ok(joined)));
            }
            GroupState::Stable | GroupState::CompletingRebalance => {
                // The leader may be making plans for the old id.
                self.update_member(waiter, &id, request);
                self.prepare_rebalance();
            }
            GroupState::PreparingRebalance => {
                self.update_member(waiter, &id, request);
                self.finish_joining_if_complete();
            }
            GroupState::Empty => unreachable!("an empty group has no members"),
        }
    }
}

fn parts(request: &JoinGroup) -> MemberParts {
    MemberParts {
        instance: request.instance.clone(),
        client_id: request.client_id.clone(),
        client_host: request.client_host.clone(),
        session_timeout: millis(request.session_timeout_ms),
        rebalance_timeout: millis(request.rebalance_timeout_ms),
        protocols: request.protocols.clone(),
    }
}

fn keep_first_of_each_name(protocols: &mut Vec<Protocol>) {
    let mut kept: Vec<Protocol> = Vec::with_capacity(protocols.len());
    let mut names = std::collections::BTreeSet::new();
    for protocol in protocols.drain(..) {
        if names.insert(protocol.name.clone()) {
            kept.push(protocol);
        }
    }
    *protocols = kept;
}

/// A random UUID as Java prints it.
fn random_uuid(bytes: [u8; 16]) -> String {
    let uuid = ottla_types::Uuid::from_random(bytes);
    let hex: String = uuid
        .as_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}
