//! Partition by partition, in the order of topics and numbers, to one member after the other.

use super::member::{Assignment, GroupMember};
use crate::core::partition_key::PartitionKey;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn assign(members: &[&GroupMember], partitions: &BTreeMap<Arc<str>, u32>) -> Assignment {
    let mut assignment = Assignment::new();
    let mut turn = 0;
    for (topic, count) in partitions {
        let wants = |index: usize| members[index].subscription.topics.contains(topic);
        if !(0..members.len()).any(wants) {
            continue;
        }
        for partition in 0..*count {
            while !wants(turn) {
                turn = (turn + 1) % members.len();
            }
            assignment
                .entry(members[turn].member_id.clone())
                .or_default()
                .insert(PartitionKey::new(topic.clone(), partition as i32));
            turn = (turn + 1) % members.len();
        }
    }
    assignment
}
