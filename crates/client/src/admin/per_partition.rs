//! Requests and answers that list partitions below their topics.

use super::not_mentioned;
use crate::core::PartitionKey;
use crate::error::ApiError;

/// The items of each topic. They must be sorted by their keys.
pub(super) fn by_topic<'a, T>(
    items: &'a [T],
    key: impl Fn(&T) -> &PartitionKey + Copy + 'a,
) -> impl Iterator<Item = (&'a str, &'a [T])> {
    let same_topic = move |a: &T, b: &T| key(a).topic == key(b).topic;
    items
        .chunk_by(same_topic)
        .map(move |items| (&*key(&items[0]).topic, items))
}

/// What an answer says about a partition.
pub(super) fn find<'a, T: 'a, P: 'a>(
    topics: &'a [T],
    key: &PartitionKey,
    name: impl Fn(&T) -> &str,
    parts: impl Fn(&T) -> &[P],
    index: impl Fn(&P) -> i32,
) -> Result<&'a P, ApiError> {
    let mut topics = topics.iter().filter(|topic| name(topic) == &*key.topic);
    topics
        .find_map(|topic| {
            parts(topic)
                .iter()
                .find(|part| index(part) == key.partition)
        })
        .ok_or_else(not_mentioned)
}
