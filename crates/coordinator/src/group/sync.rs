//! SyncGroup.

use super::classic::GroupState;
use super::command::SyncGroup;
use super::error::GroupError;
use super::group_id::MemberId;
use super::reply::GroupReply;
use super::turn::Turn;
use crate::machine::Waiter;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Turn<'_> {
    /// A member of a new generation wants its assignment; the leader brings it for all.
    pub(crate) fn sync(&mut self, waiter: Waiter, request: SyncGroup) {
        if let Err(error) = self.check_sync(&request) {
            return self.reply(waiter, GroupReply::Sync(Err(error)));
        }
        let member = request.identity.member;
        self.has_synced(member.as_str());
        if self.group.classic.is_in(GroupState::Stable) {
            let found = self.group.classic.member(member.as_str());
            let assignment = found.expect("just checked").assignment.clone();
            self.restart_session(&member);
            return self.reply_synced(waiter, assignment);
        }
        let found = self.group.classic.member_mut(member.as_str());
        let earlier = found.expect("just checked").sync.replace(waiter);
        if let Some(earlier) = earlier {
            // The client gave up on that one; if it still listens, it joins again.
            let error = GroupError::RebalanceInProgress;
            self.reply(earlier, GroupReply::Sync(Err(error)));
        }
        if self.group.classic.is_leader(member.as_str()) {
            self.assign(waiter, &member, request.assignments);
        }
    }

    fn check_sync(&self, request: &SyncGroup) -> Result<(), GroupError> {
        let group = &self.group.classic;
        let identity = &request.identity;
        group.check_member(identity.member.as_str(), identity.instance.as_ref())?;
        if identity.generation != group.generation() {
            return Err(GroupError::IllegalGeneration);
        }
        let differs = |said: &Option<Arc<str>>, ours: Option<&Arc<str>>| match (said, ours) {
            (Some(said), Some(ours)) => said != ours,
            _ => false,
        };
        if differs(&request.protocol_type, group.protocol_type())
            || differs(&request.protocol, group.protocol())
        {
            return Err(GroupError::InconsistentProtocol);
        }
        match group.state() {
            GroupState::Empty => Err(GroupError::UnknownMember),
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        }
    }

    /// The leader has spoken: written down, and then told to everybody.
    fn assign(&mut self, waiter: Waiter, leader: &MemberId, assignments: Vec<(MemberId, Bytes)>) {
        let mut assignments: BTreeMap<MemberId, Bytes> = assignments.into_iter().collect();
        let members = self.group.classic.member_ids();
        let sizes = members.iter().filter_map(|id| assignments.get(id));
        if !self.has_room_for(sizes.map(Bytes::len).sum()) {
            let found = self.group.classic.member_mut(leader.as_str());
            found.expect("it just asked").sync = None;
            self.reply(waiter, GroupReply::Sync(Err(GroupError::StateTooLarge)));
            // The others must not wait for an assignment that cannot be kept.
            return self.prepare_rebalance();
        }
        for id in &members {
            let member = self.group.classic.member_mut(id.as_str());
            // Whom the leader forgot gets nothing to do, in no bytes at all.
            let assignment = assignments.remove(id).unwrap_or_default();
            member.expect("just listed").assignment = assignment;
        }
        self.group.classic.enter(GroupState::Stable, self.now.wall);
        self.write_group();
        for id in &members {
            let member = self.group.classic.member_mut(id.as_str());
            let member = member.expect("just listed");
            if let Some(waiter) = member.sync.take() {
                let assignment = member.assignment.clone();
                self.reply_synced(waiter, assignment);
                self.restart_session(id);
            }
        }
    }
}
