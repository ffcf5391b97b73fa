//! Heartbeats, silence, LeaveGroup.

use super::classic::GroupState;
use super::command::{Heartbeat, LeavingMember};
use super::error::GroupError;
use super::group_id::MemberId;
use super::reply::{GroupReply, Left};
use super::turn::Turn;
use crate::machine::Waiter;

impl Turn<'_> {
    /// A member lives.
    pub(crate) fn heartbeat(&mut self, waiter: Waiter, request: &Heartbeat) {
        let result = self.beat(request);
        self.reply(waiter, GroupReply::Heartbeat(result));
    }

    fn beat(&mut self, request: &Heartbeat) -> Result<(), GroupError> {
        let group = &self.group.classic;
        let identity = &request.identity;
        group.check_member(identity.member.as_str(), identity.instance.as_ref())?;
        if identity.generation != group.generation() {
            return Err(GroupError::IllegalGeneration);
        }
        let state = group.state();
        self.restart_session(&identity.member);
        match state {
            GroupState::Empty => Err(GroupError::UnknownMember),
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            // A member may be ahead of the leader's assignment.
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        }
    }

    /// A member was not heard of for too long.
    pub(crate) fn session_is_over(&mut self, id: &MemberId) {
        if self.group.classic.pending_joins.remove(id).is_some() {
            return self.finish_joining_if_complete();
        }
        let member = self.group.classic.member(id.as_str());
        if member.is_some_and(super::ClassicMember::must_be_heard) {
            self.remove_member(id.as_str());
            self.rebalance_without();
        }
    }

    /// Members are gone: who stays must hear of it.
    fn rebalance_without(&mut self) {
        match self.group.classic.state() {
            GroupState::Empty => {}
            GroupState::PreparingRebalance => self.finish_joining_if_complete(),
            GroupState::CompletingRebalance | GroupState::Stable => self.prepare_rebalance(),
        }
    }

    /// Members go, or are made to go by an administrator.
    pub(crate) fn leave(&mut self, waiter: Waiter, members: Vec<LeavingMember>) {
        let mut has_left = false;
        let left: Vec<Left> = members
            .into_iter()
            .map(|member| {
                let result = self.let_go(&member);
                has_left |= result.is_ok();
                Left {
                    member: member.member,
                    instance: member.instance,
                    error: result.err(),
                }
            })
            .collect();
        if has_left {
            self.rebalance_without();
        }
        self.reply(waiter, GroupReply::Leave(Ok(left)));
    }

    fn let_go(&mut self, leaving: &LeavingMember) -> Result<(), GroupError> {
        let group = &mut self.group.classic;
        let id = match (&leaving.member, &leaving.instance) {
            (Some(member), instance) => {
                if group.pending_joins.remove(member).is_some() {
                    return Ok(());
                }
                group.check_member(member.as_str(), instance.as_ref())?;
                member.clone()
            }
            (None, Some(instance)) => {
                let member = group.static_member(instance.as_str());
                member.cloned().ok_or(GroupError::UnknownMember)?
            }
            (None, None) => return Err(GroupError::UnknownMember),
        };
        self.remove_member(id.as_str());
        Ok(())
    }
}
