//! Topic by topic: the first members get one partition more where it does not come out even.

use super::member::{Assignment, GroupMember};
use crate::core::partition_key::PartitionKey;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn assign(members: &[&GroupMember], partitions: &BTreeMap<Arc<str>, u32>) -> Assignment {
    let mut assignment = Assignment::new();
    for (topic, count) in partitions {
        let interested: Vec<&&GroupMember> = members
            .iter()
            .filter(|member| member.subscription.topics.contains(topic))
            .collect();
        let members_count = interested.len() as u32;
        if members_count == 0 {
            continue;
        }
        let (each, one_more) = (count / members_count, count % members_count);
        let mut next = 0;
        for (index, member) in (0..).zip(interested) {
            let end = next + each + u32::from(index < one_more);
            let given = assignment.entry(member.member_id.clone()).or_default();
            given.extend((next..end).map(|part| PartitionKey::new(topic.clone(), part as i32)));
            next = end;
        }
    }
    assignment
}
