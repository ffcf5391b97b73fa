//! Administration: topics, configurations, offsets, groups, log directories, quorum, features.

mod per_partition;
mod retry;

mod cluster;
mod configs;
mod groups;
mod offsets;
mod quorum;
mod topics;
mod versions;

pub use cluster::{BrokerDescription, ClusterDescription, LogDirDescription, LogDirPartition};
pub use configs::{
    AlterConfigOp, ConfigChange, ConfigDescription, ConfigResource, ConfigSource, ConfigSynonym,
};
pub use groups::{GroupDescription, GroupListing, MemberDescription};
pub use offsets::{ListedOffset, OffsetQuery};
pub use quorum::{Elected, Election, FeatureChange, QuorumDescription, QuorumReplica};
pub use topics::{NewTopic, PartitionDescription, TopicDescription};
pub use versions::{ApiRange, BrokerVersions, broker_apis};

use crate::core::{BrokerEndpoint, CallFailure, PartitionKey, Target};
use crate::error::{ApiError, ClientError};
use crate::pool::Pool;
use bytes::Bytes;
use ottla_protocol::{ApiKey, EncodeError, Message, Reader, Writer};
use ottla_types::ErrorCode;
use retry::Retry;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// What asks the cluster to change, or how it is. Cheap to clone.
///
/// Operations on several items give one result per item. A request that certainly was not carried
/// out is repeated within the operation timeout; one that may have been is not, unless it only reads.
#[derive(Clone)]
pub struct Admin {
    pool: Arc<Pool>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Admin")
    }
}

/// Whether a request may be made twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// It only reads: always.
    Reads,
    /// It changes something: only if it certainly was not carried out.
    Changes,
}

/// What to send, in whatever version the broker has.
type Encode = Arc<dyn Fn(&mut Writer, i16) -> Result<(), EncodeError> + Send + Sync>;

/// A response's body, to be decoded by whoever asked.
struct Reply {
    key: ApiKey,
    version: i16,
    body: Bytes,
}

impl Reply {
    fn decode<'a, M: Message<'a>>(&'a self) -> Result<M, ClientError> {
        M::decode(&mut Reader::new(&self.body), self.version).map_err(|error| {
            ClientError::Malformed {
                api: self.key.name(),
                error,
            }
        })
    }
}

impl Admin {
    pub(crate) fn new(pool: Arc<Pool>) -> Admin {
        Admin { pool }
    }

    /// How long the broker may take for a change, as requests carry it.
    fn timeout_ms(&self) -> i32 {
        i32::try_from(self.pool.options().request_timeout.as_millis()).unwrap_or(i32::MAX)
    }

    /// Makes a request, again if it could not be sent, until the operation timeout.
    async fn ask(
        &self,
        target: Target,
        key: ApiKey,
        versions: RangeInclusive<i16>,
        effect: Effect,
        encode: Encode,
    ) -> Result<Reply, ClientError> {
        let mut retry = Retry::new(self.pool.options());
        loop {
            let encode = encode.clone();
            let asked = self
                .pool
                .ask(&target, key, versions.clone(), move |writer, version| {
                    encode(writer, version)
                });
            let failure = match asked.await {
                Ok((version, body)) => return Ok(Reply { key, version, body }),
                Err(failure) => failure,
            };
            let repeatable = match &failure {
                CallFailure::NotSent { .. } => true,
                CallFailure::Lost { .. } => effect == Effect::Reads,
                CallFailure::Unsupported { .. } => false,
            };
            if !repeatable || !retry.again().await {
                return Err(ClientError::from_failure(key.name(), failure));
            }
            tracing::debug!(api = key.name(), %failure, "asking again");
        }
    }

    /// As [`Admin::ask`] of any broker.
    async fn ask_any(
        &self,
        key: ApiKey,
        versions: RangeInclusive<i16>,
        effect: Effect,
        encode: Encode,
    ) -> Result<Reply, ClientError> {
        self.ask(Target::Any, key, versions, effect, encode).await
    }

    /// Asks the leader of each partition about its own; partitions without a leader, or whose leader
    /// does not answer, get an error. Leaders that have moved are looked up again.
    async fn ask_leaders<Q, A>(
        &self,
        queries: Vec<(PartitionKey, Q)>,
        request: impl AsyncLeaderRequest<Q, A>,
    ) -> Result<BTreeMap<PartitionKey, Result<A, ApiError>>, ClientError>
    where
        Q: Clone,
    {
        let mut retry = Retry::new(self.pool.options());
        let mut results = BTreeMap::new();
        let mut open: BTreeMap<PartitionKey, Q> = queries.into_iter().collect();
        while !open.is_empty() {
            let leaders = self.leaders(open.keys()).await?;
            let mut by_leader: BTreeMap<BrokerEndpoint, Vec<(PartitionKey, Q)>> = BTreeMap::new();
            for (key, query) in &open {
                match leaders.get(key) {
                    Some(Ok(leader)) => {
                        by_leader
                            .entry(leader.clone())
                            .or_default()
                            .push((key.clone(), query.clone()));
                    }
                    Some(Err(error)) => drop(results.insert(key.clone(), Err(error.clone()))),
                    None => drop(results.insert(key.clone(), Err(not_mentioned()))),
                }
            }
            for (leader, queries) in by_leader {
                for (key, result) in request.ask(self, leader, queries).await? {
                    results.insert(key, result);
                }
            }
            open.retain(|key, _| match results.get(key) {
                Some(Ok(_)) => false,
                Some(Err(error)) => error.code.is_retriable() && !is_missing_topic(error.code),
                None => true,
            });
            if open.is_empty() || !retry.again().await {
                break;
            }
        }
        Ok(results)
    }
}

/// One request to a leader about partitions of its own.
trait AsyncLeaderRequest<Q, A> {
    async fn ask(
        &self,
        admin: &Admin,
        leader: BrokerEndpoint,
        queries: Vec<(PartitionKey, Q)>,
    ) -> Result<Vec<(PartitionKey, Result<A, ApiError>)>, ClientError>;
}

fn is_missing_topic(code: ErrorCode) -> bool {
    code == ErrorCode::UnknownTopicOrPartition
}

/// The broker's answer leaves out what was asked.
fn not_mentioned() -> ApiError {
    ApiError {
        code: ErrorCode::UnknownServerError,
        message: Some("the broker's answer does not mention it".to_owned()),
    }
}
