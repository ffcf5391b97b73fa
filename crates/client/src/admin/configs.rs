use super::{Admin, Effect, not_mentioned};
use crate::core::{BrokerEndpoint, Target};
use crate::error::{ApiError, ClientError};
use ottla_protocol::messages::describe_configs_request::DescribeConfigsResource;
use ottla_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use ottla_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use ottla_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, ListConfigResourcesRequest, ListConfigResourcesResponse,
};
use ottla_protocol::{ApiKey, Message};
use ottla_types::BrokerId;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a configuration belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// A topic.
    Topic(String),
    /// One broker.
    Broker(BrokerId),
    /// All brokers that have no value of their own.
    ClusterDefault,
    /// The log levels of one broker.
    BrokerLogger(BrokerId),
    /// A client metrics subscription (KIP-714).
    ClientMetrics(String),
    /// A group.
    Group(String),
}

impl ConfigResource {
    fn wire_type(&self) -> i8 {
        match self {
            ConfigResource::Topic(_) => 2,
            ConfigResource::Broker(_) | ConfigResource::ClusterDefault => 4,
            ConfigResource::BrokerLogger(_) => 8,
            ConfigResource::ClientMetrics(_) => 16,
            ConfigResource::Group(_) => 32,
        }
    }

    fn wire_name(&self) -> Cow<'_, str> {
        match self {
            ConfigResource::Topic(name)
            | ConfigResource::ClientMetrics(name)
            | ConfigResource::Group(name) => Cow::Borrowed(name),
            ConfigResource::Broker(id) | ConfigResource::BrokerLogger(id) => {
                Cow::Owned(id.to_string())
            }
            ConfigResource::ClusterDefault => Cow::Borrowed(""),
        }
    }

    /// The broker that must be asked; the others can be answered by any.
    fn broker(&self) -> Option<BrokerId> {
        match self {
            ConfigResource::Broker(id) | ConfigResource::BrokerLogger(id) => Some(*id),
            ConfigResource::Topic(_)
            | ConfigResource::ClusterDefault
            | ConfigResource::ClientMetrics(_)
            | ConfigResource::Group(_) => None,
        }
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set for the topic.
    Topic,
    /// Set for the broker.
    Broker,
    /// Set for all brokers.
    ClusterDefault,
    /// From the broker's file or command line.
    Static,
    /// Nobody has set it.
    Default,
    /// Set as a log level.
    BrokerLogger,
    /// Set for a client metrics subscription.
    ClientMetrics,
    /// Set for the group.
    Group,
    /// A source this client does not know, or none was told.
    Unknown,
}

impl ConfigSource {
    fn from_wire(number: i8) -> ConfigSource {
        match number {
            1 => ConfigSource::Topic,
            2 => ConfigSource::Broker,
            3 => ConfigSource::ClusterDefault,
            4 => ConfigSource::Static,
            5 => ConfigSource::Default,
            6 => ConfigSource::BrokerLogger,
            7 => ConfigSource::ClientMetrics,
            8 => ConfigSource::Group,
            _ => ConfigSource::Unknown,
        }
    }
}

/// One configuration of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigDescription {
    /// Its name.
    pub name: String,
    /// Its value; `None` when it has none or is secret.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Cannot be changed while the broker runs.
    pub is_read_only: bool,
    /// The value is secret.
    pub is_sensitive: bool,
    /// The settings that could have given the value, the deciding one first.
    pub synonyms: Vec<ConfigSynonym>,
    /// What it is for.
    pub documentation: Option<String>,
}

/// A setting that a configuration falls back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Option<String>,
    /// Where it is set.
    pub source: ConfigSource,
}

/// What to do with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlterConfigOp {
    /// Give it this value.
    Set(String),
    /// Let it fall back to the default.
    Delete,
    /// Add to a list.
    Append(String),
    /// Take out of a list.
    Subtract(String),
}

/// A change to one configuration.
///
/// ```
/// use ottla_client::ConfigChange;
///
/// let change = ConfigChange::set("retention.ms", "3600000");
/// assert_eq!(change.name, "retention.ms");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// Its name.
    pub name: String,
    /// What to do.
    pub op: AlterConfigOp,
}

impl ConfigChange {
    /// Gives it a value.
    pub fn set(name: impl Into<String>, value: impl Into<String>) -> ConfigChange {
        ConfigChange {
            name: name.into(),
            op: AlterConfigOp::Set(value.into()),
        }
    }

    /// Lets it fall back to the default.
    pub fn delete(name: impl Into<String>) -> ConfigChange {
        ConfigChange {
            name: name.into(),
            op: AlterConfigOp::Delete,
        }
    }

    fn to_wire(&self) -> AlterableConfig<'_> {
        let (config_operation, value) = match &self.op {
            AlterConfigOp::Set(value) => (0, Some(value)),
            AlterConfigOp::Delete => (1, None),
            AlterConfigOp::Append(value) => (2, Some(value)),
            AlterConfigOp::Subtract(value) => (3, Some(value)),
        };
        AlterableConfig {
            name: Cow::Borrowed(&self.name),
            config_operation,
            value: value.map(|value| Cow::Borrowed(value.as_str())),
        }
    }
}

impl Admin {
    /// All configurations of a resource, sorted by name, with synonyms and documentation.
    pub async fn describe_configs(
        &self,
        resource: &ConfigResource,
    ) -> Result<Vec<ConfigDescription>, ClientError> {
        let target = self.config_target(resource).await?;
        let asked = resource.clone();
        let encode = Arc::new(move |writer: &mut _, version: i16| {
            let resource = DescribeConfigsResource {
                resource_type: asked.wire_type(),
                resource_name: asked.wire_name(),
                configuration_keys: None,
            };
            DescribeConfigsRequest {
                resources: vec![resource],
                include_synonyms: true,
                include_documentation: version >= 3,
            }
            .encode(writer, version)
        });
        let reply = self
            .ask(
                target,
                ApiKey::DescribeConfigs,
                1..=i16::MAX,
                Effect::Reads,
                encode,
            )
            .await?;
        let response: DescribeConfigsResponse<'_> = reply.decode()?;
        let result = response.results.first().ok_or_else(not_mentioned)?;
        ApiError::check(result.error_code, result.error_message.as_deref())?;
        let mut configs: Vec<ConfigDescription> = result.configs.iter().map(describe).collect();
        configs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(configs)
    }

    /// Changes configurations of one resource, all or none.
    ///
    /// ```no_run
    /// # use ottla_client::{Admin, ClientError, ConfigChange, ConfigResource};
    /// # async fn example(admin: &Admin) -> Result<(), ClientError> {
    /// let topic = ConfigResource::Topic("flights".to_owned());
    /// admin.alter_configs(&topic, &[ConfigChange::set("retention.ms", "3600000")]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn alter_configs(
        &self,
        resource: &ConfigResource,
        changes: &[ConfigChange],
    ) -> Result<(), ClientError> {
        self.alter(resource, changes, false).await
    }

    /// Says what [`Admin::alter_configs`] would answer, without changing anything.
    pub async fn validate_configs(
        &self,
        resource: &ConfigResource,
        changes: &[ConfigChange],
    ) -> Result<(), ClientError> {
        self.alter(resource, changes, true).await
    }

    async fn alter(
        &self,
        resource: &ConfigResource,
        changes: &[ConfigChange],
        validate_only: bool,
    ) -> Result<(), ClientError> {
        let target = self.config_target(resource).await?;
        let (resource, changes) = (resource.clone(), changes.to_vec());
        let encode = Arc::new(move |writer: &mut _, version| {
            let resource = AlterConfigsResource {
                resource_type: resource.wire_type(),
                resource_name: resource.wire_name(),
                configs: changes.iter().map(ConfigChange::to_wire).collect(),
            };
            IncrementalAlterConfigsRequest {
                resources: vec![resource],
                validate_only,
            }
            .encode(writer, version)
        });
        let key = ApiKey::IncrementalAlterConfigs;
        let reply = self
            .ask(target, key, 0..=i16::MAX, Effect::Changes, encode)
            .await?;
        let response: IncrementalAlterConfigsResponse<'_> = reply.decode()?;
        let result = response.responses.first().ok_or_else(not_mentioned)?;
        Ok(ApiError::check(
            result.error_code,
            result.error_message.as_deref(),
        )?)
    }

    /// The groups that something is configured for.
    pub async fn configured_groups(&self) -> Result<Vec<String>, ClientError> {
        self.configured(32, 1).await
    }

    /// The client metrics subscriptions there are.
    pub async fn client_metrics_subscriptions(&self) -> Result<Vec<String>, ClientError> {
        // Before version 1 nothing else could be listed, and no type be named.
        self.configured(16, 0).await
    }

    async fn configured(&self, wanted: i8, lowest: i16) -> Result<Vec<String>, ClientError> {
        let encode = Arc::new(move |writer: &mut _, version: i16| {
            let resource_types = if version == 0 {
                Vec::new()
            } else {
                vec![wanted]
            };
            ListConfigResourcesRequest { resource_types }.encode(writer, version)
        });
        let key = ApiKey::ListConfigResources;
        let reply = self
            .ask_any(key, lowest..=i16::MAX, Effect::Reads, encode)
            .await?;
        let response: ListConfigResourcesResponse<'_> = reply.decode()?;
        ApiError::check(response.error_code, None)?;
        let named = response.config_resources.iter();
        Ok(named.map(|it| it.resource_name.to_string()).collect())
    }

    async fn config_target(&self, resource: &ConfigResource) -> Result<Target, ClientError> {
        let Some(id) = resource.broker() else {
            return Ok(Target::Any);
        };
        let brokers: BTreeMap<BrokerId, BrokerEndpoint> = self
            .brokers()
            .await?
            .into_iter()
            .map(|broker| (broker.id, broker))
            .collect();
        match brokers.get(&id) {
            Some(broker) => Ok(Target::Broker(broker.clone())),
            None => Err(ClientError::Invalid {
                reason: format!("the cluster has no broker {id}"),
            }),
        }
    }
}

fn describe(config: &DescribeConfigsResourceResult<'_>) -> ConfigDescription {
    let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(str::to_owned);
    ConfigDescription {
        name: config.name.to_string(),
        value: owned(&config.value),
        source: ConfigSource::from_wire(config.config_source),
        is_read_only: config.read_only,
        is_sensitive: config.is_sensitive,
        synonyms: config
            .synonyms
            .iter()
            .map(|synonym| ConfigSynonym {
                name: synonym.name.to_string(),
                value: owned(&synonym.value),
                source: ConfigSource::from_wire(synonym.source),
            })
            .collect(),
        documentation: owned(&config.documentation),
    }
}
