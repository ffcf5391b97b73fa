use super::assignor::Assignor;
use super::member::{Assignment, GroupMember};
use super::range;
use super::round_robin;
use super::sticky;
use crate::core::partition_key::PartitionKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Assignor {
    /// Spreads the partitions of the topics (by name: how many) over the members. Every partition of
    /// a topic that somebody subscribed to has exactly one owner, except that a cooperative round
    /// leaves out what its owner must give back first.
    pub fn assign(
        self,
        members: &[GroupMember],
        partitions: &BTreeMap<Arc<str>, u32>,
    ) -> Assignment {
        let mut sorted: Vec<&GroupMember> = members.iter().collect();
        sorted.sort_by_key(|member| sort_key(member));
        let mut assignment = match self {
            Assignor::Range => range::assign(&sorted, partitions),
            Assignor::RoundRobin => round_robin::assign(&sorted, partitions),
            Assignor::Sticky | Assignor::CooperativeSticky => sticky::assign(&sorted, partitions),
        };
        if self.is_cooperative() {
            withhold_what_moves(&sorted, &mut assignment);
        }
        for member in members {
            assignment.entry(member.member_id.clone()).or_default();
        }
        assignment
    }
}

/// Static members come first, by the name that they keep: their order survives restarts.
fn sort_key(member: &GroupMember) -> (bool, Arc<str>) {
    match &member.instance_id {
        Some(instance_id) => (false, instance_id.clone()),
        None => (true, member.member_id.clone()),
    }
}

/// A partition that moves is given to nobody in this round: its owner sees that it lost it, stops
/// reading and joins again; only then the new owner gets it.
fn withhold_what_moves(members: &[&GroupMember], assignment: &mut Assignment) {
    let mut moving: BTreeSet<&PartitionKey> = BTreeSet::new();
    for member in members {
        let kept = assignment.get(&member.member_id);
        let given_up = member
            .subscription
            .owned
            .iter()
            .filter(|key| kept.is_none_or(|kept| !kept.contains(*key)));
        moving.extend(given_up);
    }
    for member in members {
        if let Some(assigned) = assignment.get_mut(&member.member_id) {
            assigned.retain(|key| member.subscription.owned.contains(key) || !moving.contains(key));
        }
    }
}

#[cfg(test)]
mod tests;
