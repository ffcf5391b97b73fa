//! What members of a consumer group tell each other: the subscriptions in JoinGroup and the
//! assignments in SyncGroup. Brokers do not read them; every client of every language must.

use super::assignor::Assignor;
use crate::core::partition_key::PartitionKey;
use ottla_protocol::messages::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, consumer_protocol_assignment,
    consumer_protocol_subscription,
};
use ottla_protocol::{DecodeError, Message, Reader, Writer};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The version subscriptions are written in. Readers of older versions ignore what follows.
const SUBSCRIPTION_VERSION: i16 = 3;

/// The version assignments are written in: all versions have the same fields, and the oldest
/// clients refuse the later numbers.
const ASSIGNMENT_VERSION: i16 = 0;

/// What one member wants and has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscription {
    /// The topics.
    pub topics: BTreeSet<Arc<str>>,
    /// What it owned when it joined (empty for eager assignors, which give everything back first).
    pub owned: BTreeSet<PartitionKey>,
    /// The generation in which it got those, if it says.
    pub generation: Option<i32>,
    /// Where it is.
    pub rack: Option<Arc<str>>,
}

impl Subscription {
    /// The bytes for JoinGroup under `assignor`. The sticky assignor gives everything back before it
    /// joins and says what it had in its own words, so `owned` goes there.
    pub fn encode(&self, assignor: Assignor) -> Vec<u8> {
        let user_data = match assignor {
            Assignor::Range | Assignor::RoundRobin => None,
            Assignor::Sticky => sticky_user_data(&self.owned, self.generation),
            Assignor::CooperativeSticky => {
                let mut writer = Writer::new();
                writer.i32(self.generation.unwrap_or(-1));
                Some(writer.into_buf())
            }
        };
        let owned = if assignor.is_cooperative() {
            by_topic(&self.owned)
        } else {
            BTreeMap::new()
        };
        let message = ConsumerProtocolSubscription {
            topics: self
                .topics
                .iter()
                .map(|topic| Cow::Borrowed(&**topic))
                .collect(),
            user_data: user_data.map(Cow::Owned),
            owned_partitions: owned
                .into_iter()
                .map(
                    |(topic, partitions)| consumer_protocol_subscription::TopicPartition {
                        topic: Cow::Borrowed(topic),
                        partitions,
                    },
                )
                .collect(),
            generation_id: self.generation.unwrap_or(-1),
            rack_id: self.rack.as_deref().map(Cow::Borrowed),
        };
        let mut writer = Writer::new();
        writer.i16(SUBSCRIPTION_VERSION);
        message
            .encode(&mut writer, SUBSCRIPTION_VERSION)
            .expect("every field exists in the version");
        writer.into_buf()
    }

    /// Reads what a member, perhaps of another make, said under `assignor`.
    pub fn decode(bytes: &[u8], assignor: Assignor) -> Result<Subscription, DecodeError> {
        let mut reader = Reader::new(bytes);
        // A later version begins with the fields that we know.
        let version = reader.i16()?.min(SUBSCRIPTION_VERSION);
        let message = ConsumerProtocolSubscription::decode(&mut reader, version)?;
        let mut subscription = Subscription {
            topics: message
                .topics
                .iter()
                .map(|topic| Arc::from(&**topic))
                .collect(),
            owned: partitions(
                message
                    .owned_partitions
                    .iter()
                    .map(|topic| (&*topic.topic, topic.partitions.as_slice())),
            ),
            generation: (message.generation_id >= 0).then_some(message.generation_id),
            rack: message.rack_id.as_deref().map(Arc::from),
        };
        let user_data = message.user_data.as_deref().unwrap_or_default();
        match assignor {
            Assignor::Range | Assignor::RoundRobin => {}
            Assignor::Sticky => {
                // Unreadable user data is nobody's fault but the member's: it has nothing then.
                let (owned, generation) = read_sticky_user_data(user_data).unwrap_or_default();
                subscription.owned = owned;
                subscription.generation = generation;
            }
            Assignor::CooperativeSticky if subscription.generation.is_none() => {
                let generation = Reader::new(user_data).i32().ok();
                subscription.generation = generation.filter(|generation| *generation >= 0);
            }
            Assignor::CooperativeSticky => {}
        }
        Ok(subscription)
    }
}

/// The sticky assignor's user data: partitions by topic, then the generation they were had in.
fn sticky_user_data(owned: &BTreeSet<PartitionKey>, generation: Option<i32>) -> Option<Vec<u8>> {
    if owned.is_empty() {
        return None;
    }
    let mut writer = Writer::new();
    let topics = by_topic(owned);
    writer.length(false, topics.len()).ok()?;
    for (topic, partitions) in topics {
        writer.string(false, topic).ok()?;
        writer.length(false, partitions.len()).ok()?;
        for partition in partitions {
            writer.i32(partition);
        }
    }
    writer.i32(generation.unwrap_or(-1));
    Some(writer.into_buf())
}

fn read_sticky_user_data(
    bytes: &[u8],
) -> Result<(BTreeSet<PartitionKey>, Option<i32>), DecodeError> {
    if bytes.is_empty() {
        return Ok(Default::default());
    }
    let mut reader = Reader::new(bytes);
    let topics = reader.array(false, 6, |reader| {
        let topic = reader.string(false)?;
        let partitions = reader.array(false, 4, |reader| reader.i32())?;
        Ok((topic, partitions))
    })?;
    let owned = partitions(
        topics
            .iter()
            .map(|(topic, parts)| (&**topic, parts.as_slice())),
    );
    // The first version of the data ended here.
    let generation = reader.i32().ok().filter(|generation| *generation >= 0);
    Ok((owned, generation))
}

/// The bytes for SyncGroup that give `assigned` to a member.
pub fn encode_assignment(assigned: &BTreeSet<PartitionKey>) -> Vec<u8> {
    let message = ConsumerProtocolAssignment {
        assigned_partitions: by_topic(assigned)
            .into_iter()
            .map(
                |(topic, partitions)| consumer_protocol_assignment::TopicPartition {
                    topic: Cow::Borrowed(topic),
                    partitions,
                },
            )
            .collect(),
        user_data: None,
    };
    let mut writer = Writer::new();
    writer.i16(ASSIGNMENT_VERSION);
    message
        .encode(&mut writer, ASSIGNMENT_VERSION)
        .expect("every field exists in the version");
    writer.into_buf()
}

/// Reads an assignment; no bytes are no partitions.
pub fn decode_assignment(bytes: &[u8]) -> Result<BTreeSet<PartitionKey>, DecodeError> {
    if bytes.is_empty() {
        return Ok(BTreeSet::new());
    }
    let mut reader = Reader::new(bytes);
    let version = reader
        .i16()?
        .min(*ConsumerProtocolAssignment::VERSIONS.end());
    let message = ConsumerProtocolAssignment::decode(&mut reader, version)?;
    Ok(partitions(
        message
            .assigned_partitions
            .iter()
            .map(|topic| (&*topic.topic, topic.partitions.as_slice())),
    ))
}

fn by_topic(partitions: &BTreeSet<PartitionKey>) -> BTreeMap<&str, Vec<i32>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for key in partitions {
        topics.entry(&key.topic).or_default().push(key.partition);
    }
    topics
}

fn partitions<'a>(topics: impl Iterator<Item = (&'a str, &'a [i32])>) -> BTreeSet<PartitionKey> {
    let mut keys = BTreeSet::new();
    for (topic, partitions) in topics {
        let topic: Arc<str> = Arc::from(topic);
        for partition in partitions {
            keys.insert(PartitionKey::new(topic.clone(), *partition));
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription() -> Subscription {
        Subscription {
            topics: [Arc::from("b"), Arc::from("a")].into(),
            owned: [PartitionKey::new("a", 1), PartitionKey::new("a", 0)].into(),
            generation: Some(7),
            rack: Some(Arc::from("r")),
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn subscriptions_have_the_bytes_of_kafka_s_schema() {
        // version 3 | 2 topics "a" "b" | user data (int32 generation) | owned: "a" [0, 1]
        // | generation 7 | rack "r"
        let cooperative = subscription().encode(Assignor::CooperativeSticky);
        assert_eq!(
            hex(&cooperative),
            "0003000000020001610001620000000400000007\
             00000001000161000000020000000000000001000000070001\
             72"
        );
        // An eager member owns nothing when it joins; the sticky assignor remembers.
        let sticky = subscription().encode(Assignor::Sticky);
        assert_eq!(
            hex(&sticky),
            "000300000002000161000162\
             00000017000000010001610000000200000000000000010000000\
             7\
             00000000000000070001\
             72"
        );
        let range = Subscription {
            topics: [Arc::from("t")].into(),
            ..Subscription::default()
        };
        assert_eq!(
            hex(&range.encode(Assignor::Range)),
            "000300000001000174ffffffff00000000ffffffffffff"
        );
    }

    #[test]
    fn subscriptions_come_back() {
        for assignor in [Assignor::Sticky, Assignor::CooperativeSticky] {
            let bytes = subscription().encode(assignor);
            assert_eq!(Subscription::decode(&bytes, assignor), Ok(subscription()));
        }
        let bytes = subscription().encode(Assignor::Range);
        let decoded = Subscription::decode(&bytes, Assignor::Range).unwrap();
        assert_eq!(decoded.topics, subscription().topics);
        assert!(decoded.owned.is_empty());
    }

    #[test]
    fn older_and_newer_versions_are_read() {
        // Version 0: topics and user data only.
        let old = b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff";
        let decoded = Subscription::decode(old, Assignor::CooperativeSticky).unwrap();
        assert_eq!(decoded.topics, [Arc::from("t")].into());
        assert_eq!(decoded.generation, None);
        // A version that is not written yet: what we know comes first.
        let mut new = subscription().encode(Assignor::CooperativeSticky);
        new[1] = 9;
        new.extend_from_slice(b"more");
        assert_eq!(
            Subscription::decode(&new, Assignor::CooperativeSticky),
            Ok(subscription())
        );
        assert!(Subscription::decode(b"\xff\xff", Assignor::Range).is_err());
        assert!(Subscription::decode(b"", Assignor::Range).is_err());
    }

    #[test]
    fn assignments_come_back_also_empty() {
        let assigned = subscription().owned;
        let bytes = encode_assignment(&assigned);
        assert_eq!(
            hex(&bytes),
            "00000000000100016100000002000000000000000\
                                 1ffffffff"
        );
        assert_eq!(decode_assignment(&bytes), Ok(assigned));
        assert_eq!(decode_assignment(b""), Ok(BTreeSet::new()));
        assert!(decode_assignment(b"\0\0\0").is_err());
    }
}
