//! From one generation to the next.

use super::classic::GroupState;
use super::classic::InitialDelay;
use super::error::GroupError;
use super::group_id::MemberId;
use super::reply::GroupReply;
use super::turn::{Timer, Turn};
use bytes::Bytes;
use std::time::Duration;

impl Turn<'_> {
    /// Something changed that the members must hear of: begins a rebalance, or finishes the one that
    /// waited for just this.
    pub(crate) fn rebalance(&mut self) {
        match self.group.classic.state() {
            GroupState::Empty | GroupState::CompletingRebalance | GroupState::Stable => {
                self.prepare_rebalance();
            }
            GroupState::PreparingRebalance => self.finish_joining_if_complete(),
        }
    }

    /// Has everybody join again.
    pub(crate) fn prepare_rebalance(&mut self) {
        if self.group.classic.is_in(GroupState::CompletingRebalance) {
            self.cancel_syncs(GroupError::RebalanceInProgress);
        }
        let group = &mut self.group.classic;
        group.pending_syncs.clear();
        group.sync_alarm.clear();
        let is_initial = group.is_in(GroupState::Empty);
        group.enter(GroupState::PreparingRebalance, self.now.wall);
        if is_initial {
            // The group is new: others probably come with this one.
            let current = self.config.initial_rebalance_delay;
            let remaining = group.rebalance_timeout().saturating_sub(current);
            group.has_new_member = false;
            self.wait_for_more(InitialDelay { current, remaining });
        } else if group.has_everybody_joined() {
            self.finish_joining();
        } else {
            let timeout = group.rebalance_timeout();
            self.join_by(timeout);
        }
    }

    fn wait_for_more(&mut self, delay: InitialDelay) {
        self.group.classic.initial_delay = Some(delay);
        self.join_by(delay.current);
    }

    fn join_by(&mut self, timeout: Duration) {
        let at = self.now.mono.plus(timeout);
        let group = self.id;
        let alarm = &mut self.group.classic.join_alarm;
        alarm.set(
            at,
            || Timer::Join {
                group: group.clone(),
            },
            self.timers,
        );
    }

    /// The time to join is over.
    pub(crate) fn join_time_is_over(&mut self) {
        let group = &mut self.group.classic;
        if !group.is_in(GroupState::PreparingRebalance) {
            return;
        }
        let delay = group.initial_delay.take();
        let comes_more = std::mem::take(&mut group.has_new_member);
        match delay {
            Some(delay) if comes_more && !delay.remaining.is_zero() => {
                let current = self.config.initial_rebalance_delay.min(delay.remaining);
                let remaining = delay.remaining.saturating_sub(delay.current);
                self.wait_for_more(InitialDelay { current, remaining });
            }
            _ => self.finish_joining(),
        }
    }

    /// Goes on if everybody is there. The first delay of a group is waited out in any case.
    pub(crate) fn finish_joining_if_complete(&mut self) {
        let group = &self.group.classic;
        let is_joining = group.is_in(GroupState::PreparingRebalance);
        if is_joining && group.has_everybody_joined() && group.previous_state() != GroupState::Empty
        {
            self.finish_joining();
        }
    }

    /// Begins the generation with those who came.
    fn finish_joining(&mut self) {
        self.group.classic.join_alarm.clear();
        self.group.classic.initial_delay = None;
        self.drop_absent_members();
        let group = &mut self.group.classic;
        if !group.elect_joined() && 0 < group.members_count() {
            // Only static members are left, and none of them has come: their sessions decide.
            let timeout = group.rebalance_timeout();
            self.join_by(timeout);
            return;
        }
        group.begin_generation(self.now.wall);
        if group.is_in(GroupState::Empty) {
            self.write_group();
            return;
        }
        let members = group.member_ids();
        for id in &members {
            // A static member that stayed away has no JoinGroup here; it still counts.
            if let Some(waiter) = self.group.classic.take_join(id.as_str()) {
                self.reply_joined(waiter, id);
            }
            self.restart_session(id);
            let member = self.group.classic.member_mut(id.as_str());
            member.expect("just listed").is_new = false;
        }
        self.sync_soon(members);
    }

    fn drop_absent_members(&mut self) {
        let group = &mut self.group.classic;
        let is_absent =
            |member: &&super::ClassicMember| !member.is_static() && member.join.is_none();
        let absent = group.members().filter(is_absent);
        let absent: Vec<MemberId> = absent.map(|member| member.id.clone()).collect();
        for id in absent {
            group.remove(id.as_str());
        }
    }

    fn sync_soon(&mut self, members: Vec<MemberId>) {
        let group = &mut self.group.classic;
        group.pending_syncs = members.into_iter().collect();
        let at = self.now.mono.plus(group.rebalance_timeout());
        let id = self.id;
        group
            .sync_alarm
            .set(at, || Timer::Sync { group: id.clone() }, self.timers);
    }

    /// The time to sync is over: who has not is gone.
    pub(crate) fn sync_time_is_over(&mut self) {
        let group = &mut self.group.classic;
        let is_past = match group.state() {
            GroupState::CompletingRebalance | GroupState::Stable => false,
            GroupState::Empty | GroupState::PreparingRebalance => true,
        };
        if is_past || group.pending_syncs.is_empty() {
            return;
        }
        for id in std::mem::take(&mut group.pending_syncs) {
            group.remove(id.as_str());
        }
        self.prepare_rebalance();
    }

    /// A member of the generation asked for its assignment.
    pub(crate) fn has_synced(&mut self, member: &str) {
        let group = &mut self.group.classic;
        group.pending_syncs.remove(member);
        if group.pending_syncs.is_empty() {
            group.sync_alarm.clear();
        }
    }

    /// Nobody gets an assignment in this generation.
    fn cancel_syncs(&mut self, error: GroupError) {
        for id in self.group.classic.member_ids() {
            let member = self.group.classic.member_mut(id.as_str());
            let member = member.expect("just listed");
            member.assignment = Bytes::new();
            if let Some(waiter) = member.sync.take() {
                self.reply(waiter, GroupReply::Sync(Err(error)));
                self.restart_session(&id);
            }
        }
    }

    /// A member is gone; the others must hear of it.
    pub(crate) fn remove_member(&mut self, id: &str) {
        if let Some(member) = self.group.classic.remove(id) {
            self.dismiss(member, GroupError::UnknownMember);
        }
    }
}
