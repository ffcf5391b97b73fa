//! Offsets: committed, fetched, deleted.

use super::classic::GroupState;
use super::command::{CommitOffsets, CommitPartition, FetchOffsets, TopicPartitions};
use super::committed_offset::CommittedOffset;
use super::error::GroupError;
use super::one_group::Group;
use super::records;
use super::reply::{FetchedTopic, GroupReply};
use super::turn::Turn;
use crate::machine::Waiter;
use ottla_types::Timestamp;

/// Bytes around an offset's texts in its record.
const AROUND_OFFSET: usize = 128;

impl Turn<'_> {
    /// Keeps offsets.
    pub(crate) fn commit_offsets(&mut self, waiter: Waiter, request: &CommitOffsets) {
        let result = self.commit(request);
        self.reply(waiter, GroupReply::CommitOffsets(result));
    }

    fn commit(
        &mut self,
        request: &CommitOffsets,
    ) -> Result<Vec<Vec<Option<GroupError>>>, GroupError> {
        self.check_commit(request)?;
        if self.config.record_bytes_max < commit_size(request) {
            return Err(GroupError::CommitTooLarge);
        }
        // Members that only commit are heard of all the same.
        self.restart_session(&request.identity.member);
        let committed_at = self.now.wall;
        let expires_at = request.retention.map(|retention| {
            let millis = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
            Timestamp::from_millis(committed_at.as_millis().saturating_add(millis))
        });
        let mut results = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let mut of_topic = Vec::with_capacity(topic.partitions.len());
            for partition in &topic.partitions {
                if self.has_large_metadata(partition) {
                    of_topic.push(Some(GroupError::OffsetMetadataTooLarge));
                    continue;
                }
                let offset = CommittedOffset {
                    offset: partition.offset,
                    leader_epoch: partition.leader_epoch,
                    metadata: partition.metadata.clone(),
                    committed_at,
                    expires_at,
                    topic_id: Some(topic.id).filter(|id| *id != Default::default()),
                };
                let number = partition.partition;
                let record = records::offset(self.id, &topic.name, number, &offset);
                self.group.last_write = self.effects.write(record);
                self.group.set_offset(&topic.name, number, offset);
                of_topic.push(None);
            }
            results.push(of_topic);
        }
        let has_any = results.iter().flatten().any(Option::is_none);
        self.group.commits_count += u64::from(has_any);
        Ok(results)
    }

    /// `ClassicGroup.validateOffsetCommit`.
    fn check_commit(&self, request: &CommitOffsets) -> Result<(), GroupError> {
        let group = &self.group.classic;
        let identity = &request.identity;
        if identity.generation < 0 && group.is_in(GroupState::Empty) {
            // From nobody who is in the group: an administrator, or a consumer that does without.
            return Ok(());
        }
        let is_nobody = identity.generation < 0
            && identity.member.as_str().is_empty()
            && identity.instance.is_none();
        if is_nobody {
            return Err(GroupError::UnknownMember);
        }
        group.check_member(identity.member.as_str(), identity.instance.as_ref())?;
        if identity.generation != group.generation() {
            return Err(GroupError::IllegalGeneration);
        }
        match group.state() {
            // It has heard of the next generation already, and commits for the one before.
            GroupState::CompletingRebalance => Err(GroupError::RebalanceInProgress),
            GroupState::Empty | GroupState::PreparingRebalance | GroupState::Stable => Ok(()),
        }
    }

    fn has_large_metadata(&self, partition: &CommitPartition) -> bool {
        let units_max = self.config.offset_metadata_units_max;
        // Never more units than bytes.
        units_max < partition.metadata.len()
            && units_max < partition.metadata.encode_utf16().count()
    }

    /// Deletes offsets of topics that no member reads.
    pub(crate) fn delete_offsets(&mut self, waiter: Waiter, topics: &[TopicPartitions]) {
        let result = self.delete_unread(topics);
        self.reply(waiter, GroupReply::DeleteOffsets(result));
    }

    fn delete_unread(
        &mut self,
        topics: &[TopicPartitions],
    ) -> Result<Vec<Vec<Option<GroupError>>>, GroupError> {
        let group = &self.group.classic;
        if !group.is_in(GroupState::Empty) && !group.is_of_consumers() {
            return Err(GroupError::NonEmptyGroup); // Nobody knows what they read.
        }
        self.effects.is_divisible();
        let results = topics.iter().map(|topic| {
            let is_read = self.group.classic.is_subscribed_to(&topic.name);
            let of_topic = topic.partitions.iter().map(|partition| {
                if is_read {
                    return Some(GroupError::SubscribedToTopic);
                }
                self.delete_offset(&topic.name, *partition);
                None
            });
            of_topic.collect()
        });
        Ok(results.collect())
    }

    /// Deletes one offset, if it is there.
    pub(crate) fn delete_offset(&mut self, topic: &str, partition: i32) {
        let of_topic = self.group.offsets.get(topic);
        if of_topic.is_some_and(|partitions| partitions.contains_key(&partition)) {
            self.group.remove_offset(topic, partition);
            let record = records::no_offset(self.id, topic, partition);
            self.group.last_write = self.effects.write(record);
        }
    }

    /// Deletes every offset.
    pub(crate) fn delete_all_offsets(&mut self) {
        for (topic, partitions) in std::mem::take(&mut self.group.offsets) {
            for partition in partitions.into_keys() {
                let record = records::no_offset(self.id, &topic, partition);
                self.group.last_write = self.effects.write(record);
            }
        }
    }
}

/// The offsets that are asked for, of a group that may not be there.
pub(crate) fn fetched(group: Option<&Group>, request: FetchOffsets) -> Vec<FetchedTopic> {
    let Some(topics) = request.topics else {
        let all = group.into_iter().flat_map(|group| &group.offsets);
        let all = all.map(|(name, partitions)| FetchedTopic {
            name: name.clone(),
            partitions: partitions
                .iter()
                .map(|(partition, offset)| (*partition, Some(offset.clone())))
                .collect(),
        });
        return all.collect();
    };
    let named = topics.into_iter().map(|topic| {
        let kept = group.and_then(|group| group.offsets.get(&topic.name));
        let partitions = topic.partitions.into_iter().map(|partition| {
            let offset = kept.and_then(|kept| kept.get(&partition));
            (partition, offset.cloned())
        });
        FetchedTopic {
            partitions: partitions.collect(),
            name: topic.name,
        }
    });
    named.collect()
}

fn commit_size(request: &CommitOffsets) -> usize {
    let topics = request.topics.iter().map(|topic| {
        let around = AROUND_OFFSET + request.identity.group.as_str().len() + topic.name.len();
        let partitions = topic.partitions.iter();
        partitions
            .map(|partition| around + partition.metadata.len())
            .sum::<usize>()
    });
    topics.sum()
}
