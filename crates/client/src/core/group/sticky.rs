//! Evenly, and as far as that allows, everybody keeps what he had.
//!
//! 1. What a member says it owns is its own unless a member of a later generation says the same; two
//!    that claim it in one generation both lose it.
//! 2. Members that have too many give the last ones back.
//! 3. What nobody has goes to whoever has the fewest among those who want the topic.
//! 4. As long as a member has two more than another who could take one of them, one moves.

use super::member::{Assignment, GroupMember};
use crate::core::partition_key::PartitionKey;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(super) fn assign(members: &[&GroupMember], partitions: &BTreeMap<Arc<str>, u32>) -> Assignment {
    if members.is_empty() {
        return Assignment::new();
    }
    let mut round = Round::new(members, partitions);
    if round.everybody_wants_the_same() {
        round.cut_to_quota();
    }
    round.give_out_the_rest();
    round.even_out();
    round.into_assignment()
}

/// Members are named by their place in `members`.
struct Round<'a> {
    members: &'a [&'a GroupMember],
    partitions: &'a BTreeMap<Arc<str>, u32>,
    /// Who wants each topic.
    interested: BTreeMap<&'a Arc<str>, Vec<usize>>,
    /// What each member has.
    given: Vec<BTreeSet<PartitionKey>>,
}

impl<'a> Round<'a> {
    fn new(members: &'a [&'a GroupMember], partitions: &'a BTreeMap<Arc<str>, u32>) -> Round<'a> {
        let interested = partitions
            .keys()
            .map(|topic| {
                let wants = |index: &usize| members[*index].subscription.topics.contains(topic);
                (topic, (0..members.len()).filter(wants).collect())
            })
            .collect();
        let mut given = vec![BTreeSet::new(); members.len()];
        for (key, owner) in owners(members) {
            let exists = partitions
                .get(&key.topic)
                .is_some_and(|count| u32::try_from(key.partition).is_ok_and(|p| p < *count));
            if exists && members[owner].subscription.topics.contains(&key.topic) {
                given[owner].insert(key);
            }
        }
        Round {
            members,
            partitions,
            interested,
            given,
        }
    }

    fn everybody_wants_the_same(&self) -> bool {
        let first = &self.members[0].subscription.topics;
        self.members
            .iter()
            .all(|member| member.subscription.topics == *first)
    }

    /// Nobody keeps more than an even share; the shares that are one larger go to those who fill them.
    fn cut_to_quota(&mut self) {
        let wanted = |topic: &Arc<str>| self.interested.get(topic).is_some_and(|m| !m.is_empty());
        let total: u32 = self
            .partitions
            .iter()
            .filter(|(topic, _)| wanted(topic))
            .map(|(_, count)| *count)
            .sum();
        let share = total as usize / self.members.len();
        let mut larger = total as usize % self.members.len();
        for given in &mut self.given {
            let keep = if given.len() > share && larger > 0 {
                larger -= 1;
                share + 1
            } else {
                share
            };
            while given.len() > keep {
                given.pop_last();
            }
        }
    }

    fn give_out_the_rest(&mut self) {
        let taken: BTreeSet<PartitionKey> = self.given.iter().flatten().cloned().collect();
        // By load, then by place: the least loaded member is always first.
        let mut by_load: BTreeMap<&Arc<str>, BTreeSet<(usize, usize)>> = BTreeMap::new();
        let same = self.everybody_wants_the_same();
        let mut shared: BTreeSet<(usize, usize)> = (0..self.members.len())
            .map(|index| (self.given[index].len(), index))
            .collect();
        for (topic, count) in self.partitions {
            let interested = &self.interested[topic];
            if interested.is_empty() {
                continue;
            }
            if !same {
                // Loads have changed since the topic before.
                let loads = interested
                    .iter()
                    .map(|index| (self.given[*index].len(), *index));
                by_load.insert(topic, loads.collect());
            }
            for partition in 0..*count {
                let key = PartitionKey::new(topic.clone(), partition as i32);
                if taken.contains(&key) {
                    continue;
                }
                let loads = by_load.get_mut(topic).unwrap_or(&mut shared);
                let (load, index) = loads.pop_first().expect("somebody wants the topic");
                loads.insert((load + 1, index));
                self.given[index].insert(key);
            }
        }
    }

    /// Every move makes the sum of the squared loads smaller, so this ends.
    fn even_out(&mut self) {
        loop {
            let mut moved = false;
            for (topic, interested) in &self.interested {
                while let Some((from, to, key)) = uneven(&self.given, topic, interested) {
                    self.given[from].remove(&key);
                    self.given[to].insert(key);
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn into_assignment(self) -> Assignment {
        self.members
            .iter()
            .zip(self.given)
            .map(|(member, given)| (member.member_id.clone(), given))
            .collect()
    }
}

/// A partition of the topic that had better move: from the fullest member that has one to the
/// emptiest that wants one, if that has at least two fewer in all.
fn uneven(
    given: &[BTreeSet<PartitionKey>],
    topic: &Arc<str>,
    interested: &[usize],
) -> Option<(usize, usize, PartitionKey)> {
    let first = PartitionKey::new(topic.clone(), 0);
    let last = PartitionKey::new(topic.clone(), i32::MAX);
    let last_of = |index: usize| given[index].range(&first..=&last).next_back();
    let to = *interested.iter().min_by_key(|index| given[**index].len())?;
    let (from, key) = interested
        .iter()
        .filter_map(|index| Some((*index, last_of(*index)?)))
        .max_by_key(|(index, _)| given[*index].len())?;
    (given[from].len() > given[to].len() + 1).then(|| (from, to, key.clone()))
}

/// Who owns what, by what the members say.
fn owners(members: &[&GroupMember]) -> BTreeMap<PartitionKey, usize> {
    let mut claims: BTreeMap<PartitionKey, (i32, Option<usize>)> = BTreeMap::new();
    for (index, member) in members.iter().enumerate() {
        let generation = member.subscription.generation.unwrap_or(-1);
        for key in &member.subscription.owned {
            let claim = claims
                .entry(key.clone())
                .or_insert((generation, Some(index)));
            match claim.1 {
                Some(other) if other == index => {}
                _ if claim.0 < generation => *claim = (generation, Some(index)),
                _ if claim.0 == generation => claim.1 = None,
                _ => {}
            }
        }
    }
    let settled = claims
        .into_iter()
        .filter_map(|(key, (_, owner))| Some((key, owner?)));
    settled.collect()
}
