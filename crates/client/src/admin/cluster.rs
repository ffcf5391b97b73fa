use super::{Admin, Effect};
use crate::core::{BrokerEndpoint, PartitionKey, Target};
use crate::error::{ApiError, ClientError};
use ottla_protocol::messages::{
    DescribeClusterRequest, DescribeClusterResponse, DescribeLogDirsRequest,
    DescribeLogDirsResponse,
};
use ottla_protocol::{ApiKey, Message};
use ottla_types::BrokerId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The cluster and its brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    /// The cluster's id.
    pub cluster_id: String,
    /// A broker that takes requests for the controller.
    pub controller: Option<BrokerId>,
    /// The brokers, by number.
    pub brokers: Vec<BrokerDescription>,
}

/// A broker as it advertises itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerDescription {
    /// Its number.
    pub id: BrokerId,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its rack.
    pub rack: Option<String>,
}

/// One log directory of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirDescription {
    /// The broker it belongs to.
    pub broker: BrokerId,
    /// Its path there.
    pub path: String,
    /// Why it cannot be used, if it cannot.
    pub error: Option<ApiError>,
    /// Size of its volume in bytes, where the broker says it.
    pub total_bytes: Option<u64>,
    /// Bytes that are free, where the broker says it.
    pub usable_bytes: Option<u64>,
    /// The partitions in it.
    pub partitions: Vec<LogDirPartition>,
}

/// A partition in a log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDirPartition {
    /// Which.
    pub partition: PartitionKey,
    /// Bytes of its segments.
    pub size_bytes: u64,
    /// By how many offsets it lags behind.
    pub offset_lag: u64,
    /// It is being moved here.
    pub is_future: bool,
}

impl Admin {
    /// The cluster's id and brokers.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, ClientError> {
        let encode = Arc::new(move |writer: &mut _, version| {
            DescribeClusterRequest::default().encode(writer, version)
        });
        let reply = self
            .ask_any(ApiKey::DescribeCluster, 0..=i16::MAX, Effect::Reads, encode)
            .await?;
        let response: DescribeClusterResponse<'_> = reply.decode()?;
        ApiError::check(response.error_code, response.error_message.as_deref())?;
        let mut brokers: Vec<BrokerDescription> = response
            .brokers
            .iter()
            .filter_map(|broker| {
                Some(BrokerDescription {
                    id: BrokerId::from_wire(broker.broker_id)?,
                    host: broker.host.to_string(),
                    port: u16::try_from(broker.port).ok()?,
                    rack: broker.rack.as_deref().map(str::to_owned),
                })
            })
            .collect();
        brokers.sort_by_key(|broker| broker.id);
        Ok(ClusterDescription {
            cluster_id: response.cluster_id.to_string(),
            controller: BrokerId::from_wire(response.controller_id),
            brokers,
        })
    }

    /// The log directories of every broker; a broker that cannot be asked gets its error.
    pub async fn describe_log_dirs(
        &self,
    ) -> Result<BTreeMap<BrokerId, Result<Vec<LogDirDescription>, ClientError>>, ClientError> {
        let mut results = BTreeMap::new();
        for broker in self.brokers().await? {
            results.insert(broker.id, self.log_dirs_of(broker).await);
        }
        Ok(results)
    }

    async fn log_dirs_of(
        &self,
        broker: BrokerEndpoint,
    ) -> Result<Vec<LogDirDescription>, ClientError> {
        let encode = Arc::new(move |writer: &mut _, version| {
            DescribeLogDirsRequest { topics: None }.encode(writer, version)
        });
        let id = broker.id;
        let key = ApiKey::DescribeLogDirs;
        let target = Target::Broker(broker);
        let reply = self
            .ask(target, key, 1..=i16::MAX, Effect::Reads, encode)
            .await?;
        let response: DescribeLogDirsResponse<'_> = reply.decode()?;
        ApiError::check(response.error_code, None)?;
        let dirs = response.results.iter().map(|dir| LogDirDescription {
            broker: id,
            path: dir.log_dir.to_string(),
            error: ApiError::check(dir.error_code, None).err(),
            total_bytes: u64::try_from(dir.total_bytes).ok(),
            usable_bytes: u64::try_from(dir.usable_bytes).ok(),
            partitions: dir
                .topics
                .iter()
                .flat_map(|topic| {
                    let name: Arc<str> = Arc::from(&*topic.name);
                    topic.partitions.iter().map(move |part| LogDirPartition {
                        partition: PartitionKey::new(name.clone(), part.partition_index),
                        size_bytes: u64::try_from(part.partition_size).unwrap_or(0),
                        offset_lag: u64::try_from(part.offset_lag).unwrap_or(0),
                        is_future: part.is_future_key,
                    })
                })
                .collect(),
        });
        Ok(dirs.collect())
    }
}
