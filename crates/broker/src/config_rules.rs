mod broker_rules;
mod group_rules;
mod java_expression;

use crate::config::{
    BrokerConfig, BrokerLayers, ConfigMap, Definition, StaticConfig, broker_definition, near_miss,
    topic_definition, topic_definitions,
};
use broker_rules::validate_broker;
use group_rules::{validate_client_metrics, validate_group};
use ottla_metadata::{ConfigResource, ConfigRules, Configs, ControllerError, Image, ResourceKind};
use ottla_types::BrokerId;

/// What the controller must know about configs, from the broker's tables.
pub(crate) struct BrokerConfigRules {
    node_id: BrokerId,
    started_with: StaticConfig,
    default_partitions: i32,
    default_replication_factor: i16,
}

impl BrokerConfigRules {
    pub(crate) fn new(config: &BrokerConfig) -> BrokerConfigRules {
        BrokerConfigRules {
            node_id: config.node_id,
            started_with: config.started_with.clone(),
            default_partitions: config.topics.partitions_count,
            default_replication_factor: config.topics.replication_factor,
        }
    }

    fn with_layers<T>(&self, image: &Image, f: impl FnOnce(BrokerLayers<'_>) -> T) -> T {
        let nothing = ConfigMap::new();
        let this_broker = image.configs(&ConfigResource::broker(self.node_id));
        let all_brokers = image.configs(&ConfigResource::every_broker());
        f(BrokerLayers {
            this_broker: this_broker.map_or(&nothing, |configs| &**configs),
            all_brokers: all_brokers.map_or(&nothing, |configs| &**configs),
            started_with: &self.started_with,
        })
    }
}

fn refuse(message: String) -> ControllerError {
    ControllerError::InvalidConfig { message }
}

impl ConfigRules for BrokerConfigRules {
    fn is_list(&self, resource: &ConfigResource, name: &str) -> bool {
        let definition = match resource.kind {
            ResourceKind::Topic => topic_definition(name),
            ResourceKind::Broker => broker_definition(name),
            ResourceKind::BrokerLogger | ResourceKind::ClientMetrics | ResourceKind::Group => None,
        };
        definition.is_some_and(|definition| definition.kind == crate::config::Kind::List)
    }

    fn effective_default(
        &self,
        image: &Image,
        resource: &ConfigResource,
        name: &str,
    ) -> Option<String> {
        match resource.kind {
            ResourceKind::Topic => {
                let definition = topic_definition(name)?;
                self.with_layers(image, |layers| layers.topic_default(definition))
            }
            ResourceKind::Broker => {
                let definition = broker_definition(name)?;
                let nothing = ConfigMap::new();
                let every_broker = image.configs(&ConfigResource::every_broker());
                // What is set on the resource itself is not its default.
                let all_brokers = match resource.name.is_empty() {
                    true => &nothing,
                    false => every_broker.map_or(&nothing, |configs| &**configs),
                };
                let layers = BrokerLayers {
                    this_broker: &nothing,
                    all_brokers,
                    started_with: &self.started_with,
                };
                let value = layers.value(definition).or(definition.default);
                value.map(str::to_owned)
            }
            ResourceKind::BrokerLogger | ResourceKind::ClientMetrics | ResourceKind::Group => None,
        }
    }

    fn validate(
        &self,
        image: &Image,
        resource: &ConfigResource,
        configs: &Configs,
        changed: &[&str],
    ) -> Result<(), ControllerError> {
        match resource.kind {
            ResourceKind::Topic => validate_topic(configs, changed),
            ResourceKind::Broker => self.with_layers(image, |layers| {
                validate_broker(resource, configs, changed, layers)
            }),
            ResourceKind::Group => {
                self.with_layers(image, |layers| validate_group(configs, changed, layers))
            }
            ResourceKind::ClientMetrics => validate_client_metrics(configs, changed),
            ResourceKind::BrokerLogger => Err(ControllerError::InvalidRequest {
                message: "Log levels are not part of the cluster's state.".to_owned(),
            }),
        }
    }

    fn default_partitions(&self, _image: &Image) -> i32 {
        self.default_partitions
    }

    fn default_replication_factor(&self, _image: &Image) -> i16 {
        self.default_replication_factor
    }
}

fn validate_topic(configs: &Configs, changed: &[&str]) -> Result<(), ControllerError> {
    for name in changed {
        let Some(value) = configs.get(*name) else {
            continue; // Removed: back to the default, even of a config nobody knows any more.
        };
        let definition = topic_definition(name).ok_or_else(|| {
            let hint = did_you_mean(name, topic_definitions());
            refuse(format!("Unknown topic config name: {name}{hint}"))
        })?;
        definition
            .parse(value)
            .map_err(|error| refuse(error.to_string()))?;
    }
    let number = |name: &str| {
        configs
            .get(name)
            .and_then(|value| value.trim().parse::<i64>().ok())
    };
    if let (Some(least), Some(most)) = (
        number("min.compaction.lag.ms"),
        number("max.compaction.lag.ms"),
    ) && most < least
    {
        return Err(refuse(format!(
            "conflict topic config setting min.compaction.lag.ms ({least}) > max.compaction.lag.ms ({most})"
        )));
    }
    Ok(())
}

/// Kafka's error for configs of brokers; for those of topics it is another.
fn invalid(message: String) -> ControllerError {
    ControllerError::InvalidRequest { message }
}

/// A hint at the known name that is near enough to be meant; empty without one.
fn did_you_mean(name: &str, definitions: impl Iterator<Item = &'static Definition>) -> String {
    near_miss(name, definitions).map_or_else(String::new, |near| format!(" (did you mean {near}?)"))
}
