//! Offsets that nobody has used for too long, and groups that have none left.

use super::classic::GroupState;
use super::committed_offset::CommittedOffset;
use super::turn::Turn;
use ottla_types::Timestamp;
use std::sync::Arc;

/// From when on an offset's age counts (KIP-211).
#[derive(Clone, Copy, Debug)]
enum AgeFrom {
    /// From its commit.
    Commit,
    /// From when the group lost its last member.
    GroupEmpty(Timestamp),
}

impl Turn<'_> {
    /// Deletes what has expired. Returns whether the group may go: nothing of it is left.
    pub(crate) fn expire_offsets(&mut self) -> bool {
        if self.group.offsets.is_empty() {
            return true;
        }
        let Some(age_from) = self.age_from() else {
            return false;
        };
        let retention = i64::try_from(self.config.offsets_retention.as_millis());
        let retention = retention.unwrap_or(i64::MAX);
        let mut expired: Vec<(Arc<str>, i32)> = Vec::new();
        for (topic, partitions) in &self.group.offsets {
            if self.group.classic.is_subscribed_to(topic) {
                continue;
            }
            for (partition, offset) in partitions {
                if is_expired(offset, age_from, retention, self.now.wall) {
                    expired.push((topic.clone(), *partition));
                }
            }
        }
        for (topic, partition) in expired {
            self.delete_offset(&topic, partition);
        }
        self.group.offsets.is_empty()
    }

    /// `ClassicGroup.offsetExpirationCondition`; `None`: nothing expires.
    fn age_from(&self) -> Option<AgeFrom> {
        let group = &self.group.classic;
        if group.protocol_type().is_none() {
            return Some(AgeFrom::Commit); // Never had members.
        }
        match group.state() {
            GroupState::Empty => Some(match group.state_since() {
                Some(since) => AgeFrom::GroupEmpty(since),
                None => AgeFrom::Commit,
            }),
            GroupState::Stable if group.is_of_consumers() && group.knows_subscriptions() => {
                Some(AgeFrom::Commit)
            }
            GroupState::PreparingRebalance
            | GroupState::CompletingRebalance
            | GroupState::Stable => None,
        }
    }
}

fn is_expired(offset: &CommittedOffset, age_from: AgeFrom, retention: i64, now: Timestamp) -> bool {
    if let Some(expires_at) = offset.expires_at {
        return expires_at <= now;
    }
    let since = match age_from {
        AgeFrom::Commit => offset.committed_at,
        AgeFrom::GroupEmpty(since) => since,
    };
    retention <= now.as_millis().saturating_sub(since.as_millis())
}
