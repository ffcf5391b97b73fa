use super::classic::ClassicMember;
use super::config::GroupConfig;
use super::group_id::{GroupId, MemberId};
use super::one_group::Group;
use super::records;
use super::reply::{GroupReply, JoinRefused, Joined, JoinedMember, Synced};
use super::{GroupError, classic::ClassicGroup};
use crate::machine::{Effects, Waiter};
use crate::timers::Timers;
use bytes::Bytes;
use ottla_types::{Now, Prng};

/// What rings when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A member has been silent for too long.
    Session { group: GroupId, member: MemberId },
    /// A group has waited long enough for its members to join.
    Join { group: GroupId },
    /// A group has waited long enough for its members to sync.
    Sync { group: GroupId },
    /// Expired offsets are looked for.
    Sweep,
}

/// One group's turn: the group with everything that a step of it may touch.
pub(crate) struct Turn<'a> {
    pub(crate) id: &'a GroupId,
    pub(crate) group: &'a mut Group,
    pub(crate) config: &'a GroupConfig,
    pub(crate) timers: &'a mut Timers<Timer>,
    pub(crate) prng: &'a mut Prng,
    pub(crate) effects: &'a mut Effects<GroupReply>,
    pub(crate) now: Now,
}

impl Turn<'_> {
    pub(crate) fn classic(&mut self) -> &mut ClassicGroup {
        &mut self.group.classic
    }

    /// Answers what depends on nothing but this group.
    pub(crate) fn reply(&mut self, waiter: Waiter, reply: GroupReply) {
        self.effects.reply(waiter, reply, self.group.last_write);
    }

    /// Writes the group as it is.
    pub(crate) fn write_group(&mut self) {
        let record = records::group(self.id, &self.group.classic);
        self.group.last_write = self.effects.write(record);
    }

    /// Whether the group would still fit into a record with `more` bytes in it.
    pub(crate) fn has_room_for(&self, more: usize) -> bool {
        self.group.classic.members_size() + more <= self.config.record_bytes_max
    }

    /// The member must be heard of before its session timeout is over, from now.
    pub(crate) fn restart_session(&mut self, member: &MemberId) {
        let Some(found) = self.group.classic.member_mut(member.as_str()) else {
            return;
        };
        let at = self.now.mono.plus(found.parts.session_timeout);
        let group = self.id;
        found.session.set(
            at,
            || Timer::Session {
                group: group.clone(),
                member: member.clone(),
            },
            self.timers,
        );
    }

    /// Tells the member that it is part of the generation.
    pub(crate) fn reply_joined(&mut self, waiter: Waiter, member: &MemberId) {
        let group = &self.group.classic;
        let joined = Joined {
            member: member.clone(),
            generation: group.generation(),
            protocol_type: group.protocol_type().cloned(),
            protocol: group.protocol().cloned(),
            leader: group.leader().cloned(),
            skip_assignment: false,
            members: match group.is_leader(member.as_str()) {
                true => self.everybody(),
                false => Vec::new(),
            },
        };
        self.reply(waiter, GroupReply::Join(Ok(joined)));
    }

    /// What the leader is told.
    pub(crate) fn everybody(&self) -> Vec<JoinedMember> {
        let group = &self.group.classic;
        let protocol = group.protocol().map_or("", |protocol| protocol);
        let members = group.members().map(|member| JoinedMember {
            member: member.id.clone(),
            instance: member.parts.instance.clone(),
            metadata: member.metadata(protocol).cloned().unwrap_or_default(),
        });
        members.collect()
    }

    pub(crate) fn refuse_join(
        &mut self,
        waiter: Waiter,
        error: GroupError,
        member: Option<MemberId>,
    ) {
        let refused = JoinRefused { error, member };
        self.reply(waiter, GroupReply::Join(Err(refused)));
    }

    pub(crate) fn reply_synced(&mut self, waiter: Waiter, assignment: Bytes) {
        let synced = Synced {
            protocol_type: self.group.classic.protocol_type().cloned(),
            protocol: self.group.classic.protocol().cloned(),
            assignment,
        };
        self.reply(waiter, GroupReply::Sync(Ok(synced)));
    }

    /// Tells a member that is not one any more, wherever it waits.
    pub(crate) fn dismiss(&mut self, member: ClassicMember, error: GroupError) {
        let id = match error {
            GroupError::FencedInstance => Some(member.id),
            _ => None,
        };
        if let Some(waiter) = member.join {
            self.refuse_join(waiter, error, id);
        }
        if let Some(waiter) = member.sync {
            self.reply(waiter, GroupReply::Sync(Err(error)));
        }
    }
}
