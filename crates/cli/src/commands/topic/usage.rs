use std::collections::BTreeMap;

use ottla_client::{Admin, ClientError, OffsetQuery, PartitionKey, TopicDescription};

use super::size::replicas;
use crate::commands::group::lag::first_unread;
use crate::commands::group::look_up;
use crate::failure::Failure;

/// What a topic holds, and who reads it.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// What all its replicas take on disk.
    pub bytes: u64,
    /// From the first offset to the next one of each partition; `None` if one of them cannot be asked.
    pub records: Option<i64>,
    /// By how many records each group that has committed offsets in it is behind, in the partitions it
    /// has committed for; `None` if one of them cannot be asked.
    pub lags: BTreeMap<String, Option<i64>>,
}

/// Asks for the usage of topics. What cannot be found out is reported, and makes the command fail.
pub async fn measure(
    topics: &BTreeMap<String, TopicDescription>,
    admin: &Admin,
) -> Result<(BTreeMap<String, Usage>, Result<(), Failure>), Failure> {
    let mut usages: BTreeMap<String, Usage> = topics
        .keys()
        .map(|name| (name.clone(), Usage::default()))
        .collect();
    if usages.is_empty() {
        return Ok((usages, Ok(())));
    }
    let (replicas, mut outcome) = replicas(admin).await?;
    for (_, replica) in replicas {
        if let Some(usage) = usages.get_mut(&*replica.partition.topic) {
            usage.bytes += replica.size_bytes;
        }
    }
    // Nobody knows the offsets of a partition without a leader, and waiting for one may take long.
    let keys: Vec<PartitionKey> = topics
        .values()
        .flat_map(|topic| {
            let led = topic.partitions.iter().filter(|part| part.leader.is_some());
            led.map(|part| PartitionKey::new(topic.name.as_str(), part.partition))
        })
        .collect();
    let bounds = Bounds {
        starts: look_up(admin, &keys, OffsetQuery::Earliest).await?,
        ends: look_up(admin, &keys, OffsetQuery::Latest).await?,
    };
    for (name, usage) in &mut usages {
        usage.records = bounds.records(&topics[name]);
    }
    for group in admin.list_groups(&[], &[]).await? {
        let committed = match admin.group_offsets(&group.group_id).await {
            Ok(committed) => committed,
            Err(ClientError::Refused(error)) => {
                Failure::item(&format!("group {}", group.group_id), &error).report();
                outcome = Err(Failure::reported());
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        for (key, committed) in committed {
            if let Some(usage) = usages.get_mut(&*key.topic) {
                let behind = bounds.unread(&key, committed.offset.get());
                let lag = usage.lags.entry(group.group_id.clone()).or_insert(Some(0));
                *lag = lag.zip(behind).map(|(lag, behind)| lag + behind);
            }
        }
    }
    Ok((usages, outcome))
}

/// Where the partitions begin and end (exclusive).
struct Bounds {
    starts: BTreeMap<PartitionKey, i64>,
    ends: BTreeMap<PartitionKey, i64>,
}

impl Bounds {
    fn records(&self, topic: &TopicDescription) -> Option<i64> {
        let parts = topic.partitions.iter();
        let keys = parts.map(|part| PartitionKey::new(topic.name.as_str(), part.partition));
        keys.map(|key| Some((self.ends.get(&key)? - self.starts.get(&key)?).max(0)))
            .sum()
    }

    fn unread(&self, key: &PartitionKey, committed: i64) -> Option<i64> {
        let next = first_unread(committed, self.starts.get(key).copied());
        Some((self.ends.get(key)? - next).max(0))
    }
}
