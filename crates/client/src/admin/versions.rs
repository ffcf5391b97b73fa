use super::{Admin, Effect};
use crate::core::{BrokerEndpoint, Target};
use crate::error::{ApiError, ClientError};
use ottla_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use ottla_protocol::{ALL_API_KEYS, ApiKey, Message};
use ottla_types::BrokerId;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a broker speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerVersions {
    /// Which broker.
    pub broker: BrokerEndpoint,
    /// Its APIs, by number.
    pub apis: Vec<ApiRange>,
    /// The features that it supports: name, lowest and highest level.
    pub supported_features: Vec<(String, i16, i16)>,
    /// The features that the cluster has agreed on, and their levels.
    pub finalized_features: Vec<(String, i16)>,
    /// When that was, as a number that only grows; `None` if nothing was agreed on.
    pub features_epoch: Option<i64>,
}

/// The versions of one API, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiRange {
    /// Its number.
    pub key: i16,
    /// The lowest version.
    pub min: i16,
    /// The highest version.
    pub max: i16,
}

impl ApiRange {
    /// Kafka's name of the API; `None` if this client does not know it.
    pub fn name(&self) -> Option<&'static str> {
        ApiKey::from_i16(self.key).map(ApiKey::name)
    }

    /// The versions that Kafka 4.4 says it has; `None` if it does not have the API.
    pub fn of_kafka(key: i16) -> Option<ApiRange> {
        let known = ApiKey::from_i16(key).filter(|key| key.is_on_broker())?;
        let versions = known.advertised_versions();
        Some(ApiRange {
            key,
            min: *versions.start(),
            max: *versions.end(),
        })
    }

    /// The highest version that this client can use, too.
    pub fn usable(&self) -> Option<i16> {
        let ours = ApiKey::from_i16(self.key)?.versions();
        let version = self.max.min(*ours.end());
        (self.min.max(*ours.start()) <= version).then_some(version)
    }
}

/// Number and name of every API that a broker of Kafka 4.4 has.
pub fn broker_apis() -> impl Iterator<Item = (i16, &'static str)> {
    let of_brokers = ALL_API_KEYS.into_iter().filter(|key| key.is_on_broker());
    of_brokers.map(|key| (key.number(), key.name()))
}

impl Admin {
    /// What each broker speaks; a broker that cannot be asked gets its error.
    pub async fn broker_versions(
        &self,
    ) -> Result<BTreeMap<BrokerId, Result<BrokerVersions, ClientError>>, ClientError> {
        let mut results = BTreeMap::new();
        for broker in self.brokers().await? {
            results.insert(broker.id, self.versions_of(broker).await);
        }
        Ok(results)
    }

    async fn versions_of(&self, broker: BrokerEndpoint) -> Result<BrokerVersions, ClientError> {
        let encode = Arc::new(move |writer: &mut _, version| {
            ApiVersionsRequest {
                client_software_name: Cow::Borrowed(crate::link::SOFTWARE_NAME),
                client_software_version: Cow::Borrowed(crate::link::SOFTWARE_VERSION),
                ..ApiVersionsRequest::default()
            }
            .encode(writer, version)
        });
        let target = Target::Broker(broker.clone());
        let reply = self
            .ask(target, ApiKey::ApiVersions, 0..=4, Effect::Reads, encode)
            .await?;
        let response: ApiVersionsResponse<'_> = reply.decode()?;
        ApiError::check(response.error_code, None)?;
        let mut apis: Vec<ApiRange> = response
            .api_keys
            .iter()
            .map(|api| ApiRange {
                key: api.api_key,
                min: api.min_version,
                max: api.max_version,
            })
            .collect();
        apis.sort_by_key(|api| api.key);
        let supported = response.supported_features.iter();
        let finalized = response.finalized_features.iter();
        Ok(BrokerVersions {
            broker,
            apis,
            supported_features: supported
                .map(|it| (it.name.to_string(), it.min_version, it.max_version))
                .collect(),
            finalized_features: finalized
                .map(|it| (it.name.to_string(), it.max_version_level))
                .collect(),
            features_epoch: (response.finalized_features_epoch >= 0)
                .then_some(response.finalized_features_epoch),
        })
    }
}
