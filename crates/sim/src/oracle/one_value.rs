use super::Violation;
use crate::hold;
use ottla_types::{LeaderEpoch, Offset, TopicPartition};
use std::collections::BTreeMap;

/// (topic id, partition, offset, leader epoch) has one value for ever, on all disks and for all readers.
#[derive(Debug, Default)]
pub struct OneValue {
    seen: BTreeMap<(TopicPartition, Offset, LeaderEpoch), u64>,
}

impl OneValue {
    /// Notes that a batch with these bytes was appended or read.
    pub fn note(
        &mut self,
        partition: TopicPartition,
        base_offset: Offset,
        leader_epoch: LeaderEpoch,
        bytes: &[u8],
    ) -> Result<(), Violation> {
        let hash = hash(bytes);
        let known = *self
            .seen
            .entry((partition, base_offset, leader_epoch))
            .or_insert(hash);
        hold!(
            known == hash,
            "one offset and epoch, one value",
            "{partition} offset {base_offset} epoch {leader_epoch} has two values"
        );
        Ok(())
    }
}

impl OneValue {
    /// Whether a batch with these bytes was appended there.
    pub fn has(
        &self,
        partition: TopicPartition,
        base_offset: Offset,
        leader_epoch: LeaderEpoch,
        bytes: &[u8],
    ) -> bool {
        self.seen.get(&(partition, base_offset, leader_epoch)) == Some(&hash(bytes))
    }
}

/// FNV-1a over eight bytes at a time: only for telling values apart.
fn hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64 ^ bytes.len() as u64;
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0100_0000_01b3);
        hash ^= hash >> 29;
    }
    hash
}
