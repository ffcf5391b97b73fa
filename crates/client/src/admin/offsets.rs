use super::per_partition::{by_topic, find};
use super::{Admin, AsyncLeaderRequest, Effect, not_mentioned};
use crate::core::{BrokerEndpoint, IsolationLevel, ListOffsetsCall, PartitionKey, Request, Target};
use crate::error::{ApiError, ClientError};
use ottla_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use ottla_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsResponse};
use ottla_protocol::{ApiKey, Message};
use ottla_types::{LeaderEpoch, Offset, Timestamp};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which offset of a partition is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetQuery {
    /// The first there is.
    Earliest,
    /// After the last one that can be read (exclusive).
    Latest,
    /// The record with the largest timestamp.
    MaxTimestamp,
    /// The first record with this timestamp or a later one.
    Time(Timestamp),
    /// The first on the broker's own disk.
    EarliestLocal,
    /// The last in remote storage.
    LatestTiered,
    /// The first that is not in remote storage yet.
    EarliestPendingUpload,
}

impl OffsetQuery {
    fn wire(self) -> i64 {
        match self {
            OffsetQuery::Latest => -1,
            OffsetQuery::Earliest => -2,
            OffsetQuery::MaxTimestamp => -3,
            OffsetQuery::EarliestLocal => -4,
            OffsetQuery::LatestTiered => -5,
            OffsetQuery::EarliestPendingUpload => -6,
            OffsetQuery::Time(timestamp) => timestamp.as_millis().max(0),
        }
    }
}

/// An offset that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset; `None` when there is none (no record that young, nothing in remote storage).
    pub offset: Option<Offset>,
    /// The timestamp of the record, where a record was looked for.
    pub timestamp: Option<Timestamp>,
    /// The term of the leader that appended it.
    pub leader_epoch: Option<LeaderEpoch>,
}

type PerPartition<T> = BTreeMap<PartitionKey, Result<T, ApiError>>;

impl Admin {
    /// Looks up offsets of partitions.
    ///
    /// ```no_run
    /// # use ottla_client::{Admin, ClientError, IsolationLevel, OffsetQuery, PartitionKey};
    /// # async fn example(admin: &Admin) -> Result<(), ClientError> {
    /// let key = PartitionKey::new("flights", 0);
    /// let queries = [(key.clone(), OffsetQuery::Latest)];
    /// let offsets = admin.list_offsets(&queries, IsolationLevel::ReadUncommitted).await?;
    /// println!("{:?}", offsets[&key]);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn list_offsets(
        &self,
        queries: &[(PartitionKey, OffsetQuery)],
        isolation: IsolationLevel,
    ) -> Result<PerPartition<ListedOffset>, ClientError> {
        self.ask_leaders(queries.to_vec(), ListOffsets { isolation })
            .await
    }

    /// Deletes the records below an offset of each partition (`None`: all that can be read), and gives
    /// the new first offsets.
    pub async fn delete_records(
        &self,
        before: &[(PartitionKey, Option<Offset>)],
    ) -> Result<PerPartition<Offset>, ClientError> {
        self.ask_leaders(before.to_vec(), DeleteRecords).await
    }
}

struct ListOffsets {
    isolation: IsolationLevel,
}

impl AsyncLeaderRequest<OffsetQuery, ListedOffset> for ListOffsets {
    async fn ask(
        &self,
        admin: &Admin,
        leader: BrokerEndpoint,
        queries: Vec<(PartitionKey, OffsetQuery)>,
    ) -> Result<Vec<(PartitionKey, Result<ListedOffset, ApiError>)>, ClientError> {
        let call = ListOffsetsCall {
            isolation: self.isolation,
            partitions: queries
                .iter()
                .map(|(key, query)| (key.clone(), -1, query.wire()))
                .collect(),
            timeout_ms: admin.timeout_ms(),
        };
        let request = Request::ListOffsets(call);
        let versions = request.versions();
        let encode = Arc::new(move |writer: &mut _, version| request.encode(writer, version));
        let target = Target::Broker(leader);
        let reply = admin
            .ask(target, ApiKey::ListOffsets, versions, Effect::Reads, encode)
            .await?;
        let response: ListOffsetsResponse<'_> = reply.decode()?;
        let found = |key: &PartitionKey| {
            let part = find(
                &response.topics,
                key,
                |topic| &topic.name,
                |topic| &topic.partitions,
                |part| part.partition_index,
            )?;
            ApiError::check(part.error_code, None)?;
            Ok(ListedOffset {
                offset: Offset::from_wire(part.offset),
                timestamp: (part.timestamp >= 0).then(|| Timestamp::from_millis(part.timestamp)),
                leader_epoch: LeaderEpoch::from_wire(part.leader_epoch),
            })
        };
        Ok(queries
            .iter()
            .map(|(key, _)| (key.clone(), found(key)))
            .collect())
    }
}

struct DeleteRecords;

impl AsyncLeaderRequest<Option<Offset>, Offset> for DeleteRecords {
    async fn ask(
        &self,
        admin: &Admin,
        leader: BrokerEndpoint,
        queries: Vec<(PartitionKey, Option<Offset>)>,
    ) -> Result<Vec<(PartitionKey, Result<Offset, ApiError>)>, ClientError> {
        let timeout_ms = admin.timeout_ms();
        let asked = queries.clone();
        let encode = Arc::new(move |writer: &mut _, version| {
            let topics = by_topic(&asked, |(key, _)| key).map(|(name, parts)| DeleteRecordsTopic {
                name: Cow::Borrowed(name),
                partitions: parts
                    .iter()
                    .map(|(key, before)| DeleteRecordsPartition {
                        partition_index: key.partition,
                        offset: before.map_or(-1, Offset::get),
                    })
                    .collect(),
            });
            let topics = topics.collect();
            DeleteRecordsRequest { topics, timeout_ms }.encode(writer, version)
        });
        // Deleting the same records again changes nothing.
        let target = Target::Broker(leader);
        let reply = admin
            .ask(
                target,
                ApiKey::DeleteRecords,
                0..=i16::MAX,
                Effect::Reads,
                encode,
            )
            .await?;
        let response: DeleteRecordsResponse<'_> = reply.decode()?;
        let found = |key: &PartitionKey| {
            let part = find(
                &response.topics,
                key,
                |topic| &topic.name,
                |topic| &topic.partitions,
                |part| part.partition_index,
            )?;
            ApiError::check(part.error_code, None)?;
            Offset::from_wire(part.low_watermark).ok_or_else(not_mentioned)
        };
        Ok(queries
            .iter()
            .map(|(key, _)| (key.clone(), found(key)))
            .collect())
    }
}
