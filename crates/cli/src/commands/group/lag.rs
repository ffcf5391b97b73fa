use std::collections::BTreeMap;
use std::time::Duration;

use ottla_client::{
    Client, CommittedOffset, ConsumerOptions, OffsetQuery, PartitionKey, StartOffset,
};
use ottla_types::Offset;

use super::look_up;
use crate::failure::Failure;
use crate::time_text::now_millis;

/// How long the first unread records are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far a group is behind in one partition.
#[derive(Clone, Debug, Default)]
pub struct Lag {
    /// The next offset to be read; `None` if nothing was committed.
    pub committed: Option<i64>,
    /// Where the log begins.
    pub start: Option<i64>,
    /// Where the log ends (exclusive).
    pub end: Option<i64>,
    /// Records that were not read.
    pub records: Option<i64>,
    /// How old the first of them is, in milliseconds; 0 if there is none.
    pub behind_ms: Option<i64>,
    /// What was committed along with the offset.
    pub note: String,
}

/// Compares what was committed with the ends of the logs, and the first unread records with the clock.
pub async fn measure(
    client: &Client,
    keys: &[PartitionKey],
    committed: &BTreeMap<PartitionKey, CommittedOffset>,
) -> Result<BTreeMap<PartitionKey, Lag>, Failure> {
    let admin = client.admin();
    let ends = look_up(&admin, keys, OffsetQuery::Latest).await?;
    let starts = look_up(&admin, keys, OffsetQuery::Earliest).await?;
    let mut lags = BTreeMap::new();
    let mut unread = BTreeMap::new();
    for key in keys {
        let at = committed.get(key).map(|committed| committed.offset.get());
        let (start, end) = (starts.get(key).copied(), ends.get(key).copied());
        let next = at.map(|at| first_unread(at, start));
        let records = next.zip(end).map(|(next, end)| (end - next).max(0));
        if let (Some(next), Some(1..)) = (next, records) {
            unread.insert(key.clone(), next);
        }
        let lag = Lag {
            committed: at,
            start,
            end,
            records,
            behind_ms: (records == Some(0)).then_some(0),
            note: committed
                .get(key)
                .map_or(String::new(), |c| c.metadata.clone()),
        };
        lags.insert(key.clone(), lag);
    }
    let now = now_millis();
    for (key, timestamp) in first_timestamps(client, unread).await? {
        if let Some(lag) = lags.get_mut(&key) {
            lag.behind_ms = Some((now - timestamp).max(0));
        }
    }
    Ok(lags)
}

/// The first record there is for a group that has committed `at`: what was before `start` is gone.
pub fn first_unread(at: i64, start: Option<i64>) -> i64 {
    at.max(start.unwrap_or(0))
}

/// When the record at each offset (or the next after it) was made.
async fn first_timestamps(
    client: &Client,
    mut wanted: BTreeMap<PartitionKey, i64>,
) -> Result<BTreeMap<PartitionKey, i64>, Failure> {
    let mut found = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(found);
    }
    // One batch of each partition is enough.
    let mut consumer = client.consumer(ConsumerOptions {
        partition_bytes_max: 1,
        ..ConsumerOptions::default()
    });
    for (key, offset) in &wanted {
        let start = StartOffset::At(Offset::new(*offset));
        consumer.assign(key.topic.clone(), key.partition, start);
    }
    let until = std::time::Instant::now() + PATIENCE;
    while !wanted.is_empty() && std::time::Instant::now() < until {
        let records = match consumer.poll(Duration::from_millis(200)).await {
            Ok(records) => records,
            // A partition that cannot be read is not behind by any time that we could tell.
            Err(error) => {
                tracing::debug!(%error, "the first unread record is not readable");
                continue;
            }
        };
        if let Some(first) = records.first()
            && wanted.remove(&first.partition).is_some()
        {
            found.insert(first.partition.clone(), first.timestamp.as_millis());
            consumer.unassign(&first.partition);
        }
    }
    Ok(found)
}
